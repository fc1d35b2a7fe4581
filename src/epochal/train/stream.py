"""Batches of rows that are read from disk while earlier ones are learnt from: two windows are held, never all rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from epochal.core.errors import RunError
from epochal.train.batch import Batch, gathered, moved, piece
from epochal.train.feed import BLOCK_BYTES, DEVICE_BLOCK_BYTES
from epochal.train.scratch import NAMES, PreparedFiles
from epochal.train.windows import Windows


Within = Callable[[int, int, np.ndarray], np.ndarray]
"""The order of a window's rows, int64, of an epoch, a window and the rows' targets: pure, and as many as there are."""
AsTarget = Callable[[np.ndarray], Tensor]
"""Targets as they stand in the data, as a network takes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """A window in its buffers."""

    epoch: int
    number: int
    slot: int
    rows: int
    target: Tensor
    order: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class _Window:
    """A window on the device."""

    read: _Read
    rows: Batch
    order: Tensor
    starts: np.ndarray
    """Where in its epoch each window starts."""

    @property
    def start(self) -> int:
        """Its first row, counted over the epoch."""
        return int(self.starts[self.read.number])

    @property
    def end(self) -> int:
        """The first row after it."""
        return int(self.starts[self.read.number + 1])


class StreamedFeed:
    """Batches of a part that is read window by window. Every row comes once in an epoch."""

    def __init__(
        self,
        files: PreparedFiles,
        windows: Windows,
        *,
        within: Within,
        as_target: AsTarget,
        batches: int,
        device: torch.device,
        even: bool = False,
    ) -> None:
        """`even` batches are equal to the row, as those of `MemoryFeed`."""
        self.steps_per_epoch, self._even = batches, even
        self._files, self._windows, self._device = files, windows, device
        self._within, self._as_target = within, as_target
        self._slots: tuple[dict[str, np.ndarray], ...] = tuple(self._buffers() for _ in range(2))
        self._copied: list[torch.cuda.Event | None] = [None, None]
        self._pool: ThreadPoolExecutor | None = ThreadPoolExecutor(1, thread_name_prefix="epochal-read")
        """None once the system gave no thread: then windows are read when they are asked for."""
        self._ahead: tuple[int, int, Future[_Read]] | None = None
        per_batch = max(1, windows.rows // batches * files.layout.row_bytes)
        self._batches_at_once = max(1, (BLOCK_BYTES if device.type == "cpu" else DEVICE_BLOCK_BYTES) // per_batch)
        self._window: _Window | None = None
        self._group: Batch = {}
        self._epoch, self._first, self._last = -1, 0, 0

    def batch(self, step: int) -> Batch:
        """The batch of a step, counted over all epochs. Raises RunError when the files can no longer be read."""
        epoch, position = divmod(step, self.steps_per_epoch)
        start, end = self._place(position), self._place(position + 1)
        if epoch != self._epoch or not self._first <= start < self._last:
            # As those of `MemoryFeed`, groups begin at the same places however a step is come to.
            first = position - position % self._batches_at_once
            last = min(first + self._batches_at_once, self.steps_per_epoch)
            self._epoch, self._first, self._last = epoch, self._place(first), self._place(last)
            self._group = self._gathered(epoch, self._first, self._last)
        return piece(self._group, start - self._first, end - self._first)

    def release(self) -> None:
        """Let go of both windows, once nothing is read into them."""
        if self._pool is not None:
            self._pool.shutdown()
        self._ahead, self._window, self._group, self._slots = None, None, {}, ()
        self._epoch, self._first, self._last = -1, 0, 0

    def _place(self, position: int) -> int:
        rows = self._windows.rows
        return position * (rows // self.steps_per_epoch) if self._even else position * rows // self.steps_per_epoch

    def _gathered(self, epoch: int, start: int, end: int) -> Batch:
        """Copies of rows start … end of an epoch, from one window or several."""
        pieces: list[Batch] = []
        while start < end:
            window = self._window_of(epoch, start)
            until = min(end, window.end)
            pieces.append(gathered(window.rows, window.order[start - window.start : until - window.start]))
            start = until
        found = {name: torch.cat([p[name] for p in pieces]) if len(pieces) > 1 else pieces[0][name] for name in NAMES}
        return {**found, "codes": found["codes"].long()}

    def _window_of(self, epoch: int, row: int) -> _Window:
        """The window with a row of an epoch; the one after it is then read while it is learnt from."""
        held = self._window
        if held is not None and held.read.epoch == epoch and held.start <= row < held.end:
            return held
        order = self._windows.blocks(epoch)
        starts = self._windows.starts(order)
        number = int(np.searchsorted(starts, row, side="right")) - 1
        self._window = None
        slot = 0 if held is None else 1 - held.read.slot
        if self._ahead is None or self._ahead[:2] != (epoch, number):
            if self._ahead is not None:
                wait([self._ahead[2]])
            self._ask(epoch, number, slot)
        read = self._answer()
        following = (epoch, number + 1) if number + 1 < self._windows.count else (epoch + 1, 0)
        self._window = _Window(
            read=read, rows=self._moved(read), order=torch.from_numpy(read.order).to(self._device), starts=starts
        )
        self._ask(*following, 1 - read.slot)
        return self._window

    def _answer(self) -> _Read:
        assert self._ahead is not None  # noqa: S101 - asked for, for the type checker
        try:
            return self._ahead[2].result()
        except OSError as error:
            raise RunError(
                f"the prepared rows can no longer be read: {error}",
                where=".epochal/prepared",
                fix="`epochal resume` writes them again and goes on from the last checkpoint",
                code="rows-lost",
            ) from error

    def _ask(self, epoch: int, number: int, slot: int) -> None:
        """Begin to read a window into a slot whose rows nobody looks at any more."""
        copied = self._copied[slot]
        if copied is not None:
            copied.synchronize()
        self._ahead = None  # whatever was read into the slot is not there any more, however this ends
        self._ahead = (epoch, number, self._reading(epoch, number, slot))

    def _reading(self, epoch: int, number: int, slot: int) -> Future[_Read]:
        """The window, read while steps are taken; at once where no thread can be had, as its stack has no room."""
        if self._pool is not None:
            try:
                return self._pool.submit(self._read, epoch, number, slot)
            except RuntimeError:
                self._pool.shutdown(wait=False, cancel_futures=True)  # it must not read into the slot later
                self._pool = None
        read: Future[_Read] = Future()
        try:
            read.set_result(self._read(epoch, number, slot))
        except OSError as error:
            read.set_exception(error)
        return read

    def _read(self, epoch: int, number: int, slot: int) -> _Read:
        buffers, place = self._slots[slot], 0
        for start, end in self._windows.of(self._windows.blocks(epoch), number):
            self._files.read(buffers, place, start, end)
            place += end - start
        target = buffers["target"][:place]
        return _Read(
            epoch=epoch,
            number=number,
            slot=slot,
            rows=place,
            target=self._as_target(target),
            order=self._within(epoch, number, target),
        )

    def _moved(self, read: _Read) -> Batch:
        """A window's rows on the device; on the CPU they stay where they were read to."""
        buffers = self._slots[read.slot]
        views = {name: torch.from_numpy(buffers[name][: read.rows]) for name in ("numbers", "codes")}
        if self._device.type == "cpu":
            return {**views, "target": read.target}
        found = {n: v.to(self._device, non_blocking=True) for n, v in {**views, "target": read.target}.items()}
        if self._device.type == "cuda":
            event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            event.record()
            self._copied[read.slot] = event
        return found

    def _buffers(self) -> dict[str, np.ndarray]:
        """Room for a window; pinned for a GPU, which then copies while the CPU goes on."""
        found = self._files.buffers(self._windows.largest)
        if self._device.type != "cuda":
            return found
        return {name: torch.from_numpy(array).pin_memory().numpy() for name, array in found.items()}


class StreamedRows:
    """Rows that are read from disk to judge by, in order, some at a time."""

    def __init__(self, files: PreparedFiles, as_target: AsTarget, rows_at_once: int, device: torch.device) -> None:
        self._files, self._as_target, self._device = files, as_target, device
        self._at_once = max(1, min(rows_at_once, len(files)))

    def __len__(self) -> int:
        return len(self._files)

    def batches(self) -> Iterator[Batch]:
        """All rows once; each batch is gone when the next one comes."""
        held = self._files.buffers(self._at_once)
        for start in range(0, len(self), self._at_once):
            end = min(start + self._at_once, len(self))
            self._files.read(held, 0, start, end)
            buffers = {name: array[: end - start] for name, array in held.items()}
            rows = {
                "numbers": torch.from_numpy(buffers["numbers"]),
                "codes": torch.from_numpy(buffers["codes"]).long(),
                "target": self._as_target(buffers["target"]),
            }
            yield moved(rows, self._device)
