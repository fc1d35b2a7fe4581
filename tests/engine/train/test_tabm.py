"""The ensemble's layer computes what the package's own computes, however many rows there are."""

from __future__ import annotations

import pytest
import torch
from tabm import LinearBatchEnsemble
from torch import Tensor

from epochal.train.families.tabm import SharedLinear


INPUTS, OUTPUTS, MEMBERS = 6, 5, 3
SETTINGS = {"k": MEMBERS, "scaling_init": "normal"}


def same_weights() -> tuple[SharedLinear, LinearBatchEnsemble]:
    """Our layer and the package's, alike; biases differ between members, which they do not when new."""
    torch.manual_seed(0)
    theirs = LinearBatchEnsemble(INPUTS, OUTPUTS, **SETTINGS)
    torch.nn.init.normal_(theirs.bias)
    ours = SharedLinear(INPUTS, OUTPUTS, **SETTINGS)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def gradients(layer: torch.nn.Module, output: Tensor) -> dict[str, Tensor]:
    """Of a loss in which each output counts differently."""
    weights = torch.arange(output.numel(), dtype=torch.float32).view(output.shape) / output.numel()
    (output * weights).sum().backward()
    return {name: value.grad for name, value in layer.named_parameters() if value.grad is not None}


@pytest.mark.parametrize("rows", [1, OUTPUTS, OUTPUTS + 1, 40])
@pytest.mark.parametrize("shared", [True, False], ids=["shared rows", "rows of each member"])
def test_outputs_and_gradients_are_those_of_the_package(rows: int, shared: bool) -> None:
    """With few rows and with many: the two ways of computing give the same."""
    ours, theirs = same_weights()
    inputs = torch.randn(rows, INPUTS) if shared else torch.randn(rows, MEMBERS, INPUTS)
    for_theirs = inputs.unsqueeze(1).expand(-1, MEMBERS, -1) if shared else inputs
    mine, package = ours(inputs), theirs(for_theirs)
    torch.testing.assert_close(mine, package)
    found, expected = gradients(ours, mine), gradients(theirs, package)
    assert set(found) == set(expected) == {"weight", "r", "s", "bias"}
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name])
