"""From rows and a plan to a learner: the one place that knows which family learns how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from epochal.core.settings import Project
from epochal.project.code import read_files
from epochal.train import seeds
from epochal.train.batch import Batch, moved
from epochal.train.device import same_device
from epochal.train.families.networks import NETWORKS
from epochal.train.families.trees import BoostingLearner, fit_tree_target, tree_rows
from epochal.train.feed import MemoryFeed, MemoryRows, num_batches
from epochal.train.gradient import GradientLearner
from epochal.train.network import Shape
from epochal.train.objective import Target, fit_target
from epochal.train.order import row_order
from epochal.train.own.make import Own, make_own, open_own
from epochal.train.prepare import Dense, Preparation, Raw, fit_preparation
from epochal.train.rows import TrainingData
from epochal.train.stages import ranked_by
from epochal.train.state import Learner, Plan


_FIRST_MODEL_STEPS = 500
"""What the first small model is trained for, whose loss says which rows are easy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Training data after preparation: what learners of every family are made from."""

    data: TrainingData
    preparation: Preparation
    train: Raw
    validation: Raw
    own: Own | None = None
    """The person's class, where the model is one of their own."""

    @property
    def shape(self) -> Shape:
        """What a network for it takes and gives."""
        return Shape(
            numbers=self.preparation.num_dense,
            cardinalities=self.preparation.cardinalities,
            outputs=max(1, len(self.data.classes)),
        )


def prepare(data: TrainingData) -> Prepared:
    """Fit the preparation on the training part and apply it. Raises NoTarget when no input varies."""
    preparation, train = fit_preparation(data.columns, data.train.inputs)
    return Prepared(data=data, preparation=preparation, train=train, validation=preparation.raw(data.validation.inputs))


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


def with_own(prepared: Prepared, project: Project, folder: Path, files: Mapping[str, str]) -> Prepared:
    """What was prepared, with the class that the project in `folder` names; `files` are its trusted files by sha256.

    Raises OwnModelError, SettingsError, and RunError (code-changed) when a file is another now.
    """
    data = prepared.data
    own = open_own(
        folder,
        read_files(folder, files),
        project.model.options,
        folder=folder,
        preparation=prepared.preparation,
        task=data.task,
        classes=data.classes,
        kinds={c.name: c.kind for c in data.columns},
    )
    if own.reader is not None:
        own.reader.remember(data.train.inputs, data.validation.inputs)
    return replace(prepared, own=own)


def make_learner(
    prepared: Prepared,
    family: str,
    plan: Plan,
    dense: DenseRows | None = None,
    fitted: Mapping[str, Tensor] | None = None,
) -> Made:
    """A fresh learner: equal for equal data, plan and seed. Raises NoDevice when the plan's device is not here.

    `fitted` is what a network takes from the rows beside its weights, where that was taken from more rows than these.
    """
    data = prepared.data
    target = fit_target(data.task, data.train.target, len(data.classes), plan.class_weights)
    if family == "trees":
        return Made(learner=_make_trees(prepared, plan, target), target=target, fitted={})
    rows = dense or dense_rows(prepared)
    ranking = _ranking(prepared, plan, rows)
    if prepared.own is not None:
        own = make_own(prepared, prepared.own, plan=plan, target=target, dense=rows, ranking=ranking)
        return Made(learner=own, target=target, fitted={})
    device = same_device(plan.device)
    network = NETWORKS[family]
    seeds.seed_torch(plan.seed, "fit")
    if fitted is None:
        fitted = network.fit(rows.train.numbers, plan.options) if network.fit else {}
    seeds.seed_torch(plan.seed, "weights")
    module = network.build(prepared.shape, plan.options, fitted).to(device)
    seeds.seed_torch(plan.seed, "steps")
    train = _rows(rows.train, target, data.train.target, device)
    learner = GradientLearner(
        module=module,
        plan=plan,
        target=target,
        feed=MemoryFeed(
            train,
            row_order(plan, data.train.target, ranking),
            num_batches(len(data.train), plan.batch_size),
            even=plan.compiled,
        ),
        validation=MemoryRows(_rows(rows.validation, target, data.validation.target, device))
        if len(data.validation)
        else None,
        device=device,
    )
    return Made(learner=learner, target=target, fitted=fitted)


def _ranking(prepared: Prepared, plan: Plan, rows: DenseRows) -> np.ndarray | None:
    """The training rows, those to be fed first first; None unless they are fed gradually."""
    if plan.feed != "gradual":
        return None
    train = prepared.data.train
    if plan.feed_by and train.beside is not None:
        return ranked_by(train.beside, plan.feed_by, plan.feed_first)
    batches = num_batches(len(train), plan.batch_size)
    first = replace(
        plan, feed="all", epochs=max(1, _FIRST_MODEL_STEPS // batches), learning_rate=0.02, options={"l2": "auto"}
    )
    learner = make_learner(replace(prepared, own=None), "linear", first, rows).learner
    assert isinstance(learner, GradientLearner)  # noqa: S101 - a linear model is one
    learner.advance(learner.total_steps)
    learner.evaluate()
    target = fit_target(prepared.data.task, train.target, len(prepared.data.classes), "none")
    batch = _rows(rows.train, target, train.target, same_device(plan.device))
    return np.argsort(learner.losses_of(MemoryRows(batch)), kind="stable")


def steps_in_epoch(prepared: Prepared, family: str, batch_size: int) -> int:
    """Steps in one pass over the training rows. Raises OwnModelError."""
    if family == "trees":
        return 1
    if prepared.own is not None:
        return prepared.own.steps(prepared, batch_size)
    return num_batches(len(prepared.data.train), batch_size)


def _rows(dense: Dense, target: Target, values: np.ndarray, device: torch.device) -> Batch:
    """Prepared rows with their targets, on the device they are learnt on."""
    return moved({"numbers": dense.numbers, "codes": dense.codes, "target": target.tensor(values)}, device)


def _make_trees(prepared: Prepared, plan: Plan, target: Target) -> BoostingLearner:
    data = prepared.data
    boosted = fit_tree_target(data.task, data.train.target, len(data.classes))
    weights = None if target.weights is None else dict(enumerate(target.weights.tolist()))
    return BoostingLearner(
        plan=plan,
        target=boosted,
        train=tree_rows(boosted, prepared.train, data.train.target, weights),
        validation=tree_rows(boosted, prepared.validation, data.validation.target, None)
        if len(data.validation)
        else None,
    )
