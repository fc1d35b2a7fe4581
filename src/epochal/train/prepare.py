"""Preparation: what turns cleaned rows into tensors. Fitted on the training part only, saved in the bundle, replayed.

Cleaning never learns from data silently; everything that is learnt (categories, means, scales, quantiles, weights of
words) is here. Two stages: *raw* (numbers with NaN, category codes) is what trees take; *dense* (filled, scaled, with
an indicator for what was missing) is what networks take.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from epochal import fsio
from epochal.core.errors import RunError
from epochal.snapshot.manifest import SnapshotColumn
from epochal.train import encoders
from epochal.train.batch import aligned
from epochal.train.encoders import CategoryEncoder, Encoder, NumberEncoder, TextEncoder
from epochal.train.rows import NoTarget
from epochal.train.scoring import spread_of


FORMAT = 1
QUANTILES = 129
"""Reference points of a quantile scale."""
_FIT_ROWS = 1_000_000
"""Means, scales and quantiles are fitted on at most so many rows, evenly spread."""
_LONG_TAILED = 5.0
"""A column whose extremes lie so many times farther out than its middle 90 % is put on a quantile scale."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """Rows as numbers and codes, nothing scaled."""

    numbers: np.ndarray
    """float64 (rows, numbers); NaN is missing."""
    codes: np.ndarray
    """int64 (rows, categories); 0 is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dense:
    """Rows as a network takes them."""

    numbers: torch.Tensor
    """float32 (rows, numbers + indicators), around 0, of spread 1."""
    codes: torch.Tensor
    """int64 (rows, categories)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Where each raw number lies and how far it spreads. Arrays are float64, one entry for each number."""

    fill: np.ndarray
    """What stands in for a missing value: the median."""
    mean: np.ndarray
    spread: np.ndarray
    by_quantile: np.ndarray
    """bool: whether the number is first replaced by the normal deviate of its rank."""
    quantiles: np.ndarray
    """(numbers, QUANTILES)."""
    kept: np.ndarray
    """Positions of numbers that vary, int64."""
    indicated: np.ndarray
    """Positions of numbers that were sometimes missing, int64: each gets an indicator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """All that was fitted on the training part to turn rows into tensors."""

    encoders: tuple[Encoder, ...]
    skipped: tuple[str, ...]
    """Inputs nothing can be learnt from: always missing, or images."""
    scale: Scale

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns a table must have."""
        return tuple(e.column for e in self.encoders)

    @property
    def categories(self) -> tuple[CategoryEncoder, ...]:
        """The encoders that give codes, in order."""
        return tuple(e for e in self.encoders if isinstance(e, CategoryEncoder))

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """Codes of each category column."""
        return tuple(e.cardinality for e in self.categories)

    @property
    def num_dense(self) -> int:
        """Columns of `Dense.numbers`."""
        return len(self.scale.kept) + len(self.scale.indicated)

    def raw(self, table: pa.Table) -> Raw:
        """Rows of a table as numbers and codes. Raises RunError (missing-columns) when the table lacks an input."""
        absent = [c for c in self.columns if c not in table.column_names]
        if absent:
            raise RunError(
                f"{len(absent)} of {len(self.columns)} columns the model needs are not there: {', '.join(absent[:5])}",
                fix="give a table with the columns it was trained on",
                code="missing-columns",
            )
        blocks = [encoders.numbers(e, table.column(e.column)) for e in self.encoders]
        coded = [encoders.codes(e, table.column(e.column)) for e in self.categories]
        return Raw(
            numbers=np.concatenate([*blocks, np.empty((table.num_rows, 0))], axis=1),
            codes=np.stack(coded, axis=1) if coded else np.empty((table.num_rows, 0), dtype=np.int64),
        )

    def dense(self, raw: Raw) -> Dense:
        """Rows as a network takes them: filled, scaled, limited to ±8 spreads, indicators last."""
        scaled = _scaled(self.scale, raw.numbers)[:, self.scale.kept]
        missing = np.isnan(raw.numbers[:, self.scale.indicated])
        numbers = np.concatenate([scaled, missing], axis=1).astype(np.float32)
        codes = np.ascontiguousarray(raw.codes)
        return Dense(numbers=aligned(torch.from_numpy(numbers)), codes=aligned(torch.from_numpy(codes)))

    def far(self, table: pa.Table) -> dict[int, dict[str, tuple[float, float, float]]]:
        """Numbers that lie further outside their training range than it is wide: row, column, (value, low, high)."""
        found: dict[int, dict[str, tuple[float, float, float]]] = {}
        place = 0
        for encoder in self.encoders:
            if isinstance(encoder, NumberEncoder):
                low, high = self.scale.quantiles[place, 0], self.scale.quantiles[place, -1]
                values = encoders.numbers(encoder, table.column(encoder.column))[:, 0]
                with np.errstate(invalid="ignore", over="ignore"):
                    outside = (values < low - (high - low)) | (values > high + (high - low))
                for row in np.flatnonzero(outside if high > low else np.zeros(0)).tolist():
                    found.setdefault(row, {})[encoder.column] = (float(values[row]), float(low), float(high))
            place += len(encoder.names)
        return found

    def empty(self, table: pa.Table) -> np.ndarray:
        """Whether a row holds no input at all; bool (rows,)."""
        missing = [table.column(c).is_null().to_numpy() for c in self.columns]
        return np.logical_and.reduce(missing) if missing else np.zeros(table.num_rows, dtype=bool)

    def unknown(self, table: pa.Table) -> list[dict[str, str]]:
        """For each row, the category values the model has no code for, by column."""
        found: list[dict[str, str]] = [{} for _ in range(table.num_rows)]
        for encoder in self.categories:
            for row, text in encoders.unknown_values(encoder, table.column(encoder.column)).items():
                found[row][encoder.column] = text
        return found


def fit_preparation(
    columns: Sequence[SnapshotColumn], table: pa.Table, gaps: Collection[str] = ()
) -> tuple[Preparation, Raw]:
    """Fit on the training rows; the rows themselves come back as raw numbers, made on the way.

    Where they are a sample, `gaps` names the columns that are missing somewhere in all training rows.

    Raises NoTarget when no column varies.
    """
    fitted = {c.name: encoders.fit_encoder(c, table.column(c.name)) for c in columns}
    used = tuple(_with_missing(e, gaps) for e in fitted.values() if e is not None)
    unscaled = Preparation(
        encoders=used, skipped=tuple(n for n, e in fitted.items() if e is None), scale=_fit_scale(np.empty((0, 0)))
    )
    raw = unscaled.raw(table)
    preparation = Preparation(
        encoders=used, skipped=unscaled.skipped, scale=_fit_scale(raw.numbers, _with_gaps(used, gaps))
    )
    if not preparation.num_dense and not any(len(np.unique(c)) > 1 for c in raw.codes.T):
        raise NoTarget(
            "no input varies over the training rows", where="[columns]", fix="take columns out of `ignore`, or add some"
        )
    return preparation, raw


def _with_missing(encoder: Encoder, gaps: Collection[str]) -> Encoder:
    """The encoder with a code for missing, if its column has gaps."""
    if isinstance(encoder, CategoryEncoder) and encoder.column in gaps:
        return replace(encoder, has_missing=True)
    return encoder


def _with_gaps(used: Sequence[Encoder], gaps: Collection[str]) -> np.ndarray:
    """Whether each number comes from a column that has gaps; text has none, being all zeros where it is missing."""
    return np.array([e.column in gaps and not isinstance(e, TextEncoder) for e in used for _ in e.names], dtype=bool)


def _fit_scale(numbers: np.ndarray, gaps: np.ndarray | None = None) -> Scale:
    """Each number's place and spread over the training rows; `gaps` marks further ones that are sometimes missing."""
    num = numbers.shape[1]
    rows = numbers[:: max(1, len(numbers) // _FIT_ROWS)]
    fill, mean, spread = np.zeros(num), np.zeros(num), np.ones(num)
    by_quantile = np.zeros(num, dtype=bool)
    differs = np.zeros(num, dtype=bool)
    quantiles = np.zeros((num, QUANTILES))
    for i in range(num):
        known = rows[:, i][~np.isnan(rows[:, i])]
        if not len(known):
            continue
        quantiles[i] = np.quantile(known, np.linspace(0, 1, QUANTILES))
        fill[i] = np.median(known)
        by_quantile[i] = _is_long_tailed(known)
        if by_quantile[i]:
            known = _normal_deviates(known, quantiles[i])
        # About the median: far from zero a mean of the numbers themselves would be rounded away.
        mean[i] = fill[i] + (known - fill[i]).mean() if not by_quantile[i] else known.mean()
        spread[i] = spread_of(known)
        differs[i] = known.min() < known.max()
    varies = np.flatnonzero(differs)
    absent = np.isnan(numbers).any(axis=0)
    missing = np.flatnonzero(absent if gaps is None else absent | gaps) if num else np.empty(0)
    return Scale(
        fill=fill,
        mean=mean,
        spread=np.where(spread > 0, spread, 1.0),  # the smallest floats have squares of 0
        by_quantile=by_quantile,
        quantiles=quantiles,
        kept=varies.astype(np.int64),
        indicated=missing.astype(np.int64),
    )


def _is_long_tailed(known: np.ndarray) -> bool:
    """Whether a few values lie so far out that a mean and a spread would say little of the rest."""
    low, high = np.quantile(known, [0.05, 0.95])
    middle = (low + high) / 2
    reach = max(known.max() - middle, middle - known.min())
    return bool(len(np.unique(known)) > 20 and high > low and reach > _LONG_TAILED * (high - low) / 2)


def _normal_deviates(values: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """The normal deviate of each value's rank among the training rows. Ties share the middle of their ranks."""
    shares = np.linspace(0, 1, len(quantiles))
    # Interpolated from below and from above, so that a value many rows share lands in the middle of its ranks.
    upward = np.interp(values, quantiles, shares)
    downward = 1 - np.interp(-values, -quantiles[::-1], shares)
    rank = torch.from_numpy(np.clip((upward + downward) / 2, 1e-3, 1 - 1e-3))
    return np.asarray(torch.special.ndtri(rank).numpy())


def _scaled(scale: Scale, numbers: np.ndarray) -> np.ndarray:
    filled = np.where(np.isnan(numbers), scale.fill, numbers)
    for i in np.flatnonzero(scale.by_quantile):
        filled[:, i] = _normal_deviates(filled[:, i], scale.quantiles[i])
    return np.asarray(np.clip((filled - scale.mean) / scale.spread, -8, 8))


def save_preparation(preparation: Preparation, folder: Path) -> None:
    """Write `preparation.json` and `preparation.safetensors` into a folder. Raises NotSaved."""
    document = {
        "format": FORMAT,
        "encoders": [encoders.to_state(e) for e in preparation.encoders],
        "skipped": list(preparation.skipped),
    }
    fsio.write_text(folder / "preparation.json", json.dumps(document, ensure_ascii=False, indent=1) + "\n")
    scale = preparation.scale
    arrays = {name: np.ascontiguousarray(getattr(scale, name)) for name in Scale.__slots__}
    fsio.write_bytes(folder / "preparation.safetensors", save_arrays(arrays))


def load_preparation(folder: Path) -> Preparation:
    """Read what `save_preparation` wrote. Raises RunError when it is not there or damaged."""
    try:
        document: dict[str, Any] = json.loads((folder / "preparation.json").read_text(encoding="utf-8"))
        arrays = load_arrays((folder / "preparation.safetensors").read_bytes())
        return Preparation(
            encoders=tuple(encoders.from_state(s) for s in document["encoders"]),
            skipped=tuple(document["skipped"]),
            scale=Scale(**arrays),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"the model's preparation cannot be read: {error}", where=str(folder), fix="train again", code="bad-bundle"
        ) from error
