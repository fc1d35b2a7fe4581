"""The gradients of one batch: computed at once, or in pieces that are summed, and over the ranks of a team.

Shapes: B rows of a batch, K members (strengths of a linear model, networks of an ensemble, or 1).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from epochal.core.errors import RunError
from epochal.train.batch import Batch, num_rows, piece
from epochal.train.families.linear import LinearHeads
from epochal.train.network import Backpropagates
from epochal.train.objective import Objective
from epochal.train.optimise import Optimiser
from epochal.train.scaling import LossScale
from epochal.train.state import Notice
from epochal.train.team import Team


Guard = Callable[[], contextlib.AbstractContextManager[None]]
"""Makes what a person's own code, or its gradient, is computed within."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one batch said, still on the device."""

    losses: Tensor
    """Of each member: (K,)."""
    norm: Tensor


class BatchGradients:
    """Computes them, in `pieces` of each batch: the others wait their turn and their gradients are summed.

    So the effective batch stays what the plan says however little memory there is.
    """

    def __init__(
        self,
        *,
        module: nn.Module,
        network: nn.Module,
        optimiser: Optimiser,
        objective: Objective,
        own_loss: bool,
        foreign: bool,
        guard: Guard,
        scale: LossScale | None,
        autocast: contextlib.AbstractContextManager[Any],
        team: Team,
        pieces: int,
    ) -> None:
        """`network` is `module` as steps call it: compiled, or shared by the team; with `own_loss` it gives the loss.

        `foreign` code may make a loss that is no number and has a gradient which is one.
        """
        self._module, self._network, self._optimiser = module, network, optimiser
        self._objective, self._own_loss, self._foreign, self._guard = objective, own_loss, foreign, guard
        self._scale, self._autocast, self._team = scale, autocast, team
        self.pieces = pieces
        # Shared, compiled or of other numbers, the network is called as torch has it.
        plain = network is module and scale is None and isinstance(autocast, contextlib.nullcontext)
        self._by_hand = module if plain and _on_cpu(module) and isinstance(module, Backpropagates) else None

    def gradients(self, batch: Batch) -> Step:
        """The gradients of a whole batch, in place of those there were. Raises what torch does where memory runs out.

        Raises RunError (too-many-ranks) where there is not a row for each.
        """
        self._optimiser.zero()
        first, last = self._team.part(num_rows(batch))
        if num_rows(batch) < self._team.size:
            raise RunError(
                f"a batch has {num_rows(batch)} row{'s' * (num_rows(batch) != 1)} and {self._team.size} ranks share it",
                where="[train] devices",
                fix="take fewer devices, or larger batches",
                code="too-many-ranks",
            )
        pieces = min(self.pieces, last - first)
        if pieces == self._team.size == 1:
            loss_K = self._backward(batch, 1.0)
        else:
            target = batch["target"]
            parts: list[Tensor] = []
            for i in range(pieces):
                start, end = first + i * (last - first) // pieces, first + (i + 1) * (last - first) // pieces
                whole = self._own_loss  # which counts each row alike
                share = (end - start) / num_rows(batch) if whole else self._objective.share(target, start, end)
                with self._exchanged(now=i == pieces - 1):
                    parts.append(self._backward(piece(batch, start, end), share) * share)
            loss_K = torch.stack(parts).sum(dim=0)
        if self._scale is not None:
            self._optimiser.scale(1 / self._scale.scale)
        return Step(loss_K, self._optimiser.norm())

    @contextlib.contextmanager
    def by_autograd(self) -> Iterator[None]:
        """Within, a network that knows its gradients is not asked for them."""
        by_hand, self._by_hand = self._by_hand, None
        try:
            yield
        finally:
            self._by_hand = by_hand

    def _exchanged(self, *, now: bool) -> contextlib.AbstractContextManager[None]:
        """Within, gradients are averaged over the ranks with this piece, or wait for a later one."""
        if now or not isinstance(self._network, DistributedDataParallel):
            return contextlib.nullcontext()
        return self._network.no_sync()

    def _backward(self, batch: Batch, share: Tensor | float) -> Tensor:
        """Add the gradient of `share` of the loss; returns the members' losses."""
        if self._by_hand is not None:
            loss = partial(self._objective.with_gradient, target_B=batch["target"], share=share)
            return self._by_hand.add_gradients(batch, loss)
        with self._autocast:
            said: Tensor = self._network(batch)
            loss_K = said if self._own_loss else self._objective.loss(said, batch["target"], training=True)
            if self._foreign:
                # Its gradient may be a number where it is none. That ends a run, which the gradients tell every rank.
                loss_K = loss_K * (1 + 0 * loss_K.detach())
        total = loss_K.sum() if len(loss_K) > 1 else loss_K.reshape(())
        if isinstance(self._module, LinearHeads):
            total = total + self._module.penalty().sum()
        if self.pieces > 1 or self._team.size > 1:
            # The ranks' gradients are averaged, where their shares are to be summed.
            total = total * (share * self._team.size)
        if self._scale is not None:
            total = total * self._scale.scale
        with self._guard():
            total.backward()  # type: ignore[no-untyped-call]
        return loss_K.detach()

    def smaller(self, batch: Batch, step: int, error: BaseException) -> Notice:
        """Cut batches into twice as many pieces from now on; what a person is told. `step` is the one that failed.

        Raises RunError (out-of-memory) where they are single rows already, or other ranks wait for these gradients.
        """
        if self._team.size > 1:
            raise self._too_large(batch, step) from error
        if self.pieces >= num_rows(batch):
            raise RunError(
                "there is not enough memory to compute a single row",
                where=f"step {step}",
                fix="take a smaller model, or another device",
                code="out-of-memory",
            ) from error
        self.pieces = min(2 * self.pieces, num_rows(batch))
        rows = -(-num_rows(batch) // self.pieces)
        return Notice(
            code="out-of-memory",
            text=f"memory ran out at step {step}: from there each batch of {num_rows(batch)} is computed "
            f"{rows} rows at a time; the gradients are those of the whole batch",
        )

    def _too_large(self, batch: Batch, step: int) -> RunError:
        """Ranks that wait for this one's gradients cannot wait for a second attempt."""
        first, last = self._team.part(num_rows(batch))
        rows = -(-(last - first) // self.pieces)
        fix = f"write accumulate = {2 * self.pieces} in [train]: the gradients stay those of the whole batch"
        return RunError(
            f"memory ran out on rank {self._team.rank} at step {step}, {rows} row{'s' * (rows != 1)} at a time",
            where=f"step {step}",
            fix=fix if rows > 1 else "take a smaller model, or devices with more memory",
            code="out-of-memory",
        )


def _on_cpu(module: nn.Module) -> bool:
    return all(p.device.type == "cpu" for p in module.parameters())
