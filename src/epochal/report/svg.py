"""Small pictures for the HTML report as inline SVG: no script, no font, no colour but the page's own classes."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from epochal.review.words import figure


if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from epochal.review.view import CalibrationBin, Curve, Estimate, Residuals

WIDTH, HEIGHT = 360, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 10, 34


class _Frame:
    """Axes over a range of numbers, and the way from them to pixels."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float]) -> None:
        self.x, self.y = _wide(x), _wide(y)

    def at(self, x: float, y: float) -> tuple[float, float]:
        across = _LEFT + (x - self.x[0]) / (self.x[1] - self.x[0]) * (WIDTH - _LEFT - _RIGHT)
        down = HEIGHT - _BOTTOM - (y - self.y[0]) / (self.y[1] - self.y[0]) * (HEIGHT - _TOP - _BOTTOM)
        return round(across, 1), round(down, 1)

    def axes(self, x_title: str, y_title: str) -> str:
        (left, bottom), (right, top) = self.at(self.x[0], self.y[0]), self.at(self.x[1], self.y[1])
        return (
            f'<path class="axis" d="M{left} {top}V{bottom}H{right}"/>'
            + _text(left, bottom + 14, figure(self.x[0]), "start")
            + _text(right, bottom + 14, figure(self.x[1]), "end")
            + _text((left + right) / 2, bottom + 28, x_title, "middle")
            + _text(left - 4, bottom, figure(self.y[0]), "end")
            + _text(left - 4, top + 9, figure(self.y[1]), "end")
            + f'<text class="label" text-anchor="middle" transform="translate({left - 34} {(top + bottom) / 2}) '
            f'rotate(-90)">{escape(y_title)}</text>'
        )

    def line(self, points: Iterable[tuple[float, float]], kind: str) -> str:
        drawn = " ".join("{},{}".format(*self.at(x, y)) for x, y in points)
        return f'<polyline class="{kind}" points="{drawn}"/>'


def _wide(limits: tuple[float, float]) -> tuple[float, float]:
    low, high = limits
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text class="label" x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'


def _picture(inner: str, title: str) -> str:
    return (
        f'<figure><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">{inner}</svg>'
        f"<figcaption>{escape(title)}</figcaption></figure>"
    )


def interval_bar(estimate: Estimate, low: float, high: float, marks: Sequence[tuple[float, str]] = ()) -> str:
    """An estimate with its interval on a line from `low` to `high`; marks are (value, class) of baselines."""
    if estimate.value is None:
        return ""
    wide, tall = 160, 14

    def place(value: float) -> float:
        return round(4 + (min(max(value, low), high) - low) / ((high - low) or 1) * (wide - 8), 1)

    drawn = [f'<path class="axis" d="M4 {tall / 2}H{wide - 4}"/>']
    if estimate.low is not None and estimate.high is not None:
        drawn.append(f'<path class="interval" d="M{place(estimate.low)} {tall / 2}H{place(estimate.high)}"/>')
    drawn += [f'<path class="{kind}" d="M{place(v)} 2V{tall - 2}"/>' for v, kind in marks]
    drawn.append(f'<circle class="value" cx="{place(estimate.value)}" cy="{tall / 2}" r="3.5"/>')
    return f'<svg class="bar" viewBox="0 0 {wide} {tall}" aria-hidden="true">{"".join(drawn)}</svg>'


def curve(shown: Curve) -> str:
    """A curve in the unit square."""
    frame = _Frame((0, 1), (0, 1))
    inner = frame.axes(shown.x, shown.y) + frame.line(shown.points, "line")
    if shown.name == "roc":
        inner += frame.line([(0, 0), (1, 1)], "reference")
    return _picture(inner, shown.title)


def calibration(bins: Sequence[CalibrationBin]) -> str:
    """How often it was right against how sure it was, with intervals."""
    frame = _Frame((0, 1), (0, 1))
    inner = frame.axes("stated", "right") + frame.line([(0, 0), (1, 1)], "reference")
    for b in bins:
        if b.right.value is None:
            continue
        x, y = frame.at(b.stated, b.right.value)
        if b.right.low is not None and b.right.high is not None:
            low, high = frame.at(0, b.right.low)[1], frame.at(0, b.right.high)[1]
            inner += f'<path class="whisker" d="M{x} {low}V{high}"/>'
        inner += f'<circle class="value" cx="{x}" cy="{y}" r="3.5"/>'
    return _picture(inner, "how often it was right, by how sure it was")


def residual_histogram(shown: Residuals) -> str:
    """How many rows were off by how much."""
    frame = _Frame((shown.edges[0], shown.edges[-1]), (0, max(shown.counts, default=1)))
    inner = ""
    for low, high, count in zip(shown.edges, shown.edges[1:], shown.counts, strict=False):
        (left, top), (right, bottom) = frame.at(low, count), frame.at(high, 0)
        inner += f'<rect class="bin" x="{left}" y="{top}" width="{right - left:.1f}" height="{bottom - top:.1f}"/>'
    return _picture(inner + frame.axes("truth − prediction", "rows"), "how far off")


def scatter(shown: Residuals) -> str:
    """Prediction against truth."""
    values = [v for point in shown.points for v in point]
    limits = (min(values), max(values))
    frame = _Frame(limits, limits)
    dots = "".join('<circle class="dot" cx="{}" cy="{}" r="2"/>'.format(*frame.at(x, y)) for x, y in shown.points)
    reference = frame.line([(limits[0], limits[0]), (limits[1], limits[1])], "reference")
    return _picture(frame.axes("truth", "prediction") + reference + dots, "prediction against truth")
