"""Which family learns this table best: each is trained for a short, equal time and judged on rows it did not see.

Never on test rows. Where rows are few, by cross-validation over training and validation rows together; all families on
the same folds, from the same seed.
"""

from __future__ import annotations

import math
import resource
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from epochal.core.clock import Clock, SystemClock
from epochal.core.settings import Project
from epochal.core.tasks import FAMILIES, METRICS, families_for
from epochal.show import grouped
from epochal.snapshot.manifest import Snapshot, open_snapshot
from epochal.train import baselines, scoring, seeds
from epochal.train.gradient import num_batches
from epochal.train.make import DenseRows, Prepared, dense_rows, make_learner, prepare
from epochal.train.plan import draft_plan, fit_to_budget
from epochal.train.probe import Rate, measure
from epochal.train.rows import Rows, TrainingData, check_learnable, training_data
from epochal.train.state import Plan, TrainState, advance, judge


SHARE = 0.2
"""Of the budget, for all families together."""
MOST_SECONDS = 40.0
"""For all families together, however large the budget: more time would hardly change the order."""
FEW_ROWS = 2000
"""Under so many training and validation rows, families are judged by cross-validation."""
_FOLDS = 5
_FOLD_SECONDS = 1.5
"""In less, a network on a fold learns too little to be told from another: fewer folds are judged instead."""
_MANY_ROWS = 50_000
"""More training rows than this are thinned out for the choice, and it says so."""

Report = Callable[[float, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One family and what its trial said."""

    family: str
    title: str
    value: float
    """The metric on unseen rows, the mean over folds; NaN where it could not be judged."""
    spread: float | None
    """Twice the standard error over folds; None with one fold."""
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
    """The one to take."""
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


def choose(
    project: Project,
    snapshot_folder: Path,
    split_folder: Path,
    budget_seconds: float,
    report: Report,
    *,
    inputs: Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
    clock: Clock | None = None,
) -> Choice:
    """Try every family that can do the task for an equal part of a fifth of `budget_seconds`; rank them.

    `report(share done, what is being done)` is called as it goes. Without `inputs` and `classes` they are taken from
    the snapshot as product.md says. Raises SourceError or NoTarget as reading for training does.
    """
    clock = clock or SystemClock()
    started = clock.monotonic()
    libraries = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    snapshot = open_snapshot(snapshot_folder)
    chosen_inputs = tuple(inputs) if inputs is not None else inputs_of(project, snapshot)
    names = tuple(classes) if classes is not None else classes_of(project, snapshot)
    report(0.0, "reading")
    data = training_data(project, snapshot_folder, split_folder, inputs=chosen_inputs, classes=names)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        families = families_for(data.task)
        each = min(SHARE * budget_seconds, MOST_SECONDS) / len(families)
        divided, method = _divide(data, project.train.seed, max(1, min(_FOLDS, int(each / _FOLD_SECONDS))))
        folds = [_prepared(d) for d in divided]
        whole = _prepared(data)
        found: list[Candidate] = []
        for i, family in enumerate(families):
            report(i / len(families), f"trying {family.title}")
            tried = _try_family(project, family.name, folds=folds, whole=whole, seconds=each, clock=clock)
            found.append(replace(tried, memory_bytes=tried.memory_bytes + libraries))
    finally:
        torch.set_num_threads(threads)
    report(1.0, "ranked")
    candidates = _ranked(found, project.metric)
    trivial = _trivial(project.metric, folds)
    return Choice(
        family=candidates[0].family,
        options=candidates[0].options,
        reason=_reason(project.metric, candidates, trivial, method),
        metric=project.metric,
        candidates=candidates,
        trivial=trivial,
        method=method,
        seconds=clock.monotonic() - started,
    )


def inputs_of(project: Project, snapshot: Snapshot) -> tuple[str, ...]:
    """The columns learnt from: all that [columns] gives no other part, and that are neither ids nor images."""
    columns = project.columns
    named = {columns.target, columns.key, columns.group, columns.time, *columns.ignore}
    return tuple(c.name for c in snapshot.columns if c.name not in named and c.kind not in {"id", "image"})


def classes_of(project: Project, snapshot: Snapshot) -> tuple[str, ...]:
    """For classification the target's values as text, sorted; else none."""
    if project.goal.task != "classification":
        return ()
    found: set[str] = set()
    for name in snapshot.files:
        values = pq.read_table(snapshot.folder / name, columns=[project.columns.target])[project.columns.target]
        found.update(pc.unique(pc.cast(values, pa.string())).drop_null().to_pylist())
    return tuple(sorted(found))


def _prepared(data: TrainingData) -> _Fold:
    prepared = prepare(data)
    return _Fold(prepared=prepared, dense=dense_rows(prepared))


def _divide(data: TrainingData, seed: int, most: int) -> tuple[list[TrainingData], str]:
    """The divisions families are judged on, at most so many, and in words how."""
    num_rows = len(data.train) + len(data.validation)
    if num_rows >= FEW_ROWS and len(data.validation):
        step = -(-len(data.train) // _MANY_ROWS)
        if step == 1:
            return [data], f"judged on {grouped(len(data.validation))} validation rows"
        thinned = replace(data, train=data.train.take(np.arange(0, len(data.train), step)))
        words = f"trained on {grouped(len(thinned.train))} of {grouped(len(data.train))} rows"
        return [thinned], f"{words}, judged on {grouped(len(data.validation))} validation rows"
    rows = _joined(data)
    fold_of = _fold_numbers(rows.target, data.task, seed)
    divided = []
    for fold in range(most):
        here = fold_of == fold
        part = replace(data, train=rows.take(np.flatnonzero(~here)), validation=rows.take(np.flatnonzero(here)))
        if len(part.validation) and len(np.unique(part.train.target)) > 1:
            divided.append(part)
    if not divided:
        check_learnable(data)
        return [data], "not judged: too few rows"
    if len(divided) == _FOLDS:
        return divided, f"{_FOLDS}-fold cross-validation over {grouped(num_rows)} training and validation rows"
    return divided, f"judged on {len(divided)} of {_FOLDS} folds of {grouped(num_rows)} training and validation rows"


def _joined(data: TrainingData) -> Rows:
    first, second = data.train, data.validation
    return Rows(
        inputs=pa.concat_tables([first.inputs, second.inputs]),
        target=np.concatenate([first.target, second.target]),
        eids=np.concatenate([first.eids, second.eids]),
        keys=pa.chunked_array([*first.keys.chunks, *second.keys.chunks], type=first.keys.type),
    )


def _fold_numbers(target: np.ndarray, task: str, seed: int) -> np.ndarray:
    """The fold of each row: dealt out at random, class by class, so that folds hold the classes alike."""
    shuffled = seeds.generator(seed, "folds").permutation(len(target))
    if task == "classification":
        shuffled = shuffled[np.argsort(target[shuffled], kind="stable")]
    numbers = np.empty(len(target), dtype=np.int64)
    numbers[shuffled] = np.arange(len(target)) % _FOLDS
    return numbers


def _try_family(
    project: Project, family: str, *, folds: list[_Fold], whole: _Fold, seconds: float, clock: Clock
) -> Candidate:
    """Train on every fold within `seconds` in all, and estimate what the whole training would cost."""
    end = clock.monotonic() + seconds
    draft = replace(draft_plan(project, family, whole.prepared), device="cpu")
    rate = measure(whole.prepared, family, draft, whole.dense, seconds=min(0.3, seconds / 10))
    fitted, rate, _ = fit_to_budget(project, family, draft, rate, prepared=whole.prepared, dense=whole.dense)
    steps_per_epoch = 1 if family == "trees" else num_batches(len(whole.prepared.data.train), fitted.batch_size)
    results = []
    for i, fold in enumerate(folds):
        now = clock.monotonic()
        until = now + (end - now) / (len(folds) - i)
        results.append(_trial(project, family, fitted, fold=fold, rate=rate, end=until, clock=clock))
    values = np.array([r[0] for r in results])
    error = 2 * float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    parameters = results[0][2]
    dense = whole.dense.train
    rows_bytes = dense.numbers.nbytes + dense.codes.nbytes if family != "trees" else whole.prepared.train.numbers.nbytes
    changed = {k: v for k, v in fitted.options.items() if v != draft.options[k]}
    per_epoch = rate.of_epoch(steps_per_epoch, fitted.evaluate_every)
    return Candidate(
        family=family,
        title=FAMILIES[family].title,
        value=float(values.mean()),
        spread=_or_none(error),
        loss=float(np.mean([r[1] for r in results])),
        seconds_per_epoch=per_epoch,
        seconds=per_epoch * fitted.epochs,
        epochs=fitted.epochs,
        parameters=parameters,
        # Weights, their gradients and two moments of each; the rows stand there twice (as they are, and in order).
        memory_bytes=parameters * 16 + 2 * rows_bytes,
        why=FAMILIES[family].why,
        options=changed,
    )


def _trial(
    project: Project, family: str, fitted: Plan, *, fold: _Fold, rate: Rate, end: float, clock: Clock
) -> tuple[float, float, int]:
    """Train on one fold until `end` at the latest: the best value, its loss, and the number of parameters.

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
    return state.counters.best_value, state.counters.best_loss, state.learner.num_parameters


def _ranked(found: Sequence[Candidate], metric: str) -> tuple[Candidate, ...]:
    """Best first: by the metric, among equals by the loss; what could not be judged comes last."""
    sign = -1.0 if METRICS[metric].higher_is_better else 1.0

    def place(candidate: Candidate) -> tuple[bool, float, float]:
        return math.isnan(candidate.value), sign * candidate.value, candidate.loss

    return tuple(sorted(found, key=place))


def _reason(metric: str, ranked: Sequence[Candidate], trivial: float, method: str) -> str:
    """Why the first was taken, in one sentence."""
    first, others = ranked[0], ranked[1:]
    if math.isnan(first.value):
        return f"{first.title}: {METRICS[metric].title} could not be judged on so few rows"
    said = f"{first.title} has the best {METRICS[metric].title}: {_figure(first)}"
    if others and not math.isnan(others[0].value):
        said += f", before {others[0].title} with {_figure(others[0])}"
        if first.spread is not None and abs(first.value - others[0].value) < first.spread:
            said += " (too close to call)"
    return f"{said}; the trivial baseline has {trivial:.3g}; {method}"


def _figure(candidate: Candidate) -> str:
    return f"{candidate.value:.3g}" + (f" ± {candidate.spread:.1g}" if candidate.spread else "")


def _trivial(metric: str, folds: Sequence[_Fold]) -> float:
    values = []
    for fold in folds:
        data = fold.prepared.data
        predicted = baselines.train_trivial(fold.prepared).predict(len(data.validation))
        positive = data.positive if data.task == "classification" else 0
        values.append(
            scoring.score(data.task, data.validation.target, predicted, positive=positive).get(metric, math.nan)
        )
    return float(np.mean(values)) if values else math.nan
