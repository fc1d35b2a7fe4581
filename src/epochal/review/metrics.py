"""Metrics of the catalogue, over many weightings of the same rows at once.

Weights are an array (resamples, rows) of how often each row counts; a metric comes back as one number per resample,
NaN where it is not defined. All ones in one line give the plain metric. This is what makes intervals affordable: what
depends on the rows only (their rank by score, their cell in the confusion matrix) is found once, and a resample is then
a few counts.

Conventions are scikit-learn's (golden numbers in the tests): f1 and balanced_accuracy leave out classes that do not
occur, roc_auc and average_precision of more than two classes are the mean of each class against the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np


if TYPE_CHECKING:
    from numpy.typing import NDArray

ECE_BINS = 15
_STEPS = 512
_SMALLEST = 1e-7
"""The least probability counted by log_loss, as in training: one sure error must not make everything infinite."""


_ROUNDING = 1e-6
"""Probabilities that sum to one but for so much are as the model gave them."""
_CANCELLED = 1e-6
"""A spread that is less than this of the squares it is taken from has lost its digits, and is computed anew."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Labelled:
    """What a classifier said about rows whose class is known."""

    truth: NDArray[np.int64]
    """(rows,) index of the true class."""
    probabilities: NDArray[np.float64]
    """(rows, classes), each row summing to one."""
    prediction: NDArray[np.int64]
    """(rows,) index of the predicted class."""
    positive: int | None = None
    """Of two classes, the one that f1_positive, roc_auc and average_precision are about."""

    @property
    def rows(self) -> int:
        """How many rows."""
        return len(self.truth)

    @property
    def classes(self) -> int:
        """How many classes."""
        return int(self.probabilities.shape[1])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measured:
    """What a regression said about rows whose value is known."""

    truth: NDArray[np.float64]
    prediction: NDArray[np.float64]
    lower: NDArray[np.float64] | None = None
    upper: NDArray[np.float64] | None = None

    @property
    def rows(self) -> int:
        """How many rows."""
        return len(self.truth)


Judged = Labelled | Measured


def labelled(truth: NDArray[np.int64], probabilities: NDArray[np.float64], *, positive: int | None = None) -> Labelled:
    """A classifier's probabilities as judged rows; the likeliest class is the prediction.

    Probabilities (rows, classes) are brought to sum to one where they are off by more than rounding: dividing the others
    too would tear ties apart that training saw. Of two classes the positive is the given one, else the
    rarer in `truth`, else the second.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    total = p.sum(axis=1, keepdims=True)
    whole = np.divide(p, total, out=np.full_like(p, 1 / max(1, p.shape[1])), where=total > 0)
    p = np.where(np.abs(total - 1) > _ROUNDING, whole, p)
    truth = np.asarray(truth, dtype=np.int64)
    if p.shape[1] != 2:
        positive = None
    elif positive is None:
        positive = 0 if (truth == 0).sum() < (truth == 1).sum() else 1
    return Labelled(truth=truth, probabilities=p, prediction=p.argmax(axis=1).astype(np.int64), positive=positive)


class Scorer:
    """Every metric of one judged model, ready for any weighting of its rows.

    `coarse` ranks rows in at most some thousand steps (even quantiles of the scores of both sides), which moves
    roc_auc and average_precision by less than a thousandth: enough for the width of an interval, not for the number.
    """

    def __init__(self, judged: Judged, *, coarse: bool = False) -> None:
        self._judged = judged
        self._ranks: list[tuple[NDArray[np.int64], int]] = []
        if isinstance(judged, Labelled):
            over = [judged.positive] if judged.positive is not None else range(judged.classes)
            self._ranks = [_ranked(judged.probabilities[:, c], judged.truth == c, coarse=coarse) for c in over]
            self._cells = judged.truth * judged.classes + judged.prediction
            self._bins = confidence_bins(judged)
            self._gap = judged.probabilities.max(axis=1) - (judged.truth == judged.prediction)
            of_truth = np.take_along_axis(judged.probabilities, judged.truth[:, None], axis=1)[:, 0]
            self._surprise = -np.log(np.clip(of_truth, _SMALLEST, 1.0))

    def __call__(self, weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Every metric of the task that applies: name → (resamples,), NaN where it is not defined."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            if isinstance(self._judged, Measured):
                return _of_numbers(self._judged, weights)
            return self._of_classes(self._judged, weights)

    def _of_classes(self, judged: Labelled, weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        k = judged.classes
        total = weights.sum(axis=1)
        counts = _counted(weights, self._cells, k * k).reshape(-1, k, k)
        of_truth, of_prediction = counts.sum(axis=2), counts.sum(axis=1)
        hits = counts.diagonal(axis1=1, axis2=2)
        f1 = np.where(of_truth + of_prediction > 0, 2 * hits / (of_truth + of_prediction), np.nan)
        found = {
            "accuracy": hits.sum(axis=1) / total,
            "balanced_accuracy": _mean(np.where(of_truth > 0, hits / of_truth, np.nan)),
            "f1": _mean(f1),
        }
        if judged.positive is not None:
            found["f1_positive"] = np.nan_to_num(f1[:, judged.positive])
        if self._ranks:
            pairs = [_of_ranks(_counted(weights, cells, 2 * steps)) for cells, steps in self._ranks]
            found["roc_auc"] = _mean(np.stack([area for area, _ in pairs], axis=1))
            found["average_precision"] = _mean(np.stack([average for _, average in pairs], axis=1))
        found["log_loss"] = (weights @ self._surprise) / total
        found["ece"] = np.abs(_counted(weights, self._bins, ECE_BINS, self._gap)).sum(axis=1) / total
        return found


def evaluate(judged: Judged, weights: NDArray[np.float64] | None = None) -> dict[str, NDArray[np.float64]]:
    """Every metric of the task that applies, exactly: name → (resamples,), NaN where it is not defined."""
    return Scorer(judged)(np.ones((1, judged.rows)) if weights is None else weights)


def scores(judged: Judged) -> dict[str, float]:
    """Every metric of the task that applies and is defined on these rows."""
    return {name: float(v[0]) for name, v in evaluate(judged).items() if np.isfinite(v[0])}


def confidence_bins(judged: Labelled) -> NDArray[np.int64]:
    """(rows,) which of ECE_BINS equally wide bins the probability of the predicted class lies in."""
    stated = judged.probabilities.max(axis=1)
    bins: NDArray[np.int64] = np.digitize(stated, np.linspace(0, 1, ECE_BINS + 1)[1:-1], right=True).astype(np.int64)
    return bins


def _of_numbers(judged: Measured, weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    # In a unit near the largest value, squares neither overflow nor vanish; a power of two keeps every digit.
    power = int(np.frexp(max(_largest(judged.truth), _largest(judged.prediction)))[1])
    truth = np.ldexp(judged.truth, -power)
    error = truth - np.ldexp(judged.prediction, -power)
    unit = _largest(error) or 1.0
    error = error / unit
    total = weights.sum(axis=1)
    squares = weights @ (error * error)
    spread, spread_unit = _spread(truth, weights, total)
    return {
        "rmse": np.ldexp(unit * np.sqrt(squares / total), power),
        "mae": np.ldexp(unit * (weights @ np.abs(error)) / total, power),
        "r2": 1 - squares * np.square(unit / spread_unit) / spread,
    }


def _spread(
    truth: NDArray[np.float64], weights: NDArray[np.float64], total: NDArray[np.float64]
) -> tuple[NDArray[np.float64], np.float64]:
    """Squared distances from the mean, summed, and the unit they are in. NaN where all the true values are equal."""
    # The truth is centred first: r2 of values far from zero would drown in rounding.
    centred = truth - (truth.mean() if len(truth) else 0.0)
    unit = np.float64(_largest(centred) or 1.0)
    centred = centred / unit
    squares = weights @ (centred * centred)
    spread: NDArray[np.float64] = squares - (weights @ centred) ** 2 / total
    for line in np.flatnonzero(~(spread > _CANCELLED * squares)):
        drawn = weights[line] > 0
        value, weight = truth[drawn], weights[line][drawn]
        if not len(value) or value.min() == value.max():
            spread[line] = np.nan
            continue
        away = (value - (weight @ value) / total[line]) / unit
        spread[line] = weight @ (away * away)
    return spread, unit


def _largest(values: NDArray[np.float64]) -> float:
    """The largest of them, without its sign; 0 for none."""
    return float(np.abs(values).max(initial=0.0))


def _counted(
    weights: NDArray[np.float64], cells: NDArray[np.int64], size: int, values: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Weights, times the rows' values if given, summed over the rows of each cell: (resamples, size)."""
    out = np.empty((len(weights), size))
    for line, weight in zip(out, weights, strict=True):
        line[:] = np.bincount(cells, weight if values is None else weight * values, minlength=size)
    return out


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the classes that are defined; NaN where none is."""
    defined = np.isfinite(values)
    result: NDArray[np.float64] = np.where(defined, values, 0.0).sum(axis=1) / defined.sum(axis=1)
    return result


def _ranked(score: NDArray[np.float64], positive: NDArray[np.bool_], *, coarse: bool) -> tuple[NDArray[np.int64], int]:
    """Each row's cell (2 × its step from the highest score down, + 1 for rows that are not of the class), and the steps.

    Rows of equal score stand on one step.
    """
    levels = np.unique(score)
    if coarse and len(levels) > 2 * _STEPS:
        # Steps are even among the rows of the class and among the others, so that neither is blurred.
        even = np.linspace(0, 1, _STEPS)
        sides = [np.quantile(side, even, method="lower") for side in (score[positive], score[~positive]) if len(side)]
        levels = np.unique(np.concatenate(sides))
    step = len(levels) - 1 - np.clip(np.searchsorted(levels, score, side="right") - 1, 0, None)
    return 2 * step + ~positive, len(levels)


def _of_ranks(counts: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Area under the ROC curve and average precision of one class, from (resamples, 2 × steps) counts."""
    of_class, of_rest = counts[:, ::2], counts[:, 1::2]
    if counts.shape[1] == 0:
        nothing = np.full(len(counts), np.nan)
        return nothing, nothing
    hits, misses = np.cumsum(of_class, axis=1), np.cumsum(of_rest, axis=1)
    all_hits, all_misses = hits[:, -1], misses[:, -1]
    beaten = all_misses[:, None] - misses + of_rest / 2
    area = (of_class * beaten).sum(axis=1) / (all_hits * all_misses)
    seen = hits + misses
    precision = np.divide(hits, seen, out=np.zeros_like(hits), where=seen > 0)
    average = (of_class * precision).sum(axis=1) / all_hits
    both = (all_hits > 0) & (all_misses > 0)
    return np.where(both, area, np.nan), np.where(all_hits > 0, average, np.nan)
