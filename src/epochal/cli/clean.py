"""Add, take back and list cleaning steps."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

from epochal.cli.arguments import UsageError, add_json, add_project, add_set, parse_sets
from epochal.cli.console import Console


SUMMARY = "add, take back and list cleaning steps"


def prepare(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    add_project(parser)
    parser.add_argument("op", metavar="OP", nargs="?", help="the step, such as trim or drop_missing; see --list")
    parser.add_argument("--columns", metavar="A,B", help="the columns it works on")
    add_set(parser, "a parameter of the step, such as where='age > 0'")
    parser.add_argument("--dry-run", action="store_true", help="only say what it would touch")
    parser.add_argument("--undo", action="store_true", help="take back the last change of the project")
    parser.add_argument("--redo", action="store_true", help="and take that back")
    parser.add_argument("--list", action="store_true", help="the recipe, and every step there is")
    add_json(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """One of: list, undo, redo, add."""
    from epochal.project.file import ProjectFile

    chosen = sum(map(bool, (arguments.op, arguments.undo, arguments.redo, arguments.list)))
    if chosen != 1:
        raise UsageError("give one step, or --undo, --redo or --list", fix="see `epochal clean --help`")
    file = ProjectFile.open(arguments.dir)
    if arguments.list:
        return _list(file, console)
    if arguments.undo or arguments.redo:
        what = file.undo() if arguments.undo else file.redo()
        verb = "undone" if arguments.undo else "redone"
        if console.as_json:
            console.document({verb: what, "steps": [s.as_dict() for s in file.project.clean]})
        else:
            console.say(f"{verb}: {what}" if what else f"nothing to be {verb}")
        return 0
    return _add(file, arguments, console)


def _list(file: Any, console: Console) -> int:
    from epochal.core.steps import OPS

    if console.as_json:
        console.document({"recipe": [s.as_dict() for s in file.project.clean], "ops": list(OPS)})
        return 0
    for n, step in enumerate(file.project.clean, 1):
        words = "  ".join(f"{k}={v}" for k, v in step.as_dict().items() if k != "op")
        console.say(f"{n:>3}  {step.op:<16} {words}")
    console.say(f"{len(file.project.clean)} steps in the recipe. There are:")
    console.table(
        ("step", "does", "takes"),
        [(o.name, o.title, ", ".join(p.name + ("" if p.required else "?") for p in o.params)) for o in OPS.values()],
    )
    return 0


def _add(file: Any, arguments: argparse.Namespace, console: Console) -> int:
    from epochal.core.settings import to_document
    from epochal.core.steps import OPS, nearest, parse_step
    from epochal.data.protocol import CountStep
    from epochal.workbench.data_client import DataClient

    if arguments.op not in OPS:
        close = nearest(arguments.op, tuple(OPS))
        raise UsageError(
            f"there is no step {arguments.op!r}",
            fix=f"did you mean {close}?" if close else "see `epochal clean DIR --list`",
        )
    known = {p.name: p for p in OPS[arguments.op].params}
    table: dict[str, Any] = {"op": arguments.op, **parse_sets(arguments.set)}
    for name, value in list(table.items()):
        if name in known and known[name].type in {"text", "expression", "column"} and not isinstance(value, str):
            table[name] = next(w.partition("=")[2] for w in arguments.set if w.partition("=")[0].strip() == name)
    if arguments.columns:
        names = [c.strip() for c in arguments.columns.split(",")]
        table.update({"column": names[0]} if "column" in known and len(names) == 1 else {"columns": names})
    step = parse_step(table)
    request = CountStep(folder=str(file.folder), document=to_document(file.project), step=step.as_dict())
    with DataClient() as client:
        counted = client.ask(request, progress=console.progress)
    if not arguments.dry_run:
        file.change(replace(file.project, clean=(*file.project.clean, step)), f"add {step.op}")
    if console.as_json:
        console.document(
            {
                "step": step.as_dict(),
                "applied": not arguments.dry_run,
                "removed": counted.removed,
                "changed": counted.changed,
                "rows_before": counted.rows_before,
                "rows_after": counted.rows_after,
                "rejected_cells": counted.rejected_cells,
            }
        )
    else:
        console.say(counted.sentence)
        if arguments.dry_run:
            console.say("nothing was changed: this was a dry run")
    return 0
