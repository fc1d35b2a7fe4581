"""Everything that can be known before a run: settings, problems of the data, short trainings, what it will cost."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from epochal import fsio
from epochal.core.errors import Cancelled, EpochalError
from epochal.core.settings import Project, to_document
from epochal.core.tasks import OWN
from epochal.core.useless import CODE, Useless, useless_settings
from epochal.data.protocol import Built, FindProblems, body_of
from epochal.project import trust
from epochal.project.file import ProjectFile
from epochal.project.paths import ProjectPaths
from epochal.runs.launch import refuse_sharing
from epochal.runs.trial import try_training
from epochal.workbench import operations
from epochal.workbench.data_client import DataClient
from epochal.workbench.feeding import refuse_feed
from epochal.workbench.machine import free_memory
from epochal.workbench.passes import of_passes
from epochal.workbench.verdicts import NO_RATE_YET, NOT_FINITE, breaks_at_once, of_room, verdicts


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A check that was made."""

    document: Mapping[str, Any]
    """As `check_file` gives it."""
    project: Project
    """The settings it was made of."""
    code: str = ""
    """What `code_of` said then."""


ORDER = ("error", "warning", "hint")
"""Of severities, the worst first."""

_FORM = 4
"""Raised when what is kept means something else, so that older results are not shown as if they were today's."""

_KEPT = 20
"""Results in the cache: of the settings that were checked last."""

Report = Callable[[str, float | None], None]


def check_file(
    client: DataClient,
    file: ProjectFile,
    report: Report,
    *,
    tell: operations.Tell,
    project: Project | None = None,
    overrides: Collection[str] = (),
    probes: bool = True,
    cancelled: threading.Event | None = None,
) -> tuple[dict[str, Any], Built | None]:
    """The `check --json` document: problems (code, severity, where, what, fix, rows), estimate and checks.

    Also the snapshot and split it was made on, unless they could not be made. With `project` its settings are checked in
    place of the file's, `overrides` being the dotted paths that differ. With `probes` throw-away trainings are made in a
    process of their own, which takes up to about half a minute; without, `checks` is empty. Raises Cancelled once
    `cancelled` is set; whatever else is found is listed, not raised. Nothing of the project is changed; a result of the
    file's own settings is kept in its cache.
    """
    project = file.project if project is None else project
    useless = useless_settings(project)
    problems: list[dict[str, Any]] = [_of_useless(u, overrides) for u in useless]
    document: dict[str, Any] = {"problems": problems, "estimate": {}, "checks": {}}
    built: Built | None = None
    code = ""
    try:
        request = FindProblems(folder=str(file.folder), document=to_document(project))
        answer = client.ask(request, progress=report, cancelled=cancelled)
        problems += [_plain(p) for p in answer["problems"]]
        refuse_sharing(project)
        trust.demand(file.folder, project)
        code = code_of(file.folder, project)
        wanted, built = operations.build(
            client,
            file,
            tell=tell,
            project=project,
            # Another source moves the test set, and was asked for.
            accept_split=any(path.partition(".")[0] == "source" for path in overrides),
            report=report,
            cancelled=cancelled,
        )
        refuse_feed(file.folder, wanted, built)
        trial, brings = _tried(file, wanted, built, problems, report, probes=probes, cancelled=cancelled)
        document |= trial
        # The others mean nothing beside what the model does itself.
        problems += [_of_useless(u, overrides) for u in useless_settings(project, brings) if u not in useless]
    except Cancelled:
        raise
    except EpochalError as error:
        if not is_told(error, problems, useless):
            problems.append(_as_problem(error))
    problems.sort(key=lambda p: ORDER.index(p["severity"]))
    if built is not None and document["checks"] and not overrides:
        _keep(_kept_at(file.folder, project, built, code), document)
    return document, built


def is_told(error: EpochalError, problems: Sequence[Mapping[str, Any]], useless: Sequence[Useless] = ()) -> bool:
    """Whether what ended a check was found already: an error of the same code at the same place, or a useless setting's."""
    found = {(p["code"], p["where"]) for p in problems if p["severity"] == "error"}
    return (error.error_code, error.where) in found or error.where in {u.place for u in useless}


def _tried(
    file: ProjectFile,
    project: Project,
    built: Built,
    problems: list[dict[str, Any]],
    report: Report,
    *,
    probes: bool,
    cancelled: threading.Event | None,
) -> tuple[dict[str, Any], Collection[str]]:
    """The document's estimate and checks, and what the model brings; what they say is wrong joins the problems."""
    if not project.model.family:
        problems.append(_NO_FAMILY)
        return {}, ()
    report("starting the trial", None)
    trial = try_training(
        file.folder,
        project,
        body_of(built),
        probes=probes,
        report=report,
        cancelled=cancelled,
    )
    ranks = project.train.num_ranks
    estimate = {
        **{key: trial[key] for key in _ESTIMATED},
        "memory_bytes": trial["memory_bytes"] * ranks + (_LAUNCHER_BYTES if ranks > 1 else 0),
        "disk_free_bytes": shutil.disk_usage(file.folder).free,
        "memory_available_bytes": free_memory(),
    }
    checks: dict[str, Any] = trial["checks"] or {}
    found = [*of_room(estimate), *of_passes(estimate, project), *(verdicts(checks, project) if checks else ())]
    if not trial["healthy"] and not (checks and breaks_at_once(checks)):
        problems.append(_NOT_FINITE)
    problems += [v.as_problem() for v in found if v.severity in ORDER]
    return {"estimate": estimate, "checks": checks}, trial["brings"]


_LAUNCHER_BYTES = 230_000_000
"""What torch's launcher takes beside the ranks, each of which takes what a run of one process does; measured on Linux."""
_ESTIMATED = (
    "seconds",
    "memory_bytes",
    "disk_bytes",
    "checkpoint_bytes",
    "bundle_bytes",
    "seconds_per_step",
    "seconds_per_evaluation",
    "train_rows",
    "steps_per_epoch",
)

_NO_FAMILY = {
    "code": "no-family",
    "severity": "hint",
    "where": "[model]",
    "what": "no family is chosen yet; the first run chooses one on evidence",
    "fix": "epochal train, or 4 Model",
    "rows": 0,
}

_NOT_FINITE = {
    "code": NOT_FINITE,
    "severity": "error",
    "where": "[train]",
    "what": "the loss of the first step is not a finite number",
    "fix": NO_RATE_YET,
    "rows": 0,
}


def last_check(file: ProjectFile, built: Built) -> dict[str, Any] | None:
    """What the last check of this data with these settings said; None when there was none."""
    try:
        kept = _kept_at(file.folder, file.project, built, code_of(file.folder, file.project))
        document = json.loads(kept.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    whole = isinstance(document, dict) and {"problems", "estimate", "checks"} <= document.keys()
    return document if whole else None


def _keep(path: Path, document: dict[str, Any]) -> None:
    with contextlib.suppress(
        fsio.NotSaved, OSError
    ):  # what cannot be kept is found out again; a full disk is told above
        path.parent.mkdir(parents=True, exist_ok=True)
        fsio.write_text(path, json.dumps(document, ensure_ascii=False) + "\n")
        kept = sorted(path.parent.glob("*.json"), key=lambda p: p.stat().st_mtime_ns, reverse=True)
        for old in kept[_KEPT:]:
            old.unlink(missing_ok=True)


def _kept_at(folder: Path, project: Project, built: Built, code: str) -> Path:
    """Where a check of this data with these settings and this code is kept; the rows and their division have ids."""
    asked = [_FORM, built.snapshot_id, built.split_id, list(built.inputs), decided(project), code]
    name = hashlib.sha256(json.dumps(asked, default=str).encode()).hexdigest()[:16]
    return ProjectPaths(folder).checks / f"{name}.json"


def code_of(folder: Path, project: Project) -> str:
    """What the code of the project's own model is now, and whether it is trusted; empty where there is none to read."""
    if project.model.family != OWN:
        return ""
    try:
        found = trust.standing(folder)
    except EpochalError:  # whoever needs the code tells what is wrong with it
        return ""
    return found.code.digest if found.trusted else f"{found.code.digest} untrusted"


def decided(project: Project) -> dict[str, Any]:
    """What a check depends on of the settings: all but the name and what builds record."""
    document = to_document(project)
    sources = [{k: v for k, v in source.items() if k != "sha256"} for source in document.get("source", ())]
    split = {k: v for k, v in document.get("split", {}).items() if k not in {"fingerprint", "cuts"}}
    return {**document, "name": "", "source": sources, "split": split}


def _of_useless(useless: Useless, overrides: Collection[str]) -> dict[str, Any]:
    beside = useless.beside(overrides)
    return {
        "code": CODE,
        "severity": "error",
        "where": f"--set {beside}" if beside else useless.place,
        "what": f"{useless.path} = {useless.value} means nothing: {useless.why}",
        "fix": useless.fix(overrides),
        "rows": 0,
    }


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
