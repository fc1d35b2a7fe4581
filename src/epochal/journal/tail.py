"""Reading a journal while it is being written: whole records only, damage skipped and counted, never waited for."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from epochal.core.errors import RunError
from epochal.core.events import Event
from epochal.journal.record import MAX_LINE_BYTES, Record, decode, journal_file, last_index


READ_BYTES = MAX_LINE_BYTES + 1
"""Of one look at the file; more than any record."""
_HEAD_BYTES = 64
"""Of a line; its kind stands there."""
_RETRIES = 3
_LAST_BLOCK_BYTES = 1 << 14


@dataclass(frozen=True, slots=True)
class Batch:
    """What one look at a journal gave."""

    records: tuple[Record, ...]
    damaged: int = 0
    """Lines that were no record: they are skipped."""
    more: bool = False
    """There was more to read than the limit allowed: ask again soon."""
    restarted: bool = False
    """The journal is another one than before (it shrank): what was reduced so far is void."""


class Tail:
    """A reader's place in a journal. Opens the file anew at each look, as file systems over a network need."""

    def __init__(self, run_folder: Path, events: Collection[type[Event]] = ()) -> None:
        """Of all events, or of these kinds alone: what is none of them is not decoded, which is most of the time."""
        self._folder = run_folder
        self._marks = tuple(f'"k":"{event.kind}"'.encode() for event in events)
        self._index = 0
        self._offset = 0
        self.bytes_read = 0
        """Bytes read in all."""

    def read(self, limit_bytes: int = READ_BYTES) -> Batch:
        """The whole records since the last look, about `limit_bytes` at most; none when there is no journal (yet)."""
        records: list[Record] = []
        damaged = 0
        start = self.bytes_read
        while self.bytes_read - start < limit_bytes:
            data, size = _read_from(self._path, self._offset, READ_BYTES)
            if size < self._offset:
                self._index = self._offset = 0
                return Batch((), restarted=True)
            room = limit_bytes - (self.bytes_read - start)
            end = data.rfind(b"\n", 0, room) + 1 or data.find(b"\n") + 1
            if end:
                lines = data[: end - 1].split(b"\n")
                if self._marks:
                    lines = [line for line in lines if any(mark in line[:_HEAD_BYTES] for mark in self._marks)]
                found = [record for record in map(decode, lines) if record is not None]
                records += found
                damaged += len(lines) - len(found)
            elif len(data) == READ_BYTES:
                end = len(data)  # longer than any record: its last piece will count as one damaged line
            self._offset += end
            self.bytes_read += end
            if not end and not self._next_file(size):
                return Batch(tuple(records), damaged)
        return Batch(tuple(records), damaged, more=True)

    def waiting(self) -> int:
        """Bytes that are there to be read."""
        found = -self._offset
        for index in range(self._index, last_index(self._folder) + 1):
            found += _read_from(journal_file(self._folder, index), 0, 0)[1]
        return max(0, found)

    @property
    def _path(self) -> Path:
        return journal_file(self._folder, self._index)

    def _next_file(self, size: int) -> bool:
        """Whether there is more to read after all: in the next file, or here when it grew beyond `size` meanwhile.

        A writer begins the next file only when it is done with this one, so the order of the two looks matters.
        """
        if not journal_file(self._folder, self._index + 1).exists():
            return False
        if _read_from(self._path, 0, 0)[1] == size:
            self._index += 1
            self._offset = 0
        return True


def read_journal(run_folder: Path, events: Collection[type[Event]] = ()) -> Iterator[Record]:
    """Every good record of a journal from its beginning, in order; with `events` those of these kinds alone."""
    tail = Tail(run_folder, events)
    while True:
        batch = tail.read()
        yield from batch.records
        if not batch.more:
            return


def last_record(run_folder: Path) -> Record | None:
    """The last good record, found from the end: cheap for any length of journal."""
    for index in range(last_index(run_folder), -1, -1):
        path = journal_file(run_folder, index)
        _nothing, end = _read_from(path, 0, 0)
        tail = b""
        while end > 0:
            start = max(0, end - max(_LAST_BLOCK_BYTES, len(tail)))
            tail = _read_from(path, start, end - start)[0] + tail
            end = start
            for line in reversed(tail.split(b"\n")[1 if start else 0 :]):
                record = decode(line)
                if record is not None:
                    return record
            if len(tail) > 4 * MAX_LINE_BYTES:
                break
    return None


def _read_from(path: Path, offset: int, length: int) -> tuple[bytes, int]:
    """Bytes from `offset`, and the file's size; nothing and 0 for a file that is not there.

    Raises RunError (code journal-unreadable) for what is no file of ours to read: a link, a pipe, one without leave.
    """
    for attempt in range(_RETRIES):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return b"", 0
        except OSError as error:
            if error.errno != errno.ESTALE or attempt == _RETRIES - 1:
                raise _unreadable(path, error.strerror or str(error)) from error
            continue
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise _unreadable(path, "it is no regular file")
            return (os.pread(descriptor, length, offset) if length else b""), found.st_size
        except OSError as error:
            raise _unreadable(path, error.strerror or str(error)) from error
        finally:
            os.close(descriptor)
    return b"", 0


def _unreadable(path: Path, why: str) -> RunError:
    return RunError(
        f"the journal cannot be read: {why}",
        where=str(path),
        fix="see `epochal doctor` with the project's folder",
        code="journal-unreadable",
    )
