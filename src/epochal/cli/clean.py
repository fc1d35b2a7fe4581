"""Add, change, take back and list cleaning steps. Steps are numbered from 1, as --list shows them."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from epochal.cli.arguments import UsageError, add_json, add_project, add_set, count, parse_sets
from epochal.cli.console import Console
from epochal.core.errors import EpochalError
from epochal.show import counted


if TYPE_CHECKING:
    from epochal.core.steps import Step
    from epochal.project.file import ProjectFile

SUMMARY = "add, change, take back and list cleaning steps"


def prepare(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    add_project(parser)
    parser.add_argument("op", metavar="OP", nargs="?", help="the step, such as trim or drop_missing; see --list")
    parser.add_argument("--columns", metavar="A,B", help="the columns it works on")
    add_set(parser, "a parameter of the step, such as where='age > 0'")
    parser.add_argument("--replace", metavar="N", type=count, help="put the step in the place of step N")
    parser.add_argument("--dry-run", action="store_true", help="only say what it would touch")
    parser.add_argument("--delete", metavar="N", type=count, help="take step N out")
    parser.add_argument("--move", metavar=("N", "TO"), nargs=2, type=count, help="make step N the step TO")
    parser.add_argument("--disable", metavar="N", type=count, help="pass over step N from now on")
    parser.add_argument("--enable", metavar="N", type=count, help="and no longer")
    parser.add_argument("--undo", action="store_true", help="take back the last change of the project")
    parser.add_argument("--redo", action="store_true", help="and take that back")
    parser.add_argument("--list", action="store_true", help="the recipe, and every step there is")
    add_json(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """One of: list, undo, redo, change a step, add one."""
    from epochal.project.file import ProjectFile

    changes = [name for name in _CHANGES if getattr(arguments, name) is not None]
    chosen = sum(map(bool, (arguments.op, arguments.undo, arguments.redo, arguments.list))) + len(changes)
    if chosen != 1:
        raise UsageError(
            "give one thing to do: a step, or --undo, --redo, --list, --delete, --move, --disable or --enable",
            fix="see `epochal clean --help`",
        )
    file = ProjectFile.open(arguments.dir)
    if arguments.list:
        return _list(file, console)
    if arguments.undo or arguments.redo:
        what = file.undo() if arguments.undo else file.redo()
        _say_recipe(file, "undone" if arguments.undo else "redone", what, console)
    elif changes:
        steps, why = _changed(file.project.clean, changes[0], getattr(arguments, changes[0]))
        file.change(replace(file.project, clean=steps), why)
        _say_recipe(file, "done", why, console)
    else:
        return _add(file, arguments, console)
    return 0


_CHANGES = ("delete", "move", "disable", "enable")


def _changed(steps: tuple[Step, ...], change: str, asked: Any) -> tuple[tuple[Step, ...], str]:
    """The recipe with one step taken out, moved or switched, and the reason that undo will show."""
    numbers = asked if isinstance(asked, list) else [asked]
    places = [_place(n, steps) for n in numbers]
    rest = list(steps)
    if change in {"disable", "enable"}:
        rest[places[0]] = replace(rest[places[0]], enabled=change == "enable")
        return tuple(rest), f"{change} step {numbers[0]}"
    step = rest.pop(places[0])
    if change == "delete":
        return tuple(rest), f"delete step {numbers[0]}"
    rest.insert(places[1], step)
    return tuple(rest), f"move step {numbers[0]} to {numbers[1]}"


def _place(number: int, steps: tuple[Step, ...]) -> int:
    if not 1 <= number <= len(steps):
        raise UsageError(
            f"there is no step {number}: the recipe has {len(steps)}", fix="see `epochal clean DIR --list`"
        )
    return number - 1


def _say_recipe(file: ProjectFile, verb: str, what: str | None, console: Console) -> None:
    """What happened, and with --json the recipe as it is now."""
    if console.as_json:
        console.document({verb: what, "steps": [s.as_dict() for s in file.project.clean]})
    else:
        console.say(f"{verb}: {what}" if what else f"nothing to be {verb}")


def _list(file: ProjectFile, console: Console) -> int:
    from epochal.core.steps import OPS

    if console.as_json:
        console.document({"recipe": [s.as_dict() for s in file.project.clean], "ops": list(OPS)})
        return 0
    for n, step in enumerate(file.project.clean, 1):
        words = "  ".join(f"{k}={_shown(v)}" for k, v in step.as_dict().items() if k != "op")
        console.say(f"{n:>3}  {step.op:<16} {words}")
    steps = len(file.project.clean)
    console.say(f"{counted(steps, 'step')} in the recipe. There are:")
    console.table(
        ("step", "does", "takes"),
        [(o.name, o.title, ", ".join(p.name + ("" if p.required else "?") for p in o.params)) for o in OPS.values()],
    )
    return 0


def _shown(value: Any) -> str:
    """A parameter as a person writes it."""
    if isinstance(value, dict):
        return ", ".join(f"{k} → {v}" for k, v in value.items())
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _unnumbered(what: str, number: str, op: str) -> str:
    return f"the step{what.removeprefix(number).removeprefix(op)}" if what.startswith(number) else what


def _add(file: ProjectFile, arguments: argparse.Namespace, console: Console) -> int:
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
    steps = list(file.project.clean)
    at = len(steps) if arguments.replace is None else _place(arguments.replace, file.project.clean)
    # What it touches is counted where it will stand: after the steps before it.
    before = replace(file.project, clean=tuple(steps[:at]))
    request = CountStep(folder=str(file.folder), document=to_document(before), step=step.as_dict())
    with DataClient() as client:
        try:
            found = client.ask(request, progress=console.progress)
        except EpochalError as error:
            if error.where == f"clean step {at + 1}" and arguments.replace is None:
                # The recipe has no such step: it is the one that was to be added.
                error.where = f"the {step.op} step to be added"
                error.what = _unnumbered(error.what, f"step {at + 1}", f" ({step.op})")
            raise
    if found.warning:
        console.notice(f"warning: {found.warning}")
    if not arguments.dry_run:
        steps[at : at + 1] = [step]
        why = f"add {step.op}" if arguments.replace is None else f"edit step {at + 1}"
        file.change(replace(file.project, clean=tuple(steps)), why)
    if console.as_json:
        console.document(
            {
                "step": step.as_dict(),
                "applied": not arguments.dry_run,
                "removed": found.removed,
                "changed": found.changed,
                "rows_before": found.rows_before,
                "rows_after": found.rows_after,
                "rejected_cells": found.rejected_cells,
            }
        )
    else:
        console.say(found.sentence)
        console.say("nothing was changed: this was a dry run" if arguments.dry_run else f"saved as step {at + 1}")
    return 0
