"""Go on with a paused, stopped or interrupted run, in its own folder, from its newest complete checkpoint."""

from __future__ import annotations

import argparse

from epochal.cli.arguments import add_json, add_project, add_run, run_of
from epochal.cli.console import Console


SUMMARY = "continue a stopped or interrupted run"


def prepare(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    add_project(parser)
    add_run(parser)
    parser.add_argument(
        "--host", choices=("detached", "thread"), help="the process it goes on in (default: the run's own [train] host)"
    )
    parser.add_argument(
        "--follow",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="follow it until it ends (default), or print the run and return",
    )
    add_json(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Check that it can go on, start a host, follow."""
    from epochal.cli.following import follow, follows, say_started
    from epochal.project import trust
    from epochal.runs.resume import resume
    from epochal.workbench import operations
    from epochal.workbench.data_client import DataClient

    info = run_of(arguments)
    trust.demand_same(info.spec)
    with DataClient() as client:
        operations.ensure_snapshot(client, info.spec, console.progress)
    host = arguments.host or info.spec.project.train.host
    followed = follows(host, console, wanted=arguments.follow)
    pid = resume(info.folder, host)
    return follow(info.spec, console) if followed else say_started(info.spec, pid, console)
