"""The ranks of a run: processes that hold the same model and each compute a part of every batch.

What is computed is the same on all of them; what a clock, a disk or a person decides, the first rank decides and tells.
Every function here that asks the others must be called by all ranks, in the same order. One process alone is a team of
one, and then nothing is asked.
"""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel


T = TypeVar("T")

_EXCHANGED = 1 << 16
"""Numbers in the gradients of a small network."""
_EXCHANGES = 20

WAIT = timedelta(hours=2)
"""Others wait so long for a rank that lives: while the first trains baselines, or waits for room on the disk. A rank that
died is noticed at once, by its launcher and by its broken connections."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """Which of how many ranks this process is."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """Among the ranks of this machine."""
    local_size: int = 1

    @property
    def first(self) -> bool:
        """Whether this rank decides and reports."""
        return self.rank == 0

    def part(self, rows: int) -> tuple[int, int]:
        """The first row of this rank's part of so many, and the row after its last."""
        return self.rank * rows // self.size, (self.rank + 1) * rows // self.size

    def said(self, find: Callable[[], T]) -> T:
        """What the first rank finds, as JSON carries it: tuples come as lists, keys as texts."""
        if self.size == 1:
            return find()
        data = json.dumps(find()).encode() if self.first else b""
        length = torch.tensor([len(data)])
        distributed.broadcast(length, 0)
        carried = _tensor(data) if self.first else torch.empty(int(length), dtype=torch.uint8)
        distributed.broadcast(carried, 0)
        found: T = json.loads(carried.numpy().tobytes())
        return found

    def said_by_all(self, data: bytes) -> list[bytes]:
        """What each rank says, by rank."""
        if self.size == 1:
            return [data]
        return [found.numpy().tobytes() for found in self._gathered(_tensor(data))]

    def joined(self, part: Tensor) -> Tensor:
        """The parts of all ranks one after the other, along the first dimension."""
        return part if self.size == 1 else torch.cat(self._gathered(part))

    def summed(self, values: Tensor) -> Tensor:
        """The sum over all ranks; `values` itself becomes it."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def moving(self, flags: Sequence[bool], sizes: Sequence[int]) -> list[bool]:
        """For each value, whether it moves on at least one rank and takes as many bytes, its size, on all of them."""
        if self.size == 1 or not flags:
            return list(flags)
        told = torch.tensor([flags, sizes, [-size for size in sizes]], dtype=torch.int64)
        distributed.all_reduce(told, op=distributed.ReduceOp.MAX)
        return [bool(moves) and most == -fewest for moves, most, fewest in told.T.tolist()]

    def follow(self, values: Sequence[Tensor]) -> None:
        """Make these the first rank's, in one exchange: of their bytes, as not every kind of number can be sent.

        What is the first rank's already is not written to.
        """
        if self.size == 1 or not values:
            return
        sent = [v.contiguous().reshape(-1).view(torch.uint8) for v in values]
        told = torch.cat(sent)
        distributed.broadcast(told, 0)
        for value, own, its in zip(values, sent, torch.split(told, [len(s) for s in sent]), strict=True):
            if not torch.equal(own, its):
                value.copy_(its.clone().view(value.dtype).reshape(value.shape))

    def exchange_seconds(self) -> float:
        """What an exchange of gradients takes, as the first rank measured it."""
        if self.size == 1:
            return 0.0
        gradients = torch.zeros(_EXCHANGED)
        self.summed(gradients)  # the first one pays for setting up
        start = time.perf_counter()
        for _ in range(_EXCHANGES):
            self.summed(gradients)
        return (time.perf_counter() - start) / _EXCHANGES

    def wrapped(self, module: nn.Module, device: torch.device) -> nn.Module:
        """The module such that its gradients are averaged over the ranks as they are computed.

        Looking for parameters that took no part also keeps the buckets in which gradients travel as they were made. Else
        they are made anew after the first step, three ranks would sum in another order, and a resume would not be exact.
        """
        if self.size == 1:
            return module
        places = None if device.type == "cpu" else [device]
        with warnings.catch_warnings():
            # The argument has a new name, which torch 2.10 does not know.
            warnings.simplefilter("ignore", FutureWarning)
            return DistributedDataParallel(
                module, device_ids=places, broadcast_buffers=False, find_unused_parameters=True
            )

    def _gathered(self, part: Tensor) -> list[Tensor]:
        """The parts of all ranks, which differ in length alone."""
        lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        distributed.all_gather(lengths, torch.tensor([len(part)]))
        longest = max(int(n) for n in lengths)
        padded = part.new_zeros((longest, *part.shape[1:]))
        padded[: len(part)] = part
        found = [torch.empty_like(padded) for _ in range(self.size)]
        distributed.all_gather(found, padded)
        return [values[: int(n)] for values, n in zip(found, lengths, strict=True)]


SOLO = Team()
"""One process alone."""


_IN_PARTS_ROWS = 2048
"""Ranks share so many validation rows or more; of fewer each judges all, which takes no longer and nobody waits."""


def in_parts(validation_rows: int, team: Team) -> bool:
    """Whether each rank judges its own part of so many."""
    return team.size > 1 and validation_rows >= _IN_PARTS_ROWS


def join() -> Team:
    """Meet the other ranks that torch's launcher started; waits for them."""
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and distributed.is_nccl_available() else "gloo"
    distributed.init_process_group(backend, timeout=WAIT)
    return Team(
        rank=distributed.get_rank(),
        size=distributed.get_world_size(),
        local_rank=int(os.environ["LOCAL_RANK"]),
        local_size=int(os.environ["LOCAL_WORLD_SIZE"]),
    )


def leave() -> None:
    """Close the connections to the other ranks, if there are any: all at once, as who is left alone would abort."""
    if distributed.is_initialized():
        distributed.barrier()
        distributed.destroy_process_group()


def _tensor(data: bytes) -> Tensor:
    return torch.frombuffer(bytearray(data), dtype=torch.uint8) if data else torch.empty(0, dtype=torch.uint8)
