"""Whether and where a run goes on: decided before anything heavy is loaded, by who resumes it and again by its host."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from epochal.project.checkpoints import Checkpoint, where_to_go_on
from epochal.project.exact import differences, facts_of, refuse_other
from epochal.project.runfile import RunSpec


Way = Literal["exactly", "anyway", "from-start"]
"""How a run may go on: only to the bit; also where that cannot be; from the beginning, its checkpoints being lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Going:
    """Where a run goes on."""

    checkpoint: Checkpoint | None
    """None: from its beginning."""
    passed_over: tuple[str, ...]
    """In words, each newer checkpoint that is missing or damaged."""
    seam: str = ""
    """In words, what is not as it was; empty when it goes on to the bit."""

    @property
    def step(self) -> int:
        """Where it goes on."""
        return self.checkpoint.step if self.checkpoint else 0


def going_on(
    spec: RunSpec, told: Iterable[int], way: Way = "exactly", *, diverged: bool = False, device_name: str = ""
) -> Going:
    """Where the run goes on. `told` are the steps of the checkpoints that its journal says were written.

    `diverged` is how it ended, `device_name` the GPU's, for who can see it.

    Raises RunError: resume-differs where it would not be the run it was, no-checkpoint where all are lost, or where it
    diverged before the first.
    """
    start = where_to_go_on(spec.folder, told, from_start=way == "from-start", diverged=diverged)
    checkpoint = start.checkpoint
    if checkpoint is None:
        return Going(checkpoint=None, passed_over=start.passed_over)
    now = facts_of(spec, device_name)
    if way != "anyway":
        refuse_other(checkpoint, now)
    unlike = differences(checkpoint, now)
    if spec.project.train.mode == "fast":
        unlike.append("fast mode promises no equality")
    return Going(checkpoint=checkpoint, passed_over=start.passed_over, seam="; ".join(unlike))
