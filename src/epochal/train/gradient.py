"""The learner of all networks: a module, its optimiser and its place in the data; no synchronisation within a window.

Shapes: B rows of a batch, K members (strengths of a linear model, networks of an ensemble, or 1), O outputs.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from epochal.core.errors import RunError
from epochal.train import learner_files, seeds
from epochal.train.averages import Averaged
from epochal.train.batch import Batch, num_rows, piece
from epochal.train.families.linear import LinearHeads
from epochal.train.feed import Feed, Heard, Held
from epochal.train.judging import judged, outputs_of
from epochal.train.memory import give_back, is_out_of_memory
from epochal.train.mode import told_what_is_not_exact
from epochal.train.objective import Loss, Objective, Target
from epochal.train.optimise import Optimiser
from epochal.train.scaling import LossScale
from epochal.train.schedule import PLATEAU_FACTOR, learning_rate_at
from epochal.train.state import Evaluation, Notice, Plan, Window
from epochal.train.team import SOLO, Team


@dataclass(frozen=True, slots=True)
class _Step:
    """What one batch said, still on the device."""

    losses: Tensor
    """Of each member: (K,)."""
    norm: Tensor


class GradientLearner:
    """A network while it learns.

    `rows` of each batch are computed at once; the others wait their turn and their gradients are summed, so that the
    effective batch stays what the plan says however little memory there is.
    """

    def __init__(
        self,
        *,
        module: nn.Module,
        plan: Plan,
        target: Target,
        feed: Feed,
        validation: Held | None,
        device: torch.device,
        groups: Sequence[Mapping[str, Any]] | None = None,
        own_loss: Loss | None = None,
        foreign: bool = False,
        team: Team = SOLO,
        judged_by_parts: bool = False,
    ) -> None:
        """`groups` of parameters and `own_loss` stand in place of the usual ones where a model brings its own.

        `foreign` code may draw from other generators than torch's: their state then belongs to a checkpoint. `team` shares
        each batch; with `judged_by_parts` each rank holds its own part of the validation rows.
        """
        self.module, self.plan, self.target = module, plan, target
        self._team, self._judged_by_parts = team, judged_by_parts
        self._feed, self._validation, self._device = feed, validation, device
        self._objective = Objective(target, device, plan.label_smoothing)
        self._own_loss, self._foreign = own_loss, foreign
        self._optimiser = Optimiser(module, plan, groups)
        self._scale = LossScale() if plan.precision == "float16" else None
        self._autocast = _autocast(plan.precision, device)
        self._averaged = Averaged(module, plan.ema) if plan.ema else None
        # Last, as ranks take note of the parameters where they were laid out.
        self._network = team.wrapped(_compiled(module, device) if plan.compiled else module, device)
        self._others: Sequence[bytes] = ()
        self._best: dict[str, Tensor] | None = None
        self._notices: list[Notice] = []
        self.rate_factor = 1.0
        """The plateau schedule's."""
        self.pieces = plan.accumulate
        """Into so many each batch is cut."""
        self.threads = plan.threads
        self.step = 0

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one pass."""
        return self._feed.steps_per_epoch

    @property
    def total_steps(self) -> int:
        """Batches in all passes."""
        return self._feed.steps_per_epoch * self.plan.epochs

    @property
    def num_parameters(self) -> int:
        """Weights that are learnt."""
        return self._optimiser.num_parameters

    @told_what_is_not_exact()
    def advance(self, count: int) -> Window:
        """Take at most `count` steps; stops before one whose loss or gradient is not finite.

        Raises RunError: out-of-memory when not even one row at a time can be computed, not-exact when an operation of
        the model cannot be computed as exact mode demands.
        """
        count = min(count, self.total_steps - self.step)
        self.module.train()
        losses: list[Any] = []
        norms: list[Any] = []
        samples, rate, healthy = 0, self.plan.learning_rate, True
        for _ in range(count):
            batch = self._feed.batch(self.step)
            rate = self._rate()
            found = self._gradients(batch)
            if not self._take(found.norm, rate):
                healthy = False
                break
            losses.append(self._kept(found.losses))
            norms.append(self._kept(found.norm))
            samples += num_rows(batch)
            self.step += 1
        return self._window(losses, norms, samples, rate, healthy=healthy)

    def _kept(self, figures: Tensor) -> Any:
        """A step's figures until the window ends: on a GPU where they are, on a CPU as numbers.

        A small tensor that stays of every step would split what the steps let go, and each would ask for more memory.
        """
        return figures.tolist() if self._device.type == "cpu" else figures

    def _rate(self) -> float:
        plan = self.plan
        rate = learning_rate_at(self.step, self.total_steps, plan.learning_rate, plan.schedule, plan.warm_up)
        return rate * self.rate_factor

    def _gradients(self, batch: Batch) -> _Step:
        """Loss and gradients of a batch, in smaller pieces when memory runs out: the step is then computed anew."""
        drawn = seeds.random_state(self._device)
        while True:
            self._optimiser.zero()
            try:
                return self._computed(batch)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if self._team.size > 1:
                    raise self._too_large(batch) from error
                self._smaller(batch, error)
            seeds.set_random_state(drawn, self._device)

    def _computed(self, batch: Batch) -> _Step:
        first, last = self._team.part(num_rows(batch))
        pieces = min(self.pieces, last - first)
        if pieces == self._team.size == 1:
            loss_K = self._backward(batch, 1.0)
        else:
            target = batch["target"]
            parts: list[Tensor] = []
            for i in range(pieces):
                start, end = first + i * (last - first) // pieces, first + (i + 1) * (last - first) // pieces
                whole = self._own_loss is not None  # which counts each row alike
                share = (end - start) / num_rows(batch) if whole else self._objective.share(target, start, end)
                with self._exchanged(now=i == pieces - 1):
                    parts.append(self._backward(piece(batch, start, end), share) * share)
            loss_K = torch.stack(parts).sum(dim=0)
        if self._scale is not None:
            self._optimiser.scale(1 / self._scale.scale)
        return _Step(loss_K, self._optimiser.norm())

    def _exchanged(self, *, now: bool) -> contextlib.AbstractContextManager[None]:
        """Within, gradients are averaged over the ranks with this piece, or wait for a later one."""
        if now or not isinstance(self._network, DistributedDataParallel):
            return contextlib.nullcontext()
        return self._network.no_sync()

    def _backward(self, batch: Batch, share: Tensor | float) -> Tensor:
        """Add the gradient of `share` of the loss; returns the members' losses."""
        with self._autocast:
            outputs = self._network(batch)
            if self._own_loss is not None:
                loss_K = self._own_loss(outputs, batch)
            else:
                loss_K = self._objective.loss(outputs, batch["target"], training=True)
        total = loss_K.sum() if len(loss_K) > 1 else loss_K.reshape(())
        if isinstance(self.module, LinearHeads):
            total = total + self.module.penalty().sum()
        if self.pieces > 1 or self._team.size > 1:
            # The ranks' gradients are averaged, where their shares are to be summed.
            total = total * (share * self._team.size)
        if self._scale is not None:
            total = total * self._scale.scale
        total.backward()  # type: ignore[no-untyped-call]
        return loss_K.detach()

    def _too_large(self, batch: Batch) -> RunError:
        """Ranks that wait for this one's gradients cannot wait for a second attempt."""
        first, last = self._team.part(num_rows(batch))
        rows = -(-(last - first) // self.pieces)
        return RunError(
            f"memory ran out on rank {self._team.rank} at step {self.step + 1}, {rows} rows at a time",
            where=f"step {self.step + 1}",
            fix=f"write accumulate = {2 * self.pieces} in [train]: the gradients stay those of the whole batch",
            code="out-of-memory",
        )

    def _smaller(self, batch: Batch, error: BaseException) -> None:
        """Cut batches into twice as many pieces from now on. Raises RunError when they are single rows already."""
        if self.pieces >= num_rows(batch):
            raise RunError(
                "there is not enough memory to compute a single row",
                where=f"step {self.step + 1}",
                fix="take a smaller model, or another device",
                code="out-of-memory",
            ) from error
        self.pieces = min(2 * self.pieces, num_rows(batch))
        give_back(self._device)
        rows = -(-num_rows(batch) // self.pieces)
        self._notices.append(
            Notice(
                code="out-of-memory",
                text=f"memory ran out at step {self.step + 1}: from there each batch of {num_rows(batch)} is computed "
                f"{rows} rows at a time; the gradients are those of the whole batch",
            )
        )

    def _take(self, norm: Tensor, rate: float) -> bool:
        """Take the step unless the gradient is not finite. On a GPU the step is skipped there, without waiting for it."""
        limit = self.plan.clip_norm
        if self._device.type != "cpu" and self._scale is None:
            if limit:
                self._optimiser.scale((limit / (norm + 1e-6)).clamp(max=1.0))
            self._optimiser.step(rate, skip=(~torch.isfinite(norm)).float())
        else:
            length = float(norm)
            finite = math.isfinite(length)
            if self._scale is not None and not self._scale.met(finite=finite):
                return False
            if not finite:
                return self._scale is not None
            if limit and length > limit:
                self._optimiser.scale(limit / (length + 1e-6))
            self._optimiser.step(rate)
        if self._averaged is not None:
            self._averaged.update()
        return True

    def _window(self, losses: list[Any], norms: list[Any], samples: int, rate: float, *, healthy: bool) -> Window:
        """The steps' figures, read from the device once."""
        notices, self._notices = tuple(self._notices), []
        if not losses:
            nothing = math.nan
            return Window(
                count=0,
                loss=nothing,
                loss_min=nothing,
                loss_max=nothing,
                learning_rate=rate,
                grad_norm=None,
                samples=0,
                healthy=healthy,
                notices=notices,
            )
        per_step = self._of_chosen(self._team.summed(_stacked(losses))).double().cpu()
        length = _stacked(norms).double().cpu()
        lengths = length[torch.isfinite(length)]
        finite = bool(torch.isfinite(per_step).all()) and (self._scale is not None or len(lengths) == len(length))
        return Window(
            count=len(losses),
            loss=float(per_step.mean()),
            loss_min=float(per_step.min()),
            loss_max=float(per_step.max()),
            learning_rate=rate,
            grad_norm=float(lengths.mean()) if len(lengths) else None,
            samples=samples,
            healthy=healthy and finite,
            notices=notices,
        )

    def _of_chosen(self, losses_NK: Tensor) -> Tensor:
        """Of a linear model the loss of the strength that validates best; else the members' mean."""
        if isinstance(self.module, LinearHeads):
            return losses_NK[:, int(self.module.best)]
        return losses_NK.mean(dim=1)

    @told_what_is_not_exact()
    def evaluate(self) -> Evaluation:
        """Loss and predictions on validation; a linear model takes the strength that does best there."""
        if self._validation is None:
            return Evaluation(loss=math.nan, prediction=np.empty(0))
        with self._averaged.in_place() if self._averaged is not None else contextlib.nullcontext():
            loss_K, answers = judged(
                self.module,
                self._objective,
                self.target,
                self._validation,
                own_loss=self._own_loss,
                shared_by=self._team if self._judged_by_parts else SOLO,
            )
        return Evaluation(loss=float(self._of_chosen(loss_K.unsqueeze(0))[0]), prediction=answers)

    def losses_of(self, rows: Held) -> np.ndarray:
        """The loss of each row as the model is: float64 (N,)."""
        outputs, target = outputs_of(self.module, rows)
        losses_NK = self._objective.row_losses(outputs, target)
        return np.asarray(self._of_chosen(losses_NK).double().cpu().numpy())

    def lower_rate(self) -> None:
        """Learn more slowly from now on: what the plateau schedule does."""
        self.rate_factor *= PLATEAU_FACTOR

    def use_threads(self, threads: int) -> None:
        """Compute with so many from now on, in the thread that calls."""
        self.threads = threads
        torch.set_num_threads(threads)

    def remember(self) -> None:
        """Keep the weights as they are as the best."""
        with self._averaged.in_place() if self._averaged is not None else contextlib.nullcontext():
            self._best = {name: value.detach().clone() for name, value in self.module.state_dict().items()}

    def recall(self) -> None:
        """Put the best weights back, to be evaluated and written: nothing is learnt after that."""
        if self._best is not None:
            self.module.load_state_dict(self._best)
        elif self._averaged is not None:
            self._averaged.settle()
        self._averaged = None

    def gather(self) -> None:
        """Take in what only the other ranks know, for the next save. All ranks call it."""
        drawn = seeds.random_state(self._device)
        self._others = self._team.said_by_all(learner_files.packed(drawn))[1:]

    def save(self, folder: Path) -> None:
        """Write all that the next step depends on, and the best weights."""
        learner_files.save(self._parts(), folder)

    def load(self, folder: Path) -> None:
        """Go on from what `save` wrote: the next step is the one that would have come."""
        counted = learner_files.load(self._parts(), folder)
        self._best = learner_files.load_best(folder, self._device)
        self.step, self.pieces = int(counted["step"]), int(counted["pieces"])
        self.rate_factor = float(counted["rate_factor"])
        self.use_threads(int(counted["threads"]))

    @property
    def behind(self) -> int:
        """Nothing: all that a step depends on is loaded."""
        return 0

    def catch_up(self, count: int) -> None:
        """Nothing is ever owed."""

    def hear(self, heard: Callable[[Batch], None]) -> None:
        """Have every batch told before it is computed, for who compares what two runs learn from."""
        self._feed = Heard(self._feed, heard)

    def _parts(self) -> learner_files.Parts:
        return learner_files.Parts(
            module=self.module,
            optimiser=self._optimiser,
            averaged=self._averaged,
            scale=self._scale,
            best=self._best,
            device=self._device,
            counted={
                "step": self.step,
                "pieces": self.pieces,
                "rate_factor": self.rate_factor,
                "threads": self.threads,
            },
            foreign=self._foreign,
            rank=self._team.rank,
            others=self._others,
        )

    def save_model(self, folder: Path) -> None:
        """Write the weights alone."""
        learner_files.save_weights(self.module, folder)


def _stacked(figures: list[Any]) -> Tensor:
    """The figures of several steps, as they were kept, in one tensor."""
    return torch.stack(figures) if isinstance(figures[0], Tensor) else torch.tensor(figures, dtype=torch.float64)


def _compiled(module: nn.Module, device: torch.device) -> nn.Module:
    """The module as steps call it, on a GPU with CUDA graphs. Evaluation calls it as it is: its batches have other sizes."""
    compiled: nn.Module = torch.compile(module, mode="reduce-overhead" if device.type == "cuda" else "default")  # type: ignore[assignment]
    return compiled


def _autocast(precision: str, device: torch.device) -> contextlib.AbstractContextManager[Any]:
    kinds = {"bfloat16": torch.bfloat16, "float16": torch.float16}
    if precision not in kinds:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=kinds[precision], cache_enabled=False)
