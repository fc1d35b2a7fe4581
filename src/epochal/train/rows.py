"""The rows of a run, read from its snapshot and split: the only data training sees, and never the sealed test part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from epochal.core.errors import RunError, SourceError
from epochal.core.settings import Project
from epochal.core.split import PARTS, Part
from epochal.project.paths import ProjectPaths
from epochal.project.runfile import RunSpec
from epochal.snapshot.manifest import Snapshot, SnapshotColumn, SplitFile, open_snapshot, open_split


class NoTarget(RunError):
    """There is nothing to learn, or nothing to learn it from."""

    code = "nothing-to-learn"
    exit_code = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Some rows of a snapshot, with what is to be predicted for each."""

    inputs: pa.Table
    """The columns learnt from, in order."""
    target: np.ndarray
    """Class indices (int64) or numbers (float64), one for each row."""
    eids: np.ndarray
    """Import order numbers, int64, rising."""
    keys: pa.ChunkedArray
    """Stable keys."""
    left_out: int = 0
    """Rows of the part whose target is missing: nothing can be learnt from or judged by them."""
    beside: pa.ChunkedArray | None = None
    """Values of one more column that was asked for, such as the group: never learnt from."""
    sampled_from: int = 0
    """How many rows these were drawn from, evenly spread, where they are a sample."""

    def __len__(self) -> int:
        return len(self.target)

    @property
    def total(self) -> int:
        """How many rows these are, or stand for."""
        return self.sampled_from or len(self)

    def take(self, index: np.ndarray) -> Rows:
        """The rows at these positions."""
        return Rows(
            inputs=self.inputs.take(index),
            target=self.target[index],
            eids=self.eids[index],
            keys=self.keys.take(index),
            beside=self.beside.take(index) if self.beside is not None else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingData:
    """What one training learns from and is watched by."""

    task: str
    classes: tuple[str, ...]
    """Class names by index; empty for regression."""
    columns: tuple[SnapshotColumn, ...]
    """Of the inputs."""
    train: Rows
    validation: Rows
    """May be empty: then nothing stops early and the last weights are taken."""

    @property
    def positive(self) -> int:
        """Of two classes the rarer in the training part (the second, when equal): what f1_positive looks for."""
        counts = np.bincount(self.train.target.astype(np.int64), minlength=2)
        return 0 if counts[0] < counts[1] else 1


def read_training(spec: RunSpec) -> TrainingData:
    """The training and validation rows of a run. Test rows are never read into memory beyond their file's block.

    Raises SourceError when snapshot or split are not there, NoTarget when there is nothing to learn.
    """
    paths = ProjectPaths(spec.project_folder)
    return training_data(
        spec.project,
        paths.snapshots / spec.snapshot_id,
        paths.splits / spec.split_id,
        inputs=spec.inputs,
        classes=spec.classes,
    )


def training_data(
    project: Project,
    snapshot_folder: Path,
    split_folder: Path,
    *,
    inputs: Sequence[str],
    classes: Sequence[str],
    beside: str = "",
) -> TrainingData:
    """As `read_training`, for settings that belong to no run yet; the rows carry the column `beside`, if one is named.

    Without, they carry the column that says which are fed first, if one does.
    """
    snapshot = open_snapshot(snapshot_folder)
    beside = beside or (project.train.feed_by if project.train.feed == "gradual" else "")
    target = project.columns.target
    train, validation = (
        read_part(snapshot, split_folder, part, inputs=inputs, target=target, classes=classes, beside=beside)
        for part in PARTS[:2]
    )
    data = TrainingData(
        task=project.goal.task,
        classes=tuple(classes),
        columns=tuple(snapshot.column(name) for name in inputs),
        train=train,
        validation=validation,
    )
    check_learnable(data)
    return data


def check_learnable(data: TrainingData) -> None:
    """Refuse data from which nothing can be learnt. Raises NoTarget."""
    if not data.columns:
        raise NoTarget("there is no column to learn from", where="[columns]", fix="take some out of `ignore`")
    if len(data.train) < 2:
        raise NoTarget(
            f"the training part has {len(data.train)} rows with a target",
            where="[split]",
            fix="add rows, or make validation and test smaller",
        )
    present = np.unique(data.train.target)
    if len(present) > 1:
        return
    if data.task == "classification":
        raise NoTarget(
            f"every training row is of the class {data.classes[int(present[0])]!r}",
            where="[columns] target",
            fix='choose another target, or [split] kind = "stratified" where other classes are rare',
        )
    raise NoTarget(
        f"the target is {present[0]:g} in every training row",
        where="[columns] target",
        fix="choose another target",
    )


def read_part(
    snapshot: Snapshot,
    split_folder: Path,
    part: Part,
    *,
    inputs: Sequence[str],
    target: str,
    classes: Sequence[str],
    beside: str = "",
) -> Rows:
    """The rows of one part. For classification give the class names; without them the target is a number.

    Raises SourceError when the files are not there or do not belong together, NoTarget when the target is unusable.
    """
    further = (beside,) if beside else ()
    check_belongs(snapshot, split_folder, (target, *inputs, *further))
    number = PARTS.index(part)
    try:
        parts = pq.read_table(split_folder / "parts.parquet", columns=["part"])["part"].to_numpy()
        table = _rows_where(snapshot, parts == number, ["_eid", "_key", *dict.fromkeys((*inputs, target, *further))])
    except (OSError, pa.ArrowException) as error:
        raise unreadable(snapshot, error) from error
    return rows_from(table, inputs=inputs, target=target, classes=classes, beside=beside)


def check_belongs(snapshot: Snapshot, split_folder: Path, names: Sequence[str]) -> SplitFile:
    """The split, which must be of this snapshot, as the named columns must be in it.

    Raises SourceError or NoTarget where they are not.
    """
    split = open_split(split_folder)
    if split.snapshot_id != snapshot.id:
        raise SourceError(
            "the split belongs to other data", where=str(split_folder), fix="train again", code="no-snapshot"
        )
    there = {column.name for column in snapshot.columns}
    for name in names:
        if name not in there:
            raise NoTarget(f"there is no column {name!r} in the prepared data", where="[columns]", fix="train again")
    return split


def unreadable(snapshot: Snapshot, error: Exception) -> SourceError:
    """The error for a snapshot, or its split, whose files cannot be read."""
    return SourceError(
        f"the prepared data cannot be read: {error}",
        where=str(snapshot.folder),
        fix="delete .epochal/ and try again",
        code="no-snapshot",
    )


def rows_from(table: pa.Table, *, inputs: Sequence[str], target: str, classes: Sequence[str], beside: str = "") -> Rows:
    """The rows of a table as a snapshot holds it, without those whose target is missing. Raises as `read_part`."""
    values = table.column(target)
    known = pc.is_valid(values)
    if pa.types.is_floating(values.type):
        known = pc.and_(known, pc.is_finite(pc.fill_null(values, 0.0)))
    left_out = table.num_rows - (pc.sum(known).as_py() or 0)
    if left_out:
        table = table.filter(known)
        values = table.column(target)
    return Rows(
        inputs=table.select(list(inputs)),
        target=class_indices(values, classes, target) if classes else _numbers(values, target),
        eids=table.column("_eid").to_numpy(),
        keys=table.column("_key"),
        left_out=left_out,
        beside=table.column(beside) if beside else None,
    )


def _rows_where(snapshot: Snapshot, wanted: np.ndarray, names: list[str]) -> pa.Table:
    """The wanted rows of all the snapshot's files, block by block: memory holds them and one block."""
    pieces: list[pa.Table] = []
    start = 0
    for name in snapshot.files:
        with pq.ParquetFile(snapshot.folder / name) as file:
            for group in range(file.num_row_groups):
                block = file.read_row_group(group, columns=names).select(names)
                pieces.append(block.filter(pa.array(wanted[start : start + block.num_rows])))
                start += block.num_rows
    if start != len(wanted) or not pieces:
        raise of_other_length(snapshot, len(wanted), start)
    return pa.concat_tables(pieces)


def of_other_length(snapshot: Snapshot, split_rows: int, snapshot_rows: int) -> SourceError:
    """The error for a split that does not know as many rows as there are."""
    return SourceError(
        f"the split knows {split_rows} rows, the prepared data has {snapshot_rows}",
        where=str(snapshot.folder),
        fix="delete .epochal/ and try again",
        code="no-snapshot",
    )


def class_indices(values: pa.ChunkedArray, classes: Sequence[str], target: str) -> np.ndarray:
    """Each value's class, int64. Numbers are compared as numbers ("1" is 1.0), all else as text.

    Raises NoTarget for a value that is no class.
    """
    if _is_number(values.type):
        known = pa.array([_as_number(c) for c in classes], pa.float64())
        values = pc.cast(values, pa.float64(), safe=False)
    else:
        known = pa.array(list(classes), pa.string())
        values = pc.cast(values, pa.string())
    index = pc.index_in(values, value_set=known)
    if index.null_count:
        strange = pc.filter(values, pc.is_null(index))[0].as_py()
        raise NoTarget(f"the target holds {strange!r}, which is no class of this run", where=target, fix="train again")
    return np.asarray(index.to_numpy(), dtype=np.int64)


def _numbers(values: pa.ChunkedArray, target: str) -> np.ndarray:
    if pa.types.is_boolean(values.type):
        values = pc.cast(values, pa.int8())
    try:
        return np.asarray(pc.cast(values, pa.float64(), safe=False).to_numpy(), dtype=np.float64)
    except pa.ArrowException:
        raise NoTarget(
            f"the target {target!r} holds text, and regression needs numbers",
            where="[columns] target",
            fix=f'add a step set_kind of {target!r} to number, or set task = "classification"',
        ) from None


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _as_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
