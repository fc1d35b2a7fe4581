"""Each request of the protocol, answered with the engine."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epochal.core.settings import Project, parse_project
from epochal.core.steps import parse_step
from epochal.data import account, count, export, pages, problems, profile, propose, protocol, views
from epochal.data.engine import Engine, Work, connect, limit_memory, open_engine, seal, sweep_imports
from epochal.data.recipe import ready_steps
from epochal.data.sql import TRY_APART, recipe_sql


if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_OPEN_ENGINES = 2
"""Imports held open at once: the project's, and the one before a change of its sources."""


class Answers:
    """Answers requests; thread-safe. Holds the opened imports and nothing of the project."""

    def __init__(self) -> None:
        limit_memory()
        self._engines: dict[tuple[str, str], Engine] = {}
        self._opening = threading.Lock()
        self._cursors = threading.local()

    def answer(self, request: protocol.Request, work: Work) -> Any:
        """The answer's body. Raises EpochalError."""
        return _HANDLERS[type(request)](self, request, work)

    @contextmanager
    def project(self, request: Any, work: Work) -> Iterator[tuple[Project, Engine, DuckDBPyConnection]]:
        """The request's project, its engine and this thread's connection, interruptible while inside."""
        project = parse_project(request.document)
        engine = self.engine(project, Path(request.folder).absolute(), work)
        with work.on(self._cursor(engine)) as con:
            yield project, engine, con

    @contextmanager
    def view(self, token: str, work: Work) -> Iterator[tuple[views.OpenedView, DuckDBPyConnection]]:
        """An opened view and this thread's connection, interruptible while inside."""
        view = views.view_of(tuple(self._engines.values()), token)
        with work.on(self._cursor(view.engine)) as con:
            yield view, con

    def engine(self, project: Project, folder: Path, work: Work) -> Engine:
        """The engine for the project's sources as they are now."""
        from epochal.data.sources import import_id

        with self._opening:
            name = (import_id(project, folder), str(folder))
            known = dict(self._engines)  # replaced, never changed: other lanes read it without waiting for an import
            engine = known.pop(name, None)
            if engine is None:
                engine = open_engine(project, folder, work)
                for old in list(known)[: max(0, len(known) + 1 - _OPEN_ENGINES)]:
                    known.pop(old).close()
            known[name] = engine
            self._engines = known
            return engine

    def sweep(self) -> None:
        """Leave nothing behind: the process ends now."""
        sweep_imports()
        for engine in self._engines.values():
            engine.sweep()

    def _cursor(self, engine: Engine) -> DuckDBPyConnection:
        """This thread's connection to the engine, made once."""
        known: dict[int, tuple[Engine, DuckDBPyConnection]] = self._cursors.__dict__.setdefault("known", {})
        for number, (old, _) in list(known.items()):
            if old not in self._engines.values():
                del known[number]
        if id(engine) not in known:
            known[id(engine)] = (engine, engine.cursor())
        return known[id(engine)][1]


def _open_view(self: Answers, request: protocol.OpenView, work: Work) -> protocol.View:
    with self.project(request, work) as (project, engine, con):
        part, number = _part(request, project, engine, con, work)
        view = views.open_view(
            engine,
            con,
            project,
            work,
            steps=request.steps,
            sort=request.sort,
            where=request.where,
            expression=request.expression,
            keys=request.keys,
            eids=request.eids,
            part=part,
            part_number=number,
        )
        infos = pages.column_infos(con, view)
        return protocol.View(token=view.token, rows=view.rows, total=view.base.rows, columns=infos)


def _part(
    request: protocol.OpenView, project: Project, engine: Engine, con: DuckDBPyConnection, work: Work
) -> tuple[Path | None, int]:
    """The split file and the part's number, when only one part is asked for; the split is made when it is not there."""
    if not request.part:
        return None, 0
    from epochal.core.split import PARTS
    from epochal.data.build import build
    from epochal.project.paths import ProjectPaths

    built = build(con, project, engine.folder, accept_split=True, report=work.tell)
    return ProjectPaths(engine.folder).splits / built.split_id / "parts.parquet", PARTS.index(request.part)


def _read_page(self: Answers, request: protocol.ReadPage, work: Work) -> protocol.Page:
    with self.view(request.token, work) as (view, con):
        return pages.read_page(con, view, request.first, request.count, columns=request.columns, cut=request.cut)


def _read_cell(self: Answers, request: protocol.ReadCell, work: Work) -> dict[str, Any]:
    with self.view(request.token, work) as (view, con):
        return pages.read_cell(con, view, request.row, request.column)


def _find_row(self: Answers, request: protocol.FindRow, work: Work) -> dict[str, Any]:
    with self.view(request.token, work) as (view, con):
        return pages.find_row(
            con,
            view,
            request.start,
            pattern=request.pattern,
            columns=request.columns,
            backwards=request.backwards,
            seek=request.seek,
        )


def _read_sql(self: Answers, request: protocol.ReadSql, work: Work) -> dict[str, Any]:
    with self.project(request, work) as (project, engine, con):
        return {"sql": recipe_sql(engine.columns, ready_steps(con, project, engine.folder, engine.columns))}


def _read_notices(self: Answers, request: protocol.ReadNotices, work: Work) -> dict[str, Any]:
    from epochal.data import sources

    with self.project(request, work) as (project, _engine, con):
        imported = sources.opened(con)
        return {"notices": list(sources.changed(project, imported)) if imported else []}


def _build(self: Answers, request: protocol.Build, work: Work) -> protocol.Built:
    from epochal.data.build import build

    with self.project(request, work) as (project, engine, con):
        return build(con, project, engine.folder, accept_split=request.accept_split, report=work.tell)


def _read_profile(self: Answers, request: protocol.ReadProfile, work: Work) -> protocol.Profile:
    with self.view(request.token, work) as (view, con):
        return profile.read_profile(con, view, request.column, exact=request.exact)


def _read_facets(self: Answers, request: protocol.ReadFacets, work: Work) -> dict[str, Any]:
    with self.view(request.token, work) as (view, con):
        return profile.read_facets(con, view, request.column, request.limit)


def _count_step(self: Answers, request: protocol.CountStep, work: Work) -> protocol.Counted:
    with self.project(request, work) as (project, engine, con):
        return count.count_step(engine, con, project, parse_step(request.step), work, at=request.at)


def _read_ledger(self: Answers, request: protocol.ReadLedger, work: Work) -> dict[str, Any]:
    with self.project(request, work) as (project, engine, con):
        return account.read_ledger(engine, con, project, work)


def _read_rejects(self: Answers, request: protocol.ReadRejects, work: Work) -> dict[str, Any]:
    with self.project(request, work) as (project, engine, con):
        return account.read_rejects(engine, con, project, work, request.limit)


def _export(self: Answers, request: protocol.Export, work: Work) -> dict[str, int]:
    with self.project(request, work) as (project, engine, con):
        return export.export(engine, con, project, work, Path(request.path))


def _propose(self: Answers, request: protocol.Propose, work: Work) -> protocol.Proposal:
    with self.project(request, work) as (project, engine, con):
        return propose.propose(engine, con, project, work)


def _find_problems(self: Answers, request: protocol.FindProblems, work: Work) -> dict[str, Any]:
    with self.project(request, work) as (project, engine, con):
        return {"problems": [asdict(p) for p in problems.find_problems(engine, con, project, work)]}


def _prepare_prediction(self: Answers, request: protocol.PreparePrediction, work: Work) -> dict[str, Any]:
    del self
    from epochal.data.predict_input import prepare

    project = parse_project(request.document)
    into = Path(request.into)
    spill = into / "spill"
    con = connect(":memory:", spill)
    try:
        con.execute(TRY_APART)
        seal(con, folders=[into])
        with work.on(con):
            return prepare(
                con,
                project,
                Path(request.folder),
                uri=request.uri,
                inputs=request.inputs,
                into=into,
                types=request.types,
                report=work.tell,
            )
    finally:
        con.close()
        shutil.rmtree(spill, ignore_errors=True)


def _write_predictions(self: Answers, request: protocol.WritePredictions, work: Work) -> dict[str, Any]:
    del self
    from epochal.data.predict_output import write_predictions

    work.report("writing the predictions")
    return write_predictions(Path(request.folder), Path(request.path))


_HANDLERS: Mapping[type[protocol.Request], Callable[[Answers, Any, Work], Any]] = {
    protocol.OpenView: _open_view,
    protocol.ReadPage: _read_page,
    protocol.ReadCell: _read_cell,
    protocol.FindRow: _find_row,
    protocol.ReadProfile: _read_profile,
    protocol.ReadFacets: _read_facets,
    protocol.CountStep: _count_step,
    protocol.ReadLedger: _read_ledger,
    protocol.ReadRejects: _read_rejects,
    protocol.ReadSql: _read_sql,
    protocol.ReadNotices: _read_notices,
    protocol.FindProblems: _find_problems,
    protocol.Propose: _propose,
    protocol.Build: _build,
    protocol.Export: _export,
    protocol.PreparePrediction: _prepare_prediction,
    protocol.WritePredictions: _write_predictions,
}
