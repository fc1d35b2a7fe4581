"""Writing snapshots and splits: Parquet by DuckDB, in folders that are complete or absent."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epochal import fsio
from epochal.core.errors import SourceError
from epochal.snapshot.manifest import Snapshot, SplitFile, write_snapshot_manifest, write_split_manifest


if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb

    from epochal.snapshot.manifest import SnapshotColumn

ROWS = "rows-0000.parquet"
PARTS = "parts.parquet"
_LEDGER = "ledger.json"
_KEPT = 12
"""Snapshots that stay; older ones are made again when a run needs them."""


def write_snapshot(
    con: duckdb.DuckDBPyConnection,
    folder: Path,
    rows: str,
    columns: Sequence[SnapshotColumn],
    extra: Mapping[str, Any],
) -> Snapshot:
    """Write a snapshot folder, named by its id.

    Args:
        con: The connection the rows are read on.
        folder: Where it goes; its name is the id.
        rows: A table with `_eid`, `_key` and the columns, rows in the order of `_eid`.
        columns: What the manifest says of them.
        extra: JSON data kept beside it: what became of the rows on the way (see `read_extra`).

    Raises NotSaved when the disk refuses.
    """
    fsio.make_folder(folder.parent)
    with fsio.new_folder(folder) as temporary:
        count = _copy(con, f"FROM {rows}", temporary / ROWS)
        snapshot = Snapshot(folder=folder, id=folder.name, rows=count, columns=tuple(columns), files=(ROWS,))
        fsio.write_text(temporary / _LEDGER, json.dumps(extra))
        write_snapshot_manifest(temporary, snapshot)
    prune(folder.parent, _KEPT)
    return snapshot


def write_split(con: duckdb.DuckDBPyConnection, parts: str, split: SplitFile) -> SplitFile:
    """Write a split folder from a table of `_eid` and `part`. Raises NotSaved when the disk refuses."""
    fsio.make_folder(split.folder.parent)
    with fsio.new_folder(split.folder) as temporary:
        _copy(con, f"FROM {parts}", temporary / PARTS)
        write_split_manifest(temporary, split)
    return split


def read_extra(folder: Path) -> dict[str, Any]:
    """What was kept beside a snapshot. Raises SourceError (code no-snapshot) when it is not there."""
    path = folder / _LEDGER
    try:
        extra: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SourceError(
            "the prepared data is not whole",
            where=str(path),
            fix="delete .epochal; it is made again",
            code="no-snapshot",
        ) from error
    return extra


def prune(folder: Path, keep: int) -> None:
    """Take away the folders used longest ago, all but `keep`."""
    there = sorted((f for f in folder.iterdir() if not f.name.startswith(".")), key=lambda f: f.stat().st_mtime)
    for old in there[:-keep]:
        fsio.remove_folder(old)


def touch(folder: Path) -> None:
    """Note that a folder was used, so that it is not taken away next."""
    os.utime(folder)


def _copy(con: duckdb.DuckDBPyConnection, select: str, path: Path) -> int:
    target = str(path).replace("'", "''")
    row = con.execute(f"COPY ({select}) TO '{target}' (FORMAT parquet, ROW_GROUP_SIZE 65536)").fetchone()
    return int(row[0]) if row else 0
