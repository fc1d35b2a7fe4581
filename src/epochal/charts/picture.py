"""A whole chart as lines of text, every run of characters with a role that the theme colours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise

from epochal.charts.draw import curve, dashed
from epochal.charts.scale import Scale, label
from epochal.charts.thin import Points, bin_width, thin


Run = tuple[str, str]
"""Characters and their role: a curve's own, or axis, label, level, seam, stage, mark."""

_DASHES, _DOTS = (3, 2), (1, 3)
"""Columns of dots that are drawn and left out, of a cell's two."""

_ASCII = {"validation": "+", "old": "."}
"""What a curve is drawn with in ASCII, where gaps cannot tell it from the training's."""

Picture = tuple[tuple[Run, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One curve; later curves are drawn over earlier ones."""

    role: str
    xs: Sequence[float]
    ys: Sequence[float]
    dashed: bool = False
    dotted: bool = False
    joined: bool = True
    """False: a cloud of points, in any order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What to draw, in units of the data."""

    x: Scale
    y: Scale
    curves: tuple[Curve, ...] = ()
    levels: tuple[tuple[float, str], ...] = ()
    """Horizontal lines with a word, such as what a baseline reached."""
    marks: tuple[tuple[float, float, str], ...] = field(default=())
    """Single points: x, y and the character that stands there."""
    seams: tuple[float, ...] = ()
    """Where a thin upright line stands, behind everything else."""
    stages: tuple[tuple[float, str], ...] = ()
    """Where something else begins: an upright line with a word at its top."""
    x_title: str = ""
    ascii: bool = False


def draw(chart: Chart, width: int, height: int) -> Picture:
    """The chart in exactly `height` lines of exactly `width` cells; too small a space is left blank."""
    y_labels = _y_labels(chart.y, height - 2)
    gutter = max((len(text) for text in y_labels.values()), default=0) + 1
    inner_width, inner_height = width - gutter, height - 2
    if inner_width < 8 or inner_height < 2:
        return tuple(((" " * width, "label"),) for _ in range(height))
    cells = _canvas(chart, inner_width, inner_height)
    upright, tick, corner, across, down = "|++-+" if chart.ascii else "│┤└─┬"
    lines: list[tuple[Run, ...]] = []
    for row in range(inner_height):
        text = y_labels.get(row, "")
        sign = tick if row in y_labels else upright
        head = [(f"{text:>{gutter - 1}}", "label"), (sign, "axis")]
        lines.append(_joined([*head, *cells[row]]))
    axis, names = _x_axis(chart, inner_width, corner, across, down)
    lines.append(_joined([(" " * (gutter - 1), "label"), (axis, "axis")]))
    lines.append(_joined([(" " * gutter, "label"), (names, "label")]))
    return tuple(lines)


def _canvas(chart: Chart, width: int, height: int) -> list[list[Run]]:
    bits = [[0] * width for _ in range(height)]
    roles = [["label"] * width for _ in range(height)]
    span = math.log10(chart.x.high / chart.x.low) if chart.x.log else chart.x.high - chart.x.low
    for one in chart.curves:
        points = _visible(one, chart.x, bin_width(span, width)) if one.joined else (tuple(one.xs), tuple(one.ys))
        rows = curve(points, chart.x, chart.y, width=width, height=height, joined=one.joined)
        if one.dashed or one.dotted:
            rows = dashed(rows, *(_DASHES if one.dashed else _DOTS))
        for r, row in enumerate(rows):
            for c, dots in enumerate(row):
                if dots:
                    bits[r][c] |= dots
                    roles[r][c] = one.role
    cells = [
        [(_character(b, role, ascii_only=chart.ascii), role) for b, role in zip(*pair, strict=True)]
        for pair in zip(bits, roles, strict=True)
    ]
    _lines(cells, chart)
    for x, y, sign in chart.marks:
        place, at = chart.x.place(x), _row(chart.y, y, height)
        if 0 <= place <= 1 and at is not None:
            cells[at][_cell(place, width)] = (sign, "mark")
    return cells


def _lines(cells: list[list[Run]], chart: Chart) -> None:
    """What stands behind the curves."""
    for value, text in chart.levels:
        _level(cells, chart, value, text)
    for value in chart.seams:
        _upright(cells, chart, value, ":" if chart.ascii else "┊", "seam")
    for value, text in chart.stages:
        _stage(cells, chart, value, text)


def _visible(one: Curve, x: Scale, width: float) -> Points:
    """The thinned points inside the limits, with one beyond at the left so that the line enters from there."""
    if x.log:  # decades are as wide as each other, and so are bins
        decades, ys = thin([math.log10(v) for v in one.xs], one.ys, width)
        xs = tuple(10.0**v for v in decades)
    else:
        xs, ys = thin(one.xs, one.ys, width)
    first = next((i for i, value in enumerate(xs) if value >= x.low), len(xs))
    last = next((i for i, value in enumerate(xs) if value > x.high), len(xs))
    first = max(0, first - 1)
    return xs[first:last], ys[first:last]


def _character(bits: int, role: str, *, ascii_only: bool) -> str:
    if not bits:
        return " "
    return _ASCII.get(role, "*") if ascii_only else chr(0x2800 + bits)


def _level(cells: list[list[Run]], chart: Chart, value: float, text: str) -> None:
    height, width = len(cells), len(cells[0])
    row = _row(chart.y, value, height)
    if row is None:
        return
    dash = "-" if chart.ascii else "┈"
    for column in range(width):
        if cells[row][column][0] == " ":
            cells[row][column] = (dash, "level")
    start = width - len(text) - 1
    if start > 4 and all(cells[row][start + i][1] == "level" for i in range(len(text))):
        for i, character in enumerate(text):
            cells[row][start + i] = (character, "level")


def _upright(cells: list[list[Run]], chart: Chart, value: float, sign: str, role: str) -> int | None:
    """A thin line where nothing else is; returns its column, None when it lies outside."""
    place = chart.x.place(value)
    if not 0 <= place <= 1:
        return None
    column = _cell(place, len(cells[0]))
    for row in cells:
        if row[column][0] == " ":
            row[column] = (sign, role)
    return column


def _stage(cells: list[list[Run]], chart: Chart, value: float, text: str) -> None:
    column = _upright(cells, chart, value, "!" if chart.ascii else "╎", "stage")
    top = cells[0]
    if column is None or column + 1 + len(text) > len(top):
        return
    if all(top[column + 1 + i][0] == " " for i in range(len(text))):
        for i, character in enumerate(text):
            top[column + 1 + i] = (character, "stage")


def _row(scale: Scale, value: float, height: int) -> int | None:
    place = scale.place(value)
    if not -1e-9 <= place <= 1 + 1e-9:
        return None
    return height - 1 - _cell(place, height)


def _cell(place: float, cells: int) -> int:
    """Which of so many cells a place lies in, as plotext draws curves: the limits are the middles of the outer cells."""
    return min(cells - 1, max(0, math.floor(place * (cells - 1) + 0.5)))


def _y_labels(scale: Scale, height: int) -> dict[int, str]:
    step = scale.ticks[1] - scale.ticks[0] if len(scale.ticks) > 1 else 1.0
    for stride in range(1, len(scale.ticks) + 1):
        rows = [(_row(scale, value, height), value) for value in scale.ticks[::stride]]
        places = [row for row, _value in rows if row is not None]
        if all(a - b >= 2 for a, b in pairwise(places)):
            return {row: label(value, value if scale.log else step) for row, value in rows if row is not None}
    return {}


def _x_axis(chart: Chart, width: int, corner: str, across: str, down: str) -> tuple[str, str]:
    step = chart.x.ticks[1] - chart.x.ticks[0] if len(chart.x.ticks) > 1 else 1.0
    axis = [corner, *across * width]
    names = [" "] * width
    end = width - len(chart.x_title) - 1 if chart.x_title else width
    used = -2
    for value in chart.x.ticks:
        place = chart.x.place(value)
        column = _cell(place, width)
        if not 0 <= place <= 1:
            continue
        text = label(value, value if chart.x.log else step)
        start = min(max(0, column - len(text) // 2), width - len(text))
        if start <= used + 1 or start + len(text) > end:
            continue
        axis[column + 1] = down
        names[start : start + len(text)] = text
        used = start + len(text)
    if chart.x_title:
        names[width - len(chart.x_title) :] = chart.x_title
    return "".join(axis), "".join(names)


def _joined(cells: Sequence[Run]) -> tuple[Run, ...]:
    return tuple(("".join(text for text, _ in group), role) for role, group in groupby(cells, key=lambda cell: cell[1]))
