"""The looks at the test set: each is written down before its figures are shown, and counted for ever."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from epochal import fsio
from epochal.core.clock import Clock, SystemClock
from epochal.project.paths import ProjectPaths
from epochal.project.read import read_regular


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One opening of the test set."""

    at: str
    """ISO 8601 in UTC."""
    run: str
    """The run's name, NNNN-family."""
    fingerprint: str
    """Of the test rows that were looked at."""


def record_look(folder: Path, run: str, fingerprint: str, *, clock: Clock | None = None) -> int:
    """Write one look down durably and give how often this test set was looked at, this look included.

    Raises NotSaved; then nothing may be shown.
    """
    path = ProjectPaths(folder).looks
    at = (clock or SystemClock()).now().isoformat(timespec="seconds")
    with fsio.locked(path, mode=0o644):
        fsio.append_line(path, json.dumps({"at": at, "run": run, "fingerprint": fingerprint}, ensure_ascii=False))
        return count_looks(folder, fingerprint)


def count_looks(folder: Path, fingerprint: str) -> int:
    """How often the test set of this fingerprint was opened."""
    return sum(look.fingerprint == fingerprint for look in read_looks(folder))


def read_looks(folder: Path) -> tuple[Look, ...]:
    """All looks, oldest first. A line that a crash tore is no look: it was never shown. Raises OSError."""
    try:
        data = read_regular(ProjectPaths(folder).looks)
    except FileNotFoundError:
        return ()
    looks: list[Look] = []
    for line in data.split(b"\n"):
        look = _look(line)
        if look is not None:
            looks.append(look)
    return tuple(looks)


def _look(line: bytes) -> Look | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict):
        return None
    at, run, fingerprint = (record.get(key) for key in ("at", "run", "fingerprint"))
    if not (isinstance(at, str) and isinstance(run, str) and isinstance(fingerprint, str)):
        return None
    return Look(at=at, run=run, fingerprint=fingerprint)
