"""The learning rate of every step."""

from __future__ import annotations

import math


PLATEAU_FACTOR = 0.5
"""What the plateau schedule multiplies the learning rate by when validation no longer gets better."""
_FLOOR = 1e-3
"""The last steps' share of the highest learning rate."""


def learning_rate_at(step: int, total: int, peak: float, schedule: str, warm_up: float) -> float:
    """The learning rate of a step (0-based) of `total`: a pure function, so there is no schedule state to lose.

    `warm_up` is the share of the steps in which it rises. The plateau schedule's factor is not in it.
    Source of one-cycle: Smith and Topin 2018, "Super-Convergence", here with cosine annealing.
    """
    rise = round(warm_up * total)
    if step < rise:
        low = 0.1 if schedule == "one-cycle" else 0.0
        return peak * (low + (1 - low) * (step + 1) / rise)
    if schedule in {"one-cycle", "cosine"}:
        share = min(1.0, (step - rise) / max(1, total - rise))
        return peak * (_FLOOR + (1 - _FLOOR) * (1 + math.cos(math.pi * share)) / 2)
    return peak
