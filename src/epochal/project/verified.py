"""Folders in which runs are verified: in use while somebody holds the lock in them, left behind when nobody does."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from epochal import fsio
from epochal.project.paths import ProjectPaths


_PREFIX = "verify-"
_LOCK = ".lock"


@contextlib.contextmanager
def verifying_in(paths: ProjectPaths) -> Iterator[Path]:
    """A folder of the cache for one verification, gone afterwards; those that killed ones left go first.

    Raises NotSaved when the disk refuses.
    """
    with fsio.locked(paths.locks / "verify.lock"):
        for left in left_behind(paths):
            shutil.rmtree(left, ignore_errors=True)
        place, held = _new_place(paths.cache)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
        if held is not None:
            os.close(held)


def _new_place(cache: Path) -> tuple[Path, int | None]:
    """A new folder and the lock held in it; none is left where the disk refuses. Raises NotSaved."""
    try:
        place = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=cache))
    except OSError as error:
        raise fsio.not_saved(cache, error) from error
    try:
        return place, fsio.try_lock(place / _LOCK)
    except fsio.NotSaved:
        shutil.rmtree(place, ignore_errors=True)
        raise


def left_behind(paths: ProjectPaths) -> list[Path]:
    """Folders of verifications that were killed. Writes nothing."""
    return [folder for folder in sorted(paths.cache.glob(f"{_PREFIX}*")) if folder.is_dir() and not _held(folder)]


def _held(folder: Path) -> bool:
    """Whether a process verifies in it."""
    try:
        lock = os.open(folder / _LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(lock)
