"""What a journal says that a resume needs to know, without keeping the whole run in memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from epochal.core.events import CheckpointSaved, Resumed, RunEnded, TrainingStarted
from epochal.journal.tail import read_journal


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a run said of itself."""

    checkpoints: tuple[int, ...] = ()
    """The steps of the checkpoints that were written and still count: a resume makes those after it void."""
    diverged: bool = False
    """Its loss was no number any more, and it did not go on since."""


def told_of(run_folder: Path) -> Told:
    """What the journal in a run's folder says."""
    checkpoints: dict[int, None] = {}
    diverged = False
    for record in read_journal(run_folder, (CheckpointSaved, Resumed, TrainingStarted, RunEnded)):
        match record.event:
            case CheckpointSaved() as event:
                checkpoints[event.step] = None
            case Resumed() as event:
                checkpoints = {step: None for step in checkpoints if event.folder and step <= event.from_step}
                diverged = False
            case TrainingStarted():
                diverged = False
            case RunEnded() as event:
                # A host that would not go on ends too: that mends nothing.
                diverged = diverged or event.state == "diverged"
    return Told(checkpoints=tuple(checkpoints), diverged=diverged)
