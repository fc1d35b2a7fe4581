"""Read everything, list problems, try one real training step on the longest rows, estimate memory, disk and time."""

from __future__ import annotations

import argparse

from epochal.cli.arguments import add_json, add_project
from epochal.cli.console import Console


SUMMARY = "find problems before training"


def prepare(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    add_project(parser)
    add_json(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Check; 1 when there are errors."""
    from epochal.workbench.checking import check_project
    from epochal.workbench.data_client import DataClient
    from epochal.workbench.views.words import duration, memory

    with DataClient() as client:
        result = check_project(client, arguments.dir, console.progress, tell=console.notice)
    if console.as_json:
        console.document(result)
    else:
        for problem in result["problems"]:
            console.say(f"{problem['severity']}: {problem['what']}  [{problem['code']}]")
            for word in ("where", "fix"):
                if problem[word]:
                    console.hint(f"{word}: {problem[word]}", indent=2)
        estimate = result["estimate"]
        if estimate:
            time = duration(estimate["seconds"])
            console.say(
                f"a run takes {'under 1 s' if time.startswith('<') else f'about {time}'}, {memory(estimate['memory_bytes'])} of memory "
                f"and {memory(estimate['disk_bytes'])} of disk"
            )
        if not result["problems"]:
            console.say("nothing found")
    return 1 if any(p["severity"] == "error" for p in result["problems"]) else 0
