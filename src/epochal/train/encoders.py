"""How one column becomes numbers or codes: fitted on training rows only, kept in the bundle as JSON.

An encoder is data. `fit_encoder` makes it, `numbers` or `codes` replays it on any later table. A value it never met is
never an error: it becomes missing (numbers, dates) or the unknown code 0 (categories).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from epochal.snapshot.manifest import SnapshotColumn


MAX_CATEGORIES = 1000
"""Of one column; what is rarer shares the unknown code."""
SHORT_TEXT_CATEGORIES = 100
"""A text column of at most so many distinct values is a category."""
TEXT_BUCKETS = 256
"""Hashed n-grams of longer text are counted in so many columns."""
_DAY_SECONDS = 86_400.0
_FARTHEST = 1e150


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberEncoder:
    """A number, as it is; missing is NaN."""

    column: str

    @property
    def names(self) -> tuple[str, ...]:
        """The numbers it gives."""
        return (self.column,)


@dataclass(frozen=True, slots=True, kw_only=True)
class DateEncoder:
    """A moment: days since 1970, and where in the week, the year and (if times were seen) the day it falls."""

    column: str
    has_time: bool

    @property
    def names(self) -> tuple[str, ...]:
        """The numbers it gives."""
        cycles = ("week", "year", "day") if self.has_time else ("week", "year")
        return (
            f"{self.column}: days",
            *(f"{self.column}: {wave} of {c}" for c in cycles for wave in ("sine", "cosine")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryEncoder:
    """One of a few values: code 0 is unknown, 1 … the categories, and a last one for missing if that was seen."""

    column: str
    categories: tuple[str, ...]
    has_missing: bool

    @property
    def names(self) -> tuple[str, ...]:
        """It gives a code, no numbers."""
        return ()

    @property
    def cardinality(self) -> int:
        """How many codes there are, the unknown one included."""
        return 1 + len(self.categories) + self.has_missing


@dataclass(frozen=True, slots=True, kw_only=True)
class TextEncoder:
    """Text as weighted counts of hashed words and word pairs; missing is all zeros."""

    column: str
    buckets: int
    weights: tuple[float, ...]
    """Of each bucket: rarer ones count more (inverse document frequency on training rows)."""

    @property
    def names(self) -> tuple[str, ...]:
        """The numbers it gives."""
        return tuple(f"{self.column}: words {i}" for i in range(self.buckets))


Encoder = NumberEncoder | DateEncoder | CategoryEncoder | TextEncoder
_TYPES: dict[str, type[Encoder]] = {
    "number": NumberEncoder,
    "date": DateEncoder,
    "category": CategoryEncoder,
    "text": TextEncoder,
}


def fit_encoder(column: SnapshotColumn, values: pa.ChunkedArray) -> Encoder | None:
    """The encoder for a column's training values; None when nothing can be learnt from it (nothing but missing, images)."""
    if values.null_count == len(values) or column.kind == "image" or pa.types.is_nested(values.type):
        return None
    if column.kind in {"number", "boolean"}:
        return NumberEncoder(column=column.name)
    if column.kind == "date":
        seconds = _seconds(values)
        known = seconds[~np.isnan(seconds)]
        return DateEncoder(column=column.name, has_time=bool((known % _DAY_SECONDS != 0).any())) if len(known) else None
    if column.kind == "text":
        distinct = pc.count_distinct(values, mode="only_valid").as_py()
        if distinct > min(SHORT_TEXT_CATEGORIES, len(values) // 4):
            return _fit_text(column.name, values)
    return _fit_category(column.name, values)


def _fit_category(name: str, values: pa.ChunkedArray) -> CategoryEncoder | None:
    counted = pc.value_counts(_texts(values).drop_null().combine_chunks())
    pairs = sorted(
        zip(counted.field(1).to_pylist(), counted.field(0).to_pylist(), strict=True), key=lambda p: (-p[0], p[1])
    )
    # A value seen once among many teaches nothing of its own; together they teach what an unknown value is like.
    fewest = 2 if len(pairs) > 20 else 1
    kept = tuple(text for count, text in pairs[:MAX_CATEGORIES] if count >= fewest)
    if not kept:
        return None
    return CategoryEncoder(column=name, categories=kept, has_missing=values.null_count > 0)


def _fit_text(name: str, values: pa.ChunkedArray) -> TextEncoder:
    plain = TextEncoder(column=name, buckets=TEXT_BUCKETS, weights=(1.0,) * TEXT_BUCKETS)
    used = (_hashed(plain, values) != 0).sum(axis=0)
    weights = np.log((1 + len(values)) / (1 + used)) + 1
    return TextEncoder(column=name, buckets=TEXT_BUCKETS, weights=tuple(float(w) for w in weights))


def numbers(encoder: Encoder, values: pa.ChunkedArray) -> np.ndarray:
    """The encoder's numbers for these values: float64 of shape (rows, len(encoder.names)), NaN for missing."""
    if isinstance(encoder, NumberEncoder):
        return _floats(values)[:, None]
    if isinstance(encoder, DateEncoder):
        return _date_parts(_seconds(values), has_time=encoder.has_time)
    if isinstance(encoder, TextEncoder):
        weighted = _hashed(encoder, values) * np.asarray(encoder.weights)
        length = np.linalg.norm(weighted, axis=1, keepdims=True)
        return np.asarray(np.divide(weighted, length, out=weighted, where=length > 0))
    return np.empty((len(values), 0))


def plain(kind: str, values: pa.ChunkedArray) -> np.ndarray:
    """A column of a kind as a person's own code takes it, whatever type it was read as.

    Numbers and booleans are float64 with NaN for missing, dates datetime64[us] with NaT, all else objects with None.
    """
    if kind in {"number", "boolean"}:
        return _floats(values)
    if kind == "date":
        seconds = _seconds(values)
        known = np.isfinite(seconds)
        micros = np.where(known, np.round(np.where(known, seconds, 0) * 1e6), 0).astype(np.int64)
        return np.where(known, micros.astype("datetime64[us]"), np.datetime64("NaT", "us"))
    found = np.empty(len(values), dtype=object)
    found[:] = values.to_pylist()
    return found


def codes(encoder: CategoryEncoder, values: pa.ChunkedArray) -> np.ndarray:
    """The code of each value, int64: 0 for one that is not known."""
    index = pc.index_in(_texts(values), value_set=pa.array(encoder.categories, pa.string()))
    result = pc.fill_null(pc.add(index, 1), 0).to_numpy().astype(np.int64)
    if encoder.has_missing:
        result[pc.is_null(values).to_numpy()] = encoder.cardinality - 1
    return np.asarray(result)


def unknown_values(encoder: CategoryEncoder, values: pa.ChunkedArray) -> dict[int, str]:
    """Row position and text of each value that the encoder has no code for; missing values are not among them."""
    texts = _texts(values)
    strange = pc.and_(
        pc.is_valid(texts), pc.invert(pc.is_in(texts, value_set=pa.array(encoder.categories, pa.string())))
    )
    positions = np.flatnonzero(strange.to_numpy())
    return dict(zip(positions.tolist(), texts.take(positions).to_pylist(), strict=True))


def to_state(encoder: Encoder) -> dict[str, Any]:
    """The encoder as JSON data."""
    kind = next(k for k, cls in _TYPES.items() if isinstance(encoder, cls))
    return {"type": kind, **asdict(encoder)}


def from_state(state: Mapping[str, Any]) -> Encoder:
    """The encoder back from JSON data. Raises KeyError or TypeError for what is none."""
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in state.items() if k != "type"}
    return _TYPES[state["type"]](**values)


def _floats(values: pa.ChunkedArray) -> np.ndarray:
    """As float64, NaN for missing, for infinite and for what is no number; at most ±1e150, whose square is a float."""
    kind = values.type
    if pa.types.is_boolean(kind):
        values = pc.cast(values, pa.int8())
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        values = pa.chunked_array([pa.array([_number_or_none(v) for v in values.to_pylist()], pa.float64())])
    if pa.types.is_null(kind):
        return np.full(len(values), np.nan)
    result = np.array(pc.cast(values, pa.float64(), safe=False).to_numpy(), dtype=np.float64)
    result[np.isinf(result)] = np.nan
    return np.clip(result, -_FARTHEST, _FARTHEST)


_WORDS = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0}


def _number_or_none(text: str | None) -> float | None:
    if text is None:
        return None
    word = text.strip().lower()
    try:
        return _WORDS[word] if word in _WORDS else float(word)
    except ValueError:
        return None


def _texts(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """As text; whole numbers alike whether they came as 3 or as 3.0, and whatever stands in the rows beside them."""
    texts = pc.cast(values, pa.string())
    if not pa.types.is_floating(values.type):
        return texts
    whole = pc.and_(pc.equal(values, pc.trunc(values)), pc.less(pc.abs(values), float(1 << 53)))
    return pc.if_else(pc.fill_null(whole, False), pc.cast(pc.cast(values, pa.int64(), safe=False), pa.string()), texts)


def _seconds(values: pa.ChunkedArray) -> np.ndarray:
    """Seconds since 1970 as float64, NaN for missing and for what is no date."""
    kind = values.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        values = pc.strptime(pc.utf8_slice_codeunits(values, 0, 10), format="%Y-%m-%d", unit="s", error_is_null=True)
    elif not (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
        return np.full(len(values), np.nan)
    micros = pc.cast(pc.cast(values, pa.timestamp("us"), safe=False), pa.int64())
    return np.asarray(pc.divide(pc.cast(micros, pa.float64()), 1e6).to_numpy(), dtype=np.float64)


def _date_parts(seconds: np.ndarray, *, has_time: bool) -> np.ndarray:
    days = seconds / _DAY_SECONDS
    cycles = [days / 7, days / 365.2425] + ([days] if has_time else [])
    waves = [wave(2 * np.pi * turn) for turn in cycles for wave in (np.sin, np.cos)]
    return np.stack([days, *waves], axis=1)


def _hashed(encoder: TextEncoder, values: pa.ChunkedArray) -> np.ndarray:
    """Counts of hashed words and word pairs, damped by a logarithm, float64 (rows, buckets)."""
    if not len(values):
        return np.zeros((0, encoder.buckets))
    from sklearn.feature_extraction.text import HashingVectorizer

    hasher = HashingVectorizer(
        n_features=encoder.buckets,
        ngram_range=(1, 2),
        norm=None,
        alternate_sign=False,
        token_pattern=r"(?u)\b\w+\b",  # noqa: S106 - words of one letter count too
    )
    texts = pc.fill_null(pc.cast(values, pa.string()), "").to_pylist()
    return np.asarray(np.log1p(hasher.transform(texts).toarray()))
