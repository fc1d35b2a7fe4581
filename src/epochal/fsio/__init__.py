"""Every write in the program goes through here: a file is complete or absent, and said to be saved only when it is.

A failed fsync is final: the data may be gone from the page cache, so the same descriptor is never synced again; the
caller still holds the content and may write a new file.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from epochal.core.errors import EpochalError


class NotSaved(EpochalError):
    """The disk did not take it for certain. What is there is what was there before or the new one, whole."""

    code = "not-saved"


_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def lacks_room(error: NotSaved) -> bool:
    """Whether the disk is full, or what this person or process may write is used up: waiting may help."""
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in _NO_ROOM


def demand_room(folder: Path, num_bytes: int) -> None:
    """Raise NotSaved, as for a full disk, where fewer bytes than these are free in an existing folder."""
    free = shutil.disk_usage(folder).free
    if free < num_bytes:
        needed = f"{num_bytes / 1e6:.1f} MB are needed and {free / 1e6:.1f} MB free"
        raise _not_saved(folder, OSError(errno.ENOSPC, needed)) from OSError(errno.ENOSPC, needed)


def sync_folder(folder: Path) -> None:
    """Make the folder's entries durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def beside(path: Path) -> Path:
    """A new name for what becomes `path`, short enough for any file system: they limit names in bytes."""
    stem = os.fsencode(path.name)[:80].decode("utf-8", "ignore")
    return path.with_name(f".{stem}.{secrets.token_hex(6)}.tmp")


def clear_leftovers(path: Path) -> int:
    """Remove what killed writers of `path` left beside it, and count it. Only for who holds the lock on `path`."""
    pattern = re.compile(re.escape(beside(path).name[:-16]) + r"[0-9a-f]{12}\.tmp")
    removed = 0
    with contextlib.suppress(OSError), os.scandir(path.parent) as entries:
        for name in [e.name for e in entries if pattern.fullmatch(e.name)]:
            path.with_name(name).unlink()
            removed += 1
    return removed


def clear_folders(parent: Path) -> None:
    """Remove the folders that killed writers and removers left in `parent`. Only for who holds the lock on it."""
    pattern = re.compile(r"\..+\.[0-9a-f]{12}\.tmp")
    with contextlib.suppress(OSError), os.scandir(parent) as entries:
        for name in [e.name for e in entries if pattern.fullmatch(e.name) and e.is_dir(follow_symlinks=False)]:
            shutil.rmtree(parent / name, ignore_errors=True)


def write_bytes(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace a file atomically: a new file beside it, synced, renamed over it, the folder synced.

    A file that is there keeps its permissions; a new one gets `mode`. A symbolic link at `path` is replaced, never
    written through. Raises NotSaved when the disk refuses.
    """
    temporary = beside(path)
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        try:
            _write_all(descriptor, data)
            _keep_permissions(path, descriptor)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise _not_saved(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _keep_permissions(path: Path, descriptor: int) -> None:
    with contextlib.suppress(OSError):
        there = path.lstat()
        if stat.S_ISREG(there.st_mode):
            os.fchmod(descriptor, stat.S_IMODE(there.st_mode) & 0o777)


def write_text(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Replace a text file atomically, in UTF-8. Raises NotSaved."""
    write_bytes(path, text.encode("utf-8"), mode=mode)


def place_file(source: Path, path: Path, *, mode: int = 0o644) -> None:
    """Copy a file that another library wrote to `path`, complete or absent: beside it, synced, renamed over it.

    Raises NotSaved when the disk refuses.
    """
    temporary = beside(path)
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        try:
            with source.open("rb") as file:
                while chunk := file.read(1 << 20):
                    _write_all(descriptor, chunk)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise _not_saved(path, error) from error


def append_line(path: Path, line: str) -> None:
    """Append one line durably: one write on an appending descriptor, then fsync. Raises NotSaved.

    A torn last line that an earlier crash left is ended first, so that it can spoil no other.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            size = os.fstat(descriptor).st_size
            torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            _write_all(descriptor, (b"\n" if torn else b"") + line.encode("utf-8") + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if size == 0:
            sync_folder(path.parent)
    except OSError as error:
        raise _not_saved(path, error) from error


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Make a folder that is complete or absent: fill the yielded temporary one; on leaving it is synced and renamed.

    Raises NotSaved when the disk refuses or `path` is taken; whatever is raised inside leaves nothing behind.
    """
    temporary = beside(path)
    try:
        temporary.mkdir(mode=0o755, parents=True)
        yield temporary
        for root, _folders, files in os.walk(temporary):
            for name in files:
                descriptor = os.open(Path(root, name), os.O_RDONLY | os.O_NOFOLLOW)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
            sync_folder(Path(root))
        temporary.rename(path)
        sync_folder(path.parent)
    except OSError as error:
        raise _not_saved(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_file(path: Path) -> None:
    """Take a file away durably; one that is not there already is. Raises NotSaved."""
    try:
        path.unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        raise _not_saved(path, error) from error


def remove_folder(path: Path) -> None:
    """Take a folder away at once: renamed out of sight first, then deleted."""
    trash = path.with_name(f".trash{beside(path).name}")
    path.rename(trash)
    shutil.rmtree(trash, ignore_errors=True)


@contextlib.contextmanager
def locked(path: Path, *, mode: int = 0o600, patience_seconds: float | None = None) -> Iterator[None]:
    """Hold an exclusive lock on a file while inside; waits for others, for ever or for `patience_seconds`.

    The file is made when it is not there, and neither read nor changed. Raises NotSaved when it cannot be opened for
    writing, EpochalError (code busy) when others hold it for too long.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    except OSError as error:
        raise _not_saved(path, error) from error
    try:
        _wait_for_lock(descriptor, path, patience_seconds)
        yield
    finally:
        os.close(descriptor)


def _wait_for_lock(descriptor: int, path: Path, patience_seconds: float | None) -> None:
    if patience_seconds is None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return
    end = time.monotonic() + patience_seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                raise EpochalError(
                    "another process has been writing here for too long",
                    where=str(path),
                    fix="look for a hanging epochal process, then try again",
                    code="busy",
                ) from None
            time.sleep(0.01)
        else:
            return


def try_lock(path: Path) -> int | None:
    """Take an exclusive lock on a file for as long as the returned descriptor stays open; None when it is held."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _not_saved(path: Path, error: OSError) -> NotSaved:
    reason = error.strerror
    if isinstance(error, shutil.Error):  # one copy of many: its first reason stands for all
        found = re.search(r"\[Errno \d+\] ([^:']+)", str(error))
        reason = found[1] if found else None
    return NotSaved(
        f"not saved: {reason or error}",
        where=str(path),
        fix="make room on the disk or check the folder's permissions, then try again",
    )
