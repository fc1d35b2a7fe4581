"""A network's whole state as files of a checkpoint: safetensors and JSON, no pickle, parameters by their names.

model (parameters and buffers), best, average, optimiser (moments and step counts), random (torch's generators, and of
further ranks all that they draw from, in a file for each), foreign (Python's and numpy's, where a person's own code is
run) and learner.json (what is counted, the loss scale too). What a run does not use is not there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from epochal import fsio
from epochal.train import seeds
from epochal.train.averages import Averaged
from epochal.train.optimise import Optimiser
from epochal.train.scaling import LossScale


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What is saved, and what is filled when it is read back."""

    module: nn.Module
    optimiser: Optimiser
    averaged: Averaged | None
    scale: LossScale | None
    best: Mapping[str, Tensor] | None
    device: torch.device
    counted: Mapping[str, int | float]
    foreign: bool = False
    """Whether steps may draw from other generators than torch's."""
    rank: int = 0
    others: Sequence[bytes] = ()
    """The random state of each further rank, as the content of its file."""


def save(parts: Parts, folder: Path) -> None:
    """Write every part into a folder. Raises NotSaved."""
    save_weights(parts.module, folder)
    if parts.best is not None:
        _write(folder / "best.safetensors", parts.best)
    if parts.averaged is not None:
        _write(folder / "average.safetensors", parts.averaged.shadow)
    _write(folder / "optimiser.safetensors", parts.optimiser.state())
    _write(folder / random_file(0), seeds.random_state(parts.device))
    for rank, state in enumerate(parts.others, start=1):
        fsio.write_bytes(folder / random_file(rank), state)
    if parts.foreign:
        _write(folder / "foreign.safetensors", seeds.foreign_state())
    document: dict[str, Any] = {**parts.counted}
    if parts.averaged is not None:
        document["average_updates"] = parts.averaged.num_updates
    if parts.scale is not None:
        document["loss_scale"] = asdict(parts.scale)
    fsio.write_text(folder / "learner.json", json.dumps(document) + "\n")


def load(parts: Parts, folder: Path) -> dict[str, Any]:
    """Fill every part from what `save` wrote; returns what was counted. The best weights are read by `load_best`."""
    document: dict[str, Any] = json.loads((folder / "learner.json").read_text(encoding="utf-8"))
    parts.module.load_state_dict(_read(folder / "model.safetensors"))
    parts.optimiser.load(_read(folder / "optimiser.safetensors"))
    if parts.averaged is not None:
        parts.averaged.load(_read(folder / "average.safetensors"), int(document["average_updates"]))
    if parts.scale is not None:
        for name, value in document["loss_scale"].items():
            setattr(parts.scale, name, value)
    drawn = _read(folder / random_file(parts.rank))
    seeds.set_random_state(drawn, parts.device)
    if parts.foreign:
        seeds.set_foreign_state(drawn if parts.rank else _read(folder / "foreign.safetensors"))
    return document


def load_best(folder: Path) -> dict[str, Tensor] | None:
    """The best weights so far, on the CPU: a device may have no room for them. None when no evaluation came before."""
    path = folder / "best.safetensors"
    return _read(path) if path.exists() else None


def save_weights(module: nn.Module, folder: Path) -> None:
    """Write parameters and buffers. Raises NotSaved."""
    _write(folder / "model.safetensors", module.state_dict())


def random_file(rank: int) -> str:
    """The name of the file of a rank's random state; the first rank's is that of a run of one process."""
    return f"random-{rank:04d}.safetensors" if rank else "random.safetensors"


def drawn_from(device: torch.device, *, foreign: bool) -> bytes:
    """The content of a further rank's file: the state of all generators that its steps draw from."""
    return packed({**seeds.random_state(device), **(seeds.foreign_state() if foreign else {})})


def packed(tensors: Mapping[str, Tensor]) -> bytes:
    """Tensors as the content of a file."""
    # Cloned: weights that share memory, such as tied ones, are written once for each name.
    return save_tensors({n: t.detach().cpu().contiguous().clone() for n, t in tensors.items()})


def _write(path: Path, tensors: Mapping[str, Tensor]) -> None:
    fsio.write_bytes(path, packed(tensors))


def _read(path: Path) -> dict[str, Tensor]:
    return load_tensors(path.read_bytes())
