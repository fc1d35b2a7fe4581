"""Where batches come from. The batch of a step is a pure function of the step, so a resume costs nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
import torch

from epochal.train.batch import Batch, gathered, num_rows, piece, row_bytes


Order = Callable[[int], np.ndarray]
"""The rows of an epoch, int64, in the order they are learnt from: pure, and as many in every epoch."""

BLOCK_BYTES = 128 << 10
"""Rows are gathered in blocks of batches: on a CPU small ones, still in its cache when they are learnt from …"""
DEVICE_BLOCK_BYTES = 64 << 20
"""… on a GPU large ones, as each gathering is a launch."""
_ROWS_AT_ONCE = 1024
"""In evaluation, on a CPU: what an ensemble's layers say of more rows leaves its caches, and takes twice as long …"""
_DEVICE_ROWS_AT_ONCE = 8192
"""… elsewhere: fewer leave the device idle."""


class Feed(Protocol):
    """What is learnt from."""

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one pass."""

    def batch(self, step: int) -> Batch:
        """The batch of a step, counted over all epochs."""

    def release(self) -> None:
        """Let go of the rows: no batch is asked for any more."""


class Held(Protocol):
    """What is judged by, in the order of its rows."""

    def __len__(self) -> int:
        """Rows."""

    def batches(self) -> Iterator[Batch]:
        """All rows once, some at a time."""


def num_batches(rows: int, batch_size: int) -> int:
    """Steps in one pass: batches of equal size (to a row), so no small last one shakes the weights."""
    return max(1, round(rows / batch_size))


class MemoryFeed:
    """Batches from tensors held in memory, or on the device: slices of blocks gathered by the epoch's order."""

    def __init__(self, rows: Batch, order: Order, batches: int, *, even: bool = False) -> None:
        """`even` batches are equal to the row, for what is made for one size: some rows then sit an epoch out."""
        self.steps_per_epoch, self._even = batches, even
        self._rows, self._order_of = rows, order
        self._device = next(iter(rows.values())).device
        per_batch = max(1, num_rows(rows) // batches * row_bytes(rows))
        block_bytes = BLOCK_BYTES if self._device.type == "cpu" else DEVICE_BLOCK_BYTES
        self._batches_at_once = max(1, block_bytes // per_batch)
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64)
        self._block: Batch = {}
        self._block_start, self._first, self._last = 0, 0, 0

    def batch(self, step: int) -> Batch:
        """The batch of a step."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._order = torch.from_numpy(self._order_of(epoch)).to(self._device)
            self._epoch, self._first, self._last = epoch, 0, 0
        if not self._first <= position < self._last:
            # Blocks begin at the same places however a step is come to, and so their batches lie alike in memory:
            # products over numbers that lie otherwise are rounded otherwise.
            self._first = position - position % self._batches_at_once
            self._last = min(self._first + self._batches_at_once, self.steps_per_epoch)
            self._block_start = self._place(self._first)
            self._block = gathered(self._rows, self._order[self._block_start : self._place(self._last)])
        start = self._block_start
        return piece(self._block, self._place(position) - start, self._place(position + 1) - start)

    def release(self) -> None:
        """Let go of the rows."""
        self._rows, self._block, self._epoch, self._order = {}, {}, -1, torch.empty(0, dtype=torch.int64)

    def _place(self, position: int) -> int:
        if self._even:
            return position * (len(self._order) // self.steps_per_epoch)
        return position * len(self._order) // self.steps_per_epoch


class Heard:
    """A feed that tells every batch it gives."""

    def __init__(self, feed: Feed, heard: Callable[[Batch], None]) -> None:
        self._feed, self._heard = feed, heard

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one pass."""
        return self._feed.steps_per_epoch

    def batch(self, step: int) -> Batch:
        """The batch of a step, told."""
        batch = self._feed.batch(step)
        self._heard(batch)
        return batch

    def release(self) -> None:
        """Let go of the rows."""
        self._feed.release()


class MemoryRows:
    """Rows held in memory, to judge by."""

    def __init__(self, rows: Batch) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return num_rows(self._rows)

    def part(self, start: int, end: int) -> MemoryRows:
        """Some of them."""
        return MemoryRows(piece(self._rows, start, end))

    def batches(self) -> Iterator[Batch]:
        """All rows, as many at a time as the device computes best."""
        device = next(iter(self._rows.values())).device
        size = _ROWS_AT_ONCE if device.type == "cpu" else _DEVICE_ROWS_AT_ONCE
        for start in range(0, len(self), size):
            yield piece(self._rows, start, start + size)
