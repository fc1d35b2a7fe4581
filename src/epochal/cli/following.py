"""Following a run from the command line: a progress line, ctrl-c asks for a stop, the end becomes an exit code."""

from __future__ import annotations

import contextlib
import math
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from epochal.cli.console import Console
from epochal.core.errors import RunError
from epochal.core.events import ENDED
from epochal.journal.reduce import RunState
from epochal.project.runfile import RunSpec
from epochal.runs.control import Asked, ask_to_stop, said_of_asking
from epochal.runs.ending import heed_signals, wait_if_ending
from epochal.runs.follow import Follower
from epochal.runs.state import info_of
from epochal.workbench.views.train import passes, unit_of
from epochal.workbench.views.words import count, figure, loss_figure, rate


_LOOK_EVERY_SECONDS = 0.2

CTRL_C = 130

_EXIT_CODES = {"failed": 1, "diverged": 1, "interrupted": 3, "stuck": 3}


def exit_code(status: str) -> int:
    """0 done or stopped as asked, 1 failed or diverged, 3 interrupted."""
    return _EXIT_CODES.get(status, 0)


def follows(host: str, console: Console, *, wanted: bool) -> bool:
    """Whether a run in this host is followed: one that lives in this command always is, and heeds its signals."""
    if host != "thread":
        return wanted
    heed_signals()
    if not wanted:
        console.notice("a run in the thread host lives in this command, so it is followed")
    return True


def say_started(spec: RunSpec, pid: int, console: Console) -> int:
    """What --no-follow prints."""
    if console.as_json:
        status = Follower(spec.folder).poll().status
        console.document({"run": spec.name, "state": status, "pid": pid, "path": str(spec.folder)})
    else:
        console.say(f"run {spec.name} started (process {pid}). epochal watch {spec.project_folder} shows it")
    return 0


def follow(spec: RunSpec, console: Console) -> int:
    """Follow until the run ends, then say how. ctrl-c asks it to stop with a checkpoint, a second one at once.

    A third one ends its process. The exit code is then that of a ctrl-c, so that no script goes on as if the run
    were done.
    """
    with _presses() as presses:
        heeded = 0

        def heed() -> None:
            nonlocal heeded
            while heeded < len(presses):
                heeded += 1
                console.notice(said_of_asking(_ask(spec), "ctrl-c"))

        state = wait_for_end(spec, console, heed)
    wait_if_ending()  # a run that stopped because its process was told to end is no run that ended well
    code = _say_end(spec, state, console)
    return CTRL_C if heeded else code


def _ask(spec: RunSpec) -> Asked:
    try:
        return ask_to_stop(spec.folder, by="ctrl-c")
    except RunError as error:
        if error.error_code != "cannot-kill":
            raise
        raise KeyboardInterrupt from None  # it lives in this very command, which ends with it


@contextlib.contextmanager
def _presses() -> Iterator[list[int]]:
    """Grows by one with each ctrl-c, which inside interrupts nothing: a second one may come while the first is sent."""
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: pressed.append(number))
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)


def wait_for_end(spec: RunSpec, console: Console, look: Callable[[], object] = lambda: None) -> RunState:
    """Show progress until the run has ended; its state then. `look` is called in between."""
    follower = Follower(spec.folder)
    while True:
        look()
        state = follower.read_all()
        if state.status in ENDED:
            return state
        console.progress(progress_words(spec, state), state.progress if state.step else None)
        time.sleep(_LOOK_EVERY_SECONDS)


def watch_lines(spec: RunSpec, console: Console) -> int:
    """For `watch` without a terminal: a line for every evaluation, until the run ends."""
    follower = Follower(spec.folder)
    said = 0
    while True:
        state = follower.read_all()
        names = ("epoch", "train_loss", "validation_loss", "value")
        for epoch, train, validation, value in zip(*(state.evaluations.column(n, said) for n in names), strict=True):
            said += 1
            console.say(
                f"{unit_of(spec.family)} {passes(epoch)}  train {loss_figure(train)}  "
                f"validation {loss_figure(validation)}  {spec.project.metric} {figure(value)}"
            )
        if state.status in ENDED:
            console.say(f"{spec.name}: {state.status}  {state.status_note}".rstrip())
            return exit_code(state.status)
        time.sleep(_LOOK_EVERY_SECONDS)


def progress_words(spec: RunSpec, state: RunState) -> str:
    """One line that could be read aloud: run, state, epoch, loss, metric, speed."""
    parts = [f"run {spec.number}", spec.family, state.status]
    if state.training is None or not state.step:
        parts.append(f"{state.phase} {state.phase_detail}".strip())
    else:
        at = min(float(state.training.epochs), state.epoch)
        parts.append(f"{unit_of(spec.family)} {passes(at)} of {count(state.training.epochs)}")
        loss = state.steps.last("loss")
        if not math.isnan(loss):
            parts.append(f"loss {loss_figure(loss)}")
    if state.best_value is not None:
        parts.append(f"best {spec.project.metric} {figure(state.best_value)}")
    if state.status == "paused":
        parts.append(state.status_note)
    elif speed := rate(state.samples_per_second):
        parts.append(speed)
    return "  ".join(part for part in parts if part)


def _say_end(spec: RunSpec, state: RunState, console: Console) -> int:
    if console.as_json:
        console.document(info_of(spec, state).as_result())
        return exit_code(state.status)
    metric = spec.project.metric
    best = (
        ""
        if state.best_value is None
        else f", best {metric} {figure(state.best_value)} at step {count(state.best_step or 0)}"
    )
    console.say(f"run {spec.name}: {state.status}{best}, {state.seconds:.1f} s. {state.status_note}".rstrip())
    for name, baseline in state.baselines.items():
        if metric in baseline.metrics:
            console.say(f"  {name} baseline ({baseline.title}): {metric} {figure(baseline.metrics[metric])}")
    error = state.ended.error if state.ended else {}
    for word in ("where", "fix"):
        if error.get(word):
            console.notice(f"{word}: {error[word]}")
    if state.status == "interrupted":
        console.notice(f"epochal resume {spec.project_folder} {spec.number} goes on from the newest checkpoint")
    if state.status == "done":
        console.say(f"Next: epochal test {_short(spec.project_folder)} {spec.number}")
    return exit_code(state.status)


def _short(folder: Path) -> str:
    """The folder as a person here would write it."""
    here = Path.cwd()
    return str(folder.relative_to(here)) if folder.is_relative_to(here) else str(folder)
