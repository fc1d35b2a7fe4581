"""Feeding rows gradually: first those that are trusted or easy, the rest in stages, all of them for the second half.

Which rows come first is said by a column (trust, or difficulty), or by the loss that a first small model has on them.
Sources: Bengio et al. 2009, "Curriculum Learning"; Hacohen and Weinshall 2019, "On The Power of Curriculum Learning in
Training Deep Networks" (ranking by another model's loss).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from epochal.core.errors import SettingsError
from epochal.show import grouped
from epochal.train import seeds
from epochal.train.state import Plan


_GRADUAL_SHARE = 0.5
"""Of the epochs, until every row is fed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Some epochs, and how many of the ranked rows they are fed."""

    number: int
    """From 1."""
    of: int
    from_epoch: int
    rows: int

    @property
    def words(self) -> str:
        """For a person."""
        return f"stage {self.number} of {self.of}: {grouped(self.rows)} rows"


def stages_of(plan: Plan, num_rows: int) -> tuple[Stage, ...]:
    """The stages of a plan: as many as were asked for, or as there are epochs for; none unless rows are fed gradually."""
    if plan.feed != "gradual":
        return ()
    gradual = max(1, round(plan.epochs * _GRADUAL_SHARE)) if plan.epochs > 1 else 0
    num = min(plan.feed_stages, gradual + 1)
    return tuple(
        Stage(
            number=i + 1,
            of=num,
            from_epoch=round(i * gradual / max(1, num - 1)),
            rows=max(1, math.ceil(num_rows * (i + 1) / num)),
        )
        for i in range(num)
    )


def stage_at(stages: tuple[Stage, ...], epoch: int) -> Stage:
    """The stage that an epoch lies in."""
    return next(stage for stage in reversed(stages) if stage.from_epoch <= epoch)


def ranked_by(values: pa.ChunkedArray, column: str, first: str) -> np.ndarray:
    """The rows by a column, those to be fed first first; rows without a value last, equal ones in their own order.

    int64 (rows,). Raises SettingsError for a column that has no order.
    """
    kind = values.type
    if pa.types.is_boolean(kind):
        values = pc.cast(values, pa.int8())
    elif pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        values = pc.cast(pc.cast(values, pa.timestamp("us")), pa.int64())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        raise SettingsError(
            f"{column!r} holds text: rows cannot be fed in its order",
            path=("train", "feed_by"),
            fix="name a column of numbers, or compute one in the recipe",
        )
    numbers = np.asarray(pc.cast(values, pa.float64(), safe=False).to_numpy(), dtype=np.float64)
    # argsort puts NaN last, and keeps equal rows in order when it is stable.
    return np.argsort(-numbers if first == "high" else numbers, kind="stable")


def gradual(seed: int, epoch: int, ranking: np.ndarray, stages: tuple[Stage, ...]) -> np.ndarray:
    """The rows of an epoch, as many as there are in all: those of its stage, again and again, each time in a new order."""
    admitted = ranking[: stage_at(stages, epoch).rows]
    generator = seeds.generator(seed, "gradual", epoch)
    rounds = -(-len(ranking) // len(admitted))
    return np.concatenate([generator.permutation(admitted) for _ in range(rounds)])[: len(ranking)]
