"""A batch: tensors by name, all with the same rows.

Networks of epochal's own take `numbers`, float32 (B, F), and `codes`, int64 (B, C) with 0 for unknown. `target` is
int64 (B,) class indices, or float32 (B,) standardised numbers; rows whose target is not known have none.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


Batch = Mapping[str, Tensor]


def num_rows(batch: Batch) -> int:
    """Rows of a batch."""
    return len(next(iter(batch.values())))


def piece(batch: Batch, start: int, end: int) -> Batch:
    """Some of its rows, without a copy."""
    return {name: values[start:end] for name, values in batch.items()}


def gathered(rows: Batch, index: Tensor) -> Batch:
    """The rows at these positions, copied."""
    return {name: values.index_select(0, index) for name, values in rows.items()}


_ALIGNED_BYTES = 64
"""Where torch lays its own tensors in a CPU's memory."""


def moved(batch: Batch, device: torch.device) -> Batch:
    """The batch on a device, laid where torch lays its own: numbers that lie otherwise are rounded otherwise."""
    return {name: aligned(values.to(device)) for name, values in batch.items()}


def aligned(values: Tensor) -> Tensor:
    """The numbers, copied unless they lie where torch lays its own: numpy lays them where there is room."""
    elsewhere = values.device.type == "cpu" and values.data_ptr() % _ALIGNED_BYTES
    return values.clone() if elsewhere else values


def row_bytes(rows: Batch) -> int:
    """What one row takes."""
    return sum(values.element_size() * (values.numel() // max(1, len(values))) for values in rows.values())
