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
    """The average of a module's weights, as far as they are learnt. With decay d, after n steps it moves by 1 - min(d, (1 + n) / (10 + n)).

    Buffers that are numbers, such as the statistics of a batch norm, are averaged with them: they belong to those weights.
    What is infinite in one, as in a mask, is taken as it stands.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        kept = module.state_dict().keys()
        self._module, self._decay = module, decay
        self._parameters = {n: p for n, p in module.named_parameters() if p.requires_grad}
        self._buffers = [n for n, b in module.named_buffers() if b.is_floating_point() and n in kept]
        self.shadow = {name: value.detach().clone() for name, value in self._values().items()}
        self.num_updates = 0

    def _values(self) -> dict[str, Tensor]:
        """Buffers are looked up anew: a module may put other tensors in their place."""
        return {**self._parameters, **{name: self._module.get_buffer(name) for name in self._buffers}}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after a step."""
        self.num_updates += 1
        decay = min(self._decay, (1 + self.num_updates) / (10 + self.num_updates))
        weights = [self.shadow[name] for name in self._parameters]
        torch._foreach_lerp_(weights, [p.data for p in self._parameters.values()], 1 - decay)
        for name in self._buffers:
            value, average = self._module.get_buffer(name), self.shadow[name]
            between = torch.lerp(average, value, 1 - decay)
            average.copy_(torch.where(torch.isfinite(between), between, value))

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Within, the module's weights are the averaged ones."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for name, value in self._values().items():
            value.data, self.shadow[name] = self.shadow[name], value.data

    def settle(self) -> None:
        """Make the averaged weights the module's for good."""
        self._swap()

    def load(self, shadow: dict[str, Tensor], num_updates: int) -> None:
        """Go on from a saved average."""
        for name, value in self.shadow.items():
            value.copy_(shadow[name])
        self.num_updates = num_updates
