"""What a snapshot and a split say of themselves: `manifest.toml` in their folders.

A snapshot folder holds `manifest.toml` and `rows-*.parquet`: columns `_eid` (BIGINT, import order, rising), `_key`
(VARCHAR, the row's stable key) and the project's columns after the recipe, the target and ignored ones included.
A split folder holds `manifest.toml` and `parts.parquet`: `_eid` and `part` (TINYINT: 0 train, 1 validation, 2 test),
one row for each row of the snapshot, in its order.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import tomli_w

from epochal import fsio
from epochal.core.errors import SourceError


FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotColumn:
    """One column of a snapshot."""

    name: str
    kind: str
    """number, category, text, date, boolean, image or id."""
    type: str
    """DuckDB's type: VARCHAR, DOUBLE, BIGINT, BOOLEAN, TIMESTAMP …"""
    missing: int
    distinct: int
    """Exact number of distinct values that are not missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """An opened snapshot."""

    folder: Path
    id: str
    rows: int
    columns: tuple[SnapshotColumn, ...]
    files: tuple[str, ...]

    def column(self, name: str) -> SnapshotColumn:
        """A column by name. Raises KeyError."""
        return next((c for c in self.columns if c.name == name), None) or _no_column(name)


def _no_column(name: str) -> SnapshotColumn:
    raise KeyError(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitFile:
    """An opened split."""

    folder: Path
    id: str
    snapshot_id: str
    train: int
    validation: int
    test: int
    fingerprint: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The [split] table in force, recorded cuts included."""


def write_snapshot_manifest(folder: Path, snapshot: Snapshot) -> None:
    """Write `manifest.toml` into a folder being made. Raises NotSaved."""
    document = {
        "format": FORMAT,
        "id": snapshot.id,
        "rows": snapshot.rows,
        "files": list(snapshot.files),
        "column": [asdict(c) for c in snapshot.columns],
    }
    fsio.write_text(folder / "manifest.toml", tomli_w.dumps(document))


def write_split_manifest(folder: Path, split: SplitFile) -> None:
    """Write `manifest.toml` into a folder being made. Raises NotSaved."""
    document = {
        "format": FORMAT,
        "id": split.id,
        "snapshot": split.snapshot_id,
        "train": split.train,
        "validation": split.validation,
        "test": split.test,
        "fingerprint": split.fingerprint,
        "settings": dict(split.settings),
    }
    fsio.write_text(folder / "manifest.toml", tomli_w.dumps(document))


def open_snapshot(folder: Path) -> Snapshot:
    """Open a snapshot. Raises SourceError (code no-snapshot) when it is not there or not whole."""
    document = _read(folder)
    return Snapshot(
        folder=Path(folder),
        id=document["id"],
        rows=document["rows"],
        columns=tuple(SnapshotColumn(**c) for c in document["column"]),
        files=tuple(document["files"]),
    )


def open_split(folder: Path) -> SplitFile:
    """Open a split. Raises SourceError (code no-snapshot) when it is not there or not whole."""
    document = _read(folder)
    return SplitFile(
        folder=Path(folder),
        id=document["id"],
        snapshot_id=document["snapshot"],
        train=document["train"],
        validation=document["validation"],
        test=document["test"],
        fingerprint=document["fingerprint"],
        settings=document["settings"],
    )


def _read(folder: Path) -> dict[str, Any]:
    path = Path(folder) / "manifest.toml"
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SourceError(
            "the prepared data is not there", where=str(path), fix="it is made again when needed", code="no-snapshot"
        ) from error
    if document.get("format") != FORMAT:
        raise SourceError("the prepared data has another format", where=str(path), code="no-snapshot")
    return document
