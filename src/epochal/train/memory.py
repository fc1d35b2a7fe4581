"""Running out of memory: told from other errors, and gone on from with smaller pieces of a batch."""

from __future__ import annotations

import torch


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there was no memory left, on a GPU or in the machine."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    # The CPU allocator has no class of its own for it.
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator: can't allocate memory" in str(error)


def give_back(device: torch.device) -> None:
    """Return what is cached and not used: after an error it is in pieces."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
