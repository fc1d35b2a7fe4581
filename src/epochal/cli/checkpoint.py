"""Write a checkpoint of a run now, keep one for ever, or list them.

A run keeps its best checkpoint, the newest two healthy ones, and those that are pinned.
"""

from __future__ import annotations

import argparse
import math
import time
from typing import TYPE_CHECKING

from epochal.cli.arguments import UsageError, add_json, add_project, add_run, count, run_of
from epochal.cli.console import Console
from epochal.core.errors import RunError


if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from epochal.core.events import CheckpointSaved
    from epochal.runs.state import RunInfo


SUMMARY = "write, keep or list checkpoints"

_LOOK_SECONDS = 0.2


def prepare(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    add_project(parser)
    add_run(parser)
    parser.add_argument("--list", action="store_true", help="list the run's checkpoints instead, oldest first")
    parser.add_argument(
        "--step", metavar="N", type=count, help="with --pin or --unpin: that checkpoint, also of a run that is over"
    )
    pinning = parser.add_mutually_exclusive_group()
    pinning.add_argument("--pin", action="store_true", help="never delete it to make room for newer ones")
    pinning.add_argument("--unpin", action="store_true", help="let it be deleted when newer ones stand")
    add_json(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """List, pin, or ask the run to write one and wait until it has."""
    _refuse_words(arguments)
    info = run_of(arguments, strict=False)
    if arguments.list:
        return _list(info, console)
    if arguments.step is not None:
        return _pin(info, arguments, console)
    return _write(info, arguments, console)


def _refuse_words(arguments: argparse.Namespace) -> None:
    """Raises UsageError for words that do not go together, before any run is looked for."""
    named = arguments.step is not None
    if arguments.list and (named or arguments.pin or arguments.unpin):
        raise UsageError("--list goes with none of --step, --pin, --unpin", fix="leave one of them out")
    if named and not (arguments.pin or arguments.unpin):
        raise UsageError("--step goes with --pin or --unpin", fix="`epochal checkpoint DIR --list` shows them")
    if arguments.unpin and not named:
        raise UsageError("--unpin needs --step", fix="see `epochal checkpoint DIR --list` for the steps")


def _list(info: RunInfo, console: Console) -> int:
    from epochal.project.checkpoints import best_of, checkpoints_of, is_whole
    from epochal.workbench.views.words import figure, memory

    found = checkpoints_of(info.folder)
    metric = info.spec.project.metric
    best = best_of(found, metric)
    rows = [
        {
            "step": c.step,
            "bytes": c.size,
            "value": c.value if math.isfinite(c.value) else None,
            "whole": is_whole(c.folder),
            "healthy": c.healthy,
            "pinned": c.pinned,
            "best": c is best,
            "path": str(c.folder),
        }
        for c in found
    ]
    if console.as_json:
        console.document(rows)
        return 0
    if not rows:
        console.say(f"run {info.name} has no checkpoint")
        return 0
    console.table(
        ("step", "size", metric, ""),
        [
            (row["step"], memory(c.size), figure(c.value), ", ".join(_words(row)))
            for row, c in zip(rows, found, strict=True)
        ],
        right=(0, 1, 2),
    )
    return 0


def _words(row: Mapping[str, object]) -> list[str]:
    said = [words for name, words in (("best", "best of these"), ("pinned", "pinned")) if row[name]]
    return [*said, *(["not healthy"] if not row["healthy"] else []), *(["damaged"] if not row["whole"] else [])]


def _pin(info: RunInfo, arguments: argparse.Namespace, console: Console) -> int:
    from epochal.project.checkpoints import checkpoints_of, pin, read_checkpoint, unpin

    there = checkpoints_of(info.folder)
    found = next((c for c in there if c.step == arguments.step), None)
    if found is not None:
        (pin if arguments.pin else unpin)(found.folder)
        found = read_checkpoint(found.folder)  # a run under way may have deleted it meanwhile
    if found is None:
        steps = ", ".join(str(c.step) for c in there)
        raise RunError(
            f"run {info.name} has no checkpoint of step {arguments.step}",
            where=str(info.folder / "checkpoints"),
            fix=f"it has those of step {steps}" if there else "it has none",
            code="no-checkpoint",
        )
    return _say(info, found.step, found.folder, console, done="pinned" if arguments.pin else "unpinned")


def _write(info: RunInfo, arguments: argparse.Namespace, console: Console) -> int:
    from epochal.runs.control import send

    if not info.alive:
        raise RunError(
            f"run {info.name} is {info.status}: it writes no checkpoint",
            fix="--list shows those it has; --step N --pin keeps one of them",
            code="not-running",
        )
    command = send(info.folder, "pin" if arguments.pin else "checkpoint")
    saved = _wait(info, command, console, pinned=arguments.pin)
    done = "written and pinned" if arguments.pin else "written"
    return _say(info, saved.step, info.folder / saved.folder, console, done=done)


def _wait(info: RunInfo, command: str, console: Console, *, pinned: bool) -> CheckpointSaved:
    """The checkpoint that answers the request, a pinned one if one was asked for. Raises RunError when the run ended, or could not write it."""
    from epochal.core.events import ENDED, CheckpointSaved, Noticed
    from epochal.journal.tail import Tail
    from epochal.runs.control import acknowledged
    from epochal.runs.state import run_info

    while (taken := acknowledged(info.folder, command)) is None:
        _demand_alive(info)
        console.progress(f"run {info.spec.number} was asked for a checkpoint")
        time.sleep(_LOOK_SECONDS)
    journal = Tail(info.folder)
    while True:
        over = run_info(info.folder).status in ENDED  # looked at first: then all it said is there to be read
        batch = journal.read()
        for record in batch.records:
            event = record.event if record.n > taken else None
            if isinstance(event, CheckpointSaved) and event.pinned >= pinned:
                return event
            if isinstance(event, Noticed) and event.code in {"not-saved", "bad-checkpoint"}:
                raise RunError(event.text, where=str(info.folder), code=event.code)
        if over and not batch.more:
            _demand_alive(info)
        if not batch.more:
            state = run_info(info.folder)
            console.progress(state.note if state.status == "paused" else f"run {info.spec.number} took the request")
            time.sleep(_LOOK_SECONDS)


def _demand_alive(info: RunInfo) -> None:
    from epochal.runs.state import run_info

    now = run_info(info.folder)
    if not now.alive:
        raise RunError(
            f"run {info.name} is {now.status} and wrote no checkpoint for this request",
            fix="--list shows those it has",
            code="not-running",
        )


def _say(info: RunInfo, step: int, folder: Path, console: Console, *, done: str) -> int:
    from epochal.project.checkpoints import read_checkpoint

    found = read_checkpoint(folder)
    if console.as_json:
        document = {"run": info.name, "step": step, "pinned": found is not None and found.pinned, "path": str(folder)}
        console.document(document)
    else:
        console.say(f"run {info.name}: the checkpoint of step {step} is {done}")
    return 0
