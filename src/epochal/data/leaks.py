"""Inputs that know too much: one column that alone gives the target away."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from epochal.data.engine import Work
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
MOST_COLUMNS = 300
"""Numbers, and columns with gaps, that are looked at: the first ones."""
_AT_ONCE = 20
"""Columns that one statement ranks."""


def find_leaks(looked: Looked, work: Work) -> Iterator[Problem]:
    """Numbers that alone tell the target, and inputs whose absence does. Suspicion is no proof: a person decides.

    Only the first `MOST_COLUMNS` are looked at.
    """
    target = looked.target
    if target is None or target.distinct < 2:
        return
    numbers = _numbers(looked)[:MOST_COLUMNS]
    if looked.project.goal.task == "regression" and is_number_type(target.type):
        yield from _correlated(looked, target, numbers)
    elif target.distinct == 2:
        yield from _separating(looked, target, numbers, work)
    gaps = [f for f in looked.inputs if f.missing > 20 and f.filled > 20][:MOST_COLUMNS]
    if target.distinct == 2:
        yield from _telling_gaps(looked, target, gaps)


def not_looked_at(looked: Looked) -> int:
    """Numbers that `find_leaks` passes over, for there are too many."""
    return max(0, len(_numbers(looked)) - MOST_COLUMNS)


def _numbers(looked: Looked) -> list[ColumnFacts]:
    return [f for f in looked.inputs if is_number_type(f.type) and f.distinct > 2]


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


def _separating(looked: Looked, target: ColumnFacts, numbers: list[ColumnFacts], work: Work) -> Iterator[Problem]:
    """The share of pairs a single number orders right (ROC AUC), by ranks."""
    for start in range(0, len(numbers), _AT_ONCE):
        work.report("looking for leaks", start / len(numbers))
        facts = numbers[start : start + _AT_ONCE]
        ranked = " UNION ALL ".join(_ranks(looked, target, fact, i) for i, fact in enumerate(facts))
        for i, ranks, ones, zeros in sorted(looked.con.execute(ranked).fetchall()):
            if not ones or not zeros:
                continue
            auc = (float(ranks) - ones * (ones + 1) / 2) / (ones * zeros)
            if max(auc, 1 - auc) >= _SEPARATES:
                yield _suspect(
                    looked,
                    facts[i].name,
                    f"alone it tells the classes apart almost without error (AUC {max(auc, 1 - auc):.3f})",
                )


def _ranks(looked: Looked, target: ColumnFacts, fact: ColumnFacts, number: int) -> str:
    """SQL: `number`, the sum of the ranks of one class by a column, and how many rows each class has."""
    c, t = identifier(fact.name), identifier(target.name)
    return (
        f"(WITH known AS (SELECT CAST({c} AS DOUBLE) AS c, {t} AS t FROM {_some(looked)}"  # noqa: S608 - quoted names
        f" WHERE {c} IS NOT NULL AND {t} IS NOT NULL),"
        " judged AS (SELECT c, t = (SELECT min(t) FROM known) AS first FROM known),"
        " ranked AS (SELECT first, rank() OVER (ORDER BY c) + (count(*) OVER (PARTITION BY c) - 1) / 2.0 AS r FROM judged)"
        f" SELECT {number}, sum(r) FILTER (first), count(*) FILTER (first), count(*) FILTER (NOT first) FROM ranked)"
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
