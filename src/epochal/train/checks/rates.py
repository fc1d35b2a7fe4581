"""The learning-rate range test: the rate rises from step to step while the loss is watched.

Source: Smith 2015, "Cyclical Learning Rates for Training Neural Networks", arXiv:1506.01186, section 3.3; here on a
logarithmic scale, so that every decade has as many steps.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from epochal.train.checks.facts import RateTest
from epochal.train.checks.subject import Subject, spread_out
from epochal.train.gradient import GradientLearner


Report = Callable[[float], None]

_LOWEST, _HIGHEST = 1e-6, 10.0
_PER_DECADE = 40
_SMOOTH = 0.9
"""Of the running average over steps: about a quarter of a decade."""
_AROUND = 10
"""A slope is that of a line through so many steps on either side."""
_FELL = 0.05
"""A loss that never fell by this share of its start suggests nothing."""
_ROSE = 0.5
"""By this share of its start a loss rises that never fell, before a rate counts as too high."""
_FEWEST_ROWS = 64
"""A batch that is made smaller to save time keeps so many."""
_KEPT = 0.8
"""Of the time left, so much is planned for: a machine may get busier."""
_TOLD_EVERY = 20
"""Steps."""
_BLOWN_UP = 4.0
"""A loss so many times its start is not followed further."""


def range_test(subject: Subject, until: float, report: Report = lambda _share: None) -> RateTest:
    """Raise the rate over some seven decades, one step each. `until` is a moment of `time.perf_counter`.

    `report` is told the share of the steps that is done.
    """
    plan = subject.plan
    if subject.family == "trees":
        return RateTest(
            in_force=plan.learning_rate,
            why_not="trees take no steps along a gradient: their rate only trades speed for care",
        )
    low, high = min(_LOWEST, plan.learning_rate / 10), max(_HIGHEST, plan.learning_rate * 10)
    steps = math.ceil(_PER_DECADE * math.log10(high / low))
    fewer = subject.rows(spread_out(subject.num_rows, max(20_000, steps * plan.batch_size)))
    swept = replace(plan, learning_rate=low, schedule="constant", warm_up=0.0, ema=0.0, epochs=steps)
    size = _affordable(fewer.network(swept), steps, until)
    learner = fewer.network(replace(swept, batch_size=size))
    rates, losses, ended = _sweep(learner, np.geomspace(1.0, high / low, steps).tolist(), until, report)
    found = _read(rates, losses, plan.learning_rate, cut_short=ended == "late")
    broke = low * learner.rate_factor if ended == "not finite" else None
    return replace(found, rows=min(size, fewer.num_rows), not_finite=broke)


def _affordable(learner: GradientLearner, steps: int, until: float) -> int:
    """The batch size, halved until so many steps fit into the time that is left: a step is timed."""
    size = learner.plan.batch_size
    learner.advance(1)  # the first call of anything pays for setting up
    begun = time.perf_counter()
    learner.advance(2)
    needed = (time.perf_counter() - begun) / 2 * steps
    left = _KEPT * (until - time.perf_counter())
    while needed > left and size > _FEWEST_ROWS:
        needed, size = needed / 2, size // 2
    return size


def _sweep(
    learner: GradientLearner, factors: Sequence[float], until: float, report: Report
) -> tuple[list[float], list[float], Literal["", "late", "not finite"]]:
    """Rates and losses of a step at each factor of the plan's rate, and what ended it early where that tells something."""
    rates: list[float] = []
    losses: list[float] = []
    for step, factor in enumerate(factors):
        learner.rate_factor = factor
        window = learner.advance(1)
        if not window.count or not window.healthy:
            return rates, losses, "not finite"
        rates.append(learner.plan.learning_rate * factor)
        losses.append(window.loss)
        if losses[-1] > _BLOWN_UP * max(losses[0], 1e-3) and step > _PER_DECADE:
            break
        if time.perf_counter() > until:
            return rates, losses, "late"
        if step % _TOLD_EVERY == 0:
            report(step / len(factors))
    return rates, losses, ""


def _read(rates: Sequence[float], losses: Sequence[float], in_force: float, *, cut_short: bool) -> RateTest:
    """What the sweep says. Suggested is where the loss fell most steeply, but at most a tenth of where it was lowest."""
    smoothed = _smoothed(losses)
    curve, line = tuple(zip(rates, losses, strict=True)), tuple(zip(rates, smoothed, strict=True))
    bare = RateTest(in_force=in_force, curve=curve, smoothed=line, cut_short=cut_short)
    if len(rates) < 2 * _AROUND:
        return bare
    values, decades = np.array(smoothed), np.log10(rates)
    best = int(values.argmin())
    start = float(values[:_AROUND].mean())
    if best == 0 or start - values[best] < _FELL * abs(start):
        blown_up = np.flatnonzero(values > (1 + _ROSE) * abs(start))  # less may be chance where nothing was learnt
        return replace(bare, highest=float(rates[int(blown_up[0])]) if len(blown_up) else None)
    slopes = [_slope(decades, values, n) for n in range(best + 1)]
    steepest = rates[int(np.argmin(slopes))]
    return replace(
        bare,
        suggested=_two_digits(min(steepest, rates[best] / 10)),
        highest=_risen(rates, values, best, start),
    )


def _risen(rates: Sequence[float], values: np.ndarray, best: int, start: float) -> float | None:
    """The first rate behind the best at which the loss is half-way back to its start, or above it."""
    half = float(values[best]) + 0.5 * max(start - float(values[best]), _FELL * abs(start))
    risen = np.flatnonzero(values[best:] > half)
    return float(rates[best + int(risen[0])]) if len(risen) else None


def _smoothed(losses: Sequence[float]) -> list[float]:
    """A running average without the pull to zero at the start."""
    result: list[float] = []
    mean = weight = 0.0
    for loss in losses:
        mean, weight = mean * _SMOOTH + loss * (1 - _SMOOTH), weight * _SMOOTH + 1 - _SMOOTH
        result.append(mean / weight)
    return result


def _slope(decades: np.ndarray, values: np.ndarray, place: int) -> float:
    """Loss a decade, around one step."""
    here = slice(max(0, place - _AROUND), place + _AROUND + 1)
    return float(np.polyfit(decades[here], values[here], 1)[0])


def _two_digits(rate: float) -> float:
    return float(f"{rate:.1e}")
