"""Ask a run to stop: it finishes the step, writes a checkpoint and ends. A second request stops at once."""

from __future__ import annotations

import argparse

from epochal.cli.arguments import add_json, add_project, add_run, run_of
from epochal.cli.console import Console


SUMMARY = "stop a run with a checkpoint"


def prepare(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    add_project(parser)
    add_run(parser)
    add_json(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Send the request and wait for the end."""
    from epochal.cli.following import exit_code, wait_for_end
    from epochal.core.errors import RunError
    from epochal.runs.control import send

    info = run_of(arguments, strict=False)
    if not info.alive:
        raise RunError(f"run {info.name} is {info.status}", fix="there is nothing to stop", code="not-running")
    send(info.folder, "stop")
    state = wait_for_end(info.spec, console)
    if console.as_json:
        console.document({"run": info.name, "state": state.status})
    else:
        console.say(f"run {info.name}: {state.status}. {state.status_note}".rstrip())
    return exit_code(state.status)
