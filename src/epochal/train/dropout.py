"""ReLU and dropout in one, drawing little.

On a CPU torch's own dropout took a third of a small network's step, nearly all of it in drawing a number for each unit.
Here one drawn 64-bit number decides on four units, and the mask that drops them also holds what ReLU cuts off.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional


_STEPS = 1 << 16
"""A share is kept to one part in so many."""

_relu_backward = torch.ops.aten.threshold_backward.grad_input
"""torch's own; looked up for each step it took twice as long."""


class ReluDropout(nn.Module):
    """ReLU, then in training a share of the units set to zero and the others scaled up. Shapes stay.

    Source: Srivastava et al. 2014, "Dropout: A Simple Way to Prevent Neural Networks from Overfitting".
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self._dropped = round(share * _STEPS)
        self._scale = _STEPS / (_STEPS - self._dropped)

    def forward(self, units: Tensor) -> Tensor:
        """The units after both."""
        if not self.training or not self._dropped:
            return functional.relu_(units)
        # torch's compiler draws cheaply itself, and cannot look at drawn numbers as smaller ones.
        if units.device.type != "cpu" or torch.compiler.is_compiling():
            return functional.dropout(functional.relu(units), self._dropped / _STEPS)
        return units * self._mask(units.detach())

    def with_backward(self, units: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """The units after both, in place, and what makes a gradient by them, in place, one by the units before.

        For a CPU, in training and without autograd; what is drawn, and all figures, are those of a call.
        """
        if not self._dropped:
            after = units.relu_()
            return after, lambda by_after: _relu_backward(by_after, after, 0, grad_input=by_after)
        mask = self._mask(units)
        return units.mul_(mask), lambda by_after: by_after.mul_(mask)

    def _mask(self, units: Tensor) -> Tensor:
        """What units are multiplied by: 0 where they are not above it or dropped, else above 1."""
        # A comparison that writes numbers, then ReLU's backward pass: by way of truth values it took twice as long.
        kept = torch.ge(_random_bits(units), self._dropped - _STEPS // 2, out=torch.empty_like(units))
        mask: Tensor = _relu_backward(kept.mul_(self._scale), units, 0, grad_input=kept)
        return mask

    def extra_repr(self) -> str:
        """The share, in torch's own listing of a module."""
        return f"share={self._dropped / _STEPS:g}"


def _random_bits(units: Tensor) -> Tensor:
    """For each unit an integer, evenly from -2^15 to 2^15 - 1, from torch's generator: int16, of the same shape."""
    drawn = torch.empty(-(-units.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    return drawn.view(torch.int16)[: units.numel()].view(units.shape)
