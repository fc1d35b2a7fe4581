"""The network families by name: how each is fitted, built and set by default."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from epochal.train.families import linear, mlp, tabm
from epochal.train.network import Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a family learns where nobody says how."""

    learning_rate: float
    weight_decay: float
    steps: int
    """Optimiser steps after which it has mostly learnt what it can on a small table."""
    epochs: tuple[int, int]
    """Fewest and most passes that "auto" takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkFamily(Pace):
    """One family whose members learn by gradients."""

    build: Callable[[Shape, Mapping[str, Any], Mapping[str, Tensor]], nn.Module]
    fit: Callable[[Tensor, Mapping[str, Any]], dict[str, Tensor]] | None = None
    """What the family takes from the prepared training numbers beside its weights."""


OWN_NETWORK = Pace(learning_rate=0.001, weight_decay=0.01, steps=3000, epochs=(15, 120))
"""What "auto" becomes for a model of a person's own, of which nothing is known."""

NETWORKS: dict[str, NetworkFamily] = {
    "linear": NetworkFamily(build=linear.build, learning_rate=0.02, weight_decay=0.0, steps=2000, epochs=(20, 200)),
    "mlp": NetworkFamily(build=mlp.build, learning_rate=0.001, weight_decay=0.01, steps=3000, epochs=(15, 120)),
    "tabm": NetworkFamily(
        build=tabm.build, learning_rate=0.002, weight_decay=0.01, steps=3000, epochs=(15, 120), fit=tabm.fit
    ),
}
