"""What the networks share: the shape they are built for, and how categories enter the first layer."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn


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
        result = (
            torch.addmm(self.bias, numbers, self.weight.T)
            if self.has_numbers
            else self.bias.repeat(len(codes), 1)  # a copy: what comes after it may be computed in place
        )
        if self.table is not None:
            result = result + self.table(torch.where(codes > 0, codes + self.offsets, 0))
        return result
