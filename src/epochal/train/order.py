"""In which order rows are learnt from: a pure function of (seed, epoch), so a place in the data is two numbers."""

from __future__ import annotations

import numpy as np

from epochal.train import seeds
from epochal.train.feed import Order
from epochal.train.stages import gradual, stages_of
from epochal.train.state import Plan


def row_order(plan: Plan, target: np.ndarray, ranking: np.ndarray | None = None) -> Order:
    """The order of a plan's epochs over the training rows; `target` as in `Rows`, `ranking` for gradual feeding."""
    if plan.feed == "gradual" and ranking is not None:
        stages = stages_of(plan, len(target))
        return lambda epoch: gradual(plan.seed, epoch, ranking, stages)
    if plan.sampling == "balanced":
        return lambda epoch: balanced(plan.seed, epoch, target)
    return lambda epoch: seeds.order(plan.seed, epoch, len(target))


def balanced(seed: int, epoch: int, classes: np.ndarray) -> np.ndarray:
    """As many rows as there are, every class as often as the others (to one): rare rows come again, common ones wait.

    Within an epoch no row of a class comes again before each of them came.
    """
    return balanced_rows(seeds.generator(seed, "balanced", epoch), epoch, classes)


def balanced_rows(generator: np.random.Generator, epoch: int, classes: np.ndarray) -> np.ndarray:
    """As `balanced`, drawn from a generator of its own; of the epoch depends which class has a row more."""
    present = np.unique(classes)
    each, more = divmod(len(classes), len(present))
    chosen: list[np.ndarray] = []
    for place, value in enumerate(present):
        rows = np.flatnonzero(classes == value)
        wanted = each + ((place + epoch) % len(present) < more)
        rounds = [generator.permutation(rows) for _ in range(-(-wanted // len(rows)))]
        chosen.append(np.concatenate(rounds)[:wanted])
    return np.asarray(generator.permutation(np.concatenate(chosen)))
