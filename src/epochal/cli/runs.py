"""List the runs of a project, newest first."""

from __future__ import annotations

import argparse

from epochal.cli.arguments import add_json, add_project
from epochal.cli.console import Console


SUMMARY = "list runs, newest first"


def prepare(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    add_project(parser, optional=True)
    add_json(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """List them."""
    from epochal.project.read import read_project
    from epochal.runs.state import list_runs

    read_project(arguments.dir)
    infos = list_runs(arguments.dir)
    if console.as_json:
        console.document(
            [
                {
                    "run": i.name,
                    "state": i.state,
                    "family": i.family,
                    "metric": i.metric,
                    "value": i.value,
                    "started": i.started,
                    "seconds": i.seconds,
                    "path": str(i.path),
                }
                for i in infos
            ]
        )
        return 0
    if not infos:
        console.say("no runs yet. Next: epochal train " + str(arguments.dir))
        return 0
    console.table(
        ("run", "state", "metric", "value", "seconds", "started"),
        [
            (
                i.name,
                i.state,
                i.metric,
                "–" if i.value is None else f"{i.value:.4f}",
                f"{i.seconds:.0f}",
                i.started,
            )
            for i in infos
        ],
        right=(3, 4),
    )
    return 0
