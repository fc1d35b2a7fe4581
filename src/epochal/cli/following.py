"""Following a run from the command line: a progress line, ctrl-c asks for a stop, the end becomes an exit code."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from epochal.cli.console import Console
from epochal.core.events import ENDED
from epochal.project.runfile import RunSpec
from epochal.runs.control import send
from epochal.runs.follow import Follower
from epochal.runs.state import RunInfo, read_info


_LOOK_EVERY_SECONDS = 0.2


def ended_exit_code(state: str) -> int:
    """0 done or stopped as asked, 1 failed or diverged, 3 interrupted."""
    return {"failed": 1, "diverged": 1, "interrupted": 3, "stuck": 3}.get(state, 0)


def say_started(spec: RunSpec, pid: int, console: Console) -> int:
    """What --no-follow prints."""
    if console.as_json:
        console.document(
            {"run": spec.name, "state": read_info(spec.folder).state, "pid": pid, "path": str(spec.folder)}
        )
    else:
        console.say(f"run {spec.name} started (process {pid}). epochal watch {spec.project_folder} shows it")
    return 0


def follow(spec: RunSpec, console: Console) -> int:
    """Follow until the run ends, then say how. ctrl-c asks it to stop with a checkpoint, a second one at once."""
    asked = 0
    while True:
        try:
            info = _watch(spec.folder, console)
            break
        except KeyboardInterrupt:
            asked += 1
            if asked > 2:
                raise
            send(spec.folder, "stop")
            console.notice(
                "asked the run to stop with a checkpoint; ctrl-c again stops at once"
                if asked == 1
                else "asked the run to stop at once"
            )
    return _say_end(spec, info, console)


def wait_for_end(folder: Path, console: Console) -> str:
    """Wait until the run has ended; its state then."""
    return _watch(folder, console).state


def watch_lines(folder: Path, console: Console) -> int:
    """For `watch` without a terminal: a line whenever an epoch ends."""
    follower = Follower(folder)
    said = 0
    while True:
        state = follower.poll()
        for epoch in state.evaluations[said:]:
            console.say(
                f"epoch {epoch.epoch:g}  train {epoch.train_loss:.4g}  validation {epoch.validation_loss:.4g}  {state.metric} {epoch.value:.4g}"
            )
        said = len(state.evaluations)
        info = read_info(folder)
        if info.state in ENDED:
            console.say(f"{info.name}: {info.state}")
            return ended_exit_code(info.state)
        time.sleep(_LOOK_EVERY_SECONDS)


def _watch(folder: Path, console: Console) -> RunInfo:
    follower = Follower(folder)
    while True:
        state = follower.poll()
        info = read_info(folder)
        if info.state in ENDED:
            return info
        console.progress(progress_words(state, info), state.fraction)
        time.sleep(_LOOK_EVERY_SECONDS)


def progress_words(state: Any, info: RunInfo) -> str:
    """One line that could be read aloud: run, state, epoch, loss, metric, speed."""
    parts = [f"run {info.name}", info.state]
    if state.phase and not state.step:
        parts.append(state.phase)
    if state.step:
        parts.append(f"epoch {state.epoch:.1f} of {state.epochs}")
        parts.append(f"loss {state.loss:.4g}")
    if state.value is not None:
        parts.append(f"{state.metric} {state.value:.4g}")
    if state.samples_per_second:
        parts.append(f"{state.samples_per_second:,.0f} rows/s")
    return "  ".join(parts)


def _say_end(spec: RunSpec, info: RunInfo, console: Console) -> int:
    state = Follower(spec.folder).poll()
    if console.as_json:
        console.document(
            {
                "run": spec.name,
                "state": info.state,
                "family": spec.family,
                "task": spec.project.goal.task,
                "metric": spec.project.metric,
                "best": {"value": state.best_value, "step": state.best_step},
                "steps": state.step,
                "epochs": state.epoch,
                "seconds": state.seconds,
                "samples_per_second": state.samples_per_second,
                "world_size": 1,
                "path": str(spec.folder),
            }
        )
        return ended_exit_code(info.state)
    best = (
        ""
        if state.best_value is None
        else f", best {spec.project.metric} {state.best_value:.4g} at step {state.best_step}"
    )
    console.say(f"run {spec.name}: {info.state}{best}, {state.seconds:.1f} s. {state.reason}")
    if info.state in {"failed", "diverged"} and state.error:
        console.notice(os.linesep.join(f"{k}: {v}" for k, v in state.error.items() if v))
    if info.state == "interrupted":
        console.notice(f"epochal resume {spec.project_folder} {spec.number} goes on from the newest checkpoint")
    if info.state == "done":
        console.say(f"Next: epochal test {spec.project_folder} {spec.number}")
    return ended_exit_code(info.state)
