"""What a network says of rows, batch by batch: of those it is judged by its answers are held, never its inputs.

Shapes: B rows of a batch, N of all, K members (strengths of a linear model, networks of an ensemble, or 1), O outputs.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from epochal.train.batch import Batch, num_rows, piece
from epochal.train.families.linear import LinearHeads
from epochal.train.feed import Held
from epochal.train.objective import Loss, Objective, Target
from epochal.train.team import SOLO, Team


_KEPT_ROWS = 1 << 16
"""A linear model's outputs are kept for so many rows, until its strength is known; of more they are computed again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """What was said of one batch."""

    outputs: Tensor
    """(B, K, O)."""
    target: Tensor
    """(B,); empty for rows without."""
    rows: Tensor | None = None
    """Which rows these are, where batches may come in any order."""
    own_loss: Tensor | None = None
    """(1,): where the model brings its own."""


@dataclass(slots=True)
class AtOnce:
    """How many rows are computed at once."""

    rows: int = 0
    """At most; 0 for a batch as it comes."""
    most: int = 0
    """That were."""

    def pieces(self, batch: Batch) -> Iterator[Batch]:
        """A batch, cut where it is larger."""
        count = num_rows(batch)
        size = min(self.rows or count, count)
        self.most = max(self.most, size)
        if size == count:
            yield batch
            return
        for start in range(0, count, size):
            yield piece(batch, start, start + size)


@torch.no_grad()
def judged(
    module: nn.Module,
    objective: Objective,
    target: Target,
    rows: Held,
    *,
    own_loss: Loss | None = None,
    at_once: AtOnce | None = None,
    shared_by: Team = SOLO,
) -> tuple[Tensor, np.ndarray]:
    """Each member's loss, shape (K,), and the answers: probabilities (N, classes), or numbers (N,).

    `own_loss` stands in place of the objective's. Ranks that each hold a part of the rows judge all of them. A linear
    model first takes the strength that does best.
    """
    kept: Sequence[_Said] | None = None
    at_once = at_once or AtOnce()
    count = len(rows)
    if shared_by.size > 1:
        kept = [_joined(list(_said(module, rows, at_once)), shared_by)]
        count = len(kept[0].outputs)
    if isinstance(module, LinearHeads):
        kept = list(_said(module, rows, at_once)) if kept is None and count <= _KEPT_ROWS else kept
        seen = kept or _said(module, rows, at_once)
        module.choose(torch.cat([objective.row_losses(s.outputs, s.target) for s in seen]))
    # One array from the beginning: answers that come one by one between a batch's tensors leave a heap full of holes.
    answers, place = np.empty(0), 0
    means = _Mean()
    for said in kept or _said(module, rows, at_once, own_loss):
        if said.own_loss is None:
            means.add(objective.loss(said.outputs, said.target), objective.weight(said.target))
        else:
            means.add(said.own_loss.double(), torch.tensor(float(len(said.outputs)), dtype=torch.float64))
        found = prediction(module, target, said.outputs)
        if not place:
            answers = np.empty((count, *found.shape[1:]))
        answers[slice(place, place + len(found)) if said.rows is None else said.rows.cpu().numpy()] = found
        place += len(found)
    return means.value, answers


def _joined(parts: Sequence[_Said], team: Team) -> _Said:
    """What all ranks said, as one."""
    outputs, target = torch.cat([s.outputs for s in parts]), torch.cat([s.target for s in parts])
    return _Said(outputs=team.joined(outputs), target=team.joined(target))


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
        weight = weight.to(loss_K.device)
        self._sum = self._sum.to(loss_K) + torch.where(weight > 0, loss_K * weight, 0.0)
        self._weight = self._weight.to(weight) + weight

    @property
    def value(self) -> Tensor:
        """Over all batches; of a single one as it is, to the bit."""
        return self._first if self._first is not None and self._count == 1 else self._sum / self._weight


@torch.no_grad()
def _said(module: nn.Module, rows: Held, at_once: AtOnce, own_loss: Loss | None = None) -> Iterator[_Said]:
    """What the module says of each batch, or piece of one."""
    module.eval()
    for batch in itertools.chain.from_iterable(map(at_once.pieces, rows.batches())):
        outputs = module(batch).float()
        yield _Said(
            outputs=outputs,
            target=batch.get("target", torch.empty(0)),
            rows=batch.get("rows"),
            own_loss=None if own_loss is None else own_loss(outputs, batch),
        )


def outputs_of(module: nn.Module, rows: Held, at_once: AtOnce | None = None) -> tuple[Tensor, Tensor]:
    """The outputs (N, K, O) of all rows in their order, and their targets (N,), which may be empty.

    Batches that say by `rows` which rows they hold may come in any order.
    """
    said = list(_said(module, rows, at_once or AtOnce()))
    outputs, target = torch.cat([s.outputs for s in said]), torch.cat([s.target for s in said])
    places = [s.rows for s in said if s.rows is not None]
    if not places:
        return outputs, target
    order = torch.argsort(torch.cat(places))
    return outputs[order], target[order] if len(target) else target


def prediction(module: nn.Module, target: Target, outputs_NKO: Tensor) -> np.ndarray:
    """Probabilities (N, classes), or numbers (N,) in the target's unit."""
    if isinstance(module, LinearHeads):
        outputs_NKO = outputs_NKO[:, int(module.best)].unsqueeze(1)
    return target.answers(outputs_NKO)
