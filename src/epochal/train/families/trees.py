"""Gradient-boosted trees (LightGBM): a round is a step, so chart, stop, early stopping and resume work as for networks."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from epochal import fsio
from epochal.train.lean import lgb
from epochal.train.prepare import Raw
from epochal.train.scoring import spread_of
from epochal.train.seeds import derived_seed
from epochal.train.state import Evaluation, Notice, Plan, Window, size


_BIN_ROWS = 200_000
"""LightGBM's own number of rows from which bins are found; fewer where only a smaller sample fits into memory."""


_LEAST_CHANCE = 1e-15
"""LightGBM's own bound of what it takes the logarithm of."""


_TREE_BYTES, _LEAF_BYTES = 300, 104
"""Measured: trees of 31 leaves took 3,500 bytes each, of 8 leaves 1,020 (numbers, three classes)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeTarget:
    """How the target stands for boosting. Numbers are standardised, so that the loss reads as a network's does."""

    task: str
    num_classes: int
    mean: float = 0.0
    spread: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeRows:
    """Rows as LightGBM takes them."""

    matrix: np.ndarray | lgb.Sequence
    """float64 (rows, numbers + categories); NaN is missing, an unknown category is missing. Or what reads it in blocks."""
    label: np.ndarray
    weight: np.ndarray | None
    categories: tuple[int, ...]
    """Which columns hold codes."""


def tree_matrix(raw: Raw) -> np.ndarray:
    """Raw rows as one matrix."""
    return np.concatenate([raw.numbers, np.where(raw.codes > 0, raw.codes, np.nan)], axis=1)


class BoostingLearner:
    """A booster and the rows it grows on."""

    def __init__(
        self,
        *,
        plan: Plan,
        target: TreeTarget,
        train: TreeRows,
        validation: TreeRows | None,
        also: Mapping[str, Any] | None = None,
    ) -> None:
        """`also` are settings of LightGBM's own, beside the plan's."""
        self.plan, self.target = plan, target
        self._train, self._validation = train, validation
        self._parameters = {**parameters(plan, target), **(also or {})}
        self._booster = self._fresh()
        self._continues: lgb.Booster | None = None
        self._exhausted = False
        self._best: int | None = None
        self.threads = plan.threads
        self.step = 0
        self.behind = 0
        """Rounds that must be grown again after a `load`."""
        self._kept = ""
        """The text of the trees that they should become."""
        self._notices: tuple[Notice, ...] = ()

    @property
    def steps_per_epoch(self) -> int:
        """A round looks at every row once."""
        return 1

    @property
    def total_steps(self) -> int:
        """The rounds planned; fewer when no tree can be grown any more."""
        return self.step if self._exhausted else self.plan.epochs

    intact = True
    """Trees hold numbers alone, and one that is not grown changes nothing."""

    @property
    def num_parameters(self) -> int:
        """Leaves grown so far, all trees together."""
        return 0 if self.step == 0 else sum(t["num_leaves"] for t in self._booster.dump_model()["tree_info"])

    @property
    def booster(self) -> lgb.Booster:
        """The trees grown so far."""
        return self._booster

    def advance(self, count: int) -> Window:
        """Grow at most `count` rounds of trees."""
        losses: list[float] = []
        before = self.step
        for _ in range(min(count, self.total_steps - self.step)):
            if self._grow():
                self._exhausted = True
                break
            self.step += 1
            losses.append(self._booster.eval_train()[0][2])
        notices, self._notices = self._notices, ()
        return Window(
            count=self.step - before,
            loss=float(np.mean(losses)) if losses else math.nan,
            loss_min=min(losses, default=math.nan),
            loss_max=max(losses, default=math.nan),
            learning_rate=self.plan.learning_rate,
            grad_norm=None,
            samples=len(self._train.label) * (self.step - before),
            healthy=all(math.isfinite(loss) for loss in losses),
            losses=losses,
            notices=notices,
        )

    def _grow(self) -> bool:
        """One round; True when no tree could be split any more."""
        if self._continues is None:
            return bool(self._booster.update())
        grown = self._continues.current_iteration()
        # The public way to go on from a model is to train one round upon it.
        train = self._dataset(self._train)
        self._booster = lgb.train(
            self._parameters,
            train,
            num_boost_round=1,
            init_model=self._continues,
            valid_sets=[self._dataset(self._validation, train)] if self._validation is not None else None,
            keep_training_booster=True,
        )
        self._continues = None
        return bool(self._booster.current_iteration() == grown)

    def evaluate(self) -> Evaluation:
        """Loss and predictions on validation."""
        if self._validation is None:
            return Evaluation(loss=math.nan, prediction=np.empty(0))
        if self._continues is not None:
            return self._judged_alone(self._continues, self._validation)
        found: list[np.ndarray] = []

        def keep(predicted: np.ndarray, _rows: lgb.Dataset) -> tuple[str, float, bool]:
            found.append(np.array(predicted))
            return "kept", 0.0, True

        results = self._booster.eval_valid(feval=keep)
        return Evaluation(loss=float(results[0][2]), prediction=as_prediction(self.target, found[-1]))

    def _judged_alone(self, booster: lgb.Booster, rows: TreeRows) -> Evaluation:
        """The same of trees that were loaded and have not grown since: LightGBM does not join them to rows before."""
        said = np.asarray(booster.predict(rows.matrix, num_threads=self.threads))
        # It holds labels and weights as float32.
        if self.target.task == "regression":
            losses = (said - rows.label.astype(np.float32)) ** 2
        else:
            chances = as_prediction(self.target, said)[np.arange(len(rows.label)), rows.label.astype(np.int64)]
            losses = -np.log(np.maximum(chances, _LEAST_CHANCE))
        weights = None if rows.weight is None else rows.weight.astype(np.float32)
        return Evaluation(loss=float(np.average(losses, weights=weights)), prediction=as_prediction(self.target, said))

    def lower_rate(self) -> None:
        """Trees have one rate for all rounds."""

    def use_threads(self, threads: int) -> None:
        """Grow with so many from now on; the trees are the same."""
        self.threads = threads
        self._parameters = {**self._parameters, "num_threads": threads}
        self._booster.reset_parameter({"num_threads": threads})

    def remember(self) -> None:
        """Keep the number of rounds as the best."""
        self._best = self.step

    def recall(self) -> None:
        """Leave out the rounds after the best: what is judged, and kept, ends with it."""
        if self._best is None or self._best >= self._booster.current_iteration():
            return
        if isinstance(self._train.matrix, lgb.Sequence):
            # Rows that are read in blocks are judged by the scores that grow with the trees: they go back with them.
            for _ in range(self._booster.current_iteration() - self._best):
                self._booster.rollback_one_iter()
        else:
            self._booster = self._continues = lgb.Booster(model_str=self._text(self._best))

    def gather(self) -> None:
        """Nothing: trees grow in one process."""

    def save(self, folder: Path) -> None:
        """Write the text model and the counters."""
        fsio.write_text(folder / "model.txt", self._text(-1))
        counted: dict[str, Any] = {"step": self.step, "best": self._best, "threads": self.threads}
        if self._exhausted:
            counted["exhausted"] = True
        fsio.write_text(folder / "learner.json", json.dumps(counted) + "\n")

    def load(self, folder: Path) -> None:
        """Go on from what `save` wrote.

        LightGBM does not keep the state of its sampling, so where rows or columns are sampled the rounds are `behind`:
        grown again they draw alike; so they are where rows are read in blocks, over which it cannot go on from a model.
        Else the text model is gone on from, which is equal to the bit.
        """
        counted = json.loads((folder / "learner.json").read_text(encoding="utf-8"))
        self._best, self.threads = counted["best"], int(counted["threads"])
        self._exhausted = bool(counted.get("exhausted", False))
        self._parameters = {**self._parameters, "num_threads": self.threads}
        sampled = min(size(self.plan.options, "row_share"), size(self.plan.options, "column_share")) < 1
        if sampled or isinstance(self._train.matrix, lgb.Sequence):
            self._booster, self.behind = self._fresh(), counted["step"]
            self._kept = (folder / "model.txt").read_text(encoding="utf-8")
        else:
            self._booster = lgb.Booster(model_file=str(folder / "model.txt"))
            self._continues = self._booster
        self.step = counted["step"]

    def catch_up(self, count: int) -> None:
        """Grow at most `count` of the rounds that are behind.

        Should other trees come out, the checkpoint's are gone on from where LightGBM can: over rows in memory.
        """
        for _ in range(min(count, self.behind)):
            self._booster.update()
            self.behind -= 1
        if self.behind or not self._kept:
            return
        if self._text(-1) != self._kept:
            text = "grown again, the trees were others than those of the checkpoint: it goes on from"
            if isinstance(self._train.matrix, lgb.Sequence):
                text = f"{text} the new ones"
            else:
                self._booster = lgb.Booster(model_str=self._kept)
                self._continues = self._booster
                text = f"{text} the checkpoint's, and samples otherwise than it would have"
            self._notices = (Notice(code="again-differs", text=text),)
        self._kept = ""

    def release(self) -> None:
        """Let go of the rows, as LightGBM keeps them too."""
        self._booster.free_dataset()

    def save_model(self, folder: Path) -> None:
        """Write the trees up to the best round as LightGBM's own text."""
        rounds = self.step if self._best is None else self._best
        fsio.write_text(folder / "model.txt", self._text(rounds))

    def _text(self, rounds: int) -> str:
        """The model as text. LightGBM notes how many rounds its last call was asked for: that is made the plan's."""
        text: str = self._booster.model_to_string(num_iteration=rounds)
        return re.sub(r"(?m)^\[num_iterations: \d+\]$", f"[num_iterations: {self.plan.epochs}]", text)

    def _fresh(self) -> lgb.Booster:
        train = self._dataset(self._train)
        booster = lgb.Booster(self._parameters, train)
        if self._validation is not None:
            booster.add_valid(self._dataset(self._validation, train), "validation")
        return booster

    def _dataset(self, rows: TreeRows, reference: lgb.Dataset | None = None) -> lgb.Dataset:
        """The rows in LightGBM's bins: those of `reference`, where it is given."""
        return lgb.Dataset(
            rows.matrix,
            label=rows.label,
            weight=rows.weight,
            categorical_feature=list(rows.categories),
            reference=reference,
            params=self._parameters,
            free_raw_data=False,
        )


def text_bytes(options: Mapping[str, Any], *, rounds: int, outputs: int, rows: int) -> int:
    """About what so many rounds take as LightGBM's text, grown on so many rows; `outputs` trees are grown in each."""
    leaves = max(1, min(int(size(options, "leaves")), rows // max(1, int(size(options, "min_leaf")))))
    return rounds * outputs * (_TREE_BYTES + leaves * _LEAF_BYTES)


def parameters(plan: Plan, target: TreeTarget) -> dict[str, Any]:
    """LightGBM's own settings."""
    if target.task == "regression":
        objective: dict[str, Any] = {"objective": "regression", "metric": "l2"}
    elif target.num_classes == 2:
        objective = {"objective": "binary", "metric": "binary_logloss"}
    else:
        objective = {"objective": "multiclass", "num_class": target.num_classes, "metric": "multi_logloss"}
    options = plan.options
    return {
        **objective,
        "learning_rate": plan.learning_rate,
        "num_leaves": options["leaves"],
        "min_data_in_leaf": options["min_leaf"],
        "bagging_fraction": options["row_share"],
        "bagging_freq": int(size(options, "row_share") < 1),
        "feature_fraction": options["column_share"],
        "seed": derived_seed(plan.seed, "trees") % 2**31,
        "num_threads": plan.threads,
        "deterministic": True,
        "force_col_wise": True,
        "feature_pre_filter": False,
        "verbosity": -1,
        **({"bin_construct_sample_cnt": min(_BIN_ROWS, plan.sample_rows)} if plan.sample_rows else {}),
    }


def as_prediction(target: TreeTarget, predicted: np.ndarray) -> np.ndarray:
    """Probabilities (rows, classes), or numbers (rows,) in the target's unit."""
    if target.task == "regression":
        return np.asarray(predicted * target.spread + target.mean)
    if target.num_classes == 2:
        return np.stack([1 - predicted, predicted], axis=1)
    return np.asarray(predicted).reshape(len(predicted), target.num_classes)


def predict_trees(booster: lgb.Booster, target: TreeTarget, raw: Raw) -> np.ndarray:
    """What a finished model says of raw rows."""
    if not len(raw.codes):
        return np.empty((0, target.num_classes) if target.task == "classification" else 0)
    return as_prediction(target, np.asarray(booster.predict(tree_matrix(raw), num_threads=1)))


def fit_tree_target(task: str, target: np.ndarray, num_classes: int) -> TreeTarget:
    """The target's place and spread from the training rows."""
    if task == "regression":
        return TreeTarget(task=task, num_classes=0, mean=float(target.mean()), spread=spread_of(target))
    return TreeTarget(task=task, num_classes=num_classes)


def tree_rows(target: TreeTarget, raw: Raw, values: np.ndarray, weights: Mapping[int, float] | None) -> TreeRows:
    """Raw rows with their labels; `weights` of classes, if any."""
    label = (values - target.mean) / target.spread if target.task == "regression" else values
    return TreeRows(
        matrix=tree_matrix(raw),
        label=label,
        weight=None if weights is None else np.array([weights[int(v)] for v in values]),
        categories=tuple(range(raw.numbers.shape[1], raw.numbers.shape[1] + raw.codes.shape[1])),
    )
