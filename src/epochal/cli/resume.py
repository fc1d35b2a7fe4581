"""Go on with a paused, stopped, interrupted, failed or diverged run, in its own folder, from its newest whole checkpoint.

What comes then is what would have come without the interruption, to the bit. Where that cannot be, as with other versions
or another device, it is refused with the reason.
"""

from __future__ import annotations

import argparse

from epochal.cli.arguments import add_json, add_project, add_run, run_of
from epochal.cli.console import Console
from epochal.cli.launching import add_launch, check_launch, print_launch


SUMMARY = "continue a stopped or interrupted run"


def prepare(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    add_project(parser)
    add_run(parser)
    parser.add_argument(
        "--host",
        choices=("detached", "thread", "torchrun"),
        help="the process it goes on in (default: the run's own; torchrun for more than one device)",
    )
    parser.add_argument(
        "--follow",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="follow it until it ends (default), or print the run and return",
    )
    add_launch(parser)
    way = parser.add_mutually_exclusive_group()
    way.add_argument(
        "--anyway",
        action="store_true",
        help="go on although versions, device or settings are not what they were; the chart marks the seam",
    )
    way.add_argument("--from-start", action="store_true", help="begin the run again, when it has no whole checkpoint")
    add_json(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Check that it can go on, start a host, follow."""
    from epochal.cli.following import follows, launch
    from epochal.project import trust
    from epochal.project.read import read_project
    from epochal.project.unlike import said_of_unlike
    from epochal.runs.launch import host_of, refuse_nodes
    from epochal.runs.resume import Way, refuse_resume, resume
    from epochal.workbench import operations
    from epochal.workbench.data_client import DataClient

    check_launch(arguments)
    info = run_of(arguments)
    way: Way = "anyway" if arguments.anyway else "from-start" if arguments.from_start else "exactly"
    refuse_resume(info, way)
    if not arguments.print_launch:
        refuse_nodes(info.spec)
    kept = said_of_unlike(info.spec, read_project(arguments.dir))
    trust.demand_same(info.spec)
    with DataClient() as client:
        changed = operations.data_to_go_on(client, info.spec, console.progress)
    for words in filter(None, (kept, changed)):
        console.notice(words)
    if arguments.print_launch:
        return print_launch(info.spec, console, meet=arguments.meet, way=way)
    followed = follows(host_of(info.spec, arguments.host), console, wanted=arguments.follow)
    return launch(info.spec, console, lambda: resume(info.folder, arguments.host, way=way), followed=followed)
