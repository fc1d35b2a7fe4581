"""A large file written by someone else's code, which wants a path: complete or absent all the same."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from epochal.fsio import NotSaved, beside, sync_folder


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Replace a file atomically: fill the yielded one, which is not there yet; on leaving it is synced and renamed.

    A symbolic link at `path` is replaced, never written through. Raises NotSaved when the disk refuses; whatever is
    raised inside leaves what was there before.
    """
    temporary = beside(path)
    try:
        yield temporary
        descriptor = os.open(temporary, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise NotSaved(
            f"not saved: {error.strerror or error}",
            where=str(path),
            fix="make room on the disk or check the folder's permissions, then try again",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
