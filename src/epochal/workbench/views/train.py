"""The Train pane's view: a sentence, figures, runs, and what the coach sees."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from epochal.core.errors import RunError
from epochal.core.tasks import METRICS
from epochal.project.trust import short
from epochal.show import safe
from epochal.workbench.views.shell import error_line
from epochal.workbench.views.words import about, count, done_at, duration, figure, loss_figure, rate, some


if TYPE_CHECKING:
    from epochal.core.events import TrainingStarted
    from epochal.journal.reduce import RunState
    from epochal.runs.state import RunInfo


Tone = Literal["text", "quiet", "accent", "second", "good", "warning", "bad"]

STATUS_TONES: dict[str, Tone] = {
    "ready": "second",
    "starting": "accent",
    "running": "accent",
    "stopping": "warning",
    "paused": "warning",
    "done": "good",
    "stopped": "second",
    "diverged": "bad",
    "failed": "bad",
    "interrupted": "bad",
    "stuck": "bad",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One line in the list of runs; baselines stand under them."""

    name: str
    """The run's name; empty for a baseline."""
    number: str
    family: str
    status: str
    tone: Tone
    value: str
    here: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something the coach saw: what, what it means, what to press."""

    tone: Tone
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainView:
    """What the Train pane shows beside its chart."""

    run: str = ""
    family: str = ""
    status: str = ""
    tone: Tone = "quiet"
    facts: tuple[tuple[str, Tone], ...] = ()
    """The sentence's parts, the most useful first."""
    loss: str = ""
    """The newest training loss."""
    validation_loss: str = ""
    seams: int = 0
    """How often it went on although it could not go on exactly."""
    stages: int = 0
    """How often more rows were fed, the first included."""
    survives: str = ""
    metric: str = ""
    best: str = ""
    runs: tuple[RunRow, ...] = ()
    coach: tuple[Finding, ...] = ()
    system: tuple[tuple[str, str], ...] = ()
    """Where and how it computes: a word and its value."""
    next: str = ""
    running: bool = False
    stoppable: bool = False
    """Running, or asked to stop and not over yet: each further request is a firmer one."""
    resumable: bool = False
    testable: bool = False


def train_view(
    infos: tuple[RunInfo, ...], shown: str, state: RunState | None, now: datetime, *, family: str = ""
) -> TrainView:
    """The view of the run `shown` (newest first in `infos`); without runs, what starting one means."""
    info = next((i for i in infos if i.name == shown), None)
    if info is None or state is None:
        what = f"trains {family}" if family else "trains the family that 4 Model takes"
        return TrainView(next=f"n {what}; the run lives on without this terminal.")
    status = state.status
    return TrainView(
        run=f"run {info.spec.number}",
        family=safe(info.spec.family),
        status=status,
        tone=STATUS_TONES.get(status, "quiet"),
        facts=_facts(info, state, now),
        survives=safe(state.host.survives) if state.host and info.alive else "",
        loss=loss_figure(state.steps.last("loss")) if len(state.steps) else "",
        validation_loss=loss_figure(state.evaluations.last("validation_loss")) if len(state.evaluations) else "",
        seams=len(state.seams),
        stages=len(state.stages),
        metric=METRICS[info.spec.project.metric].title,
        best=_best(info, state),
        runs=_rows(infos, shown, state),
        coach=_coach(info, state),
        system=_system(info, state),
        next=_next(state, unit_of(info.spec.family)),
        running=status in {"starting", "running", "stuck"} or _waits(state),
        stoppable=status in {"starting", "running", "stuck", "stopping"} or _waits(state),
        resumable=status in {"ready", "stopped", "interrupted", "paused", "failed", "diverged"} and not _waits(state),
        testable=status in {"done", "stopped"},
    )


def _waits(state: RunState) -> bool:
    """Whether its host has the run and waits, for room on the disk as yet."""
    return state.status == "paused" and state.ended is None


def unit_of(family: str) -> str:
    """What one pass is called: trees grow in rounds."""
    return "round" if family == "trees" else "epoch"


def passes(epoch: float) -> str:
    """The pass a run is in, or has just ended: the 30th from behind 29 up to and with 30."""
    return count(max(1, math.ceil(epoch - 1e-6)))


def device_words(device: str) -> str:
    """Where a run computes, as people say it."""
    name, _, number = device.partition(":")
    known = {"cpu": "the CPU", "cuda": "the GPU", "mps": "the GPU"}.get(name, safe(device))
    return f"{known} {safe(number)}" if number and name in {"cpu", "cuda", "mps"} else known


_TOLD = frozenset({"ready", "interrupted", "stuck", "failed", "diverged", "stopped", "done"})
"""States of which more is told than their name."""


def _facts(info: RunInfo, state: RunState, now: datetime) -> tuple[tuple[str, Tone], ...]:
    facts: list[tuple[str, Tone]] = []
    training = state.training
    if training is not None:
        if training.epochs > 1:
            at = min(float(training.epochs), state.epoch)
            facts.append((f"{unit_of(info.spec.family)} {passes(at)} of {count(training.epochs)}", "text"))
        facts.append((f"step {count(state.step)}", "text"))
    if state.ended is not None:
        facts.append((f"{duration(state.seconds)} training", "text"))
        if state.ended.samples_per_second:
            facts.append((rate(state.ended.samples_per_second), "text"))
    elif _waits(state):
        facts.append((safe(state.status_note), "warning"))
    elif info.alive and training is not None:
        facts += _pace(state, now)
        facts.append((f"on {_shared_words(training)}", "quiet"))
    elif state.phase and not training:
        facts.append((safe(state.phase_detail) or _PHASES.get(state.phase, safe(state.phase)), "text"))
    if state.status_note and state.status in _TOLD:
        facts.append((safe(state.status_note), "quiet"))
    return tuple(facts)


def _pace(state: RunState, now: datetime) -> list[tuple[str, Tone]]:
    facts: list[tuple[str, Tone]] = []
    if speed := rate(state.samples_per_second):
        facts.append((speed, "text"))
    if state.seconds_left is not None:
        facts.append((f"{duration(state.seconds_left)} left (done {done_at(now, state.seconds_left)})", "text"))
    return facts


_PHASES = {
    "loading": "loads the training libraries",
    "reading": "reads the rows",
    "preparing": "prepares the columns",
    "baselines": "trains what must be beaten",
    "probing": "measures the fitting size",
    "resuming": "grows its sampled rounds again",
    "training": "trains",
    "finishing": "writes the model",
}


def _best(info: RunInfo, state: RunState) -> str:
    if state.best_value is None:
        return ""
    place = ""
    if (epoch := _best_epoch(state)) is not None and state.best_step is not None:
        multi = state.training is not None and state.training.epochs > 1
        place = f" at {unit_of(info.spec.family)} {passes(epoch)}" if multi else f" at step {count(state.best_step)}"
    return f"best {METRICS[info.spec.project.metric].title} {figure(state.best_value)}{place}"


def _best_epoch(state: RunState) -> float | None:
    """When the best by the chosen metric was reached, if it was evaluated then."""
    steps = list(state.evaluations.column("step"))
    return state.evaluations.column("epoch")[steps.index(state.best_step)] if state.best_step in steps else None


def _rows(infos: tuple[RunInfo, ...], shown: str, state: RunState) -> tuple[RunRow, ...]:
    metric = next(i.spec.project.metric for i in infos if i.name == shown)
    rows = [
        RunRow(
            name=i.name,
            number=str(i.spec.number),
            family=safe(i.spec.family),
            status=state.status if i.name == shown else i.status,
            tone=STATUS_TONES.get(state.status if i.name == shown else i.status, "quiet"),
            value=figure(state.best_value if i.name == shown and state.best_value is not None else i.value),
            here=i.name == shown,
        )
        for i in infos
    ]
    rows += [
        RunRow(
            name="",
            number="",
            family=safe(baseline.name),
            status="baseline",
            tone="quiet",
            value=figure(baseline.metrics.get(metric)),
        )
        for baseline in state.baselines.values()
    ]
    return tuple(rows)


def _system(info: RunInfo, state: RunState) -> tuple[tuple[str, str], ...]:
    facts: list[tuple[str, str]] = []
    if state.host is not None:
        process = f", process {state.host.pid}" if info.alive else ""
        facts.append(("host", safe(f"{state.host.host} on {state.host.machine}{process}")))
        facts.append(("machine", safe(state.host.device)))
    if info.spec.code is not None:
        facts.append(("model", f"{safe(info.spec.code.module)}, code {short(info.spec.code.digest)}"))
    training = state.training
    if training is not None:
        facts += [
            ("computes on", _computes_on(training)),
            ("precision", safe(training.precision)),
            ("batch", f"{count(training.batch_size)} rows, learning rate {training.learning_rate:.3g}"),
            ("weights", about(training.parameters)),
            ("rows", f"{count(training.rows_train)} train, {count(training.rows_validation)} validation"),
        ]
    if state.checkpoints:
        last = state.checkpoints[-1]
        facts.append(("checkpoint", f"{unit_of(info.spec.family)} {passes(last.epoch)}, step {count(last.step)}"))
    return tuple(facts)


def _computes_on(training: TrainingStarted) -> str:
    threads = some(training.threads, "thread")
    return f"{_shared_words(training)}, {threads}{' each' if training.ranks > 1 else ''}"


def _shared_words(training: TrainingStarted) -> str:
    """Where it computes; with several ranks, without the number of the first one's GPU."""
    if training.ranks == 1:
        return device_words(training.device)
    return f"{device_words(training.device.partition(':')[0])}, {some(training.ranks, 'rank')}"


def _coach(info: RunInfo, state: RunState) -> tuple[Finding, ...]:
    """What the curves and notices say, the gravest first, in words that end in what to do."""
    findings: list[Finding] = []
    if state.status == "failed" and state.ended is not None:
        told = state.ended.error
        error = RunError(told.get("what", state.ended.reason), where=told.get("where", ""), fix=told.get("fix", ""))
        findings.append(Finding(tone="bad", text=error_line(error)))
    for resumed in state.resumes[-1:]:
        text = (
            f"Resumed from step {count(resumed.from_step)}{', not exactly' if resumed.seam else ''}."
            if resumed.folder
            else "There was no checkpoint: it started again from the beginning."
        )
        findings.append(Finding(tone="quiet", text=text))
    severity: dict[str, Tone] = {"error": "bad", "warning": "warning", "hint": "quiet"}
    noticed = {n.text: n for n in state.notices}  # each host says anew what holds of the whole run
    findings += [Finding(tone=severity[n.severity], text=safe(n.text)) for n in [*noticed.values()][-4:]]
    findings += _overfit(info, state)
    findings += _against_baseline(info, state)
    return tuple(
        sorted(findings, key=lambda f: ("bad", "warning").index(f.tone) if f.tone in {"bad", "warning"} else 2)
    )


def _overfit(info: RunInfo, state: RunState) -> list[Finding]:
    """How the loss on validation went, and which model is kept: the metric decides that, not the loss."""
    steps = state.evaluations.column("step")
    # While fewer rows were fed, the loss said something else.
    before = sum(step <= state.stages[-1].step for step in steps) if state.stages else 0
    losses = state.evaluations.column("validation_loss", before)
    if len(losses) < 6 or state.training is None or state.training.epochs <= 1:
        return []
    finite = [v if math.isfinite(v) else math.inf for v in losses]
    best = min(range(len(finite)), key=finite.__getitem__)
    since = len(finite) - 1 - best
    unit, epoch = unit_of(info.spec.family), passes(state.evaluations.column("epoch", before)[best])
    by_metric = _best_epoch(state)
    kept = (
        "the best is kept"
        if by_metric is None or passes(by_metric) == epoch
        else f"kept is {unit} {passes(by_metric)}, best by {METRICS[info.spec.project.metric].title}"
    )
    rise = finite[-1] - finite[best]
    if since >= 5 and rise > 0.05 * finite[best] and rise > 0.02 * (finite[0] - finite[best]):
        return [
            Finding(
                tone="warning",
                text=f"Validation loss was lowest at {unit} {epoch} and has stayed above it since: "
                f"it learns the rows by heart. {kept[0].upper()}{kept[1:]}.",
            )
        ]
    if since >= 5:
        return [Finding(tone="quiet", text=f"Validation loss was lowest at {unit} {epoch}; {kept}.")]
    return []


def _against_baseline(info: RunInfo, state: RunState) -> list[Finding]:
    metric = METRICS[info.spec.project.metric]
    strong = state.baselines.get("strong")
    if strong is None or state.best_value is None or metric.name not in strong.metrics:
        return []
    value = strong.metrics[metric.name]
    good = metric.better(state.best_value, value)
    word = "better than" if good else "level with" if state.best_value == value else "not as good as"
    text = f"{metric.title} {figure(state.best_value)} on validation, {word} the strong baseline ({figure(value)})."
    return [Finding(tone="good" if good else "quiet", text=text)]


_NEXT = {
    "ready": "r starts it, or the line that --print-launch printed.",
    "done": "Enter goes to the sealed test set: rows it never saw.",
}


def _next(state: RunState, unit: str) -> str:
    status = state.status
    if status == "starting" and not state.phase:
        return "wait: its host is being started."
    if status == "stopping":
        if sum(command.verb.startswith("stop") for command in state.commands) > 1:
            return "wait: it stops at once. s again ends its process."
        return "wait: it writes a checkpoint, then stops. s again stops it at once."
    if status in {"starting", "running"}:
        left = state.seconds_left
        if state.training is None:
            return f"wait: it {_PHASES.get(state.phase, 'starts')}."
        stop = "s stops it with the best so far; then Enter tests that."
        return f"wait {duration(left)}, or {stop}" if left is not None else stop
    if status in _NEXT:
        return _NEXT[status]
    if status == "stuck":
        return f"s asks it to stop, `epochal stop` ends it when it does not answer: {safe(state.status_note)}."
    if _waits(state):
        return "make room on the disk: the run goes on by itself within seconds."
    last = state.goes_on_from
    come = (
        f"r goes on from {unit} {passes(last.epoch)}, step {count(last.step)}"
        if last
        else "r starts it again from the beginning"
    )
    if status == "stopped":
        return f"{come}, or Enter tests the best so far."
    return f"{come}."
