"""From a run's settings to its first step, or to the step it goes on from: the same for a run and for what verifies it."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import torch

from epochal.core.clock import Clock, SystemClock
from epochal.core.errors import RunError
from epochal.core.events import Event, Noticed, PhaseStarted, Resumed
from epochal.core.tasks import MODULE
from epochal.journal.told import told_of
from epochal.project.exact import facts_of
from epochal.project.going import Going, Way, going_on
from epochal.project.runfile import RunSpec, with_resolved
from epochal.project.trust import demand_same
from epochal.show import grouped
from epochal.train.allowed import keep_heap_for_steps, keep_heap_small
from epochal.train.blocks import source_of_run
from epochal.train.checkpoint import load_checkpoint
from epochal.train.device import choose_device, device_here, device_title, free_on_device
from epochal.train.holding import refuse_in_blocks, sizes_for
from epochal.train.loop import Loop
from epochal.train.make import Made, Prepared, dense_rows, make_learner, prepare, with_own
from epochal.train.plan import Planned, make_plan
from epochal.train.room import when_there_is_room
from epochal.train.rows import read_training
from epochal.train.stages import stages_of
from epochal.train.state import Learner, TrainState, Window, plan_from
from epochal.train.streamed import Look, looked_over, written
from epochal.train.team import SOLO, Team


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
    team: Team = SOLO


def where_it_goes_on(
    spec: RunSpec, way: Way, team: Team = SOLO, look: Look = lambda: False
) -> Generator[Event, None, tuple[RunSpec, Going | None]]:
    """Where a run that was begun before goes on, or the refusal; None for one that begins. All ranks call it.

    Raises RunError (ranks-differ) where a rank finds another checkpoint in the run's folder than the first.
    """
    demand_same(spec)
    if not spec.resolved:
        demand_alike("", team)
        return spec, None
    if way == "anyway":
        device = device_here(str(spec.resolved["device"]), spec.project.train.devices)
        if device != spec.resolved["device"]:
            spec = yield from _resolved(spec, {**spec.resolved, "device": device}, team, look)
    told, device_name = told_of(spec.folder), device_title(str(spec.resolved["device"]))
    going = going_on(spec, told.checkpoints, way, diverged=told.diverged, device_name=device_name)
    for words in going.passed_over:
        yield Noticed(code="checkpoint-passed-over", text=words, severity="warning")
    if going.seam:
        text = f"from step {going.step} on it may not be what an uninterrupted run would be: {going.seam}"
        yield Noticed(code="seam", text=text, severity="warning")
    demand_alike(going.checkpoint.folder.name if going.checkpoint is not None else "none", team)
    return spec, going


def demand_alike(found: str, team: Team) -> None:
    """Refuse a rank that would go on from another checkpoint than the first. Raises RunError (ranks-differ).

    A file system over a network may still list what was there before.
    """
    firsts = team.said(lambda: found)
    if firsts != found:
        words = {"": "a run that begins", "none": "a run without a checkpoint"}
        raise RunError(
            f"rank {team.rank} finds {words.get(found, found)} where the first finds {words.get(firsts, firsts)}",
            fix="see that every node has the same folder, wait a minute, and resume",
            code="ranks-differ",
        )


def _resolved(spec: RunSpec, resolved: Mapping[str, Any], team: Team, look: Look) -> Generator[Event, None, RunSpec]:
    """The run with what "auto" became; the first rank saves it, once there is room."""
    if not team.first:
        return replace(spec, resolved=dict(resolved))
    write = partial(with_resolved, spec, resolved)
    return (yield from when_there_is_room(write, "the plan of the run", look=look, clock=SystemClock()))


def prepare_rows(
    spec: RunSpec, look: Look = lambda: False, team: Team = SOLO
) -> Generator[Event, None, Prepared | None]:
    """Read the rows and fit the preparation; None when `look` says to stop.

    Where they do not fit into memory they are looked over in blocks, and a sample of them is prepared: the first rank
    decides. Raises RunError (needs-all-rows) for what cannot be done with those.
    """
    source = source_of_run(spec)
    on_device = spec.family != "trees" and not spec.resolved
    device_free = free_on_device(spec.project.train.devices, source.split.train, team) if on_device else None
    sizes = sizes_for(source, spec.project.train.memory, spec.resolved, device_free)
    streamed = None
    if team.said(lambda: sizes is not None):
        refuse_in_blocks(spec.project, team.size)
    if sizes is None or team.size > 1:
        data = read_training(spec)
    else:
        keep_heap_small()
        yield Noticed(code="read-in-blocks", text=sizes.words)
        looked = yield from looked_over(source, sizes, look)
        if looked is None:
            return None
        data, streamed = looked
    for part, rows in (("training", data.train), ("validation", data.validation)):
        if rows.left_out:
            yield Noticed(
                code="target-missing",
                text=f"{rows.left_out} {part} rows have no target and are left out",
                severity="warning",
            )
    yield PhaseStarted(
        name="preparing", detail=f"{len(data.columns)} inputs, {grouped(data.train.total)} rows to learn from"
    )
    if len(data.train) < data.train.total:
        fitted = f"scales, categories and baselines are fitted on {grouped(len(data.train))}"
        yield Noticed(code="sampled", text=f"{fitted} of {grouped(data.train.total)} training rows")
    prepared = prepare(data, streamed)
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
    code = demand_same(spec)
    if code is not None:
        yield PhaseStarted(name="preparing", detail=f"reading {spec.project.model.options[MODULE]}")
        prepared = with_own(prepared, spec.project, spec.project_folder, code.files)
    return prepared


def write_rows(spec: RunSpec, prepared: Prepared, look: Look) -> Generator[Event, None, Prepared | None]:
    """With the prepared rows on disk, where a network learns from them there; None when `look` says to stop."""
    streamed = prepared.streamed
    if streamed is None:
        return prepared
    if spec.family != "trees":
        streamed = yield from written(streamed, prepared.preparation, spec.project_folder, look)
    keep_heap_for_steps()
    return None if streamed is None else replace(prepared, streamed=streamed)


def begin(
    spec: RunSpec,
    prepared: Prepared,
    going: Going | None,
    *,
    spent: float,
    look: Look,
    team: Team = SOLO,
) -> Generator[Event, None, Begun]:
    """Resolve "auto", or take it from an earlier start of this run; make the learner, and go on from its checkpoint.

    `spent` seconds of the budget are gone. All ranks of a team call it; the first measures, and tells the plan. When
    `look` says to stop while steps are done again, the learner is left `behind`: nothing can be asked of it then.
    """
    family = spec.family
    dense = None if family == "trees" else dense_rows(prepared)
    device: torch.device | None = None
    if team.size > 1:
        device = choose_device(spec.project.train.devices, prepared.data.train.total, team)[0]
        if device.type == "cuda":
            torch.cuda.set_device(device)  # NCCL asks for it
    if going is not None:
        plan = plan_from(spec.resolved)
    else:
        yield PhaseStarted(name="probing", detail=_what_is_probed(spec))
        exchange = team.exchange_seconds()
        planned: Planned | None = None
        if team.first:
            planned = make_plan(
                spec.project,
                family,
                prepared,
                dense,
                seconds_spent=spent,
                device=device,
                team=team,
                exchange_seconds=exchange,
            )
            if prepared.streamed is not None:
                planned = replace(planned, plan=prepared.streamed.planned(planned.plan, prepared.preparation))
            for note in planned.notes:
                yield Noticed(code="fitted-to-budget", text=note)
        plan = plan_from(team.said(lambda: {} if planned is None else planned.plan.as_resolved()))
        spec = yield from _resolved(spec, plan.as_resolved(), team, look)
    if device is not None:
        # Which of several equal devices a rank has may differ from one start to the next.
        plan = replace(plan, device=str(device))
    torch.set_num_threads(plan.threads)
    made = make_learner(prepared, family, plan, dense, team=team)
    state = TrainState(learner=made.learner, plan=plan, metric=spec.project.metric)
    resumed_from = 0
    if going is not None:
        folder = ""
        if going.checkpoint is not None:
            load_checkpoint(going.checkpoint.folder, state, belongs_to(spec))
            resumed_from = state.learner.step
            folder = str(going.checkpoint.folder.relative_to(spec.folder))
        best = state.counters.best_value
        yield Resumed(
            from_step=resumed_from,
            folder=folder,
            seam=going.seam,
            best_value=best if math.isfinite(best) else None,
            best_step=state.counters.best_step,
        )
        yield from _caught_up(state.learner, look, in_blocks=prepared.streamed is not None)
    return Begun(
        spec=spec,
        prepared=prepared,
        made=made,
        state=state,
        facts=facts_of(spec, device_title(plan.device)),
        resumed_from=resumed_from,
        team=team,
    )


def _what_is_probed(spec: RunSpec) -> str:
    train = spec.project.train
    if train.epochs != "auto":  # nothing is fitted then
        return f"measuring how {spec.family} computes fastest here"
    return f"fitting {spec.family} to the budget of {train.budget}"


def _caught_up(learner: Learner, look: Look, *, in_blocks: bool) -> Generator[Event, None, None]:
    """Do again what no checkpoint keeps, telling how far it is, until it is done or a stop was asked for."""
    owed = learner.behind
    if not owed:
        return
    again = f"growing {grouped(owed)} rounds again"
    why = "LightGBM keeps no state of its sampling, and rounds grown anew draw alike"
    if in_blocks:
        why = "LightGBM can only go on from trees over rows in memory, and rounds grown anew come out alike"
    yield Noticed(code="again", text=f"{again}: {why}")
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
    look: Look,
    take_checkpoint: Callable[[], Literal["", "checkpoint", "pin"]],
    hear: Callable[[Window], None] | None = None,
) -> Loop:
    """The loop over its steps; `look` and `take_checkpoint` say what was asked, `hear` is told every window."""
    data = begun.prepared.data
    return Loop(
        spec=begun.spec,
        state=begun.state,
        task=data.task,
        truth=begun.prepared.truth,
        positive=positive_of(begun.prepared),
        belongs=belongs_to(begun.spec),
        clock=clock,
        stages=stages_of(begun.state.plan, data.train.total),
        look=look,
        take_checkpoint=take_checkpoint,
        facts=begun.facts,
        hear=hear,
        team=begun.team,
    )


def positive_of(prepared: Prepared) -> int:
    """The index of the class that counts as positive; 0 where there are no classes."""
    return prepared.data.positive if prepared.data.task == "classification" else 0
