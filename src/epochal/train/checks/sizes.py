"""The batch-size probe: rows a second and memory at several sizes, each for a moment."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from epochal.core.errors import RunError
from epochal.train.checks.facts import SizeTest
from epochal.train.checks.subject import Subject, spread_out
from epochal.train.device import same_device
from epochal.train.gradient import GradientLearner
from epochal.train.memory import give_back, is_out_of_memory


Report = Callable[[str, float], None]

NEARLY = 0.9
"""Of the best throughput: beyond that, a larger batch pays nothing."""
_SMALLEST, _LARGEST = 16, 16_384
_BELOW, _ABOVE = 2, 4
"""Powers of two on either side of the plan's size."""
_SECONDS = 0.5
"""At each size: more would not tell more."""
_FEWEST_STEPS = 8
"""In a pass: a batch of much of the data leaves too few steps to learn in."""


def size_test(subject: Subject, until: float, report: Report = lambda _text, _share: None) -> SizeTest:
    """Learn for a moment at each size. `until` is a moment of `time.perf_counter`; the largest sizes come last.

    `report` is told each size and the share of them that is done.
    """
    plan = subject.plan
    if subject.family == "trees":
        return SizeTest(in_force=plan.batch_size, why_not="every round of trees looks at all rows")
    if subject.makes_batches:
        return SizeTest(in_force=plan.batch_size, why_not="the model makes its batches itself")
    device = same_device(plan.device)
    sizes = _sizes(plan.batch_size, subject.num_rows)
    throughput: list[tuple[int, float]] = []
    memory: list[tuple[int, int]] = []
    cut, broke = False, None
    for n, size in enumerate(sizes):
        report(f"batches of {size} rows", n / len(sizes))
        left = until - time.perf_counter()
        if left <= 0:
            cut = True
            break
        learner = _learner(subject, size)
        if learner is None:
            break
        memory.append((size, _memory_of_step(learner, device)))
        speed = _rows_a_second(learner, min(_SECONDS, left / (len(sizes) - n)))
        if speed is None:
            broke = (size, learner.step)
            break
        throughput.append((size, speed))
    return SizeTest(
        in_force=plan.batch_size,
        suggested=_suggested(throughput),
        throughput=tuple(throughput),
        memory=tuple(memory),
        largest=None if device.type == "cpu" or broke else largest_that_fits(subject, until),
        not_finite=broke,
        cut_short=cut,
    )


def _sizes(in_force: int, rows: int) -> list[int]:
    """Powers of two around the size in force, and that size itself."""
    power = round(math.log2(in_force))
    most = min(_LARGEST, max(_SMALLEST, rows // _FEWEST_STEPS))
    around = {1 << p for p in range(max(0, power - _BELOW), power + _ABOVE + 1) if _SMALLEST <= 1 << p <= most}
    return sorted(around | {min(in_force, rows)})


def _suggested(throughput: list[tuple[int, float]]) -> int | None:
    """The smallest size whose throughput is nearly the best."""
    best = max((speed for _, speed in throughput), default=0.0)
    return next((size for size, speed in throughput if best and speed >= NEARLY * best), None)


def _learner(subject: Subject, size: int) -> GradientLearner | None:
    """A learner at another batch size, past its first step; None when memory does not suffice for the whole batch."""
    fewer = subject.rows(spread_out(subject.num_rows, max(20_000, 20 * size)))
    try:
        learner = fewer.network(replace(subject.plan, batch_size=size, epochs=10**6, accumulate=1))
        learner.advance(1)
    except (RunError, RuntimeError, MemoryError) as error:
        known = isinstance(error, RunError) and error.error_code == "out-of-memory"
        if not known and not is_out_of_memory(error):
            raise
        return None
    if learner.pieces > 1:
        give_back(same_device(subject.plan.device))
        return None
    return learner


def _rows_a_second(learner: GradientLearner, seconds: float) -> float | None:
    """The best of up to three stretches, as a busy machine only ever makes it slower; at least one step.

    None when the loss leaves the finite numbers: from there on no step is taken.
    """
    best, until = 0.0, time.perf_counter() + seconds
    for _stretch in range(3):
        begun, samples = time.perf_counter(), 0
        while not samples or time.perf_counter() - begun < seconds / 3:
            window = learner.advance(1)
            if not window.healthy or not window.count:
                return None
            samples += window.samples
        best = max(best, samples / (time.perf_counter() - begun))
        if time.perf_counter() > until:
            break
    return best


def _memory_of_step(learner: GradientLearner, device: torch.device) -> int:
    """Bytes that one step needs beside weights and optimiser: on a GPU measured, else what is kept for the gradients."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        learner.advance(1)
        return max(0, torch.cuda.max_memory_allocated(device) - before)
    # A network that knows its gradients keeps the same for them, unseen.
    with learner.by_autograd(), _kept(learner) as kept:
        learner.advance(1)
    return sum(kept.values())


@contextlib.contextmanager
def _kept(learner: GradientLearner) -> Iterator[dict[int, int]]:
    """Fills with the bytes of each tensor, by its address, that a step keeps for its gradients; weights apart."""
    kept: dict[int, int] = {}
    weights = {p.untyped_storage().data_ptr() for p in learner.module.parameters()}

    def keep(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = max(kept.get(storage.data_ptr(), 0), storage.nbytes())
        return value

    def back(value: Any) -> Any:
        return value

    with torch.autograd.graph.saved_tensors_hooks(keep, back):
        yield kept


def largest_that_fits(subject: Subject, until: float) -> int | None:
    """Most rows that can be computed at once, by doubling until memory runs out or there are no more rows."""
    rows, size, largest = subject.num_rows, subject.plan.batch_size, None
    while largest != rows and time.perf_counter() < until:
        if _learner(subject, min(size, rows)) is None:
            break
        largest = min(size, rows)
        size *= 2
    return largest
