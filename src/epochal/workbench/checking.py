"""Everything that can be known before a run: settings, problems of the data, one real step, what it will cost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from epochal.core.errors import EpochalError
from epochal.core.settings import to_document
from epochal.data.protocol import FindProblems
from epochal.project import trust
from epochal.project.file import ProjectFile
from epochal.runs.trial import try_one_step
from epochal.workbench import operations
from epochal.workbench.data_client import DataClient


def check_project(
    client: DataClient, folder: Path, report: Callable[[str, float | None], None], *, tell: operations.Tell
) -> dict[str, Any]:
    """The `check --json` document: problems (code, severity, where, what, fix, rows) and estimate.

    Raises SettingsError when project.toml itself cannot be read; what is found after that is listed, not raised.
    Nothing of the project is changed.
    """
    file = ProjectFile.open(folder)
    problems: list[dict[str, Any]] = []
    try:
        answer = client.ask(FindProblems(folder=str(file.folder), document=to_document(file.project)), progress=report)
        problems += [_plain(p) for p in answer["problems"]]
        trust.demand(file.folder, file.project)
        estimate = _try(client, file, problems, report, tell)
    except EpochalError as error:
        problems.append(_as_problem(error))
        estimate = {}
    order = ("error", "warning", "hint")
    return {"problems": sorted(problems, key=lambda p: order.index(p["severity"])), "estimate": estimate}


def _try(
    client: DataClient,
    file: ProjectFile,
    problems: list[dict[str, Any]],
    report: Callable[[str, float | None], None],
    tell: operations.Tell,
) -> dict[str, Any]:
    project, built = operations.build(client, file, tell=tell, project=file.project, report=report)
    if not project.model.family:
        problems.append(
            {
                "code": "no-family",
                "severity": "hint",
                "where": "[model]",
                "what": "no family is chosen yet; the first run chooses one on evidence",
                "fix": "epochal train, or 4 Model",
                "rows": 0,
            }
        )
        return {}
    report("taking one real step", None)
    trial = try_one_step(
        file.folder,
        project,
        snapshot_id=built.snapshot_id,
        split_id=built.split_id,
        inputs=built.inputs,
        classes=built.classes,
        report=report,
    )
    if not trial["healthy"]:
        problems.append(
            {
                "code": "loss-not-finite",
                "severity": "error",
                "where": "[train]",
                "what": "the loss of the first step is not a finite number",
                "fix": "lower train.learning_rate, or look for extreme values in the data pane",
                "rows": 0,
            }
        )
    return {key: trial[key] for key in ("seconds", "memory_bytes", "disk_bytes")}


def _plain(problem: dict[str, Any]) -> dict[str, Any]:
    return {key: problem[key] for key in ("code", "severity", "where", "what", "fix", "rows")}


def _as_problem(error: EpochalError) -> dict[str, Any]:
    return {
        "code": error.error_code,
        "severity": "error",
        "where": error.where,
        "what": error.what,
        "fix": error.fix,
        "rows": 0,
    }
