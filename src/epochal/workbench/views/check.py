"""What a check before a run said, for screen and command line: verdicts, the learning-rate picture, batch sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from epochal.charts.picture import Chart, Curve
from epochal.charts.scale import stepped
from epochal.core.settings import Project
from epochal.show import safe
from epochal.workbench.checking import ORDER
from epochal.workbench.verdicts import Severity, Verdict, verdicts
from epochal.workbench.views.train import Tone
from epochal.workbench.views.words import count, duration, memory, rate


TONES: dict[Severity, Tone] = {"ok": "good", "unsaid": "quiet", "hint": "accent", "warning": "warning", "error": "bad"}
"""Of verdicts."""

_SHORT = {"learning_rate": "rate", "batch_size": "batch"}
"""What can be taken, where there is little room."""
_HEADROOM = 1.3
"""The picture reaches so far above the loss at the start; what blows up leaves it at the top."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckLine:
    """One verdict, safe to show."""

    severity: Severity
    title: str
    what: str
    fix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeRow:
    """One batch size that was tried."""

    size: str
    speed: str
    share: float
    """Of the best throughput."""
    memory: str
    note: str = ""
    """in force, suggested."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A suggestion that can be taken."""

    setting: str
    """Dotted, as `--set` takes it."""
    value: float | int
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckView:
    """What a check said."""

    lines: tuple[CheckLine, ...]
    """The checks' own verdicts."""
    others: tuple[CheckLine, ...]
    """Problems of data and settings, the worst first."""
    chart: Chart | None
    legend: tuple[tuple[str, Tone], ...]
    sizes: tuple[SizeRow, ...]
    cost: str
    """What a run takes, as a sentence; empty when it is not known."""
    offers: Mapping[str, Offer]
    """By the check's name: learning_rate, batch_size."""


def check_view(document: Mapping[str, Any], project: Project, *, ascii_only: bool = False) -> CheckView:
    """The view of the document that `check_file` gives."""
    checks = document["checks"]
    told = verdicts(checks, project) if checks else ()
    codes = {v.code for v in told}
    problems = [p for p in document["problems"] if p["code"] not in codes or not p["code"]]
    rates, sizes = checks.get("learning_rate", {}), checks.get("batch_size", {})
    return CheckView(
        lines=tuple(_line(v.severity, v.title, v.what, v.fix) for v in told),
        others=tuple(_line(p["severity"], p["code"].replace("-", " "), _placed(p), p["fix"]) for p in problems),
        chart=_chart(rates, ascii_only=ascii_only) if rates.get("smoothed") else None,
        legend=_legend(rates, ascii_only=ascii_only) if rates.get("smoothed") else (),
        sizes=_sizes(sizes),
        cost=cost_sentence(document["estimate"]),
        offers={v.name: _offer(v) for v in told if v.setting and v.value is not None},
    )


def cost_sentence(estimate: Mapping[str, Any]) -> str:
    """What a run takes; empty when it is not known."""
    if not estimate:
        return ""
    time = duration(estimate["seconds"])
    return (
        f"a run takes {'under 1 s' if time.startswith('<') else f'about {time}'}, "
        f"{memory(estimate['memory_bytes'])} of memory and {memory(estimate['disk_bytes'])} of disk"
    )


def count_words(view: CheckView) -> str:
    """How many verdicts are of which kind, the worst first."""
    every = [line.severity for line in (*view.lines, *view.others)]
    told = [f"{every.count(s)} {s}{'s' if every.count(s) > 1 else ''}" for s in ORDER if s in every]
    return ", ".join(told) or "nothing found"


def _placed(problem: Mapping[str, Any]) -> str:
    """What an error is, and where; of what is no error the fix says that."""
    what, where = str(problem["what"]), str(problem["where"])
    told = problem["severity"] != "error" or not where or where in what or where in problem["fix"]
    return what if told else f"{what} ({where})"


def _line(severity: Severity, title: str, what: str, fix: str) -> CheckLine:
    return CheckLine(severity=severity, title=safe(title, 40), what=safe(what, 600), fix=safe(fix, 400))


def _offer(verdict: Verdict) -> Offer:
    value = verdict.value if verdict.value is not None else 0
    return Offer(setting=verdict.setting, value=value, words=f"{_SHORT[verdict.name]} {value:g}")


def _chart(found: Mapping[str, Any], *, ascii_only: bool) -> Chart:
    """The smoothed loss over the rate, which stands on a logarithmic scale."""
    points: Sequence[Sequence[float]] = found["smoothed"]
    rates, losses = [p[0] for p in points], [p[1] for p in points]
    lowest = min(losses)
    top = _HEADROOM * max(losses[: losses.index(lowest) + 1])
    suggested = found["suggested"]
    marks: tuple[tuple[float, float, str], ...] = ()
    if suggested is not None:
        near = min(range(len(rates)), key=lambda n: abs(rates[n] / suggested - 1))
        marks = ((rates[near], losses[near], _mark(ascii_only=ascii_only)),)
    return Chart(
        x=stepped([*rates, found["in_force"]], 8, log=True),
        y=stepped([lowest, top], 5),
        curves=(Curve(role="train", xs=rates, ys=losses),),
        marks=marks,
        seams=(found["in_force"],),
        x_title="rate",
        ascii=ascii_only,
    )


def _mark(*, ascii_only: bool) -> str:
    return "O" if ascii_only else "●"


def _legend(found: Mapping[str, Any], *, ascii_only: bool) -> tuple[tuple[str, Tone], ...]:
    parts: list[tuple[str, Tone]] = [(f"{':' if ascii_only else '┊'} in force {found['in_force']:g}", "quiet")]
    if found["suggested"] is not None:
        parts.append((f"{_mark(ascii_only=ascii_only)} suggested {found['suggested']:g}", "text"))
    return tuple(parts)


def _sizes(found: Mapping[str, Any]) -> tuple[SizeRow, ...]:
    speeds = [(int(size), float(speed)) for size, speed in found.get("throughput", ())]
    needs = {int(size): float(num_bytes) for size, num_bytes in found.get("memory", ())}
    best = max((speed for _, speed in speeds), default=1.0)
    names = {found.get("in_force"): ["in force"]}
    names.setdefault(found.get("suggested"), []).append("suggested")
    return tuple(
        SizeRow(
            size=count(size),
            speed=rate(speed),
            share=speed / best,
            memory=memory(needs[size]) if size in needs else "–",
            note=", ".join(names.get(size, ())),
        )
        for size, speed in speeds
    )
