"""What is checked, some of its rows, and what their targets alone say of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from epochal.train.families.networks import NETWORKS, OWN_NETWORK, Pace
from epochal.train.gradient import GradientLearner
from epochal.train.make import DenseRows, Made, Prepared, make_learner
from epochal.train.prepare import Dense, Raw
from epochal.train.rows import Rows
from epochal.train.scoring import spread_of
from epochal.train.state import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is checked: rows, and the plan that a run would follow."""

    prepared: Prepared
    family: str
    plan: Plan
    dense: DenseRows | None
    fitted: Mapping[str, Tensor] = field(default_factory=dict)
    """What the family takes from all training rows beside its weights."""
    own_loss: bool = False
    """Whether the model brings a loss of its own, of whose values nothing is known."""

    @property
    def num_rows(self) -> int:
        """Training rows."""
        return len(self.prepared.data.train)

    @property
    def reads(self) -> bool:
        """Whether the model makes tensors or batches of its own from the rows as read."""
        return self.prepared.own is not None and self.prepared.own.reader is not None

    @property
    def makes_batches(self) -> bool:
        """Whether the model says itself which rows a step takes."""
        own = self.prepared.own
        return own is not None and own.reader is not None and own.reader.makes_batches

    @property
    def pace(self) -> Pace:
        """The rate and decay that are the family's own."""
        return NETWORKS.get(self.family, OWN_NETWORK)

    def rows(self, index: np.ndarray) -> Subject:
        """These training rows alone, as both what is learnt from and what is judged by; inputs as read stay whole."""
        prepared, dense = self.prepared, self.dense
        # A model of a person's own may read whatever stands in its rows.
        rows = prepared.data.train.take(index) if self.reads else _rows(prepared.data.train, index)
        raw = _raw(prepared.train, index)
        data = replace(prepared.data, train=rows, validation=rows)
        fewer = None
        if dense is not None:
            chosen = _dense(dense.train, index)
            fewer = DenseRows(train=chosen, validation=chosen)
        return replace(self, prepared=replace(prepared, data=data, train=raw, validation=raw), dense=fewer)

    def made(self, plan: Plan) -> Made:
        """A fresh learner of another plan on these rows."""
        return make_learner(self.prepared, self.family, plan, self.dense, fitted=self.fitted)

    def network(self, plan: Plan) -> GradientLearner:
        """The same for a family that learns by gradients."""
        learner = self.made(plan).learner
        assert isinstance(learner, GradientLearner)  # noqa: S101 - asked for of no other family
        return learner

    def seen(self) -> np.ndarray:
        """The training rows as the family sees them: one row of numbers each, missing ones as infinity."""
        if self.reads:
            return np.arange(self.num_rows)[:, None]  # of what it sees nothing is known: no row is taken for another
        if self.dense is None:
            numbers, codes = self.prepared.train.numbers, self.prepared.train.codes
        else:
            numbers, codes = self.dense.train.numbers.numpy(), self.dense.train.codes.numpy()
        return np.concatenate([np.nan_to_num(numbers, nan=math.inf), codes], axis=1)


def spread_out(num_rows: int, most: int) -> np.ndarray:
    """At most so many row numbers, evenly spread."""
    return np.arange(0, num_rows, max(1, -(-num_rows // most)))


def guess_loss(task: str, target: np.ndarray) -> float:
    """Loss of the best constant answer: the classes' entropy in nats, or the variance, which standardised is 1."""
    if task == "regression":
        return 1.0 if target.min() < target.max() else 0.0
    return _entropy(np.unique(target, return_counts=True)[1])


def floor_loss(task: str, target: np.ndarray, inputs: np.ndarray) -> float:
    """The lowest loss any model can reach: what is left where rows of equal inputs have different targets.

    `inputs` (rows, anything) are compared bit by bit; the loss is that of `guess_loss`, in the same units.
    """
    if not inputs.shape[1]:
        return guess_loss(task, target)
    _, group = np.unique(inputs, axis=0, return_inverse=True)
    scaled = (target - target.mean()) / spread_of(target) if task == "regression" else target
    total = 0.0
    for place in np.unique(group):
        values = scaled[group == place]
        left = float(values.var()) if task == "regression" else _entropy(np.unique(values, return_counts=True)[1])
        total += left * len(values)
    return total / len(target)


def _entropy(counts: np.ndarray) -> float:
    shares = counts / counts.sum()
    return float(-(shares * np.log(shares)).sum()) + 0.0


def _rows(rows: Rows, index: np.ndarray) -> Rows:
    return replace(rows, target=rows.target[index], eids=rows.eids[index], sampled_from=0)


def _raw(raw: Raw, index: np.ndarray) -> Raw:
    return Raw(numbers=raw.numbers[index], codes=raw.codes[index])


def _dense(dense: Dense, index: np.ndarray) -> Dense:
    chosen = torch.from_numpy(index)
    return Dense(numbers=dense.numbers[chosen], codes=dense.codes[chosen])
