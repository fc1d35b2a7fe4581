"""Watching a run from any process, its own host's or another's, while it goes on and afterwards alike."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from epochal.core.events import BaselineDone, StepsDone
from epochal.journal.reduce import RunState, reduce_all
from epochal.journal.tail import READ_BYTES, Tail, read_journal
from epochal.runs.state import judge_now
from epochal.show import grouped, safe


LOG_BYTES = 1 << 16
EASED_SECONDS = 10.0
"""Of training: in a longer run little comes at once."""
EASED_BYTES = 1024
"""Of the journal in one look, some three records …"""
EASED_LOOKS = 16
"""… or this share of all that waits, so that nobody is kept waiting for long: at eight looks a second, two seconds."""


class Follower:
    """Reads a run's journal when asked, never by itself: the watcher's pace is the pace."""

    def __init__(self, run_folder: Path) -> None:
        """Follow the run in this folder; it need not have begun."""
        self.folder = Path(run_folder)
        self._tail = Tail(self.folder)
        self._read = RunState()
        self._share = 0
        self.more = False
        """The last look stopped at its limit: there is more to read at once."""

    def poll(self, limit_bytes: int = READ_BYTES) -> RunState:
        """Read what is new (about `limit_bytes` at most) and judge how the run stands."""
        batch = self._tail.read(limit_bytes)
        if batch.restarted:
            self._read = RunState()
            batch = self._tail.read(limit_bytes)
        if batch.records or batch.damaged:
            self._read = reduce_all(self._read, batch.records, damaged=batch.damaged)
        self.more = batch.more
        if self.more:  # a host is judged by all that its run said
            return self._read
        status, note, _sign = judge_now(self.folder, self._read.status, self._read.status_note)
        if status == "interrupted":
            note = f"{note}; {_where_it_goes_on(self._read)}"
        return replace(self._read, status=status, status_note=note)

    def ease(self) -> RunState:
        """`poll`, but what a run of a second said all at once is taken in over some looks: its curve is seen to grow."""
        if self._read.seconds > EASED_SECONDS:
            return self.poll()
        self._share = max(self._share, EASED_BYTES, self._tail.waiting() // EASED_LOOKS)
        state = self.poll(self._share)
        if not self.more:
            self._share = 0
        return state

    def read_all(self) -> RunState:
        """Read to the present end of the journal, however long that takes."""
        state = self.poll()
        while self.more:
            state = self.poll()
        return state

    @property
    def bytes_read(self) -> int:
        """Bytes of journal read so far."""
        return self._tail.bytes_read


def _where_it_goes_on(state: RunState) -> str:
    """What resuming an interrupted run would do, as far as its journal tells."""
    if state.goes_on_from is None:
        return "without a checkpoint: a resume begins anew"
    at, back = grouped(state.step), grouped(state.goes_on_from.step)
    return f"at step {at}: a resume goes on from step {back}"


def baselines_of(run_folder: Path) -> Mapping[str, BaselineDone]:
    """What a run said is to be beaten; its journal is read to its first step at most."""
    found: dict[str, BaselineDone] = {}
    for record in read_journal(run_folder):
        if isinstance(record.event, StepsDone):
            break
        if isinstance(record.event, BaselineDone):
            found[record.event.name] = record.event
    return found


def log_lines(run_folder: Path, limit: int = 200) -> list[str]:
    """The last lines of the host's log, safe to show."""
    try:
        descriptor = os.open(run_folder / "host.log", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return []
    try:
        size = os.fstat(descriptor).st_size
        text = os.pread(descriptor, LOG_BYTES, max(0, size - LOG_BYTES)).decode("utf-8", "replace")
    except OSError:
        return []
    finally:
        os.close(descriptor)
    return [safe(line, 500) for line in text.splitlines()[-limit:]]
