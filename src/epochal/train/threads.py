"""Whether several compute threads still pay: on a machine that gets busy they wait for each other and crawl.

Two threads on two cores that others wanted too were measured at a twentieth of what one gave.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from epochal.train.state import Plan


_PATIENCE_SECONDS = 3.0
"""Of steps slower than with one thread, before several are given up."""
_SLOWER = 1.5
"""Than one thread on the idle machine: by so much several must be slower."""


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Within, torch computes with one thread: what comes out is then the same however many cores there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(slots=True)
class ThreadWatch:
    """Looks at how long steps take with several threads, and says when one is better."""

    several: bool
    one_thread_seconds: float
    """What a step took with one thread when it was measured."""
    _steps: int = 0
    _seconds: float = 0.0

    @classmethod
    def of(cls, plan: Plan, threads: int) -> ThreadWatch:
        """The watch for a plan that computes with so many threads now."""
        return cls(several=threads > 1 and plan.one_thread_seconds > 0, one_thread_seconds=plan.one_thread_seconds)

    def give_up(self, steps: int, seconds: float) -> bool:
        """Take in some steps; True when they should go on with one thread."""
        if not self.several:
            return False
        self._steps, self._seconds = self._steps + steps, self._seconds + seconds
        if self._seconds < _PATIENCE_SECONDS:
            return False
        slow = self._seconds > _SLOWER * self.one_thread_seconds * max(1, self._steps)
        self._steps, self._seconds = 0, 0.0
        self.several = not slow
        return slow
