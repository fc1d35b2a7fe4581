"""What a run says while it runs: frozen events, each one record of the journal.

Figures between two records are aggregates of the steps since; `loss` is always in the task's own loss
(cross-entropy in nats, or mean squared error of the standardised target).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, ClassVar, Literal


RunStatus = Literal[
    "ready",
    "starting",
    "running",
    "paused",
    "stopping",
    "done",
    "stopped",
    "diverged",
    "failed",
    "interrupted",
    "stuck",
]
"""`ready`: it was made and nobody started it yet."""
ENDED: frozenset[str] = frozenset({"done", "stopped", "diverged", "failed", "interrupted"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base of all events. `kind` names the event in the journal."""

    kind: ClassVar[str] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostStarted(Event):
    """A host process took the run."""

    kind: ClassVar[str] = "host"
    host: str
    pid: int
    machine: str
    device: str
    survives: str
    """In words, what the run outlives: shown to people as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseStarted(Event):
    """What the run does now: reading, preparing, baselines, probing, training, finishing."""

    kind: ClassVar[str] = "phase"
    name: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingStarted(Event):
    """All is ready; the first step follows."""

    kind: ClassVar[str] = "training"
    task: str
    metric: str
    epochs: int
    steps_per_epoch: int
    batch_size: int
    learning_rate: float
    precision: str
    device: str
    threads: int
    rows_train: int
    rows_validation: int
    parameters: int
    resumed_from_step: int = 0
    ranks: int = 1
    """Processes that share each batch; `device` and `threads` are those of the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepsDone(Event):
    """A window of steps, aggregated."""

    kind: ClassVar[str] = "steps"
    step: int
    """Steps done in all."""
    epoch: float
    """Epochs done in all, fractional."""
    count: int
    """Steps in this window."""
    loss: float
    """Mean over the window."""
    loss_min: float
    loss_max: float
    learning_rate: float
    grad_norm: float | None = None
    samples_per_second: float = 0.0
    seconds: float = 0.0
    """Training time so far, over all hosts that drove this run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochDone(Event):
    """An evaluation on the validation part (for trees: after some rounds)."""

    kind: ClassVar[str] = "epoch"
    step: int
    epoch: float
    train_loss: float
    """Mean over the steps since the evaluation before."""
    validation_loss: float
    metrics: Mapping[str, float]
    """Every metric of the task that applies, on validation."""
    value: float
    """The chosen metric."""
    best: bool
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StageStarted(Event):
    """Rows are fed gradually, and from this step on more of them."""

    kind: ClassVar[str] = "stage"
    step: int
    number: int
    """From 1."""
    of: int
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineDone(Event):
    """A baseline was trained and judged on validation."""

    kind: ClassVar[str] = "baseline"
    name: str
    """trivial or strong."""
    title: str
    metrics: Mapping[str, float]
    seconds: float
    note: str = ""
    """What was capped, if anything was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointSaved(Event):
    """A checkpoint is complete on disk."""

    kind: ClassVar[str] = "checkpoint"
    step: int
    epoch: float
    folder: str
    """Relative to the run's folder."""
    sha256: str
    """Of the weights."""
    best: bool = False
    healthy: bool = True
    pinned: bool = False
    """Asked for to be kept for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed(Event):
    """The run goes on from a checkpoint: records of later steps before this one are a superseded branch."""

    kind: ClassVar[str] = "resume"
    from_step: int
    folder: str
    """The checkpoint; empty when there was none and the run started again from the beginning."""
    seam: str = ""
    """In words, what is not as it was before, where a person chose to go on all the same; empty when it goes on exactly."""
    best_value: float | None = None
    """The best of the chosen metric until then; None where there is none, or it is not defined …"""
    best_step: int | None = None
    """… and its step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandTaken(Event):
    """A request was read and is being done."""

    kind: ClassVar[str] = "command"
    id: str
    verb: str
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Noticed(Event):
    """Something a person should know: a cap, a fallback, a warning of the coach."""

    kind: ClassVar[str] = "notice"
    code: str
    text: str
    severity: Literal["hint", "warning", "error"] = "hint"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting(Event):
    """The training waits and cannot go on; told again and again while it does.

    Never in the journal: what it waits for may be room for the journal. The signs of life say it.
    """

    kind: ClassVar[str] = "waiting"
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded(Event):
    """The run is over, for now or for good. The last record of a host."""

    kind: ClassVar[str] = "ended"
    state: Literal["done", "stopped", "diverged", "failed", "paused"]
    reason: str
    """In words, shown to people as it is: finished, stopped early as validation no longer improved, …"""
    best_value: float | None = None
    best_step: int | None = None
    steps: int = 0
    epochs: float = 0.0
    seconds: float = 0.0
    samples_per_second: float = 0.0
    error: Mapping[str, str] = field(default_factory=dict)
    """For failed: code, what, where, fix."""


EVENTS: dict[str, type[Event]] = {
    e.kind: e
    for e in (
        HostStarted,
        PhaseStarted,
        TrainingStarted,
        StepsDone,
        EpochDone,
        StageStarted,
        BaselineDone,
        CheckpointSaved,
        Resumed,
        CommandTaken,
        Noticed,
        RunEnded,
    )
}


def to_payload(event: Event) -> dict[str, Any]:
    """The event as JSON data. JSON has no NaN and no infinity: they travel as the texts "NaN", "Infinity", "-Infinity"."""
    return {name: _out(getattr(event, name)) for name in _SHAPES[event.kind].names}


def from_payload(kind: str, payload: Mapping[str, Any]) -> Event | None:
    """The event back from its payload; None for a kind this version does not know. Keys it does not know are left out."""
    cls = EVENTS.get(kind)
    if cls is None:
        return None
    shape = _SHAPES[kind]
    values = {name: payload[name] for name in shape.names if name in payload}
    if not shape.required <= values.keys():
        return None
    for name in shape.figures & values.keys():
        values[name] = _in(values[name])
    return cls(**values)


@dataclass(frozen=True, slots=True)
class _Shape:
    """What is needed of an event's class to read and write it, found once."""

    names: tuple[str, ...]
    required: frozenset[str]
    figures: frozenset[str]
    """Fields that may hold a number JSON does not have."""


def _shape(cls: type[Event]) -> _Shape:
    declared = fields(cls)
    return _Shape(
        tuple(f.name for f in declared),
        frozenset(f.name for f in declared if f.default is MISSING and f.default_factory is MISSING),
        frozenset(f.name for f in declared if "float" in str(f.type)),
    )


_SHAPES = {kind: _shape(cls) for kind, cls in EVENTS.items()}


def _out(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else _NAMES[repr(value)]
    if isinstance(value, Mapping):
        return {k: _out(v) for k, v in value.items()}
    return value


_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_NAMES = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def _in(value: Any) -> Any:
    if isinstance(value, str):
        return _SPECIAL.get(value, value)
    if isinstance(value, Mapping):
        return {k: _in(v) for k, v in value.items()}
    return value
