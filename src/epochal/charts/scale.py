"""Axis limits that move in steps, and ticks at round numbers: a live chart must not tremble."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from epochal.show import grouped


_ROUND = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class Scale:
    """One axis: its limits and where its ticks stand. Logarithmic limits are positive."""

    low: float
    high: float
    ticks: tuple[float, ...]
    log: bool = False

    def place(self, value: float) -> float:
        """Where a value lies, 0 at the low limit and 1 at the high one."""
        if self.log:
            if value <= 0:
                return -1.0
            return (math.log10(value) - math.log10(self.low)) / (math.log10(self.high) - math.log10(self.low))
        return (value - self.low) / (self.high - self.low)


_MOST_PLACES = 9


def round_step(span: float, num_ticks: int) -> float:
    """The smallest round number (1, 2, 2.5 or 5 times a power of ten) that makes at most `num_ticks` steps of `span`."""
    if span <= 0 or not math.isfinite(span):
        return 1.0
    raw = span / max(1, num_ticks)
    base = 10.0 ** math.floor(math.log10(raw))
    return next(r * base for r in _ROUND if r * base >= raw * (1 - 1e-9))


def stepped(values: Iterable[float], num_ticks: int, *, log: bool = False, before: Scale | None = None) -> Scale:
    """Limits at round numbers around finite values; `before` is kept while the values fit and fill half of it."""
    finite = [v for v in values if math.isfinite(v) and (v > 0 or not log)]
    if not finite:
        return before or (Scale(0.1, 1.0, (0.1, 1.0), log=True) if log else Scale(0.0, 1.0, (0.0, 0.5, 1.0)))
    low, high = min(finite), max(finite)
    if before is not None and before.log == log and _still_good(before, low, high):
        return before
    return _log_scale(low, high, num_ticks) if log else _linear_scale(low, high, num_ticks)


def _still_good(scale: Scale, low: float, high: float) -> bool:
    return scale.place(low) >= -1e-9 and scale.place(high) <= 1 + 1e-9 and scale.place(high) - scale.place(low) >= 0.5


def _linear_scale(low: float, high: float, num_ticks: int) -> Scale:
    if high - low < 1e-12 * max(1.0, abs(high)):
        spread = abs(high) * 0.05 or 0.5
        low, high = low - spread, high + spread
    step = round_step(high - low, num_ticks)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return Scale(first * step, last * step, tuple(round(n * step, 12) for n in range(first, last + 1)))


def _log_scale(low: float, high: float, num_ticks: int) -> Scale:
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    last = max(last, first + 1)
    places = [m * 10.0**e for e in range(first, last + 1) for m in (1, 2, 5)]
    below = [t for t in places if t <= low * (1 + 1e-9)]
    above = [t for t in places if t >= high * (1 - 1e-9)]
    bottom, top = (below[-1] if below else places[0]), (above[0] if above else places[-1])
    if bottom == top:
        top = bottom * 10
    # Many decades have ticks at powers of ten alone; the limits do not wait for one, or a decade would stand empty.
    few = (last - first) * 3 <= num_ticks + 2
    ticks = places if few else [10.0**e for e in range(first, last + 1)]
    return Scale(bottom, top, tuple(t for t in ticks if bottom <= t <= top), log=True)


def growing(done: float, total: float) -> float:
    """The right limit of a run under way: the total halved as often as what is done still fits, with a little room."""
    if total <= 0:
        return max(1.0, 2.0 ** math.ceil(math.log2(max(1.0, done))))
    limit = total
    while limit / 2 >= max(done * 1.05, 1e-9) and limit / 2 >= total / 64:
        limit /= 2
    return max(limit, done)


def label(value: float, step: float) -> str:
    """A tick's number, with as many places as the step between ticks needs."""
    if value == 0:
        return "0"
    if value < 0:
        return f"−{label(-value, step)}"
    if abs(value) >= 1e6 or abs(value) < 1e-4:
        exponent = math.floor(math.log10(value) + 1e-12)
        mantissa = f"{value / 10.0**exponent:.{_places(step / 10.0**exponent)}f}"
        return f"{mantissa.rstrip('0').removesuffix('.') if '.' in mantissa else mantissa}e{exponent}"
    return grouped(f"{value:.{_places(step)}f}")


def _places(step: float) -> int:
    """Decimal places that tell ticks so far apart from each other."""
    if step <= 0:
        return 2
    places = max(0, -math.floor(math.log10(step) + 1e-9))
    if abs(round(step, places) - step) > step * 1e-6:
        places += 1
    return min(places, _MOST_PLACES)
