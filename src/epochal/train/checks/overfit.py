"""Learning one small batch by heart: what cannot even do that has a fault in its settings or in its data."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np

from epochal.train import seeds
from epochal.train.checks.facts import Overfit
from epochal.train.checks.subject import Subject, floor_loss, guess_loss
from epochal.train.checks.untrained import OWN_LOSS
from epochal.train.families.trees import BoostingLearner, fit_tree_target, tree_rows
from epochal.train.state import Learner, Plan


LEARNT = 0.1
"""Of the way from a constant answer to the lowest loss there is, so much may be left."""

_ROWS = 32
_CANDIDATES = 256
"""Among so many rows a linear model's batch is looked for."""
_INDEPENDENT = 16
_LEAST_NEW = 0.05
"""How much of a row must be new beside the rows chosen, of the most there is in any."""
_STEPS = 800
_CHUNK = 20
_ROUNDS = 200
_NO_CARE = {"min_data_in_bin": 1}
"""LightGBM's cautions about few rows: here few rows are to be learnt by heart."""


def overfit(subject: Subject, until: float) -> Overfit:
    """Train on one batch alone, without dropout, decay, weights or smoothing.

    When the settings in force do not learn it, the family's own optimiser and rate are tried: they tell a fault of the
    settings from one of the data. `until` is a moment of `time.perf_counter`.
    """
    family, plan = subject.family, subject.plan
    batch = subject.rows(_batch(subject))
    task, target = batch.prepared.data.task, batch.prepared.data.train.target
    guess, floor = guess_loss(task, target), floor_loss(task, target, batch.seen())
    wanted = floor + LEARNT * (guess - floor)
    otherwise: float | None = None
    if family == "trees":
        steps, loss, cut = _advance(_boosting(batch), wanted, until, _ROUNDS)
    else:
        bare = _bare(plan, family, batch.num_rows)
        steps, loss, cut = _advance(batch.network(bare), wanted, until, _STEPS)
        own = replace(bare, optimiser="adamw", learning_rate=subject.pace.learning_rate)
        if loss > wanted and own != bare and time.perf_counter() < until:
            _, otherwise, _ = _advance(batch.network(own), wanted, until, _STEPS)
    return Overfit(
        rows=batch.num_rows,
        steps=steps,
        guess=guess,
        floor=floor,
        loss=loss,
        learning_rate=plan.learning_rate,
        otherwise=otherwise,
        cut_short=cut,
        why_not=OWN_LOSS if subject.own_loss else "",
    )


def _bare(plan: Plan, family: str, rows: int) -> Plan:
    """The plan without all that keeps a model from learning rows by heart."""
    options = dict(plan.options)
    if "dropout" in options:
        options["dropout"] = 0.0
    if family == "linear":
        options["l2"] = 0.0
    return replace(
        plan,
        epochs=_STEPS,
        batch_size=rows,
        schedule="constant",
        warm_up=0.0,
        weight_decay=0.0,
        label_smoothing=0.0,
        class_weights="none",
        sampling="natural",
        ema=0.0,
        accumulate=1,
        options=options,
    )


def _advance(learner: Learner, wanted: float, until: float, most: int) -> tuple[int, float, bool]:
    """Steps taken, the last loss (infinite when it was no number), and whether time ended it.

    The first step is taken alone, and timed: however long one takes, few are taken at once when time is nearly up.
    """
    loss, began, chunk = math.inf, time.perf_counter(), 1
    while learner.step < min(most, learner.total_steps):
        window = learner.advance(min(chunk, most - learner.step))
        if not window.healthy:
            return learner.step, math.inf, False
        if not window.count:
            break
        judged = learner.evaluate().loss  # without what a model of one's own leaves out by chance in training
        loss = window.loss_min if math.isnan(judged) else judged
        now = time.perf_counter()
        if loss <= wanted:
            break
        if now > until:
            return learner.step, loss, True
        affordable = int((until - now) / max(1e-9, (now - began) / learner.step))
        chunk = max(1, min(_CHUNK - learner.step % _CHUNK, affordable))
    return learner.step, loss, False


def _boosting(batch: Subject) -> BoostingLearner:
    data, rows = batch.prepared.data, batch.num_rows
    target = fit_tree_target(data.task, data.train.target, len(data.classes))
    options = {**batch.plan.options, "leaves": max(2, rows), "min_leaf": 1, "row_share": 1.0, "column_share": 1.0}
    return BoostingLearner(
        plan=replace(batch.plan, epochs=_ROUNDS, learning_rate=0.3, options=options),
        target=target,
        # Codes as plain numbers: how LightGBM groups categories is careful about few rows too.
        train=replace(tree_rows(target, batch.prepared.train, data.train.target, None), categories=()),
        validation=None,
        also=_NO_CARE,
    )


def _batch(subject: Subject) -> np.ndarray:
    """Rows over the whole range of the target; for a linear model such as it can tell apart, with their equals."""
    target, dense = subject.prepared.data.train.target, subject.dense
    by_target = np.argsort(target, kind="stable")

    def spread(most: int) -> np.ndarray:
        places = np.linspace(0, len(target) - 1, min(most, len(target))).round().astype(np.int64)
        return np.asarray(by_target[places])

    if subject.family != "linear" or dense is None:
        return np.sort(spread(_ROWS))
    # In any order but that of the target: among equally good rows the first are taken.
    candidates = seeds.generator(subject.plan.seed, "batch").permutation(spread(_CANDIDATES))
    seen = subject.rows(candidates).seen()
    numbers, codes = dense.train.numbers.numpy()[candidates], dense.train.codes.numpy()[candidates]
    chosen = _independent(1 + numbers @ numbers.T + _shared(codes))
    equal = (seen[:, None] == seen[chosen][None]).all(axis=2).any(axis=1)
    equal[chosen] = False
    more = np.flatnonzero(equal)[: _ROWS - len(chosen)]
    return np.sort(candidates[np.concatenate([chosen, more])])


def _shared(codes: np.ndarray) -> np.ndarray:
    """How many known codes each two rows have in common, float64 (rows, rows)."""
    shared = np.zeros((len(codes), len(codes)))
    for column in codes.T:
        shared += (column[:, None] == column[None]) & (column[:, None] > 0)
    return shared


def _independent(products: np.ndarray) -> np.ndarray:
    """Rows of which none is a sum of the others, the most different first: a linear model can give each any answer.

    `products` are the rows' inner products; they are found by a Cholesky decomposition with pivots.
    """
    left = products.diagonal().astype(np.float64).copy()
    least = _LEAST_NEW * left.max()
    factors: list[np.ndarray] = []
    chosen: list[int] = []
    while len(chosen) < min(_INDEPENDENT, len(left)):
        pivot = int(left.argmax())
        if left[pivot] <= least:
            break
        row = products[pivot].astype(np.float64)
        for factor in factors:
            row = row - factor[pivot] * factor
        row = row / math.sqrt(left[pivot])
        factors.append(row)
        chosen.append(pivot)
        left = left - row**2
        left[chosen] = 0.0
    return np.array(chosen, dtype=np.int64)
