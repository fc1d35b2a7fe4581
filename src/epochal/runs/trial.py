"""Asking what a run would meet and cost: a child process takes a real step, tries short trainings, and measures."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tomli_w

from epochal.core.settings import Project, to_document
from epochal.project.paths import ProjectPaths
from epochal.runs.child import Report, ask_child


TRY_COMMAND = (sys.executable, "-P", "-m", "epochal.host", "--try")


def try_training(
    folder: Path,
    project: Project,
    *,
    snapshot_id: str,
    split_id: str,
    inputs: Sequence[str],
    classes: Sequence[str],
    probes: bool = True,
    report: Report | None = None,
    cancelled: threading.Event | None = None,
) -> dict[str, Any]:
    """What `epochal.train.trial` answers, as data: the fields of its `Trial`.

    Ids, inputs and classes are what the build says: the step is one that a run would take. `probes` asks for the short
    trainings of `epochal.train.checks` too; then it takes some seconds, at most about half a minute.
    Raises Cancelled, RunError (code trial-failed), or the error that a run would meet.
    """
    paths = ProjectPaths(folder)
    request = {
        "project": tomli_w.dumps(to_document(project)),
        "snapshot": str(paths.snapshots / snapshot_id),
        "split": str(paths.splits / split_id),
        "inputs": list(inputs),
        "classes": list(classes),
        "folder": str(paths.folder),
        "probes": probes,
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
