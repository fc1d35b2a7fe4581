"""How fast a plan's learner goes: measured on a learner of its own, on as few rows as tell it, then thrown away."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import torch

from epochal.train import scoring
from epochal.train.make import DenseRows, Prepared, make_learner
from epochal.train.prepare import Dense, Raw
from epochal.train.rows import Rows
from epochal.train.state import Plan


PROBE_SECONDS = 0.4
"""Of measuring steps; making the learner and evaluating come on top."""
_TREE_ROWS = 50_000
"""A round looks at every row: on so many its time is measured, and taken to grow with the rows."""
_NETWORK_ROWS = 20_000
"""A step looks at one batch only; these are enough batches."""
_EVALUATED_ROWS = 4_096
"""Evaluating takes as much longer as there are more rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How fast a plan's learner goes, measured."""

    seconds_per_step: float
    seconds_per_evaluation: float
    """Its scoring included."""

    def of_epoch(self, steps_per_epoch: int, evaluate_every: int) -> float:
        """Seconds of one pass, its share of evaluations included."""
        return steps_per_epoch * (self.seconds_per_step + self.seconds_per_evaluation / max(1, evaluate_every))


def measure(
    prepared: Prepared, family: str, plan: Plan, dense: DenseRows | None, seconds: float = PROBE_SECONDS
) -> Rate:
    """Time the steps of a learner of its own for about `seconds`; nothing else is touched."""
    all_train, all_validation = prepared.data.train.total, prepared.data.validation.total
    most = _TREE_ROWS if family == "trees" else max(_NETWORK_ROWS, 20 * plan.batch_size)
    prepared = replace(prepared, streamed=None)  # a sample tells how long a step takes
    if prepared.own is None:  # whose rows may be of its own making
        prepared, dense = _thinned(
            prepared,
            dense,
            -(-len(prepared.data.train) // most),
            -(-len(prepared.data.validation) // _EVALUATED_ROWS),
        )
    threads = torch.get_num_threads()
    torch.set_num_threads(plan.threads)
    try:
        # Which rows come first changes nothing in how long a step takes.
        learner = make_learner(prepared, family, replace(plan, feed="all"), dense).learner
        learner.advance(1)
        learner.evaluate()  # the first call of anything pays for setting up
        before = time.perf_counter()
        prediction = learner.evaluate().prediction
        if len(prediction):
            scoring.score(prepared.data.task, prepared.data.validation.target, prediction)
        evaluation = time.perf_counter() - before
        start, taken, chunk = time.perf_counter(), 0, 1
        while True:
            taken += learner.advance(chunk).count
            passed = time.perf_counter() - start
            if passed >= seconds or learner.step >= learner.total_steps:
                break
            chunk = min(64, max(1, int(taken / passed * (seconds - passed) / 2)))
    finally:
        torch.set_num_threads(threads)
    grows = all_train / len(prepared.data.train) if family == "trees" else 1.0
    return Rate(
        seconds_per_step=passed / max(1, taken) * grows,
        seconds_per_evaluation=evaluation * all_validation / max(1, len(prepared.data.validation)),
    )


def _thinned(
    prepared: Prepared, dense: DenseRows | None, train_step: int, validation_step: int
) -> tuple[Prepared, DenseRows | None]:
    """Every so many rows of both parts, as far as a learner looks at them: inputs as read stay whole."""
    train_step, validation_step = max(1, train_step), max(1, validation_step)
    if train_step == validation_step == 1:
        return prepared, dense
    data = prepared.data
    fewer = replace(data, train=_rows(data.train, train_step), validation=_rows(data.validation, validation_step))
    thinner = replace(
        prepared,
        data=fewer,
        train=_raw(prepared.train, train_step),
        validation=_raw(prepared.validation, validation_step),
    )
    if dense is None:
        return thinner, None
    return thinner, DenseRows(
        train=_dense(dense.train, train_step), validation=_dense(dense.validation, validation_step)
    )


def _rows(rows: Rows, step: int) -> Rows:
    return replace(rows, target=rows.target[::step], eids=rows.eids[::step], sampled_from=0)


def _raw(raw: Raw, step: int) -> Raw:
    return Raw(numbers=raw.numbers[::step], codes=raw.codes[::step])


def _dense(dense: Dense, step: int) -> Dense:
    return Dense(numbers=dense.numbers[::step].contiguous(), codes=dense.codes[::step].contiguous())
