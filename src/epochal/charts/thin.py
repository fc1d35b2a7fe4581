"""Fewer points, the same picture: lowest and highest of each bin, bins as wide as a power of two.

Bins start at zero, so new points never move a bin already drawn; when a curve outgrows its bins their width doubles.
Time O(N), memory O(bins).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence


Points = tuple[tuple[float, ...], tuple[float, ...]]
"""x and y, equally many, x rising."""


def bin_width(span: float, num_bins: int) -> float:
    """The smallest power of two (1/1024 at least) at which `span` takes at most `num_bins` bins."""
    if span <= 0:
        return 2.0**-10
    return max(2.0**-10, 2.0 ** math.ceil(math.log2(span / max(1, num_bins))))


def thin(xs: Sequence[float], ys: Sequence[float], width: float) -> Points:
    """At most two points for each bin of `width` along x: the lowest and the highest, in the order they came.

    Points whose y is not finite are left out.
    """
    kept: list[tuple[float, float]] = []
    index: int | None = None
    low = high = (0.0, 0.0)
    for x, y in zip(xs, ys, strict=True):
        if not math.isfinite(y) or not math.isfinite(x):
            continue
        at = math.floor(x / width)
        if at != index:
            if index is not None:
                kept += _pair(low, high)
            index, low, high = at, (x, y), (x, y)
        elif y < low[1]:
            low = (x, y)
        elif y > high[1]:
            high = (x, y)
    if index is not None:
        kept += _pair(low, high)
    return tuple(x for x, _ in kept), tuple(y for _, y in kept)


def _pair(low: tuple[float, float], high: tuple[float, float]) -> list[tuple[float, float]]:
    return [low] if low == high else sorted((low, high))


def smooth(ys: Iterable[float], strength: float) -> list[float]:
    """An exponential average without the pull to zero at the start; `strength` in [0, 1), 0 changes nothing.

    What is not finite passes through and leaves the average as it was.
    """
    if strength <= 0:
        return list(ys)
    result: list[float] = []
    mean = weight = 0.0
    for y in ys:
        if not math.isfinite(y):
            result.append(y)
            continue
        mean = mean * strength + y * (1 - strength)
        weight = weight * strength + (1 - strength)
        result.append(mean / weight)
    return result


class Thinner:
    """A curve that grows, kept as at most `max_bins` bins: each new point costs the same however long the run is."""

    def __init__(self, *, strength: float = 0.0, max_bins: int = 4096) -> None:
        self._strength, self._max_bins = strength, max_bins
        self._width = 2.0**-10
        self._bins: list[tuple[int, tuple[float, float], tuple[float, float]]] = []
        """Index, lowest and highest point of each bin, in order."""
        self._mean = self._weight = 0.0
        self.taken = 0
        """Points taken so far."""

    def extend(self, xs: Sequence[float], ys: Sequence[float]) -> None:
        """Take more points, x rising. What is not finite is left out."""
        self.taken += len(xs)
        for x, y in zip(xs, ys, strict=True):
            if math.isfinite(x) and math.isfinite(y):
                self._take(x, self._smoothed(y))

    def _smoothed(self, y: float) -> float:
        if not self._strength:
            return y
        self._mean = self._mean * self._strength + y * (1 - self._strength)
        self._weight = self._weight * self._strength + (1 - self._strength)
        return self._mean / self._weight

    def _take(self, x: float, y: float) -> None:
        index, point = math.floor(x / self._width), (x, y)
        if self._bins and self._bins[-1][0] == index:
            _, low, high = self._bins[-1]
            self._bins[-1] = (index, min(low, point, key=_height), max(high, point, key=_height))
            return
        self._bins.append((index, point, point))
        while len(self._bins) > self._max_bins:
            self._halve()

    def _halve(self) -> None:
        """Make bins twice as wide, joining neighbours."""
        self._width *= 2
        joined: list[tuple[int, tuple[float, float], tuple[float, float]]] = []
        for index, low, high in self._bins:
            at = index // 2
            if joined and joined[-1][0] == at:
                _, old_low, old_high = joined[-1]
                joined[-1] = (at, min(old_low, low, key=_height), max(old_high, high, key=_height))
            else:
                joined.append((at, low, high))
        self._bins = joined

    def points(self) -> Points:
        """The lowest and the highest point of each bin, x rising."""
        kept = [p for _, low, high in self._bins for p in _pair(low, high)]
        return tuple(x for x, _ in kept), tuple(y for _, y in kept)


def _height(point: tuple[float, float]) -> float:
    return point[1]
