"""A neural additive model: each input says by itself how much it speaks for each class, and the answer is the sum.

After Agarwal et al. 2021, "Neural Additive Models: Interpretable Machine Learning with Neural Nets".
Shapes: B rows, F numbers, C categories, W hidden units, O outputs (classes, or 1 for a number).
"""

import torch
from torch import nn
from torch.nn import functional

from epochal.train.own import OptimiserSettings, Spec


class Additive(nn.Module):
    """A small network for each number, a table for each category."""

    def __init__(self, spec: Spec, width: int = 16, penalty: float = 0.01) -> None:
        super().__init__()
        self.spec, self.penalty = spec, penalty
        self.slope = nn.Parameter(torch.randn(spec.numbers, width))
        self.shift = nn.Parameter(torch.randn(spec.numbers, width))
        self.weight = nn.Parameter(torch.randn(spec.numbers, width, spec.outputs) / width)
        self.tables = nn.ModuleList(nn.Embedding(codes, spec.outputs) for codes in spec.cardinalities)
        self.bias = nn.Parameter(torch.zeros(spec.outputs))

    def parts(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """What each input says: (B, F + C, O)."""
        hidden = torch.relu(batch["numbers"].unsqueeze(2) * self.slope + self.shift)
        numbers = torch.einsum("bfw,fwo->bfo", hidden, self.weight)
        categories = [table(batch["codes"][:, i]).unsqueeze(1) for i, table in enumerate(self.tables)]
        return torch.cat([numbers, *categories], dim=1)

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Logits of the classes, or standardised numbers: (B, O)."""
        return self.parts(batch).sum(dim=1) + self.bias

    def loss(self, output: torch.Tensor, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """The usual loss, and a pull towards saying little: inputs that tell nothing fall silent."""
        if self.spec.classes:
            usual = functional.cross_entropy(output, batch["target"])
        else:
            usual = functional.mse_loss(output, batch["target"])
        return usual + self.penalty * self.parts(batch).square().mean()

    def parameter_groups(self, settings: OptimiserSettings) -> list[dict]:
        """Weights are held small; where a unit begins and the bias are free."""
        return [
            {"params": [self.slope, self.weight, *self.tables.parameters()], "weight_decay": settings.weight_decay},
            {"params": [self.shift, self.bias], "weight_decay": 0.0},
        ]
