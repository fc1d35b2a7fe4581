"""Whether a run's rows are held in memory or read from disk in blocks, and how large what is held of them may be.

What a run would hold is estimated from its columns and from one block that is read; what it may hold is what the process
is still allowed, less a reserve for the model and for what the estimate does not know.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from epochal.core.errors import RunError
from epochal.core.fields import size_bytes
from epochal.core.settings import Project
from epochal.core.split import PARTS
from epochal.show import grouped
from epochal.snapshot.manifest import SnapshotColumn
from epochal.train.allowed import address_space_is_limited, keep_heap_small, memory_allowed
from epochal.train.blocks import Source, read_blocks
from epochal.train.encoders import SHORT_TEXT_CATEGORIES, TEXT_BUCKETS


SHARE = 0.5
"""Of what is free, for the rows: the model, its activations and what an estimate misses take the rest."""
SAMPLE_ROWS = 1_000_000
"""At most so many rows are drawn to fit the preparation on."""
JUDGED_ROWS = 2_048
"""Of validation rows that are drawn for the probe."""
_SAMPLE_SHARE, _WINDOW_SHARE, _DECODED_SHARE, _BLOCK_SHARE = 0.35, 0.4, 0.45, 0.2
"""Of what the rows may take: the sample, both windows; before there are windows what is decoded, and of it prepared."""
_PREPARED_BYTES, _CODE_BYTES = 56, 24
"""What a number and a code take at the peak of their preparation: as read, as float64 with its copies, as float32."""
_DATE_NUMBERS = 7
_FEWEST_BATCHES = 4
"""In a window: in less there is little order to choose from."""
_BLOCKS = 64
"""In a window at least so many, from all over the rows, so that each window is like all of them …"""
_BLOCK_BYTES = (16 << 10, 1 << 20)
"""… but none so small that reading it is a matter of finding it, nor larger than reading gains from."""
_WINDOW_BYTES = 512 << 20
_DEVICE_SHARE = 0.6
"""Of what is free on a GPU, for the rows."""
_AT_ONCE = (512, 65_536)
_BYTES_WITHOUT_INPUTS = 128
"""Of a row as it is read: its number, its key of 32 letters and its target, and what pointing at them takes."""
_ANSWERS = 3
"""Of every validation row are held at once: those of this evaluation, of the best one, and what a metric makes of them."""
_FEWEST_SAMPLED = 512
_MEASURED_ROWS = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class Widths:
    """What one row of a source takes."""

    read: int
    """Bytes as it is read."""
    numbers: int
    codes: int

    @property
    def stored(self) -> int:
        """Bytes as it is learnt from: float32 numbers with an indicator for some, codes, target, place in the order."""
        return 4 * (self.numbers + self.numbers // 4) + 2 * self.codes + 16

    @property
    def held(self) -> int:
        """Bytes when it is prepared in memory, at the peak."""
        return 2 * self.read + _PREPARED_BYTES * self.numbers + _CODE_BYTES * self.codes


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much of the rows is held at a time."""

    sample_rows: int
    """Training rows that the preparation is fitted on, at most."""
    window_bytes: int
    """Of one of two windows of prepared rows."""
    rows_decoded: int
    """Rows read from the snapshot at a time …"""
    rows_at_once: int
    """… and prepared at a time."""
    rows_without_inputs: int
    """Read at a time where only targets and keys are wanted."""
    allowed: int
    """Bytes that all of it may take …"""
    set_by_hand: bool
    """… as a person said."""
    words: str
    """For a person: why the rows are read in blocks."""

    def window(self, row_bytes: int, batch_size: int, rows: int) -> tuple[int, int]:
        """Rows of a window and of a block, for rows of so many bytes. Raises RunError when there is no room for them."""
        window = min(rows, max(_FEWEST_BATCHES * batch_size, self.window_bytes // row_bytes))
        if 2 * window * row_bytes > self.allowed:
            raise self.too_little(2 * window * row_bytes, "two windows of batches", "take smaller batches, or ")
        low, high = (max(1, size // row_bytes) for size in _BLOCK_BYTES)
        return window, min(window, max(low, min(high, window // _BLOCKS)))

    def too_little(self, needed: int, what: str, instead: str = "") -> RunError:
        """The error for what does not fit."""
        return _too_little(needed, self.allowed, what, instead, set_by_hand=self.set_by_hand)


def sizes_for(
    source: Source, memory: str = "auto", resolved: Mapping[str, Any] | None = None, device_free: int | None = None
) -> Sizes | None:
    """How the rows are read in blocks; None when they are held in memory, whole, and on the device.

    `memory` is that of [train]; `resolved` what an earlier start of the run took: it goes on alike; `device_free` the
    bytes free on a device with memory of its own. Raises RunError (too-little-memory) where there is not even room for a
    few rows.
    """
    before = int((resolved or {}).get("sample_rows", 0))
    if resolved and not before:
        return None
    if address_space_is_limited():
        keep_heap_small()
    free = max(0, memory_allowed() - _answers_bytes(source))
    allowed = size_bytes(memory) if memory != "auto" else int(SHARE * free)
    on_device = _DEVICE_SHARE * device_free if device_free is not None else math.inf
    widths = _widths(source.columns, 1 << 10)
    fits = source.rows * widths.stored <= on_device
    if not before and fits and source.rows * widths.held <= allowed:
        return None
    widths = _widths(source.columns, _measured(source))
    needed = source.rows * widths.held
    if not before and fits and needed <= allowed:
        return None
    set_by_hand = memory != "auto"
    if _FEWEST_SAMPLED * widths.held > allowed:
        raise _too_little(_FEWEST_SAMPLED * widths.held, allowed, "a few hundred rows", set_by_hand=set_by_hand)
    sample = max(_FEWEST_SAMPLED, min(SAMPLE_ROWS, int(_SAMPLE_SHARE * allowed) // widths.held))
    low, high = _AT_ONCE
    window = min(_WINDOW_BYTES, int(_WINDOW_SHARE * allowed) // 2, on_device / 4)
    if fits:
        limit = f"{said_bytes(allowed)} are allowed" if set_by_hand else f"{said_bytes(free)} are free"
        words = f"the data would take about {said_bytes(needed)}, {limit}"
    else:
        taken = said_bytes(source.rows * widths.stored)
        words = f"the data would take about {taken} on the GPU, {said_bytes(device_free or 0)} are free there"
    return Sizes(
        sample_rows=before or min(sample, max(1, source.split.train)),
        window_bytes=int(window),
        rows_decoded=min(high, max(low, int(_DECODED_SHARE * allowed) // (3 * widths.read))),
        rows_at_once=min(high, max(low, int(_BLOCK_SHARE * allowed) // widths.held)),
        rows_without_inputs=min(high, max(low, int(_DECODED_SHARE * allowed) // (3 * _BYTES_WITHOUT_INPUTS))),
        allowed=allowed,
        set_by_hand=set_by_hand,
        words=f"{words}: they are read in blocks from disk",
    )


def _answers_bytes(source: Source) -> int:
    """What is held of the validation rows in any case: each one's target, and what is said of it."""
    said = _ANSWERS * max(1, len(source.classes))
    return 8 * source.split.validation * (said + 1)


def _too_little(needed: int, allowed: int, what: str, instead: str = "", *, set_by_hand: bool) -> RunError:
    more = (
        "raise [train] memory" if set_by_hand else "end what else takes memory, raise the limit this process runs under"
    )
    return RunError(
        f"there is not enough memory: {what} would take {said_bytes(needed)}, and {said_bytes(allowed)} may be taken",
        where="[train] memory",
        fix=f"{instead}{more}, or leave out columns",
        code="too-little-memory",
    )


def refuse_in_blocks(project: Project, num_ranks: int = 1) -> None:
    """Refuse what cannot be done with rows that are read in blocks. Raises RunError (needs-all-rows)."""
    num_ranks = max(num_ranks, project.train.num_ranks)
    if num_ranks > 1:
        raise needs_all_rows(f"each of {num_ranks} ranks holds all rows", 'write devices = "auto" in [train]')
    if project.train.feed == "gradual" and project.model.family != "trees":
        raise needs_all_rows("feeding rows gradually takes an order of all rows", 'write feed = "all" in [train]')


def needs_all_rows(what: str, instead: str) -> RunError:
    """The error for what takes all rows at once where they do not fit into memory."""
    return RunError(
        f"{what}, and they do not fit into memory",
        where="[train] memory",
        fix=f"{instead}, or let them be held: a larger `memory`, or a device with more of it",
        code="needs-all-rows",
    )


def said_bytes(count: int) -> str:
    """A number of bytes for a person."""
    for unit, size in (("GB", 10**9), ("MB", 10**6)):
        if count >= size:
            return f"{count / size:.1f} {unit}" if count < 100 * size else f"{grouped(round(count / size))} {unit}"
    return f"{grouped(max(0, count) // 1000)} kB"


def _widths(columns: tuple[SnapshotColumn, ...], read: int) -> Widths:
    numbers = codes = 0
    for column in columns:
        if column.kind in {"number", "boolean"}:
            numbers += 1
        elif column.kind == "date":
            numbers += _DATE_NUMBERS
        elif column.kind == "text" and column.distinct > SHORT_TEXT_CATEGORIES:
            numbers += TEXT_BUCKETS
        elif column.kind != "image":
            codes += 1
    return Widths(read=read, numbers=numbers, codes=codes)


def _measured(source: Source) -> int:
    """Bytes of a row as it is read: the mean over some rows at the beginning."""
    for block in itertools.islice(read_blocks(source, _MEASURED_ROWS), 8):
        rows = sum(len(block[part]) for part in PARTS[:2])
        if rows:
            taken = sum(block[part].inputs.nbytes + block[part].keys.nbytes for part in PARTS[:2])
            return int(taken // rows) + 16
    return 1 << 10
