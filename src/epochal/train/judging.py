"""What a network says of rows, batch by batch: of those it is judged by its answers are held, never its inputs.

Shapes: B rows of a batch, N of all, K members (strengths of a linear model, networks of an ensemble, or 1), O outputs.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from epochal.train.families.linear import LinearHeads
from epochal.train.feed import Held
from epochal.train.objective import Objective, Target


_KEPT_ROWS = 1 << 16
"""A linear model's outputs are kept for so many rows, until its strength is known; of more they are computed again."""


def judged(module: nn.Module, objective: Objective, target: Target, rows: Held) -> tuple[Tensor, np.ndarray]:
    """Each member's loss, shape (K,), and the answers: probabilities (N, classes), or numbers (N,).

    A linear model first takes the strength that does best.
    """
    kept: list[tuple[Tensor, Tensor]] | None = None
    if isinstance(module, LinearHeads):
        kept = list(_outputs(module, rows)) if len(rows) <= _KEPT_ROWS else None
        module.choose(torch.cat([objective.row_losses(o, truth) for o, truth in kept or _outputs(module, rows)]))
    losses: list[Tensor] = []
    weights: list[Tensor] = []
    answers: list[np.ndarray] = []
    for outputs, truth in kept or _outputs(module, rows):
        losses.append(objective.loss(outputs, truth))
        weights.append(objective.weight(truth))
        answers.append(prediction(module, target, outputs))
    return _mean(losses, weights), np.concatenate(answers)


def _mean(losses: list[Tensor], weights: list[Tensor]) -> Tensor:
    """The batches' mean losses (K,) as one, by what each batch counts for."""
    if len(losses) == 1:
        return losses[0]
    weight_N1 = torch.stack(weights).unsqueeze(1)
    # A batch of rows that do not count has no mean of its own.
    return torch.where(weight_N1 > 0, torch.stack(losses) * weight_N1, 0.0).sum(dim=0) / weight_N1.sum()


@torch.no_grad()
def _outputs(module: nn.Module, rows: Held) -> Iterator[tuple[Tensor, Tensor]]:
    """The outputs (B, K, O) of each batch, and its targets (B,); none for rows without."""
    module.eval()
    for batch in rows.batches():
        yield module(batch).float(), batch.get("target", torch.empty(0))


def outputs_of(module: nn.Module, rows: Held) -> Tensor:
    """The outputs (N, K, O) of all rows, which may have no targets."""
    return torch.cat([outputs for outputs, _ in _outputs(module, rows)])


def prediction(module: nn.Module, target: Target, outputs_NKO: Tensor) -> np.ndarray:
    """Probabilities (N, classes), or numbers (N,) in the target's unit."""
    if isinstance(module, LinearHeads):
        outputs_NKO = outputs_NKO[:, int(module.best)].unsqueeze(1)
    return target.answers(outputs_NKO)
