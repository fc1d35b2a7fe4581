"""One look over all rows where they do not fit into memory: a sample, evenly spread, and what must be known of all.

The preparation is fitted on the sample. What the sample may have missed and a preparation must know is counted over all
training rows: which columns are ever missing, the classes and the place and spread of the target.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from epochal.core.settings import Project
from epochal.core.split import PARTS, Part
from epochal.snapshot.manifest import SnapshotColumn
from epochal.train import encoders
from epochal.train.blocks import Source, joined, read_blocks
from epochal.train.encoders import DateEncoder, NumberEncoder
from epochal.train.holding import JUDGED_ROWS, Sizes, sizes_for
from epochal.train.rows import Rows, TrainingData, check_learnable, training_data


_FOLDED_ROWS = 65_536
_PIECES = 64
"""Of blocks that are kept apart."""


@dataclass(slots=True)
class TargetSeen:
    """The training targets, counted block by block.

    Numbers are folded in by so many rows at a time, wherever the blocks that are read begin and end: how much is read at
    once depends on the memory there is, and the mean would be rounded otherwise.
    """

    num_classes: int
    """0 for numbers."""
    rows: int = 0
    counts: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """Rows of each class."""
    _waiting: list[np.ndarray] = field(default_factory=list)
    _folded: int = 0
    _mean: float = 0.0
    _squares: float = 0.0
    """Of the distances from the mean, in units of `_unit` squared."""
    _unit: float = 1.0
    _low: float = math.inf
    _high: float = -math.inf

    def add(self, target: np.ndarray) -> None:
        """Take in one block."""
        if not len(target):
            return
        self.rows += len(target)
        if self.num_classes:
            counts = np.bincount(target, minlength=self.num_classes)
            self.counts = counts if not len(self.counts) else self.counts + counts
            return
        self._low, self._high = min(self._low, float(target.min())), max(self._high, float(target.max()))
        self._waiting.append(target)
        if self.rows - self._folded >= _FOLDED_ROWS:
            waiting = np.concatenate(self._waiting)
            whole = len(waiting) // _FOLDED_ROWS * _FOLDED_ROWS
            for part in np.split(waiting[:whole], range(_FOLDED_ROWS, whole, _FOLDED_ROWS)):
                self._fold(part)
            self._waiting = [waiting[whole:]]

    def _fold(self, target: np.ndarray) -> None:
        # Chan, Golub and LeVeque 1979: means and squares of two parts joined, in a unit whose squares are numbers.
        before, self._folded = self._folded, self._folded + len(target)
        mean = float(target.mean())
        apart = mean - self._mean if before else 0.0
        unit = max(self._unit, float(np.abs(target - mean).max()), abs(mean - self._mean))
        squares = float((((target - mean) / unit) ** 2).sum())
        share = len(target) / self._folded
        self._squares = self._squares * (self._unit / unit) ** 2 + squares + (apart / unit) ** 2 * share * before
        self._mean = self._mean + apart * share if before else mean
        self._unit = unit

    def end(self) -> None:
        """All have been taken in."""
        rest = np.concatenate(self._waiting) if self._waiting else np.empty(0)
        self._waiting = []
        if len(rest):
            self._fold(rest)

    @property
    def mean(self) -> float:
        """Of all, once they have ended."""
        return self._mean

    @property
    def spread(self) -> float:
        """Their standard deviation, once they have ended; 1 for targets that are all equal."""
        if not self.varies:
            return 1.0
        return self._unit * math.sqrt(self._squares / self.rows)

    @property
    def varies(self) -> bool:
        """Whether there is more than one class, or number."""
        return int(np.count_nonzero(self.counts)) > 1 if self.num_classes else self._low < self._high


@dataclass(slots=True)
class Survey:
    """What one look found, as far as it has come."""

    source: Source
    sizes: Sizes
    seen: TargetSeen
    gaps: set[str] = field(default_factory=set)
    """Columns that were missing in some training row."""
    read: int = 0
    """Training and validation rows so far."""
    left_out: dict[Part, int] = field(default_factory=lambda: dict.fromkeys(PARTS, 0))
    _found: dict[Part, int] = field(default_factory=lambda: dict.fromkeys(PARTS, 0))
    _kept: dict[Part, list[Rows]] = field(default_factory=lambda: {part: [] for part in PARTS})
    _truth: list[np.ndarray] = field(default_factory=list)

    def blocks(self) -> Generator[int, None, None]:
        """Look at all rows, block by block; says after each how many it has seen."""
        split = self.source.split
        most = {"train": self.sizes.sample_rows, "validation": min(self.sizes.sample_rows, JUDGED_ROWS)}
        steps = {
            part: max(1, -(-rows // most[part]))
            for part, rows in (("train", split.train), ("validation", split.validation))
        }
        for block in read_blocks(self.source, self.sizes.rows_decoded):
            for part, rows in block.items():
                self.left_out[part] += rows.left_out
                self._keep(part, rows, steps[part])
            self._look(block["train"])
            self._truth.append(block["validation"].target)
            yield self.read
        self.seen.end()

    def _keep(self, part: Part, rows: Rows, step: int) -> None:
        first = -self._found[part] % step
        if first < len(rows) or not self._kept[part]:
            self._kept[part].append(rows.take(np.arange(first, len(rows), step)))
        if len(self._kept[part]) > _PIECES:
            # A few rows of each of thousands of blocks would hold more in their columns' heads than in their values.
            self._kept[part] = [joined(self._kept[part])]
        self._found[part] += len(rows)
        self.read += len(rows) + rows.left_out

    def _look(self, rows: Rows) -> None:
        self.seen.add(rows.target)
        for column in self.source.columns:
            if column.name not in self.gaps and _has_gaps(column, rows.inputs.column(column.name)):
                self.gaps.add(column.name)

    @property
    def truth(self) -> np.ndarray:
        """The target of every validation row."""
        return np.concatenate(self._truth)

    def sample(self) -> TrainingData:
        """The rows drawn from both parts. Raises NoTarget when nothing can be learnt."""
        train, validation = (
            replace(joined(self._kept[part]), left_out=self.left_out[part], sampled_from=self._found[part])
            for part in PARTS[:2]
        )
        data = TrainingData(
            task=self.source.task,
            classes=self.source.classes,
            columns=self.source.columns,
            train=train,
            validation=validation,
        )
        if not self.seen.varies:
            check_learnable(data)
        return data


def survey_of(source: Source, sizes: Sizes) -> Survey:
    """A look that has not begun."""
    return Survey(source=source, sizes=sizes, seen=TargetSeen(len(source.classes)))


def data_that_fits(
    project: Project, source: Source, told: Callable[[int], object] = lambda _rows: None
) -> TrainingData:
    """The training and validation rows, or an evenly spread sample of both where they do not fit into memory.

    Then `told` hears after each block of how many rows were read.
    Raises SourceError or NoTarget as `training_data` does, RunError where there is no room for a sample.
    """
    sizes = sizes_for(source, project.train.memory)
    if sizes is None:
        return training_data(
            project,
            source.snapshot.folder,
            source.split.folder,
            inputs=source.inputs,
            classes=source.classes,
            beside=source.beside,
        )
    survey = survey_of(source, sizes)
    for rows in survey.blocks():
        told(rows)
    return survey.sample()


def _has_gaps(column: SnapshotColumn, values: pa.ChunkedArray) -> bool:
    """Whether a value is missing, or becomes missing as it is read as a number or a date."""
    if values.null_count:
        return True
    kind = values.type
    if column.kind in {"number", "boolean"} and not (pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
        return bool(np.isnan(encoders.numbers(NumberEncoder(column=column.name), values)).any())
    if column.kind == "date":
        return bool(np.isnan(encoders.numbers(DateEncoder(column=column.name, has_time=False), values)).any())
    return False
