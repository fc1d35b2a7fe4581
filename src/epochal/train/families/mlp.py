"""The small neural network: a few layers with ReLU and dropout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from epochal.train.batch import Batch
from epochal.train.dropout import ReluDropout
from epochal.train.network import FirstLayer, Shape


class SmallNetwork(nn.Module):
    """Numbers and categories through `depth` hidden layers. Output: (B, 1, outputs)."""

    def __init__(self, shape: Shape, *, width: int, depth: int, dropout: float) -> None:
        super().__init__()
        self.first = FirstLayer(shape, width)
        layers: list[nn.Module] = [ReluDropout(dropout)]
        for _ in range(depth - 1):
            layers += [nn.Linear(width, width), ReluDropout(dropout)]
        self.rest = nn.Sequential(*layers, nn.Linear(width, shape.outputs))

    def forward(self, batch: Batch) -> Tensor:
        """What the network says."""
        result: Tensor = self.rest(self.first(batch["numbers"], batch["codes"]))
        return result.unsqueeze(1)


def build(shape: Shape, options: Mapping[str, Any], _fitted: Mapping[str, Tensor]) -> SmallNetwork:
    """The module, with fresh weights from torch's generator."""
    return SmallNetwork(shape, width=options["width"], depth=options["depth"], dropout=options["dropout"])
