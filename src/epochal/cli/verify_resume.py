"""Show that a run that is stopped and resumed equals one that is not, to the bit.

The same steps are trained without a stop, and twice with two stops in a row, each part in a new process; every loss, the
rows of every batch and all that the last checkpoint holds are compared. The project is not touched. 1 when anything differs.
"""

from __future__ import annotations

import argparse

from epochal.cli.arguments import add_json, add_project, add_set, apply_sets, parse_sets
from epochal.cli.console import Console
from epochal.cli.leaving import told_to_leave


SUMMARY = "show that a resumed run equals an uninterrupted one, to the bit"


def prepare(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    add_project(parser)
    add_set(parser, "a setting for this alone, such as train.accumulate=4")
    parser.add_argument(
        "--steps", metavar="N", type=_steps, help="compare so many steps (default: what shows most in some seconds)"
    )
    parser.add_argument(
        "--at",
        metavar="K,L",
        type=lambda text: tuple(_steps(step) for step in text.split(",")),
        default=(),
        help="stop after these steps (default: in mid-epoch, at an epoch's end, between batches, one step later)",
    )
    add_json(parser)


def _steps(text: str) -> int:
    """The type of a number of steps."""
    number = int(text) if text.isascii() and text.isdigit() else 0
    if not 1 <= number < 10**9:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of steps")
    return number


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Verify; 1 when something differs."""
    from epochal.project.file import ProjectFile
    from epochal.workbench.data_client import DataClient
    from epochal.workbench.verifying import rows_of, said_of, verify

    sets = parse_sets(arguments.set)
    with told_to_leave() as cancelled, DataClient() as client:
        result = verify(
            client,
            ProjectFile.open(arguments.dir),
            tell=console.notice,
            adjust=(lambda project: apply_sets(project, sets)) if sets else None,
            overrides=sets,
            steps=arguments.steps,
            at=arguments.at,
            report=console.progress,
            cancelled=cancelled,
        )
    if console.as_json:
        console.document(result.as_document())
        return 0 if result.exact else 1
    for notice in result.notices:
        console.notice(notice)
    for line in said_of(result):
        console.say(line)
    console.say()
    console.table(("compared", "", "result"), rows_of(result))
    console.say(f"verdict: {result.verdict}")
    return 0 if result.exact else 1
