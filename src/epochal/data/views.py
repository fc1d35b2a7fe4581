"""Views of rows: the rows after a recipe as a dense table, and orders of their row ids for sorting and filtering.

A view never copies rows for a sort or a filter: it is a list of row ids, and a page is a range of that list.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epochal.core.errors import EpochalError, StepError
from epochal.core.settings import Project
from epochal.core.steps import Step
from epochal.data.engine import Engine, Work, message
from epochal.data.expressions import check_expression
from epochal.data.kinds import column_kinds
from epochal.data.recipe import ready_steps
from epochal.data.sql import recipe_sql
from epochal.data.sqltext import as_text, identifier, is_text_type, literal, typed_literal
from epochal.show import safe


if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_KEPT_BASES = 6
"""Materialised recipes that stay in memory for undo and redo."""
_KEPT_VIEWS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """The rows after a recipe as a dense table: rowid is the position in import order."""

    table: str
    columns: tuple[tuple[str, str], ...]
    kinds: Mapping[str, str]
    rows: int

    @property
    def types(self) -> dict[str, str]:
        """DuckDB's type of each column."""
        return dict(self.columns)

    def column(self, name: str) -> str:
        """The name, known to be there. Raises StepError."""
        if name not in self.types:
            raise StepError(f"there is no column {name!r} in this view", code="unknown-column", fix="reload the view")
        return name


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedView:
    """A view that pages are asked of."""

    token: str
    engine: Engine
    base: Base
    order: str
    """The table of row ids; empty for all rows in import order."""
    rows: int
    key: str
    """The column that identifies a row; `_key` when the project names none."""

    def relation(self, columns: Sequence[str] = ("*",)) -> str:
        """A subquery of the view's rows with `_pos`, their position."""
        listed = ", ".join(columns)
        if not self.order:
            return f"(SELECT rowid AS _pos, {listed} FROM {self.base.table})"  # noqa: S608 - our own names
        return (
            f"(SELECT _order._pos, {listed} FROM (SELECT rowid AS _pos, rid FROM {self.order}) AS _order"  # noqa: S608
            f" JOIN {self.base.table} AS _base ON _base.rowid = _order.rid)"
        )


_NUMBERS = itertools.count(1)
"""Of bases and views, over all engines: two projects on equal data must not take each other's views for their own."""


@dataclass(slots=True)
class Views:
    """The bases and views of one engine."""

    bases: dict[str, Base] = field(default_factory=dict)
    opened: dict[str, OpenedView] = field(default_factory=dict)
    numbers: Any = _NUMBERS
    lock: Any = field(default_factory=threading.RLock)


def views_of(engine: Engine) -> Views:
    """The engine's views."""
    with engine.lock:
        views: Views = engine.views.setdefault("views", Views())
        return views


def base_of(engine: Engine, con: DuckDBPyConnection, project: Project, work: Work, *, upto: int | None = None) -> Base:
    """The rows after the recipe's first `upto` steps (all, if None), materialised unless they are already.

    Raises StepError when the recipe cannot be run.
    """
    views = views_of(engine)
    with views.lock:
        steps = ready_steps(con, project, engine.folder, engine.columns)
        used = steps if upto is None else steps[:upto]
        identity = json.dumps(
            [[s.as_dict() for s in used if s.enabled], dict(project.columns.kinds)], sort_keys=True, default=str
        )
        known = views.bases.pop(identity, None)
        if known is None:
            known = _make_base(engine, con, project, used, work, number=next(views.numbers))
        views.bases[identity] = known  # the newest last
        _forget_bases(views, con)
        return known


def _make_base(
    engine: Engine, con: DuckDBPyConnection, project: Project, steps: Sequence[Step], work: Work, *, number: int
) -> Base:
    if any(s.enabled for s in steps):
        table = f"memory.main._base_{number}"
        work.report("applying the recipe")
        con.execute(f"CREATE TABLE {table} AS {recipe_sql(engine.columns, steps)}")
        columns, rows = described(con, table)
    else:
        table, columns, rows = "src.main.raw", engine.columns, engine.rows
    kinds = column_kinds(con, project, table, columns, len(steps))
    return Base(table=table, columns=columns, kinds=kinds, rows=rows)


def described(con: DuckDBPyConnection, table: str) -> tuple[tuple[tuple[str, str], ...], int]:
    """A table's own columns with their types, and its rows."""
    found = con.execute(f"DESCRIBE {table}").fetchall()
    columns = tuple((row[0], row[1]) for row in found if row[0] not in {"_eid", "_source", "_line", "_key"})
    rows: int = con.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0]  # noqa: S608 - our own name
    return columns, rows


def _forget_bases(views: Views, con: DuckDBPyConnection) -> None:
    for identity in list(views.bases)[: max(0, len(views.bases) - _KEPT_BASES)]:
        base = views.bases.pop(identity)
        for token, view in list(views.opened.items()):
            if view.base is base:
                _forget_view(views, con, token)
        if base.table.startswith("memory."):
            con.execute(f"DROP TABLE IF EXISTS {base.table}")


def _forget_view(views: Views, con: DuckDBPyConnection, token: str) -> None:
    view = views.opened.pop(token)
    if view.order:
        con.execute(f"DROP TABLE IF EXISTS {view.order}")


def open_view(
    engine: Engine,
    con: DuckDBPyConnection,
    project: Project,
    work: Work,
    *,
    steps: int | None = None,
    sort: Sequence[tuple[str, bool]] = (),
    where: Sequence[tuple[str, str, Any]] = (),
    expression: str = "",
    keys: Sequence[str] = (),
    eids: Sequence[int] = (),
    part: Path | None = None,
    part_number: int = 0,
) -> OpenedView:
    """Open a view. `part` is a split's parts.parquet, of which rows with `part_number` are shown.

    Raises StepError for a column, pattern or expression that cannot be.
    """
    base = base_of(engine, con, project, work, upto=steps)
    views = views_of(engine)
    key = project.columns.key if project.columns.key in base.types else "_key"
    for _column, op, value in where:
        if op == "matches":
            check_pattern(con, str(value))
    conditions = [_condition(base, *one) for one in where]
    if expression.strip():
        check_expression(con, expression, base.types)
        conditions.append(f"({expression}\n)")
    values: dict[str, Any] = {}
    if keys:
        conditions.append(f"{key_text(base, key)} IN (SELECT unnest($keys))")
        values["keys"] = list(keys)
    if eids:
        conditions.append("_eid IN (SELECT unnest($eids))")
        values["eids"] = list(eids)
    if part is not None:
        conditions.append(
            f"_eid IN (SELECT _eid FROM read_parquet({literal(str(part))}) WHERE part = {part_number})"  # noqa: S608
        )
    number = next(views.numbers)
    order, rows = "", base.rows
    if conditions or sort:
        order = f"memory.main._order_{number}"
        work.report("sorting" if sort else "looking for the rows")
        ways = [f"{identifier(base.column(c))} {'DESC' if down else 'ASC'} NULLS LAST" for c, down in sort]
        kept = " AND ".join(f"({c})" for c in conditions) or "true"
        con.execute(
            f"CREATE TABLE {order} AS SELECT rowid AS rid FROM {base.table} WHERE {kept}"  # noqa: S608 - quoted
            f" ORDER BY {', '.join([*ways, 'rowid'])}",
            values or None,
        )
        rows = con.execute(f"SELECT count(*) FROM {order}").fetchall()[0][0]  # noqa: S608 - our own name
    view = OpenedView(token=f"{engine.import_id}-{number}", engine=engine, base=base, order=order, rows=rows, key=key)
    with views.lock:
        views.opened[view.token] = view
        for token in list(views.opened)[: max(0, len(views.opened) - _KEPT_VIEWS)]:
            _forget_view(views, con, token)
    return view


def check_pattern(con: DuckDBPyConnection, pattern: str) -> None:
    """Raises StepError when DuckDB cannot read a regular expression."""
    import duckdb

    try:
        con.execute("SELECT regexp_matches('', $pattern, 'i')", {"pattern": pattern})
    except duckdb.InvalidInputException as error:
        raise StepError(
            f"the pattern {safe(pattern, 60)} cannot be read: {message(error)}",
            fix=r"write \( \[ \. and so on where the sign itself is meant",
            code="pattern",
        ) from error


def key_text(base: Base, key: str) -> str:
    """SQL for a row's stable key: the key column's text, the content id where that is missing."""
    return "_key" if key == "_key" else f"coalesce({as_text(key, base.types[key])}, _key)"


def _condition(base: Base, column: str, op: str, value: Any) -> str:
    """One condition of a view as SQL. Raises StepError."""
    kind = base.types[base.column(column)]
    name, text = identifier(column), as_text(column, kind)
    if op == "missing":
        return f"{name} IS NULL" if value in {None, True, ""} else f"{name} IS NOT NULL"
    if op == "equals":
        return f"{text} = {literal(str(value))}" if value is not None else f"{name} IS NULL"
    if op == "among":
        listed = ", ".join(literal(str(v)) for v in value if v is not None)
        among = f"{text} IN ({listed})" if listed else "false"
        return f"({among} OR {name} IS NULL)" if None in value else among
    if op == "contains":
        return f"contains(lower({text}), lower({literal(str(value))}))"
    if op == "matches":
        return f"regexp_matches({text}, {literal(str(value))}, 'i')"
    if op in {"below", "above"}:
        bound = typed_literal(value, kind)
        if bound is None:
            raise StepError(f"{value!r} cannot be compared with {column!r}", fix="give a value of its kind")
        compared = text if is_text_type(kind) else name
        return f"{compared} {'<' if op == 'below' else '>'} {bound}"
    raise StepError(
        f"there is no condition {op!r}", fix="use equals, contains, missing, among, matches, below or above"
    )


def view_of(engines: Sequence[Engine], token: str) -> OpenedView:
    """An opened view by its token. Raises EpochalError (code view-gone): it is to be opened again."""
    for engine in engines:
        view = views_of(engine).opened.get(token)
        if view is not None:
            return view
    raise EpochalError("this view of the rows is no longer open", fix="open it again", code="view-gone")
