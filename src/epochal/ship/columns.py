"""Predictions as columns that people and programs read: `prediction`, `probability_<class>` or `lower` and `upper`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pyarrow as pa

from epochal.train.bundle import Predictions


MISSING = "·"
_EXACT = 1e15
"""Whole numbers below are shown digit by digit."""


def as_columns(said: Predictions) -> dict[str, pa.Array]:
    """The columns of a prediction, in order. Classes are names, numbers are in the target's unit."""
    if said.probabilities is None:
        columns = {"prediction": pa.array(said.scores, pa.float64())}
        if said.lower is not None and said.upper is not None:
            columns |= {"lower": pa.array(said.lower, pa.float64()), "upper": pa.array(said.upper, pa.float64())}
        return columns
    columns = {"prediction": pa.array(said.names, pa.string())}
    for index, name in enumerate(said.classes):
        columns[f"probability_{name}"] = pa.array(said.probabilities[:, index], pa.float64())
    return columns


def cell_text(value: Any) -> str:
    """An Arrow scalar as a table shows it: numbers without useless digits, days without a time that none has."""
    plain = value.as_py()
    if plain is None:
        return MISSING
    if isinstance(plain, float):
        return f"{plain:.15g}" if plain.is_integer() and abs(plain) < _EXACT else f"{plain:.6g}"
    if isinstance(plain, datetime):
        return str(plain).removesuffix(" 00:00:00")
    if isinstance(plain, bool):
        return "true" if plain else "false"
    return str(plain)
