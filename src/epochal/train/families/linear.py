"""The linear model: logistic or linear regression, trained at several strengths of l2 at once.

All strengths share each step; validation says which one the model is. They cost next to nothing together, and a search
would see the data as often.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from epochal.train.batch import Batch
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

    def forward(self, batch: Batch) -> Tensor:
        """What each strength's model says."""
        result: Tensor = self.first(batch["numbers"], batch["codes"])
        return result.view(-1, len(self.strengths), self.shape.outputs)

    def choose(self, losses_NK: Tensor) -> None:
        """Be the strongest of those that validate as well as the best: within one standard error of the difference.

        On few rows the very best is often so by chance, and a stronger pull is the safer one.
        """
        mean_K = torch.nan_to_num(losses_NK.mean(dim=0), nan=float("inf"))
        behind_NK = losses_NK - losses_NK[:, int(mean_K.argmin())].unsqueeze(1)
        error_K = behind_NK.std(dim=0, correction=0) / len(losses_NK) ** 0.5
        as_good = (behind_NK.mean(dim=0) <= error_K) & torch.isfinite(mean_K)
        self.best.fill_(int(torch.nonzero(as_good)[-1]) if as_good.any() else len(self.strengths) // 2)

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
