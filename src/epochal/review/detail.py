"""What stands behind the headline: which rows, which classes, how far off, how sure. Plain JSON data, see `view`."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from epochal.review.intervals import f1_share, mean, share
from epochal.review.words import figure
from epochal.show import safe


if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from epochal.review.metrics import Labelled, Measured

MOST_CLASSES = 24
"""Classes with a line of their own in the confusion matrix; the rarer ones share the last."""
MOST_CELL_KEYS = 1000
MOST_KEYS = 20_000
"""Keys in all cells together: a review stays a file that opens at once."""
MOST_POINTS = 500
MOST_CURVE_POINTS = 200
CALIBRATION_BINS = 10
UNSURE = 0.8
"""Stated probability below which a right prediction is called unsure."""
REST = "all others"


def confusion(judged: Labelled, classes: Sequence[str], keys: Sequence[str]) -> dict[str, Any]:
    """Truth against prediction, with the keys of the rows of each cell."""
    k = len(classes)
    rest = k > MOST_CLASSES
    place = np.arange(k)
    names = [safe(c) for c in classes]
    if rest:
        often = np.bincount(judged.truth, minlength=k) + np.bincount(judged.prediction, minlength=k)
        own = np.sort(np.argsort(-often, kind="stable")[: MOST_CLASSES - 1])
        place = np.full(k, MOST_CLASSES - 1)
        place[own] = np.arange(MOST_CLASSES - 1)
        names = [*(names[c] for c in own), REST]
    size = len(names)
    cell = place[judged.truth] * size + place[judged.prediction]
    counts = np.bincount(cell, minlength=size * size).reshape(size, size)
    cap = min(MOST_CELL_KEYS, max(1, MOST_KEYS // max(1, int((counts > 0).sum()))))
    order = np.argsort(cell, kind="stable")
    present, starts = np.unique(cell[order], return_index=True)
    held = []
    for c, start, end in zip(present, starts, [*starts[1:], len(order)], strict=True):
        held.append([int(c) // size, int(c) % size, [keys[i] for i in order[start : min(end, start + cap)]]])
    return {"classes": names, "counts": counts.tolist(), "keys": held, "cap": cap, "rest": rest}


def per_class(judged: Labelled, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Precision, recall and f1 of each class, with intervals that hold for few rows."""
    k = len(classes)
    truth = np.bincount(judged.truth, minlength=k)
    predicted = np.bincount(judged.prediction, minlength=k)
    hits = np.bincount(judged.truth[judged.truth == judged.prediction], minlength=k)
    return [
        {
            "name": safe(name),
            "rows": int(truth[c]),
            "predicted": int(predicted[c]),
            "precision": asdict(share(int(hits[c]), int(predicted[c]))),
            "recall": asdict(share(int(hits[c]), int(truth[c]))),
            "f1": asdict(f1_share(int(hits[c]), int(truth[c]), int(predicted[c]))),
        }
        for c, name in enumerate(classes)
    ]


def worst_labelled(judged: Labelled, count: int) -> NDArray[np.int64]:
    """Row positions, worst first: wrong and sure, wrong and unsure, then right and least sure."""
    of_truth = np.take_along_axis(judged.probabilities, judged.truth[:, None], axis=1)[:, 0]
    right = judged.truth == judged.prediction
    return np.lexsort((of_truth, right))[:count]


def worst_measured(judged: Measured, count: int) -> NDArray[np.int64]:
    """Row positions, largest error first."""
    return np.argsort(-np.abs(judged.truth - judged.prediction), kind="stable")[:count]


def words_labelled(judged: Labelled, classes: Sequence[str], row: int) -> dict[str, Any]:
    """What was said of one row: "Adelie taken for Chinstrap (0.91)", "Gentoo, right (0.99)"."""
    truth, prediction = int(judged.truth[row]), int(judged.prediction[row])
    stated = float(judged.probabilities[row, prediction])
    wrong = truth != prediction
    true_name, said_name = safe(classes[truth], 80), safe(classes[prediction], 80)
    words = (
        f"{true_name} taken for {said_name} ({stated:.2f})"
        if wrong
        else f"{true_name}, right{' but unsure' if stated < UNSURE else ''} ({stated:.2f})"
    )
    return {"truth": true_name, "prediction": said_name, "wrong": wrong, "score": stated, "words": words}


def words_measured(judged: Measured, row: int) -> dict[str, Any]:
    """What was said of one row: "310, predicted 162 (too low by 148)"."""
    truth, prediction = float(judged.truth[row]), float(judged.prediction[row])
    off = truth - prediction
    side = "low" if off > 0 else "high"
    words = f"{figure(truth)}, predicted {figure(prediction)} (too {side} by {figure(abs(off))})"
    return {"truth": figure(truth), "prediction": figure(prediction), "wrong": off != 0, "score": off, "words": words}


def residuals(judged: Measured, keys: Sequence[str], *, level: float | None) -> dict[str, Any] | None:
    """Truth minus prediction: its histogram in round bins, truth against prediction, bias, and the ranges' honesty."""
    if judged.rows == 0:
        return None
    off = judged.truth - judged.prediction
    edges = _round_edges(off)
    counts, _ = np.histogram(off, edges)
    by_truth = np.argsort(judged.truth, kind="stable")
    taken = by_truth[np.unique(np.linspace(0, judged.rows - 1, min(MOST_POINTS, judged.rows)).astype(int))]
    covered = None
    if judged.lower is not None and judged.upper is not None:
        inside = (judged.lower <= judged.truth) & (judged.truth <= judged.upper)
        covered = asdict(share(int(inside.sum()), judged.rows))
    return {
        "edges": edges.tolist(),
        "counts": counts.tolist(),
        "points": np.stack([judged.truth[taken], judged.prediction[taken]], axis=1).tolist(),
        "point_keys": [keys[i] for i in taken],
        "bias": asdict(mean(off)),
        "covered": covered,
        "level": level if covered is not None else None,
    }


def _round_edges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Edges of 8 to 40 equal bins, on multiples of 1, 2 or 5 times a power of ten."""
    low, high = float(values.min()), float(values.max())
    spread = high - low
    if spread <= 0 or spread < 1e-12 * max(abs(low), abs(high)):
        half = max(0.5, abs(low) * 1e-6)
        return np.array([low - half, low + half])
    rough = spread / min(40, max(8, round(2 * len(values) ** (1 / 3))))
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    first, last = math.floor(low / step), math.ceil(high / step)
    return np.arange(first, last + 1 + (first == last), dtype=np.float64) * step


def calibration(judged: Labelled) -> list[dict[str, Any]]:
    """Stated confidence against how often it was right, in ten bins; empty ones are left out."""
    stated = judged.probabilities.max(axis=1)
    right = judged.truth == judged.prediction
    edges = np.linspace(0, 1, CALIBRATION_BINS + 1)
    bins = np.digitize(stated, edges[1:-1], right=True)
    return [
        {
            "low": float(edges[b]),
            "high": float(edges[b + 1]),
            "rows": int((bins == b).sum()),
            "stated": float(stated[bins == b].mean()),
            "right": asdict(share(int(right[bins == b].sum()), int((bins == b).sum()))),
        }
        for b in np.unique(bins)
    ]


def curves(judged: Labelled, classes: Sequence[str]) -> list[dict[str, Any]]:
    """ROC and precision-recall of the positive class, of two classes."""
    if judged.positive is None:
        return []
    hit = judged.truth == judged.positive
    if not hit.any() or hit.all():
        return []
    score = judged.probabilities[:, judged.positive]
    order = np.argsort(-score, kind="stable")
    last = np.append(score[order][1:] != score[order][:-1], True)
    hits, misses = np.cumsum(hit[order])[last], np.cumsum(~hit[order])[last]
    recall, false_alarms = hits / hit.sum(), misses / (~hit).sum()
    name = safe(classes[judged.positive], 80)
    return [
        {
            "name": "roc",
            "title": f"ROC of {name}",
            "x": "false alarms",
            "y": "found",
            "points": _thinned(np.r_[0.0, false_alarms], np.r_[0.0, recall]),
        },
        {
            "name": "precision_recall",
            "title": f"precision and recall of {name}",
            "x": "recall",
            "y": "precision",
            "points": _thinned(recall, hits / (hits + misses)),
        },
    ]


def _thinned(x: NDArray[np.float64], y: NDArray[np.float64]) -> list[list[float]]:
    taken = np.unique(np.linspace(0, len(x) - 1, min(MOST_CURVE_POINTS, len(x))).astype(int))
    points: list[list[float]] = np.stack([x[taken], y[taken]], axis=1).tolist()
    return points
