"""The frame around every pane: stages with their state, the top bar, the next best action."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


StageState = Literal["done", "waiting", "problem", "busy", "sealed", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage in the rail."""

    number: int
    name: str
    title: str
    state: StageState = "none"
    summary: str = "–"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShellView:
    """What the frame shows."""

    project: str = ""
    saved: str = ""
    """When the last decision reached the disk, HH:MM:SS; empty when nothing is open."""
    run: str = ""
    """The run that is shown or under way, in two words: "run 3"."""
    run_state: str = ""
    run_fraction: float | None = None
    machine: str = ""
    """How busy this machine is."""
    notice: str = ""
    """What was just done, in words."""
    warns: bool = False
    """Whether the notice is bad news."""
    busy: str = ""
    """What is being worked on for the person, in words."""
    busy_fraction: float | None = None
    error: str = ""
    """What went wrong last, as one line with its remedy."""
    stages: tuple[Stage, ...] = ()
    next: str = ""
    """The next best action and why."""
