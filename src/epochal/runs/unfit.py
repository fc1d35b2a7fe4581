"""Asking whether this machine can do what the settings say, so that no run is made only to fail half a minute later."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from epochal.core.settings import Project, Train
from epochal.project.paths import ProjectPaths
from epochal.runs.child import Report, ask_child, training_request


UNFIT_COMMAND = (sys.executable, "-P", "-m", "epochal.host", "--unfit")

_ALWAYS = {
    "devices": (Train().devices, "cpu"),
    "precision": (Train().precision, "float32"),
    "memory": (Train().memory,),
}
"""What every machine can do: nobody needs to ask."""


def refuse_unfit(
    folder: Path,
    project: Project,
    built: Mapping[str, Any],
    *,
    report: Report,
    cancelled: threading.Event | None = None,
) -> None:
    """Refuse devices, a precision or a limit of memory with which a run here would fail before its first step.

    `built` is what the data host answered. Returns at once for settings that fit everywhere, else takes as long
    as importing torch. Raises Cancelled, and what a run would fail with: no-device, settings, too-little-memory.
    """
    if all(getattr(project.train, name) in always for name, always in _ALWAYS.items()):
        return
    paths = ProjectPaths(folder)
    report("looking whether this machine can do it", None)
    ask_child(
        [*UNFIT_COMMAND, str(paths.folder)],
        training_request(folder, project, built),
        what="looking at this machine",
        code="no-device",
        fix="see `epochal doctor` for GPU, memory and versions",
        cancelled=cancelled,
    )
