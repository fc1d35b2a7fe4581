"""Training as a generator of typed events: reading, preparing, baselines, probing, steps, finishing.

`fit` is a thin driver over `TrainState` and `advance`. It asks `poll` for requests between windows of steps, writes
checkpoints and, at the end, the bundle. Stopping is a request that checkpoints and ends the generator normally.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch

from epochal.core.clock import Clock, SystemClock
from epochal.core.events import BaselineDone, Event, Noticed, PhaseStarted, RunEnded, TrainingStarted
from epochal.fsio import NotSaved, Place, lacks_room
from epochal.project.checkpoints import reason_of_early_stop
from epochal.project.going import Way
from epochal.project.runfile import RunSpec
from epochal.train import baselines, scoring
from epochal.train.baselines import Strong, Trivial
from epochal.train.begin import Begun, begin, loop_of, positive_of, prepare_rows, where_it_goes_on, write_rows
from epochal.train.finish import finish
from epochal.train.loop import Outcome
from epochal.train.make import Prepared
from epochal.train.mode import enter, leave
from epochal.train.room import when_there_is_room
from epochal.train.state import TrainState
from epochal.train.team import SOLO, Team


FAST = (
    "fast mode: whatever is quickest here is computed, so a second run or a resumed one may differ from this; "
    'mode = "exact" in [train] promises that they do not'
)
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


def fit(
    spec: RunSpec,
    poll: Callable[[], Sequence[str]],
    clock: Clock | None = None,
    *,
    way: Way = "exactly",
    team: Team = SOLO,
) -> Events:
    """Train one run and yield what happens; the last event is RunEnded.

    `poll` returns the verbs asked since it was last called: "stop", "checkpoint", "pin". A run that was resolved before
    goes on where it was. Every rank of a team goes through this; only the first is asked, writes and knows all that
    happens. Raises EpochalError for data or settings that cannot be trained, and RunError for a run that
    cannot go on in the `way` asked: before its data is read.
    """
    clock = clock or SystemClock()
    requests = Requests(poll)
    threads, mode = torch.get_num_threads(), spec.project.train.mode
    enter(mode)
    try:
        if mode == "fast":
            yield Noticed(code="fast-mode", text=FAST)
        try:
            made = yield from _begun(spec, requests, clock, way, team)
        except NotSaved as error:
            if not requests.stop or not lacks_room(error):
                raise
            made = None
        if made is None:
            yield RunEnded(state="stopped", reason=reason_of_early_stop(spec.folder))
            return
        begun, found = made
        if begun.state.learner.behind:
            yield _ended(
                begun.state,
                Outcome(
                    state="stopped",
                    reason="stopped while rounds were grown again; a resume goes on from the same checkpoint",
                ),
            )
            return
        yield from _train(begun, found, requests, clock)
    finally:
        leave(mode)
        torch.set_num_threads(threads)


def _begun(
    spec: RunSpec, requests: Requests, clock: Clock, way: Way, team: Team
) -> Generator[Event, None, tuple[Begun, tuple[Trivial, Strong] | None] | None]:
    """The run at the step it begins with, and on the first rank its baselines; None when a stop was asked for."""
    started = clock.monotonic()
    spec, start = yield from where_it_goes_on(spec, way, team, requests.look)
    yield PhaseStarted(name="reading")
    for notice in spec.notices:
        yield Noticed(code="data", text=notice, severity="warning")
    prepared = yield from prepare_rows(spec, requests.look, team)
    if prepared is None or team.said(requests.look):
        return None
    found = None
    if team.first:
        try:
            found = yield from _baselines(spec, prepared, requests, clock)
        except NotSaved as error:  # the other ranks wait for what comes of it
            if not requests.stop or not lacks_room(error):
                raise
    if team.said(lambda: found is None or requests.look()):
        return None
    prepared = yield from write_rows(spec, prepared, requests.look)
    if prepared is None:
        return None
    spent = clock.monotonic() - started
    begun = yield from begin(spec, prepared, start, spent=spent, look=requests.look, team=team)
    if not begun.state.learner.behind and team.said(requests.look):
        return None
    return begun, found


def _baselines(
    spec: RunSpec, prepared: Prepared, requests: Requests, clock: Clock
) -> Generator[Event, None, tuple[Trivial, Strong] | None]:
    """Train both baselines, or read those an earlier start of this run trained."""
    folder = spec.folder / "checkpoints" / "baselines"
    if folder.exists():
        return baselines.load_baselines(folder)
    yield PhaseStarted(name="baselines")
    start = clock.monotonic()
    trivial = baselines.train_trivial(prepared)
    yield _judged(prepared, "trivial", trivial, clock.monotonic() - start)
    start = clock.monotonic()
    strong = baselines.train_strong(prepared, spec.project.train.seed, requests.look)
    if strong is None:
        return None
    yield _judged(prepared, "strong", strong, clock.monotonic() - start)
    write = partial(baselines.keep_baselines, folder, trivial, strong)
    yield from when_there_is_room(write, "what the model is compared with", look=requests.look, clock=clock)
    return trivial, strong


def _judged(prepared: Prepared, name: str, baseline: Trivial | Strong, seconds: float) -> BaselineDone:
    data, truth = prepared.data, prepared.truth
    if isinstance(baseline, Trivial):
        predicted = baseline.predict(len(truth))
        title, note = baselines.TITLES[data.task], ""
    else:
        blocks = [baseline.predict(raw) for raw in prepared.raw_validation()]
        predicted = np.concatenate(blocks or [baseline.predict(prepared.validation)])
        title, note = baselines.STRONG_TITLE, baseline.note
    metrics = scoring.score(data.task, truth, predicted, positive=positive_of(prepared))
    return BaselineDone(name=name, title=title, metrics=metrics, seconds=seconds, note=note)


def _train(begun: Begun, compared: tuple[Trivial, Strong] | None, requests: Requests, clock: Clock) -> Events:
    """The steps and their end; the first rank has the baselines that the model is compared with, and writes it."""
    spec, state, data = begun.spec, begun.state, begun.prepared.data
    plan = state.plan
    loop = loop_of(begun, clock, look=requests.look, take_checkpoint=requests.take_checkpoint)
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
        threads=state.learner.threads,
        rows_train=data.train.total,
        rows_validation=data.validation.total,
        parameters=state.learner.num_parameters,
        resumed_from_step=begun.resumed_from,
        ranks=begun.team.size,
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
        state.learner.recall()
        prediction = None
        if len(data.validation):
            evaluation = state.learner.evaluate()
            prediction = evaluation.prediction
            for notice in evaluation.notices:
                yield Noticed(code=notice.code, text=notice.text, severity="warning")
        state.learner.release()
        if compared is not None:
            yield from _finish(
                begun,
                compared,
                place=loop.place,
                prediction=prediction,
                look=requests.look,
                clock=clock,
                stopped=outcome.state == "stopped",
            )
    yield _ended(state, outcome)


def _finish(
    begun: Begun,
    compared: tuple[Trivial, Strong],
    *,
    place: Place,
    prediction: np.ndarray | None,
    look: Callable[[], bool],
    clock: Clock,
    stopped: bool,
) -> Events:
    """Write the bundle. Raises NotSaved, but not for a stopped run: it has its checkpoint, and a resume can make the model."""

    def write() -> None:
        place.demand()
        finish(
            begun.spec,
            prepared=begun.prepared,
            made=begun.made,
            state=begun.state,
            trivial=compared[0],
            strong=compared[1],
            prediction=prediction,
        )

    try:
        yield from when_there_is_room(write, "the model", look=look, clock=clock)
    except NotSaved as error:
        if not stopped:
            raise
        yield Noticed(code=error.error_code, text=f"the model was {error.what}; {error.fix}", severity="error")


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
