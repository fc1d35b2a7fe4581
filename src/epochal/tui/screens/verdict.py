"""The pieces that the Test pane paints its verdict with: metrics, classes, residuals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content

from epochal.show import cell_width, grouped
from epochal.tui.glyphs import glyphs
from epochal.tui.paint import blank, cell, heading, toned
from epochal.tui.text import Part, content


if TYPE_CHECKING:
    from epochal.review.view import ReviewView
    from epochal.workbench.views.train import Tone


VERDICT_TONES: dict[str, Tone] = {"better": "good", "worse": "bad"}


def per_class_or_none(view: ReviewView | None) -> list[Content]:
    """How each class fared, or that there are none."""
    return (
        per_class(view) if view is not None and view.per_class else [content(toned("There are no classes.", "quiet"))]
    )


def metrics_lines(view: ReviewView, width: int) -> list[Content]:
    """Each metric with its interval, beside what must be beaten."""
    names = [n for n in ("trivial", "strong") if n in view.baselines]
    title = _title_width(view)
    verdict = next((c for c in view.comparisons if c.baseline == "strong"), None)
    head: list[Part] = [
        cell("", title),
        cell("test", 9, "head", right=True),
        cell("95 % interval", 19, "head", right=True),
    ]
    head += [cell(name, 10, "head", right=True) for name in names]
    lines = [content(*head)]
    for n, metric in enumerate(view.metrics):
        parts: list[Part] = [
            cell(metric.title, title, "bold" if n == 0 else "text"),
            cell(metric.model.text, 9, "accent" if n == 0 else "text", right=True),
            cell(metric.model.interval, 19, "quiet", right=True),
        ]
        parts += [
            cell(metric.baselines[name].text if name in metric.baselines else "–", 10, "quiet", right=True)
            for name in names
        ]
        if n == 0 and verdict is not None and verdict_fits(view, width):
            parts += ["    ", toned(verdict.words, VERDICT_TONES.get(verdict.verdict, "quiet"))]
        lines.append(content(*parts))
    return lines


def _title_width(view: ReviewView) -> int:
    return max(18, max((cell_width(m.title) for m in view.metrics), default=0) + 2)


def verdict_fits(view: ReviewView, width: int) -> bool:
    """Whether the comparison with the strong baseline fits behind the first metric."""
    words = max((cell_width(c.words) for c in view.comparisons), default=0)
    return width >= _title_width(view) + 28 + 10 * len(view.baselines) + 4 + words


def per_class(view: ReviewView) -> list[Content]:
    """How each class fared."""
    name = max(10, min(18, max((cell_width(c.name) for c in view.per_class), default=0)))
    lines = [
        content(toned("per class", "head")),
        content(
            cell("", name),
            *(
                cell(t, 11 if t == "precision" else 8, "quiet", right=True)
                for t in ("precision", "recall", "f1", "rows")
            ),
        ),
    ]
    lines += [
        content(
            cell(c.name, name),
            cell(c.precision.text, 11, right=True),
            cell(c.recall.text, 8, right=True),
            cell(c.f1.text, 8, right=True),
            cell(str(c.rows), 8, "quiet", right=True),
        )
        for c in view.per_class
    ]
    return lines


def _edge(value: float) -> str:
    """A bin's edge, which is a round number, without an exponent where it can do without."""
    text = grouped(f"{value:.0f}") if 1000 <= abs(value) < 1e6 else f"{value:.3g}"
    return text.replace("-", "−", 1) if text.startswith("-") else text


def residuals_lines(view: ReviewView, width: int) -> list[Content]:
    """How far the predictions of a number were off."""
    residuals = view.residuals
    if residuals is None:
        return []
    signs = glyphs()
    most = max(residuals.counts, default=0) or 1
    lines = [heading("Truth − prediction", width)]
    room = max(4, width - 26)
    for low, high, rows in zip(residuals.edges, residuals.edges[1:], residuals.counts, strict=False):
        lines.append(
            content(
                cell(f"{_edge(low)} … {_edge(high)}", 18, "quiet", right=True),
                " ",
                (signs.blocks[8] * max(1 if rows else 0, round(rows / most * room)), "$ep-accent"),
                (f" {rows}" if rows else "", "$ep-quiet"),
            )
        )
    lines += [
        blank(),
        content(toned("mean ", "quiet"), toned(residuals.bias.text), toned(f"   {residuals.bias.interval}", "quiet")),
    ]
    if residuals.covered is not None and residuals.level is not None:
        lines.append(
            content(
                toned(f"{residuals.level:.0%} intervals hold ", "quiet"),
                toned(f"{residuals.covered.value or 0:.0%}"),
                toned(" of the truths", "quiet"),
            )
        )
    return lines
