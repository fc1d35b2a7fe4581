"""Start a run and follow it; closing the terminal leaves it running."""

from __future__ import annotations

import argparse

from epochal.cli.arguments import UsageError, add_json, add_project, add_set, apply_sets, parse_sets
from epochal.cli.console import Console
from epochal.cli.launching import add_launch, check_launch, print_launch


SUMMARY = "start a run and follow it"

MOST_NODES = 1024


def prepare(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    add_project(parser)
    add_set(parser, "a setting for this run only, such as train.epochs=20; recorded in its run.toml")
    parser.add_argument(
        "--host",
        choices=("detached", "thread", "torchrun"),
        help="the process it trains in (default: [train] host; torchrun for more than one device)",
    )
    parser.add_argument(
        "--follow",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="follow it until it ends (default), or print the run and return",
    )
    add_launch(parser, "make the run, ")
    parser.add_argument(
        "--nodes",
        metavar="N",
        type=int,
        default=1,
        help="with --print-launch: machines that share its folder and train on it",
    )
    parser.add_argument("--accept-split", action="store_true", help="take a test set that changed data would move")
    add_json(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Bring data up to date, freeze the settings, start, follow."""
    from epochal.cli.following import follows
    from epochal.cli.following import launch as launch_run
    from epochal.core.useless import said_of_idle
    from epochal.project.file import ProjectFile
    from epochal.runs import launch
    from epochal.workbench import operations
    from epochal.workbench.data_client import DataClient

    if not 1 <= arguments.nodes <= MOST_NODES or (arguments.nodes > 1 and not arguments.print_launch):
        raise UsageError(
            f"{arguments.nodes} nodes cannot be started from here",
            fix=f"with --print-launch, up to {MOST_NODES}: it prints the line for each",
        )
    check_launch(arguments)
    sets = parse_sets(arguments.set)
    if arguments.host:
        sets["train.host"] = arguments.host
    file = ProjectFile.open(arguments.dir)
    dropped = said_of_idle(file.project, apply_sets(file.project, sets))
    if dropped:
        console.notice(f"for this run {dropped}")
    with DataClient() as client:
        spec = operations.make_run(
            client,
            file,
            tell=console.notice,
            adjust=(lambda project: apply_sets(project, sets)) if sets else None,
            overrides=sets,
            accept_split=arguments.accept_split,
            report=console.progress,
            nodes=arguments.nodes,
            starts_here=not arguments.print_launch,  # its lines may be meant for another machine
        )
    if arguments.print_launch:
        return print_launch(spec, console, meet=arguments.meet)
    followed = follows(spec.project.train.host, console, wanted=arguments.follow)
    return launch_run(spec, console, lambda: launch.start(spec), followed=followed)
