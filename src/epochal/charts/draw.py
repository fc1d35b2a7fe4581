"""Curves into braille cells with plotext: eight dots a cell, no axes, no colours."""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import Any

from epochal.charts.scale import Scale
from epochal.charts.thin import Points


_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bits of a braille cell: rows from the top, columns from the left."""

_lock = threading.Lock()


@lru_cache(maxsize=1)
def _plotext() -> Any:
    import plotext  # 0.2 s: only when the first chart shows

    plotext.terminal.limit(False, False)  # a chart is as large as its widget, whatever plotext thinks of the terminal
    return plotext


def warm() -> None:
    """Import plotext ahead of the first chart; from a thread, so that nobody waits for it."""
    with _lock:
        _plotext()


def curve(points: Points, x: Scale, y: Scale, *, width: int, height: int, joined: bool = True) -> list[list[int]]:
    """Dots of one curve on a canvas of `width` by `height` cells: for each row from the top, the bits of each cell.

    Points outside the limits are cut off. Points are joined by lines, unless they are a cloud.
    """
    placed = [(x.place(a), y.place(b)) for a, b in zip(*points, strict=True)]
    if not placed or width < 1 or height < 1:
        return [[0] * width for _ in range(height)]
    with _lock:
        plotext = _plotext()
        figure = plotext.figure
        figure.clear()
        figure.theme("colorless")
        figure.plot_size(width, height)
        figure.axes(active=False)
        signal = figure.signal([p for p, _ in placed], [min(2.0, max(-1.0, q)) for _, q in placed], marker="braille")
        signal.lines(joined and len(placed) > 1)
        figure.draw(signal)
        for axis in ("x", "y"):
            for side in (0, 1):
                figure.ruler(axis, side).frequency(0)
            figure.ruler(axis, 0).lim(0, 1)
        rows = plotext.uncolorize(str(figure.build())).split("\n")
    return [_bits(row, width) for row in (*rows, *[""] * height)[:height]]


def _bits(row: str, width: int) -> list[int]:
    bits = [ord(c) - 0x2800 if 0x2800 <= ord(c) < 0x2900 else 0 for c in row[:width]]
    return bits + [0] * (width - len(bits))


def dashed(rows: list[list[int]], on: int, off: int) -> list[list[int]]:
    """The dots with gaps along x, so that a curve is told from another without colour."""
    result = []
    for row in rows:
        new = []
        for column, bits in enumerate(row):
            mask = 0
            for half in (0, 1):
                if (column * 2 + half) % (on + off) < on:
                    mask |= sum(dots[half] for dots in _DOTS)
            new.append(bits & mask)
        result.append(new)
    return result
