"""What the command line and the screens both do, without either: propose, create, build, choose, train, test, predict.

Every function blocks and reports; screens call them from threads of their own. Nothing here imports torch or DuckDB:
the work is done by the data host and by run hosts.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from epochal import fsio
from epochal.core.errors import EpochalError, RunError, SettingsError
from epochal.core.settings import Model, Project, Source, parse_project, to_document, with_setting
from epochal.core.split import DEALT_ANEW, DEALT_OTHERWISE
from epochal.core.steps import nearest
from epochal.core.useless import for_its_family, refuse_useless, said_of_idle
from epochal.data import fingerprint
from epochal.data.protocol import Build, Built, PreparePrediction, Proposal, Propose, WritePredictions, body_of
from epochal.project import trust
from epochal.project.discover import shipped_projects
from epochal.project.file import ProjectFile, create_project, ignore_cache
from epochal.project.outputs import refuse_overwriting
from epochal.project.paths import ProjectPaths
from epochal.project.runfile import RunSpec, read_run
from epochal.runs import choose as run_choose
from epochal.runs import launch
from epochal.runs.own import look_at_class
from epochal.runs.state import RunInfo, find_run, list_runs, run_info
from epochal.runs.unfit import refuse_unfit
from epochal.workbench.data_client import DataClient
from epochal.workbench.feeding import refuse_feed


Report = Callable[[str, float | None], None]
"""Told what is being done, in words, and how far it is in [0, 1] where that is known."""


Tell = Callable[[str], object]
"""Told what a person must hear of the data: a source that changed, rows that are dealt out otherwise. Never left out."""


def quiet(_text: str, _fraction: float | None = None) -> None:
    """A report to nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A project that was made from a source."""

    file: ProjectFile
    reasons: tuple[tuple[str, str, str], ...]
    """(what, shown value, why) of every suggestion."""
    built: Built
    suspects: tuple[str, ...] = ()
    """Inputs that nearly tell the target alone, and were not left out."""
    choice: Mapping[str, Any] = field(default_factory=dict)
    """The evidence for the chosen family; empty when the family was given."""


def source_uri(uri: str, project_folder: Path) -> str:
    """A path as the project should name it: relative when it lies inside, absolute otherwise; other URIs as they are."""
    if _is_scheme(uri):
        return uri
    path = Path(uri).expanduser().absolute()
    folder = project_folder.absolute()
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


def _is_scheme(uri: str) -> bool:
    return uri.startswith(("sklearn:", "hf://", "s3://", "postgres:", "sqlite:", "images:", "gym:"))


def source_name(uri: str) -> str:
    """A short name for a source, from its URI: letters, digits, `-` and `_`."""
    last = uri.rstrip("/").split("/")[-1].split(":")[-1]
    stem = last.split(".")[0]
    name = "".join(c if c.isalnum() or c in "-_" else "-" for c in stem).strip("-")
    return name or "data"


def blank_document(
    folder: Path,
    uri: str,
    *,
    target: str = "",
    task: str = "",
    ignore: Sequence[str] = (),
    reading: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The least a proposal starts from: a name and one source, and what the person already said."""
    document: dict[str, Any] = {
        "format": 1,
        "name": source_name(folder.absolute().name),
        "source": [{"name": source_name(uri), "uri": source_uri(uri, folder), **(reading or {})}],
    }
    columns = {"target": target, "ignore": list(ignore)}
    if target or ignore:
        document["columns"] = {key: value for key, value in columns.items() if value}
    if task:
        document["goal"] = {"task": task}
    return document


def propose(
    client: DataClient,
    folder: Path,
    document: Mapping[str, Any],
    report: Report = quiet,
    cancelled: threading.Event | None = None,
) -> Proposal:
    """Suggested settings for a source, each with its reason. Setting `cancelled` ends it with Cancelled."""
    request = Propose(folder=str(folder.absolute()), document=document)
    answer: Proposal = client.ask(request, progress=report, cancelled=cancelled)
    return answer


def new_project(
    client: DataClient,
    folder: Path,
    uri: str,
    *,
    tell: Tell,
    target: str = "",
    task: str = "",
    adjust: Callable[[Project], Project] | None = None,
    report: Report = quiet,
) -> Made:
    """Make a project from a source with suggested settings; `adjust` is the last word before it is written.

    Raises EpochalError when the source cannot be read, the target is not there, or the folder holds a project; then
    nothing is left behind. When only the choice of a family fails, the project stays, without one.
    """
    refuse_existing(folder)
    document = blank_document(folder, uri, target=target, task=task)
    if adjust is not None:
        # What a person set comes before what is suggested: a given target or split changes the suggestions.
        document = to_document(adjust(parse_project(document)))
    proposal = propose(client, folder, document, report)
    project = parse_project(proposal.document)
    project = adjust(project) if adjust is not None else project
    if not project.columns.target:
        raise SettingsError(
            "no column looks like what should be predicted",
            where=uri,
            fix=f"name it with --target; columns: {', '.join(proposal.targets[:12])}",
            code="no-target",
        )
    fresh = not folder.exists()
    file = create_project(folder, project)
    try:
        project, built = build(client, file, tell=tell, report=report)
    except BaseException:
        _take_back(file.paths, whole=fresh)
        raise
    choice: Mapping[str, Any] = {}
    if not project.model.family:
        choice = choose_family(file, built, tell=tell, report=report)
    return Made(file=file, reasons=proposal.reasons, built=built, suspects=proposal.suspects, choice=choice)


def _take_back(paths: ProjectPaths, *, whole: bool) -> None:
    """Remove a project that was made a moment ago and cannot be built: the same command, corrected, may make it again.

    With `whole` the folder was made for it; else only what was put into it goes.
    """
    with contextlib.suppress(OSError, fsio.NotSaved):
        if whole:
            fsio.remove_folder(paths.folder)
            return
        for file in (paths.toml, paths.history):
            file.unlink(missing_ok=True)
        fsio.remove_folder(paths.cache)


def refuse_existing(folder: Path) -> None:
    """Raises EpochalError when the folder already holds a project."""
    if ProjectPaths(folder).toml.exists():
        raise EpochalError(
            "this folder already holds a project",
            where=str(folder),
            fix="give another folder, or open this one",
            code="project-exists",
        )


_NOT_COPIED = shutil.ignore_patterns("runs", ".epochal", "history.jsonl", "looks.jsonl", "__pycache__")


def copy_sample(name: str, folder: Path) -> Path:
    """Copy a sample project to a new folder: what was decided and the data, never runs or looks.

    Raises EpochalError when there is no such sample or the folder is taken.
    """
    samples = shipped_projects()
    if name not in samples:
        close = nearest(name, tuple(samples))
        raise EpochalError(
            f"there is no sample {name!r}",
            fix=f"did you mean {close}?" if close else f"take one of {', '.join(sorted(samples))}",
            code="unknown-sample",
        )
    folder = folder.absolute()
    if folder.is_dir() and any(folder.iterdir()):
        raise EpochalError("this folder is not empty", where=str(folder), fix="give another one", code="folder-taken")
    with fsio.new_folder(folder) as making:
        # Without the sample's own times: what is copied now was saved now.
        shutil.copytree(samples[name], making, ignore=_NOT_COPIED, dirs_exist_ok=True, copy_function=shutil.copy)
        ignore_cache(making)
    return folder


def build(
    client: DataClient,
    file: ProjectFile,
    *,
    tell: Tell,
    project: Project | None = None,
    accept_split: bool = False,
    report: Report = quiet,
    cancelled: threading.Event | None = None,
) -> tuple[Project, Built]:
    """Bring snapshot and split up to date; returns the project with what was recorded, and where they are.

    With `project` (settings for one run only) nothing is recorded in the file. What the build noticed is told before
    anything is recorded: a new fingerprint over an old one would hide for ever that there was another.
    Raises SplitChanged when changed data would move the test set and `accept_split` is not given, Cancelled once
    `cancelled` is set.
    """
    wanted = file.project if project is None else project
    request = Build(folder=str(file.folder), document=to_document(wanted), accept_split=accept_split)
    built: Built = client.ask(request, progress=report, cancelled=cancelled)
    if project is not None:
        told = tuple(DEALT_OTHERWISE if notice == DEALT_ANEW else notice for notice in built.notices)
        built = replace(built, notices=told)
    for notice in built.notices:
        tell(notice)
    recorded = record(wanted, built.settings)
    if project is None and recorded != file.project:
        file.record(recorded, "; ".join(["record the split", *built.notices]), base=wanted)
    return recorded, built


def record(project: Project, settings: Mapping[str, Any]) -> Project:
    """The project with what a build found: dotted paths, and `source.NAME.sha256` for a source's fingerprint."""
    for dotted, value in settings.items():
        if dotted.startswith("source."):
            name, _, key = dotted.removeprefix("source.").rpartition(".")
            sources = tuple(_with(s, key, value) if s.name == name else s for s in project.sources)
            project = replace(project, sources=sources)
        else:
            project = with_setting(project, dotted, value)
    return project


def _with(source: Source, key: str, value: Any) -> Source:
    return replace(source, **{key: value})


def choose_family(
    file: ProjectFile, built: Built, *, tell: Tell, project: Project | None = None, report: Report = quiet
) -> Mapping[str, Any]:
    """Choose the family on evidence and write it down, unless the person took one meanwhile.

    Settings that it has no use for are dropped, and that is told.

    `project` are the settings that were built, when they are not the file's.

    Returns the evidence: family, options, settings, reason, metric, candidates.
    """
    choice = run_choose.choose(
        file.folder,
        project or file.project,
        body_of(built),
        report=report,
    )
    base = file.project
    if base.model.family:
        return choice
    model = Model(family=choice["family"], options=choice.get("options", {}))
    chosen = taken(base, model)
    for dotted, value in choice.get("settings", {}).items():
        chosen = with_setting(chosen, dotted, value)
    dropped = said_of_idle(base, chosen)
    if dropped:
        tell(dropped)
    file.change(chosen, f"choose {model.family}", base=base)
    return choice


def taken(project: Project, model: Model) -> Project:
    """The project with another model, without what its family has no use for or takes for something else."""
    return for_its_family(project, replace(project, model=model))


def make_run(
    client: DataClient,
    file: ProjectFile,
    *,
    tell: Tell,
    adjust: Callable[[Project], Project] | None = None,
    overrides: Mapping[str, Any] | None = None,
    accept_split: bool = False,
    report: Report = quiet,
    cancelled: threading.Event | None = None,
    nodes: int = 1,
    starts_here: bool = True,
) -> RunSpec:
    """Prepare a run: data up to date, family chosen, run.toml frozen. It is not started yet.

    A model of a person's own is read before, in a process of its own: what it is refused for is told before anything is
    made; so is what this machine cannot do, unless the run starts elsewhere. Raises SettingsError (code useless-setting)
    for settings that mean nothing.
    """
    if not file.project.columns.target:
        raise SettingsError(
            "the project has no target",
            where="project.toml [columns]",
            fix='write target = "…" there',
            code="no-target",
        )
    wanted = file.project if adjust is None else adjust(file.project)
    launch.refuse_sharing(wanted, nodes)
    refuse_useless(wanted, overrides=overrides or ())
    trust.demand(file.folder, wanted)
    brings = look_at_class(file.folder, wanted, report=report, cancelled=cancelled)
    refuse_useless(wanted, brings, overrides=overrides or ())
    if _same_rows(wanted, file.project):
        # What this run holds out is what the project holds out: recorded, so that changed data cannot move it unseen.
        recorded, built = build(client, file, tell=tell, accept_split=accept_split, report=report, cancelled=cancelled)
        project = recorded if adjust is None else adjust(recorded)
    else:
        project, built = build(
            client, file, tell=tell, project=wanted, accept_split=accept_split, report=report, cancelled=cancelled
        )
    refuse_feed(file.folder, project, built)
    if not project.model.family:
        choose_family(file, built, tell=tell, project=project, report=report)
        project = taken(project, file.project.model)
    if starts_here:
        refuse_unfit(
            file.folder,
            project,
            body_of(built),
            report=report,
            cancelled=cancelled,
        )
    return launch.make_run(file.folder, project, body_of(built), overrides or {}, nodes=nodes)


def _same_rows(one: Project, other: Project) -> bool:
    """Whether two projects train, validate and test on the same rows of the same data."""
    return all(getattr(one, part) == getattr(other, part) for part in ("sources", "columns", "clean", "split", "goal"))


def find_model(folder: Path, which: str | None = None) -> RunInfo:
    """The run whose model is used: the one named, else the newest that is done, else the newest that has one.

    Raises RunError when there is none.
    """
    if which is not None:
        info = find_run(folder, which)
        if _has_model(info):
            return info
        raise _without_model(info)
    models = [info for info in list_runs(folder) if _has_model(info)]
    if models:
        return next((info for info in models if info.status == "done"), models[0])
    raise RunError(
        "no run has a model yet", where=str(folder), fix=f"epochal train {shlex.quote(str(folder))}", code="no-model"
    )


def _has_model(info: RunInfo) -> bool:
    return (info.folder / "bundle" / "bundle.toml").is_file()


def _without_model(info: RunInfo) -> RunError:
    """That a run has no finished model, and which newest one has."""
    folder = info.spec.project_folder
    newest = next((other for other in list_runs(folder) if _has_model(other)), None)
    fix = "let it finish" if info.alive else "train it to its end, or resume it"
    if newest is not None:
        fix += f"; the newest run with a model is {newest.spec.number}, {newest.name} ({newest.status})"
    return RunError(
        f"run {info.name} is {info.status} and has no finished model", where=str(info.folder), fix=fix, code="no-model"
    )


def data_to_go_on(client: DataClient, spec: RunSpec, report: Report = quiet) -> str:
    """Have the rows there that a run began with; what a person is told of its sources when it goes on.

    Raises EpochalError as `ensure_snapshot` does, and RunError (code not-saved) where nothing of it could be written.
    """
    if not os.access(spec.folder, os.W_OK):
        raise RunError(
            f"run {spec.name} cannot go on: its folder cannot be written to",
            where=str(spec.folder),
            fix="copy the project to where you may write, and resume it there",
            code=fsio.NotSaved.code,
        )
    ensure_snapshot(client, spec, report)
    return said_of_sources(spec)


def ensure_snapshot(client: DataClient, spec: RunSpec, report: Report = quiet) -> None:
    """Make the run's snapshot and split again from its frozen settings when the cache was deleted.

    Raises EpochalError (code data-changed) when the sources no longer give the same rows.
    """
    paths = ProjectPaths(spec.project_folder)
    if (paths.snapshots / spec.snapshot_id).is_dir() and (paths.splits / spec.split_id).is_dir():
        return
    request = Build(folder=str(paths.folder), document=to_document(spec.project), accept_split=True)
    built: Built = client.ask(request, progress=report)
    if (built.snapshot_id, built.split_id) != (spec.snapshot_id, spec.split_id):
        changed = _changed_sources(spec)
        why = f"{changed} changed, or gone, since it began" if changed else "the sources or their files changed"
        raise EpochalError(
            f"the data of run {spec.name} is not what it was: {why}",
            where=str(spec.folder / "run.toml"),
            fix="bring the old files back, or train a new run on the new data",
            code="data-changed",
        )


def said_of_sources(spec: RunSpec) -> str:
    """What a person is told when a run goes on whose sources have changed since; empty where none did."""
    changed = _changed_sources(spec)
    if not changed:
        return ""
    return f"{changed} changed, or gone, since run {spec.name} began; it goes on with the data it began with"


def _changed_sources(spec: RunSpec) -> str:
    """Which they are, up to the verb; empty where none is known to have changed."""
    changed = fingerprint.changed(spec.project.sources, spec.project_folder)
    if not changed:
        return ""
    return f"source {changed[0]} has" if len(changed) == 1 else f"sources {', '.join(changed)} have"


def _demand_model(spec: RunSpec) -> None:
    """That the code a run's model is made of may run, when it is a person's own. Raises Untrusted."""
    if spec.code is not None:
        trust.demand_state(spec.project_folder, spec.code.digest, spec.name)


def open_test_set(client: DataClient, run_folder: Path, report: Report = quiet) -> dict[str, Any]:
    """Open the test set for a run: counted, predicted, judged, written to its report. Returns the `test --json` document.

    Raises RunError (code no-model) for a run without a finished model, naming the newest that has one.
    """
    from epochal.ship import client as ship_client

    info = run_info(run_folder)
    if not _has_model(info):
        raise _without_model(info)
    spec = info.spec
    _demand_model(spec)
    ensure_snapshot(client, spec, report)
    return ship_client.test_run(spec, report)


def predict(client: DataClient, run_folder: Path, uri: str, path: Path, report: Report = quiet) -> dict[str, Any]:
    """Predict every row of a new file and write them, in order, to `path`. Returns {"rows", "path", "run", "noted"}."""
    from epochal.ship import client as ship_client

    spec = read_run(run_folder)
    _demand_model(spec)
    refuse_overwriting(path, spec.project_folder, spec.project, uri)
    with fsio.scratch_folder(ProjectPaths(spec.project_folder).cache, "predict-") as scratch:
        client.ask(
            PreparePrediction(
                folder=str(spec.project_folder),
                document=to_document(spec.project),
                uri=uri if _is_scheme(uri) else str(Path(uri).expanduser().absolute()),
                inputs=spec.inputs,
                into=str(scratch),
                types=ship_client.learnt_types(spec),
            ),
            progress=report,
        )
        noted = ship_client.predict(spec, scratch, report)
        written = client.ask(WritePredictions(folder=str(scratch), path=str(path.absolute())), progress=report)
    return {"rows": written["rows"], "path": str(path), "run": spec.name, **noted}
