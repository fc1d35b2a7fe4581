"""What can be learnt (tasks), how it is judged (metrics) and what learns it (families)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One way of judging predictions."""

    name: str
    title: str
    higher_is_better: bool
    meaning: str
    """One plain sentence for a beginner."""

    def better(self, value: float, than: float) -> bool:
        """Whether `value` beats `than`. NaN never wins and always loses."""
        if math.isnan(value):
            return False
        if math.isnan(than):
            return True
        return value > than if self.higher_is_better else value < than


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One thing that can be learnt from a project's data."""

    name: str
    title: str
    metrics: tuple[str, ...]
    """Names of the metrics that apply; the first is proposed."""
    question: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One setting of a family, as it may stand in [model]."""

    name: str
    default: int | float | str | bool
    meaning: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A kind of model."""

    name: str
    title: str
    tasks: tuple[str, ...]
    why: str
    """One line: when to take it."""
    options: tuple[Option, ...] = field(default=())
    idle: tuple[str, ...] = ()
    """Settings of [train] that mean nothing to it."""
    open: bool = False
    """Whether it is a person's own code: it takes further settings, which only that code knows, and is never tried unasked."""


METRICS: dict[str, Metric] = {
    m.name: m
    for m in (
        Metric(name="accuracy", title="accuracy", higher_is_better=True, meaning="Share of rows predicted right."),
        Metric(
            name="balanced_accuracy",
            title="balanced accuracy",
            higher_is_better=True,
            meaning="Share predicted right, each class counting alike.",
        ),
        Metric(
            name="f1",
            title="F1 (macro)",
            higher_is_better=True,
            meaning="Precision and recall in one number, each class counting alike.",
        ),
        Metric(
            name="f1_positive",
            title="F1 of the positive class",
            higher_is_better=True,
            meaning="Precision and recall of the rarer of two classes in one number.",
        ),
        Metric(
            name="roc_auc",
            title="ROC AUC",
            higher_is_better=True,
            meaning="How often a row of the class is ranked above one that is not.",
        ),
        Metric(
            name="average_precision",
            title="average precision",
            higher_is_better=True,
            meaning="Precision averaged over all recalls.",
        ),
        Metric(
            name="log_loss",
            title="log loss",
            higher_is_better=False,
            meaning="How surprised the model is by the truth; 0 is never.",
        ),
        Metric(
            name="ece",
            title="calibration error",
            higher_is_better=False,
            meaning="How far stated confidence is from being right; 0 is honest.",
        ),
        Metric(
            name="rmse",
            title="RMSE",
            higher_is_better=False,
            meaning="Typical error in the target's own unit, large errors counting more.",
        ),
        Metric(
            name="mae",
            title="mean absolute error",
            higher_is_better=False,
            meaning="Average error in the target's own unit.",
        ),
        Metric(
            name="r2",
            title="R²",
            higher_is_better=True,
            meaning="Share of the target's variation that is explained; 1 is all of it.",
        ),
    )
}

TASKS: dict[str, Task] = {
    t.name: t
    for t in (
        Task(
            name="classification",
            title="classification",
            metrics=(
                "accuracy",
                "balanced_accuracy",
                "f1",
                "f1_positive",
                "roc_auc",
                "average_precision",
                "log_loss",
                "ece",
            ),
            question="Which class is this row?",
        ),
        Task(name="regression", title="regression", metrics=("rmse", "mae", "r2"), question="Which number is it?"),
    )
}

_TABLE_TASKS = ("classification", "regression")

OWN = "own"
"""The family whose model is a person's own class …"""
MODULE = "module"
"""… and the setting that names it."""

FAMILIES: dict[str, Family] = {
    f.name: f
    for f in (
        Family(
            name="linear",
            title="linear model",
            tasks=_TABLE_TASKS,
            why="one weight per input; explains itself",
            options=(
                Option(
                    name="l2",
                    default="auto",
                    meaning="How strongly weights are pulled to zero; auto chooses on validation.",
                    low=0,
                    high=1e6,
                ),
            ),
        ),
        Family(
            name="mlp",
            title="small neural network",
            tasks=_TABLE_TASKS,
            why="small network; fast, a good second opinion",
            options=(
                Option(name="width", default=128, meaning="Units in each layer.", low=4, high=4096),
                Option(name="depth", default=2, meaning="Number of hidden layers.", low=1, high=16),
                Option(name="dropout", default=0.1, meaning="Share of units left out in each step.", low=0, high=0.9),
            ),
        ),
        Family(
            name="tabm",
            title="ensemble of networks in one",
            tasks=_TABLE_TASKS,
            why="strongest on small tables; several networks in one",
            options=(
                Option(name="members", default=8, meaning="Networks that share their weights.", low=2, high=64),
                Option(name="width", default=128, meaning="Units in each layer.", low=4, high=4096),
                Option(name="depth", default=2, meaning="Number of hidden layers.", low=1, high=16),
                Option(name="dropout", default=0.1, meaning="Share of units left out in each step.", low=0, high=0.9),
                Option(
                    name="embeddings",
                    default="piecewise",
                    meaning="How numbers are spread out before the first layer.",
                    choices=("piecewise", "none"),
                ),
            ),
        ),
        Family(
            name="trees",
            title="gradient-boosted trees",
            tasks=_TABLE_TASKS,
            why="gradient-boosted trees; often the one to beat",
            options=(
                Option(name="rounds", default=500, meaning="Most trees that are grown.", low=1, high=100_000),
                Option(name="leaves", default=31, meaning="Leaves of each tree.", low=2, high=4096),
                Option(name="rate", default=0.05, meaning="How much each tree corrects.", low=1e-4, high=1),
                Option(name="min_leaf", default=20, meaning="Fewest rows in a leaf.", low=1, high=1_000_000),
                Option(name="row_share", default=1.0, meaning="Share of rows each tree sees.", low=0.05, high=1),
                Option(name="column_share", default=1.0, meaning="Share of columns each tree sees.", low=0.05, high=1),
            ),
            idle=(
                "batch_size",
                "optimiser",
                "momentum",
                "schedule",
                "warm_up",
                "weight_decay",
                "clip_norm",
                "label_smoothing",
                "ema",
                "sampling",
                "feed",
                "feed_by",
                "feed_first",
                "feed_stages",
                "compile",
                "accumulate",
                "precision",
                "devices",
            ),
        ),
        Family(
            name=OWN,
            title="your own model",
            tasks=_TABLE_TASKS,
            why="your own torch module",
            options=(
                Option(
                    name=MODULE,
                    default="",
                    meaning="FILE.py:CLASS in the project's folder; every other key is a setting handed to the class.",
                ),
            ),
            open=True,
        ),
    )
}


def families_for(task: str) -> tuple[Family, ...]:
    """The families that can learn `task` and may be tried unasked, in the order they are offered."""
    return tuple(f for f in FAMILIES.values() if task in f.tasks and not f.open)
