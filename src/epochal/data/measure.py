"""Figures of cleaned columns that proposals and problems are judged by."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from epochal.data.sqltext import as_text, identifier, is_date_type, is_number_type


if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_COLUMNS_AT_ONCE = 60
_ID_NAME = re.compile(r"(^|[^a-z])(id|ids|uuid|guid|key|index|idx|rowid|rownames|serial|isbn|ssn|url|uri|hash)$")
_COUNTER_NAME = re.compile(r"(^|[^a-z])(no|nr|num|number|row|line|record|index|id|seq|sequence|unnamed)([^a-z]|$)")
_TIME_NAME = re.compile(r"year|date|time|month|week|day|hour|age|quarter|period")
_REMARK_NAME = re.compile(r"(^|[^a-z])(comments?|notes?|remarks?|memo|observations?)($|[^a-z])")


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnFacts:
    """One column after cleaning."""

    name: str
    type: str
    kind: str
    rows: int
    filled: int
    distinct: int
    length: float
    """Mean characters, for text."""
    words: float
    """Mean words, for text."""
    whole: bool
    """A number without fractions anywhere."""
    low: float
    high: float
    rising: float
    """Share of rows whose value is one more than the row before: near 1 for a running number."""
    ordered: float
    """Share of rows whose value is not below the one before."""

    @property
    def missing(self) -> int:
        """Rows without a value."""
        return self.rows - self.filled

    @property
    def near_unique(self) -> bool:
        """Whether almost every value is different, and there are enough to tell."""
        return self.filled > 20 and self.distinct >= 0.95 * self.filled

    @property
    def named_id(self) -> bool:
        """Whether its name says that it identifies something."""
        return bool(_ID_NAME.search(_plain(self.name)))

    @property
    def counts_rows(self) -> bool:
        """Whether it is a running number."""
        return (
            self.whole
            and self.distinct > 20
            and self.rising >= (0.6 if _COUNTER_NAME.search(_plain(self.name)) else 0.95)
            and not _TIME_NAME.search(_plain(self.name))
        )

    @property
    def remark(self) -> bool:
        """Whether its name says that people wrote remarks there."""
        return bool(_REMARK_NAME.search(_plain(self.name)))


def _plain(name: str) -> str:
    """The name in lower case, words apart: `PassengerId` is `passenger id`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).replace("_", " ").strip().lower()


def measure(
    con: DuckDBPyConnection, table: str, columns: Sequence[tuple[str, str]], kinds: Mapping[str, str]
) -> dict[str, ColumnFacts]:
    """Figures of every column of a table with `_eid`."""
    facts: dict[str, ColumnFacts] = {}
    for start in range(0, len(columns), _COLUMNS_AT_ONCE):
        part = columns[start : start + _COLUMNS_AT_ONCE]
        figures = ", ".join(_figures(name, kind) for name, kind in part)
        row = con.execute(f"SELECT count(*), {figures} FROM {table}").fetchall()[0]  # noqa: S608 - quoted names
        for i, (name, kind) in enumerate(part):
            filled, distinct, length, words, whole, low, high = row[1 + 7 * i : 8 + 7 * i]
            steady = is_number_type(kind) and whole and distinct > 20
            rising, ordered = (
                _order(con, table, name, kind) if (steady or (is_date_type(kind) and distinct > 20)) else (0.0, 0.0)
            )
            facts[name] = ColumnFacts(
                name=name,
                type=kind,
                kind=kinds.get(name, "text"),
                rows=row[0],
                filled=filled,
                distinct=distinct,
                length=length or 0.0,
                words=words or 0.0,
                whole=bool(whole),
                low=low if low is not None else 0.0,
                high=high if high is not None else 0.0,
                rising=rising,
                ordered=ordered,
            )
    return facts


def _figures(name: str, kind: str) -> str:
    column = identifier(name)
    head = f"count({column}), count(DISTINCT {column})"
    if is_number_type(kind):
        value = f"CAST({column} AS DOUBLE)"
        return f"{head}, NULL, NULL, bool_and({value} = floor({value})), min({value}), max({value})"
    if kind == "BOOLEAN" or is_date_type(kind):
        return f"{head}, NULL, NULL, NULL, NULL, NULL"
    text = as_text(name, kind)
    spaces = f"length({text}) - length(replace({text}, ' ', ''))"
    return f"{head}, avg(length({text})), avg({spaces} + 1), NULL, NULL, NULL"


def _order(con: DuckDBPyConnection, table: str, name: str, kind: str) -> tuple[float, float]:
    """The shares `rising` and `ordered` of `ColumnFacts`."""
    value = f"epoch({identifier(name)})" if is_date_type(kind) else identifier(name)
    row = con.execute(
        "SELECT avg(CAST(v - before = 1 AS INTEGER)), avg(CAST(v >= before AS INTEGER)) FROM"  # noqa: S608 - quoted
        f" (SELECT v, lag(v) OVER (ORDER BY _eid) AS before FROM (SELECT _eid, {value} AS v FROM {table})"
        " WHERE v IS NOT NULL) WHERE before IS NOT NULL"
    ).fetchall()[0]
    return float(row[0] or 0.0), float(row[1] or 0.0)
