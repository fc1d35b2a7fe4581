"""Running out of memory: told from other errors, and gone on from with smaller pieces of a batch."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from epochal.train import seeds


T = TypeVar("T")


_SMALL = 1 << 14
"""Numbers in a buffer that is always copied."""
_COMPARED = 3
"""Looks at a module in which its buffers are compared with those of the look before."""
_WITHOUT_A_CLASS = (
    "DefaultCPUAllocator: can't allocate memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDA error: out of memory",
    "MPS backend out of memory",
)
"""What torch's allocators and libraries say where they raise a plain RuntimeError."""


def beside_weights(module: nn.Module) -> list[tuple[str, Tensor]]:
    """What a module's own code may change in a step, by name: its buffers, and parameters that no gradient reaches."""
    frozen = [(name, p) for name, p in module.named_parameters() if not p.requires_grad]
    return [*module.named_buffers(), *frozen]


class Changing:
    """A module whose own code may change what it keeps beside its weights, and draw from generators that are not torch's.

    It may also in a step that fails. What is kept there is called a buffer here, though it may be a frozen parameter. A
    large one that the first steps left alone, and that no operation of torch's has written to since, is not copied for
    each further step: should one that changes it after all run out of memory, it stays as that left it. Small buffers are
    copied always, as batch norms change theirs uncounted. There is one copy of each, of large frozen parameters in the
    machine's memory: a backbone may take most of a device's.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._looks = 0
        self._copies: dict[str, Tensor] = {}
        """Of the last look, where it may change."""
        self._counts: dict[str, tuple[int, int, int]] = {}
        """Which tensor each is, where its numbers lie, and torch's count of their changes."""
        self._moving: set[str] = set()

    @torch.no_grad()
    def now(self) -> Callable[[], None]:
        """What makes all of it what it is now; only until this is asked for again."""
        kept = {name: b for name, b in beside_weights(self._module) if self.may_change(name, b)}
        self._copies = _copied(kept, self._copies)
        self._looks += 1
        python, numpy = random.getstate(), np.random.get_state(legacy=False)  # noqa: NPY002 - theirs may be the old one

        @torch.no_grad()
        def put_back() -> None:
            for name, value in beside_weights(self._module):
                copy = self._copies.get(name)
                if copy is None or _same(copy, value):
                    continue  # what is written to counts as changed
                if copy.shape == value.shape:
                    value.copy_(copy)
                else:
                    value.data = copy.to(value.device, copy=True)
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002

        return put_back

    def may_change(self, name: str, buffer: Tensor) -> bool:
        """Whether this buffer is one that steps change, as far as that is known: it is of all of them in the first steps."""
        place = buffer.data_ptr() if buffer.layout is torch.strided else 0
        count = (id(buffer), place, buffer._version)  # noqa: SLF001 - torch has no public name for it
        compares = self._looks < _COMPARED
        same = not compares or name not in self._copies or _same(self._copies[name], buffer)
        if count != self._counts.setdefault(name, count) or not same:
            self._moving.add(name)
        small = buffer.numel() <= _SMALL and not isinstance(buffer, nn.Parameter)
        return compares or name in self._moving or small


def _copied(values: Mapping[str, Tensor], places: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A copy of each, where it fits in the place of the one before: so there are never two."""
    fit = {n for n, v in values.items() if n in places and _fits(v, places[n])}
    if fit:
        torch._foreach_copy_([places[n] for n in fit], [values[n] for n in fit])
    found = {n: places[n] for n in fit}
    for name in values.keys() - fit:
        found[name] = values[name].detach().to(_kept_on(values[name]), copy=True)
    return found


def _fits(value: Tensor, place: Tensor) -> bool:
    same = (value.shape, value.dtype, _kept_on(value)) == (place.shape, place.dtype, place.device)
    return same and value.layout is place.layout is torch.strided


def _kept_on(value: Tensor) -> torch.device:
    """Where its copy lies."""
    large = isinstance(value, nn.Parameter) and value.numel() > _SMALL
    return torch.device("cpu") if large else value.device


def _same(one: Tensor, other: Tensor) -> bool:
    if one.layout is not torch.strided or other.layout is not torch.strided:
        return False  # sparse ones cannot be compared
    return one.shape == other.shape and torch.equal(one, other.to(one.device))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there was no memory left, on a GPU or in the machine."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _WITHOUT_A_CLASS)


def as_it_is(device: torch.device, changing: Changing | None) -> Callable[[], None]:
    """What makes the generators, and what a module keeps beside its weights, what they are now."""
    drawn = seeds.random_state(device)
    put_back = changing.now() if changing is not None else None

    def undo() -> None:
        seeds.set_random_state(drawn, device)
        if put_back is not None:
            put_back()

    return undo


def until_it_fits(
    compute: Callable[[], T],
    smaller: Callable[[BaseException], None],
    *,
    device: torch.device,
    undo: Callable[[], None],
) -> T:
    """What `compute` gives; where memory runs out it is computed anew after `smaller` and after `undo`.

    Raises what `smaller` raises where there is nothing smaller.
    """
    while True:
        try:
            return compute()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            smaller(error)
        # Only here, as what failed is held by its error until then.
        give_back(device)
        undo()


def give_back(device: torch.device) -> None:
    """Return what is cached and not used: after an error it is in pieces."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
