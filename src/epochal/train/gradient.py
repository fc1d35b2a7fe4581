"""The learner of all networks: a module, its optimiser and its place in the data; no synchronisation within a window.

Shapes: B rows of a batch, K members (strengths of a linear model, networks of an ensemble, or 1), O outputs.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from epochal.core.errors import RunError
from epochal.train import learner_files
from epochal.train.averages import Averaged
from epochal.train.batch import Batch, num_rows
from epochal.train.batch_gradients import BatchGradients, Guard, Step
from epochal.train.families.linear import LinearHeads
from epochal.train.feed import Feed, Heard, Held
from epochal.train.judging import AtOnce, judged, outputs_of
from epochal.train.memory import Changing, as_it_is, beside_weights, give_back, is_out_of_memory, until_it_fits
from epochal.train.mode import told_what_is_not_exact
from epochal.train.objective import Loss, Objective, Target
from epochal.train.optimise import Optimiser
from epochal.train.scaling import LossScale
from epochal.train.schedule import PLATEAU_FACTOR, learning_rate_at
from epochal.train.state import Evaluation, Notice, Plan, Window
from epochal.train.team import SOLO, Team


T = TypeVar("T")


class GradientLearner:
    """A network while it learns."""

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
        guard: Guard = contextlib.nullcontext,
        team: Team = SOLO,
        judged_by_parts: bool = False,
        waits: bool | None = None,
    ) -> None:
        """`groups` of parameters and `own_loss` stand in place of the usual ones where a model brings its own.

        `foreign` code may draw from other generators than torch's: their state then belongs to a checkpoint. Its gradients
        are computed within `guard`, which tells what fails there. `team` shares each batch; with `judged_by_parts` each
        rank holds its own part of the validation rows. It `waits` for what a step said before the next one where that
        costs nothing: on a CPU, unless told.
        """
        self.module, self.plan, self.target = module, plan, target
        self._team, self._judged_by_parts = team, judged_by_parts
        self._feed, self._validation, self._device = feed, validation, device
        self._objective = Objective(target, device, plan.label_smoothing)
        self._own_loss, self._foreign = own_loss, foreign
        self._changing = Changing(module) if foreign else None
        self._optimiser = Optimiser(module, plan, groups)
        self._scale = LossScale() if plan.precision == "float16" else None
        self._averaged = Averaged(module, plan.ema) if plan.ema else None
        # Last, as ranks take note of the parameters where they were laid out.
        self._batches = BatchGradients(
            module=module,
            network=team.wrapped(_called(module, own_loss, device, compiled=plan.compiled), device),
            optimiser=self._optimiser,
            objective=self._objective,
            own_loss=own_loss is not None,
            foreign=foreign or own_loss is not None,
            guard=guard,
            scale=self._scale,
            autocast=_autocast(plan.precision, device),
            team=team,
            pieces=plan.accumulate,
        )
        # Scaled losses are looked at anyway.
        self._waits = (device.type == "cpu" if waits is None else waits) or self._scale is not None
        self._ended = torch.zeros((), device=device)
        """1 once a step was no number, where nobody waits: then none is taken any more."""
        self._others: Sequence[bytes] = ()
        self._undo: Callable[[], None] = lambda: None
        """Takes back what computing the last gradients changed beside them."""
        self._best: dict[str, Tensor] | None = None
        self._infinite_at_first = _not_finite(module)
        """As in a mask, by name."""
        self._notices: list[Notice] = []
        self._at_once = AtOnce()
        """In evaluations."""
        self.rate_factor = 1.0
        """The plateau schedule's."""
        self.threads = plan.threads
        self.step = 0

    @property
    def pieces(self) -> int:
        """Into so many each batch is cut."""
        return self._batches.pieces

    @pieces.setter
    def pieces(self, pieces: int) -> None:
        self._batches.pieces = pieces

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
        samples: list[int] = []
        rate, healthy = self.plan.learning_rate, True
        for _ in range(count):
            batch = self._feed.batch(self.step)
            rate = self._rate()
            found = self._scaled(batch)
            if found is None or not self._take(found.norm, rate):
                self._undo()
                healthy = False
                break
            losses.append(self._kept(found.losses))
            norms.append(self._kept(found.norm))
            samples.append(num_rows(batch))
            self.step += 1
        return self._window(losses, norms, samples, rate, healthy=healthy)

    def _scaled(self, batch: Batch) -> Step | None:
        """The gradients of a batch; in float16 at a scale at which they are numbers, None where no scale will help.

        An attempt at too large a scale is no step: neither the learning rate nor the rows move on.
        """
        while True:
            found = self._gradients(batch)
            if self._scale is None:
                return found
            finite = math.isfinite(float(found.norm))
            if not self._scale.met(finite=finite):
                return None
            if finite:
                return found
            self._undo()

    def _kept(self, figures: Tensor) -> Any:
        """A step's figures until the window ends: where they are, or as numbers where it was waited for them.

        A small tensor that stays of every step would split what the steps let go, and each would ask for more memory.
        """
        return figures.tolist() if self._waits else figures

    def _rate(self) -> float:
        plan = self.plan
        rate = learning_rate_at(self.step, self.total_steps, plan.learning_rate, plan.schedule, plan.warm_up)
        return rate * self.rate_factor

    def _gradients(self, batch: Batch) -> Step:
        """Loss and gradients of a batch, in smaller pieces when memory runs out: the step is then computed anew."""

        def smaller(error: BaseException) -> None:
            self._notices.append(self._batches.smaller(batch, self.step + 1, error))

        self._undo = self._as_it_is(smaller)
        return until_it_fits(lambda: self._batches.gradients(batch), smaller, device=self._device, undo=self._undo)

    def _as_it_is(self, smaller: Callable[[BaseException], None]) -> Callable[[], None]:
        """What takes back what computing changes. It takes memory too: where there is none, all that follows is cut."""
        return until_it_fits(
            lambda: as_it_is(self._device, self._changing), smaller, device=self._device, undo=lambda: None
        )

    def _take(self, norm: Tensor, rate: float) -> bool:
        """Take the step unless the gradient is not finite; without waiting, it and all after it are left out there."""
        limit = self.plan.clip_norm
        if not self._waits:
            if limit:
                self._optimiser.scale((limit / (norm + 1e-6)).clamp(max=1.0))
            self._ended = torch.maximum(self._ended, (~torch.isfinite(norm)).float())
            self._optimiser.step(rate, skip=self._ended)
        else:
            length = float(norm)
            if not math.isfinite(length):
                return False
            if limit and length > limit:
                self._optimiser.scale(limit / (length + 1e-6))
            self._optimiser.step(rate)
        # What a step changed beside the weights, as the statistics of a batch norm, is another on each rank.
        self._follow()
        if self._averaged is not None:
            self._averaged.update()
        return True

    @torch.no_grad()
    def _follow(self) -> None:
        if self._team.size > 1 and self._changing is not None:
            kept = [(name, v) for name, v in beside_weights(self.module) if v.layout is torch.strided]
            flags = [self._changing.may_change(name, v) for name, v in kept]
            # What holds a rank's own rows, and may be of any length, is its own.
            moving = self._team.moving(flags, [v.numel() * v.element_size() for _, v in kept])
            self._team.follow([v for (_, v), moves in zip(kept, moving, strict=True) if moves])

    def _window(self, losses: list[Any], norms: list[Any], samples: list[int], rate: float, *, healthy: bool) -> Window:
        """The steps' figures, read from the device once; those that were not taken any more are none."""
        notices, self._notices = tuple(self._notices), []
        length = _stacked(norms).double().cpu() if norms else torch.empty(0)
        taken = int(torch.isfinite(length).long().cumprod(dim=0).sum())
        self.step -= len(losses) - taken
        healthy = healthy and taken == len(losses)
        if not taken:
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
        per_step = self._of_chosen(self._team.summed(_stacked(losses[:taken]))).double().cpu()
        return Window(
            count=taken,
            loss=float(per_step.mean()),
            loss_min=float(per_step.min()),
            loss_max=float(per_step.max()),
            learning_rate=rate,
            grad_norm=float(length[:taken].mean()),
            samples=sum(samples[:taken]),
            healthy=healthy and bool(torch.isfinite(per_step).all()),
            losses=per_step.tolist(),
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
        rows = self._validation
        with self._averaged.in_place() if self._averaged is not None else contextlib.nullcontext():
            loss_K, answers = self._within_memory(
                lambda: judged(
                    self.module,
                    self._objective,
                    self.target,
                    rows,
                    own_loss=self._own_loss,
                    at_once=self._at_once,
                    shared_by=self._team if self._judged_by_parts else SOLO,
                )
            )
        self._follow()
        said, self._notices = tuple(self._notices), []
        return Evaluation(loss=float(self._of_chosen(loss_K.unsqueeze(0))[0]), prediction=answers, notices=said)

    def losses_of(self, rows: Held) -> np.ndarray:
        """The loss of each row as the model is: float64 (N,)."""
        outputs, target = self._within_memory(lambda: outputs_of(self.module, rows, self._at_once))
        losses_NK = self._objective.row_losses(outputs, target)
        return np.asarray(self._of_chosen(losses_NK).double().cpu().numpy())

    def _within_memory(self, compute: Callable[[], T]) -> T:
        """What is said of many rows, computed anew with half as many at once while memory runs out.

        Raises RunError (out-of-memory) where one row is too much, or where other ranks wait for this one's answers.
        """
        before = self._at_once.rows

        def attempt() -> T:
            self._at_once.most = 0
            return compute()

        undo = self._as_it_is(self._fewer_at_once)
        found = until_it_fits(attempt, self._fewer_at_once, device=self._device, undo=undo)
        if self._at_once.rows != before:
            text = f"memory ran out when the model was judged at step {self.step}: from there {self._at_once.rows} rows"
            self._notices.append(Notice(code="out-of-memory", text=f"{text} are judged at once"))
        return found

    def _fewer_at_once(self, error: BaseException) -> None:
        """Judge half as many rows at once from now on. Raises RunError where that cannot be."""
        most = min(self._at_once.most, self._at_once.rows or self._at_once.most)
        if most <= 1 or self._team.size > 1:
            rank = f" on rank {self._team.rank}" if self._team.size > 1 else ""
            rows = f", {most} row{'s' * (most != 1)} at once" if most else ""
            raise RunError(
                f"memory ran out{rank} when the model was judged{rows}",
                where=f"the evaluation at step {self.step}",
                fix="take a smaller model"
                + (", or one device: there fewer rows are judged at once" if rank else ", or another device"),
                code="out-of-memory",
            ) from error
        self._at_once.rows = most // 2

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
            self._best = self._copied_weights()

    def _copied_weights(self) -> dict[str, Tensor]:
        """All weights and buffers, on the CPU where the device has no room for them."""
        weights = {name: value.detach() for name, value in self.module.state_dict().items()}
        try:
            return {name: value.clone() for name, value in weights.items()}
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or self._device.type == "cpu":
                raise
        give_back(self._device)
        return {name: value.to("cpu", copy=True) for name, value in weights.items()}

    def recall(self) -> None:
        """Put the best weights back, to be evaluated and written: nothing is learnt after that."""
        if self._best is not None:
            self.module.load_state_dict(self._best)
        elif self._averaged is not None:
            self._averaged.settle()
        self._averaged = None

    def gather(self) -> None:
        """Take in what only the other ranks know, for the next save. All ranks call it."""
        drawn = learner_files.drawn_from(self._device, foreign=self._foreign)
        self._others = self._team.said_by_all(drawn)[1:]

    def save(self, folder: Path) -> None:
        """Write all that the next step depends on, and the best weights."""
        learner_files.save(self._parts(), folder)

    def load(self, folder: Path) -> None:
        """Go on from what `save` wrote: the next step is the one that would have come."""
        counted = learner_files.load(self._parts(), folder)
        self._best = learner_files.load_best(folder)
        self.step, self.pieces = int(counted["step"]), int(counted["pieces"])
        self.rate_factor = float(counted["rate_factor"])
        self._at_once.rows = int(counted.get("judged_at_once", 0))
        self.use_threads(int(counted["threads"]))

    @property
    def intact(self) -> bool:
        """Whether all weights and buffers are numbers, and nothing was drawn or averaged since for steps not taken."""
        if bool(self._ended):
            return False
        now = _not_finite(self.module)
        return all(count <= self._infinite_at_first.get(name, 0) for name, count in now.items())

    @property
    def behind(self) -> int:
        """Nothing: all that a step depends on is loaded."""
        return 0

    def catch_up(self, count: int) -> None:
        """Nothing is ever owed."""

    def by_autograd(self) -> contextlib.AbstractContextManager[None]:
        """Within, autograd computes all gradients, so that what it keeps for them can be seen."""
        return self._batches.by_autograd()

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
                "judged_at_once": self._at_once.rows,
                "threads": self.threads,
            },
            foreign=self._foreign,
            rank=self._team.rank,
            others=self._others,
        )

    def release(self) -> None:
        """Let go of the rows it learns from."""
        self._feed.release()

    def save_model(self, folder: Path) -> None:
        """Write the weights alone."""
        learner_files.save_weights(self.module, folder)


def _not_finite(module: nn.Module) -> dict[str, int]:
    """Of the weights and buffers that are saved, those that are not numbers throughout, and in how many places."""
    floats = {name: value for name, value in module.state_dict().items() if value.is_floating_point()}
    found = {name: int((~torch.isfinite(value)).sum()) for name, value in floats.items()}
    return {name: count for name, count in found.items() if count}


def _stacked(figures: list[Any]) -> Tensor:
    """The figures of several steps, as they were kept, in one tensor."""
    return torch.stack(figures) if isinstance(figures[0], Tensor) else torch.tensor(figures, dtype=torch.float64)


class _WithLoss(nn.Module):
    """A module that gives a batch's loss by its model's own: ranks hear of all parameters that it depends on."""

    def __init__(self, network: nn.Module, loss: Loss) -> None:
        super().__init__()
        self.network, self._loss = network, loss

    def forward(self, batch: Batch) -> Tensor:
        """(1,)."""
        return self._loss(self.network(batch), batch)


def _called(module: nn.Module, own_loss: Loss | None, device: torch.device, *, compiled: bool) -> nn.Module:
    """The module as a step calls it: for outputs (B, K, O), or for the loss where it brings its own."""
    network = _compiled(module, device) if compiled else module
    return network if own_loss is None else _WithLoss(network, own_loss)


def _compiled(module: nn.Module, device: torch.device) -> nn.Module:
    """The module as steps call it, on a GPU with CUDA graphs. Evaluation calls it as it is: its batches have other sizes."""
    compiled: nn.Module = torch.compile(module, mode="reduce-overhead" if device.type == "cuda" else "default")  # type: ignore[assignment]
    return compiled


def _autocast(precision: str, device: torch.device) -> contextlib.AbstractContextManager[Any]:
    kinds = {"bfloat16": torch.bfloat16, "float16": torch.float16}
    if precision not in kinds:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=kinds[precision], cache_enabled=False)
