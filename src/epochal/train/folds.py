"""Dividing rows for the choice of a family, by the same key as the split: what may not help in a test may not help here.

Rows that the split keeps on one side (of one group, with one key) are never on both sides of a fold, and where the split
is one in time, what is judged comes after what is trained on.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from epochal.core.settings import Project
from epochal.show import grouped
from epochal.snapshot.manifest import Snapshot
from epochal.train import seeds
from epochal.train.rows import Rows, TrainingData, check_learnable


FEW_ROWS = 2000
"""Under so many training and validation rows, families are judged by cross-validation."""
FOLDS = 5
_MANY_ROWS = 50_000
"""More training rows than this are thinned out for the choice, and it says so."""
_LATER_SHARE = 0.2
"""Of the training rows, judged when a split in time has no validation part."""


def dealt_by(project: Project, snapshot: Snapshot) -> str:
    """The column whose values say which rows belong together or come later; empty where the rows' keys alone do."""
    columns = project.columns
    wanted = {"group": columns.group, "time": columns.time, "column": columns.group}.get(project.split.kind, "")
    return wanted if wanted in {c.name for c in snapshot.columns} else ""


def divide(data: TrainingData, kind: str, seed: int, most: int) -> tuple[list[TrainingData], str]:
    """The divisions families are judged on, at most so many, and in words how.

    `kind` is that of the split. The rows must carry the column that `dealt_by` names.
    """
    num_rows = len(data.train) + len(data.validation)
    if len(data.validation) and (num_rows >= FEW_ROWS or kind in {"time", "column"}):
        return _held_out(data)
    if kind == "time":
        return _later(data)
    rows = _joined(data)
    units = units_of(rows, kind)
    num_folds = min(FOLDS, int(units.max()) + 1)
    fold_of = deal(units, _classes(rows, data.task), num_folds, seed)
    divided = []
    for fold in range(min(most, num_folds)):
        here = fold_of == fold
        part = _parted(data, rows, here)
        if len(part.validation) and len(np.unique(part.train.target)) > 1:
            divided.append(part)
    if not divided:
        return _not_judged(data)
    over = f"{grouped(num_rows)} {'training and validation' if len(data.validation) else 'training'} rows"
    if kind == "group":
        over += ", whole groups at a time"
    if len(divided) == num_folds:
        return divided, f"{num_folds}-fold cross-validation over {over}"
    return divided, f"judged on {len(divided)} of {num_folds} folds of {over}"


def parts_of(data: TrainingData, kind: str, seed: int, count: int, units_each: int) -> np.ndarray | None:
    """Numbers from 0 that deal the validation rows into `count` parts alike, fewer where they are few; None for none."""
    units = units_of(data.validation, kind)
    count = min(count, (int(units.max(initial=-1)) + 1) // units_each)
    return deal(units, _classes(data.validation, data.task), count, seed) if count > 2 else None


def units_of(rows: Rows, kind: str) -> np.ndarray:
    """A number from 0 for each row, the same for rows that the split keeps together."""
    units = _codes(rows.keys)
    if rows.beside is not None and kind != "time":
        groups = _codes(rows.beside)
        alone = groups < 0
        # As the split has it: a row without a group goes by its key.
        groups[alone] = len(rows) + units[alone]
        units = groups
    return np.unique(units, return_inverse=True)[1].reshape(-1).astype(np.int64)


def deal(units: np.ndarray, classes: np.ndarray, count: int, seed: int) -> np.ndarray:
    """The part, 0 to `count` - 1, of each row: units dealt out at random, class by class and large ones first.

    So the parts hold the classes alike and are about as large; a unit's class is that of its first row.
    """
    names, first, at, sizes = np.unique(units, return_index=True, return_inverse=True, return_counts=True)
    shuffled = seeds.generator(seed, "folds").permutation(len(names))
    order = shuffled[np.lexsort((-sizes[shuffled], classes[first][shuffled]))]
    numbers = np.empty(len(names), dtype=np.int64)
    numbers[order] = np.arange(len(names)) % count
    return np.asarray(numbers[at.reshape(-1)])


def _held_out(data: TrainingData) -> tuple[list[TrainingData], str]:
    """The validation part judges."""
    judged = f"judged on {grouped(len(data.validation))} validation rows"
    step = -(-len(data.train) // _MANY_ROWS)
    if step == 1:
        return [data], judged
    thinned = replace(data, train=data.train.take(np.arange(0, len(data.train), step)))
    return [thinned], f"trained on {grouped(len(thinned.train))} of {grouped(len(data.train))} rows, {judged}"


def _later(data: TrainingData) -> tuple[list[TrainingData], str]:
    """The latest training rows judge; rows without a time are trained on, as the split has it."""
    times = data.train.beside
    known = times.drop_null().combine_chunks() if times is not None else pa.array([])
    if not len(known):
        return _not_judged(data)
    cut = known[pc.array_sort_indices(known)[int((1 - _LATER_SHARE) * len(known))].as_py()]
    here = pc.fill_null(pc.greater_equal(times, cut), fill_value=False).to_numpy()
    part = _parted(data, data.train, here)
    if len(np.unique(part.train.target)) < 2:
        return _not_judged(data)
    earlier, later = grouped(len(part.train)), grouped(len(part.validation))
    return [part], f"trained on the {earlier} earlier training rows, judged on the {later} latest"


def _not_judged(data: TrainingData) -> tuple[list[TrainingData], str]:
    check_learnable(data)
    return _held_out(data) if len(data.validation) else ([data], "not judged: too few rows")


def _parted(data: TrainingData, rows: Rows, here: np.ndarray) -> TrainingData:
    return replace(data, train=rows.take(np.flatnonzero(~here)), validation=rows.take(np.flatnonzero(here)))


def _joined(data: TrainingData) -> Rows:
    first, second = data.train, data.validation
    beside = None
    if first.beside is not None and second.beside is not None:
        beside = pa.chunked_array([*first.beside.chunks, *second.beside.chunks], type=first.beside.type)
    return Rows(
        inputs=pa.concat_tables([first.inputs, second.inputs]),
        target=np.concatenate([first.target, second.target]),
        eids=np.concatenate([first.eids, second.eids]),
        keys=pa.chunked_array([*first.keys.chunks, *second.keys.chunks], type=first.keys.type),
        beside=beside,
    )


def _classes(rows: Rows, task: str) -> np.ndarray:
    return rows.target if task == "classification" else np.zeros(len(rows), dtype=np.int64)


def _codes(values: pa.ChunkedArray) -> np.ndarray:
    """A number from 0 for each distinct value, -1 for a missing one."""
    indices = values.combine_chunks().dictionary_encode().indices
    return np.array(indices.fill_null(-1).to_numpy(zero_copy_only=False), dtype=np.int64)
