"""From rows and a plan to a learner: the one place that knows which family learns how."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
from epochal.train.families.trees import BoostingLearner, TreeTarget, fit_tree_target, tree_rows
from epochal.train.feed import Feed, Held, MemoryFeed, MemoryRows, num_batches
from epochal.train.gradient import GradientLearner
from epochal.train.holding import needs_all_rows
from epochal.train.network import Shape
from epochal.train.objective import Target, fit_target
from epochal.train.order import row_order
from epochal.train.own.make import Own, make_own, open_own
from epochal.train.prepare import Dense, Preparation, Raw, fit_preparation
from epochal.train.rows import TrainingData
from epochal.train.stages import ranked_by
from epochal.train.state import Learner, Plan
from epochal.train.streamed import Streamed
from epochal.train.streamed_trees import tree_rows_from_disk
from epochal.train.team import SOLO, Team, in_parts


_FIRST_MODEL_STEPS, _FIRST_MODEL_BATCH = 500, 256
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


def with_own(prepared: Prepared, project: Project, folder: Path, files: Mapping[str, str]) -> Prepared:
    """What was prepared, with the class that the project in `folder` names; `files` are its trusted files by sha256.

    Raises OwnModelError, SettingsError, and RunError: code-changed when a file is another now, needs-all-rows when it
    makes tensors or batches of rows that do not fit into memory.
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
        seed=project.train.seed,
    )
    if own.reader is not None:
        if data.train.sampled_from:
            made = "batches" if own.reader.makes_batches else "prepare"
            raise needs_all_rows(f"`{made}` of the model is given all rows", f"take `{made}` out of the class")
        own.reader.remember(data.train.inputs, data.validation.inputs)
    return replace(prepared, own=own)


def make_learner(
    prepared: Prepared,
    family: str,
    plan: Plan,
    dense: DenseRows | None = None,
    *,
    fitted: Mapping[str, Tensor] | None = None,
    team: Team = SOLO,
) -> Made:
    """A fresh learner: equal for equal data, plan and seed, but for what each rank of a team drops out.

    `fitted` is what a network takes from the rows beside its weights, where that was taken from more rows than these.
    Raises NoDevice when the plan's device is not here.
    """
    data, streamed = prepared.data, prepared.streamed
    if streamed is not None:
        target = streamed.target(plan.class_weights)
    else:
        target = fit_target(data.task, data.train.target, len(data.classes), plan.class_weights)
    if family == "trees":
        return Made(learner=_make_trees(prepared, plan, target), target=target, fitted={})
    rows = dense or dense_rows(prepared)
    ranking = _ranking(prepared, plan, rows)
    if ranking is not None and team.size > 1:  # losses may round to another order on another machine
        ranking = ranking.copy()
        team.follow([torch.from_numpy(ranking)])
    if prepared.own is not None:
        own = make_own(prepared, prepared.own, plan=plan, target=target, dense=rows, ranking=ranking, team=team)
        return Made(learner=own, target=target, fitted={})
    device = same_device(plan.device)
    network = NETWORKS[family]
    seeds.seed_torch(plan.seed, "fit")
    if fitted is None:
        fitted = network.fit(rows.train.numbers, plan.options) if network.fit else {}
    seeds.seed_torch(plan.seed, "weights")
    module = network.build(prepared.shape, plan.options, fitted).to(device)
    seeds.seed_torch(plan.seed, "steps", *([team.rank] if team.rank else []))
    feed, validation = (
        streamed.feed(plan, target, device)
        if streamed is not None
        else _in_memory(data, rows, plan=plan, target=target, ranking=ranking, device=device, team=team)
    )
    learner = GradientLearner(
        module=module,
        plan=plan,
        target=target,
        feed=feed,
        validation=validation,
        device=device,
        team=team,
        judged_by_parts=in_parts(len(data.validation), team),
    )
    return Made(learner=learner, target=target, fitted=fitted)


def _in_memory(
    data: TrainingData,
    rows: DenseRows,
    *,
    plan: Plan,
    target: Target,
    ranking: np.ndarray | None,
    device: torch.device,
    team: Team,
) -> tuple[Feed, Held | None]:
    """What a network learns from and what this rank judges it by, where it all fits."""
    train = _rows(rows.train, target, data.train.target, device)
    order = row_order(plan, data.train.target, ranking)
    feed = MemoryFeed(train, order, num_batches(len(data.train), plan.batch_size), even=plan.compiled)
    if not len(data.validation):
        return feed, None
    values = data.validation.target
    start, end = team.part(len(values)) if in_parts(len(values), team) else (0, len(values))
    mine = Dense(numbers=rows.validation.numbers[start:end], codes=rows.validation.codes[start:end])
    return feed, MemoryRows(_rows(mine, target, values[start:end], device))


def _ranking(prepared: Prepared, plan: Plan, rows: DenseRows) -> np.ndarray | None:
    """The training rows, those to be fed first first; None unless they are fed gradually."""
    if plan.feed != "gradual":
        return None
    train = prepared.data.train
    if plan.feed_by and train.beside is not None:
        return ranked_by(train.beside, plan.feed_by, plan.feed_first)
    # With settings of its own: which rows are hard does not depend on how the run learns.
    first = Plan(
        epochs=max(1, _FIRST_MODEL_STEPS // num_batches(len(train), _FIRST_MODEL_BATCH)),
        batch_size=_FIRST_MODEL_BATCH,
        evaluate_every=_FIRST_MODEL_STEPS,
        learning_rate=0.02,
        schedule="one-cycle",
        weight_decay=0.0,
        patience=_FIRST_MODEL_STEPS,
        precision="float32",
        device=plan.device,
        threads=plan.threads,
        seed=plan.seed,
        class_weights="none",
        options={"l2": "auto"},
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
    return num_batches(prepared.data.train.total, batch_size)


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
