"""What a screen reads of a view: pages, whole cells, the next match. Cut in SQL, made safe here."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from epochal.data.protocol import ColumnInfo, Page
from epochal.data.sqltext import as_text, identifier, is_date_type, is_float_type, is_number_type, literal
from epochal.data.views import OpenedView, check_pattern, key_text
from epochal.show import cell_width, safe


if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MOST_ROWS = 2_000
"""Rows of one page."""
_WIDEST = 40
_SAMPLED_ROWS = 200
_SAMPLED_COLUMNS = 300
_CELL = 100_000
"""Characters of one whole cell."""


def column_infos(con: DuckDBPyConnection, view: OpenedView) -> tuple[ColumnInfo, ...]:
    """The view's columns as a grid needs them; widths from its first rows."""
    names = [name for name, _ in view.base.columns[:_SAMPLED_COLUMNS]]
    rows = _cells(con, view, 0, _SAMPLED_ROWS, names=names, cut=_WIDEST)
    infos: list[ColumnInfo] = []
    for i, (name, kind) in enumerate(view.base.columns):
        title = safe(name, 200)
        widest = max((cell_width(row[i] or "") for row in rows), default=1) if i < len(names) else 12
        meaning = view.base.kinds.get(name, "text")
        infos.append(
            ColumnInfo(
                name=name,
                title=title,
                kind=meaning,
                type=kind,
                width=min(_WIDEST, max(3, widest)),
                right=is_number_type(kind),
            )
        )
    return tuple(infos)


def read_page(
    con: DuckDBPyConnection, view: OpenedView, first: int, count: int, *, columns: Sequence[str], cut: int
) -> Page:
    """Rows `first` … of the view. Raises StepError for a column that is not there."""
    names = [view.base.column(c) for c in columns]
    first, count = max(0, first), max(0, min(count, MOST_ROWS))
    rows = _fetched(con, view, first, count, names=names, cut=cut)
    return Page(
        token=view.token,
        first=first,
        eids=tuple(row[0] for row in rows),
        keys=tuple(row[1] for row in rows),
        rows=tuple(tuple(shown(v, cut) for v in row[2:]) for row in rows),
    )


def _cells(
    con: DuckDBPyConnection, view: OpenedView, first: int, count: int, *, names: Sequence[str], cut: int
) -> list[tuple[str | None, ...]]:
    return [tuple(shown(v, cut) for v in row[2:]) for row in _fetched(con, view, first, count, names=names, cut=cut)]


def _fetched(
    con: DuckDBPyConnection, view: OpenedView, first: int, count: int, *, names: Sequence[str], cut: int
) -> list[tuple[Any, ...]]:
    types = view.base.types
    listed = ["_eid", key_text(view.base, view.key), *(_cut(name, types[name], cut) for name in names)]
    last = first + count
    if not view.order:
        return con.execute(
            f"SELECT {', '.join(listed)} FROM {view.base.table}"  # noqa: S608 - quoted names
            f" WHERE rowid >= {first} AND rowid < {last} ORDER BY rowid"
        ).fetchall()
    return con.execute(
        f"SELECT {', '.join(listed)} FROM (SELECT rowid AS _pos, rid FROM {view.order}"  # noqa: S608 - quoted names
        f" WHERE rowid >= {first} AND rowid < {last}) AS _order"
        f" JOIN {view.base.table} AS _base ON _base.rowid = _order.rid ORDER BY _order._pos"
    ).fetchall()


def _cut(name: str, kind: str, cut: int) -> str:
    """A column as it is fetched: plain values as they are, everything else as text cut in SQL."""
    if kind == "BLOB":
        return f"concat('<', octet_length({identifier(name)}), ' bytes>')"
    if kind == "BOOLEAN" or is_number_type(kind) or kind in {"DATE", "TIMESTAMP"}:
        return identifier(name)
    return f"left({as_text(name, kind)}, {max(1, cut) + 1})"


def shown(value: Any, cut: int = 120) -> str | None:
    """A value as the text of a cell: safe, cut, numbers without a needless `.0`, dates without a needless midnight."""
    if value is None:
        return None
    if isinstance(value, str):
        return safe(value, cut)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return number_shown(value)
    if isinstance(value, dt.datetime):
        midnight = value.time() == dt.time()
        return value.date().isoformat() if midnight else value.isoformat(sep=" ")
    return safe(str(value), cut)


def number_shown(value: float) -> str:
    """A number as people write it."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("∞" if value > 0 else "-∞")
    if value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return repr(value)


def read_cell(con: DuckDBPyConnection, view: OpenedView, row: int, column: str) -> dict[str, Any]:
    """One whole cell: its safe text (line ends kept) and its length in characters."""
    kind = view.base.types[view.base.column(column)]
    text = as_text(column, kind) if kind != "BLOB" else _cut(column, kind, _CELL)
    found = con.execute(
        f"SELECT left({text}, {_CELL + 1}), length({text}) FROM {view.relation()}"  # noqa: S608 - quoted names
        f" WHERE _pos = {int(row)}"
    ).fetchall()
    if not found or found[0][0] is None:
        return {"text": None, "length": 0}
    value, length = found[0]
    if is_date_type(kind) or is_float_type(kind):
        return {"text": safe(value, _CELL), "length": length}
    lines = value[:_CELL].replace("\r\n", "\n").split("\n")
    return {"text": "\n".join(safe(line, _CELL) for line in lines) + ("…" if length > _CELL else ""), "length": length}


def find_row(
    con: DuckDBPyConnection,
    view: OpenedView,
    start: int,
    *,
    pattern: str = "",
    columns: Sequence[str] = (),
    backwards: bool = False,
    seek: str = "",
) -> dict[str, Any]:
    """The next row after `start` (before it, backwards) that matches, and the first of the columns that does.

    `seek` "missing" looks for a missing value, "different" for another value than the row `start` holds, each in the
    first of the columns. {"row": None, "column": None} when there is none.
    """
    names = [view.base.column(c) for c in columns] or [name for name, _ in view.base.columns]
    if seek == "missing":
        names, tests = names[:1], [f"{identifier(names[0])} IS NULL"]
    elif seek == "different":
        column = identifier(names[0])
        here = f"(SELECT {column} FROM {view.relation()} WHERE _pos = {int(start)})"  # noqa: S608 - quoted names
        names, tests = names[:1], [f"{column} IS DISTINCT FROM {here}"]
    else:
        types = view.base.types
        check_pattern(con, pattern)
        tests = [f"coalesce(regexp_matches({as_text(c, types[c])}, {literal(pattern)}, 'i'), false)" for c in names]
    which = " ".join(f"WHEN {test} THEN {i}" for i, test in enumerate(tests))
    side, way = ("<", "DESC") if backwards else (">", "ASC")
    found = con.execute(
        f"SELECT _pos, CASE {which} END FROM {view.relation()}"  # noqa: S608 - quoted names
        f" WHERE _pos {side} {int(start)} AND ({' OR '.join(tests)}) ORDER BY _pos {way} LIMIT 1"
    ).fetchall()
    return {"row": found[0][0], "column": names[found[0][1]]} if found else {"row": None, "column": None}
