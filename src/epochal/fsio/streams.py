"""Files that grow or change many times a second: appending that stays open, replacing without sync, careful reading.

What is appended is durable only after `Appender.sync`; what is replaced here never is, so it may hold only what can be
lost, such as a sign of life.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from epochal.fsio import NotSaved, beside, sync_folder


SYNC_FAILED = "sync-failed"


class Appender:
    """One open file that only grows at its end. One writer at a time; the caller holds a lock of its own."""

    def __init__(self, path: Path, *, mode: int = 0o644) -> None:
        """Open or make `path`. A symbolic link is refused. Raises NotSaved."""
        self.path = path
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
            self._descriptor = os.open(path, flags, mode)
            sync_folder(path.parent)
        except OSError as error:
            raise _refused(path, error) from error
        self._closed = False
        self._unsynced = False
        self._failed: NotSaved | None = None
        """A sync that failed is final: the system tells of lost pages once, and the next sync would succeed over them."""

    @property
    def size(self) -> int:
        """Bytes in the file now."""
        return os.fstat(self._descriptor).st_size

    def read(self, start: int, length: int) -> bytes:
        """Up to `length` bytes from `start`."""
        return os.pread(self._descriptor, length, start)

    def append(self, data: bytes | memoryview) -> None:
        """Write at the end, in one piece where the system allows it.

        When the disk refuses midway, the file is cut back to where it was, as far as that is possible.
        Raises NotSaved, for ever once a sync has failed.
        """
        if self._failed is not None:
            raise self._failed
        before = self.size
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, before)
            raise _refused(self.path, error) from error
        self._unsynced = True

    def cut(self, size: int) -> None:
        """Take away everything after the first `size` bytes, durably. Raises NotSaved."""
        try:
            os.ftruncate(self._descriptor, size)
            os.fsync(self._descriptor)
        except OSError as error:
            raise _refused(self.path, error) from error

    def sync(self) -> None:
        """Make what was appended before this call durable; does nothing when it already is.

        May run while another thread appends. Raises NotSaved (code sync-failed), then and for ever after.
        """
        if self._failed is not None:
            raise self._failed
        if not self._unsynced:
            return
        self._unsynced = False
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            self._failed = NotSaved(
                f"not saved: the disk lost what was written ({error.strerror or error})",
                where=str(self.path),
                fix="check the disk; what was saved before stays as it is",
                code=SYNC_FAILED,
            )
            raise self._failed from error

    def close(self) -> None:
        """Close the file without syncing it. May be called twice."""
        if not self._closed:
            self._closed = True
            os.close(self._descriptor)


def read_small(path: Path, limit_bytes: int) -> bytes | None:
    """The first bytes of a small regular file; None when there is none. Links, pipes and devices are none, at once."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return os.read(descriptor, limit_bytes) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
    except OSError:
        return None
    finally:
        os.close(descriptor)


def replace_volatile(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace a small file so that readers see it old or new, never half; after a power cut it may be either or absent.

    Raises NotSaved.
    """
    temporary = beside(path)
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        try:
            os.write(descriptor, data)
        finally:
            os.close(descriptor)
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise _refused(path, error) from error


def overwrite_volatile(path: Path, data: bytes) -> None:
    """Write over a small file that is there, in one piece and without needing room; a reader may see it half for an instant.

    Raises NotSaved.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.pwrite(descriptor, data.ljust(os.fstat(descriptor).st_size), 0)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _refused(path, error) from error


def _refused(path: Path, error: OSError) -> NotSaved:
    return NotSaved(
        f"not saved: {error.strerror or error}",
        where=str(path),
        fix="make room on the disk or check the folder's permissions, then try again",
    )
