"""Which family learns this table best: each is trained for a short, equal time and judged on rows it did not see.

Never on test rows. Where rows are few, by cross-validation over training and validation rows together; all families on
the same folds, from the same seed. A difference counts when it is larger than twice its standard error, paired over the
folds (or over parts of the rows, where one division is all there is); where none counts, the simplest family is taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from epochal.core.clock import Clock, SystemClock
from epochal.core.settings import Project
from epochal.core.tasks import FAMILIES, METRICS, families_for
from epochal.show import grouped
from epochal.snapshot.manifest import open_snapshot
from epochal.train import baselines, scoring
from epochal.train.allowed import peak_bytes
from epochal.train.blocks import source_of
from epochal.train.feed import num_batches
from epochal.train.folds import FOLDS, dealt_by, divide, parts_of
from epochal.train.make import DenseRows, Prepared, dense_rows, make_learner, prepare
from epochal.train.plan import draft_plan, fit_to_budget
from epochal.train.probe import Rate, measure
from epochal.train.rows import TrainingData
from epochal.train.state import Plan, TrainState, advance, judge
from epochal.train.survey import data_that_fits


SHARE = 0.2
"""Of the budget, for all families together."""
MOST_SECONDS = 40.0
"""For all families together, however large the budget: more time would hardly change the order."""
_FOLD_SECONDS = 1.5
"""In less, a network on a fold learns too little to be told from another: fewer folds are judged instead."""
_PARTS = 10
"""Where there is one division, it is so many parts of its judged rows that say how sure a value is …"""
_PART_UNITS = 5
"""… each of at least so many rows, or groups of rows: under three such parts say nothing."""

Report = Callable[[float, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One family and what its trial said."""

    family: str
    title: str
    value: float
    """The metric on unseen rows, the mean over folds; NaN where it could not be judged."""
    spread: float | None
    """Twice the standard error over folds, with one over parts of its rows; None where these are too few."""
    loss: float
    seconds_per_epoch: float
    """On all training rows, evaluations included."""
    seconds: float
    """Expected of the whole training."""
    epochs: int
    parameters: int
    memory_bytes: int
    """Of a run's process: its libraries, weights, optimiser and rows, estimated."""
    why: str
    options: dict[str, Any] = field(default_factory=dict)
    """Settings of the family that the budget asks to differ from their defaults."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The families ranked, best first, with the evidence."""

    family: str
    """The one to take: the best, or the simplest where nothing separates them."""
    reason: str
    """One sentence of evidence."""
    metric: str
    candidates: tuple[Candidate, ...]
    trivial: float
    """What the trivial baseline reaches on the same rows."""
    method: str
    """In words, how it was judged."""
    seconds: float
    options: dict[str, Any] = field(default_factory=dict)
    """Settings of the family to write beside it, where the budget asks for other than the defaults."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Dotted paths of other settings to write; none so far, as a run fits "auto" to the budget itself."""


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fold:
    """One division of the rows, prepared once for all families."""

    prepared: Prepared
    dense: DenseRows
    parts: np.ndarray | None = None
    """The part of each judged row; None where folds, or nothing, say how sure a value is."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Judged:
    """What the metric says of one model, and of the same model on parts of the judged rows."""

    value: float
    samples: np.ndarray
    """A value for each fold, or for each part of the only one: the same for all families, so differences are paired."""

    @property
    def error(self) -> float:
        """Twice the standard error of the value; NaN where it is not known."""
        return _error(self.samples)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Tried:
    """One family's trial."""

    candidate: Candidate
    judged: _Judged


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lesson:
    """What one family made of one fold."""

    value: float
    loss: float
    parameters: int
    prediction: np.ndarray | None
    """The best of it, of the judged rows; None where nothing was judged."""


def choose(
    project: Project,
    snapshot_folder: Path,
    split_folder: Path,
    budget_seconds: float,
    report: Report,
    *,
    inputs: Sequence[str],
    classes: Sequence[str],
    clock: Clock | None = None,
) -> Choice:
    """Try every family that can do the task for an equal part of a fifth of `budget_seconds`; rank them.

    `report(share done, what is being done)` is called as it goes. `inputs` and `classes` are those of the build, as for
    a run. Raises SourceError or NoTarget as reading for training does.
    """
    clock = clock or SystemClock()
    started = clock.monotonic()
    libraries = peak_bytes()
    report(0.0, "reading")
    beside = dealt_by(project, open_snapshot(snapshot_folder))
    source = source_of(project, snapshot_folder, split_folder, inputs=inputs, classes=classes, beside=beside)
    data = data_that_fits(
        project, source, lambda rows: report(0.0, f"read {grouped(rows)} of {grouped(source.rows)} rows")
    )
    kind, seed = project.split.kind, project.train.seed
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        families = families_for(data.task)
        if project.train.num_ranks > 1:
            families = tuple(f for f in families if "devices" not in f.idle)
        each = min(SHARE * budget_seconds, MOST_SECONDS) / len(families)
        divided, method = divide(data, kind, seed, max(1, min(FOLDS, int(each / _FOLD_SECONDS))))
        folds = [_prepared(d) for d in divided]
        if len(folds) == 1:
            folds = [replace(folds[0], parts=parts_of(divided[0], kind, seed, _PARTS, _PART_UNITS))]
        whole = _prepared(data)
        found: list[_Tried] = []
        for i, family in enumerate(families):
            report(i / len(families), f"trying {family.title}")
            tried = _try_family(project, family.name, folds=folds, whole=whole, seconds=each, clock=clock)
            known = replace(tried.candidate, memory_bytes=tried.candidate.memory_bytes + libraries)
            found.append(replace(tried, candidate=known))
    finally:
        torch.set_num_threads(threads)
    report(1.0, "ranked")
    ranked = _ranked(found, project.metric)
    trivial = _judge(
        project.metric,
        folds,
        [baselines.train_trivial(f.prepared).predict(len(f.prepared.data.validation)) for f in folds],
    )
    taken, words = _decide(project.metric, found, ranked, trivial)
    return Choice(
        family=taken.family,
        options=taken.options,
        reason=f"{words}; the trivial baseline has {trivial.value:.3g}; {method}",
        metric=project.metric,
        candidates=tuple(t.candidate for t in ranked),
        trivial=trivial.value,
        method=method,
        seconds=clock.monotonic() - started,
    )


def _prepared(data: TrainingData) -> _Fold:
    prepared = prepare(data)
    return _Fold(prepared=prepared, dense=dense_rows(prepared))


def _try_family(
    project: Project, family: str, *, folds: list[_Fold], whole: _Fold, seconds: float, clock: Clock
) -> _Tried:
    """Train on every fold within `seconds` in all, and estimate what the whole training would cost."""
    end = clock.monotonic() + seconds
    draft = replace(draft_plan(project, family, whole.prepared), device="cpu", feed="all")
    rate = measure(whole.prepared, family, draft, whole.dense, seconds=min(0.3, seconds / 10))
    fitted, rate, _ = fit_to_budget(
        project,
        family,
        draft,
        rate,
        prepared=whole.prepared,
        rate_of=lambda plan: measure(whole.prepared, family, plan, whole.dense),
    )
    steps_per_epoch = 1 if family == "trees" else num_batches(whole.prepared.data.train.total, fitted.batch_size)
    results = []
    for i, fold in enumerate(folds):
        now = clock.monotonic()
        until = now + (end - now) / (len(folds) - i)
        results.append(_trial(project, family, fitted, fold=fold, rate=rate, end=until, clock=clock))
    values = np.array([r.value for r in results])
    said = [r.prediction for r in results if r.prediction is not None]
    samples = _samples(project.metric, folds, said) if len(said) == len(folds) else np.array([])
    judged = _Judged(value=float(values.mean()), samples=samples)
    parameters = results[0].parameters
    dense = whole.dense.train
    rows_bytes = dense.numbers.nbytes + dense.codes.nbytes if family != "trees" else whole.prepared.train.numbers.nbytes
    changed = {k: v for k, v in fitted.options.items() if v != draft.options[k]}
    per_epoch = rate.of_epoch(steps_per_epoch, fitted.evaluate_every)
    candidate = Candidate(
        family=family,
        title=FAMILIES[family].title,
        value=judged.value,
        spread=_or_none(judged.error),
        loss=float(np.mean([r.loss for r in results])),
        seconds_per_epoch=per_epoch,
        seconds=per_epoch * fitted.epochs,
        epochs=fitted.epochs,
        parameters=parameters,
        # Weights, their gradients and two moments of each; the rows stand there twice (as they are, and in order).
        memory_bytes=parameters * 16 + 2 * rows_bytes,
        why=FAMILIES[family].why,
        options=changed,
    )
    return _Tried(candidate=candidate, judged=judged)


def _trial(
    project: Project, family: str, fitted: Plan, *, fold: _Fold, rate: Rate, end: float, clock: Clock
) -> _Lesson:
    """Train on one fold until `end` at the latest: what the best of it says.

    The passes are cut to what the time allows before it starts, so that the learning rate still comes down in time.
    """
    seconds = max(0.1, end - clock.monotonic())
    prepared, data = fold.prepared, fold.prepared.data
    steps_per_epoch = 1 if family == "trees" else num_batches(len(data.train), fitted.batch_size)
    allowed = int(0.85 * seconds / rate.of_epoch(steps_per_epoch, fitted.evaluate_every))
    epochs = min(fitted.epochs, max(1, allowed))
    every = min(max(1, round(epochs / 50)), epochs) * steps_per_epoch
    plan = replace(fitted, epochs=epochs, evaluate_every=every, patience=max(8, epochs * steps_per_epoch // every // 3))
    state = TrainState(
        learner=make_learner(prepared, family, plan, fold.dense).learner, plan=plan, metric=project.metric
    )
    positive = data.positive if data.task == "classification" else 0
    while not (state.finished or state.out_of_patience):
        window = advance(state, state.steps_to_evaluation)
        if not window.healthy:
            break
        if state.evaluation_due and len(data.validation):
            judge(state, data.task, data.validation.target, positive)
        if clock.monotonic() > end and state.counters.evaluations:
            break
    counters, prediction = state.counters, None
    if counters.best_step is not None:
        state.learner.recall()
        prediction = state.learner.evaluate().prediction
    return _Lesson(
        value=counters.best_value,
        loss=counters.best_loss,
        parameters=state.learner.num_parameters,
        prediction=prediction,
    )


def _score(metric: str, data: TrainingData, prediction: np.ndarray, here: np.ndarray | slice = slice(None)) -> float:
    """The metric over some of the judged rows; NaN where it is not defined."""
    positive = data.positive if data.task == "classification" else 0
    found = scoring.score(data.task, data.validation.target[here], prediction[here], positive=positive)
    return found.get(metric, math.nan)


def _samples(metric: str, folds: Sequence[_Fold], predictions: Sequence[np.ndarray]) -> np.ndarray:
    """The metric on each fold; with one fold, on each part of its rows."""
    if len(folds) > 1:
        return np.array([_score(metric, f.prepared.data, p) for f, p in zip(folds, predictions, strict=True)])
    parts = folds[0].parts
    if parts is None:
        return np.array([])
    data = folds[0].prepared.data
    return np.array([_score(metric, data, predictions[0], parts == n) for n in range(int(parts.max()) + 1)])


def _judge(metric: str, folds: Sequence[_Fold], predictions: Sequence[np.ndarray]) -> _Judged:
    values = [_score(metric, f.prepared.data, p) for f, p in zip(folds, predictions, strict=True)]
    return _Judged(value=float(np.mean(values)), samples=_samples(metric, folds, predictions))


def _error(samples: np.ndarray) -> float:
    """Twice the standard error of their mean; NaN where there are fewer than two."""
    known = samples[np.isfinite(samples)]
    if len(known) < 2:
        return math.nan
    # spread_of takes equal values for one unit apart, which suits a scale and not an error.
    return 2 * scoring.spread_of(known) / math.sqrt(len(known) - 1) if np.ptp(known) else 0.0


def _apart(one: _Judged, other: _Judged) -> bool:
    """Whether the difference is more than chance would make it; False where that is not known."""
    if len(one.samples) != len(other.samples):
        return False
    return abs(one.value - other.value) > _error(one.samples - other.samples)


def _ranked(found: Sequence[_Tried], metric: str) -> tuple[_Tried, ...]:
    """Best first: by the metric, among equals by the loss; what could not be judged comes last."""
    sign = -1.0 if METRICS[metric].higher_is_better else 1.0

    def place(tried: _Tried) -> tuple[bool, float, float]:
        return math.isnan(tried.judged.value), sign * tried.judged.value, tried.candidate.loss

    return tuple(sorted(found, key=place))


def _decide(
    metric: str, offered: Sequence[_Tried], ranked: Sequence[_Tried], trivial: _Judged
) -> tuple[Candidate, str]:
    """The family to take, and why in words. `offered` begins with the simplest."""
    first, others = ranked[0], ranked[1:]
    title = METRICS[metric].title
    if math.isnan(first.judged.value):
        taken = offered[0].candidate
        return taken, f"{title} could not be judged on so few rows: {taken.title} is taken as the simplest"
    why = ""
    if math.isnan(first.judged.error):
        why = "too few rows were judged to tell a difference from chance"
    elif not math.isnan(trivial.value) and not (
        METRICS[metric].better(first.judged.value, trivial.value) and _apart(first.judged, trivial)
    ):
        why = "none is shown to do better than the trivial baseline"
    if why:
        taken = next(t for t in offered if t is first or _as_good(metric, t.judged, first.judged, trivial)).candidate
        said = f"nothing separates the families ({why}): {taken.title} is taken as the simplest"
        said += f", its {title} is {_figure(taken)}"
        best = first.candidate
        return taken, said + (f", the best was {_figure(best)} ({best.title})" if best is not taken else "")
    taken, second = first.candidate, others[0] if others and not math.isnan(others[0].judged.value) else None
    if second is not None and not _apart(first.judged, second.judged):
        other = second.candidate
        said = f"{taken.title} and {other.title} are too close to call ({title} {_figure(taken)} and {_figure(other)})"
        reasons = ["its figure is the better one" if taken.value != other.value else "its loss is lower"]
        reasons += ["it trains sooner"] if taken.seconds < other.seconds else []
        return taken, f"{said}: {taken.title} is taken, as {' and '.join(reasons)}"
    said = f"{taken.title} has the best {title}: {_figure(taken)}"
    return taken, said + (f", before {second.candidate.title} with {_figure(second.candidate)}" if second else "")


def _as_good(metric: str, one: _Judged, best: _Judged, trivial: _Judged) -> bool:
    """Whether a family may stand for the best when nothing separates them: it is not plainly worse."""
    if math.isnan(one.value):
        return False
    if math.isnan(best.error):
        near = math.isclose(one.value, best.value, rel_tol=0.01)
        return near or not METRICS[metric].better(trivial.value, one.value)
    return not _apart(best, one)


def _figure(candidate: Candidate) -> str:
    return f"{candidate.value:.3g}" + (f" ± {candidate.spread:.1g}" if candidate.spread else "")
