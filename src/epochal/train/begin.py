"""From a run's settings to its first step, or to the step it goes on from: the same for a run and for what verifies it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Literal

import torch

from epochal.core.clock import Clock, SystemClock
from epochal.core.events import Event, Noticed, PhaseStarted, Resumed
from epochal.journal.told import checkpoints_told
from epochal.project.exact import facts_of
from epochal.project.going import Going, Way, going_on
from epochal.project.runfile import RunSpec, with_resolved
from epochal.project.trust import demand_same
from epochal.show import grouped
from epochal.train.checkpoint import load_checkpoint
from epochal.train.device import device_here, device_title
from epochal.train.loop import Loop
from epochal.train.make import Made, Prepared, dense_rows, make_learner, prepare, with_own
from epochal.train.plan import make_plan
from epochal.train.rows import read_training
from epochal.train.stages import stages_of
from epochal.train.state import Learner, TrainState, Window, plan_from


_AGAIN_SECONDS = 0.25
"""Steps done again between two looks at requests take about so long …"""
_AGAIN_TOLD_SECONDS = 1.0
"""… and this often it is told how far they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A run at its first step, or where it goes on."""

    spec: RunSpec
    """With what "auto" became."""
    prepared: Prepared
    made: Made
    state: TrainState
    facts: Mapping[str, str]
    """What going on to the bit depends on."""
    resumed_from: int = 0


def where_it_goes_on(spec: RunSpec, way: Way) -> Generator[Event, None, tuple[RunSpec, Going | None]]:
    """Where a run that was begun before goes on, or the refusal; None for one that begins."""
    demand_same(spec)
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
        text = f"from step {going.step} on it may not be what an uninterrupted run would be: {going.seam}"
        yield Noticed(code="seam", text=text, severity="warning")
    return spec, going


def prepare_rows(spec: RunSpec) -> Generator[Event, None, Prepared]:
    """Read the rows and fit the preparation."""
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


def begin(
    spec: RunSpec, prepared: Prepared, going: Going | None, *, spent: float, look: Callable[[], bool]
) -> Generator[Event, None, Begun]:
    """Resolve "auto", or take it from an earlier start of this run; make the learner, and go on from its checkpoint.

    `spent` seconds of the budget are gone. When `look` says to stop while steps are done again, the learner is left
    `behind`: nothing can be asked of it then.
    """
    family = spec.family
    dense = None if family == "trees" else dense_rows(prepared)
    if going is not None:
        plan = plan_from(spec.resolved)
    else:
        yield PhaseStarted(name="probing", detail=f"fitting {family} to the budget of {spec.project.train.budget}")
        planned = make_plan(spec.project, family, prepared, dense, seconds_spent=spent)
        plan = planned.plan
        for note in planned.notes:
            yield Noticed(code="fitted-to-budget", text=note)
        spec = with_resolved(spec, plan.as_resolved())
    torch.set_num_threads(plan.threads)
    made = make_learner(prepared, family, plan, dense)
    state = TrainState(learner=made.learner, plan=plan, metric=spec.project.metric)
    resumed_from = 0
    if going is not None:
        folder = ""
        if going.checkpoint is not None:
            load_checkpoint(going.checkpoint.folder, state, belongs_to(spec))
            resumed_from = state.learner.step
            folder = str(going.checkpoint.folder.relative_to(spec.folder))
        yield Resumed(from_step=resumed_from, folder=folder, seam=going.seam)
        yield from _caught_up(state.learner, look)
    return Begun(
        spec=spec,
        prepared=prepared,
        made=made,
        state=state,
        facts=facts_of(spec, device_title(plan.device)),
        resumed_from=resumed_from,
    )


def _caught_up(learner: Learner, look: Callable[[], bool]) -> Generator[Event, None, None]:
    """Do again what no checkpoint keeps, telling how far it is, until it is done or a stop was asked for."""
    owed = learner.behind
    if not owed:
        return
    again = f"growing {grouped(owed)} rounds again"
    yield Noticed(
        code="again", text=f"{again}: LightGBM keeps no state of its sampling, and rounds grown anew draw alike"
    )
    yield PhaseStarted(name="resuming", detail=again)
    clock = SystemClock()
    told, count = clock.monotonic(), 1
    while learner.behind and not look():
        before = clock.monotonic()
        learner.catch_up(count)
        now = clock.monotonic()
        count = max(1, min(2 * count, int(count * _AGAIN_SECONDS / max(1e-6, now - before))))
        if now - told >= _AGAIN_TOLD_SECONDS:
            told = now
            yield PhaseStarted(name="resuming", detail=f"{again}, {grouped(owed - learner.behind)} done")


def belongs_to(spec: RunSpec) -> dict[str, str]:
    """What a checkpoint must agree on with the run that takes it."""
    return {"snapshot": spec.snapshot_id, "split": spec.split_id, "family": spec.family, "run": spec.name}


def loop_of(
    begun: Begun,
    clock: Clock,
    *,
    look: Callable[[], bool],
    take_checkpoint: Callable[[], Literal["", "checkpoint", "pin"]],
    hear: Callable[[Window], None] | None = None,
) -> Loop:
    """The loop over its steps; `look` and `take_checkpoint` say what was asked, `hear` is told every window."""
    data = begun.prepared.data
    return Loop(
        spec=begun.spec,
        state=begun.state,
        task=data.task,
        truth=data.validation.target,
        positive=positive_of(begun.prepared),
        belongs=belongs_to(begun.spec),
        clock=clock,
        stages=stages_of(begun.state.plan, len(data.train)),
        look=look,
        take_checkpoint=take_checkpoint,
        facts=begun.facts,
        hear=hear,
    )


def positive_of(prepared: Prepared) -> int:
    """The index of the class that counts as positive; 0 where there are no classes."""
    return prepared.data.positive if prepared.data.task == "classification" else 0
