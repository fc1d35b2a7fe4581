"""How sure a number is: intervals by resampling rows, closed forms where resampling can say nothing.

All intervals are 95 %. Rows are drawn with replacement, 2,000 times or as often as large test sets allow; where a
split deals out whole groups, whole groups are drawn, since rows of one group are not independent. The same draws serve
the model and its baselines, so differences are paired. Seeded: the same predictions always give the same intervals.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from epochal.core.tasks import METRICS
from epochal.review.metrics import Judged, Labelled, Measured, Scorer, evaluate
from epochal.review.view import Comparison, Estimate, Verdict
from epochal.review.words import chance


if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    Samples = Mapping[str, NDArray[np.float64]]

MOST_RESAMPLES = 2000
FEWEST_RESAMPLES = 100
_WORK = 100_000_000
"""Row weights looked at in all, per score column: what keeps the largest test sets within seconds."""
_CHUNK = 4_000_000
"""Row weights in memory at a time: 32 MB."""
_TAIL = 0.025
_Z = 1.959963984540054
_BIAS_LEFT = 0.25
_FEW_ROWS = 20
_LEVEL = 0.05
_SEED = 20_260_101


def resample(
    judged: Mapping[str, Judged], *, groups: NDArray[np.int64] | None = None, seed: int = _SEED
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Every metric of every judged model over the same draws of rows: {model: {metric: (resamples,)}}.

    All must be about the same rows. `groups` (rows,) numbers from 0 the groups that are drawn as one.
    """
    first = next(iter(judged.values()))
    found: dict[str, dict[str, list[NDArray[np.float64]]]] = {name: {} for name in judged}
    scorers = {name: Scorer(one, coarse=True) for name, one in judged.items()}
    for weights in _draws(first, groups, seed):
        for name, scorer in scorers.items():
            for metric, values in scorer(weights).items():
                found[name].setdefault(metric, []).append(values)
    return {name: {m: np.concatenate(v) for m, v in metrics.items()} for name, metrics in found.items()}


def _draws(judged: Judged, groups: NDArray[np.int64] | None, seed: int) -> Iterator[NDArray[np.float64]]:
    rows = judged.rows
    if rows == 0:
        return
    columns = judged.classes if isinstance(judged, Labelled) and judged.positive is None else 1
    resamples = max(FEWEST_RESAMPLES, min(MOST_RESAMPLES, _WORK // (rows * max(1, columns))))
    units = rows if groups is None else int(groups.max()) + 1
    random = np.random.default_rng(seed)
    step = max(1, _CHUNK // rows)
    for start in range(0, resamples, step):
        count = min(step, resamples - start)
        drawn = random.integers(0, units, size=(count, units)) + np.arange(count)[:, None] * units
        weights = np.bincount(drawn.ravel(), minlength=count * units).reshape(count, units).astype(np.float64)
        yield weights if groups is None else weights[:, groups]


def estimates(judged: Judged, samples: Samples, *, groups: NDArray[np.int64] | None = None) -> dict[str, Estimate]:
    """Every metric of the task that applies, with its interval or the reason why it has none."""
    units = judged.rows if groups is None else len(np.unique(groups))
    limits = _limits_when_all_right(judged, units)
    found: dict[str, Estimate] = {}
    for name, values in evaluate(judged).items():
        value = float(values[0])
        if not math.isfinite(value):
            found[name] = Estimate(value=None, why=_why_undefined(judged, name))
        elif name in limits:
            low, high = limits[name]
            found[name] = Estimate(
                value=value,
                low=min(low, value),
                high=max(high, value),
                why=f"all {judged.rows} rows are {'right' if high == 1 else 'wrong'}, so resampling cannot say: this is what "
                f"{units} {'rows' if groups is None else 'groups'} could hide",
            )
        else:
            least = -math.inf if name == "r2" else 0.0
            most = math.inf if name in {"log_loss", "rmse", "mae"} else 1.0
            found[name] = from_samples(value, samples[name], units, least=least, most=most)
    return found


def from_samples(
    value: float, samples: NDArray[np.float64], units: int, *, least: float = -math.inf, most: float = math.inf
) -> Estimate:
    """A number with the interval its resamples give. `units`: how many rows or groups were drawn from.

    Resampling itself moves some figures: a calibration error, and means over classes of few rows, of which some are
    drawn twice. Where that is more than a quarter of the spread (Efron and Tibshirani, An Introduction to the
    Bootstrap, 1993, section 10.3), the resamples are moved back so that their mean is the number, within `least` and `most`.
    """
    defined = samples[np.isfinite(samples)]
    if units < 2:
        return Estimate(value=value, why="no interval: there is only one row")
    if len(defined) < 0.5 * len(samples):
        return Estimate(value=value, why="no interval: most resamples lack a class")
    if np.ptp(defined) <= 1e-12 * np.abs(defined).max():
        return Estimate(value=value, low=value, high=value, why="the same whichever rows are drawn")
    if abs(defined.mean() - value) > _BIAS_LEFT * _deviation(defined):
        defined = np.clip(defined - defined.mean() + value, least, most)
    if len(samples) < 1000:
        # Too few draws for their own tails: their spread is steadier.
        spread = _Z * _deviation(defined)
        low, high = max(value - spread, float(defined.min())), min(value + spread, float(defined.max()))
    else:
        low, high = (float(x) for x in np.quantile(defined, (_TAIL, 1 - _TAIL)))
    why = f"rough: only {units} {'rows' if units != 1 else 'row'} to draw from" if units < _FEW_ROWS else ""
    return Estimate(value=value, low=min(low, value), high=max(high, value), why=why)


def _limits_when_all_right(judged: Judged, units: int) -> dict[str, tuple[float, float]]:
    """Intervals of the metrics that no resample can move, because every row is right (or wrong).

    With n of n right, the true share of wrong rows may still be up to q = 1 − 0.025^(1/n). Each metric is what it
    would be if that share of rows fell where it hurts that metric most.
    """
    if not isinstance(judged, Labelled) or units < 1:
        return {}
    q = 1 - _TAIL ** (1 / units)
    right = judged.truth == judged.prediction
    if not right.any():
        return {"accuracy": (0.0, q)}
    if not right.all():
        return {}
    k = len(np.unique(judged.truth))
    shares = np.sort(np.bincount(judged.truth, minlength=judged.classes) / judged.rows)
    shares = shares[shares > 0]
    rare, next_rare = float(shares[0]), float(shares[min(1, k - 1)])
    f_rare = 2 * max(0.0, rare - q) / (2 * rare - q) if q < rare else 0.0
    f_next = 2 * next_rare / (2 * next_rare + q)
    limits = {
        "accuracy": (1 - q, 1.0),
        "balanced_accuracy": (1 - min(1.0, q / rare) / k, 1.0),
        "f1": (1 - ((1 - f_rare) + (1 - f_next)) / k if k > 1 else f_rare, 1.0),
    }
    if judged.positive is not None:
        positive = float((judged.truth == judged.positive).mean())
        if positive > 0:
            limits["f1_positive"] = (2 * max(0.0, positive - q) / (2 * positive - q) if q < positive else 0.0, 1.0)
    if k > 1 and all(float(evaluate(judged)[m][0]) == 1.0 for m in ("roc_auc", "average_precision")):
        area, precision = _rank_limits(judged, q, rare, next_rare)
        limits["roc_auc"] = (max(0.0, area), 1.0)
        limits["average_precision"] = (max(0.0, precision), 1.0)
    return limits


def _rank_limits(judged: Labelled, q: float, rare: float, next_rare: float) -> tuple[float, float]:
    """roc_auc and average_precision if a share q of rows stood first in a class not theirs and last in their own."""
    if judged.positive is not None:
        share_of = float((judged.truth == judged.positive).mean())
        return 1 - q / min(share_of, 1 - share_of), 1 - (q / share_of) * math.log1p(share_of / q)
    k = judged.classes
    area = 1 - (min(1.0, q / rare) + q / (1 - next_rare)) / k
    precision = 1 - ((q / rare) * math.log1p(rare / q) + min(1.0, q / next_rare)) / k
    return area, precision


def _why_undefined(judged: Judged, metric: str) -> str:
    if judged.rows == 0:
        return "there are no rows"
    if metric == "r2" and isinstance(judged, Measured):
        if judged.truth.min() == judged.truth.max():
            return "all true values are equal"
        return "the errors are too large beside the differences of the true values for a number"
    return "the test rows hold only one class" if metric in {"roc_auc", "average_precision"} else "not defined here"


def share(hits: int, rows: int) -> Estimate:
    """A share of rows with Wilson's interval, which holds for few rows and for none or all of them."""
    if rows == 0:
        return Estimate(value=None, why="there are no such rows")
    p, z2 = hits / rows, _Z * _Z
    middle = (p + z2 / (2 * rows)) / (1 + z2 / rows)
    half = _Z / (1 + z2 / rows) * math.sqrt(p * (1 - p) / rows + z2 / (4 * rows * rows))
    return Estimate(value=p, low=min(p, max(0.0, middle - half)), high=max(p, min(1.0, middle + half)))


def f1_share(hits: int, truth: int, predicted: int) -> Estimate:
    """The f1 of one class: it rises with hits ÷ (truth or predicted), which is a share of rows."""
    either = truth + predicted - hits
    inner = share(hits, either)
    if inner.value is None or inner.low is None or inner.high is None:
        return Estimate(value=None, why="the class neither occurs nor is predicted")
    return Estimate(
        value=2 * inner.value / (1 + inner.value),
        low=2 * inner.low / (1 + inner.low),
        high=2 * inner.high / (1 + inner.high),
    )


def mean(values: NDArray[np.float64]) -> Estimate:
    """A mean with its interval by the normal law."""
    if len(values) == 0:
        return Estimate(value=None, why="there are no rows")
    value = float(values.mean())
    if len(values) < 2:
        return Estimate(value=value, why="no interval: there is only one row")
    half = _Z * _deviation(values) / math.sqrt(len(values) - 1)
    return Estimate(value=value, low=value - half, high=value + half)


def _deviation(values: NDArray[np.float64]) -> float:
    """Their standard deviation, also where their squares would leave what a float can hold."""
    unit = float(np.abs(values).max()) or 1.0
    return unit * float((values / unit).std())


def compare(
    baseline: str,
    metric: str,
    model: Judged,
    other: Judged,
    samples: Mapping[str, Samples],
    *,
    groups: NDArray[np.int64] | None = None,
) -> Comparison:
    """The model against a baseline on the same rows. `samples` are those of "model" and of `baseline`.

    For accuracy the p-value is McNemar's, exact over the rows where only one of the two is right; otherwise (and for
    grouped rows) it is the share of paired draws on the far side of zero, twice.
    """
    ours, theirs = float(evaluate(model)[metric][0]), float(evaluate(other)[metric][0])
    if not (math.isfinite(ours) and math.isfinite(theirs)):
        why = f"{METRICS[metric].title} is not defined on these rows"
        return Comparison(
            baseline=baseline,
            metric=metric,
            difference=Estimate(value=None, why=why),
            p=None,
            verdict="not shown",
            words=f"better than {baseline}: not shown ({why})",
        )
    draws = samples["model"][metric] - samples[baseline][metric]
    units = model.rows if groups is None else len(np.unique(groups))
    difference = from_samples(ours - theirs, draws, units)
    if metric == "accuracy" and groups is None and isinstance(model, Labelled) and isinstance(other, Labelled):
        p = _mcnemar(model, other)
    else:
        p = _two_sided(draws)
    return _verdict(baseline, metric, difference, p)


def _verdict(baseline: str, metric: str, difference: Estimate, p: float) -> Comparison:
    ahead = (difference.value or 0.0) * (1 if METRICS[metric].higher_is_better else -1)
    verdict: Verdict = "not shown"
    if p < _LEVEL and ahead:
        verdict = "better" if ahead > 0 else "worse"
    word = "worse" if verdict == "worse" else "better"
    shown = "not shown" if verdict == "not shown" else "shown"
    return Comparison(
        baseline=baseline,
        metric=metric,
        difference=difference,
        p=p,
        verdict=verdict,
        words=f"{word} than {baseline}: {shown} ({chance(p)})",
    )


def _mcnemar(model: Labelled, other: Labelled) -> float:
    ours, theirs = model.truth == model.prediction, other.truth == other.prediction
    only_ours, only_theirs = int((ours & ~theirs).sum()), int((~ours & theirs).sum())
    n, k = only_ours + only_theirs, min(only_ours, only_theirs)
    if n == 0:
        return 1.0
    chances = (
        math.exp(math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) - n * math.log(2))
        for i in range(k + 1)
    )
    return min(1.0, 2 * math.fsum(chances))


def _two_sided(draws: NDArray[np.float64]) -> float:
    defined = draws[np.isfinite(draws)]
    if len(defined) == 0:
        return 1.0
    below, above = int((defined <= 0).sum()), int((defined >= 0).sum())
    return min(1.0, 2 * (min(below, above) + 1) / (len(defined) + 1))
