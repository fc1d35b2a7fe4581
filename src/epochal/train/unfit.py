"""What a run would be refused for by this machine: looked for before it is made, as it would look itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from epochal.core.settings import Project
from epochal.train.blocks import source_of
from epochal.train.device import choose_device, free_on_device
from epochal.train.holding import refuse_in_blocks, sizes_for
from epochal.train.plan import precision_on


def refuse_unfit(
    project: Project, snapshot_folder: Path, split_folder: Path, *, inputs: Sequence[str], classes: Sequence[str]
) -> None:
    """Refuse settings that this machine cannot meet.

    Raises NoDevice, SettingsError for a precision, RunError (too-little-memory, needs-all-rows).
    """
    source = source_of(project, snapshot_folder, split_folder, inputs=inputs, classes=classes)
    rows, train, device_free = source.split.train, project.train, None
    if project.model.family != "trees":
        precision_on(choose_device(train.devices, rows)[0], train.precision)
        device_free = free_on_device(train.devices, rows)
    if sizes_for(source, train.memory, None, device_free) is not None:
        refuse_in_blocks(project)
