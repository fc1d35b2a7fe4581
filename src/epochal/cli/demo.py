"""Copy a sample project here and open it."""

from __future__ import annotations

import argparse
from pathlib import Path

from epochal.cli.arguments import add_json
from epochal.cli.console import Console, typed


SUMMARY = "copy a sample project here and open it"


def prepare(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument("name", metavar="NAME", nargs="?", default="penguins", help="which (default: penguins)")
    parser.add_argument("--into", metavar="DIR", type=Path, help="only copy, to this folder; never opens")
    parser.add_argument("--list", action="store_true", help="name the samples and what they ask")
    add_json(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Copy, then open unless told where to."""
    if arguments.list:
        return _list(console)
    from epochal.workbench.operations import copy_sample

    if arguments.into is not None:
        copy_sample(arguments.name, arguments.into)
        if console.as_json:
            console.document({"name": arguments.name, "path": str(arguments.into)})
        else:
            console.say(f"copied {arguments.name} to {arguments.into}. Next: {_next(arguments.into)}")
        return 0
    folder = Path(arguments.name)
    if (folder / "project.toml").exists():
        console.notice(f"{folder} is already here; opening it")
    else:
        copy_sample(arguments.name, folder)
    from epochal.cli import workbench

    return workbench.run(argparse.Namespace(path=f"./{folder}", theme=""), console)


def _next(folder: Path) -> str:
    """What to type next: a model that is the sample's own code runs only after a person has seen it."""
    from epochal.core.tasks import OWN
    from epochal.project.read import read_project

    if read_project(folder).model.family == OWN:
        return f"epochal trust {typed(folder)} shows the model's code and asks; then epochal train {typed(folder)}"
    return f"epochal train {typed(folder)}"


def _list(console: Console) -> int:
    from epochal.project.discover import shipped_projects
    from epochal.project.read import read_project

    questions = {name: read_project(path).goal.question for name, path in shipped_projects().items()}
    if console.as_json:
        console.document([{"name": name, "question": question} for name, question in questions.items()])
    else:
        console.table(("sample", "asks"), list(questions.items()))
    return 0
