"""Boosted trees of rows that do not fit into memory: they are binned block by block, a byte a value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from epochal.core.split import Part
from epochal.train.families.trees import TreeRows, TreeTarget, tree_matrix
from epochal.train.lean import lgb
from epochal.train.prepare import Preparation
from epochal.train.rows import Rows
from epochal.train.streamed import Streamed


_NUMBER_BYTES, _CODE_BYTES = 1, 2
"""What LightGBM keeps of a value: the number of its bin."""
_ROW_BYTES, _CLASS_BYTES = 32, 24
"""Label, place and weight of a row; and for each class its score, gradient and curvature."""


class BlockMatrix(lgb.Sequence):
    """The rows of one part as LightGBM's matrix, read in their order; what lies before is read again from the start."""

    def __init__(self, streamed: Streamed, preparation: Preparation, part: Part, rows: int) -> None:
        self._streamed, self._preparation, self._part, self._rows = streamed, preparation, part, rows
        self.batch_size = streamed.sizes.rows_at_once
        self._blocks: Iterator[Rows] = iter(())
        self._matrix = np.empty((0, 0))
        self._start = self._end = 0

    def __len__(self) -> int:
        return self._rows

    def __getitem__(self, index: int | slice | list[int]) -> np.ndarray:
        if isinstance(index, slice):
            return self._between(*index.indices(self._rows)[:2])
        if isinstance(index, list):
            return np.stack([self[i] for i in index])
        # A copy: a row that is kept would keep its whole block.
        return np.array(self._between(int(index), int(index) + 1)[0])

    def _between(self, start: int, end: int) -> np.ndarray:
        pieces = []
        while start < end:
            self._turn_to(start)
            pieces.append(self._matrix[start - self._start : end - self._start])
            start = min(end, self._end)
        return np.concatenate(pieces) if len(pieces) != 1 else pieces[0]

    def _turn_to(self, row: int) -> None:
        """Hold the block with this row."""
        if row < self._start:
            self._blocks, self._start, self._end = iter(()), 0, 0
        if not self._end:
            self._blocks = self._streamed.rows_of(self._part)
        while row >= self._end:
            rows = next(self._blocks)
            self._start, self._end = self._end, self._end + len(rows)
            if row < self._end:
                self._matrix = tree_matrix(self._preparation.raw(rows.inputs))


def tree_rows_from_disk(
    streamed: Streamed,
    preparation: Preparation,
    target: TreeTarget,
    weights: Mapping[int, float] | None,
) -> tuple[TreeRows, TreeRows | None]:
    """Both parts as LightGBM takes them; `weights` of classes, for training.

    Raises RunError (too-little-memory) where not even the bins fit.
    """
    numbers, codes = len(preparation.scale.fill), len(preparation.cardinalities)
    total, judged = streamed.seen.rows, len(streamed.truth)
    needed = (total + judged) * (
        _NUMBER_BYTES * numbers + _CODE_BYTES * codes + _ROW_BYTES + _CLASS_BYTES * max(1, target.num_classes)
    )
    if needed > streamed.sizes.allowed:
        raise streamed.sizes.too_little(needed, "the bins of boosted trees", "take a network, or ")

    def rows_of(part: Part, rows: int, values: np.ndarray, weight: np.ndarray | None) -> TreeRows:
        label = (values - target.mean) / target.spread if target.task == "regression" else values
        return TreeRows(
            matrix=BlockMatrix(streamed, preparation, part, rows),
            label=label,
            weight=weight,
            categories=tuple(range(numbers, numbers + codes)),
        )

    values = streamed.targets("train")
    by_class = None if weights is None else np.array([weights[c] for c in range(target.num_classes)])
    train = rows_of("train", total, values, None if by_class is None else by_class[values])
    return train, rows_of("validation", judged, streamed.truth, None) if judged else None
