"""Metrics of the catalogue, over many weightings of the same rows at once.

Weights are an array (resamples, rows) of how often each row counts; a metric comes back as one number per resample,
NaN where it is not defined. All ones in one line give the plain metric. This is what makes intervals affordable: what
depends on the rows only (their order by score, their cell in the confusion matrix) is found once.

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
_SMALLEST = 1e-7
"""The least probability counted by log_loss, as in training: one sure error must not make everything infinite."""


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

    Probabilities (rows, classes) are brought to sum to one. Of two classes the positive is the given one, else the
    rarer in `truth`, else the second.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    total = p.sum(axis=1, keepdims=True)
    p = np.divide(p, total, out=np.full_like(p, 1 / max(1, p.shape[1])), where=total > 0)
    truth = np.asarray(truth, dtype=np.int64)
    if p.shape[1] != 2:
        positive = None
    elif positive is None:
        positive = 0 if (truth == 0).sum() < (truth == 1).sum() else 1
    return Labelled(truth=truth, probabilities=p, prediction=p.argmax(axis=1).astype(np.int64), positive=positive)


def evaluate(judged: Judged, weights: NDArray[np.float64] | None = None) -> dict[str, NDArray[np.float64]]:
    """Every metric of the task that applies: name → (resamples,), NaN where it is not defined."""
    if weights is None:
        weights = np.ones((1, judged.rows))
    with np.errstate(divide="ignore", invalid="ignore"):
        if isinstance(judged, Measured):
            return _of_numbers(judged, weights)
        return _of_classes(judged, weights)


def scores(judged: Judged) -> dict[str, float]:
    """Every metric of the task that applies and is defined on these rows."""
    return {name: float(v[0]) for name, v in evaluate(judged).items() if np.isfinite(v[0])}


def sums_by(weights: NDArray[np.float64], group: NDArray[np.int64], groups: int) -> NDArray[np.float64]:
    """Weights summed over the rows of each group: (resamples, groups)."""
    out = np.zeros((len(weights), groups))
    if len(group) == 0:
        return out
    order = np.argsort(group, kind="stable")
    present, starts = np.unique(group[order], return_index=True)
    out[:, present] = np.add.reduceat(weights[:, order], starts, axis=1)
    return out


def _of_numbers(judged: Measured, weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    error = judged.truth - judged.prediction
    total = weights.sum(axis=1)
    squares = weights @ (error * error)
    # The truth is centred first: r2 of values far from zero would drown in rounding.
    centred = judged.truth - (judged.truth.mean() if judged.rows else 0.0)
    spread = weights @ (centred * centred) - (weights @ centred) ** 2 / total
    return {
        "rmse": np.sqrt(squares / total),
        "mae": (weights @ np.abs(error)) / total,
        "r2": np.where(spread > 1e-12 * np.maximum(1.0, squares), 1 - squares / spread, np.nan),
    }


def _of_classes(judged: Labelled, weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    k = judged.classes
    total = weights.sum(axis=1)
    right = (judged.truth == judged.prediction).astype(np.float64)
    of_truth = sums_by(weights, judged.truth, k)
    of_prediction = sums_by(weights, judged.prediction, k)
    hits = sums_by(weights * right, judged.truth, k)
    f1 = np.where(of_truth + of_prediction > 0, 2 * hits / (of_truth + of_prediction), np.nan)
    found = {
        "accuracy": (weights @ right) / total,
        "balanced_accuracy": _mean(np.where(of_truth > 0, hits / of_truth, np.nan)),
        "f1": _mean(f1),
    }
    if judged.positive is not None:
        found["f1_positive"] = np.nan_to_num(f1[:, judged.positive])
    found.update(_of_ranks(judged, weights))
    of_truth_p = np.take_along_axis(judged.probabilities, judged.truth[:, None], axis=1)[:, 0]
    found["log_loss"] = (weights @ -np.log(np.clip(of_truth_p, _SMALLEST, 1.0))) / total
    found["ece"] = _calibration_error(judged, weights, right)
    return found


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the classes that are defined; NaN where none is."""
    defined = np.isfinite(values)
    result: NDArray[np.float64] = np.where(defined, values, 0.0).sum(axis=1) / defined.sum(axis=1)
    return result


def _of_ranks(judged: Labelled, weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """roc_auc and average_precision, of the positive class or the mean of each against the rest."""
    over = [judged.positive] if judged.positive is not None else range(judged.classes)
    pairs = [_of_rank(judged.probabilities[:, c], judged.truth == c, weights) for c in over]
    if not pairs:
        return {}
    return {
        "roc_auc": _mean(np.stack([a for a, _ in pairs], axis=1)),
        "average_precision": _mean(np.stack([p for _, p in pairs], axis=1)),
    }


def _of_rank(
    score: NDArray[np.float64], positive: NDArray[np.bool_], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Area under the ROC curve and average precision of one class; rows of equal score are one step of both."""
    if len(score) == 0:
        nothing = np.full(len(weights), np.nan)
        return nothing, nothing
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    of_all = weights[:, order]
    of_class = np.add.reduceat(of_all * positive[order], starts, axis=1)
    of_rest = np.add.reduceat(of_all, starts, axis=1) - of_class
    hits, misses = np.cumsum(of_class, axis=1), np.cumsum(of_rest, axis=1)
    all_hits, all_misses = hits[:, -1], misses[:, -1]
    beaten = all_misses[:, None] - misses + of_rest / 2
    area = (of_class * beaten).sum(axis=1) / (all_hits * all_misses)
    seen = hits + misses
    precision = np.divide(hits, seen, out=np.zeros_like(hits), where=seen > 0)
    average = (of_class * precision).sum(axis=1) / all_hits
    both = (all_hits > 0) & (all_misses > 0)
    return np.where(both, area, np.nan), np.where(all_hits > 0, average, np.nan)


def confidence_bins(judged: Labelled) -> NDArray[np.int64]:
    """(rows,) which of ECE_BINS equally wide bins the probability of the predicted class lies in."""
    stated = judged.probabilities.max(axis=1)
    bins: NDArray[np.int64] = np.digitize(stated, np.linspace(0, 1, ECE_BINS + 1)[1:-1], right=True).astype(np.int64)
    return bins


def _calibration_error(
    judged: Labelled, weights: NDArray[np.float64], right: NDArray[np.float64]
) -> NDArray[np.float64]:
    gap = judged.probabilities.max(axis=1) - right
    result: NDArray[np.float64] = np.abs(sums_by(weights * gap, confidence_bins(judged), ECE_BINS)).sum(
        axis=1
    ) / weights.sum(axis=1)
    return result
