"""Training is a state and a step: `TrainState` is all that a checkpoint holds, `advance` takes it further.

A learner is what knows a kind of model: networks in `gradient.py`, boosted trees in `families/trees.py`. Nothing here
knows which it is, so chart, stop, early stopping and resume work alike for all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from epochal.core.tasks import METRICS
from epochal.train import scoring
from epochal.train.team import SOLO, Team


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What every "auto" became. Saved in run.toml before the first step; a resume takes it from there."""

    epochs: int
    """Passes over the training rows; for trees the rounds, as each looks at every row once."""
    batch_size: int
    evaluate_every: int
    """Steps between evaluations."""
    learning_rate: float
    schedule: str
    weight_decay: float
    patience: int
    """Evaluations without a better one before it stops."""
    precision: str
    device: str
    threads: int
    seed: int
    class_weights: str
    optimiser: str = "adamw"
    momentum: float = 0.9
    """Of sgd."""
    warm_up: float = 0.1
    """Share of the steps in which the learning rate rises."""
    clip_norm: float = 5.0
    """Gradients longer than this are shortened to it; 0 for never."""
    label_smoothing: float = 0.0
    ema: float = 0.0
    """Decay of the running average of the weights that is judged and kept; 0 for none."""
    sampling: str = "natural"
    feed: str = "all"
    feed_by: str = ""
    """gradual: the column that says which rows come first; empty: the loss of a first small model says it."""
    feed_first: str = "high"
    feed_stages: int = 4
    one_thread_seconds: float = 0.0
    """What a step took with one thread, its share of evaluations included, where several were measured to be faster."""
    compiled: bool = False
    """Whether torch compiles the steps."""
    accumulate: int = 1
    """Pieces in which each batch is computed."""
    sample_rows: int = 0
    """Where the rows are read from disk in blocks, how many of them the preparation is fitted on; 0 for held in memory."""
    window_rows: int = 0
    """Rows that are mixed with one another, then …"""
    block_rows: int = 0
    """… in blocks of so many neighbours."""
    options: Mapping[str, int | float | str | bool] = field(default_factory=dict)
    """Every setting of the family."""

    def as_resolved(self) -> dict[str, Any]:
        """As plain data for run.toml."""
        return asdict(self)


def plan_from(resolved: Mapping[str, Any]) -> Plan:
    """The plan back from run.toml. Raises TypeError for what is none."""
    return Plan(**{f.name: resolved[f.name] for f in fields(Plan) if f.name in resolved})


def size(options: Mapping[str, int | float | str | bool], name: str) -> float:
    """A setting that is a number. Raises ValueError when it is none."""
    return float(options[name])


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something a learner did that a person should know."""

    code: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Some steps, aggregated."""

    count: int
    loss: float
    """Mean over the steps."""
    loss_min: float
    loss_max: float
    learning_rate: float
    """Of the last step."""
    grad_norm: float | None
    """Mean over the steps."""
    samples: int
    healthy: bool
    """False: a loss or gradient was not finite; the step that met it was not taken."""
    losses: Sequence[float] = ()
    """Of each step."""
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What the model says of the validation rows."""

    loss: float
    prediction: np.ndarray
    """Probabilities (rows, classes), or numbers (rows,) in the target's unit."""
    notices: tuple[Notice, ...] = ()


class Learner(Protocol):
    """A model while it learns. `step` counts what was done since the run began, over all resumes."""

    step: int
    threads: int
    """It computes with."""

    @property
    def total_steps(self) -> int:
        """Where it ends when nothing ends it before."""

    @property
    def steps_per_epoch(self) -> int:
        """Steps in one pass over the training rows."""

    @property
    def num_parameters(self) -> int:
        """Numbers that are learnt; for trees the leaves so far."""

    def advance(self, count: int) -> Window:
        """Take at most `count` steps."""

    def evaluate(self) -> Evaluation:
        """Judge the model as it is on the validation rows."""

    def lower_rate(self) -> None:
        """Learn more slowly from now on."""

    def use_threads(self, threads: int) -> None:
        """Compute with so many from now on, in the thread that calls."""

    def remember(self) -> None:
        """Keep the model as it is as the best so far."""

    def recall(self) -> None:
        """Make the best so far the model, if one was kept."""

    def gather(self) -> None:
        """Take in what only other ranks know, for the next save. All ranks call it."""

    def save(self, folder: Path) -> None:
        """Write all of its state into a folder."""

    def load(self, folder: Path) -> None:
        """Go on from what `save` wrote. What `behind` says is then to be done before anything else."""

    @property
    def intact(self) -> bool:
        """Whether all that it keeps are the numbers of its step: one that was not taken may have changed some."""

    @property
    def behind(self) -> int:
        """Steps that must be done again until it is where `load` found it, as no file keeps what they made."""

    def catch_up(self, count: int) -> None:
        """Do at most `count` of these again."""

    def release(self) -> None:
        """Let go of its rows: no step and no evaluation is asked for any more, and the bundle takes memory too."""

    def save_model(self, folder: Path) -> None:
        """Write the model alone, for the bundle."""


@dataclass(slots=True, kw_only=True)
class Counters:
    """What is counted beside the learner's own state; all of it JSON."""

    seconds: float = 0.0
    """Training time over all hosts that drove the run."""
    samples: int = 0
    evaluations: int = 0
    best_step: int | None = None
    best_value: float = math.nan
    best_loss: float = math.nan
    without_better: int = 0
    """Evaluations since the best."""
    loss_sum: float = 0.0
    """Of the steps since the newest evaluation, one by one: a sum over windows would depend on the clock …"""
    loss_steps: int = 0
    last_train_loss: float = math.nan
    """… and their mean; right after an evaluation that of the steps before it."""
    last_value: float = math.nan
    """The chosen metric at the newest evaluation …"""
    last_loss: float = math.nan
    """… and the validation loss there."""


@dataclass(slots=True, kw_only=True)
class TrainState:
    """All that a checkpoint holds."""

    learner: Learner
    plan: Plan
    metric: str
    counters: Counters = field(default_factory=Counters)

    @property
    def epoch(self) -> float:
        """Passes done, fractional."""
        return self.learner.step / self.learner.steps_per_epoch

    @property
    def finished(self) -> bool:
        """Whether every step planned was done."""
        return self.learner.step >= self.learner.total_steps

    @property
    def out_of_patience(self) -> bool:
        """Whether validation no longer got better."""
        return self.counters.without_better >= self.plan.patience

    @property
    def healthy(self) -> bool:
        """Whether the newest losses are numbers; there may be none yet.

        Where the best model's validation loss is no number either, that says nothing of the weights: so are model and rows.
        """
        counters = self.counters
        trained = not self.learner.step or math.isfinite(counters.last_train_loss)
        return trained and (math.isfinite(counters.last_loss) or not math.isfinite(counters.best_loss))

    @property
    def evaluation_due(self) -> bool:
        """Whether this step ends with an evaluation."""
        return self.learner.step > 0 and (self.learner.step % self.plan.evaluate_every == 0 or self.finished)

    @property
    def steps_to_evaluation(self) -> int:
        """Steps until the next evaluation; at least one."""
        step = self.learner.step
        return min(self.plan.evaluate_every - step % self.plan.evaluate_every, max(1, self.learner.total_steps - step))


def advance(state: TrainState, count: int) -> Window:
    """Take at most `count` steps, not past the next evaluation."""
    window = state.learner.advance(min(count, state.steps_to_evaluation))
    state.counters.samples += window.samples
    counters = state.counters
    for loss in window.losses:
        counters.loss_sum += loss
        counters.loss_steps += 1
    if window.losses:
        counters.last_train_loss = counters.loss_sum / counters.loss_steps
    return window


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One evaluation, scored."""

    loss: float
    metrics: Mapping[str, float]
    value: float
    """The chosen metric; NaN where it is not defined."""
    best: bool
    notices: tuple[Notice, ...] = ()


def judge(state: TrainState, task: str, truth: np.ndarray, positive: int, team: Team = SOLO) -> Verdict:
    """Evaluate, score, and keep the model if it is the best so far.

    Better is by the metric; among equals (accuracy on few rows has many) by the loss. All ranks call it; the first scores,
    and by its loss all of them go: what a model of a person's own draws when it is judged is another on each.
    """
    evaluation = state.learner.evaluate()
    metrics, loss = team.said(
        lambda: (scoring.score(task, truth, evaluation.prediction, positive=positive), evaluation.loss)
    )
    value = metrics.get(state.metric, math.nan)
    counters, metric = state.counters, METRICS[state.metric]
    same = value == counters.best_value or (math.isnan(value) and math.isnan(counters.best_value))
    best = (
        counters.best_step is None or metric.better(value, counters.best_value) or (same and loss < counters.best_loss)
    )
    notices = evaluation.notices
    if not math.isfinite(loss) and (math.isfinite(counters.last_loss) or not counters.evaluations):
        text = f"the validation loss is not a number at step {state.learner.step}: the model gives some rows no finite answer"
        notices = (*notices, Notice(code="validation-not-finite", text=text))
    counters.evaluations += 1
    counters.loss_sum, counters.loss_steps = 0.0, 0
    counters.last_value, counters.last_loss = value, loss
    counters.without_better += 1
    slower = (
        state.plan.schedule == "plateau"
        and counters.without_better % max(1, state.plan.patience // 3) == 0
        # A stage in which patience is over goes on, but not ever more slowly: most rows are still to come.
        and counters.without_better <= state.plan.patience
    )
    if best:
        counters.best_step, counters.best_value, counters.best_loss = state.learner.step, value, loss
        counters.without_better = 0
        state.learner.remember()
    elif slower:
        state.learner.lower_rate()
    return Verdict(loss=loss, metrics=metrics, value=value, best=best, notices=notices)
