"""What makes steps faster: taken where a short measurement on this machine shows that it pays within the run.

More threads on a CPU, smaller numbers on a GPU, and steps compiled by torch. What was set is taken as it is.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

from epochal.core.errors import RunError
from epochal.core.settings import Project
from epochal.train.allowed import address_space_is_limited
from epochal.train.make import Prepared, steps_in_epoch
from epochal.train.probe import PROBE_SECONDS, Rate
from epochal.train.state import Plan


_THREADS_GAIN = 1.5
"""Several threads must be so many times faster than one: a busy machine punishes them later."""
_PRECISION_GAIN = 1.3
"""bfloat16 must be so many times faster than float32: it is less exact."""
_COMPILE_SECONDS = 600.0
"""A run that is shorter is never worth compiling for …"""
_COMPILE_PAYS = 2.0
"""… and in a longer one the time saved must be so many times what compiling took."""


@dataclass(frozen=True, slots=True)
class _Bench:
    """What is measured on."""

    project: Project
    family: str
    prepared: Prepared
    rate: Callable[[Plan], Rate]
    """Measures a plan."""
    cores: int

    def expected(self, plan: Plan, rate: Rate) -> float:
        """Seconds of the whole training."""
        steps = steps_in_epoch(self.prepared, self.family, plan.batch_size)
        return plan.epochs * rate.of_epoch(steps, plan.evaluate_every)


def fastest(
    project: Project,
    family: str,
    prepared: Prepared,
    plan: Plan,
    *,
    rate_of: Callable[[Plan], Rate],
    cores: int,
) -> tuple[Plan, Rate, list[str]]:
    """The plan with what makes it faster here, how fast it goes, and in words what was taken and why.

    `rate_of` measures a plan, `cores` may be used.

    Raises RunError (compile-failed) where compiling was asked for and cannot be done.
    """
    bench = _Bench(project, family, prepared, rate_of, cores)
    rate = bench.rate(plan)
    notes: list[str] = []
    for take in (_with_threads, _with_precision, _compiled):
        plan, rate, note = take(bench, plan, rate)
        notes += [note] if note else []
    return plan, rate, notes


def _with_threads(bench: _Bench, plan: Plan, rate: Rate) -> tuple[Plan, Rate, str]:
    """The threads that were set; else one, unless several are clearly faster."""
    cores = bench.cores
    chosen = bench.project.train.threads != "auto"
    # For each a stack and what its products are packed into, some 40 MB measured of two: here they are the rows' room.
    if bench.family != "trees" and bench.prepared.streamed is not None and address_space_is_limited():
        return plan, rate, ""
    if chosen or cores == 1 or plan.device != "cpu" or bench.expected(plan, rate) < 10 * PROBE_SECONDS:
        return plan, rate, ""
    several = replace(plan, threads=cores)
    faster = bench.rate(several)
    if rate.seconds_per_step <= _THREADS_GAIN * faster.seconds_per_step:
        return plan, rate, ""
    steps = steps_in_epoch(bench.prepared, bench.family, plan.batch_size)
    several = replace(several, one_thread_seconds=rate.of_epoch(steps, plan.evaluate_every) / steps)
    return several, faster, f"{cores} threads: measured {_gain(rate, faster):.1f} times as fast as one"


def _with_precision(bench: _Bench, plan: Plan, rate: Rate) -> tuple[Plan, Rate, str]:
    """float32, unless a GPU is clearly faster with bfloat16 and nothing else was set."""
    if bench.project.train.precision != "auto" or not plan.device.startswith("cuda"):
        return plan, rate, ""
    if bench.expected(plan, rate) < 10 * PROBE_SECONDS:
        return plan, rate, ""
    smaller = replace(plan, precision="bfloat16")
    faster = bench.rate(smaller)
    if rate.seconds_per_step <= _PRECISION_GAIN * faster.seconds_per_step:
        return plan, rate, ""
    return smaller, faster, f"bfloat16: measured {_gain(rate, faster):.1f} times as fast as float32"


def _compiled(bench: _Bench, plan: Plan, rate: Rate) -> tuple[Plan, Rate, str]:
    """Steps as they are, unless the run is so long that compiling them pays, or it was asked for."""
    wanted = bench.project.train.compile
    if bench.family == "trees" or wanted == "off":
        return plan, rate, ""
    before = bench.expected(plan, rate)
    # A compiler may not find room in an address space that is limited, and would take it from the rows.
    if wanted == "auto" and (before < _COMPILE_SECONDS or address_space_is_limited()):
        return plan, rate, ""
    compiled = replace(plan, compiled=True)
    began = time.perf_counter()
    try:
        with warnings.catch_warnings():
            # What torch's compiler thinks of a person's code is of no use to them: the steps do not depend on it.
            warnings.simplefilter("ignore")
            faster = bench.rate(compiled)
    except RuntimeError as error:
        # torch's compiler has many errors of its own, all of this kind: no C++ compiler, an operation it cannot do.
        if wanted == "auto":
            return plan, rate, ""
        raise RunError(
            f"the steps cannot be compiled: {str(error).strip().splitlines()[0]}",
            where="[train] compile",
            fix='write compile = "auto" or "off"; on a CPU it needs a C++ compiler (apt install g++)',
            code="compile-failed",
        ) from error
    cost = time.perf_counter() - began
    saved = before - bench.expected(compiled, faster)
    if wanted == "auto" and saved < _COMPILE_PAYS * cost:
        return plan, rate, ""
    return (
        compiled,
        faster,
        f"compiled steps: measured {_gain(rate, faster):.1f} times as fast, {cost:.0f} s to compile",
    )


def _gain(slower: Rate, faster: Rate) -> float:
    return slower.seconds_per_step / faster.seconds_per_step
