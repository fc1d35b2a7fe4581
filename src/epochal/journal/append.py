"""Writing a journal: one write a record, durable before anything that is acknowledged, else when the keeper says."""

from __future__ import annotations

import threading
from pathlib import Path

from epochal.core.clock import Clock, SystemClock
from epochal.core.errors import RunError
from epochal.core.events import CheckpointSaved, CommandTaken, Event, HostStarted, Resumed, RunEnded
from epochal.fsio import NotSaved
from epochal.fsio.streams import Appender
from epochal.journal.record import MAX_LINE_BYTES, decode, encode, journal_file, last_index


ROTATE_BYTES = 32 << 20
"""A file that has grown past this is closed for ever and the next one begun."""

DURABLE = (HostStarted, CheckpointSaved, Resumed, CommandTaken, RunEnded)
"""What others act on: durable before `append` returns. The rest is when the keeper next calls `sync`, each second."""

_BLOCK_BYTES = 1 << 16


class JournalWriter:
    """The one writer of a run's journal; the holder of the run's lock. Safe to use from several threads.

    An end is the last that one writer takes, so that nothing done or asked at that very moment comes after it.

    On opening, an unfinished last record that a crash left is taken away and its size noted in the next record.
    """

    def __init__(self, run_folder: Path, *, clock: Clock | None = None, rotate_bytes: int = ROTATE_BYTES) -> None:
        """Open or begin the journal in `run_folder`. Raises NotSaved."""
        self._folder = run_folder
        self._clock = clock or SystemClock()
        self._rotate_bytes = rotate_bytes
        self._lock = threading.Lock()
        self._index = last_index(run_folder)
        self._file = Appender(journal_file(run_folder, self._index))
        self._torn = _repair(self._file)
        self._next = _next_number(run_folder, self._index)
        self._opened = self._clock.monotonic()
        self._syncing = threading.Lock()
        self._closed = self._ended = False

    def append(self, event: Event) -> int:
        """Write one event and return its number.

        Events of the kinds in DURABLE are on the disk when this returns, with all before them.
        Raises NotSaved when the disk refuses: the journal is then as it was, unless its sync failed (code sync-failed),
        after which it takes nothing more. Raises RunError after `close` (code journal-closed), and after an end (code
        run-ended): who reads the last record alone must find it there.
        """
        with self._lock:
            if self._closed:
                raise RunError("the journal is closed", where=str(self._file.path), code="journal-closed")
            if self._ended:
                raise RunError("the run has ended", where=str(self._file.path), code="run-ended")
            now = self._clock.monotonic()
            at = self._clock.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
            n = self._next
            line = encode(event, n=n, milliseconds=int((now - self._opened) * 1000), at=at, torn=self._torn)
            if len(line) > MAX_LINE_BYTES:
                raise NotSaved(f"a record of {len(line)} bytes is too long", where=str(self._file.path))
            self._rotate()
            self._file.append(line)
            self._next, self._torn = n + 1, 0
            if isinstance(event, DURABLE):
                self._file.sync()
            self._ended = isinstance(event, RunEnded)
            return n

    def sync(self) -> None:
        """Make everything appended before this call durable, holding up no append meanwhile. Raises NotSaved."""
        with self._syncing:
            if not self._closed:
                self._file.sync()

    def close(self) -> None:
        """Sync and close; later appends are refused. May be called twice. Raises NotSaved."""
        with self._lock, self._syncing:
            if not self._closed:
                self._closed = True
                try:
                    self._file.sync()
                finally:
                    self._file.close()

    def _rotate(self) -> None:
        if self._file.size < self._rotate_bytes:
            return
        with self._syncing:
            self._file.sync()
            following = Appender(journal_file(self._folder, self._index + 1))
            self._file.close()
            self._file = following
            self._index += 1


def _repair(file: Appender) -> int:
    """End the file at its last whole line; returns the bytes taken away. A whole record without newline gets one."""
    size = file.size
    end = size
    tail = b""
    while end > 0 and b"\n" not in tail:
        start = max(0, end - _BLOCK_BYTES)
        tail = file.read(start, end - start) + tail
        end = start
    keep = end + tail.rfind(b"\n") + 1
    unfinished = size - keep
    if not unfinished:
        return 0
    if unfinished <= MAX_LINE_BYTES and decode(file.read(keep, unfinished)) is not None:
        file.append(b"\n")
        file.sync()
        return 0
    file.cut(keep)
    return unfinished


def _next_number(run_folder: Path, index: int) -> int:
    """One more than the number of the last good record in all files."""
    for number in range(index, -1, -1):
        lines = journal_file(run_folder, number).read_bytes().split(b"\n")
        for line in reversed(lines):
            record = decode(line)
            if record is not None:
                return record.n + 1
    return 0
