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
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from epochal.core.errors import EpochalError


class NotSaved(EpochalError):
    """The disk did not take it for certain. What is there is what was there before or the new one, whole."""

    code = "not-saved"


_OLD, _TRASH = ".old", ".trash"
"""Before the name of a folder that is being replaced, and of one that is being removed."""
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
        raise not_saved(folder, OSError(errno.ENOSPC, needed)) from OSError(errno.ENOSPC, needed)


def sync_folder(folder: Path) -> None:
    """Make the folder's entries durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def beside(path: Path) -> Path:
    """A new name for what becomes `path`, short enough for any file system: they limit names in bytes."""
    return path.with_name(f".{_stem(path.name)}.{secrets.token_hex(6)}.tmp")


def _stem(name: str) -> str:
    return os.fsencode(name)[:80].decode("utf-8", "ignore")


def clear_leftovers(path: Path) -> int:
    """Remove what killed writers of `path` left beside it, and count it. Only for who holds the lock on `path`."""
    pattern = re.compile(re.escape(beside(path).name[:-16]) + r"[0-9a-f]{12}\.tmp")
    removed = 0
    with contextlib.suppress(OSError), os.scandir(path.parent) as entries:
        for name in [e.name for e in entries if pattern.fullmatch(e.name)]:
            path.with_name(name).unlink()
            removed += 1
    return removed


def clear_folders(parent: Path, name: str = "") -> None:
    """Remove the folders that killed writers and removers left in `parent`, with a `name` only those of that one.

    A folder that a writer was killed in the middle of replacing comes back to its place. Only for who holds the lock.
    """
    of = re.escape(_stem(name)) if name else ".+"
    pattern = re.compile(rf"({_OLD}|{_TRASH})?\.{of}\.[0-9a-f]{{12}}\.tmp")
    with contextlib.suppress(OSError), os.scandir(parent) as entries:
        for left in [parent / e.name for e in entries if pattern.fullmatch(e.name) and e.is_dir(follow_symlinks=False)]:
            place = place_of(left)
            if place is not None and not os.path.lexists(place):
                left.rename(place)
            else:
                shutil.rmtree(left, ignore_errors=True)


def place_of(left: Path) -> Path | None:
    """Where a folder stood that a writer was replacing, if `left` is such a one; see `new_folder`."""
    found = re.fullmatch(rf"{_OLD}\.(.+)\.[0-9a-f]{{12}}\.tmp", left.name)
    return left.with_name(found[1]) if found else None


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
        raise not_saved(path, error) from error
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
        raise not_saved(path, error) from error


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
        raise not_saved(path, error) from error


@contextlib.contextmanager
def new_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Make a folder that is complete or absent: fill the yielded temporary one; on leaving it is synced and renamed.

    With `replace` it takes the place of what is there, which goes only once the new one stands: by two renames, so that
    a reader may meet a moment without either. Who is killed in that moment leaves the old one under a name from which
    `clear_folders` brings it back, where the folder's own has no more than 80 bytes. Raises NotSaved when the disk
    refuses or `path` is taken: what was there stays, or, should the disk refuse to sync the last rename, stands beside it
    until the next clearing. Whatever is raised inside leaves nothing behind.
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
        old = _moved_aside(path) if replace else None
        try:
            temporary.rename(path)
        except BaseException:
            if old is not None:
                with contextlib.suppress(OSError):  # what cannot go back now does so at the next clearing
                    old.rename(path)
            raise
        sync_folder(path.parent)
        if old is not None:
            shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise not_saved(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


class Place:
    """A folder that others may move or delete, and put another in its place."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._identity: tuple[int, int] | None = None
        with contextlib.suppress(OSError):
            self._identity = _identity(folder)

    @property
    def lost(self) -> bool:
        """Whether it is not there any more. Who cannot be asked, as over a network, may well be."""
        try:
            found = _identity(self.folder)
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError:
            return False
        return self._identity is not None and found != self._identity

    def demand(self) -> None:
        """Refuse to write where something would be made that belongs to nobody, or to another. Raises NotSaved."""
        if self.lost:
            raise NotSaved(
                "not saved: the run's folder was moved or deleted", where=str(self.folder), fix="put it back"
            )


def _identity(folder: Path) -> tuple[int, int]:
    found = folder.stat()
    return found.st_dev, found.st_ino


def make_folder(path: Path) -> None:
    """Make a folder and those above it, unless it is there. Raises NotSaved."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise not_saved(path, error) from error


@contextlib.contextmanager
def scratch_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """A new folder below `parent` for as long as one is inside. Raises NotSaved where none can be made."""
    make_folder(parent)
    try:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    except OSError as error:
        raise not_saved(parent, error) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _moved_aside(path: Path) -> Path | None:
    """Make room at `path`; what stood there, under its new name, None when nothing did."""
    old = path.with_name(f"{_OLD}{beside(path).name}")
    try:
        return path.rename(old)
    except FileNotFoundError:
        return None


def remove_file(path: Path) -> None:
    """Take a file away durably; one that is not there already is. Raises NotSaved."""
    try:
        path.unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        raise not_saved(path, error) from error


def remove_folder(path: Path, *, unless: str = "") -> None:
    """Take a folder away at once: renamed out of sight first, then deleted. One that is not there already is.

    One that holds a file named `unless` stays: whoever writes that file into it meanwhile either finds the folder gone,
    or keeps it. Raises NotSaved when the disk refuses: it is then as it was.
    """
    trash = path.with_name(f"{_TRASH}{beside(path).name}")
    try:
        path.rename(trash)
        if unless and (trash / unless).exists():
            trash.rename(path)
            return
    except FileNotFoundError:
        return
    except OSError as error:
        raise not_saved(path, error, "deleted") from error
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
        raise not_saved(path, error) from error
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
    """Take an exclusive lock on a file for as long as the returned descriptor stays open; None when it is held.

    Raises NotSaved when the file can neither be opened nor made.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise not_saved(path, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


@contextlib.contextmanager
def closing_lock(descriptor: int) -> Iterator[None]:
    """Let a lock that `try_lock` took go on leaving."""
    try:
        yield
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def not_saved(path: Path, error: OSError, done: str = "saved") -> NotSaved:
    """What to raise from what the disk said when `path` was to be written."""
    reason = error.strerror
    if isinstance(error, shutil.Error):  # one copy of many: its first reason stands for all
        found = re.search(r"\[Errno \d+\] ([^:']+)", str(error))
        reason = found[1] if found else None
    return NotSaved(
        f"not {done}: {reason or error}",
        where=str(path),
        fix="make room on the disk or check the folder's permissions, then try again",
    )
