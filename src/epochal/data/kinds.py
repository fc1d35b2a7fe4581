"""What the values of a column are: a person's word, else the recipe's, else a guess from type and values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

from epochal.core.settings import Project
from epochal.core.steps import Kind, Step
from epochal.data.sqltext import as_text, identifier, is_date_type, is_number_type


if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

LOOKED_AT = 100_000
"""Rows, from the first in import order, on which text is told from categories: the same for every face."""
_COLUMNS_AT_ONCE = 200
_FEW = 50
"""More values than these, most of them different, are text."""
_LONG = 60
"""Characters on average above which values are text, however few there are."""


def column_kinds(
    con: DuckDBPyConnection,
    project: Project,
    relation: str,
    columns: Sequence[tuple[str, str]],
    upto: int | None = None,
) -> dict[str, Kind]:
    """The kind of each column of `relation`, which holds the rows after the recipe (its first `upto` steps).

    `relation` is a table's or view's name as SQL, with `_eid`.
    """
    said = declared_kinds(project.clean if upto is None else project.clean[:upto])
    said.update({c: cast("Kind", k) for c, k in project.columns.kinds.items()})
    kinds: dict[str, Kind] = {}
    unsure: list[tuple[str, str]] = []
    for name, kind in columns:
        if name in said and can_be(said[name], kind):
            kinds[name] = said[name]
        elif is_number_type(kind):
            kinds[name] = "number"
        elif kind == "BOOLEAN":
            kinds[name] = "boolean"
        elif is_date_type(kind):
            kinds[name] = "date"
        else:
            unsure.append((name, kind))
    kinds.update(_text_kinds(con, relation, unsure))
    return {name: kinds[name] for name, _ in columns}


def can_be(said: str, kind: str) -> bool:
    """Whether a column of this type can be of the kind it was called: a later step may have made it text."""
    if said == "number":
        return is_number_type(kind)
    if said == "date":
        return is_date_type(kind)
    return said != "boolean" or kind == "BOOLEAN"


def declared_kinds(steps: Sequence[Step]) -> dict[str, Kind]:
    """Kinds that the recipe's own steps decide, by the columns' final names."""
    said: dict[str, Kind] = {}
    for step in steps:
        if not step.enabled:
            continue
        if step.op == "set_kind":
            said.update(dict.fromkeys(step.columns, cast("Kind", step.params["kind"])))
        elif step.op == "parse_date":
            said.update(dict.fromkeys(step.columns, "date"))
        elif step.op == "parse_number":
            said.update(dict.fromkeys(step.columns, "number"))
        elif step.op == "rename" and step.params["column"] in said:
            said[step.params["to"]] = said.pop(step.params["column"])
        elif step.op == "compute":
            said.pop(step.params["column"], None)
    return said


def _text_kinds(con: DuckDBPyConnection, relation: str, columns: Sequence[tuple[str, str]]) -> Mapping[str, Kind]:
    kinds: dict[str, Kind] = {}
    for start in range(0, len(columns), _COLUMNS_AT_ONCE):
        part = columns[start : start + _COLUMNS_AT_ONCE]
        figures = ",\n  ".join(_figures(name, kind) for name, kind in part)
        found = con.execute(
            f"SELECT {figures} FROM (SELECT * FROM {relation} WHERE _eid < {LOOKED_AT})"  # noqa: S608 - quoted names
        ).fetchall()[0]
        for i, (name, _) in enumerate(part):
            kinds[name] = text_kind(*found[3 * i : 3 * i + 3])
    return kinds


def _figures(name: str, kind: str) -> str:
    column = identifier(name)
    return f"count({column}), count(DISTINCT {column}), avg(length({as_text(name, kind)}))"


def text_kind(filled: int, distinct: int, length: float | None) -> Kind:
    """Category or text, from the number of values, of distinct ones and their mean length."""
    wordy = (length or 0.0) > _LONG or (distinct > _FEW and distinct > 0.5 * filled)
    return "text" if wordy else "category"
