"""The Test pane's view: sealed, being opened, or what the test set said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from epochal.charts.picture import Chart, Curve
from epochal.charts.scale import stepped
from epochal.core.tasks import METRICS
from epochal.show import cell_width, pad, safe
from epochal.workbench.intents import ShowRows
from epochal.workbench.views.train import Tone
from epochal.workbench.views.words import count, figure, some


if TYPE_CHECKING:
    from epochal.review.view import ReviewView, WorstRow
    from epochal.runs.state import RunInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedView:
    """Before the test set was opened for a run."""

    run: str
    lines: tuple[tuple[str, Tone], ...]
    can_open: bool
    next: str


def sealed_view(info: RunInfo | None, *, busy: str = "") -> SealedView:
    """What there is to say before the seal is broken."""
    if info is None:
        return SealedView(
            run="",
            lines=(("The test set is sealed.", "bold"), ("There is no run to test yet.", "quiet")),  # type: ignore[arg-type]
            can_open=False,
            next="4 Model takes a family, 5 Train trains it.",
        )
    rows = info.spec.ledger.get("test")
    metric = METRICS[info.spec.project.metric]
    one = rows == 1
    held = f"{some(rows, 'row') if rows else 'The rows'} {'was' if one else 'were'} put aside"
    lines: list[tuple[str, Tone]] = [
        ("The test set is sealed.", "accent"),
        ("", "text"),
        (
            f"{held} before anything was learnt. No run has seen {'it' if one else 'them'}, and you have not either.",
            "text",
        ),
        (
            f"{'It says' if one else 'They say'} how good run {info.spec.number} ({safe(info.spec.family)}) is on rows it never saw: the honest {metric.title}.",
            "text",
        ),
        ("", "text"),
        ("Each look is counted and written down: looking often and keeping the best look fools you.", "quiet"),
        ("Both baselines are judged on the same rows, with intervals, so that luck is told from skill.", "quiet"),
    ]
    ready = info.status in {"done", "stopped"} or (info.value is not None and not info.alive)
    if info.value is not None:
        lines += [("", "text"), (f"On validation the best {metric.title} was {figure(info.value)}.", "text")]
    if busy:
        nxt = f"wait: {safe(busy)}."
    elif ready:
        nxt = "Enter opens it for this run."
    elif info.alive:
        nxt = f"wait until run {info.spec.number} is done (5 Train)."
    elif info.status == "ready":
        nxt = f"run {info.spec.number} was never started: `epochal train --print-launch` printed the line that does."
    else:
        nxt = f"5 Train resumes run {info.spec.number}: it is {info.status}."
    return SealedView(run=info.name, lines=tuple(lines), can_open=ready and not busy, next=nxt)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """Where the person stands in an opened review."""

    part: str = "worst"
    """matrix or worst."""
    truth: int = 0
    prediction: int = 0
    worst: int = 0


def rows_under(view: ReviewView, cursor: Cursor) -> ShowRows | None:
    """The rows under the cursor, for the data pane; None when the cell is empty."""
    if cursor.part == "matrix" and view.confusion is not None:
        keys = view.confusion.rows_of(cursor.truth, cursor.prediction)
        if not keys:
            return None
        truth, prediction = view.confusion.classes[cursor.truth], view.confusion.classes[cursor.prediction]
        title = f"{truth} taken for {prediction}" if cursor.truth != cursor.prediction else f"{truth}, predicted right"
        there = view.confusion.counts[cursor.truth][cursor.prediction]
        if there > len(keys):
            title = f"first {count(len(keys))} of {count(there)}: {title}"
        return ShowRows(title=title, keys=keys, part="test")
    if view.worst and cursor.worst < len(view.worst):
        row = view.worst[cursor.worst]
        return ShowRows(title=f"#{row.number} {row.words}", keys=(row.key,), part="test")
    return None


def no_rows_words(view: ReviewView, cursor: Cursor) -> tuple[str, str]:
    """Why there is nothing to show under the cursor, and where there is."""
    if cursor.part != "matrix" or view.confusion is None:
        return "there are no worst rows to show", "7 Ship says how to use the model"
    truth, prediction = view.confusion.classes[cursor.truth], view.confusion.classes[cursor.prediction]
    if view.confusion.counts[cursor.truth][cursor.prediction]:
        return "the report kept none of these rows", "go to another cell"
    what = f"no {truth} was taken for {prediction}" if cursor.truth != cursor.prediction else f"no {truth} was right"
    return what, "go to a cell with a number"


def confusions(view: ReviewView, most: int) -> tuple[tuple[str, int], ...]:
    """What was taken for what and in how many rows, the most frequent first."""
    if view.confusion is None:
        return ()
    pairs = [
        (f"{truth} taken for {prediction}", rows)
        for truth, counts in zip(view.confusion.classes, view.confusion.counts, strict=True)
        for prediction, rows in zip(view.confusion.classes, counts, strict=True)
        if rows and truth != prediction
    ]
    return tuple(sorted(pairs, key=lambda pair: -pair[1])[:most])


def scatter(view: ReviewView, *, ascii_only: bool = False) -> Chart | None:
    """Truth against prediction, for a number."""
    if view.residuals is None or not view.residuals.points:
        return None
    truths = [t for t, _ in view.residuals.points]
    predictions = [p for _, p in view.residuals.points]
    both = stepped([*truths, *predictions], 5)
    line = Curve(role="level", xs=(both.low, both.high), ys=(both.low, both.high), dashed=True)
    cloud = Curve(role="train", xs=truths, ys=predictions, joined=False)
    return Chart(x=both, y=both, curves=(line, cloud), x_title="truth", ascii=ascii_only)


def next_words(view: ReviewView) -> str:
    """What to do with the verdict."""
    strong = next((c for c in view.comparisons if c.baseline == "strong"), None)
    if view.good.reached:
        return "7 Ship says how to use it: it is as good as you asked."
    if strong is not None and strong.verdict == "worse":
        return "4 Model: try another family, for the strong baseline is better."
    return "Enter shows the worst row: dirt there counts more than the family."


def worst_words(rows: Sequence[WorstRow], num_inputs: int = 6) -> list[tuple[str, str]]:
    """What happened to each row, and its inputs in short, each input under the same one of the row before."""
    inputs = [row.inputs[:num_inputs] for row in rows]
    widths = [max(cell_width(f"{title} {text}") for title, text in column) for column in zip(*inputs, strict=False)]
    return [
        (
            f"{row.words}{' · ' + row.note if row.note else ''}",
            "   ".join(pad(f"{title} {text}", width) for (title, text), width in zip(row.inputs, widths, strict=False)),
        )
        for row in rows
    ]


def headline(view: ReviewView, changed: str = "") -> tuple[tuple[str, Tone], ...]:
    """The first line's parts; `changed` says what the project asks otherwise since this run."""
    warning: Tone = "warning"
    good: Tone = "good" if view.good.reached else "warning" if view.good.reached is False else "quiet"
    return (
        (f"run {view.number}", "text"),
        (view.family, "text"),
        (f"{some(view.rows, 'row')} never seen in training", "text"),
        (f"look {view.looks} at this test set", "warning" if view.looks > 3 else "quiet"),
        (view.good.words, good),
        *([(changed, warning)] if changed else []),
    )
