"""Asking which family fits: a child process tries each for a short, equal time.

The child's result is `{"choice": {…}}`. The evidence is kept in the project's cache.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from epochal import fsio
from epochal.core.settings import Project, duration_seconds
from epochal.project.paths import ProjectPaths
from epochal.runs.child import Report, ask_child, training_request


CHOOSE_COMMAND = (sys.executable, "-P", "-m", "epochal.host", "--choose")

_JUDGE = 2
"""Raised when families are judged in another way, so that older evidence is not recalled as if it were today's."""


def choose(
    folder: Path,
    project: Project,
    built: Mapping[str, Any],
    *,
    report: Report | None = None,
    cancelled: threading.Event | None = None,
    command: Sequence[str] = CHOOSE_COMMAND,
) -> dict[str, Any]:
    """The families ranked, with evidence, and the settings of the best: what `epochal.train.choose` answers, as data.

    `built` is what the data host answered: families are tried on what a run would learn from. Blocks for about a fifth
    of the project's budget; `report` is called on this thread. Setting `cancelled` ends it. Raises Cancelled, RunError
    (code choose-failed), or the error the child met.
    """
    paths = ProjectPaths(folder)
    request = {
        **training_request(folder, project, built),
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
    fsio.make_folder(paths.choices)
    evidence = _evidence(paths, project, built)
    fsio.write_text(evidence, json.dumps(choice, ensure_ascii=False) + "\n")
    return choice


def last_choice(folder: Path, project: Project, built: Mapping[str, Any]) -> dict[str, Any] | None:
    """The answer of an earlier `choose` on this data for this goal; None when there was none."""
    path = _evidence(ProjectPaths(folder), project, built)
    try:
        choice = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return choice if isinstance(choice, dict) else None


def _evidence(paths: ProjectPaths, project: Project, built: Mapping[str, Any]) -> Path:
    goal = [project.goal.task, project.metric, project.columns.target, project.train.budget]
    asked = json.dumps([_JUDGE, built["snapshot_id"], built["split_id"], list(built["inputs"]), *goal])
    return paths.choices / f"{hashlib.sha256(asked.encode()).hexdigest()[:16]}.json"
