"""A run's checkpoints as a person reads them, the newest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from epochal.project.checkpoints import Checkpoint, best_of
from epochal.workbench.views.words import age, count, figure, memory


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointRow:
    """One of them."""

    checkpoint: Checkpoint
    step: str
    epoch: str
    value: str
    """Of the metric, at the newest evaluation before it."""
    size: str
    age: str
    marks: str
    """best, last, pinned, not healthy."""


def instead_of_rows(found: Sequence[Checkpoint] | None) -> str:
    """What stands where rows would, when there are none; None: nobody has looked yet."""
    return "Looking for them …" if found is None else "There is none yet."


def checkpoint_rows(found: Sequence[Checkpoint], metric: str, now: float) -> tuple[CheckpointRow, ...]:
    """A row of each, the newest first. `now` is in seconds since 1970."""
    best = best_of(found, metric)
    last = max(found, key=lambda c: c.step, default=None)
    return tuple(
        CheckpointRow(
            checkpoint=c,
            step=count(c.step),
            epoch=f"{c.epoch:.1f}",
            value=figure(c.value),
            size=memory(c.size),
            age=age(max(0.0, now - c.written)),
            marks=", ".join(
                word
                for word, holds in (
                    ("best of these", c is best),
                    ("last", c is last),
                    ("pinned", c.pinned),
                    ("not healthy", not c.healthy),
                )
                if holds
            ),
        )
        for c in sorted(found, key=lambda c: -c.step)
    )
