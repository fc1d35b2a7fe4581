"""The linear model: logistic or linear regression, trained at several strengths of l2 at once.

All strengths share each step; validation says which one the model is. They cost next to nothing together, and a search
would see the data as often.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from epochal.train.network import FirstLayer, Shape


STRENGTHS = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
"""Tried when `l2` is auto: the penalty is l2/2 times the sum of squared weights, beside the mean loss."""


class LinearHeads(nn.Module):
    """One linear model for each strength. Output: (B, strengths, outputs)."""

    strengths: Tensor
    best: Tensor

    def __init__(self, shape: Shape, strengths: tuple[float, ...]) -> None:
        super().__init__()
        self.shape = shape
        self.first = FirstLayer(shape, len(strengths) * shape.outputs)
        self.register_buffer("strengths", torch.tensor(strengths))
        self.register_buffer("best", torch.tensor(len(strengths) // 2))
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.zero_()

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        """What each strength's model says."""
        result: Tensor = self.first(numbers, codes)
        return result.view(-1, len(self.strengths), self.shape.outputs)

    def penalty(self) -> Tensor:
        """The penalty of each strength's model, to be added to its loss: shape (strengths,)."""
        squares = self.first.weight.square().sum(dim=1)
        if self.first.table is not None:
            squares = squares + self.first.table.weight.square().sum(dim=0)
        return 0.5 * self.strengths * squares.view(len(self.strengths), -1).sum(dim=1)


def build(shape: Shape, options: Mapping[str, Any], _fitted: Mapping[str, Tensor]) -> LinearHeads:
    """The module, from zero weights."""
    l2 = options["l2"]
    return LinearHeads(shape, STRENGTHS if l2 == "auto" else (float(l2),))
