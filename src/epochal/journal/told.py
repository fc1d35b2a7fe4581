"""What a journal says of a run's checkpoints: needed before a resume, without keeping the whole run in memory."""

from __future__ import annotations

from pathlib import Path

from epochal.core.events import CheckpointSaved, Resumed
from epochal.journal.tail import read_journal


def checkpoints_told(run_folder: Path) -> tuple[int, ...]:
    """The steps of the checkpoints that were written and still count: a resume makes those after it void."""
    told: dict[int, None] = {}
    for record in read_journal(run_folder):
        if isinstance(record.event, CheckpointSaved):
            told[record.event.step] = None
        elif isinstance(record.event, Resumed):
            told = {step: None for step in told if record.event.folder and step <= record.event.from_step}
    return tuple(told)
