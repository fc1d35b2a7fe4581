"""From records to what is known of a run: a pure fold, so that live and finished runs are read alike.

`RunState` says what the journal says. Whether the host behind it still lives is judged by `epochal.runs.state`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from epochal.core.events import (
    BaselineDone,
    CheckpointSaved,
    CommandTaken,
    EpochDone,
    Event,
    HostStarted,
    Noticed,
    PhaseStarted,
    Resumed,
    RunEnded,
    RunStatus,
    StageStarted,
    StepsDone,
    TrainingStarted,
)
from epochal.core.tasks import METRICS
from epochal.journal.record import Record
from epochal.journal.series import Log, Series


STEP_COLUMNS = (
    "step",
    "epoch",
    "count",
    "loss",
    "loss_min",
    "loss_max",
    "learning_rate",
    "grad_norm",
    "samples_per_second",
    "seconds",
)
EVALUATION_COLUMNS = ("step", "epoch", "train_loss", "validation_loss", "value", "best", "seconds")

MAX_NOTICES = 200
"""The newest notices kept; a run that warns without end must not fill the memory of those who watch it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """Steps that a resume made void: they were done after the checkpoint it went on from."""

    from_step: int
    steps: Series
    evaluations: Series


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """All that is known of a run at one moment. Frozen; the next record gives the next state."""

    status: RunStatus = "ready"
    status_note: str = ""
    """What else there is to say of the status, in words: why it ended, since when it is silent."""
    host: HostStarted | None = None
    """The host that has the run now, or had it last."""
    hosts: int = 0
    """How many hosts have had it: more than one after a resume."""
    phase: str = ""
    phase_detail: str = ""
    training: TrainingStarted | None = None
    step: int = 0
    epoch: float = 0.0
    seconds: float = 0.0
    """Training time over all hosts."""
    steps: Series = field(default_factory=lambda: Series(STEP_COLUMNS))
    """A row for each window of steps: `step`, `epoch`, `count`, `loss`, `loss_min`, `loss_max`, `learning_rate`,
    `grad_norm`, `samples_per_second`, `seconds`; NaN where the family has no such figure."""
    evaluations: Series = field(default_factory=lambda: Series(EVALUATION_COLUMNS))
    """A row for each evaluation: `step`, `epoch`, `train_loss`, `validation_loss`, `value` (of the chosen metric),
    `best` (1 when it was the best so far), `seconds`."""
    metrics: Log[Mapping[str, float]] = field(default_factory=Log)
    """All metrics of each evaluation, beside `evaluations`."""
    superseded: tuple[Branch, ...] = ()
    """What earlier hosts did beyond the checkpoint that was resumed from; drawn grey."""
    resumes: tuple[Resumed, ...] = ()
    seams: tuple[int, ...] = ()
    """Steps from which on a run that was gone on with all the same is not what an uninterrupted one would be."""
    stages: tuple[StageStarted, ...] = ()
    """Where more rows were fed, when they are fed gradually."""
    baselines: Mapping[str, BaselineDone] = field(default_factory=dict)
    """By name: trivial, strong."""
    checkpoints: tuple[CheckpointSaved, ...] = ()
    """Those the journal tells of and no resume made void, in order; older ones may have been deleted since."""
    notices: tuple[Noticed, ...] = ()
    noticed: int = 0
    """How many there were so far, with those that are no longer kept …"""
    noticed_before: int = 0
    """… and how many before the present host began."""
    commands: tuple[CommandTaken, ...] = ()
    """Requests taken by the present host."""
    ended: RunEnded | None = None
    best_value: float | None = None
    """Of the chosen metric on validation."""
    best_step: int | None = None
    started_at: str = ""
    """Wall clock of the first record."""
    last_at: str = ""
    """Wall clock of the newest record."""
    records: int = 0
    damaged: int = 0
    """Lines that were no record, and records that are missing between others."""
    last_n: int = -1

    @property
    def goes_on_from(self) -> CheckpointSaved | None:
        """The checkpoint from which a resume would go on, as far as the journal tells; None: from the beginning."""
        healthy = [c for c in self.checkpoints if c.healthy]
        return next(reversed(healthy or self.checkpoints), None)

    @property
    def samples_per_second(self) -> float:
        """Of the newest window; 0 before the first."""
        return self.steps.last("samples_per_second") if len(self.steps) else 0.0

    @property
    def total_steps(self) -> int:
        """Steps it will take if nothing ends it early; 0 while that is not known."""
        return self.training.epochs * self.training.steps_per_epoch if self.training else 0

    @property
    def progress(self) -> float:
        """Share of the steps done, from 0 to 1. A run that ended early stays where it ended."""
        return min(1.0, self.step / self.total_steps) if self.total_steps else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Training seconds to go at the pace so far; None while there is no pace, or nothing to go."""
        if not self.total_steps or not self.step or self.ended or self.seconds <= 0 or self.training is None:
            return None
        return self.seconds / self.step * max(0, self.total_steps - self.step)

    @property
    def higher_is_better(self) -> bool:
        """Of the chosen metric."""
        metric = METRICS.get(self.training.metric) if self.training else None
        return metric.higher_is_better if metric else True


def reduce(state: RunState, record: Record) -> RunState:
    """The state after one more record."""
    return reduce_all(state, (record,))


def reduce_all(state: RunState, records: Iterable[Record], *, damaged: int = 0) -> RunState:
    """The state after more records, in order; `damaged` lines were skipped among them."""
    draft = _Draft(state)
    for record in records:
        draft.take(record)
    draft.values["damaged"] = draft.get("damaged") + damaged
    return draft.state()


class _Draft:
    """A state in the making: rows of figures are gathered and added once, everything else is replaced at the end."""

    def __init__(self, state: RunState) -> None:
        self._state = state
        self.values: dict[str, Any] = {}
        self._steps: list[tuple[float | None, ...]] = []
        self._evaluations: list[tuple[float | None, ...]] = []
        self._metrics: list[Mapping[str, float]] = []

    def get(self, name: str) -> Any:
        return self.values[name] if name in self.values else getattr(self._state, name)

    def state(self) -> RunState:
        self._flush()
        return replace(self._state, **self.values)

    def take(self, record: Record) -> None:
        values = self.values
        last_n = self.get("last_n")
        if record.n != last_n + 1:
            values["damaged"] = self.get("damaged") + max(0, record.n - last_n - 1)
        if not self.get("records"):
            values["started_at"] = record.at
        values["last_n"], values["last_at"] = record.n, record.at
        values["records"] = self.get("records") + 1
        event = record.event
        if isinstance(event, StepsDone):
            self._take_steps(event)
        elif event is not None:
            _TAKE[type(event)](self, event)

    def _take_steps(self, event: StepsDone) -> None:
        if event.step <= self.get("step") and len(self.get("steps")) + len(self._steps):
            self._go_back(event.step - event.count)  # a host that began anew without a word
        self._steps.append(
            (
                event.step,
                event.epoch,
                event.count,
                event.loss,
                event.loss_min,
                event.loss_max,
                event.learning_rate,
                event.grad_norm,
                event.samples_per_second,
                event.seconds,
            )
        )
        self.values.update(step=event.step, epoch=event.epoch, seconds=event.seconds)
        self._runs()

    def take_epoch(self, event: EpochDone) -> None:
        self._evaluations.append(
            (event.step, event.epoch, event.train_loss, event.validation_loss, event.value, event.best, event.seconds)
        )
        self._metrics.append(event.metrics)
        if event.step >= self.get("step"):  # the best of several may be told after the steps that followed it
            self.values.update(step=event.step, epoch=event.epoch, seconds=event.seconds)
        if event.best:
            self.values.update(best_value=event.value, best_step=event.step)
        self._runs()

    def take_host(self, event: HostStarted) -> None:
        self.values.update(
            status="starting",
            status_note="",
            host=event,
            hosts=self.get("hosts") + 1,
            noticed_before=self.get("noticed"),
            ended=None,
            commands=(),
            phase="",
            phase_detail="",
        )

    def take_phase(self, event: PhaseStarted) -> None:
        self.values.update(phase=event.name, phase_detail=event.detail)
        if event.name in {"training", "finishing"}:
            self._runs()

    def take_training(self, event: TrainingStarted) -> None:
        self.values["training"] = event
        self._runs()

    def take_baseline(self, event: BaselineDone) -> None:
        self.values["baselines"] = {**self.get("baselines"), event.name: event}

    def take_stage(self, event: StageStarted) -> None:
        self.values["stages"] = (*self.get("stages"), event)

    def take_checkpoint(self, event: CheckpointSaved) -> None:
        self.values["checkpoints"] = (*self.get("checkpoints"), event)

    def take_command(self, event: CommandTaken) -> None:
        self.values["commands"] = (*self.get("commands"), event)[-MAX_NOTICES:]
        if event.verb.startswith("stop") and self.get("ended") is None:
            self.values["status"] = "stopping"

    def take_notice(self, event: Noticed) -> None:
        self.values["notices"] = (*self.get("notices"), event)[-MAX_NOTICES:]
        self.values["noticed"] = self.get("noticed") + 1

    def take_ended(self, event: RunEnded) -> None:
        self.values.update(status=event.state, status_note=event.reason, ended=event)
        if event.best_value is not None:
            self.values.update(best_value=event.best_value, best_step=event.best_step)
        if event.seconds:
            self.values["seconds"] = event.seconds

    def take_resume(self, event: Resumed) -> None:
        self.values["resumes"] = (*self.get("resumes"), event)
        stand = (c for c in self.get("checkpoints") if event.folder and c.step <= event.from_step)
        self.values["checkpoints"] = tuple(stand)
        self._go_back(event.from_step)
        if event.seam:
            self.values["seams"] = (*self.get("seams"), event.from_step)

    def _go_back(self, from_step: int) -> None:
        """Take what was done after that step out of the curve, into a branch of its own."""
        self._flush()
        steps, evaluations, metrics = self.get("steps"), self.get("evaluations"), self.get("metrics")
        num_steps = sum(1 for step in steps.column("step") if step <= from_step)
        num_evaluations = sum(1 for step in evaluations.column("step") if step <= from_step)
        if num_steps < len(steps) or num_evaluations < len(evaluations):
            branch = Branch(
                from_step=from_step, steps=steps.after(num_steps), evaluations=evaluations.after(num_evaluations)
            )
            self.values["superseded"] = (*self.get("superseded"), branch)
        kept_steps, kept = steps.first(num_steps), evaluations.first(num_evaluations)
        best = max((i for i, flag in enumerate(kept.column("best")) if flag), default=None)
        self.values.update(
            seams=tuple(step for step in self.get("seams") if step < from_step),
            stages=tuple(stage for stage in self.get("stages") if stage.step < from_step),
            steps=kept_steps,
            evaluations=kept,
            metrics=Log(list(metrics)[:num_evaluations]),
            step=from_step,
            epoch=kept_steps.last("epoch") if len(kept_steps) else 0.0,
            seconds=kept_steps.last("seconds") if len(kept_steps) else 0.0,
            best_value=None if best is None else kept.column("value")[best],
            best_step=None if best is None else int(kept.column("step")[best]),
        )

    def _runs(self) -> None:
        if self.get("status") in {"ready", "starting"}:
            self.values["status"] = "running"

    def _flush(self) -> None:
        """Add the gathered rows to their columns."""
        for name, rows in (("steps", self._steps), ("evaluations", self._evaluations), ("metrics", self._metrics)):
            if rows:
                self.values[name] = self.get(name).extended(rows)
        self._steps, self._evaluations, self._metrics = [], [], []


_TAKE: dict[type[Event], Any] = {
    HostStarted: _Draft.take_host,
    PhaseStarted: _Draft.take_phase,
    TrainingStarted: _Draft.take_training,
    EpochDone: _Draft.take_epoch,
    StageStarted: _Draft.take_stage,
    BaselineDone: _Draft.take_baseline,
    CheckpointSaved: _Draft.take_checkpoint,
    Resumed: _Draft.take_resume,
    CommandTaken: _Draft.take_command,
    Noticed: _Draft.take_notice,
    RunEnded: _Draft.take_ended,
}
