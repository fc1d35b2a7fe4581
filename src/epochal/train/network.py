"""What the networks share: the shape they are built for, and how categories enter the first layer."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from epochal.train.batch import Batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What goes in and what comes out."""

    numbers: int
    """Prepared numbers, indicators included."""
    cardinalities: tuple[int, ...]
    """Codes of each category column."""
    outputs: int
    """Classes, or 1 for a number."""

    @property
    def width(self) -> int:
        """Numbers and one-hot codes together."""
        return self.numbers + sum(self.cardinalities)


class FirstLayer(nn.Module):
    """A linear layer over numbers and one-hot categories, without ever making the ones and zeros.

    The unknown code adds nothing. Input: numbers (B, F) and codes (B, C); output (B, width).
    """

    offsets: Tensor

    def __init__(self, shape: Shape, width: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(max(1, shape.numbers + len(shape.cardinalities)))
        self.bias = nn.Parameter(torch.empty(width).uniform_(-bound, bound))
        # Without numbers it is empty and takes no part, which ranks that wait for each gradient must know.
        weight = torch.empty(width, shape.numbers).uniform_(-bound, bound)
        self.weight = nn.Parameter(weight, requires_grad=shape.numbers > 0)
        self.has_numbers = shape.numbers > 0
        self.table: nn.EmbeddingBag | None = None
        if shape.cardinalities:
            starts = [sum(shape.cardinalities[:i]) for i in range(len(shape.cardinalities))]
            self.register_buffer("offsets", torch.tensor(starts), persistent=False)
            self.table = nn.EmbeddingBag(sum(shape.cardinalities) + 1, width, mode="sum", padding_idx=0)
            with torch.no_grad():
                self.table.weight.uniform_(-bound, bound)
                self.table.weight[0] = 0

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        """Both parts, summed."""
        dense, coded = self.dense(numbers), self.coded(codes)
        return dense if coded is None else dense + coded

    def dense(self, numbers: Tensor) -> Tensor:
        """The bias, and what the numbers add: (B, width)."""
        if not self.has_numbers:
            return self.bias.repeat(len(numbers), 1)  # a copy: what comes after it may be computed in place
        return torch.addmm(self.bias, numbers, self.weight.T)

    def coded(self, codes: Tensor) -> Tensor | None:
        """What the categories add, (B, width); None where there are none."""
        if self.table is None:
            return None
        result: Tensor = self.table(torch.where(codes > 0, codes + self.offsets, 0))
        return result

    def add_gradients(self, numbers: Tensor, coded: Tensor | None, by_result: Tensor) -> None:
        """Add to the parameters' gradients what follows from one by the result. `coded` was made with autograd."""
        add_linear_gradients(self.weight if self.has_numbers else None, self.bias, numbers, by_result)
        if coded is not None:
            torch.autograd.backward(coded, by_result)


def add_linear_gradients(weight: Tensor | None, bias: Tensor, inputs: Tensor, by_result: Tensor) -> None:
    """Add to `grad` of a linear layer's parameters what follows from its inputs (B, F) and the gradient by its result."""
    if weight is not None:
        weight.grad.addmm_(by_result.T, inputs)  # type: ignore[union-attr]
    bias.grad.add_(by_result.sum(dim=0))  # type: ignore[union-attr]


OutputLoss = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Of outputs (B, K, O): each member's loss, (K,), and the gradient of what is to become less, (B, K, O)."""


@runtime_checkable
class Backpropagates(Protocol):
    """A network that knows its own gradients: on a CPU autograd's own work is up to a quarter of a small step."""

    def add_gradients(self, batch: Batch, loss: OutputLoss) -> Tensor:
        """Add to the parameters' gradients those of `loss`; returns the members' losses, (K,).

        As autograd would, from what a call in training says, and drawing as one does. The gradients must be there.
        """
