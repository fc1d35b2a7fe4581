"""The loop over windows: when to evaluate, report, checkpoint and end.

What is computed depends on the plan alone, and the clock decides only how often it is told and saved; but where several
threads stop paying, one goes on from a step that the clock chose, which is told and saved at once. Of a team every rank goes
through it, and the first decides for all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, NamedTuple

import numpy as np

from epochal.core.clock import Clock, SystemClock
from epochal.core.errors import RunError
from epochal.core.events import CheckpointSaved, EpochDone, Event, Noticed, StageStarted, StepsDone
from epochal.core.settings import duration_seconds
from epochal.fsio import NotSaved, Place, lacks_room
from epochal.project.checkpoints import last_healthy
from epochal.project.runfile import RunSpec
from epochal.show import grouped
from epochal.train.checkpoint import BadCheckpoint, Saved, save_checkpoint
from epochal.train.room import when_there_is_room
from epochal.train.stages import Stage
from epochal.train.state import Notice, TrainState, Verdict, Window, advance, judge
from epochal.train.team import SOLO, Team
from epochal.train.threads import ThreadWatch


_WINDOW_SECONDS = 0.1
"""Steps between two looks at requests and the clock take about so long."""
_TELL_STEPS_SECONDS = 0.15
_TELL_EPOCH_SECONDS = 0.3
"""Together at most 10 events a second …"""
_TOLD_AT_ONCE = 400
"""… but for so many evaluations at a run's beginning: a run of a second has a curve too."""
_FAILED_SAVES = 3
"""Checkpoints that could not be written, in a row, before the run gives up."""


class Outcome(NamedTuple):
    """How the loop ended."""

    state: Literal["done", "stopped", "diverged"]
    reason: str


@dataclass(slots=True)
class Tally:
    """Windows since steps were last told."""

    windows: list[Window] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, window: Window, seconds: float) -> None:
        """Take in one window that lasted `seconds`."""
        if window.count:
            self.windows.append(window)
        self.seconds += seconds

    def told(self, state: TrainState) -> StepsDone:
        """All windows as one event, and start anew. There must be a window."""
        windows, seconds = self.windows, self.seconds
        self.windows, self.seconds = [], 0.0
        count = sum(w.count for w in windows)
        norms = [(w.grad_norm, w.count) for w in windows if w.grad_norm is not None]
        return StepsDone(
            step=state.learner.step,
            epoch=state.epoch,
            count=count,
            loss=sum(w.loss * w.count for w in windows) / count,
            loss_min=min(w.loss_min for w in windows),
            loss_max=max(w.loss_max for w in windows),
            learning_rate=windows[-1].learning_rate,
            grad_norm=sum(n * c for n, c in norms) / sum(c for _, c in norms) if norms else None,
            samples_per_second=sum(w.samples for w in windows) / seconds if seconds > 0 else 0.0,
            seconds=state.counters.seconds,
        )


@dataclass(slots=True, kw_only=True)
class Loop:
    """One run's loop; it lives from the first step to the last."""

    spec: RunSpec
    state: TrainState
    task: str
    truth: np.ndarray
    positive: int
    belongs: Mapping[str, str]
    clock: Clock
    look: Callable[[], bool]
    """Take in requests; True to stop."""
    take_checkpoint: Callable[[], Literal["", "checkpoint", "pin"]]
    """Whether a checkpoint was asked for since, and one that is kept for ever."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """What going on to the bit depends on, for the checkpoints."""
    team: Team = SOLO
    """Its first rank looks at the clock and at requests, and writes; the others do as it says."""
    stages: tuple[Stage, ...] = ()
    """In which rows are fed gradually."""
    hear: Callable[[Window], None] | None = None
    """Told every window as it is taken."""
    place: Place = field(init=False)
    """The run's folder, as it lies there now."""
    _tally: Tally = field(default_factory=Tally)
    _pending: list[EpochDone] = field(default_factory=list)
    _at_once: int = _TOLD_AT_ONCE
    _told_steps: float = -math.inf
    _told_epoch: float = -math.inf
    _saved: float = 0.0
    _saved_any: bool = False
    _left: set[str] = field(default_factory=set)
    """Checkpoints that could not be deleted, once they were told of."""
    _failed_saves: int = 0
    _save_now: bool = False
    _steps_per_second: float = 0.0

    def __post_init__(self) -> None:
        self.place = Place(self.spec.folder)

    def run(self) -> Generator[Event, None, Outcome]:
        """Drive the state to its end. One that had ended already, and was killed before its model was kept, stays there."""
        self._saved = self.clock.monotonic()
        told = self.team.said(self._over)
        outcome = Outcome(*told) if told else None
        steps = 1
        watch = ThreadWatch.of(self.state.plan, self.state.learner.threads)
        begun = sum(self._begins(stage) < self.state.learner.step for stage in self.stages)
        while outcome is None:
            begun = yield from self._begin_stages(begun)
            before = self.clock.monotonic()
            window = advance(self.state, steps)
            if self.hear is not None:
                self.hear(window)
            verdict = self._judged(window)
            seconds = self.clock.monotonic() - before
            self.state.counters.seconds += seconds
            self._learn_rate(window, seconds)
            self._tally.add(window, seconds)
            # Ranks keep their threads: one of them cannot see what the others' take.
            if self.team.size == 1 and watch.give_up(window.count, seconds):
                yield self._one_thread()
            yield from _noticed(window.notices)
            if verdict is not None:
                yield from _noticed(verdict.notices)
                self._keep(verdict)
            yield from self._tell()
            steps, save, pin, told = self.team.said(partial(self._decide, window))
            outcome = Outcome(*told) if told else None
            if save:
                outcome = yield from self._checkpoint(outcome, pin=pin)
        yield from self._tell(everything=True)
        if outcome.state == "diverged":
            outcome = outcome._replace(reason=f"{outcome.reason}; {self._what_is_left()}")
        return outcome

    def _one_thread(self) -> Noticed:
        learner = self.state.learner
        text = (
            f"from step {learner.step + 1} on it computes with one thread: {learner.threads} were slower than one, "
            "as others need the machine too"
        )
        learner.use_threads(1)
        # What comes before is not computed anew with another count after a kill.
        self._save_now = True
        return Noticed(code="threads", text=text, severity="warning")

    def _begins(self, stage: Stage) -> int:
        return stage.from_epoch * self.state.learner.steps_per_epoch

    def _begin_stages(self, begun: int) -> Generator[Event, None, int]:
        """Tell of the stages that have begun since `begun` of them had. Patience starts anew with each."""
        for stage in self.stages[begun:]:
            if self._begins(stage) > self.state.learner.step:
                break
            begun += 1
            self.state.counters.without_better = 0
            yield StageStarted(step=self._begins(stage), number=stage.number, of=stage.of, rows=stage.rows)
        return begun

    def settle(self) -> Generator[Event, None, None]:
        """Judge the weights of an end that came before the first evaluation, so that a model can be kept.

        Called after the last checkpoint, which therefore knows nothing of it: a resume computes as if nobody had looked.
        """
        if len(self.truth) and self.state.learner.step and self.state.counters.best_step is None:
            verdict = judge(self.state, self.task, self.truth, self.positive, self.team)
            yield from _noticed(verdict.notices)
            self._keep(verdict)
            yield from self._tell(everything=True)

    def _window_size(self) -> int:
        return max(1, int(self._steps_per_second * _WINDOW_SECONDS))

    def _learn_rate(self, window: Window, seconds: float) -> None:
        if window.count and seconds > 0:
            rate = window.count / seconds
            self._steps_per_second = rate if not self._steps_per_second else (self._steps_per_second + rate) / 2

    def _judged(self, window: Window) -> Verdict | None:
        """The evaluation, if this step ends with one."""
        if not window.healthy or not self.state.evaluation_due or not len(self.truth):
            return None
        if not window.count and self.state.learner.step % self.state.plan.evaluate_every == 0:
            return None  # no tree could be grown any more: it was judged when it came here
        return judge(self.state, self.task, self.truth, self.positive, self.team)

    def _keep(self, verdict: Verdict) -> None:
        """Hold an evaluation until it may be told: of several the best, if it is the best so far, and the last."""
        keep = self._pending[:1] if not verdict.best and any(e.best for e in self._pending) else []
        last = EpochDone(
            step=self.state.learner.step,
            epoch=self.state.epoch,
            train_loss=self.state.counters.last_train_loss,
            validation_loss=verdict.loss,
            metrics=dict(verdict.metrics),
            value=verdict.value,
            best=verdict.best,
            seconds=self.state.counters.seconds,
        )
        self._pending = [*keep, last]

    def _tell(self, *, everything: bool = False) -> Generator[Event, None, None]:
        """Steps and evaluations that are due to be told."""
        now = self.clock.monotonic()
        if self._pending and self._at_once:
            self._at_once -= 1
            everything = True
        if self._tally.windows and (everything or now - self._told_steps >= _TELL_STEPS_SECONDS):
            self._told_steps = now
            yield self._tally.told(self.state)
        if self._pending and (everything or now - self._told_epoch >= _TELL_EPOCH_SECONDS):
            self._told_epoch = now
            pending, self._pending = self._pending, []
            yield from pending

    def _decide(self, window: Window) -> tuple[int, bool, bool, Outcome | None]:
        """What comes now: steps of the next window, whether to save, whether to keep that for ever, and the end if any."""
        outcome = self._outcome(window)
        asked = self.take_checkpoint()
        if outcome is not None and outcome.state == "diverged":
            # The step that met it was not taken. Without a checkpoint before, what was learnt until then would be lost.
            state = self.state
            only = state.learner.step > 0 and state.healthy and state.learner.intact
            only = only and last_healthy(self.spec.folder) is None
            return 1, only, False, outcome
        # At every healthy end too: then a resume or a longer run can follow.
        save = outcome is not None or bool(asked) or self._save_now or self._save_due()
        return self._window_size(), save, asked == "pin", outcome

    def _outcome(self, window: Window) -> Outcome | None:
        """Whether and why it ends here."""
        if not window.healthy:
            step = self.state.learner.step + 1
            if step == 1:  # nothing was learnt yet: no learning rate had a part in it
                text = "the loss or its gradient is no number at the very first step"
                return Outcome(state="diverged", reason=f"{text}; look at the loss and at the inputs")
            text = f"the loss or its gradient is no longer a number at step {step}"
            return Outcome(state="diverged", reason=f"{text}; a new run with a lower learning rate may help")
        over = self._over()
        if over is not None:
            return over
        if self.look():
            return Outcome(state="stopped", reason="stopped as asked")
        if self._failed_saves >= _FAILED_SAVES:
            return Outcome(state="stopped", reason=f"{_FAILED_SAVES} checkpoints in a row could not be written")
        return None

    def _over(self) -> Outcome | None:
        """Whether and why it has ended by itself: told by its state alone, so that a resume finds the same."""
        state, train = self.state, self.spec.project.train
        if state.finished:
            return Outcome(state="done", reason="finished")
        if len(self.truth) and state.out_of_patience and self._all_fed:
            since = state.counters.without_better
            return Outcome(state="done", reason=f"stopped early: no better on validation for {since} evaluations")
        if train.time_limit and state.counters.seconds >= duration_seconds(train.time_limit):
            return Outcome(state="done", reason=f"the time limit of {train.time_limit} is reached")
        return None

    @property
    def _all_fed(self) -> bool:
        """Whether the last stage has begun: before that nothing is known of most rows."""
        return not self.stages or self._begins(self.stages[-1]) < self.state.learner.step

    def _checkpoint(self, outcome: Outcome | None, *, pin: bool) -> Generator[Event, None, Outcome | None]:
        """Save; returns the outcome, with what a person must know of the checkpoints then. All ranks come here together."""
        self.state.learner.gather()
        if self.team.first:
            outcome = yield from self._save(outcome, pin=pin)
        told = self.team.said(lambda: outcome)
        return Outcome(*told) if told else None

    def _written(self, *, pin: bool) -> Saved:
        self.place.demand()
        return save_checkpoint(self.spec.folder, self.state, self.belongs, facts=self.facts, pinned=pin)

    def _save(self, outcome: Outcome | None, *, pin: bool) -> Generator[Event, None, Outcome | None]:
        """Write it, and tell."""
        self._save_now = False
        # First all that came before it: a resume takes the curve up to the checkpoint from the journal.
        yield from self._tell(everything=True)
        self._saved = self.clock.monotonic()
        try:
            saved = yield from when_there_is_room(
                lambda: self._written(pin=pin),
                f"the checkpoint of step {self.state.learner.step}",
                look=self.look,
                clock=SystemClock(),  # whatever clock the steps are told by
            )
        except (NotSaved, BadCheckpoint) as error:
            return (yield from self._not_saved(error, outcome))
        self._failed_saves, self._saved_any = 0, True
        yield CheckpointSaved(
            step=saved.step,
            epoch=self.state.epoch,
            folder=str(saved.folder.relative_to(self.spec.folder)),
            sha256=saved.sha256,
            best=self.state.counters.best_step == saved.step,
            healthy=saved.healthy,
            pinned=pin,
        )
        for refused in saved.left:
            if refused.where not in self._left:
                self._left.add(refused.where)
                text = f"an older checkpoint was {refused.what} ({refused.where})"
                yield Noticed(code="not-deleted", text=text, severity="warning")
        return outcome

    def _not_saved(self, error: RunError | NotSaved, outcome: Outcome | None) -> Generator[Event, None, Outcome | None]:
        """Say so, and go on: what else would end here ends; a full disk ends it after an hour, or when asked to."""
        self._failed_saves += 1
        yield Noticed(code=error.error_code, text=f"checkpoint {error.what}; {error.fix}", severity="error")
        if isinstance(error, NotSaved) and lacks_room(error) and outcome is None:
            why = "stopped as asked" if self.look() else "there was no room on the disk for an hour"
            outcome = Outcome(state="stopped", reason=why)
        if outcome is None or outcome.state in {"done", "diverged"} or self._failed_saves > _FAILED_SAVES:
            return outcome
        text = f"{outcome.reason}; its checkpoint could not be written: {error.what}; {self._where_it_goes_on()}"
        return outcome._replace(reason=text)

    def _what_is_left(self) -> str:
        """Of a run that diverged, in words: what is computed anew from there is the same."""
        kept = last_healthy(self.spec.folder)
        if kept is None:
            return "there is no checkpoint before it"
        there = f"the last healthy checkpoint is of step {grouped(kept.step)}"
        return f"{there}, and `epochal resume` goes on from it, to the same end where the cause is still there"

    def _where_it_goes_on(self) -> str:
        """What a resume would find, in words."""
        kept = last_healthy(self.spec.folder)
        if kept is None:
            return "there is no checkpoint before it"
        return f"the last healthy checkpoint is of step {grouped(kept.step)}, and `epochal resume` goes on from it"

    def _save_due(self) -> bool:
        train = self.spec.project.train
        every = train.checkpoint_every if self._saved_any else train.first_checkpoint
        return self.clock.monotonic() - self._saved >= duration_seconds(every)


def _noticed(notices: Iterable[Notice]) -> Iterator[Noticed]:
    """What the learner did that a person should know."""
    return (Noticed(code=notice.code, text=notice.text, severity="warning") for notice in notices)
