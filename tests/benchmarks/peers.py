"""The loops that epochal's training is compared with: by hand, over a stock DataLoader, and by three libraries.

All train the same network from the same tensors with the same loss, AdamW, learning rate, weight decay, batch size and
number of steps, in float32 and without evaluation; a small network is made of torch's own layers. The hand-written loop
and `skorch` take AdamW as it comes, all others the fused one. Each library is set up for speed as its own documentation
says: nothing is shown, saved or evaluated, data is loaded in the process, gradients are not clipped, losses are read every 64 steps
where they are read at all. Only the training itself is timed. The libraries come with the extra `bench`; each is imported
when it is run.

skorch stands there twice: `skorch` as it comes, when it keeps a fifth of the rows to itself and scores them after every
epoch, and `skorch_bare` set up for speed: without that, and with the fused AdamW. An ensemble is trained by hand as the package `tabm` makes it (`loop`), and as
epochal computes it (`loop_same_network`).
"""

from __future__ import annotations

import importlib.util
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, TensorDataset


LOG_EVERY = 64
"""Steps between two looks at the loss."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One training to be timed."""

    module: nn.Module
    """Fresh, on `device`; takes numbers (B, F), gives scores (B, classes), or (B, members, classes)."""
    x: Tensor
    """Numbers (N, F), float32, on `device` …"""
    y: Tensor
    """… and class indices (N,), int64."""
    batch_size: int
    epochs: int
    learning_rate: float
    weight_decay: float
    device: torch.device
    validated: int = 0
    """Of the rows so many are kept for validation, after every pass."""

    @property
    def steps(self) -> int:
        """Whole batches in all passes; a smaller last batch is dropped."""
        return self.epochs * ((len(self.x) - self.validated) // self.batch_size)

    @property
    def adamw(self) -> dict[str, Any]:
        """What torch's AdamW is given."""
        return {"lr": self.learning_rate, "weight_decay": self.weight_decay, "fused": True}


Peer = Callable[[Job], float]
"""Trains and returns the seconds it took."""


def plain_network(inputs: int, classes: int, *, width: int, depth: int, dropout: float) -> nn.Module:
    """The small network of torch's own layers."""
    layers: list[nn.Module] = []
    for i in range(depth):
        layers += [nn.Linear(width if i else inputs, width), nn.ReLU()]
        layers += [nn.Dropout(dropout)] if dropout else []
    return nn.Sequential(*layers, nn.Linear(width, classes))


def package_ensemble(
    classes: int, bins: list[Tensor], *, embedding_width: int, members: int, width: int, depth: int, dropout: float
) -> nn.Module:
    """TabM of the package's own layers over embedded numbers, one for each entry of `bins`: edges (E,)."""
    from rtdl_num_embeddings import PiecewiseLinearEmbeddings
    from tabm import TabM

    module: nn.Module = TabM.make(
        n_num_features=len(bins),
        d_out=classes,
        num_embeddings=PiecewiseLinearEmbeddings(bins, embedding_width, activation=False, version="B"),
        k=members,
        d_block=width,
        n_blocks=depth,
        dropout=dropout,
    )
    return module


class WithoutCodes(nn.Module):
    """A network of epochal's as others call it: numbers in, scores of every member out."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        """The members' scores: (B, members, classes)."""
        codes = torch.empty(len(x), 0, dtype=torch.int64, device=x.device)
        scores: Tensor = self.module({"numbers": x, "codes": codes})
        return scores


def loss_of(scores: Tensor, target: Tensor) -> Tensor:
    """Mean cross-entropy of scores (B, classes); of (B, members, classes) the sum of each member's; target (B,)."""
    if scores.ndim == 2:
        return functional.cross_entropy(scores, target)
    members = scores.shape[1]
    return functional.cross_entropy(scores.flatten(0, 1), target.repeat_interleave(members)) * members


class Timed:
    """Seconds from entering to leaving, with what the device was asked before it is left."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.seconds = 0.0

    def __enter__(self) -> Self:
        self._wait()
        self._start = time.perf_counter()
        return self

    def __exit__(self, *_error: object) -> None:
        self._wait()
        self.seconds = time.perf_counter() - self._start

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def by_hand(job: Job, *, fused: bool = False) -> float:
    """The loop people write over tensors in memory: index a batch, forward, loss, backward, AdamW."""
    module = job.module.train()
    with Timed(job.device) as timed:
        optimiser = torch.optim.AdamW(module.parameters(), **{**job.adamw, "fused": fused})
        step = 0
        for _ in range(job.epochs):
            order = torch.randperm(len(job.x), device=job.device)
            for i in range(0, len(order) - job.batch_size + 1, job.batch_size):
                rows = order[i : i + job.batch_size]
                x, y = job.x[rows], job.y[rows]
                loss = loss_of(module(x), y)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                step += 1
                if step % LOG_EVERY == 0:
                    loss.item()
    return timed.seconds


def by_hand_fused(job: Job) -> float:
    """The same with the fused AdamW, for who knows of it."""
    return by_hand(job, fused=True)


def with_dataloader(job: Job) -> float:
    """The loop of torch's tutorials: a DataLoader that shuffles a TensorDataset."""
    module = job.module.train()
    loader = _loader(job)
    with Timed(job.device) as timed:
        optimiser = torch.optim.AdamW(module.parameters(), **job.adamw)
        step = 0
        for _ in range(job.epochs):
            for batch in loader:
                x, y = (part.to(job.device, non_blocking=True) for part in batch)
                loss = loss_of(module(x), y)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                step += 1
                if step % LOG_EVERY == 0:
                    loss.item()
    return timed.seconds


def _loader(job: Job) -> DataLoader[tuple[Tensor, ...]]:
    rows = TensorDataset(job.x.cpu(), job.y.cpu())
    gpu = job.device.type == "cuda"
    return DataLoader(rows, batch_size=job.batch_size, shuffle=True, drop_last=True, pin_memory=gpu)


def with_hf_trainer(job: Job) -> float:
    """Hugging Face's Trainer."""
    from transformers import PrinterCallback, Trainer, TrainingArguments

    with tempfile.TemporaryDirectory() as folder:
        gpu = job.device.type == "cuda"
        arguments = TrainingArguments(
            output_dir=folder,
            use_cpu=not gpu,
            per_device_train_batch_size=job.batch_size,
            num_train_epochs=job.epochs,
            optim="adamw_torch_fused",
            learning_rate=job.learning_rate,
            weight_decay=job.weight_decay,
            lr_scheduler_type="constant",
            max_grad_norm=0.0,
            logging_steps=LOG_EVERY,
            save_strategy="no",
            eval_strategy="no",
            report_to="none",
            disable_tqdm=True,
            log_level="error",
            remove_unused_columns=False,
            dataloader_num_workers=0,
            dataloader_pin_memory=gpu,
            dataloader_drop_last=True,
        )
        trainer = Trainer(
            model=_WithLoss(job.module), args=arguments, train_dataset=_NamedRows(job.x.cpu(), job.y.cpu())
        )
        trainer.remove_callback(PrinterCallback)
        with Timed(job.device) as timed:
            trainer.train()
        _check_steps(trainer.state.global_step, job)
    return timed.seconds


class _NamedRows(Dataset[dict[str, Tensor]]):
    """Rows as the Trainer takes them."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, row: int) -> dict[str, Tensor]:
        return {"x": self.x[row], "labels": self.y[row]}


class _WithLoss(nn.Module):
    """A model that computes its own loss, as the Trainer wants it."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Loss and scores."""
        scores = self.classifier(x)
        return {"loss": functional.cross_entropy(scores, labels), "logits": scores}


def with_lightning(job: Job) -> float:
    """Lightning's Trainer."""
    import logging

    import lightning

    class Lit(lightning.LightningModule):  # type: ignore[misc]
        """The module with its loss and optimiser."""

        def __init__(self) -> None:
            super().__init__()
            self.classifier = job.module

        def training_step(self, batch: tuple[Tensor, Tensor], _number: int) -> Tensor:
            x, y = batch
            return functional.cross_entropy(self.classifier(x), y)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(self.parameters(), **job.adamw)

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    trainer = lightning.Trainer(
        max_epochs=job.epochs,
        accelerator="gpu" if job.device.type == "cuda" else "cpu",
        devices=1,
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        log_every_n_steps=LOG_EVERY,
    )
    model, loader = Lit(), _loader(job)
    with warnings.catch_warnings(), Timed(job.device) as timed:
        warnings.simplefilter("ignore")  # it recommends more workers than this comparison allows
        trainer.fit(model, loader)
    _check_steps(trainer.global_step, job)
    return timed.seconds


def with_skorch(job: Job) -> float:
    """skorch's NeuralNetClassifier with the validation that it does unless told otherwise, of a fifth, and torch's AdamW."""
    return _skorch(job, optimizer__fused=False)


def with_skorch_bare(job: Job) -> float:
    """The same without any validation, and with the fused AdamW."""
    return _skorch(job, train_split=None)


def _skorch(job: Job, **settings: Any) -> float:
    from skorch import NeuralNetClassifier

    net = NeuralNetClassifier(
        job.module,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.AdamW,
        batch_size=job.batch_size,
        max_epochs=job.epochs,
        iterator_train__shuffle=True,
        iterator_train__drop_last=True,
        verbose=0,
        device=str(job.device),
        **{**{f"optimizer__{name}": value for name, value in job.adamw.items()}, **settings},
    )
    x, y = job.x.cpu(), job.y.cpu()
    net.initialize()
    with Timed(job.device) as timed:
        net.partial_fit(x, y)
    _check_steps(sum("train_loss" in batch for epoch in net.history for batch in epoch["batches"]), job)
    return timed.seconds


def _check_steps(steps: int, job: Job) -> None:
    """Refuse to compare trainings of different lengths. Raises RuntimeError."""
    if steps != job.steps:
        raise RuntimeError(f"{steps} steps were taken instead of {job.steps}")


_LIBRARIES: dict[str, tuple[tuple[str, ...], Peer]] = {
    "hf_trainer": (("transformers", "accelerate"), with_hf_trainer),
    "lightning": (("lightning",), with_lightning),
    "skorch_bare": (("skorch",), with_skorch_bare),
    "skorch": (("skorch",), with_skorch),
}
"""By the name in the result: the packages needed, and the training."""


def installed_peers() -> tuple[dict[str, Peer], list[str]]:
    """Those that can be run here, by name, and the packages that are missing for the others."""
    peers: dict[str, Peer] = {"dataloader": with_dataloader}
    missing: list[str] = []
    for name, (packages, peer) in _LIBRARIES.items():
        absent = [package for package in packages if importlib.util.find_spec(package) is None]
        missing += absent
        if not absent:
            peers[name] = peer
    return peers, missing
