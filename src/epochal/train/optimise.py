"""The optimiser and the learning rate of every step."""

from __future__ import annotations

import math

import torch
from torch import nn


_WARM_UP = 0.1
"""Share of the steps in which the one-cycle schedule rises."""
_WARM_UP_STEPS = 50
"""Steps in which the other schedules rise, or a tenth of all if that is less."""
_FLOOR = 1e-3
"""The last steps' share of the highest learning rate."""


def learning_rate_at(step: int, total: int, peak: float, schedule: str) -> float:
    """The learning rate of a step (0-based) of `total`: a pure function, so there is no schedule state to lose."""
    if schedule == "one-cycle":
        rise = max(1, round(_WARM_UP * total))
        if step < rise:
            return peak * (0.1 + 0.9 * (step + 1) / rise)
        return _cosine(peak, (step - rise) / max(1, total - rise))
    rise = max(1, min(_WARM_UP_STEPS, total // 10))
    if step < rise:
        return peak * (step + 1) / rise
    return _cosine(peak, (step - rise) / max(1, total - rise)) if schedule == "cosine" else peak


def _cosine(peak: float, share: float) -> float:
    return peak * (_FLOOR + (1 - _FLOOR) * (1 + math.cos(math.pi * min(1.0, share))) / 2)


def make_optimiser(module: nn.Module, *, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW, fused; biases, scalings and embeddings are not decayed."""
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for name, parameter in module.named_parameters():
        (decayed if name.endswith("weight") and parameter.ndim > 1 and "num_module" not in name else free).append(
            parameter
        )
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=learning_rate, fused=True)
