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
    # One array from the beginning: answers that come one by one between a batch's tensors leave a heap full of holes.
    answers, place = np.empty(0), 0
    means = _Mean()
    for outputs, truth in kept or _outputs(module, rows):
        means.add(objective.loss(outputs, truth), objective.weight(truth))
        said = prediction(module, target, outputs)
        if not place:
            answers = np.empty((len(rows), *said.shape[1:]))
        answers[place : place + len(said)] = said
        place += len(said)
    return means.value, answers


class _Mean:
    """The batches' mean losses (K,) as one, by what each batch counts for."""

    def __init__(self) -> None:
        self._first: Tensor | None = None
        self._sum, self._weight = torch.zeros(()), torch.zeros(())
        self._count = 0

    def add(self, loss_K: Tensor, weight: Tensor) -> None:
        """Take in one batch; one of rows that do not count has no mean of its own."""
        self._count += 1
        self._first = loss_K if self._first is None else self._first
        self._sum = self._sum.to(loss_K) + torch.where(weight > 0, loss_K * weight, 0.0)
        self._weight = self._weight.to(weight) + weight

    @property
    def value(self) -> Tensor:
        """Over all batches; of a single one as it is, to the bit."""
        return self._first if self._first is not None and self._count == 1 else self._sum / self._weight


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
