"""Metrics of predictions, in numpy. Each agrees with scikit-learn's of the same meaning to rounding.

Shapes: N rows, C classes. `truth_N` holds class indices or numbers; rows of `probs_NC` sum to 1.
A metric that is not defined for these rows (one class only, no rows) is NaN, and `score` leaves it out.
"""

from __future__ import annotations

import math

import numpy as np


_TINY = 1e-7
"""Probabilities are kept this far from 0 and 1 before their logarithm: float32 knows no smaller step from 1."""


def score(task: str, truth_N: np.ndarray, prediction: np.ndarray, *, positive: int | None = None) -> dict[str, float]:
    """Every metric of the task that applies.

    For classification `prediction` is probs_NC and `positive` the class that f1_positive, roc_auc and
    average_precision of two classes look for (the second, if None); for regression it is the predicted numbers.
    """
    if task == "regression":
        values = {
            "rmse": rmse(truth_N, prediction),
            "mae": mean_absolute_error(truth_N, prediction),
            "r2": r2(truth_N, prediction),
        }
    else:
        num_classes = prediction.shape[1]
        counts_CC = confusion(truth_N, prediction.argmax(axis=1), num_classes)
        f1_C = f1_by_class(counts_CC)
        seen_C = (counts_CC.sum(axis=0) + counts_CC.sum(axis=1)) > 0
        auc, precision = ranking(truth_N, prediction, positive=positive)
        values = {
            "accuracy": _share(float(np.trace(counts_CC)), len(truth_N)),
            "balanced_accuracy": balanced_accuracy(counts_CC),
            "f1": float(f1_C[seen_C].mean()) if seen_C.any() else math.nan,
            "roc_auc": auc,
            "average_precision": precision,
            "log_loss": log_loss(truth_N, prediction),
            "ece": calibration_error(truth_N, prediction),
        }
        if num_classes == 2:
            values["f1_positive"] = float(f1_C[1 if positive is None else positive])
    return {name: value for name, value in values.items() if not math.isnan(value)}


def confusion(truth_N: np.ndarray, guess_N: np.ndarray, num_classes: int) -> np.ndarray:
    """Counts of (true class, predicted class), int64."""
    return np.bincount(truth_N * num_classes + guess_N, minlength=num_classes**2).reshape(num_classes, num_classes)


def balanced_accuracy(counts_CC: np.ndarray) -> float:
    """Mean recall over the classes that occur."""
    rows_C = counts_CC.sum(axis=1)
    occurs_C = rows_C > 0
    if not occurs_C.any():
        return math.nan
    return float((np.diag(counts_CC)[occurs_C] / rows_C[occurs_C]).mean())


def f1_by_class(counts_CC: np.ndarray) -> np.ndarray:
    """F1 of each class; 0 where a class is neither true nor predicted."""
    hits_C = np.diag(counts_CC).astype(np.float64)
    total_C = counts_CC.sum(axis=0) + counts_CC.sum(axis=1)
    return np.asarray(np.divide(2 * hits_C, total_C, out=np.zeros_like(hits_C), where=total_C > 0))


def ranking(truth_N: np.ndarray, probs_NC: np.ndarray, *, positive: int | None = None) -> tuple[float, float]:
    """Area under the ROC curve, and precision averaged over recall steps: how well scores rank, from one sort a class.

    For more than two classes the mean over those for which it is defined, each against the rest.
    """
    if probs_NC.shape[1] == 2:
        chosen = 1 if positive is None else positive
        return _ranked(truth_N == chosen, probs_NC[:, chosen])
    found = np.array([_ranked(truth_N == c, probs_NC[:, c]) for c in range(probs_NC.shape[1])]).reshape(-1, 2)
    auc, precision = (float(np.mean(v[~np.isnan(v)])) if not np.isnan(v).all() else math.nan for v in found.T)
    return auc, precision


def _ranked(hit_N: np.ndarray, score_N: np.ndarray) -> tuple[float, float]:
    """The same of one class against the rest, by scores from 0 to below 2."""
    num_hits = int(hit_N.sum())
    if not num_hits:
        return math.nan, math.nan
    # The bits of floats that are not negative rise as they do; what is no number is below all, and as good as another.
    rank_N = np.where(np.isnan(score_N), 0, score_N.astype(np.float64).view(np.int64) + 1)
    both_N = np.sort(2 * rank_N + hit_N)[::-1]  # with the hit as the last bit: faster than sorting places
    last_of_ties = np.append(both_N[:-1] >> 1 != both_N[1:] >> 1, [True])
    hits = np.cumsum(both_N & 1)[last_of_ties]
    taken = np.flatnonzero(last_of_ties) + 1
    new_hits = np.diff(hits, prepend=0)
    precision = float((new_hits / num_hits * (hits / taken)).sum())
    num_rest = len(hit_N) - num_hits
    if not num_rest:
        return math.nan, precision
    new_misses = np.diff(taken, prepend=0) - new_hits
    return float((new_misses * (hits - new_hits / 2)).sum()) / (num_hits * num_rest), precision


def log_loss(truth_N: np.ndarray, probs_NC: np.ndarray) -> float:
    """Mean surprise by the truth, in nats."""
    if not len(truth_N):
        return math.nan
    chosen_N = np.clip(probs_NC[np.arange(len(truth_N)), truth_N], _TINY, 1.0)
    return float(-np.log(chosen_N, dtype=np.float64).mean())


def calibration_error(truth_N: np.ndarray, probs_NC: np.ndarray, *, num_bins: int = 15) -> float:
    """How far stated confidence is from accuracy: a share in [0, 1], 0 is honest. Bins are of equal width.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 2.
    """
    if not len(truth_N):
        return math.nan
    guess_N = probs_NC.argmax(axis=1)
    confidence_N = probs_NC[np.arange(len(guess_N)), guess_N]
    surplus_N = (guess_N == truth_N) - confidence_N
    bin_N = np.digitize(confidence_N, np.linspace(0, 1, num_bins + 1)[1:-1], right=True)
    return float(np.abs(np.bincount(bin_N, surplus_N, minlength=num_bins)).sum() / len(truth_N))


def rmse(truth_N: np.ndarray, value_N: np.ndarray) -> float:
    """Root of the mean squared error, in the target's unit."""
    if not len(truth_N):
        return math.nan
    error_N = truth_N - value_N
    unit = _unit(error_N)
    return unit * float(np.sqrt(np.mean((error_N / unit) ** 2)))


def mean_absolute_error(truth_N: np.ndarray, value_N: np.ndarray) -> float:
    """Mean absolute error, in the target's unit."""
    return float(np.mean(np.abs(truth_N - value_N))) if len(truth_N) else math.nan


def r2(truth_N: np.ndarray, value_N: np.ndarray) -> float:
    """Share of the variation explained; NaN for under two rows or a constant truth."""
    if len(truth_N) < 2 or truth_N.min() == truth_N.max():
        return math.nan
    away_N = truth_N - truth_N.mean()
    unit = _unit(away_N)
    spread = float(((away_N / unit) ** 2).sum())
    with np.errstate(over="ignore"):
        return 1 - float((((truth_N - value_N) / unit) ** 2).sum()) / spread


def spread_of(values: np.ndarray) -> float:
    """Their standard deviation, also where squares would leave what a float can hold; 1 for values that are all equal."""
    if not len(values) or values.min() == values.max():
        return 1.0
    away = values - values.mean()
    unit = _unit(away)
    return unit * float(np.sqrt(np.mean((away / unit) ** 2)))


def _unit(values: np.ndarray) -> float:
    """The largest of them, without its sign: in this unit their squares are numbers again. 1 if all are 0."""
    return float(np.abs(values).max()) or 1.0


def _share(part: float, whole: int) -> float:
    return part / whole if whole else math.nan
