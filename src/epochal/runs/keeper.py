"""What one host needs for one run: the lock, the journal, signs of life, and the requests it is asked."""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from epochal import fsio
from epochal.core.clock import Clock, SystemClock
from epochal.core.errors import EpochalError, RunError
from epochal.core.events import (
    CommandTaken,
    EpochDone,
    Event,
    HostStarted,
    PhaseStarted,
    Resumed,
    RunEnded,
    RunStatus,
    StepsDone,
    TrainingStarted,
)
from epochal.fsio import NotSaved, lacks_room, try_lock
from epochal.fsio.room import NO_ROOM, RETRY_SECONDS, WAIT_SECONDS
from epochal.fsio.streams import SYNC_FAILED
from epochal.journal.append import JournalWriter
from epochal.journal.reduce import RunState, reduce_all
from epochal.journal.tail import read_journal
from epochal.runs import memory
from epochal.runs.control import Command, Inbox
from epochal.runs.identity import my_identity
from epochal.runs.signs import BEAT_SECONDS, Role, Sign, read_sign, write_sign


LOOK_SECONDS = 0.25
"""How often requests are looked for."""

SYNC_SECONDS = 1.0
"""What a power cut may take of the curve."""

_RESERVE = ".reserve"
_RESERVE_BYTES = 1 << 16
"""Kept on the disk while there is room, so that a run that is asked to stop on a full disk can say how it ended."""
_LOCK_SECONDS = 1.0
"""A host's patience for the lock: another starter may just be letting go."""


class Keeper:
    """What a host holds for one run: its lock, its journal, its signs of life and its inbox.

    A thread of its own gives the signs and takes the requests, so that both go on while the training computes.
    """

    def __init__(
        self, run_folder: Path, role: Role, *, clock: Clock | None = None, token: str = "", lock: int | None = None
    ) -> None:
        """Take the run. What was asked of an earlier host is put aside here, unless the starter with `token` did so.

        `lock` is the run's lock where the starter holds it already: it is the keeper's from here on.
        Raises RunError: run-busy when another host has it, start-given-up when the starter waits no more; NotSaved when
        the disk refuses.
        """
        self.folder = run_folder
        self._clock = clock or SystemClock()
        self._lock_descriptor = lock_run(run_folder, _LOCK_SECONDS) if lock is None else lock
        try:
            if token and role == "host":
                _demand_wanted(run_folder, token)
            self.journal = JournalWriter(run_folder, clock=self._clock)
        except BaseException:
            os.close(self._lock_descriptor)
            raise
        self._inbox = Inbox(run_folder)
        if not token:  # what was asked since a starter put the old aside is meant for this host
            self._inbox.clear()
        self._taken: dict[str, CommandTaken] = {}
        """Requests handed to the training and not acknowledged yet, by their ids …"""
        self._noted: dict[str, int] = {}
        """… and the records that note them."""
        self._asked: list[str] = []
        self._stop_asked = self._begun = False
        fsio.clear_folders(run_folder / "checkpoints")  # one that was being replaced comes back before it is looked for
        self._place = fsio.Place(run_folder)
        self._moved = False
        """Whether another folder lies there by now, or none: nothing is written to it any more."""
        self._state_lock = threading.Lock()
        self.stop_now = threading.Event()
        """Set when the run was asked to end without a checkpoint."""
        self._over = threading.Event()
        self._released = False
        self._releasing = threading.Lock()
        self._said_at = self._clock.monotonic()
        self._sign = Sign(
            identity=my_identity(), role=role, token=token or secrets.token_hex(8), memory=memory.counter_of_mine()
        )
        self._beat()
        with contextlib.suppress(NotSaved):
            fsio.write_bytes(run_folder / _RESERVE, bytes(_RESERVE_BYTES))
        self._thread = threading.Thread(target=self._attend, name="epochal-keeper", daemon=True)
        self._thread.start()

    def record(self, event: Event, *, wait: bool = True) -> int:
        """Write an event, by default waiting up to an hour for room when the disk is full.

        Raises NotSaved; RunError (code run-ended) after an end; and RunError (code run-moved) once the run's folder was
        moved: then only its end can be written, which goes where the folder went.
        """
        if self._moved and not isinstance(event, RunEnded):
            raise RunError(
                "the run's folder was moved or deleted while it trained",
                where=str(self.folder),
                fix="resume it where it is now: it goes on from its last checkpoint",
                code="run-moved",
            )
        deadline = self._clock.monotonic() + WAIT_SECONDS
        while True:
            try:
                n = self.journal.append(event)
            except NotSaved as error:
                if error.error_code == SYNC_FAILED or not lacks_room(error):
                    raise
                if self._stop_asked and self._give_reserve():
                    continue
                if not wait or self._clock.monotonic() > deadline or self.stop_now.is_set():
                    raise
                self.wait(NO_ROOM)
                self.stop_now.wait(RETRY_SECONDS)
                continue
            self._note(event)
            return n

    def end(self, ended: RunEnded) -> RunEnded:
        """Write how it ended. Raises NotSaved.

        Who failed or was stopped at once cannot tell what was done until then: that is taken from the journal, as far as
        it can be read. Returns the end as it stands there.
        """
        if not ended.steps:
            ended = self._with_what_was_done(ended)
        self.record(ended)
        return ended

    def _with_what_was_done(self, ended: RunEnded) -> RunEnded:
        if self._moved:  # what lies there now may be another run's
            return ended
        try:
            done = reduce_all(RunState(), read_journal(self.folder))
        except (EpochalError, OSError):  # why it ended must be told without its figures too
            return ended
        return replace(
            ended,
            best_value=done.best_value,
            best_step=done.best_step,
            steps=done.step,
            epochs=done.epoch,
            seconds=done.seconds,
            samples_per_second=done.samples_per_second,
        )

    def wait(self, why: str) -> None:
        """Let the signs of life say what the run waits for, until it next says anything."""
        with self._state_lock:
            self._said_at = self._clock.monotonic()
            same = self._sign.waits == why
            self._sign = replace(self._sign, waits=why)
        if not same:
            self._beat()

    def _give_reserve(self) -> bool:
        """Make room for some last records; False when that was done before."""
        try:
            (self.folder / _RESERVE).unlink()
        except OSError:
            return False
        return True

    def ask(self, verb: str, *, by: str) -> int:
        """Note a request in the journal and hand it to the training; returns the record's number.

        A second request to stop means at once. Raises NotSaved when it cannot be noted, RunError (code run-ended) when
        the run has just ended; it is handed over all the same.
        """
        event = self._meant(verb, by, f"here-{secrets.token_hex(4)}")
        try:
            return self.record(event, wait=False)
        finally:
            self._hand_over(event)

    def _meant(self, verb: str, by: str, command_id: str) -> CommandTaken:
        with self._state_lock:
            if verb == "stop" and self._stop_asked:
                verb = "stop-now"
            self._stop_asked = self._stop_asked or verb.startswith("stop")
        return CommandTaken(id=command_id, verb=verb, by=by)

    def _hand_over(self, event: CommandTaken) -> None:
        now = event.verb == "stop-now"
        if now:
            self.stop_now.set()
        with self._state_lock:
            self._asked += ["stop", "stop-now"] if now else [event.verb]

    def _take(self, command: Command) -> None:
        """Hand a request over once, then note and acknowledge it, on a full disk as soon as there is room.

        Nothing waits here, so that a run that waits for room can still be asked to stop. Raises NotSaved.
        """
        event = self._taken.get(command.id)
        if event is None:
            event = self._taken[command.id] = self._meant(command.verb, command.by, command.id)
            try:
                self._noted[command.id] = self.record(event, wait=False)
            finally:
                self._hand_over(event)
        elif command.id not in self._noted:
            self._noted[command.id] = self.record(event, wait=False)
        self._inbox.acknowledge(command, self._noted[command.id])
        del self._taken[command.id], self._noted[command.id]

    @property
    def has_begun(self) -> bool:
        """Whether there is something to keep of what this host did: a step it told of, or a model it writes."""
        return self._begun

    @property
    def stop_asked(self) -> bool:
        """Whether the run was asked to stop, either way."""
        return self._stop_asked

    def poll(self) -> Sequence[str]:
        """The verbs asked since the last call: a stop at once as "stop" and "stop-now". Given to the training."""
        with self._state_lock:
            asked, self._asked = self._asked, []
        return asked

    def release(self) -> None:
        """Let the run go: nothing more can be written after this. May be called twice, also at once."""
        with self._releasing:
            if self._released:
                return
            self._released = True
            self._over.set()
            self._thread.join()
            self._beat()
            self._give_reserve()
            try:
                self.journal.close()
            finally:
                os.close(self._lock_descriptor)

    def _note(self, event: Event) -> None:
        """Keep for the signs of life what the event tells."""
        with self._state_lock:
            now = self._clock.monotonic()
            waited = bool(self._sign.waits)
            finishing = isinstance(event, PhaseStarted) and event.name == "finishing"
            self._begun = self._begun or finishing or isinstance(event, StepsDone)
            sign = _with(self._sign, event)
            if not isinstance(event, CommandTaken):
                sign = replace(sign, waits="")
            if isinstance(event, StepsDone):
                pause = now - self._said_at
                sign = replace(
                    sign, usual_seconds=0.8 * sign.usual_seconds + 0.2 * pause if sign.usual_seconds else pause
                )
            if not isinstance(event, CommandTaken):
                self._said_at = now
            self._sign = sign
        if waited and not sign.waits:
            self._beat()

    def _attend(self) -> None:
        beaten = synced = time.monotonic()
        while not self._over.wait(LOOK_SECONDS):
            for command in () if self._moved else self._inbox.waiting():
                with contextlib.suppress(EpochalError, OSError):
                    self._take(command)
            now = time.monotonic()
            if now - synced >= SYNC_SECONDS:
                synced = now
                with contextlib.suppress(NotSaved):  # a failed sync is final: the next record meets it again
                    self.journal.sync()
            if now - beaten >= BEAT_SECONDS:
                beaten = now
                self._moved = self._moved or self._place.lost
                self._beat()

    def _beat(self) -> None:
        if self._moved:
            return
        with self._state_lock:
            quiet = self._clock.monotonic() - self._said_at
            killed = memory.kills(self._sign.memory) or 0
            self._sign = replace(self._sign, beat=self._sign.beat + 1, quiet_seconds=quiet, memory_kills=killed)
            sign = self._sign
        with contextlib.suppress(NotSaved):
            write_sign(self.folder, sign)


def _with(sign: Sign, event: Event) -> Sign:
    """The sign with what an event adds to it."""
    match event:
        case HostStarted():
            return replace(sign, said="starting")
        case PhaseStarted():
            return replace(sign, phase=event.name)
        case Resumed():
            return replace(sign, value=event.best_value, value_step=event.best_step)
        case TrainingStarted():
            return replace(sign, said=_running(sign))
        case StepsDone():
            return replace(sign, said=_running(sign), step=event.step, epoch=event.epoch, seconds=event.seconds)
        case EpochDone():
            value, value_step = (event.value, event.step) if event.best else (sign.value, sign.value_step)
            return replace(
                sign, said=_running(sign), step=event.step, epoch=event.epoch, value=value, value_step=value_step
            )
        case CommandTaken() if event.verb.startswith("stop"):
            return replace(sign, said="stopping")
        case RunEnded():
            return replace(sign, said=event.state)
        case _:
            return sign


def _running(sign: Sign) -> RunStatus:
    return "running" if sign.said == "starting" else sign.said


def _demand_wanted(run_folder: Path, token: str) -> None:
    """That the start which `token` names still stands: who waited too long for it has said that the run did not start."""
    sign = read_sign(run_folder)
    if sign is None or sign.token != token:
        raise RunError(
            "it came up after its starter had given it up",
            where=str(run_folder),
            fix="resume the run",
            code="start-given-up",
        )


def lock_run(run_folder: Path, seconds: float) -> int:
    """A run's lock, waited for so long; held as long as the descriptor stays open. Raises RunError (run-busy), NotSaved."""
    deadline = time.monotonic() + seconds
    while True:
        descriptor = try_lock(run_folder / "run.lock")
        if descriptor is not None:
            return descriptor
        if time.monotonic() > deadline:
            raise RunError(
                "another host has this run", where=str(run_folder), fix="watch it, or stop it first", code="run-busy"
            )
        time.sleep(0.05)
