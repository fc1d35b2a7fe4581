"""Training as a generator of typed events: reading, preparing, baselines, probing, steps, finishing.

`fit` is a thin driver over `TrainState` and `advance`. It asks `poll` for requests between windows of steps, writes
checkpoints and, at the end, the bundle. Stopping is a request that checkpoints and ends the generator normally.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import torch

from epochal.core.clock import Clock, SystemClock
from epochal.core.events import (
    BaselineDone,
    Event,
    Noticed,
    PhaseStarted,
    Resumed,
    RunEnded,
    TrainingStarted,
)
from epochal.fsio import NotSaved
from epochal.journal.told import checkpoints_told
from epochal.project.exact import facts_of
from epochal.project.going import Going, Way, going_on
from epochal.project.runfile import RunSpec, with_resolved
from epochal.project.trust import demand_same
from epochal.show import grouped
from epochal.train import baselines, scoring
from epochal.train.baselines import Strong, Trivial
from epochal.train.checkpoint import load_checkpoint
from epochal.train.device import device_here, device_title
from epochal.train.finish import finish
from epochal.train.loop import Loop, Outcome
from epochal.train.make import DenseRows, Made, Prepared, dense_rows, make_learner, prepare, with_own
from epochal.train.plan import make_plan
from epochal.train.room import when_there_is_room
from epochal.train.rows import read_training
from epochal.train.stages import stages_of
from epochal.train.state import Plan, TrainState, plan_from


Events = Generator[Event, None, None]


@dataclass(slots=True)
class Requests:
    """What was asked of the run and not yet done."""

    poll: Callable[[], Sequence[str]]
    stop: bool = False
    checkpoint: bool = False
    pin: bool = False

    def look(self) -> bool:
        """Take in what was asked since; True when the run should stop."""
        for verb in self.poll():
            self.stop = self.stop or verb == "stop"
            self.checkpoint = self.checkpoint or verb == "checkpoint"
            self.pin = self.pin or verb == "pin"
        return self.stop

    def take_checkpoint(self) -> Literal["", "checkpoint", "pin"]:
        """Whether a checkpoint was asked for since this was last called, and one that is kept for ever."""
        asked: Literal["", "checkpoint", "pin"] = "pin" if self.pin else "checkpoint" if self.checkpoint else ""
        self.checkpoint = self.pin = False
        return asked


@dataclass(slots=True)
class Ready:
    """What the phases before the first step made."""

    prepared: Prepared
    trivial: Trivial
    strong: Strong
    dense: DenseRows | None = None
    plan: Plan | None = None
    made: Made | None = None
    state: TrainState | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    """What going on to the bit depends on."""
    resumed_from: int = 0


def fit(
    spec: RunSpec, poll: Callable[[], Sequence[str]], clock: Clock | None = None, *, way: Way = "exactly"
) -> Events:
    """Train one run and yield what happens; the last event is RunEnded.

    `poll` returns the verbs asked since it was last called: "stop", "checkpoint", "pin". A run that was resolved before
    goes on where it was. Raises EpochalError for data or settings that cannot be trained, and RunError for a run that
    cannot go on in the `way` asked: before its data is read.
    """
    clock = clock or SystemClock()
    started = clock.monotonic()
    requests = Requests(poll)
    threads = torch.get_num_threads()
    try:
        demand_same(spec)
        spec, start = yield from _where_it_goes_on(spec, way)
        yield PhaseStarted(name="reading")
        prepared = yield from _prepare(spec)
        if requests.look():
            yield _stopped_early()
            return
        found = yield from _baselines(spec, prepared, requests)
        if found is None or requests.look():
            yield _stopped_early()
            return
        ready = Ready(prepared, *found)
        spec = yield from _plan(spec, ready, start, clock.monotonic() - started)
        yield from _train(spec, ready, requests, clock)
    finally:
        torch.set_num_threads(threads)


def _stopped_early() -> RunEnded:
    return RunEnded(state="stopped", reason="stopped before the first step; there is nothing to keep")


def _prepare(spec: RunSpec) -> Generator[Event, None, Prepared]:
    for notice in spec.notices:
        yield Noticed(code="data", text=notice, severity="warning")
    data = read_training(spec)
    for part, rows in (("training", data.train), ("validation", data.validation)):
        if rows.left_out:
            yield Noticed(
                code="target-missing",
                text=f"{rows.left_out} {part} rows have no target and are left out",
                severity="warning",
            )
    yield PhaseStarted(
        name="preparing", detail=f"{len(data.columns)} inputs, {grouped(len(data.train))} rows to learn from"
    )
    prepared = prepare(data)
    if prepared.preparation.skipped:
        yield Noticed(
            code="inputs-skipped",
            text=f"nothing can be learnt from {', '.join(prepared.preparation.skipped)}: no values",
            severity="warning",
        )
    if not len(data.validation):
        yield Noticed(
            code="no-validation",
            text="there are no validation rows: nothing stops early and the last weights are taken",
            severity="warning",
        )
    if spec.code is not None:
        yield PhaseStarted(name="preparing", detail=f"reading {spec.code.module}")
        prepared = with_own(prepared, spec.project, spec.project_folder, spec.code.files)
    return prepared


def _baselines(
    spec: RunSpec, prepared: Prepared, requests: Requests
) -> Generator[Event, None, tuple[Trivial, Strong] | None]:
    """Train both baselines, or read those an earlier start of this run trained."""
    folder = spec.folder / "checkpoints" / "baselines"
    if folder.exists():
        return baselines.load_baselines(folder)
    yield PhaseStarted(name="baselines")
    clock = SystemClock()
    start = clock.monotonic()
    trivial = baselines.train_trivial(prepared)
    yield _judged(prepared, "trivial", trivial, clock.monotonic() - start)
    start = clock.monotonic()
    strong = baselines.train_strong(prepared, spec.project.train.seed, requests.look)
    if strong is None:
        return None
    yield _judged(prepared, "strong", strong, clock.monotonic() - start)
    baselines.keep_baselines(folder, trivial, strong)
    return trivial, strong


def _judged(prepared: Prepared, name: str, baseline: Trivial | Strong, seconds: float) -> BaselineDone:
    data = prepared.data
    validation = data.validation
    if isinstance(baseline, Trivial):
        predicted = baseline.predict(len(validation))
        title, note = baselines.TITLES[data.task], ""
    else:
        predicted = baseline.predict(prepared.validation)
        title, note = baselines.STRONG_TITLE, baseline.note
    metrics = scoring.score(data.task, validation.target, predicted, positive=_positive(prepared))
    return BaselineDone(name=name, title=title, metrics=metrics, seconds=seconds, note=note)


def _positive(prepared: Prepared) -> int:
    return prepared.data.positive if prepared.data.task == "classification" else 0


def _where_it_goes_on(spec: RunSpec, way: Way) -> Generator[Event, None, tuple[RunSpec, Going | None]]:
    """Where a run that was begun before goes on, or the refusal; None for one that begins."""
    if not spec.resolved:
        return spec, None
    if way == "anyway":
        device = device_here(str(spec.resolved["device"]), spec.project.train.devices)
        if device != spec.resolved["device"]:
            spec = with_resolved(spec, {**spec.resolved, "device": device})
    going = going_on(spec, checkpoints_told(spec.folder), way, device_name=device_title(str(spec.resolved["device"])))
    for words in going.passed_over:
        yield Noticed(code="checkpoint-passed-over", text=words, severity="warning")
    if going.seam:
        text = f"from step {going.step} on it is not what an uninterrupted run would be: {going.seam}"
        yield Noticed(code="seam", text=text, severity="warning")
    return spec, going


def _plan(spec: RunSpec, ready: Ready, going: Going | None, spent: float) -> Generator[Event, None, RunSpec]:
    """Resolve "auto", or take it from an earlier start of this run; make the learner and its state."""
    family = spec.family
    ready.dense = None if family == "trees" else dense_rows(ready.prepared)
    if going is not None:
        ready.plan = plan_from(spec.resolved)
    else:
        yield PhaseStarted(name="probing", detail=f"fitting {family} to the budget of {spec.project.train.budget}")
        planned = make_plan(spec.project, family, ready.prepared, ready.dense, seconds_spent=spent)
        ready.plan = planned.plan
        for note in planned.notes:
            yield Noticed(code="fitted-to-budget", text=note)
        spec = with_resolved(spec, ready.plan.as_resolved())
    torch.set_num_threads(ready.plan.threads)
    ready.made = make_learner(ready.prepared, family, ready.plan, ready.dense)
    ready.state = TrainState(learner=ready.made.learner, plan=ready.plan, metric=spec.project.metric)
    ready.facts = facts_of(spec, device_title(ready.plan.device))
    if going is not None:
        yield _resume(spec, ready, going)
    return spec


def belongs_to(spec: RunSpec) -> dict[str, str]:
    """What a checkpoint must agree on with the run that takes it."""
    return {"snapshot": spec.snapshot_id, "split": spec.split_id, "family": spec.family, "run": spec.name}


def _resume(spec: RunSpec, ready: Ready, going: Going) -> Resumed:
    if going.checkpoint is None or ready.state is None:
        return Resumed(from_step=0, folder="")
    load_checkpoint(going.checkpoint.folder, ready.state, belongs_to(spec))
    ready.resumed_from = ready.state.learner.step
    folder = str(going.checkpoint.folder.relative_to(spec.folder))
    return Resumed(from_step=ready.resumed_from, folder=folder, seam=going.seam)


def _train(spec: RunSpec, ready: Ready, requests: Requests, clock: Clock) -> Events:
    assert ready.plan is not None  # noqa: S101 - made by _plan, for the type checker
    assert ready.made is not None  # noqa: S101
    assert ready.state is not None  # noqa: S101
    plan, state, data = ready.plan, ready.state, ready.prepared.data
    yield PhaseStarted(name="training")
    yield TrainingStarted(
        task=data.task,
        metric=spec.project.metric,
        epochs=plan.epochs,
        steps_per_epoch=state.learner.steps_per_epoch,
        batch_size=plan.batch_size,
        learning_rate=plan.learning_rate,
        precision=plan.precision,
        device=plan.device,
        threads=plan.threads,
        rows_train=len(data.train),
        rows_validation=len(data.validation),
        parameters=state.learner.num_parameters,
        resumed_from_step=ready.resumed_from,
    )
    loop = Loop(
        spec=spec,
        state=state,
        task=data.task,
        truth=data.validation.target,
        positive=_positive(ready.prepared),
        belongs=belongs_to(spec),
        clock=clock,
        stages=stages_of(plan, len(data.train)),
        look=requests.look,
        take_checkpoint=requests.take_checkpoint,
        facts=ready.facts,
    )
    outcome: Outcome = yield from loop.run()
    if outcome.state == "done" and not state.learner.step:
        yield Noticed(
            code="nothing-learnt",
            text="no tree could be grown from these rows: the model is the commonest answer",
            severity="warning",
        )
    if outcome.state == "done" or (outcome.state == "stopped" and state.learner.step):
        yield PhaseStarted(name="finishing", detail="keeping the best model")
        yield from loop.settle()
        try:
            yield from when_there_is_room(
                partial(
                    finish,
                    spec,
                    prepared=ready.prepared,
                    made=ready.made,
                    state=state,
                    trivial=ready.trivial,
                    strong=ready.strong,
                ),
                "the model",
                look=requests.look,
                clock=clock,
            )
        except NotSaved as error:
            if outcome.state == "done":
                raise
            # A stopped run has its checkpoint: a resume can still make the model.
            yield Noticed(code=error.error_code, text=f"the model was {error.what}; {error.fix}", severity="error")
    yield _ended(state, outcome)


def _ended(state: TrainState, outcome: Outcome) -> RunEnded:
    counters = state.counters
    return RunEnded(
        state=outcome.state,
        reason=outcome.reason,
        best_value=None if math.isnan(counters.best_value) else counters.best_value,
        best_step=counters.best_step,
        steps=state.learner.step,
        epochs=state.epoch,
        seconds=counters.seconds,
        samples_per_second=counters.samples / counters.seconds if counters.seconds > 0 else 0.0,
    )
