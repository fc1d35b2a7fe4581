"""A part of a run that is verified: from its newest checkpoint, or its beginning, to a step; every step recorded.

It goes the way of every run: the same plan, loop, checkpoints and refusals. Only the clock stands still, so that each
step is a window of its own, no time limit ends it and nothing is saved but where it stops.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import load as load_tensors
from torch import Tensor

from epochal.core.clock import SystemClock
from epochal.core.errors import RunError
from epochal.core.events import Event, Noticed, Waiting
from epochal.project.runfile import read_run
from epochal.show import grouped
from epochal.train.batch import Batch
from epochal.train.begin import Begun, begin, loop_of, prepare_rows, where_it_goes_on, write_rows
from epochal.train.gradient import GradientLearner
from epochal.train.mode import computing
from epochal.train.state import TrainState, Window


Report = Callable[[str, float | None], None]
T = TypeVar("T")

MOST_STEPS = 400
"""Steps that are compared when nobody says how many: at most so many …"""
FEWEST_STEPS = 40
"""… and, where an epoch is a few steps, at least so many, …"""
_EPOCHS = 2.5
"""… enough for so many epochs, or so many times to the next evaluation …"""
_SECONDS = 20.0
"""… if they take no longer than about this."""
BEFORE_STEPS = 60
"""Where more steps lie before the first evaluation, only the last of them are taken, …"""
AFTER_STEPS = 90
"""… and so many after it."""
_AFTER_IT = 3
"""Steps after the first evaluation that are taken however long they take: there is where a resume could be another."""
_HASH_DIGITS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """What a part of a run said of itself."""

    start: int
    """The step it went on from, or began with."""
    end: int
    losses: tuple[float, ...]
    """Of each step."""
    batches: tuple[str, ...]
    """Of each step, a hash of its rows in their order; empty for trees, which look at all rows in every step."""
    items: Mapping[str, str]
    """All that its last checkpoint holds, as "file: item", each with its sha256."""
    steps_per_epoch: int
    evaluate_every: int
    total_steps: int
    pieces: int
    """In which each batch is computed."""
    device: str
    threads: int
    precision: str
    notices: tuple[str, ...]
    resolved: Mapping[str, Any]
    """What "auto" became."""


class _StillClock:
    """A clock on which nothing takes any time."""

    def monotonic(self) -> float:
        """Always the same moment."""
        return 0.0

    def now(self) -> datetime:
        """Always the same moment."""
        return datetime(1970, 1, 1, tzinfo=UTC)


def train_segment(
    run_folder: Path, project_folder: Path, until: int | None = None, *, begins: int | None = 0, report: Report
) -> Segment:
    """Train the run in `run_folder` until a step; without one for as many as are worth comparing.

    A run that has no checkpoint yet takes its first step after step `begins`, with the weights of a beginning: so that
    the end of a long epoch is come to soon. With None it is decided here, and an evaluation is come to. Raises
    EpochalError as a run would, RunError (code diverged) when the loss is no number any more.
    """
    spec = replace(read_run(run_folder), home=project_folder)
    notices: list[str] = []
    threads = torch.get_num_threads()
    with computing(spec.project.train.mode):
        try:
            spec, going = _result(where_it_goes_on(spec, "exactly"), notices, report)
            report("reading the rows", None)
            prepared = _result(prepare_rows(spec), notices, report)
            if prepared is not None:
                prepared = _result(write_rows(spec, prepared, lambda: False), notices, report)
            assert prepared is not None  # noqa: S101 - nobody asked to stop, for the type checker
            begun = _result(begin(spec, prepared, going, spent=0.0, look=lambda: False), notices, report)
            if going is None or going.checkpoint is None:
                begun.state.learner.step = _where_to_begin(begun.state) if begins is None else begins
            return _driven(begun, until, notices, report, judged=begins is None)
        finally:
            torch.set_num_threads(threads)


def _result(events: Generator[Event, None, T], notices: list[str], report: Report) -> T:
    """What a generator of events returns; its notices are kept and told."""
    while True:
        try:
            event = next(events)
        except StopIteration as end:
            result: T = end.value
            return result
        if isinstance(event, Noticed):
            notices.append(event.text)
            report(event.text, None)
        elif isinstance(event, Waiting):
            report(event.why, None)


def _driven(begun: Begun, wanted: int | None, notices: list[str], report: Report, *, judged: bool) -> Segment:
    """Drive the loop to a step, or as far as is worth comparing, recording every step; to be `judged` takes its time."""
    state, learner = begun.state, begun.state.learner
    start, clock = learner.step, SystemClock()
    fewest = _first_evaluation(state) + _AFTER_IT if judged else 0
    last = _how_far(state, fewest) if wanted is None else _within(wanted, learner.total_steps)
    began = clock.monotonic()
    losses: list[float] = []
    batches: list[str] = []

    def hear(window: Window) -> None:
        losses.extend([window.loss] * window.count)
        report(f"step {grouped(learner.step)} of {grouped(last)}", (learner.step - start) / max(1, last - start))

    def look() -> bool:
        late = wanted is None and clock.monotonic() - began >= _SECONDS and learner.step >= fewest
        return learner.step >= last or late

    if isinstance(learner, GradientLearner):
        learner.hear(lambda batch: batches.append(rows_hash(batch)))
    loop = loop_of(begun, _StillClock(), look=look, take_checkpoint=lambda: "", hear=hear)
    outcome = _result(loop.run(), notices, report)
    if outcome.state == "diverged":
        raise RunError(outcome.reason, where=f"step {learner.step + 1}", fix="mend that first", code="diverged")
    folder = begun.spec.folder / "checkpoints" / f"step-{learner.step:08d}"
    if not folder.exists():
        said = notices[-1] if notices else outcome.reason
        raise RunError(f"the checkpoint of step {learner.step} could not be written: {said}", code="not-saved")
    return Segment(
        start=start,
        end=learner.step,
        losses=tuple(losses),
        batches=tuple(batches),
        items=items_of(folder),
        steps_per_epoch=learner.steps_per_epoch,
        evaluate_every=state.plan.evaluate_every,
        total_steps=learner.total_steps,
        pieces=state.plan.accumulate,
        device=state.plan.device,
        threads=state.plan.threads,
        precision=state.plan.precision,
        notices=tuple(notices),
        resolved=begun.spec.resolved,
    )


def _first_evaluation(state: TrainState) -> int:
    """The step after which the model is judged first: an epoch's end."""
    return min(state.plan.evaluate_every, state.learner.total_steps)


def _where_to_begin(state: TrainState) -> int:
    """The step after which what is worth comparing begins: not long before the first evaluation."""
    if not isinstance(state.learner, GradientLearner):  # trees stand on all that grew before them
        return 0
    return max(0, _first_evaluation(state) - BEFORE_STEPS)


def _how_far(state: TrainState, fewest: int) -> int:
    """The step up to which steps are worth comparing when nobody says how many; at least `fewest`, if there are."""
    evaluated = _first_evaluation(state)
    wanted = min(MOST_STEPS, max(FEWEST_STEPS, math.ceil(_EPOCHS * evaluated)))
    if state.learner.step:
        wanted = evaluated + AFTER_STEPS
    return min(state.learner.total_steps, max(fewest, wanted))


def _within(wanted: int, total: int) -> int:
    """The step, if the run has so many. Raises RunError."""
    if wanted > total:
        raise RunError(
            f"this run has {grouped(total)} steps, not {grouped(wanted)}",
            where="--steps",
            fix="name fewer, or give it more epochs with --set train.epochs=…",
            code="too-many-steps",
        )
    return wanted


def rows_hash(batch: Batch) -> str:
    """One hash over all that a batch holds, in the order of its rows."""
    found = hashlib.sha256()
    for name in sorted(batch):
        found.update(f"{name}:{_content(batch[name])};".encode())
    return found.hexdigest()[:_HASH_DIGITS]


def items_of(folder: Path) -> dict[str, str]:
    """All that a checkpoint holds, down to each tensor and each key, with its sha256. How long it took is left out."""
    items: dict[str, str] = {}
    for path in sorted(p for p in folder.iterdir() if p.is_file()):
        if path.suffix == ".safetensors":
            found = {name: _content(value) for name, value in load_tensors(path.read_bytes()).items()}
        elif path.suffix == ".json":
            document = json.loads(path.read_text(encoding="utf-8"))
            table = document["counters"] if path.name == "manifest.json" else document
            found = {name: _sha256(json.dumps(value).encode()) for name, value in table.items() if name != "seconds"}
        else:
            found = {"": _sha256(path.read_bytes())}
        items |= {f"{path.name}: {name}" if name else path.name: value for name, value in found.items()}
    return items


def _content(value: Tensor) -> str:
    """A hash over a tensor's shape, kind and bytes."""
    data = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return _sha256(f"{value.dtype}{tuple(value.shape)}".encode() + data.tobytes())


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
