"""Ask a run to stop: it finishes the step, writes a checkpoint and ends. A second request stops at once.

A third one, whoever made the others, ends its process: its last checkpoint stays. A run whose process does not answer any more is ended after a while.
"""

from __future__ import annotations

import argparse
import time

from epochal.cli.arguments import add_json, add_project, add_run, run_of
from epochal.cli.console import Console


SUMMARY = "stop a run with a checkpoint"

_PATIENCE_SECONDS = 10.0
"""With a run that is stuck, before its process is ended."""


def prepare(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    add_project(parser)
    add_run(parser)
    add_json(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Send the request and wait for the end."""
    from epochal.cli.following import exit_code, wait_for_end
    from epochal.core.errors import RunError
    from epochal.runs.control import ask_to_stop, kill_host, said_of_asking

    info = run_of(arguments, strict=False)
    if not info.alive:
        raise RunError(f"run {info.name} is {info.status}", fix="there is nothing to stop", code="not-running")
    console.notice(said_of_asking(ask_to_stop(info.folder), f"`epochal stop {arguments.dir}`"))
    started = time.monotonic()

    def look() -> None:
        if info.status == "stuck" and time.monotonic() - started > _PATIENCE_SECONDS and kill_host(info.folder):
            raise RunError(
                f"run {info.name} did not answer: its process was ended without a checkpoint",
                fix=f"epochal resume {arguments.dir} {info.spec.number} goes on from its last one",
                code="killed",
            )

    state = wait_for_end(info.spec, console, look)
    if console.as_json:
        console.document({"run": info.name, "state": state.status})
    else:
        console.say(f"run {info.name}: {state.status}. {state.status_note}".rstrip())
    return exit_code(state.status)
