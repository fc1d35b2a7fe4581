"""List the runs of a project, newest first."""

from __future__ import annotations

import argparse

from epochal.cli.arguments import add_json, add_project
from epochal.cli.console import Console, typed


SUMMARY = "list runs, newest first"


def prepare(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    add_project(parser, optional=True)
    add_json(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """List them."""
    from epochal.project.read import read_project
    from epochal.runs.state import list_runs
    from epochal.workbench.views.words import duration, figure

    read_project(arguments.dir)
    infos = list_runs(arguments.dir)
    if console.as_json:
        console.document([info.as_row() for info in infos])
        return 0
    if not infos:
        console.say(f"no runs yet. Next: epochal train {typed(arguments.dir)}")
        return 0
    console.table(
        ("run", "state", "metric", "value", "time", "started"),
        [
            (
                info.name,
                info.status,
                info.spec.project.metric,
                figure(info.value),
                duration(info.seconds),
                info.spec.created,
            )
            for info in infos
        ],
        right=(3, 4),
    )
    return 0
