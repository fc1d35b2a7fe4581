"""From rows and a plan to a learner: the one place that knows which family learns how."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from epochal.train import seeds
from epochal.train.batch import Batch, moved
from epochal.train.device import same_device
from epochal.train.families.networks import NETWORKS
from epochal.train.families.trees import BoostingLearner, TreeTarget, fit_tree_target, tree_rows
from epochal.train.feed import Feed, Held, MemoryFeed, MemoryRows, num_batches
from epochal.train.gradient import GradientLearner
from epochal.train.network import Shape
from epochal.train.objective import Target, fit_target
from epochal.train.order import row_order
from epochal.train.prepare import Dense, Preparation, Raw, fit_preparation
from epochal.train.rows import TrainingData
from epochal.train.state import Learner, Plan
from epochal.train.streamed import Streamed
from epochal.train.streamed_trees import tree_rows_from_disk


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Training data after preparation: what learners of every family are made from."""

    data: TrainingData
    preparation: Preparation
    train: Raw
    validation: Raw
    streamed: Streamed | None = None
    """Where the rows do not fit into memory: then those here are a sample."""

    @property
    def truth(self) -> np.ndarray:
        """The target of every validation row."""
        return self.data.validation.target if self.streamed is None else self.streamed.truth

    def raw_validation(self) -> Iterator[Raw]:
        """All validation rows, some at a time."""
        return iter((self.validation,)) if self.streamed is None else self.streamed.raw_validation(self.preparation)

    @property
    def shape(self) -> Shape:
        """What a network for it takes and gives."""
        return Shape(
            numbers=self.preparation.num_dense,
            cardinalities=self.preparation.cardinalities,
            outputs=max(1, len(self.data.classes)),
        )


def prepare(data: TrainingData, streamed: Streamed | None = None) -> Prepared:
    """Fit the preparation on the training part and apply it. Raises NoTarget when no input varies."""
    gaps = streamed.gaps if streamed is not None else ()
    preparation, train = fit_preparation(data.columns, data.train.inputs, gaps)
    validation = preparation.raw(data.validation.inputs)
    return Prepared(data=data, preparation=preparation, train=train, validation=validation, streamed=streamed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A learner and what a bundle must keep beside its weights."""

    learner: Learner
    target: Target
    fitted: Mapping[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseRows:
    """Rows scaled for networks; made once and shared by learners of several plans."""

    train: Dense
    validation: Dense


def dense_rows(prepared: Prepared) -> DenseRows:
    """Both parts as a network takes them."""
    return DenseRows(
        train=prepared.preparation.dense(prepared.train), validation=prepared.preparation.dense(prepared.validation)
    )


def make_learner(prepared: Prepared, family: str, plan: Plan, dense: DenseRows | None = None) -> Made:
    """A fresh learner: equal for equal data, plan and seed. Raises NoDevice when the plan's device is not here."""
    data, streamed = prepared.data, prepared.streamed
    if streamed is not None:
        target = streamed.target(plan.class_weights)
    else:
        target = fit_target(data.task, data.train.target, len(data.classes), plan.class_weights)
    if family == "trees":
        return Made(learner=_make_trees(prepared, plan, target), target=target, fitted={})
    device = same_device(plan.device)
    rows = dense or dense_rows(prepared)
    network = NETWORKS[family]
    seeds.seed_torch(plan.seed, "fit")
    fitted = network.fit(rows.train.numbers, plan.options) if network.fit else {}
    seeds.seed_torch(plan.seed, "weights")
    module = network.build(prepared.shape, plan.options, fitted).to(device)
    seeds.seed_torch(plan.seed, "steps")
    feed, validation = (
        streamed.feed(plan, target, device) if streamed is not None else _in_memory(data, rows, plan, target, device)
    )
    learner = GradientLearner(module=module, plan=plan, target=target, feed=feed, validation=validation, device=device)
    return Made(learner=learner, target=target, fitted=fitted)


def _in_memory(
    data: TrainingData, rows: DenseRows, plan: Plan, target: Target, device: torch.device
) -> tuple[Feed, Held | None]:
    """What a network learns from and is judged by, where it all fits."""
    train = _rows(rows.train, target, data.train.target, device)
    feed = MemoryFeed(train, row_order(plan, data.train.target), num_batches(len(data.train), plan.batch_size))
    if not len(data.validation):
        return feed, None
    return feed, MemoryRows(_rows(rows.validation, target, data.validation.target, device))


def _rows(dense: Dense, target: Target, values: np.ndarray, device: torch.device) -> Batch:
    """Prepared rows with their targets, on the device they are learnt on."""
    return moved({"numbers": dense.numbers, "codes": dense.codes, "target": target.tensor(values)}, device)


def _make_trees(prepared: Prepared, plan: Plan, target: Target) -> BoostingLearner:
    data = prepared.data
    weights = None if target.weights is None else dict(enumerate(target.weights.tolist()))
    if prepared.streamed is not None:
        boosted = TreeTarget(task=data.task, num_classes=len(data.classes), mean=target.mean, spread=target.spread)
        train, validation = tree_rows_from_disk(prepared.streamed, prepared.preparation, boosted, weights)
        return BoostingLearner(plan=plan, target=boosted, train=train, validation=validation)
    boosted = fit_tree_target(data.task, data.train.target, len(data.classes))
    return BoostingLearner(
        plan=plan,
        target=boosted,
        train=tree_rows(boosted, prepared.train, data.train.target, weights),
        validation=tree_rows(boosted, prepared.validation, data.validation.target, None)
        if len(data.validation)
        else None,
    )
