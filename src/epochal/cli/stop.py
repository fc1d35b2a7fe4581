"""Ask a run to stop: it finishes the step, writes a checkpoint and ends. A second request stops at once.

A third one, whoever made the others, ends its process: its last checkpoint stays. A run that has not begun to learn and
does not answer ends at once by itself, one whose process does not answer any more is ended after a while.
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from epochal.cli.arguments import add_json, add_project, add_run, run_of
from epochal.cli.console import Console, typed


if TYPE_CHECKING:
    from epochal.journal.reduce import RunState


SUMMARY = "stop a run with a checkpoint"

_PATIENCE_SECONDS = 10.0
"""With a run that is stuck, before its process is ended."""
_TELL_SECONDS = 3.0
"""Of waiting, before it is said what for."""


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
    from epochal.runs.state import list_runs

    info = run_of(arguments, strict=False)
    if not info.alive and arguments.run is None:
        running = [found.spec.number for found in list_runs(arguments.dir) if found.alive]
        if running:
            raise RunError(
                f"run {info.name} is {info.status}; running: {', '.join(map(str, running))}",
                fix=f"epochal stop {typed(arguments.dir)} {running[0]}",
                code="not-running",
            )
    if not info.alive:
        ready = f"; to be rid of it, delete runs/{info.name}" if info.status == "ready" else ""
        raise RunError(f"run {info.name} is {info.status}", fix=f"there is nothing to stop{ready}", code="not-running")
    console.notice(said_of_asking(ask_to_stop(info.folder), f"`epochal stop {typed(arguments.dir)}`"))
    started = time.monotonic()
    told = False

    def look(state: RunState) -> None:
        nonlocal told
        passed = time.monotonic() - started
        if not told and passed > _TELL_SECONDS:
            told = True
            console.notice(_waits_for(state))
        if state.status == "stuck" and passed > _PATIENCE_SECONDS and kill_host(info.folder):
            raise RunError(
                f"run {info.name} did not answer: its process was ended without a checkpoint",
                fix=f"epochal resume {typed(arguments.dir)} {info.spec.number} "
                + ("goes on from its last one" if state.goes_on_from else "begins it anew"),
                code="killed",
            )

    state = wait_for_end(info.spec, console, look)
    if console.as_json:
        console.document({"run": info.name, "state": state.status})
    else:
        console.say(f"run {info.name}: {state.status}. {state.status_note}".rstrip())
    return exit_code(state.status)


def _waits_for(state: RunState) -> str:
    """What the run does before it ends, and how long that may take."""
    from epochal.runs.control import START_SECONDS, STOP_NOW_SECONDS
    from epochal.workbench.views.words import count

    if state.status == "stuck":
        return f"{state.status_note}: its process is ended after {_PATIENCE_SECONDS:.0f} s"
    if state.host is not None and state.host.host == "thread":
        return f"waiting for its step in hand: it lives in process {state.host.pid}, and ends with that at the latest"
    if state.phase == "finishing":
        return "waiting for its model to be kept"
    resumed = state.resumes[-1].from_step if state.resumes else 0
    if state.phase != "training" or state.step <= resumed:
        seconds = START_SECONDS + STOP_NOW_SECONDS
        doing = state.phase_detail or state.phase
        return f"it has not begun to learn{f' ({doing})' if doing else ''}: it ends within {seconds:.0f} s, there is nothing new to keep"
    return f"waiting for step {count(state.step + 1)} to end, and for its checkpoint"
