"""The training and validation rows of a snapshot read block by block: however many there are, memory holds one block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from epochal.core.errors import RunError
from epochal.core.settings import Project
from epochal.core.split import PARTS, Part
from epochal.project.paths import ProjectPaths
from epochal.project.runfile import RunSpec
from epochal.snapshot.manifest import Snapshot, SnapshotColumn, SplitFile, open_snapshot
from epochal.train.rows import Rows, check_belongs, of_other_length, rows_from, unreadable


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where rows are read from, and what of them."""

    snapshot: Snapshot
    split: SplitFile
    inputs: tuple[str, ...]
    target: str
    classes: tuple[str, ...]
    task: str
    beside: str = ""

    @property
    def columns(self) -> tuple[SnapshotColumn, ...]:
        """Of the inputs."""
        return tuple(self.snapshot.column(name) for name in self.inputs)

    @property
    def rows(self) -> int:
        """Training and validation rows, those without a target included."""
        return self.split.train + self.split.validation

    @property
    def read_columns(self) -> list[str]:
        """The columns that are read, by name."""
        further = (self.beside,) if self.beside else ()
        return ["_eid", "_key", *dict.fromkeys((*self.inputs, self.target, *further))]


def source_of(
    project: Project,
    snapshot_folder: Path,
    split_folder: Path,
    *,
    inputs: Sequence[str],
    classes: Sequence[str],
    beside: str = "",
) -> Source:
    """What `training_data` would read. Raises SourceError or NoTarget as it does."""
    snapshot = open_snapshot(snapshot_folder)
    target = project.columns.target
    split = check_belongs(snapshot, split_folder, (target, *inputs, *((beside,) if beside else ())))
    return Source(
        snapshot=snapshot,
        split=split,
        inputs=tuple(inputs),
        target=target,
        classes=tuple(classes),
        task=project.goal.task,
        beside=beside,
    )


def source_of_run(spec: RunSpec) -> Source:
    """What a run reads. Raises SourceError or NoTarget when it is not there."""
    paths = ProjectPaths(spec.project_folder)
    return source_of(
        spec.project,
        paths.snapshots / spec.snapshot_id,
        paths.splits / spec.split_id,
        inputs=spec.inputs,
        classes=spec.classes,
    )


def read_blocks(source: Source, rows_decoded: int, rows_at_once: int = 0) -> Iterator[dict[Part, Rows]]:
    """The training and validation rows among each at most `rows_at_once` rows of the snapshot, in order.

    `rows_decoded` are held as they are read; so many are handed out at once where nothing else is said. Rows of other
    parts are decoded with their block and dropped. Raises SourceError or NoTarget as `read_part`, RunError
    (too-little-memory) where a block does not fit.
    """
    parts = _Parts(source.split.folder / "parts.parquet")
    read = 0
    try:
        for table in _tables(source.snapshot, source.read_columns, rows_decoded, rows_at_once or rows_decoded):
            numbers = parts.next(table.num_rows)
            if len(numbers) < table.num_rows:
                raise of_other_length(source.snapshot, read + len(numbers), source.snapshot.rows)
            read += table.num_rows
            block = {
                part: rows_from(
                    table.filter(pa.array(numbers == PARTS.index(part))),
                    inputs=source.inputs,
                    target=source.target,
                    classes=source.classes,
                    beside=source.beside,
                )
                for part in PARTS[:2]
            }
            del table  # not to be held while the next one is read
            yield block
        more = len(parts.next(1))
    except pa.ArrowMemoryError as error:
        raise RunError(
            f"there is not enough memory to read a block of the data: {error}",
            where=str(source.snapshot.folder),
            fix="end what else takes memory, raise the limit this process runs under, or leave out columns",
            code="too-little-memory",
        ) from error
    except (OSError, pa.ArrowException) as error:
        raise unreadable(source.snapshot, error) from error
    if more or not read:
        raise of_other_length(source.snapshot, source.split.train + source.split.validation + source.split.test, read)


def joined(pieces: Sequence[Rows]) -> Rows:
    """Rows of several blocks as one. There must be a block."""
    beside = [p.beside for p in pieces if p.beside is not None]
    return Rows(
        inputs=pa.concat_tables([p.inputs for p in pieces]).combine_chunks(),
        target=np.concatenate([p.target for p in pieces]),
        eids=np.concatenate([p.eids for p in pieces]),
        keys=_chunked([p.keys for p in pieces]),
        left_out=sum(p.left_out for p in pieces),
        beside=_chunked(beside) if beside else None,
    )


def _chunked(pieces: Sequence[pa.ChunkedArray]) -> pa.ChunkedArray:
    chunks = [chunk for piece in pieces for chunk in piece.chunks]
    return pa.chunked_array([pa.concat_arrays(chunks)] if chunks else [], type=pieces[0].type)


def _tables(snapshot: Snapshot, names: list[str], rows_decoded: int, rows_at_once: int) -> Iterator[pa.Table]:
    """The named columns of all files, at most `rows_at_once` rows at a time, on this thread alone."""
    for name in snapshot.files:
        with pq.ParquetFile(snapshot.folder / name, pre_buffer=False) as file:
            for group in range(file.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                pieces = -(-rows // rows_decoded)
                for i in range(pieces):
                    yield from _sliced(
                        _decoded(file, group, names, i * rows // pieces, (i + 1) * rows // pieces), rows_at_once
                    )


def _sliced(table: pa.Table, rows_at_once: int) -> Iterator[pa.Table]:
    for start in range(0, table.num_rows, rows_at_once):
        yield table.slice(start, rows_at_once)


def _decoded(file: pq.ParquetFile, group: int, names: list[str], start: int, end: int) -> pa.Table:
    """Rows start … end of a row group.

    Column by column: a decoder holds a dictionary and a page, and those of all columns at once are several times what the
    rows take. Of a group that is too large each column is decoded again for each piece of it.
    """
    rows = file.metadata.row_group(group).num_rows
    wanted = None
    if end - start < rows:
        mask = np.zeros(rows, dtype=bool)
        mask[start:end] = True
        wanted = pa.array(mask)
    columns = []
    for name in names:
        column = file.read_row_group(group, columns=[name], use_threads=False).column(name)
        # A slice would hold the whole column.
        columns.append(column if wanted is None else column.filter(wanted))
    return pa.table(columns, names=names)


class _Parts:
    """The part of each row, read in step with the rows: a byte a row is much where there are very many."""

    def __init__(self, path: Path) -> None:
        self._pieces = self._read(path)
        self._held = np.empty(0, dtype=np.int8)

    def next(self, count: int) -> np.ndarray:
        """The parts of the next rows; fewer than `count` at the end."""
        while len(self._held) < count:
            piece = next(self._pieces, None)
            if piece is None:
                break
            self._held = np.concatenate([self._held, piece])
        taken, self._held = self._held[:count], self._held[count:]
        return taken

    def _read(self, path: Path) -> Iterator[np.ndarray]:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            for batch in file.iter_batches(columns=["part"], use_threads=False):
                yield batch.column(0).to_numpy()
