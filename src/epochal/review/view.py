"""What the test set said, as one frozen value: `report/view.json`, read with the standard library alone.

The file is machine-written and holds everything the Test pane shows. Shape (format 1; more keys may be added):

    {"format": 1, "run": "0003-tabm", "number": 3, "family": "tabm", "task": "classification", "target": "Species",
     "metric": "accuracy", "created": ISO 8601, "rows": 69, "looks": 1, "fingerprint": "…",
     "good": {"at_least": 0.95 | null, "reached": true | false | null, "words": "good: 0.95 reached"},
     "baselines": {"trivial": {"title", "note"}, "strong": {"title", "note"}},
     "metrics": [{"name", "model": ESTIMATE, "baselines": {"trivial": ESTIMATE, "strong": ESTIMATE}}],
                 the chosen metric first, then the task's order
     "comparisons": [{"baseline", "metric", "difference": ESTIMATE, "p": 0.32 | null,
                      "verdict": "better" | "worse" | "not shown", "words": "better than strong: not shown (p = 0.32)"}],
     "confusion": null | {"classes": [NAME], "counts": [[rows of truth i predicted as j]], "rest": bool,
                          "keys": [[i, j, [KEY]]], "cap": most keys kept of a cell},
                  rest: the last class stands for all classes too rare to have their own line
     "per_class": [{"name", "rows", "predicted", "precision": ESTIMATE, "recall": ESTIMATE, "f1": ESTIMATE}],
     "worst": [{"key": KEY, "number": 1-based place in the import, "truth", "prediction", "wrong": bool,
                "score": probability of the prediction, or truth − prediction, "words", "inputs": [[TITLE, TEXT]], "note"}],
     "residuals": null | {"edges": [n + 1], "counts": [n], "points": [[truth, prediction]], "point_keys": [KEY],
                          "bias": ESTIMATE, "covered": null | ESTIMATE, "level": 0.9 | null},
                  residual = truth − prediction; points are at most 500, evenly taken
     "calibration": [{"low", "high", "rows", "stated", "right": ESTIMATE}],
     "curves": [{"name", "title", "x", "y", "points": [[x, y]]}],
     "ledger": Ledger.as_dict(), "notices": [TEXT]}

    ESTIMATE = {"value": number | null, "low": number | null, "high": number | null, "why": TEXT}
               `why` says why a number or its interval is missing, or how the interval was found when not by resampling.

KEY is the stable key of a row, raw, as `OpenView.keys` takes it. Every other text passes `epochal.show.safe` when read.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from epochal import fsio
from epochal.core.errors import RunError
from epochal.core.ledger import Ledger
from epochal.core.tasks import METRICS
from epochal.review.words import figure
from epochal.show import safe


if TYPE_CHECKING:
    from collections.abc import Mapping


FORMAT = 1
FILE = Path("report") / "view.json"

Verdict = Literal["better", "worse", "not shown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number with its 95 % interval, or the reason why it has none."""

    value: float | None
    low: float | None = None
    high: float | None = None
    why: str = ""
    """Why the number or the interval is missing, or how the interval was found when not by resampling rows."""

    @property
    def text(self) -> str:
        """The number as shown."""
        return figure(self.value)

    @property
    def interval(self) -> str:
        """The interval as shown: "0.957 … 1.000", or "–"."""
        if self.low is None or self.high is None:
            return "–"
        return f"{figure(self.low)} … {figure(self.high)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Good:
    """Whether the value the person calls good was reached."""

    at_least: float | None
    reached: bool | None
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What had to be beaten."""

    title: str
    note: str = ""
    """What was capped, if anything was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRow:
    """One metric of the model and of both baselines."""

    name: str
    model: Estimate
    baselines: Mapping[str, Estimate]
    """By trivial and strong."""

    @property
    def title(self) -> str:
        """The metric's title."""
        return METRICS[self.name].title if self.name in METRICS else safe(self.name)

    @property
    def meaning(self) -> str:
        """One plain sentence."""
        return METRICS[self.name].meaning if self.name in METRICS else ""

    @property
    def higher_is_better(self) -> bool:
        """Which way is good."""
        return METRICS[self.name].higher_is_better if self.name in METRICS else True


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The model against a baseline on the same rows."""

    baseline: str
    metric: str
    difference: Estimate
    """Model minus baseline."""
    p: float | None
    verdict: Verdict
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Confusion:
    """Truth against prediction."""

    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    keys: Mapping[tuple[int, int], tuple[str, ...]]
    """Stable keys of the rows of a cell, at most `cap` of each."""
    cap: int
    rest: bool = False
    """Whether the last class stands for all the rare ones."""

    def rows_of(self, truth: int, prediction: int) -> tuple[str, ...]:
        """The keys of the rows of one cell."""
        return self.keys.get((truth, prediction), ())


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassRow:
    """How one class fared."""

    name: str
    rows: int
    predicted: int
    precision: Estimate
    recall: Estimate
    f1: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class WorstRow:
    """A row the model was most wrong about, or least sure of."""

    key: str
    number: int
    """Its 1-based place in the import it was tested with."""
    truth: str
    prediction: str
    wrong: bool
    score: float
    words: str
    inputs: tuple[tuple[str, str], ...]
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Residuals:
    """Truth minus prediction, for a number."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    points: tuple[tuple[float, float], ...]
    """(truth, prediction), at most 500."""
    point_keys: tuple[str, ...]
    bias: Estimate
    """Mean residual."""
    covered: Estimate | None = None
    """Share of rows whose truth lies between lower and upper."""
    level: float | None = None
    """Share that ought to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationBin:
    """Rows whose stated confidence lies in a range, and how many of them were right."""

    low: float
    high: float
    rows: int
    stated: float
    right: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A curve such as ROC, thinned."""

    name: str
    title: str
    x: str
    y: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewView:
    """Everything the Test pane shows of one run."""

    run: str
    number: int
    family: str
    task: str
    target: str
    metric: str
    created: str
    rows: int
    looks: int
    fingerprint: str
    good: Good
    baselines: Mapping[str, Baseline]
    metrics: tuple[MetricRow, ...]
    comparisons: tuple[Comparison, ...]
    confusion: Confusion | None
    per_class: tuple[ClassRow, ...]
    worst: tuple[WorstRow, ...]
    residuals: Residuals | None
    calibration: tuple[CalibrationBin, ...]
    curves: tuple[Curve, ...]
    ledger: Mapping[str, Any]
    notices: tuple[str, ...] = field(default=())

    @property
    def headline(self) -> MetricRow:
        """The chosen metric."""
        return next((m for m in self.metrics if m.name == self.metric), self.metrics[0])

    @property
    def sums(self) -> bool:
        """Whether the ledger of the run sums."""
        return bool(self.ledger) and Ledger.from_dict(self.ledger).sums


def read_view(run_folder: Path) -> ReviewView | None:
    """The review of a run; None when its test set was never opened.

    Raises RunError (code no-view) when the file is there but is no review of this version.
    """
    path = Path(run_folder) / FILE
    try:
        document = json.loads(path.read_bytes())
        if document["format"] != FORMAT:
            raise RunError(
                f"review format {document['format']!r} is not known to this version", where=str(path), code="no-view"
            )
        return view_from(document)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise RunError(
            "the review cannot be read",
            where=str(path),
            fix="test the run again; that counts as another look",
            code="no-view",
        ) from error


def write_view(report_folder: Path, document: Mapping[str, Any]) -> None:
    """Write the review into a report folder being made. Raises NotSaved."""
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    fsio.write_text(report_folder / FILE.name, text + "\n")


def view_from(document: Mapping[str, Any]) -> ReviewView:
    """The review from its JSON. Raises KeyError, TypeError or ValueError for what is none."""
    d = document
    return ReviewView(
        run=safe(d["run"]),
        number=int(d["number"]),
        family=safe(d["family"]),
        task=safe(d["task"]),
        target=safe(d["target"]),
        metric=safe(d["metric"]),
        created=safe(d["created"]),
        rows=int(d["rows"]),
        looks=int(d["looks"]),
        fingerprint=safe(d["fingerprint"]),
        good=Good(at_least=d["good"]["at_least"], reached=d["good"]["reached"], words=safe(d["good"]["words"])),
        baselines={safe(n): Baseline(title=safe(b["title"]), note=safe(b["note"])) for n, b in d["baselines"].items()},
        metrics=tuple(
            MetricRow(
                name=safe(m["name"]),
                model=_estimate(m["model"]),
                baselines={safe(n): _estimate(e) for n, e in m["baselines"].items()},
            )
            for m in d["metrics"]
        ),
        comparisons=tuple(
            Comparison(
                baseline=safe(c["baseline"]),
                metric=safe(c["metric"]),
                difference=_estimate(c["difference"]),
                p=c["p"],
                verdict=c["verdict"],
                words=safe(c["words"]),
            )
            for c in d["comparisons"]
        ),
        confusion=_confusion(d["confusion"]),
        per_class=tuple(
            ClassRow(
                name=safe(c["name"]),
                rows=c["rows"],
                predicted=c["predicted"],
                precision=_estimate(c["precision"]),
                recall=_estimate(c["recall"]),
                f1=_estimate(c["f1"]),
            )
            for c in d["per_class"]
        ),
        worst=tuple(_worst(w) for w in d["worst"]),
        residuals=_residuals(d["residuals"]),
        calibration=tuple(
            CalibrationBin(
                low=b["low"], high=b["high"], rows=b["rows"], stated=b["stated"], right=_estimate(b["right"])
            )
            for b in d["calibration"]
        ),
        curves=tuple(
            Curve(
                name=safe(c["name"]), title=safe(c["title"]), x=safe(c["x"]), y=safe(c["y"]), points=_pairs(c["points"])
            )
            for c in d["curves"]
        ),
        ledger=d["ledger"],
        notices=tuple(safe(n) for n in d["notices"]),
    )


def _estimate(data: Mapping[str, Any]) -> Estimate:
    return Estimate(value=data["value"], low=data["low"], high=data["high"], why=safe(data["why"]))


def _pairs(data: list[list[float]]) -> tuple[tuple[float, float], ...]:
    return tuple((float(x), float(y)) for x, y in data)


def _confusion(data: Mapping[str, Any] | None) -> Confusion | None:
    if data is None:
        return None
    return Confusion(
        classes=tuple(safe(c) for c in data["classes"]),
        counts=tuple(tuple(int(n) for n in row) for row in data["counts"]),
        keys={(i, j): tuple(keys) for i, j, keys in data["keys"]},
        cap=data["cap"],
        rest=data["rest"],
    )


def _worst(data: Mapping[str, Any]) -> WorstRow:
    return WorstRow(
        key=data["key"],
        number=data["number"],
        truth=safe(data["truth"]),
        prediction=safe(data["prediction"]),
        wrong=data["wrong"],
        score=data["score"],
        words=safe(data["words"]),
        inputs=tuple((safe(title), safe(text)) for title, text in data["inputs"]),
        note=safe(data["note"]),
    )


def _residuals(data: Mapping[str, Any] | None) -> Residuals | None:
    if data is None:
        return None
    return Residuals(
        edges=tuple(data["edges"]),
        counts=tuple(data["counts"]),
        points=_pairs(data["points"]),
        point_keys=tuple(data["point_keys"]),
        bias=_estimate(data["bias"]),
        covered=_estimate(data["covered"]) if data["covered"] is not None else None,
        level=data["level"],
    )
