"""The learner of all networks: batches by permutation from tensors in memory, AdamW, no synchronisation within a window.

Shapes: B rows of a batch, K members (strengths of a linear model, networks of an ensemble, or 1), O outputs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn
from torch.nn import functional

from epochal import fsio
from epochal.train import seeds
from epochal.train.families.linear import LinearHeads
from epochal.train.optimise import learning_rate_at, make_optimiser
from epochal.train.prepare import Dense
from epochal.train.scoring import spread_of
from epochal.train.state import Evaluation, Plan, Window


_MAX_NORM = 5.0
"""Gradients longer than this are shortened to it."""
_ROWS_AT_ONCE = 8192
"""In evaluation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """How the target stands in tensors. For numbers: (target - mean) / spread."""

    task: str
    mean: float = 0.0
    spread: float = 1.0
    weights: Tensor | None = None
    """Of each class, mean 1 over the training rows; None for equal."""

    def tensor(self, target: np.ndarray) -> Tensor:
        """Class indices (int64), or standardised numbers (float32)."""
        if self.task == "classification":
            return torch.from_numpy(target.astype(np.int64))
        return torch.from_numpy(((target - self.mean) / self.spread).astype(np.float32))


def fit_target(task: str, target: np.ndarray, num_classes: int, class_weights: str) -> Target:
    """The target's place and spread, or its classes' weights, from the training rows."""
    if task == "regression":
        return Target(task=task, mean=float(target.mean()), spread=spread_of(target))
    if class_weights != "balanced":
        return Target(task=task)
    counts = np.bincount(target, minlength=num_classes)
    weights = np.where(counts > 0, len(target) / (np.count_nonzero(counts) * np.maximum(counts, 1)), 0.0)
    return Target(task=task, weights=torch.from_numpy(weights.astype(np.float32)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensors:
    """Prepared rows with their targets, on one device."""

    numbers: Tensor
    codes: Tensor
    target: Tensor

    def __len__(self) -> int:
        return len(self.target)


def to_device(dense: Dense, target: Tensor, device: torch.device) -> Tensors:
    """Prepared rows on the device they are learnt on."""
    return Tensors(numbers=dense.numbers.to(device), codes=dense.codes.to(device), target=target.to(device))


class GradientLearner:
    """A network, its optimiser and its place in the data."""

    def __init__(
        self, *, module: nn.Module, plan: Plan, target: Target, train: Tensors, validation: Tensors | None
    ) -> None:
        self.module, self.plan, self.target = module, plan, target
        self._train, self._validation = train, validation
        self._device = train.target.device
        self._batches = num_batches(len(train), plan.batch_size)
        self._optimiser = make_optimiser(module, learning_rate=plan.learning_rate, weight_decay=plan.weight_decay)
        self._parameters = [p for p in module.parameters() if p.requires_grad]
        self._weights = None if target.weights is None else target.weights.to(self._device)
        self._best: dict[str, Tensor] | None = None
        self._epoch_rows = train
        self._epoch = -1
        self._autocast = torch.autocast(
            self._device.type, dtype=torch.bfloat16, enabled=plan.precision == "bfloat16", cache_enabled=False
        )
        self.step = 0

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one pass."""
        return self._batches

    @property
    def total_steps(self) -> int:
        """Batches in all passes."""
        return self._batches * self.plan.epochs

    @property
    def num_parameters(self) -> int:
        """Weights that are learnt."""
        return sum(p.numel() for p in self._parameters)

    def advance(self, count: int) -> Window:
        """Take at most `count` steps; stops before one whose loss or gradient is not finite."""
        count = min(count, self.total_steps - self.step)
        self.module.train()
        losses: list[Tensor] = []
        norms: list[Tensor] = []
        samples, rate = 0, self.plan.learning_rate
        healthy = True
        for _ in range(count):
            batch = self._next_batch()
            rate = learning_rate_at(self.step, self.total_steps, self.plan.learning_rate, self.plan.schedule)
            with self._autocast:
                loss_K = self._loss(self.module(batch.numbers, batch.codes), batch.target)
            total = loss_K.sum()
            if isinstance(self.module, LinearHeads):
                total = total + self.module.penalty().sum()
            self._optimiser.zero_grad(set_to_none=True)
            total.backward()  # type: ignore[no-untyped-call]
            norm = torch.nn.utils.get_total_norm([p.grad for p in self._parameters if p.grad is not None])
            if not self._take(norm, rate):
                healthy = False
                break
            losses.append(loss_K.detach())
            norms.append(norm)
            samples += len(batch)
            self.step += 1
        return self._window(losses, norms, samples, rate, healthy=healthy)

    def _next_batch(self) -> Tensors:
        """The rows of this step: a slice of the epoch's permutation, gathered once for each epoch."""
        epoch, position = divmod(self.step, self._batches)
        if epoch != self._epoch:
            rows = torch.from_numpy(seeds.order(self.plan.seed, epoch, len(self._train))).to(self._device)
            self._epoch_rows = Tensors(
                numbers=self._train.numbers.index_select(0, rows),
                codes=self._train.codes.index_select(0, rows),
                target=self._train.target.index_select(0, rows),
            )
            self._epoch = epoch
        num_rows = len(self._train)
        start, end = position * num_rows // self._batches, (position + 1) * num_rows // self._batches
        rows_of = self._epoch_rows
        return Tensors(
            numbers=rows_of.numbers[start:end], codes=rows_of.codes[start:end], target=rows_of.target[start:end]
        )

    def _loss(self, outputs_BKO: Tensor, target_B: Tensor) -> Tensor:
        """Each member's mean loss over the batch: shape (K,)."""
        members = outputs_BKO.shape[1]
        if self.target.task == "regression":
            return self._row_losses(outputs_BKO, target_B).mean(dim=0)
        if members == 1:
            return functional.cross_entropy(outputs_BKO[:, 0].float(), target_B, weight=self._weights).unsqueeze(0)
        losses_BK = self._row_losses(outputs_BKO, target_B)
        if self._weights is None:
            return losses_BK.mean(dim=0)
        weight_B = self._weights[target_B]
        return (losses_BK * weight_B.unsqueeze(1)).sum(dim=0) / weight_B.sum()

    def _row_losses(self, outputs_BKO: Tensor, target_B: Tensor) -> Tensor:
        """Each member's loss on each row, unweighted: shape (B, K)."""
        if self.target.task == "regression":
            return (outputs_BKO.squeeze(-1).float() - target_B.unsqueeze(1)).square()
        targets_BK = target_B.unsqueeze(1).expand(-1, outputs_BKO.shape[1])
        return functional.cross_entropy(outputs_BKO.transpose(1, 2).float(), targets_BK, reduction="none")

    def _take(self, norm: Tensor, rate: float) -> bool:
        """Take the step unless the gradient is not finite. On a GPU the step is skipped there, without waiting for it."""
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        if self._device.type == "cpu":
            length = float(norm)
            if not math.isfinite(length):
                return False
            if length > _MAX_NORM:
                torch._foreach_mul_(gradients, _MAX_NORM / (length + 1e-6))
        else:
            torch.nn.utils.clip_grads_with_norm_(self._parameters, _MAX_NORM, norm)
            # The fused kernel leaves weights and moments alone where this is 1.
            self._optimiser.found_inf = (~torch.isfinite(norm)).float().reshape(1)  # type: ignore[attr-defined]
        self._optimiser.step()
        return True

    def _window(self, losses: list[Tensor], norms: list[Tensor], samples: int, rate: float, *, healthy: bool) -> Window:
        """The steps' figures, read from the device once."""
        if not losses:
            return Window(
                count=0,
                loss=math.nan,
                loss_min=math.nan,
                loss_max=math.nan,
                learning_rate=rate,
                grad_norm=None,
                samples=0,
                healthy=healthy,
            )
        per_step = self._of_chosen(torch.stack(losses)).double().cpu()
        length = torch.stack(norms).double().cpu()
        finite = bool(torch.isfinite(per_step).all()) and bool(torch.isfinite(length).all())
        return Window(
            count=len(losses),
            loss=float(per_step.mean()),
            loss_min=float(per_step.min()),
            loss_max=float(per_step.max()),
            learning_rate=rate,
            grad_norm=float(length.mean()),
            samples=samples,
            healthy=healthy and finite,
        )

    def _of_chosen(self, losses_NK: Tensor) -> Tensor:
        """Of a linear model the loss of the strength that validates best; else the members' mean."""
        if isinstance(self.module, LinearHeads):
            return losses_NK[:, int(self.module.best)]
        return losses_NK.mean(dim=1)

    def evaluate(self) -> Evaluation:
        """Loss and predictions on validation; a linear model takes the strength that does best there."""
        if self._validation is None:
            return Evaluation(loss=math.nan, prediction=np.empty(0))
        outputs = forward(self.module, self._validation)
        loss_K = self._loss(outputs, self._validation.target)
        if isinstance(self.module, LinearHeads):
            self.module.choose(self._row_losses(outputs, self._validation.target))
        loss = float(self._of_chosen(loss_K.unsqueeze(0))[0])
        return Evaluation(loss=loss, prediction=prediction(self.module, self.target, outputs))

    def remember(self) -> None:
        """Keep the weights as they are as the best."""
        self._best = {name: value.detach().clone() for name, value in self.module.state_dict().items()}

    def recall(self) -> None:
        """Put the best weights back."""
        if self._best is not None:
            self.module.load_state_dict(self._best)

    def save(self, folder: Path) -> None:
        """Write weights, best weights, the optimiser by parameters' names, and the generators' states."""
        fsio.write_bytes(folder / "model.safetensors", save_tensors(_plain(self.module.state_dict())))
        if self._best is not None:
            fsio.write_bytes(folder / "best.safetensors", save_tensors(_plain(self._best)))
        moments: dict[str, Tensor] = {}
        for name, parameter in self.module.named_parameters():
            for item, value in self._optimiser.state.get(parameter, {}).items():
                moments[f"{item}:{name}"] = value
        fsio.write_bytes(folder / "optimiser.safetensors", save_tensors(_plain(moments)))
        fsio.write_bytes(folder / "random.safetensors", save_tensors(_plain(seeds.random_state(self._device))))
        fsio.write_text(folder / "learner.json", json.dumps({"step": self.step}) + "\n")

    def load(self, folder: Path) -> None:
        """Go on from what `save` wrote: the next step is the one that would have come."""
        self.module.load_state_dict(load_tensors((folder / "model.safetensors").read_bytes()))
        best = folder / "best.safetensors"
        self._best = (
            {n: t.to(self._device) for n, t in load_tensors(best.read_bytes()).items()} if best.exists() else None
        )
        moments = load_tensors((folder / "optimiser.safetensors").read_bytes())
        named: dict[str, dict[str, Tensor]] = {}
        for key, value in moments.items():
            item, name = key.split(":", 1)
            named.setdefault(name, {})[item] = value if item == "step" else value.to(self._device)
        for name, parameter in self.module.named_parameters():
            if name in named:
                self._optimiser.state[parameter] = named[name]
        seeds.set_random_state(load_tensors((folder / "random.safetensors").read_bytes()), self._device)
        self.step = int(json.loads((folder / "learner.json").read_text(encoding="utf-8"))["step"])
        self._epoch = -1

    def save_model(self, folder: Path) -> None:
        """Write the weights alone."""
        fsio.write_bytes(folder / "model.safetensors", save_tensors(_plain(self.module.state_dict())))


def num_batches(num_rows: int, batch_size: int) -> int:
    """Steps in one pass: batches of equal size (to a row), so no small last one shakes the weights."""
    return max(1, round(num_rows / batch_size))


@torch.no_grad()
def forward(module: nn.Module, rows: Tensors) -> Tensor:
    """The outputs (N, K, O) of all rows, a few thousand at a time."""
    module.eval()
    pieces = [
        module(rows.numbers[i : i + _ROWS_AT_ONCE], rows.codes[i : i + _ROWS_AT_ONCE])
        for i in range(0, len(rows.codes), _ROWS_AT_ONCE)
    ]
    return torch.cat(pieces).float()


def prediction(module: nn.Module, target: Target, outputs_NKO: Tensor) -> np.ndarray:
    """Probabilities (N, classes), or numbers (N,) in the target's unit; members' answers are averaged."""
    if isinstance(module, LinearHeads):
        outputs_NKO = outputs_NKO[:, int(module.best)].unsqueeze(1)
    if target.task == "regression":
        return np.asarray(outputs_NKO.double().mean(dim=(1, 2)).cpu().numpy() * target.spread + target.mean)
    return np.asarray(torch.softmax(outputs_NKO.double(), dim=-1).mean(dim=1).cpu().numpy())


def _plain(tensors: Mapping[str, Any]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
