"""Everything random is a pure function of the run's seed and of what it is for."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Mapping

import numpy as np
import torch


def derived_seed(seed: int, *purpose: str | int) -> int:
    """A seed of 63 bits for one purpose, such as ("order", epoch): the same on any machine and for ever."""
    text = ":".join(str(p) for p in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """A generator of its own for one purpose."""
    return np.random.Generator(np.random.Philox(derived_seed(seed, *purpose)))


def order(seed: int, epoch: int, num_rows: int) -> np.ndarray:
    """The rows' order in one epoch, int64: pure, so that the position in the data is two numbers."""
    return generator(seed, "order", epoch).permutation(num_rows)


def seed_torch(seed: int, *purpose: str | int) -> None:
    """Start torch's generators (weights, dropout) for one purpose."""
    torch.manual_seed(derived_seed(seed, *purpose))


def seed_all(seed: int, *purpose: str | int) -> None:
    """Start every generator a person's own code may draw from: torch's, Python's and numpy's old one."""
    seed_torch(seed, *purpose)
    random.seed(derived_seed(seed, *purpose, "python"))
    np.random.seed(derived_seed(seed, *purpose, "numpy") % 2**32)  # noqa: NPY002 - theirs may be the old one


def foreign_state() -> dict[str, torch.Tensor]:
    """The state of Python's generator and of numpy's old one, which a person's own code may draw from."""
    version, words, gauss = random.getstate()
    state = np.random.get_state(legacy=False)  # noqa: NPY002
    assert isinstance(state, dict)  # noqa: S101 - asked for, for the type checker
    keys, place = state["state"]["key"], state["state"]["pos"]
    return {
        "python": torch.tensor([version, *words]),
        "python_gauss": torch.tensor([math.nan if gauss is None else gauss], dtype=torch.float64),
        "numpy": torch.tensor([*keys.tolist(), place, state["has_gauss"]]),
        "numpy_gauss": torch.tensor([state["gauss"]], dtype=torch.float64),
    }


def set_foreign_state(states: Mapping[str, torch.Tensor]) -> None:
    """Put them back where a checkpoint found them."""
    version, *words = states["python"].tolist()
    gauss = float(states["python_gauss"])
    random.setstate((version, tuple(words), None if math.isnan(gauss) else gauss))
    *keys, place, has_gauss = states["numpy"].tolist()
    np.random.set_state(  # noqa: NPY002
        ("MT19937", np.array(keys, dtype=np.uint32), place, has_gauss, float(states["numpy_gauss"]))
    )


def random_state(device: torch.device) -> dict[str, torch.Tensor]:
    """The state of the generators that a step draws from, as tensors for a checkpoint."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["device"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        states["device"] = torch.mps.get_rng_state()
    return states


def set_random_state(states: dict[str, torch.Tensor], device: torch.device) -> None:
    """Put the generators back where a checkpoint found them."""
    torch.set_rng_state(states["cpu"].clone())
    if device.type == "cuda" and "device" in states:
        torch.cuda.set_rng_state(states["device"].clone(), device)
    elif device.type == "mps" and "device" in states:
        torch.mps.set_rng_state(states["device"].clone())
