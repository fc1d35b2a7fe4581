"""The lines that start a run by hand, on this machine or on many, instead of starting it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from epochal.cli.arguments import UsageError
from epochal.cli.console import Console


if TYPE_CHECKING:
    from epochal.project.runfile import RunSpec
    from epochal.runs.resume import Way


def add_launch(parser: argparse.ArgumentParser, first: str = "") -> None:
    """`--print-launch`, which does what `first` says before, and where the nodes meet."""
    parser.add_argument(
        "--print-launch",
        action="store_true",
        help=f"{first}print the exact line that starts it, for each node, and start nothing",
    )
    parser.add_argument(
        "--meet",
        metavar="HOST:PORT",
        default="",
        help="for several nodes: the first one's name or address and a free port there",
    )


def check_launch(arguments: argparse.Namespace) -> None:
    """Refuse a place to meet that is none, or that nobody asked for, before anything is made. Raises EpochalError."""
    from epochal.runs.gang import check_meet

    if arguments.meet:
        check_meet(arguments.meet)
    if arguments.meet and not arguments.print_launch:
        raise UsageError("--meet is for lines that are started by hand", fix="add --print-launch")


def print_launch(spec: RunSpec, console: Console, *, meet: str = "", way: Way = "exactly") -> int:
    """Print them."""
    from epochal.runs.gang import MEET, launch_lines

    lines = launch_lines(spec, meet, way)
    if console.as_json:
        nodes = [{"node": name, "line": line} for name, line in lines]
        console.document({"run": spec.name, "nodes": nodes, "world_size": spec.world_size, "path": str(spec.folder)})
        return 0
    ranks = f"{spec.world_size} ranks" if spec.world_size > 1 else "1 process"
    console.notice(f"run {spec.name} is ready and not started: {ranks}")
    if len(lines) > 1 and not meet:
        console.notice(f"{MEET}: the first node's name or address, as the others reach it, and a free port there")
    for name, line in lines:
        if len(lines) > 1:
            console.say(f"# on {name}:")
        console.say(line)
    return 0
