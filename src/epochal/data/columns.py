"""Fields found by `lines` as Arrow columns, without copying their text: string views into the file's bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa


if TYPE_CHECKING:
    from epochal.data.lines import Block, Positions

_INLINE = 12
"""Bytes of a text that a view holds itself."""


def to_table(block: Block, first: int) -> Any:
    """The block's good records as an Arrow table: `_row` (int64 from `first`), `_line` (int64), `c0`, `c1`, … (text).

    An empty field is missing.
    """
    padded = block.data + bytes(_INLINE)
    whole = pa.py_buffer(padded)
    windows = np.ndarray((len(block.data) + 1,), f"V{_INLINE}", padded, strides=(1,))
    columns: dict[str, Any] = {
        "_row": pa.array(np.arange(first, first + block.rows, dtype=np.int64)),
        "_line": pa.array(np.ascontiguousarray(block.lines)),
    }
    for j in range(block.starts.shape[1]):
        columns[f"c{j}"] = _text_column(whole, windows, block.starts[:, j], block.ends[:, j])
    return pa.table(columns)


def _text_column(whole: Any, windows: Any, starts: Positions, ends: Positions) -> Any:
    rows = len(starts)
    lengths = (ends - starts).astype(np.int32)
    views = np.empty((rows, 4), np.int32)
    cells = views.view(np.uint8).reshape(rows, 16)
    views[:, 0] = lengths
    beginning = windows[starts].view(np.uint8).reshape(rows, _INLINE)
    np.multiply(beginning, np.arange(_INLINE) < lengths[:, None], out=cells[:, 4:])
    long = np.flatnonzero(lengths > _INLINE)
    views[long, 2] = 0
    views[long, 3] = starts[long]
    valid = np.packbits(lengths > 0, bitorder="little")
    return pa.Array.from_buffers(pa.string_view(), rows, [pa.py_buffer(valid), pa.py_buffer(views), whole])
