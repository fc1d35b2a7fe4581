"""Inputs that know too much: one column that alone gives the target away."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from epochal.data.measure import ColumnFacts
from epochal.data.protocol import Problem
from epochal.data.sqltext import identifier, is_number_type
from epochal.show import safe


if TYPE_CHECKING:
    from epochal.data.problems import Looked

_SAMPLE = 20_000
"""Rows that ranks are computed over; a leak shows in fewer."""
_CORRELATED = 0.98
_SEPARATES = 0.995
_MOST_COLUMNS = 300


def find_leaks(looked: Looked) -> Iterator[Problem]:
    """Numbers that alone tell the target, and inputs whose absence does. Suspicion is no proof: a person decides."""
    target = looked.target
    if target is None or target.distinct < 2:
        return
    numbers = [f for f in looked.inputs if is_number_type(f.type) and f.distinct > 2][:_MOST_COLUMNS]
    if looked.project.goal.task == "regression" and is_number_type(target.type):
        yield from _correlated(looked, target, numbers)
    elif target.distinct == 2:
        yield from _separating(looked, target, numbers)
    gaps = [f for f in looked.inputs if f.missing > 20 and f.filled > 20][:_MOST_COLUMNS]
    if target.distinct == 2:
        yield from _telling_gaps(looked, target, gaps)


def _suspect(looked: Looked, name: str, what: str) -> Problem:
    return Problem(
        code="target-leak",
        severity="warning",
        where=f"column {safe(name, 60)}",
        what=what,
        fix="ignore the column, unless it is known before the target is",
        setting=looked.ignoring(name),
    )


def _correlated(looked: Looked, target: ColumnFacts, numbers: list[ColumnFacts]) -> Iterator[Problem]:
    if not numbers:
        return
    t = identifier(target.name)
    figures = ", ".join(f"corr({identifier(f.name)}, {t})" for f in numbers)
    row = looked.con.execute(f"SELECT {figures} FROM {_some(looked)}").fetchall()[0]  # noqa: S608 - quoted names
    for fact, value in zip(numbers, row, strict=True):
        if value is not None and abs(value) >= _CORRELATED:
            yield _suspect(looked, fact.name, f"it moves with the target almost exactly (correlation {value:.3f})")


def _separating(looked: Looked, target: ColumnFacts, numbers: list[ColumnFacts]) -> Iterator[Problem]:
    """The share of pairs a single number orders right (ROC AUC), by ranks."""
    t = identifier(target.name)
    for fact in numbers:
        c = identifier(fact.name)
        row = looked.con.execute(
            f"WITH known AS (SELECT CAST({c} AS DOUBLE) AS c, {t} AS t FROM {_some(looked)}"  # noqa: S608 - quoted names
            f" WHERE {c} IS NOT NULL AND {t} IS NOT NULL),"
            " judged AS (SELECT c, t = (SELECT min(t) FROM known) AS first FROM known),"
            " ranked AS (SELECT first, rank() OVER (ORDER BY c) + (count(*) OVER (PARTITION BY c) - 1) / 2.0 AS r FROM judged)"
            " SELECT sum(r) FILTER (first), count(*) FILTER (first), count(*) FILTER (NOT first) FROM ranked"
        ).fetchall()[0]
        ranks, ones, zeros = row
        if not ones or not zeros:
            continue
        auc = (float(ranks) - ones * (ones + 1) / 2) / (ones * zeros)
        if max(auc, 1 - auc) >= _SEPARATES:
            yield _suspect(
                looked,
                fact.name,
                f"alone it tells the classes apart almost without error (AUC {max(auc, 1 - auc):.3f})",
            )


def _telling_gaps(looked: Looked, target: ColumnFacts, gaps: list[ColumnFacts]) -> Iterator[Problem]:
    """Columns that are missing in one class and there in the other."""
    if not gaps:
        return
    t = identifier(target.name)
    figures = ", ".join(
        f"avg(CAST({identifier(f.name)} IS NULL AS INTEGER)) FILTER (one),"
        f" avg(CAST({identifier(f.name)} IS NULL AS INTEGER)) FILTER (NOT one)"
        for f in gaps
    )
    row = looked.con.execute(
        f"SELECT {figures} FROM (SELECT *, {t} = (SELECT min({t}) FROM {looked.base.table}) AS one"  # noqa: S608 - quoted
        f" FROM {looked.base.table} WHERE {t} IS NOT NULL)"
    ).fetchall()[0]
    for i, fact in enumerate(gaps):
        here, there = row[2 * i : 2 * i + 2]
        if here is not None and there is not None and abs(here - there) >= 0.9:
            yield _suspect(looked, fact.name, "it is missing in one class and there in the other")


def _some(looked: Looked) -> str:
    step = max(1, looked.base.rows // _SAMPLE)
    return f"(SELECT * FROM {looked.base.table} WHERE _eid % {step} = 0)"  # noqa: S608 - our own name
