"""Copy a sample project here and open it."""

from __future__ import annotations

import argparse
from pathlib import Path

from epochal.cli.arguments import UsageError, add_json
from epochal.cli.console import Console


SUMMARY = "copy a sample project here and open it"


def prepare(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument("name", metavar="NAME", nargs="?", default="penguins", help="which (default: penguins)")
    parser.add_argument("--into", metavar="DIR", type=Path, help="only copy, to this folder; never opens")
    parser.add_argument("--list", action="store_true", help="name the samples and what they ask")
    add_json(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Copy, then open unless told where to."""
    from epochal.core.steps import nearest
    from epochal.project.discover import copy_sample, shipped_projects
    from epochal.project.read import read_project

    samples = shipped_projects()
    if arguments.list:
        questions = {name: read_project(path).goal.question for name, path in sorted(samples.items())}
        if console.as_json:
            console.document([{"name": n, "question": q} for n, q in questions.items()])
        else:
            console.table(("sample", "asks"), list(questions.items()))
        return 0
    if arguments.name not in samples:
        close = nearest(arguments.name, tuple(samples))
        raise UsageError(
            f"there is no sample {arguments.name!r}",
            fix=f"did you mean {close}?" if close else f"take one of {', '.join(sorted(samples))}",
        )
    folder = arguments.into or Path(arguments.name)
    if arguments.into is None and (folder / "project.toml").exists():
        console.notice(f"{folder} is already here; opening it")
    else:
        copy_sample(arguments.name, folder)
    if arguments.into is not None:
        if console.as_json:
            console.document({"name": arguments.name, "path": str(folder)})
        else:
            console.say(f"copied {arguments.name} to {folder}. Next: epochal train {folder}")
        return 0
    from epochal.cli import workbench

    return workbench.run(argparse.Namespace(path=str(folder), theme=""), console)
