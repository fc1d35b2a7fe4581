"""What the checks before a run mean: facts of the trial become verdicts in words, each with what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from epochal.core.settings import Project
from epochal.workbench.views.words import count, figure, memory


Severity = Literal["ok", "unsaid", "hint", "warning", "error"]
"""unsaid: nothing can be said, and why stands in the words."""

_FAR_OFF = 0.25
"""Of the expected loss: fresh weights were measured to be within a tenth of it."""
_EQUAL = 1e-3
_LEARNT, _HALF_LEARNT = 0.1, 0.5
"""Of the way from a constant answer to the lowest loss there is, what may be left."""
_HIGH_FLOOR = 0.25
"""Of a constant answer's loss."""
_TOO_LOW = 10
"""Times the rate in force: a suggestion so far above it is worth a hint."""
_SLOW = 0.5
"""Of the best throughput."""
NOT_FINITE = "loss-not-finite"
"""The code of a loss that is no number, of training rows that are judged or learnt from."""
NO_RATE_YET = (
    "look for extreme values in the data pane, and at a model or a loss of your own: no rate has a part in it yet"
)
"""What to do where that is so before the first step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one check says."""

    name: str
    """Its key in the document."""
    title: str
    severity: Severity
    what: str
    code: str = ""
    where: str = ""
    fix: str = ""
    setting: str = ""
    """What it suggests to set, as a dotted path; empty for nothing …"""
    value: float | int | None = None
    """… and to what."""

    def as_problem(self) -> dict[str, Any]:
        """As an item of the document's problems."""
        return {
            "code": self.code,
            "severity": self.severity,
            "where": self.where,
            "what": self.what,
            "fix": self.fix,
            "rows": 0,
        }


def verdicts(checks: Mapping[str, Any], project: Project) -> tuple[Verdict, ...]:
    """Of every check, in the order in which they build on each other; `checks` as the trial answers them, as data.

    A loss that is no number before anything is learnt is told once: what follows from it says so and is no finding.
    """
    first = _untrained(checks["untrained_loss"], checks["overfit"], project)
    by_heart, size = _overfit(checks["overfit"]), _size(checks["batch_size"], project)
    told = first.code == NOT_FINITE
    if _unlearnt(checks["overfit"]) and by_heart.severity == "error":
        by_heart = _follows(by_heart) if told else _no_first_step(by_heart, checks["overfit"]["rows"])
    if (told or _unlearnt(checks["overfit"])) and _untried(checks["batch_size"]):
        size = _follows(size)
    return first, by_heart, _rate(checks["learning_rate"]), size


def breaks_at_once(checks: Mapping[str, Any]) -> bool:
    """Whether a verdict tells already that the loss is no number before the first step."""
    untrained = checks["untrained_loss"]
    no_number = untrained["loss"] is None and not untrained["why_not"]
    return no_number or _unlearnt(checks["overfit"]) or _untried(checks["batch_size"])


def _unlearnt(batch: Mapping[str, Any]) -> bool:
    """Whether not even the first step on one batch could be taken."""
    return batch["loss"] is None and batch["steps"] == 0


def _untried(sizes: Mapping[str, Any]) -> bool:
    """Whether not even the first batch of the sizes could be learnt from."""
    return sizes["not_finite"] is not None and sizes["not_finite"][1] == 0


def _follows(verdict: Verdict) -> Verdict:
    what = "no test: the loss of its first step is no finite number"
    return Verdict(name=verdict.name, title=verdict.title, severity="unsaid", what=what)


def _no_first_step(verdict: Verdict, rows: int) -> Verdict:
    what = f"the loss of a first step on {rows} rows is no finite number"
    where = "[model], [columns]"
    return replace(verdict, severity="error", code=NOT_FINITE, what=what, where=where, fix=NO_RATE_YET)


def _untrained(found: Mapping[str, Any], batch: Mapping[str, Any], project: Project) -> Verdict:
    title, name = "untrained loss", "untrained_loss"
    loss, expected = found["loss"], found["expected"]
    # A loss of one's own may have no value on rows that are judged; where it learns it must have one.
    if loss is None and (_unlearnt(batch) or not found["why_not"]):
        own = project.model.family == "own"
        extremes = "look for extreme values in the data pane"
        return Verdict(
            name=name,
            title=title,
            severity="error",
            code=NOT_FINITE,
            where="[model] module" if own else "[columns]",
            what="before anything is learnt the loss is no finite number",
            fix=f"look at what the model computes, a loss of its own included; else {extremes}" if own else extremes,
        )
    if found["why_not"]:
        return Verdict(name=name, title=title, severity="unsaid", what=f"no comparison: {found['why_not']}")
    source = "every class alike" if project.goal.task == "classification" else "saying the mean"
    told = f"{figure(loss)} at the start; {source} has {figure(expected)}"
    if abs(loss - expected) <= expected * (_EQUAL if found["exact"] else _FAR_OFF):
        return Verdict(name=name, title=title, severity="ok", what=told)
    return Verdict(
        name=name,
        title=title,
        severity="warning",
        code="untrained-loss",
        where="[model], [columns]",
        what=f"the untrained loss is far from what it must be: {told}",
        fix="look for extreme values among the inputs, take a smaller depth or width, or another family",
    )


def _overfit(found: Mapping[str, Any]) -> Verdict:
    guess, floor, loss = found["guess"], found["floor"], found["loss"]
    rows, steps = found["rows"], found["steps"]
    room = guess - floor

    def told(severity: Severity, what: str, where: str = "", fix: str = "") -> Verdict:
        code = "cannot-overfit" if severity in {"warning", "error"} else ""
        return Verdict(
            name="overfit", title="one batch by heart", severity=severity, code=code, what=what, where=where, fix=fix
        )

    def left(reached: float | None) -> float:
        return float("inf") if reached is None else (reached - floor) / room

    if found["why_not"] and loss is None:
        return told(
            "error",
            f"the loss of {rows} rows leaves the finite numbers after {count(steps)} steps",
            "[model] module",
            "look at the model's loss for a division by zero, or a root or logarithm of zero; then at the learning rate",
        )
    if found["why_not"]:
        return told("unsaid", f"no comparison: {found['why_not']}")
    if guess <= 0:
        return told("unsaid", f"the {rows} rows that a batch could be made of have one target alone")
    if room <= 0 or floor > _HIGH_FLOOR * guess:
        return told(
            "warning",
            f"on a batch of {rows} rows no model gets below a loss of {figure(floor)}, where a constant answer has "
            f"{figure(guess)}: rows with equal inputs have different targets",
            "[columns]",
            "look for wrong labels or an input that is missing; `A` in the data pane lists disputed targets",
        )
    if left(loss) <= _LEARNT:
        best = f", the lowest is {figure(floor)}" if floor > 0 else ""
        return told("ok", f"{rows} rows learnt in {count(steps)} steps, to a loss of {figure(loss)}{best}")
    reached = (
        f"{rows} rows are not learnt by heart in {count(steps)} steps: their loss stays at "
        f"{figure(loss)}, where a constant answer has {figure(guess)} and {figure(floor) if floor else 0} is possible"
        if loss is not None
        else f"the loss of {rows} rows leaves the finite numbers after {count(steps)} steps"
    )
    if found["otherwise"] is not None and left(found["otherwise"]) <= _LEARNT:
        return told(
            "warning",
            f"{reached}; with the family's own optimiser and rate it falls to {figure(found['otherwise'])}, so the "
            "settings are to blame, not the data",
            "[train] optimiser, learning_rate",
            "take the learning rate that the test below suggests, or take optimiser and learning_rate out",
        )
    if found["cut_short"]:
        return told("unsaid", f"time was up after {count(steps)} steps on {rows} rows, at a loss of {figure(loss)}")
    return told(
        "error" if left(loss) > _HALF_LEARNT else "warning",
        reached,
        "[model], [columns]",
        "take a larger model; else inputs and target may not belong together: compare some rows with their source",
    )


def _rate(found: Mapping[str, Any]) -> Verdict:
    title, name = "learning rate", "learning_rate"
    in_force, suggested, highest = found["in_force"], found["suggested"], found["highest"]
    if found["why_not"]:
        return Verdict(name=name, title=title, severity="unsaid", what=f"no test: {found['why_not']}")
    setting = "train.learning_rate" if suggested is not None and suggested != in_force else ""
    now = _number(in_force)
    too_high = highest is not None and in_force >= highest
    if suggested is None:
        cut = "time was up" if found["cut_short"] else "the loss never fell clearly at any rate"
        if found["not_finite"] is not None:
            cut = f"the loss left the finite numbers at {_number(found['not_finite'])}"
        if not too_high:
            return Verdict(
                name=name, title=title, severity="unsaid", what=f"{now} in force; nothing suggested, as {cut}"
            )
        setting = ""
    offer = f"train.learning_rate = {_number(suggested)}" if suggested is not None else "a lower train.learning_rate"
    if too_high:
        return Verdict(
            name=name,
            title=title,
            severity="warning",
            code="learning-rate-too-high",
            where="[train] learning_rate",
            what=f"{now} is too high: from {_number(highest)} on the loss rises",
            fix=offer,
            setting=setting,
            value=suggested,
        )
    if in_force * _TOO_LOW < suggested:
        return Verdict(
            name=name,
            title=title,
            severity="hint",
            code="learning-rate-too-low",
            where="[train] learning_rate",
            what=f"{now} is low: the loss falls fastest at about {_number(suggested)}",
            fix=offer,
            setting=setting,
            value=suggested,
        )
    rises = f", too high from {_number(highest)} on" if highest is not None else ""
    return Verdict(
        name=name,
        title=title,
        severity="ok",
        what=f"{now} in force, {_number(suggested)} suggested{rises}",
        setting=setting,
        value=suggested,
    )


def _size(found: Mapping[str, Any], project: Project) -> Verdict:
    title, name = "batch size", "batch_size"
    in_force, suggested = found["in_force"], found["suggested"]
    if found["why_not"]:
        return Verdict(name=name, title=title, severity="unsaid", what=f"no test: {found['why_not']}")
    if found["not_finite"] is not None:
        size, steps = found["not_finite"]
        return Verdict(
            name=name,
            title=title,
            severity="error",
            code=NOT_FINITE,
            where="[train], [model]",
            what=f"learning from batches of {size} rows, the loss leaves the finite numbers after {count(steps)} steps",
            fix="lower train.learning_rate, or look at a loss of your own and for extreme values in the data pane"
            if steps
            else NO_RATE_YET,
        )
    speeds = {int(size): float(speed) for size, speed in found["throughput"]}
    if suggested is None:
        return Verdict(
            name=name, title=title, severity="unsaid", what=f"{in_force} in force; nothing suggested, as time was up"
        )
    best = max(speeds.values())
    setting = "train.batch_size" if suggested != in_force else ""
    fits = f"; at most {count(found['largest'])} fit on the device" if found["largest"] is not None else ""
    if project.train.batch_size != "auto" and speeds.get(in_force, best) < _SLOW * best:
        return Verdict(
            name=name,
            title=title,
            severity="hint",
            code="batch-size",
            where="[train] batch_size",
            what=f"{in_force} in force is slow: {suggested} learns {best / speeds[in_force]:.1f} times as fast{fits}",
            fix=f"train.batch_size = {suggested}",
            setting=setting,
            value=suggested,
        )
    at = next((s for s in (in_force, suggested) if s in speeds), suggested)
    other = f", {suggested} suggested" if setting else ""
    return Verdict(
        name=name,
        title=title,
        severity="ok",
        what=f"{in_force} in force at {round(100 * speeds[at] / best)} % of the best speed{other}{fits}",
        setting=setting,
        value=suggested,
    )


def _number(value: float) -> str:
    """A rate as one may type it, without the zeros of its exponent."""
    return f"{value:.2g}".replace("e-0", "e-")


def of_room(estimate: Mapping[str, Any]) -> tuple[Verdict, ...]:
    """Whether a run fits into the disk and the memory there is; `estimate` as in the document."""
    found: list[Verdict] = []
    disk, free = estimate["disk_bytes"], estimate["disk_free_bytes"]
    if disk > free:
        found.append(
            Verdict(
                name="disk",
                title="disk",
                severity="error",
                code="no-room",
                where="runs/",
                what=f"a run needs {memory(disk)} of disk and {memory(free)} are free",
                fix="free some, delete .epochal/ or old runs, or move the project",
            )
        )
    needed, available = estimate["memory_bytes"], estimate["memory_available_bytes"]
    if available is not None and needed > available:
        found.append(
            Verdict(
                name="memory",
                title="memory",
                severity="warning",
                code="little-memory",
                where="this machine",
                what=f"a run needs {memory(needed)} of memory and {memory(available)} are free",
                fix="end something else first, or train on fewer rows or columns",
            )
        )
    return tuple(found)
