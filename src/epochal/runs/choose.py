"""Asking which family fits: a child process tries each for a short, equal time.

The child's result is `{"choice": {…}}`. The evidence is kept in the project's cache.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tomli_w

from epochal import fsio
from epochal.core.settings import Project, duration_seconds, to_document
from epochal.project.paths import ProjectPaths
from epochal.runs.child import Report, ask_child


CHOOSE_COMMAND = (sys.executable, "-P", "-m", "epochal.host", "--choose")

_JUDGE = 2
"""Raised when families are judged in another way, so that older evidence is not recalled as if it were today's."""


def choose(
    folder: Path,
    project: Project,
    *,
    snapshot_id: str,
    split_id: str,
    inputs: Sequence[str],
    classes: Sequence[str],
    report: Report | None = None,
    cancelled: threading.Event | None = None,
    command: Sequence[str] = CHOOSE_COMMAND,
) -> dict[str, Any]:
    """The families ranked, with evidence, and the settings of the best: what `epochal.train.choose` answers, as data.

    Ids, inputs and classes are what the build says: families are tried on what a run would learn from. Blocks for about a fifth of the project's budget; `report` is called on this thread. Setting `cancelled` ends it.
    Raises Cancelled, RunError (code choose-failed), or the error the child met.
    """
    paths = ProjectPaths(folder)
    request = {
        "project": tomli_w.dumps(to_document(project)),
        "snapshot": str(paths.snapshots / snapshot_id),
        "split": str(paths.splits / split_id),
        "inputs": list(inputs),
        "classes": list(classes),
        "budget_seconds": duration_seconds(project.train.budget),
    }
    answer = ask_child(
        [*command, str(paths.folder)],
        request,
        what="the trial of families",
        code="choose-failed",
        fix='choose one yourself: family = "…" in [model]',
        report=report,
        cancelled=cancelled,
    )
    choice: dict[str, Any] = answer["choice"]
    paths.choices.mkdir(parents=True, exist_ok=True)
    evidence = _evidence(paths, project, snapshot_id, split_id, inputs)
    fsio.write_text(evidence, json.dumps(choice, ensure_ascii=False) + "\n")
    return choice


def last_choice(
    folder: Path, project: Project, *, snapshot_id: str, split_id: str, inputs: Sequence[str]
) -> dict[str, Any] | None:
    """The answer of an earlier `choose` on this data for this goal; None when there was none."""
    path = _evidence(ProjectPaths(folder), project, snapshot_id, split_id, inputs)
    try:
        choice = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return choice if isinstance(choice, dict) else None


def _evidence(paths: ProjectPaths, project: Project, snapshot_id: str, split_id: str, inputs: Sequence[str]) -> Path:
    goal = [project.goal.task, project.metric, project.columns.target, project.train.budget]
    asked = json.dumps([_JUDGE, snapshot_id, split_id, list(inputs), *goal])
    return paths.choices / f"{hashlib.sha256(asked.encode()).hexdigest()[:16]}.json"
