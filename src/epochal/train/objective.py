"""What a network is taught by: the target as it stands in tensors, and the loss.

Shapes: B rows of a batch, K members (strengths of a linear model, networks of an ensemble, or 1), O outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from epochal.train.batch import Batch
from epochal.train.scoring import spread_of


_WIDE, _MANY = 16, 1_500
"""Classes, and outputs in all. torch's softmax on a CPU works on registers of 8 or 16 classes of a row: fewer take it longer
than where rows lie beside each other (7 classes of 512 rows 53 µs against 4), unless turning them takes longer still."""

Loss = Callable[[Tensor, Batch], Tensor]
"""A model's own loss: the mean over a batch's rows, shape (1,), of outputs (B, 1, O)."""


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

    def answers(self, outputs_NKO: Tensor) -> np.ndarray:
        """Probabilities (N, classes), or numbers (N,) in the target's unit; members' answers are averaged."""
        if self.task == "regression":
            return np.asarray(outputs_NKO.double().mean(dim=(1, 2)).cpu().numpy() * self.spread + self.mean)
        # Row by row: across rows the last few would be rounded otherwise, and equal rows be told from each other.
        return np.asarray(torch.softmax(outputs_NKO.double(), dim=-1).mean(dim=1).cpu().numpy())


def fit_target(task: str, target: np.ndarray, num_classes: int, class_weights: str) -> Target:
    """The target's place and spread, or its classes' weights, from the training rows."""
    if task == "regression":
        return Target(task=task, mean=float(target.mean()), spread=spread_of(target))
    if class_weights != "balanced":
        return Target(task=task)
    return Target(task=task, weights=class_weights_of(np.bincount(target, minlength=num_classes)))


def class_weights_of(counts: np.ndarray) -> Tensor:
    """The weight of each class, of so many rows, with which all count alike: mean 1 over the rows."""
    weights = np.where(counts > 0, counts.sum() / (np.count_nonzero(counts) * np.maximum(counts, 1)), 0.0)
    return torch.from_numpy(weights.astype(np.float32))


class Objective:
    """The loss of outputs: cross-entropy (nats), or mean squared error of the standardised target."""

    def __init__(self, target: Target, device: torch.device, smoothing: float = 0.0) -> None:
        """`smoothing`: the share of each label that is spread evenly over all classes, in training alone.

        Source: Szegedy et al. 2016, "Rethinking the Inception Architecture for Computer Vision", section 7.
        """
        self._regression = target.task == "regression"
        self._weights = None if target.weights is None else target.weights.to(device)
        self._smoothing = smoothing

    def loss(self, outputs_BKO: Tensor, target_B: Tensor, *, training: bool = False) -> Tensor:
        """Each member's mean loss over the rows, weighted by class where asked: shape (K,)."""
        smoothing = self._smoothing if training else 0.0
        if not self._regression and outputs_BKO.shape[1] == 1:
            return _mean_loss(outputs_BKO.squeeze(1).float(), target_B, self._weights, smoothing).unsqueeze(0)
        losses_BK = self.row_losses(outputs_BKO, target_B, smoothing)
        if self._regression or self._weights is None:
            return losses_BK.mean(dim=0)
        if smoothing:
            # Weighted already, the spread share by the weights of the classes it is spread over.
            return losses_BK.sum(dim=0) / self._weights[target_B].sum()
        weight_B = self._weights[target_B]
        return (losses_BK * weight_B.unsqueeze(1)).sum(dim=0) / weight_B.sum()

    def with_gradient(self, outputs_BKO: Tensor, target_B: Tensor, share: Tensor | float) -> tuple[Tensor, Tensor]:
        """Each member's loss in training, (K,), and the gradient by the outputs of `share` of it: (B, K, O)."""
        if outputs_BKO.shape[1] == 1 and (self._regression or not self._smoothing):
            outputs_BO = outputs_BKO.squeeze(1)
            loss, gradient_BO = (
                _square_error(outputs_BO, target_B, share)
                if self._regression
                else _cross_entropy(outputs_BO, target_B, self._weights, share)
            )
            return loss.unsqueeze(0), gradient_BO.unsqueeze(1)
        outputs_BKO = outputs_BKO.detach().requires_grad_()
        with torch.enable_grad():
            loss_K = self.loss(outputs_BKO, target_B, training=True)
            (gradient,) = torch.autograd.grad(loss_K.sum() * share, outputs_BKO)
        return loss_K.detach(), gradient

    def row_losses(self, outputs_BKO: Tensor, target_B: Tensor, smoothing: float = 0.0) -> Tensor:
        """Each member's loss on each row, shape (B, K): unweighted, unless smoothed over weighted classes."""
        if self._regression:
            return (outputs_BKO.squeeze(-1).float() - target_B.unsqueeze(1)).square()
        targets_BK = target_B.unsqueeze(1).expand(-1, outputs_BKO.shape[1])
        return functional.cross_entropy(
            outputs_BKO.transpose(1, 2).float(),
            targets_BK,
            weight=self._weights if smoothing else None,
            label_smoothing=smoothing,
            reduction="none",
        )

    def weight(self, target_B: Tensor) -> Tensor:
        """What the mean over these rows counts for beside that of others."""
        if self._weights is None or self._regression:
            return torch.tensor(float(len(target_B)), device=target_B.device)
        return self._weights[target_B].sum()

    def share(self, target_B: Tensor, start: int, end: int) -> Tensor | float:
        """What the mean over rows start … end counts for in the mean over all of them."""
        if self._weights is None or self._regression:
            return (end - start) / len(target_B)
        weight_B = self._weights[target_B]
        return weight_B[start:end].sum() / weight_B.sum()


def _mean_loss(outputs_BO: Tensor, target_B: Tensor, weights: Tensor | None, smoothing: float) -> Tensor:
    """Mean cross-entropy of the rows, weighted by class where asked: a scalar."""
    if smoothing:
        return functional.cross_entropy(outputs_BO, target_B, weight=weights, label_smoothing=smoothing)
    return functional.nll_loss(_log_softmax(outputs_BO), target_B, weight=weights)


def _cross_entropy(
    outputs_BO: Tensor, target_B: Tensor, weights: Tensor | None, share: Tensor | float
) -> tuple[Tensor, Tensor]:
    """Its mean over the rows, weighted by class where asked, a scalar, and the gradient of `share` of it by the outputs: (B, O)."""
    log_BO = _log_softmax(outputs_BO)
    loss = functional.nll_loss(log_BO, target_B, weight=weights)
    if weights is None:
        row_B1 = log_BO.new_full((len(target_B), 1), float(share) / len(target_B))
    else:
        row_B1 = weights[target_B].unsqueeze(1)
        row_B1 = row_B1 * (share / row_B1.sum())
    return loss, log_BO.exp_().mul_(row_B1).scatter_add_(1, target_B.unsqueeze(1), row_B1.neg())


def _square_error(outputs_B1: Tensor, target_B: Tensor, share: Tensor | float) -> tuple[Tensor, Tensor]:
    """Its mean over the rows, a scalar, and the gradient of `share` of it by the outputs: (B, 1)."""
    away_B1 = outputs_B1 - target_B.unsqueeze(1)
    return away_B1.square().mean(), away_B1.mul_(2 * share / len(target_B))


def _log_softmax(outputs_BO: Tensor) -> Tensor:
    """The logarithm of each class's probability: (B, O)."""
    rows, classes = outputs_BO.shape
    if outputs_BO.device.type != "cpu" or not 2 < classes < _WIDE or rows * classes < _MANY:
        return torch.log_softmax(outputs_BO, dim=1)
    return torch.log_softmax(outputs_BO.t(), dim=0).t()
