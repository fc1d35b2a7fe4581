"""What a source holds, in one hash: cheap enough to ask each time, so a change is reported and never ignored."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from epochal.core.errors import SourceError
from epochal.core.settings import Source
from epochal.data.encoding import check_regular
from epochal.data.places import Place, resolve


WHOLE = 64 * 1024 * 1024
"""Bytes up to which a file is hashed wholly; of a larger one its size, its ends and blocks in between."""
_BLOCK = 1024 * 1024
_BLOCKS = 16
_MANY = 20_000


_known: dict[tuple[str, int, int, int, int], str] = {}
_SETTLED = 2_000_000_000
"""Nanoseconds after which a file's times tell whether it was written again; clocks of file systems are coarse."""


def of_file(path: Path) -> str:
    """The sha256 of a file, or `sampled-…` for one that is larger than `WHOLE`. Raises SourceError when unreadable."""
    status = check_regular(path)
    name = (str(path), status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    if name not in _known:
        made = _hashed(path, status.st_size)
        if time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) < _SETTLED:
            return made
        if len(_known) >= _MANY:
            _known.clear()
        _known[name] = made
    return _known[name]


def _hashed(path: Path, size: int) -> str:
    with path.open("rb") as file:
        if size <= WHOLE:
            return hashlib.file_digest(file, "sha256").hexdigest()
        digest = hashlib.sha256(str(size).encode())
        for i in range(_BLOCKS):
            file.seek((size - _BLOCK) * i // (_BLOCKS - 1))
            digest.update(file.read(_BLOCK))
        return f"sampled-{digest.hexdigest()}"


def of_files(paths: Sequence[Path]) -> str:
    """One file's hash, or one over the names and hashes of several. Raises SourceError."""
    if len(paths) == 1:
        return of_file(paths[0])
    lines = sorted(f"{of_file(p)}  {p.name}" for p in paths)
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def changed(sources: Sequence[Source], folder: Path) -> tuple[str, ...]:
    """The names of sources in files and folders that are not what they were when their sha256 was recorded, or not there any more."""
    found: list[str] = []
    for source in sources:
        try:
            place = resolve(source, folder)
            here = place.files or Path(place.name).is_absolute()
            same = not here or not source.sha256 or of_place(place) == source.sha256
        except (SourceError, OSError):
            same = False
        if not same:
            found.append(source.name)
    return tuple(found)


def of_place(place: Place) -> str:
    """A place's fingerprint. Raises SourceError.

    A bundled set is named by its library's version, a Hub data set by its name: what they hold is hashed when read.
    """
    if place.files:
        return of_files(place.files)
    if place.format == "sklearn":
        return f"sklearn-{metadata.version('scikit-learn')}-{place.name}"
    folder = Path(place.name)
    if folder.is_absolute():
        files = sorted(f for f in folder.rglob("*") if f.is_file() and ".cache" not in f.parts)
        return of_files(files) if files else "empty"
    return f"hub-{place.name}"
