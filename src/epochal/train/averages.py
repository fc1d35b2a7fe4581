"""A running average of the weights: judged and kept in place of the last ones, which jump about.

Source: Polyak and Juditsky 1992, "Acceleration of Stochastic Approximation by Averaging"; the exponential form with a
decay that grows from small, as in Tan and Le 2019, "EfficientNet".
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn


class Averaged:
    """The average of a module's parameters. With decay d, after n steps it moves by 1 - min(d, (1 + n) / (10 + n))."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._parameters = dict(module.named_parameters())
        self.shadow = {name: p.detach().clone() for name, p in self._parameters.items()}
        self._decay = decay
        self.num_updates = 0

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after a step."""
        self.num_updates += 1
        decay = min(self._decay, (1 + self.num_updates) / (10 + self.num_updates))
        torch._foreach_lerp_(list(self.shadow.values()), [p.data for p in self._parameters.values()], 1 - decay)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Within, the module's weights are the averaged ones."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for name, parameter in self._parameters.items():
            parameter.data, self.shadow[name] = self.shadow[name], parameter.data

    def settle(self) -> None:
        """Make the averaged weights the module's for good."""
        self._swap()

    def load(self, shadow: dict[str, Tensor], num_updates: int) -> None:
        """Go on from a saved average."""
        for name, value in self.shadow.items():
            value.copy_(shadow[name])
        self.num_updates = num_updates
