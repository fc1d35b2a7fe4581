"""In which order rows are learnt from that are read from disk: a pure function of (seed, epoch), as for rows in memory.

Rows lie in blocks of neighbours. Each epoch takes the blocks in a new order, reads some of them, a window, and takes the
window's rows in a new order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from epochal.train import seeds


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """How so many rows are divided. All windows are as large, to a block."""

    rows: int
    window_rows: int
    block_rows: int
    seed: int

    @property
    def num_blocks(self) -> int:
        """Blocks; the last one may be smaller."""
        return -(-self.rows // self.block_rows)

    @property
    def count(self) -> int:
        """Windows in an epoch."""
        return -(-self.num_blocks // max(1, self.window_rows // self.block_rows))

    @property
    def largest(self) -> int:
        """Rows of the largest window, at most."""
        return min(self.rows, -(-self.num_blocks // self.count) * self.block_rows)

    def blocks(self, epoch: int) -> np.ndarray:
        """The blocks' order in one epoch, int64."""
        return seeds.generator(self.seed, "blocks", epoch).permutation(self.num_blocks)

    def of(self, order: np.ndarray, window: int) -> list[tuple[int, int]]:
        """First row and end of each block of a window, as they lie on disk, for an epoch's `order`."""
        first, last = (w * self.num_blocks // self.count for w in (window, window + 1))
        return [self._rows_of(int(block)) for block in np.sort(order[first:last])]

    def starts(self, order: np.ndarray) -> np.ndarray:
        """Where in the epoch's rows each window starts, and at last how many rows there are; int64 (windows + 1,)."""
        ends = np.minimum((order + 1) * self.block_rows, self.rows)
        places = np.concatenate([[0], np.cumsum(ends - order * self.block_rows)])
        return np.asarray(places[np.arange(self.count + 1) * self.num_blocks // self.count])

    def within(self, epoch: int, window: int, rows: int) -> np.ndarray:
        """The order of a window's rows, int64."""
        return self.draws(epoch, window).permutation(rows)

    def draws(self, epoch: int, window: int) -> np.random.Generator:
        """What a window's order is drawn from."""
        return seeds.generator(self.seed, "window", epoch, window)

    def order(self, epoch: int) -> np.ndarray:
        """All rows in the order of an epoch, int64: what the windows come to."""
        blocks = self.blocks(epoch)
        pieces = []
        for window in range(self.count):
            rows = np.concatenate([np.arange(start, end) for start, end in self.of(blocks, window)])
            pieces.append(rows[self.within(epoch, window, len(rows))])
        return np.concatenate(pieces)

    def _rows_of(self, block: int) -> tuple[int, int]:
        return block * self.block_rows, min((block + 1) * self.block_rows, self.rows)
