"""From imported rows to what training reads: the recipe applied, a snapshot and a split written, every row accounted for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epochal import fsio
from epochal.core.errors import SettingsError, SourceError
from epochal.core.ledger import Ledger, SourceLines, StepCount
from epochal.core.settings import Project, table_of
from epochal.core.split import rows_of
from epochal.core.steps import Step, nearest
from epochal.data import sources
from epochal.data.count import count_recipe
from epochal.data.kinds import column_kinds
from epochal.data.protocol import Built
from epochal.data.recipe import ready_steps
from epochal.data.split import PARTS_TABLE, Split, check_unchanged, make_split
from epochal.data.sql import recipe_sql, rejects_sql
from epochal.data.sqltext import as_text, identifier, is_text_type
from epochal.data.stored import stored_type, stored_value
from epochal.project.paths import ProjectPaths
from epochal.show import grouped, safe
from epochal.snapshot import write as snapshot_write
from epochal.snapshot.manifest import Snapshot, SnapshotColumn, SplitFile, open_snapshot, open_split


if TYPE_CHECKING:
    import duckdb

    from epochal.data.sources import Imported, Progress

BUILDER = 1
"""Raised when the same recipe would give other rows, so that older snapshots are not taken for equal."""

_CLEANED = "_cleaned"
_COLUMNS_AT_ONCE = 50
"""Columns whose values are told apart in one statement: each takes memory of its own."""


@dataclass(frozen=True, slots=True)
class _Account:
    """What became of rows and cells on the way to a snapshot."""

    sources: tuple[SourceLines, ...]
    steps: tuple[StepCount, ...]


def build(
    con: duckdb.DuckDBPyConnection, project: Project, folder: Path, accept_split: bool, report: Progress
) -> Built:
    """Write the snapshot and the split of a project, unless equal ones are there.

    Args:
        con: A connection that sees the project's import (or whose database is empty: then the sources are imported).
        project: The settings.
        folder: The project's folder.
        accept_split: Take another test set than the recorded one.
        report: Told what is being done.

    Raises:
        SplitChanged: The test set would be another one and `accept_split` is not given.
        SourceError, StepError, SettingsError: Source, recipe or settings do not fit together.
    """
    paths = ProjectPaths(folder)
    imported = sources.opened(con) or sources.load(con, project, paths.folder, report)
    steps = ready_steps(con, project, paths.folder, imported.columns)
    snapshot_id = _snapshot_id(imported, steps, project)
    with fsio.locked(paths.locks / "build"):
        snapshot = _snapshot(con, project, imported, steps, folder=paths.snapshots / snapshot_id, report=report)
        extra = snapshot_write.read_extra(snapshot.folder)
        _check_target(project, snapshot)
        report(None, "dealing out train, validation and test")
        rows = f"read_parquet({_quoted(str(snapshot.folder / snapshot.files[0]))})"
        types = {c.name: c.type for c in snapshot.columns}
        split = make_split(con, rows, types, project.split, project.columns)
        changed = sources.changed(project, imported)
        if not accept_split:
            check_unchanged(project.split.fingerprint, split.settings.fingerprint, changed)
        split_file = _split_file(con, paths, snapshot, split)
    ledger = Ledger(
        sources=tuple(SourceLines(**s) for s in extra["sources"]),
        steps=_as_numbered_now(extra["steps"], steps),
        train=split.train,
        validation=split.validation,
        test=split.test,
    )
    return Built(
        snapshot_id=snapshot.id,
        split_id=split_file.id,
        ledger=ledger.as_dict(),
        inputs=inputs_of(project, snapshot.columns),
        classes=_classes(con, rows, project),
        fingerprint=split.settings.fingerprint,
        settings={**_new_prints(project, imported), **_split_settings(project, split)},
        notices=(*changed, *split.notices, *_thin(split)),
    )


def _as_numbered_now(counted: Sequence[Mapping[str, Any]], steps: Sequence[Step]) -> tuple[StepCount, ...]:
    """What a snapshot's steps did, by their numbers in the recipe as it is: disabled ones moved since change no rows."""
    numbers = [n for n, step in enumerate(steps, start=1) if step.enabled]
    return tuple(StepCount(**{**one, "n": n}) for one, n in zip(counted, numbers, strict=True))


def inputs_of(project: Project, columns: Sequence[SnapshotColumn]) -> tuple[str, ...]:
    """The columns that are learnt from, in order: those that nothing else is said of."""
    said = project.columns
    others = {said.target, said.key, said.group, said.time, *said.ignore}
    if project.split.kind == "column":
        others.add(project.split.column)
    return tuple(c.name for c in columns if c.name not in others and c.kind not in {"id", "image"})


def _snapshot_id(imported: Imported, steps: Sequence[Step], project: Project) -> str:
    told: list[Any] = [
        BUILDER,
        imported.import_id,
        [s.as_dict() for s in steps if s.enabled],
        project.columns.key,
        dict(project.columns.kinds),
        project.columns.target if project.goal.task == "classification" else "",
    ]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _snapshot(
    con: duckdb.DuckDBPyConnection,
    project: Project,
    imported: Imported,
    steps: Sequence[Step],
    *,
    folder: Path,
    report: Progress,
) -> Snapshot:
    """The snapshot, written unless it is there."""
    with suppress(SourceError):
        snapshot = open_snapshot(folder)
        snapshot_write.read_extra(folder)
        snapshot_write.touch(folder)
        return snapshot
    if folder.exists():
        fsio.remove_folder(folder)
    report(None, "cleaning the rows")
    types = _clean(con, project, imported, steps)
    report(None, "counting what the steps did")
    account = _account(con, imported, steps)
    report(None, "describing the columns")
    columns = _described(con, types, column_kinds(con, project, _CLEANED, list(types.items())))
    report(None, "writing the snapshot")
    extra = {
        "sources": [sources.lines_dict(s) for s in account.sources],
        "steps": [{"n": s.n, "op": s.op, "removed": s.removed, "changed": s.changed} for s in account.steps],
    }
    snapshot = snapshot_write.write_snapshot(con, folder, _CLEANED, columns, extra)
    con.execute(f"DROP TABLE {_CLEANED}")
    return snapshot


def _clean(
    con: duckdb.DuckDBPyConnection, project: Project, imported: Imported, steps: Sequence[Step]
) -> dict[str, str]:
    """Make the table of cleaned rows; its columns' types."""
    recipe = recipe_sql(imported.columns, steps)
    described = con.execute(f"DESCRIBE {recipe}").fetchall()
    types = {d[0]: d[1] for d in described if d[0] not in {"_eid", "_source", "_line", "_key"}}
    wanted = {name: stored_type(kind) for name, kind in types.items()}
    if project.goal.task == "classification" and project.columns.target in wanted:
        wanted[project.columns.target] = "VARCHAR"  # classes are named, and a name is a text
    values = ", ".join(f"{stored_value(name, types[name], wanted[name])} AS {identifier(name)}" for name in types)
    key = "_key"
    if project.columns.key:
        key_column = _known(project.columns.key, types, "key")
        key = f"coalesce({as_text(key_column, types[key_column])}, _key)"
    made = f"SELECT _eid, {key} AS _key, {values} FROM ({recipe}) ORDER BY _eid"  # noqa: S608 - quoted
    con.execute(f"CREATE OR REPLACE TEMP TABLE {_CLEANED} AS {made}")
    return wanted


def _known(name: str, types: Mapping[str, str], role: str) -> str:
    if name not in types:
        close = nearest(name, tuple(types))
        raise SettingsError(
            f"the {role} {name!r} is not a column after cleaning",
            path=("columns", role),
            fix=f"did you mean {close!r}?" if close else "choose a column that is there",
            code="unknown-column",
        )
    return name


def _account(con: duckdb.DuckDBPyConnection, imported: Imported, steps: Sequence[Step]) -> _Account:
    """Count, step by step, the rows removed, the cells changed, and the cells that could not be read."""
    figures = count_recipe(con, imported.columns, steps)
    cells: dict[str, int] = {}
    for _n, _column, select in rejects_sql(imported.columns, steps):
        for name, count in con.execute(f"SELECT source, count(*) FROM ({select}) GROUP BY source").fetchall():  # noqa: S608 - likewise
            base = name if any(s.name == name for s in imported.lines) else name.rpartition("/")[0]
            cells[base] = cells.get(base, 0) + count
    return _Account(
        sources=tuple(replace(s, rejected_cells=s.rejected_cells + cells.get(s.name, 0)) for s in imported.lines),
        steps=tuple(StepCount(n=f.n, op=f.step.op, removed=f.removed, changed=f.changed) for f in figures),
    )


def _described(
    con: duckdb.DuckDBPyConnection, types: Mapping[str, str], kinds: Mapping[str, str]
) -> tuple[SnapshotColumn, ...]:
    names = list(types)
    total: int = con.execute(f"SELECT count(*) FROM {_CLEANED}").fetchall()[0][0]  # noqa: S608 - ours
    rest: list[int] = []
    for start in range(0, len(names), _COLUMNS_AT_ONCE):
        part = (identifier(n) for n in names[start : start + _COLUMNS_AT_ONCE])
        figures = ", ".join(f"count({n}), count(DISTINCT {n})" for n in part)
        rest += con.execute(f"SELECT {figures} FROM {_CLEANED}").fetchall()[0]  # noqa: S608 - quoted
    return tuple(
        SnapshotColumn(
            name=name,
            kind=_fitting(kinds[name], kind),
            type=kind,
            missing=total - rest[2 * i],
            distinct=rest[2 * i + 1],
        )
        for i, (name, kind) in enumerate(types.items())
    )


def _fitting(kind: str, stored: str) -> str:
    """A column's kind, where what is stored can be of that kind."""
    if kind in {"category", "id", "text", "image"}:
        return "category" if kind in {"text", "image"} and not is_text_type(stored) else kind
    fits = {"number": {"BIGINT", "DOUBLE"}, "date": {"TIMESTAMP"}, "boolean": {"BOOLEAN"}}[kind]
    return kind if stored in fits else "category" if is_text_type(stored) or stored == "BOOLEAN" else "number"


def _check_target(project: Project, snapshot: Snapshot) -> None:
    """Refuse a target that is not there, not whole, or not of the task's kind.

    What is also found by `problems` has the same code and place there, so that a check tells it once.
    """
    name = project.columns.target
    if not name:
        if project.split.kind == "stratified":
            raise SettingsError(
                "the project has no target",
                path=("columns",),
                where="project.toml [columns]",
                fix='write target = "…"',
                code="no-target",
            )
        return
    types = {c.name: c.type for c in snapshot.columns}
    column = snapshot.column(_known(name, types, "target"))
    if column.missing:
        raise SourceError(
            f"the target {name!r} is missing in {grouped(column.missing)} of {grouped(snapshot.rows)} rows",
            where=f"column {safe(name, 60)}",
            fix="add a step that leaves these rows out: drop_missing",
            code="target-missing",
        )
    if project.goal.task == "regression" and column.kind != "number":
        raise SettingsError(
            f"the target {name!r} is no number",
            path=("columns", "target"),
            fix='add a step: set_kind to number, or set task = "classification"',
            code="wrong-kind",
        )
    if snapshot.rows and column.distinct < 2:
        raise SourceError(
            f"the target {name!r} is the same in every row",
            where=f"column {safe(name, 60)}",
            fix="choose another target, or look at the steps that remove rows",
            code="target-constant",
        )


def _split_file(con: duckdb.DuckDBPyConnection, paths: ProjectPaths, snapshot: Snapshot, split: Split) -> SplitFile:
    """The split on disk, written unless an equal one is there."""
    settings = {k: v for k, v in table_of(split.settings, defaults=True).items() if k != "fingerprint"}
    test_rows = rows_of(split.settings.fingerprint)
    told = json.dumps([BUILDER, snapshot.id, settings, test_rows], sort_keys=True, default=str)
    split_id = hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    if not snapshot.rows:
        raise SourceError(
            "no row is left after cleaning",
            where="project.toml [[clean]]",
            fix="see `epochal data --ledger`",
            code="no-rows",
        )
    if not split.train:
        raise SourceError(
            "no row is left to train on",
            where="project.toml [split]",
            fix="make validation and test smaller",
            code="no-rows",
        )
    wanted = SplitFile(
        folder=paths.splits / split_id,
        id=split_id,
        snapshot_id=snapshot.id,
        train=split.train,
        validation=split.validation,
        test=split.test,
        fingerprint=test_rows,
        settings=json.loads(json.dumps(settings, default=str)),
    )
    with suppress(SourceError):
        open_split(wanted.folder)
        snapshot_write.touch(wanted.folder)
        return wanted
    if wanted.folder.exists():
        fsio.remove_folder(wanted.folder)
    return snapshot_write.write_split(con, PARTS_TABLE, wanted)


def _classes(con: duckdb.DuckDBPyConnection, rows: str, project: Project) -> tuple[str, ...]:
    """The names of the classes, whole numbers in their order, else by the alphabet."""
    if project.goal.task != "classification" or not project.columns.target:
        return ()
    name = identifier(project.columns.target)
    found = [c for (c,) in con.execute(f"SELECT DISTINCT {name} FROM {rows}").fetchall()]  # noqa: S608 - quoted
    numbers = all(c.lstrip("-").isdecimal() for c in found)
    return tuple(sorted(found, key=lambda c: (int(c), c)) if numbers else sorted(found))


def _split_settings(project: Project, split: Split) -> dict[str, Any]:
    """What of the split is to be recorded: dotted paths and values, None for what is taken out."""
    new = split.settings
    recorded: dict[str, Any] = {}
    if dict(new.cuts) != dict(project.split.cuts):
        recorded["split.cuts"] = {k: list(v) for k, v in new.cuts.items()} or None
    for name in ("validation_from", "test_from"):
        value = getattr(new, name)
        if str(value or "") != str(getattr(project.split, name) or ""):
            recorded[f"split.{name}"] = value
    if new.fingerprint != project.split.fingerprint:
        recorded["split.fingerprint"] = new.fingerprint
    return recorded


def _new_prints(project: Project, imported: Imported) -> dict[str, Any]:
    """The sources' fingerprints that are to be recorded; that one replaces another is told by `sources.changed`."""
    prints = {s.name: imported.fingerprints.get(s.name, "") for s in project.sources}
    return {f"source.{s.name}.sha256": prints[s.name] for s in project.sources if prints[s.name] not in {"", s.sha256}}


def _thin(split: Split) -> tuple[str, ...]:
    """Notices of parts that are empty although they should not be."""
    asked = {"validation": split.settings.validation, "test": split.settings.test}
    have = {"validation": split.validation, "test": split.test}
    if split.settings.kind == "column":
        asked = dict.fromkeys(asked, 1.0)
    return tuple(f"the {part} part is empty" for part in asked if asked[part] and not have[part])


def _quoted(path: str) -> str:
    return "'" + path.replace("'", "''") + "'"
