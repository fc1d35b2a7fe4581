"""What "auto" becomes: device, threads, sizes and passes, fitted to the rows and to the budget by a timed probe."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from epochal.core.errors import SettingsError
from epochal.core.settings import Project, duration_seconds
from epochal.core.tasks import FAMILIES
from epochal.train.device import choose_device, usable_cores
from epochal.train.families.networks import NETWORKS, OWN_NETWORK
from epochal.train.faster import fastest
from epochal.train.make import DenseRows, Prepared, steps_in_epoch
from epochal.train.probe import Rate, measure
from epochal.train.state import Plan, size
from epochal.train.team import SOLO, Team


_EVALUATIONS = 100
"""At most about so many evaluations in a run that takes minutes."""
_EVALUATIONS_LONG = 2000
"""At most about so many in any run."""
_EVALUATE_SECONDS = 3.0
"""In a long run nobody waits much longer than this for the next evaluation …"""
_EVALUATION_SHARE = 0.1
"""… as long as evaluating takes no more of its time than this."""
_EVALUATION_MOST = 0.3
"""Evaluating never takes more than this of the time that steps take …"""
_EVALUATIONS_FEW = 10
"""… as long as there are so many evaluations."""
_EVALUATIONS_CHEAP_SECONDS = 2.0
"""All evaluations together are always worth this."""
_TRAINING_SHARE = 0.6
"""Of the budget: the rest is for reading, baselines, and a machine that gets busier."""
_WARM_UP, _WARM_UP_STEPS = 0.1, 50
_LADDERS: dict[str, tuple[dict[str, int], ...]] = {
    "linear": (),
    "mlp": ({"width": 64}, {"width": 32}),
    "tabm": ({"members": 4}, {"members": 4, "width": 64}),
    "trees": ({"leaves": 15}, {"leaves": 7}),
    "own": (),
}
"""Smaller sizes, tried in turn when the budget does not allow enough passes at the default ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A plan, and how it came about."""

    plan: Plan
    rate: Rate
    seconds: float
    """Expected training time."""
    notes: tuple[str, ...]
    """For a person: what was chosen and why."""


def family_options(project: Project, family: str) -> dict[str, Any]:
    """Every setting of a family: those set for it, else its defaults."""
    given = _given(project, family)
    known = {o.name: given.get(o.name, o.default) for o in FAMILIES[family].options}
    return {**known, **given} if FAMILIES[family].open else known


def _given(project: Project, family: str) -> Mapping[str, Any]:
    """The settings a person made for this family."""
    return project.model.options if project.model.family == family else {}


def draft_plan(
    project: Project, family: str, prepared: Prepared, *, device: torch.device | None = None, team: Team = SOLO
) -> Plan:
    """A plan from settings and row count alone, before anything was measured; on `device` if it is chosen already.

    Raises SettingsError for a precision the device cannot compute with and for batches with too few rows for all ranks,
    NoDevice for a device that is not there.
    """
    train = project.train
    num_rows = prepared.data.train.total
    if device is None:
        device = torch.device("cpu") if family == "trees" else choose_device(train.devices, num_rows)[0]
    options = family_options(project, family)
    if family == "trees":
        epochs = int(options["rounds"] if train.epochs == "auto" else train.epochs)
        if "min_leaf" not in _given(project, family):
            # The default would leave small data without a single split.
            options["min_leaf"] = min(options["min_leaf"], max(1, num_rows // 10))
        batch_size, steps, rate, decay = num_rows, epochs, options["rate"], 0.0
        rate = rate if train.learning_rate == "auto" else float(train.learning_rate)
    else:
        network = OWN_NETWORK if FAMILIES[family].open else NETWORKS[family]
        batch_size = _batch_size(num_rows) if train.batch_size == "auto" else int(train.batch_size)
        batches = steps_in_epoch(prepared, family, batch_size)
        if num_rows // batches < team.size:
            raise SettingsError(
                f"a batch of {num_rows // batches} rows cannot be shared by {team.size} ranks",
                path=("train", "batch_size"),
                fix="ask for fewer devices, or take larger batches",
            )
        fewest, most = network.epochs
        wanted = min(most, max(fewest, math.ceil(network.steps / batches)))
        epochs = wanted if train.epochs == "auto" else int(train.epochs)
        steps = epochs * batches
        rate = network.learning_rate if train.learning_rate == "auto" else float(train.learning_rate)
        decay = network.weight_decay if train.weight_decay == "auto" else float(train.weight_decay)
    plan = Plan(
        epochs=epochs,
        batch_size=batch_size,
        evaluate_every=1,
        learning_rate=rate,
        schedule="constant" if family == "trees" else train.schedule,
        weight_decay=decay,
        patience=1,
        precision=precision_on(device, train.precision),
        device=str(device),
        threads=1 if train.threads == "auto" else int(train.threads),
        seed=train.seed,
        class_weights=train.class_weights if prepared.data.task == "classification" else "none",
        optimiser=train.optimiser,
        momentum=train.momentum,
        warm_up=_warm_up(train.schedule, steps) if train.warm_up == "auto" else float(train.warm_up),
        clip_norm=train.clip_norm,
        label_smoothing=train.label_smoothing if prepared.data.task == "classification" else 0.0,
        ema=train.ema,
        sampling=train.sampling if prepared.data.task == "classification" else "natural",
        feed="all" if family == "trees" else train.feed,
        feed_by=train.feed_by,
        feed_first=train.feed_first,
        feed_stages=train.feed_stages,
        accumulate=train.accumulate,
        options=options,
    )
    return _with_evaluations(plan, steps // epochs, train.patience)


def _warm_up(schedule: str, steps: int) -> float:
    """One-cycle rises for a tenth of its steps, the others for at most some tens of steps."""
    return _WARM_UP if schedule == "one-cycle" else min(_WARM_UP, _WARM_UP_STEPS / steps)


def _with_evaluations(plan: Plan, steps_per_epoch: int, patience: int | str) -> Plan:
    """The plan with evaluations at whole passes, some 100 in all, and a patience of a third of them."""
    return _evaluated_every(plan, max(1, round(plan.epochs / _EVALUATIONS)), steps_per_epoch, patience)


def _seldom_enough(plan: Plan, rate: Rate, steps_per_epoch: int, patience: int | str) -> Plan:
    """The plan with fewer evaluations, at least some, when a hundred would take more time than the steps."""
    dear = math.ceil(rate.seconds_per_evaluation / (_EVALUATION_MOST * steps_per_epoch * rate.seconds_per_step))
    passes = min(dear, max(1, plan.epochs // _EVALUATIONS_FEW))
    in_all = plan.epochs * steps_per_epoch / plan.evaluate_every * rate.seconds_per_evaluation
    if passes * steps_per_epoch <= plan.evaluate_every or in_all < _EVALUATIONS_CHEAP_SECONDS:
        return plan
    return _evaluated_every(plan, passes, steps_per_epoch, patience)


def _evaluated_every(plan: Plan, passes: int, steps_per_epoch: int, patience: int | str) -> Plan:
    evaluations = math.ceil(plan.epochs / passes)
    auto = max(10, math.ceil(evaluations / 3))
    return replace(
        plan, evaluate_every=passes * steps_per_epoch, patience=auto if isinstance(patience, str) else patience
    )


def _batch_size(num_rows: int) -> int:
    """Small batches where rows are few, as each pass must still take some tens of steps; at most 1024."""
    power = round(math.log2(max(1, num_rows / 40)))
    return min(1024, max(32, 1 << power))


def precision_on(device: torch.device, wanted: str) -> str:
    """The numbers a device computes with; `wanted` as in [train] precision. Raises SettingsError where it cannot."""
    if wanted in {"auto", "float32"}:
        return "float32"
    if wanted == "float16" and device.type == "cpu":
        raise SettingsError(
            "float16 is slower than float32 on a CPU, and less exact",
            path=("train", "precision"),
            where="[train] precision",
            fix='write precision = "auto"',
        )
    if device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise SettingsError(
            "this GPU has no bfloat16",
            path=("train", "precision"),
            where="[train] precision",
            fix='write precision = "float32"',
        )
    return wanted


def make_plan(
    project: Project,
    family: str,
    prepared: Prepared,
    dense: DenseRows | None,
    *,
    seconds_spent: float = 0.0,
    device: torch.device | None = None,
    team: Team = SOLO,
    exchange_seconds: float = 0.0,
) -> Planned:
    """The plan, fitted to the budget by measuring a learner of its own that is then thrown away.

    `seconds_spent` of the budget are gone already. What a person set is never changed: only "auto" and sizes left at
    their defaults are. For a team its first rank measures alone, on as many rows a step as its part of a batch has, and
    `exchange_seconds` come on top of each step.
    """
    started = time.perf_counter()
    draft = draft_plan(project, family, prepared, device=device, team=team)

    def rate_of(plan: Plan) -> Rate:
        part = replace(plan, batch_size=max(1, plan.batch_size // team.size))
        rate = measure(prepared, family, part, dense)
        return replace(rate, seconds_per_step=rate.seconds_per_step + exchange_seconds)

    steps_per_epoch = _steps_per_epoch(draft, prepared, family)
    plan, rate, notes = fastest(project, family, prepared, draft, rate_of=rate_of, cores=usable_cores(team))
    plan = _seldom_enough(plan, rate, steps_per_epoch, project.train.patience)
    plan, rate, more = fit_to_budget(
        project, family, plan, rate, prepared=prepared, rate_of=rate_of, begun=started - seconds_spent
    )
    limit = duration_seconds(project.train.time_limit) if project.train.time_limit else math.inf
    plan = _seen_in_time(plan, rate, steps_per_epoch, project.train.patience, limit)
    expected = plan.epochs * rate.of_epoch(steps_per_epoch, plan.evaluate_every)
    if expected > limit:
        share = max(1, int(plan.epochs * limit / expected))
        more.append(f"the time limit of {project.train.time_limit} comes after about {share} of {plan.epochs} passes")
    return Planned(plan=plan, rate=rate, seconds=min(expected, limit), notes=(*notes, *more))


def _seen_in_time(plan: Plan, rate: Rate, steps_per_epoch: int, patience: int | str, limit: float) -> Plan:
    """The plan with more evaluations when a hundred would lie minutes apart, or most after its limit in seconds."""
    seconds = max(1e-9, steps_per_epoch * rate.seconds_per_step)
    reached = min(plan.epochs, limit / seconds)
    passes = max(
        1,
        math.ceil(reached / _EVALUATIONS_LONG),
        math.ceil(rate.seconds_per_evaluation / (_EVALUATION_SHARE * seconds)),
        min(int(_EVALUATE_SECONDS / seconds), round(reached / _EVALUATIONS)),
    )
    if passes * steps_per_epoch >= plan.evaluate_every:
        return plan
    return _evaluated_every(plan, passes, steps_per_epoch, patience)


def fit_to_budget(
    project: Project,
    family: str,
    plan: Plan,
    rate: Rate,
    *,
    prepared: Prepared,
    rate_of: Callable[[Plan], Rate],
    begun: float | None = None,
) -> tuple[Plan, Rate, list[str]]:
    """The plan with sizes and passes that the budget allows, its rate, and what was changed in words.

    `rate_of` measures a plan; `begun` is the moment from which the budget is spent, on the clock of
    `time.perf_counter`; None for now.
    """
    train = project.train
    if train.epochs != "auto":
        return plan, rate, []
    notes: list[str] = []
    begun = time.perf_counter() if begun is None else begun
    budget = _TRAINING_SHARE * duration_seconds(train.budget)
    given = set(_given(project, family))
    for smaller in _LADDERS[family]:
        left = budget - (time.perf_counter() - begun)
        if _affordable(plan, rate, prepared, family, left) >= _enough(plan, family):
            break
        changed = {k: v for k, v in smaller.items() if k not in given and v < size(plan.options, k)}
        if not changed:
            continue
        plan = replace(plan, options={**plan.options, **changed})
        rate = rate_of(plan)
        sizes = ", ".join(f"{k} {v}" for k, v in changed.items())
        notes.append(f"smaller to fit the budget of {train.budget}: {sizes}")
    left = max(1.0, budget - (time.perf_counter() - begun))
    wanted, steps_per_epoch = plan.epochs, _steps_per_epoch(plan, prepared, family)
    for _ in range(3):  # fewer passes are evaluated at shorter distances, which may allow fewer still
        epochs = min(plan.epochs, max(1, _affordable(plan, rate, prepared, family, left)))
        plan = _with_evaluations(replace(plan, epochs=epochs), steps_per_epoch, train.patience)
        plan = _seldom_enough(plan, rate, steps_per_epoch, train.patience)
    if plan.epochs < wanted:
        passes = "1 pass" if plan.epochs == 1 else f"{plan.epochs} passes"
        notes.append(f"{passes} instead of {wanted}, to fit the budget of {train.budget}")
    return plan, rate, notes


def _steps_per_epoch(plan: Plan, prepared: Prepared, family: str) -> int:
    return steps_in_epoch(prepared, family, plan.batch_size)


def _affordable(plan: Plan, rate: Rate, prepared: Prepared, family: str, seconds: float) -> int:
    """Passes that fit into `seconds`."""
    return int(seconds / rate.of_epoch(_steps_per_epoch(plan, prepared, family), plan.evaluate_every))


def _enough(plan: Plan, family: str) -> int:
    """Passes under which a smaller model learns more in the same time."""
    fewest = 150 if family == "trees" else 10
    return min(plan.epochs, fewest)
