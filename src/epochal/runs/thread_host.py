"""The training thread: drives a generator of events and writes them to the journal; and runs inside this process.

It knows neither torch nor a screen. Where the thread lives, in a host process or inside a workbench, changes nothing
else: a `Keeper` holds the run for it either way.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from pathlib import Path

from epochal.core.clock import SystemClock
from epochal.core.errors import EpochalError, unexpected
from epochal.core.events import Event, HostStarted, PhaseStarted, RunEnded, Waiting
from epochal.project.going import Way
from epochal.project.runfile import RunSpec
from epochal.runs.identity import my_identity
from epochal.runs.keeper import Keeper
from epochal.runs.survival import THREAD


Poll = Callable[[], Sequence[str]]
"""Called by the training between windows: what was asked since the last call, as verbs."""

Training = Callable[[Poll], Iterable[Event]]
"""Begins a training: gives its events one by one."""

LEAVE_SECONDS = 10.0
"""How long a workbench that quits waits for its own runs to write their checkpoint."""


class TrainingThread(threading.Thread):
    """Drives one training and writes what it says into the journal, its end included, whatever happens.

    A daemon: it never holds up the process it is in. `ended` is how it ended, None while it goes on.
    """

    def __init__(self, training: Training, keeper: Keeper) -> None:
        super().__init__(name="epochal-training", daemon=True)
        self._training = training
        self._keeper = keeper
        self.ended: RunEnded | None = None

    def run(self) -> None:
        """Run the training to its end."""
        try:
            ended = self._drive()
        except EpochalError as error:
            ended = _failed(error.what, error.as_dict())
        except Exception as error:  # noqa: BLE001 - an edge: a thread has no caller to raise to
            traceback.print_exc()
            found = unexpected(error, "see host.log in the run's folder")
            ended = _failed(found["what"], found)
        with contextlib.suppress(EpochalError):
            ended = self._keeper.end(ended)
        self.ended = ended

    def _drive(self) -> RunEnded:
        """Write all events but the last; returns the last."""
        events = iter(self._training(self._keeper.poll))
        try:
            for event in events:
                if isinstance(event, RunEnded):
                    return event
                if isinstance(event, Waiting):
                    self._keeper.wait(event.why)
                else:
                    self._keeper.record(event)
                if self._keeper.stop_now.is_set():
                    return RunEnded(state="stopped", reason="stopped at once, without a checkpoint")
        finally:
            if isinstance(events, Generator):
                events.close()
        return _failed("the training ended without saying how", {"code": "no-end"})


def _failed(reason: str, error: dict[str, str]) -> RunEnded:
    return RunEnded(state="failed", reason=reason, error=error)


# ── runs inside this process ──

_here: dict[TrainingThread, Keeper] = {}


def start_here(
    spec: RunSpec, training: Training | None = None, way: Way = "exactly", *, token: str = "", lock: int | None = None
) -> None:
    """Start a run in a thread of this process: the thread host. It dies with the process, after a checkpoint.

    `token` is that of a starter that has put aside what was asked of an earlier host, `lock` the run's lock if it holds
    that; without them both is done here. Raises RunError (code run-busy) when another host has it, NotSaved when the disk
    refuses.
    """
    keeper = Keeper(spec.folder, "thread", token=token, lock=lock)
    try:
        keeper.record(host_started("thread", THREAD.words))
        thread = TrainingThread(training or fit_training(spec, way), keeper)
        thread.start()
    except BaseException as error:  # else this process would seem to have the run for as long as it lives
        try:
            with contextlib.suppress(EpochalError):
                keeper.end(_failed(f"it could not be started: {error!r}", {"code": "start-failed"}))
        finally:
            keeper.release()
        raise
    if not _here:
        atexit.register(leave)
    _here[thread] = keeper
    threading.Thread(target=_release_after, args=(thread, keeper), name="epochal-release", daemon=True).start()


def leave(seconds: float = LEAVE_SECONDS, *, by: str = "the workbench, quitting") -> list[Path]:
    """Ask all runs of this process to stop with a checkpoint and wait for them; returns those that did not in time."""
    here = list(_here.items())  # one that just ended may still be let go
    for thread, keeper in here:
        if thread.is_alive() and not keeper.stop_asked:
            with contextlib.suppress(EpochalError):
                keeper.ask("stop", by=by)
    deadline = time.monotonic() + seconds
    for thread, keeper in here:
        thread.join(max(0.0, deadline - time.monotonic()))
        if not thread.is_alive():
            keeper.release()
    return [keeper.folder for thread, keeper in here if thread.is_alive()]


def _release_after(thread: TrainingThread, keeper: Keeper) -> None:
    thread.join()
    keeper.release()
    del _here[thread]


def host_started(host: str, survives: str) -> HostStarted:
    """The event that says that this process took a run."""
    identity = my_identity()
    return HostStarted(
        host=host,
        pid=identity.pid,
        machine=identity.machine_name,
        device=f"{os.cpu_count() or 1} CPU cores",
        survives=survives,
    )


def fit_training(spec: RunSpec, way: Way = "exactly") -> Training:
    """The training that a run's settings describe, going on in the `way` asked.

    The heavy libraries are imported when it begins, in its thread.
    """

    def begin(poll: Poll) -> Iterator[Event]:
        yield PhaseStarted(name="loading", detail="loading the training libraries")
        from epochal.train.fit import fit

        yield from fit(spec, poll, SystemClock(), way=way)

    return begin
