"""The small neural network: a few layers with ReLU and dropout."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from epochal.train.batch import Batch
from epochal.train.dropout import ReluDropout
from epochal.train.network import FirstLayer, OutputLoss, Shape, add_linear_gradients


class SmallNetwork(nn.Module):
    """Numbers and categories through `depth` hidden layers. Output: (B, 1, outputs)."""

    def __init__(self, shape: Shape, *, width: int, depth: int, dropout: float) -> None:
        super().__init__()
        self.first = FirstLayer(shape, width)
        linear = [nn.Linear(width, width) for _ in range(depth - 1)] + [nn.Linear(width, shape.outputs)]
        self._layers = [(ReluDropout(dropout), layer) for layer in linear]
        """The same as `rest`, in pairs."""
        self.rest = nn.Sequential(*itertools.chain.from_iterable(self._layers))

    def forward(self, batch: Batch) -> Tensor:
        """What the network says."""
        result: Tensor = self.rest(self.first(batch["numbers"], batch["codes"]))
        return result.unsqueeze(1)

    @torch.no_grad()
    def add_gradients(self, batch: Batch, loss: OutputLoss) -> Tensor:
        """As `Backpropagates` says.

        Source: Rumelhart et al. 1986, "Learning representations by back-propagating errors", equations 4 to 7.
        """
        with torch.enable_grad():
            coded = self.first.coded(batch["codes"])
        units = self.first.dense(batch["numbers"])
        if coded is not None:
            units = coded.detach().add_(units)  # in its place, as it is held until the end
        passed: list[tuple[nn.Linear, Tensor, Callable[[Tensor], Tensor]]] = []
        for activation, layer in self._layers:
            units, back = activation.with_backward(units)
            passed.append((layer, units, back))
            units = torch.addmm(layer.bias, units, layer.weight.T)
        loss_K, by_outputs = loss(units.unsqueeze(1))
        by_units = by_outputs.squeeze(1)
        for layer, inputs, back in reversed(passed):
            add_linear_gradients(layer.weight, layer.bias, inputs, by_units)
            by_units = back(by_units @ layer.weight)
        self.first.add_gradients(batch["numbers"], coded, by_units)
        return loss_K


def build(shape: Shape, options: Mapping[str, Any], _fitted: Mapping[str, Tensor]) -> SmallNetwork:
    """The module, with fresh weights from torch's generator."""
    return SmallNetwork(shape, width=options["width"], depth=options["depth"], dropout=options["dropout"])
