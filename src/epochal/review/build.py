"""From judged predictions to the whole review: the document of `report/view.json` and the one `test --json` prints."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from epochal.core.tasks import METRICS, TASKS
from epochal.review import detail, intervals
from epochal.review.metrics import Judged, Labelled
from epochal.review.view import FORMAT
from epochal.review.words import figure
from epochal.show import safe


if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from epochal.project.runfile import RunSpec
    from epochal.review.view import Estimate

WORST_ROWS = 50
MOST_INPUTS = 40
_FEW_ROWS = 30
_INPUT_TEXT = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class TestedRows:
    """The test rows beside their predictions; everything in the order of the judged rows."""

    __test__ = False

    keys: Sequence[str]
    """Stable keys."""
    numbers: Sequence[int]
    """1-based places in the import."""
    inputs: Callable[[int], Sequence[tuple[str, str]]]
    """(column, value as text) of one row, missing values as "·"."""
    notes: Sequence[str]
    groups: NDArray[np.int64] | None = None
    """Numbers of the groups that the split deals out as one, from 0; None when rows are dealt out singly."""
    left_out: int = 0
    """Test rows without a target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What the review tells beside figures."""

    created: str
    looks: int
    fingerprint: str
    baselines: Mapping[str, Mapping[str, str]]
    """By trivial and strong: {"title", "note"}."""
    level: float | None = None
    """Share of rows whose truth lower … upper ought to hold."""
    notices: Sequence[str] = field(default=())


def build_review(spec: RunSpec, judged: Mapping[str, Judged], rows: TestedRows, about: Circumstances) -> dict[str, Any]:
    """The document of `report/view.json`, as `review.view` describes it.

    `judged` holds "model" and those of "trivial" and "strong" that there are, all about the same rows.
    """
    task, model = spec.project.goal.task, judged["model"]
    samples = intervals.resample(judged, groups=rows.groups)
    found = {name: intervals.estimates(one, samples[name], groups=rows.groups) for name, one in judged.items()}
    names = [m for m in TASKS[task].metrics if m in found["model"]]
    metric = spec.project.metric if spec.project.metric in names else names[0]
    names.sort(key=lambda m: m != metric)
    others = [name for name in ("strong", "trivial") if name in judged]
    document: dict[str, Any] = {
        "format": FORMAT,
        "run": spec.name,
        "number": spec.number,
        "family": spec.family,
        "task": task,
        "target": spec.project.columns.target,
        "metric": metric,
        "created": about.created,
        "rows": model.rows,
        "looks": about.looks,
        "fingerprint": about.fingerprint,
        "good": _good(spec.project.goal.at_least, metric, found["model"][metric]),
        "baselines": {name: dict(about.baselines[name]) for name in others},
        "metrics": [
            {
                "name": name,
                "model": asdict(found["model"][name]),
                "baselines": {other: asdict(found[other][name]) for other in reversed(others)},
            }
            for name in names
        ],
        "comparisons": [
            asdict(intervals.compare(other, metric, model, judged[other], samples, groups=rows.groups))
            for other in others
        ],
        "ledger": dict(spec.ledger),
        "notices": [*_notices(spec, model, rows, about, metric), *about.notices],
    }
    return {**document, **_details(spec, model, rows, about.level)}


def _details(spec: RunSpec, model: Judged, rows: TestedRows, level: float | None) -> dict[str, Any]:
    if isinstance(model, Labelled):
        return {
            "confusion": detail.confusion(model, spec.classes, rows.keys),
            "per_class": detail.per_class(model, spec.classes),
            "worst": [
                {**_row(rows, i), **detail.words_labelled(model, spec.classes, i)}
                for i in detail.worst_labelled(model, WORST_ROWS).tolist()
            ],
            "residuals": None,
            "calibration": detail.calibration(model),
            "curves": detail.curves(model, spec.classes),
        }
    return {
        "confusion": None,
        "per_class": [],
        "worst": [
            {**_row(rows, i), **detail.words_measured(model, i)}
            for i in detail.worst_measured(model, WORST_ROWS).tolist()
        ],
        "residuals": detail.residuals(model, rows.keys, level=level),
        "calibration": [],
        "curves": [],
    }


def _row(rows: TestedRows, i: int) -> dict[str, Any]:
    shown = [[safe(title, 80), safe(text, _INPUT_TEXT)] for title, text in rows.inputs(i)[:MOST_INPUTS]]
    return {"key": rows.keys[i], "number": int(rows.numbers[i]), "inputs": shown, "note": safe(rows.notes[i], 400)}


def _good(at_least: float | None, metric: str, found: Estimate) -> dict[str, Any]:
    if at_least is None:
        return {"at_least": None, "reached": None, "words": "no value was called good"}
    if found.value is None:
        return {"at_least": at_least, "reached": None, "words": f"good: {at_least:g} cannot be judged ({found.why})"}
    higher = METRICS[metric].higher_is_better
    reached = found.value >= at_least if higher else found.value <= at_least
    far = found.low if higher else found.high
    sure = far is not None and (far >= at_least if higher else far <= at_least)
    words = f"good: {at_least:g} {'reached' if reached else 'not reached'}"
    if reached and not sure and far is not None:
        words += f", though it may be {figure(far)} on other rows"
    return {"at_least": at_least, "reached": reached, "words": words}


def _notices(spec: RunSpec, model: Judged, rows: TestedRows, about: Circumstances, metric: str) -> list[str]:
    found: list[str] = []
    if about.looks > 1:
        found.append(
            f"look {about.looks} at this test set: choosing between runs by what it says makes its figures too good"
        )
    if metric != spec.project.metric:
        found.append(f"{spec.project.metric} does not apply here; {metric} leads instead")
    if model.rows < _FEW_ROWS:
        found.append(f"only {model.rows} test rows: every figure is rough, trust the intervals")
    if rows.left_out:
        found.append(f"{rows.left_out} test rows have no target and could not be judged")
    if rows.groups is not None:
        found.append(f"intervals draw whole groups ({int(rows.groups.max(initial=-1)) + 1}), as the split does")
    if spec.project.split.kind == "time":
        found.append("rows close in time are alike: intervals, which draw single rows, are somewhat too narrow")
    found += [
        f"the {name} baseline is not in this run's bundle"
        for name in ("trivial", "strong")
        if name not in about.baselines
    ]
    return found


def summary(document: Mapping[str, Any]) -> dict[str, Any]:
    """What `test --json` prints, from the review's document."""
    metrics = [m for m in document["metrics"] if m["model"]["value"] is not None]
    return {
        "run": document["run"],
        "task": document["task"],
        "rows": document["rows"],
        "metric": document["metric"],
        "metrics": {m["name"]: m["model"]["value"] for m in metrics},
        "intervals": {
            m["name"]: [m["model"]["low"], m["model"]["high"]] for m in metrics if m["model"]["low"] is not None
        },
        "without_interval": {m["name"]: m["model"]["why"] for m in document["metrics"] if m["model"]["low"] is None},
        "baselines": {
            name: {
                m["name"]: m["baselines"][name]["value"]
                for m in document["metrics"]
                if name in m["baselines"] and m["baselines"][name]["value"] is not None
            }
            for name in ("trivial", "strong")
        },
        "comparisons": [
            {k: c[k] for k in ("baseline", "metric", "p", "verdict", "words")} for c in document["comparisons"]
        ],
        "good": document["good"],
        "looks": document["looks"],
        "ledger": document["ledger"],
        "notices": document["notices"],
    }
