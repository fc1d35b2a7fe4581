"""Asking what a run would meet and cost: a child process takes a real step, tries short trainings, and measures."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from epochal.core.settings import Project
from epochal.project.paths import ProjectPaths
from epochal.runs.child import Report, ask_child, training_request


READING_SECONDS = 600.0
"""Reading the rows, or a block of them where they do not fit into memory, may take so long …"""
PART_SECONDS = 60.0
"""… and every other part of a trial so long: what takes longer does not come back, or nobody would wait for it."""
_COMPILING_SECONDS = 600.0
"""Where compiling was asked for: a trial waits for the compiler as a run would."""
TRY_COMMAND = (sys.executable, "-P", "-m", "epochal.host", "--try")


def try_training(
    folder: Path,
    project: Project,
    built: Mapping[str, Any],
    *,
    probes: bool = True,
    part_seconds: float = PART_SECONDS,
    report: Report | None = None,
    cancelled: threading.Event | None = None,
) -> dict[str, Any]:
    """What `epochal.train.trial` answers, as data: the fields of its `Trial`.

    `built` is what the data host answered: the step is one that a run would take. `probes` asks for the short
    trainings of `epochal.train.checks` too; then it takes some seconds, at most about half a minute. A part of it that
    takes longer than `part_seconds` ends it. Raises Cancelled, RunError (code check-stuck for a part that does not end,
    trial-failed), or the error that a run would meet.
    """
    paths = ProjectPaths(folder)
    request = {
        **training_request(folder, project, built),
        "folder": str(paths.folder),
        "probes": probes,
        "reading_seconds": READING_SECONDS,
        "part_seconds": _COMPILING_SECONDS if project.train.compile == "on" else part_seconds,
    }
    answer = ask_child(
        [*TRY_COMMAND, str(paths.folder)],
        request,
        what="the trial",
        code="trial-failed",
        fix="see `epochal doctor` for memory and versions",
        report=report,
        cancelled=cancelled,
    )
    trial: dict[str, Any] = answer["trial"]
    return trial
