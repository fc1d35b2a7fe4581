"""Following a run from the command line: a progress line, ctrl-c asks for a stop, the end becomes an exit code."""

from __future__ import annotations

import contextlib
import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence

from epochal.cli.console import Console, typed
from epochal.core.errors import RunError
from epochal.core.events import ENDED
from epochal.journal.reduce import RunState
from epochal.project.runfile import RunSpec
from epochal.runs.control import Asked, ask_to_stop, said_of_asking
from epochal.runs.ending import heed_signals, wait_if_ending
from epochal.runs.follow import Follower
from epochal.runs.state import NOT_STARTED, info_of
from epochal.workbench.views.train import passes, unit_of
from epochal.workbench.views.words import count, duration, figure, loss_figure, rate


_LOOK_EVERY_SECONDS = 0.2

CTRL_C = 130

_TOLD_OTHERWISE = frozenset({"data", "waited"})
"""Notices of a run that are said before it is made, or as it goes on after a pause."""

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
        console.say(f"run {spec.name} started (process {pid}). epochal watch {typed(spec.project_folder)} shows it")
    return 0


def launch(spec: RunSpec, console: Console, start: Callable[[], int], *, followed: bool) -> int:
    """Start a run, which `start` does, and follow it until it ends, then say how; or say that it was started.

    From its start on, ctrl-c asks it to stop with a checkpoint, a second one at once; a third one ends its process. The
    exit code is then that of a ctrl-c, so that no script goes on as if the run were done.
    """
    with _presses() as presses:
        try:
            pid = start()
        except RunError as error:
            if not presses or error.error_code != "start-failed":
                raise
            console.notice(f"cancelled: run {spec.number} was not started")  # the ctrl-c reached its host as well
            return CTRL_C
        if followed:
            return _follow(spec, console, presses)
        for _ in presses:
            console.notice(said_of_asking(_ask(spec), f"`epochal stop {typed(spec.project_folder)}`"))
        return CTRL_C if presses else say_started(spec, pid, console)


def _follow(spec: RunSpec, console: Console, presses: Sequence[int]) -> int:
    heeded = 0
    teller = Teller(spec, console)

    def heed(state: RunState) -> None:
        nonlocal heeded
        teller.tell(state)
        while heeded < len(presses):
            heeded += 1
            console.notice(said_of_asking(_ask(spec), "ctrl-c"))

    state = wait_for_end(spec, console, heed)
    teller.tell(state)
    wait_if_ending()  # a run that stopped because its process was told to end is no run that ended well
    code = _say_end(spec, state, console)
    return CTRL_C if heeded else code


class Teller:
    """Says on stderr what a person must hear of a run, each once: its warnings, that it waits, and that it goes on."""

    def __init__(self, spec: RunSpec, console: Console) -> None:
        """Tell of the run's present host: of earlier ones it was told then."""
        self._name, self._console = f"run {spec.number}", console
        self._heard = 0
        self._waits = False

    def tell(self, state: RunState) -> None:
        """Say what is new in this state."""
        new = state.noticed - max(self._heard, state.noticed_before)
        self._heard = state.noticed
        for notice in state.notices[-new:] if new > 0 else ():
            if notice.severity != "hint" and notice.code not in _TOLD_OTHERWISE:
                self._console.notice(f"{self._name}: {notice.text}")
        if state.status == "paused" and not self._waits:
            self._waits = True
            self._console.notice(f"{self._name} is paused: {state.status_note}")
        elif self._waits and state.status in {"starting", "running", "stopping"}:
            self._waits = False
            self._console.notice(f"{self._name} goes on")


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


def wait_for_end(spec: RunSpec, console: Console, look: Callable[[RunState], object] = lambda _state: None) -> RunState:
    """Show progress until the run has ended; its state then. `look` is given how it stands in between."""
    follower = Follower(spec.folder)
    while True:
        state = follower.read_all()
        if state.status in ENDED:
            return state
        look(state)
        console.progress(progress_words(spec, state), state.progress if state.step else None)
        time.sleep(_LOOK_EVERY_SECONDS)


def watch_lines(spec: RunSpec, console: Console) -> int:
    """For `watch` without a terminal: a line for every evaluation, until the run ends."""
    follower, teller = Follower(spec.folder), Teller(spec, console)
    said = 0
    if follower.read_all().status == "ready":
        console.notice(f"run {spec.number} is {NOT_STARTED}")
    while True:
        state = follower.read_all()
        teller.tell(state)
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
    """One line that could be read aloud, what matters most first: a narrow terminal cuts off its end."""
    parts = [f"run {spec.number}"]
    if state.status == "paused":
        parts.append(f"paused: {state.status_note}")
    elif state.status != "running":
        parts.append(state.status)
    if state.training is None or not state.step:
        parts.append(f"{state.phase} {state.phase_detail}".strip())
    else:
        if state.seconds_left is not None and state.status == "running":
            parts.append(f"{duration(state.seconds_left)} left")
        at = min(float(state.training.epochs), state.epoch)
        parts.append(f"{unit_of(spec.family)} {passes(at)} of {count(state.training.epochs)}")
        loss = state.steps.last("loss")
        if not math.isnan(loss):
            parts.append(f"loss {loss_figure(loss)}")
    if state.best_value is not None:
        parts.append(f"best {spec.project.metric} {figure(state.best_value)}")
    if state.status != "paused" and (speed := rate(state.samples_per_second)):
        parts.append(speed)
    return "  ".join([part for part in parts if part] + [spec.family])


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
    again = f"epochal resume {typed(spec.project_folder)} {spec.number}"
    if state.status in {"stopped", "interrupted"}:
        console.say(f"Next: {again}" + ("" if state.goes_on_from else ", which begins it anew"))
    if state.status == "done":
        console.say(f"Next: epochal test {typed(spec.project_folder)} {spec.number}")
    return exit_code(state.status)
