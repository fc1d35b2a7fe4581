"""What a person's own model is told when it is made, and what its own batches are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from epochal.train.encoders import CategoryEncoder, NumberEncoder
from epochal.train.prepare import Preparation


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One input column as the batches carry it."""

    name: str
    kind: str
    """number, boolean, date, category or text; `missing` for 0 or 1 that says whether the column held nothing."""
    tensor: str
    """The batch's entry: "numbers" or "codes"."""
    index: int
    """Its first column there."""
    size: int
    """Numbers: how many columns it takes (a date or text takes several). Codes: how many there are, 0 for unknown."""
    mean: float | None = None
    """Of a plain number: the batch holds (value - mean) / spread, limited to ±8; None where it is scaled otherwise."""
    spread: float | None = None
    categories: tuple[str, ...] = ()
    """What the codes 1, 2, … stand for; one more code than these is for a missing value, if the training rows had one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What goes in and what must come out."""

    task: str
    """classification or regression."""
    outputs: int
    """How many numbers `forward` returns for each row: one a class, or 1."""
    classes: tuple[str, ...]
    """Their names in the order of the outputs; empty for regression."""
    inputs: tuple[Input, ...]
    numbers: int
    """Columns of batch["numbers"], float32 (B, numbers): around 0, of spread 1, nothing missing."""
    cardinalities: tuple[int, ...]
    """For each column of batch["codes"], int64 (B, columns), how many codes it may hold; 0 is unknown."""
    folder: Path
    """The project's, for data that the model reads beside its code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Rows to make batches from: what `batches(split, seed, epoch)` is given."""

    name: str
    """train, validation, or new: rows of the test set or of a file to predict, whose target nobody tells."""
    columns: Mapping[str, np.ndarray]
    """The cleaned columns: numbers float64 with NaN for missing, dates datetime64[us] with NaT, texts objects with None."""
    target: np.ndarray | None
    """As batches carry it: class indices int64, or standardised numbers float32; None for new rows."""
    rows: int

    def __len__(self) -> int:
        return self.rows


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimiserSettings:
    """What `parameter_groups(settings)` may build on: those of the run, every "auto" resolved."""

    learning_rate: float
    weight_decay: float


def make_spec(
    preparation: Preparation, *, task: str, classes: tuple[str, ...], kinds: Mapping[str, str], folder: Path
) -> Spec:
    """The spec of a model that learns from prepared rows; `kinds` are the columns' kinds by name."""
    return Spec(
        task=task,
        outputs=max(1, len(classes)),
        classes=classes,
        inputs=_inputs(preparation, kinds),
        numbers=preparation.num_dense,
        cardinalities=preparation.cardinalities,
        folder=folder,
    )


def _inputs(preparation: Preparation, kinds: Mapping[str, str]) -> tuple[Input, ...]:
    """Where each column stands: numbers that vary first, in order, then the indicators of what was missing."""
    scale = preparation.scale
    plain: list[Input] = []
    missing: list[Input] = []
    coded: list[Input] = []
    place = 0
    for encoder in preparation.encoders:
        kind = kinds.get(encoder.column, "number")
        if isinstance(encoder, CategoryEncoder):
            coded.append(
                Input(
                    name=encoder.column,
                    kind=kind,
                    tensor="codes",
                    index=len(coded),
                    size=encoder.cardinality,
                    categories=encoder.categories,
                )
            )
            continue
        end = place + len(encoder.names)
        kept = np.flatnonzero((scale.kept >= place) & (scale.kept < end))
        if len(kept):
            linear = isinstance(encoder, NumberEncoder) and not scale.by_quantile[place]
            plain.append(
                Input(
                    name=encoder.column,
                    kind=kind,
                    tensor="numbers",
                    index=int(kept[0]),
                    size=len(kept),
                    mean=float(scale.mean[place]) if linear else None,
                    spread=float(scale.spread[place]) if linear else None,
                )
            )
        told = np.flatnonzero((scale.indicated >= place) & (scale.indicated < end))
        if len(told):
            index = len(scale.kept) + int(told[0])
            missing.append(Input(name=encoder.column, kind="missing", tensor="numbers", index=index, size=len(told)))
        place = end
    return (*plain, *missing, *coded)
