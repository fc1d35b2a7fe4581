"""What columns could be for: which is the target, which teach nothing or give the answer away."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from epochal.data.measure import ColumnFacts
from epochal.data.sqltext import identifier
from epochal.data.views import Base
from epochal.show import grouped


if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_TARGET_NAMES = {
    "target": 100, "label": 95, "labels": 95, "class": 90, "outcome": 90, "survived": 88, "diagnosis": 85, "churn": 85,
    "churned": 85, "exited": 85, "fraud": 85, "is fraud": 90, "saleprice": 85, "sale price": 85, "sentiment": 80,
    "y": 80, "medv": 80, "spam": 80, "species": 75, "converted": 75, "approved": 75, "response": 60, "default": 60,
    "attrition": 85, "price": 60, "quality": 60, "income": 55, "salary": 55, "charges": 55, "damage": 45, "result": 50,
    "grade": 45, "category": 40, "status": 35, "rating": 40, "score": 40, "type": 30, "mpg": 50, "close": 20,
    "revenue": 50, "sales": 50, "demand": 50, "deaths": 40, "strength": 40, "progression": 50,
}  # fmt: skip
"""Names that targets often have, with how telling they are."""
_MANY_VALUES = 50
_LEAK_VALUES = 100
_PURE = 0.9995


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignored:
    """A column that should not be learnt from."""

    name: str
    why: str
    identifies: bool = False
    """Whether it can be the key: named like an id, there and different in every row."""


def rank_targets(facts: Mapping[str, ColumnFacts]) -> list[tuple[str, float, str]]:
    """All columns, likeliest target first: (name, score, why). A score above 0 is a suggestion."""
    last = len(facts) - 1
    scored: list[tuple[float, int, str, str]] = []
    for position, fact in enumerate(facts.values()):
        score, why = _shape(fact)
        named, told = _by_name(fact.name)
        if named:
            why = told
        place = 12 if position == last else 6 if position == 0 else 0
        gap = 60 * fact.missing / max(1, fact.rows)
        scored.append((score + named + place - gap, position, fact.name, why))
    scored.sort(key=lambda s: (-s[0], -s[1]))
    return [(name, score, why) for score, _, name, why in scored]


def _by_name(name: str) -> tuple[float, str]:
    plain = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    plain = re.sub(r"[^a-z0-9]+", " ", plain.lower()).strip()
    if plain in _TARGET_NAMES:
        return _TARGET_NAMES[plain], "a name that targets often have"
    tokens = [t for t in plain.split() if t in _TARGET_NAMES and len(t) > 1]
    if tokens:
        return 0.6 * max(_TARGET_NAMES[t] for t in tokens), "a name that targets often have"
    return (25.0, "its name asks yes or no") if plain.startswith(("is ", "has ")) else (0.0, "")


def _shape(fact: ColumnFacts) -> tuple[float, str]:
    if fact.distinct < 2:
        return -300.0, "it has a single value"
    if fact.kind in {"date", "text", "id"}:
        return -200.0, f"it is a {fact.kind}"
    if fact.named_id or fact.counts_rows or (fact.kind != "number" and fact.near_unique):
        return -250.0, "it identifies rows"
    if fact.kind == "boolean":
        return 25.0, "it is true or false"
    if fact.kind == "category":
        if fact.distinct <= 20:
            return 20.0, f"its {fact.distinct} values are classes"
        return (
            (5.0, f"its {fact.distinct} values are classes")
            if fact.distinct <= _MANY_VALUES
            else (-60.0, "many classes")
        )
    if fact.whole and fact.distinct <= 10:
        return 12.0, f"a number with {fact.distinct} values"
    return (4.0 if fact.whole else 8.0), "it is a number"


def choose_ignored(
    con: DuckDBPyConnection, base: Base, facts: Mapping[str, ColumnFacts], target: str, named: Collection[str]
) -> list[Ignored]:
    """Columns that teach nothing, identify rows, or say the target in other words; those already named are left."""
    others = [f for f in facts.values() if f.name != target and f.name not in named]
    ignored: list[Ignored] = []
    prose = [f for f in others if f.kind == "text" and not _teaches_nothing(f, alone=True)]
    for fact in others:
        alone = fact.kind == "text" and len(prose) == 1 and not _has_other_input(others, fact)
        why = _teaches_nothing(fact, alone=alone)
        if why:
            unique = fact.distinct == fact.rows and (fact.named_id or (fact.kind == "text" and fact.words < 1.5))
            ignored.append(Ignored(name=fact.name, why=why, identifies=unique))
    gone = {i.name for i in ignored}
    if target in facts:
        why = "each of its values goes with one value of the target: the answer"
        left = [f for f in others if f.name not in gone]
        ignored.extend(Ignored(name=f.name, why=why) for f in left if says_target(con, base, f, facts[target]))
    return ignored


def _has_other_input(others: list[ColumnFacts], fact: ColumnFacts) -> bool:
    return any(o.name != fact.name and not _teaches_nothing(o, alone=False) for o in others)


def _teaches_nothing(fact: ColumnFacts, *, alone: bool) -> str:
    """Why a column should be ignored; empty when it should not. `alone`: it is the only text there is to learn from."""
    if fact.filled == 0:
        return "it is empty"
    if fact.missing >= 0.98 * fact.rows:
        return f"it is empty in {grouped(fact.missing)} of {grouped(fact.rows)} rows"
    if fact.distinct == 1 and not fact.missing:
        return "it is the same in every row"
    if fact.counts_rows:
        return "it counts the rows"
    many = fact.distinct > 20 and fact.distinct >= 0.3 * fact.filled
    if fact.named_id and many and (fact.kind != "number" or fact.whole):
        return "its name and its many values say that it identifies something"
    if fact.remark and fact.missing > 0.5 * fact.rows:
        return "remarks that most rows do not have"
    if fact.kind in {"number", "date", "boolean"} or alone:
        return ""
    short = fact.length < 40 and fact.words < 8
    wordy = 0.95 if fact.words >= 2.5 else 0.7
    if short and fact.filled > 20 and fact.distinct >= wordy * fact.filled:
        return f"{grouped(fact.distinct)} different values in {grouped(fact.filled)} rows: almost an id"
    return ""


def says_target(con: DuckDBPyConnection, base: Base, fact: ColumnFacts, target: ColumnFacts) -> bool:
    """Whether a category is the target in other words: as many values, each with one value of the target."""
    if fact.kind not in {"category", "boolean"} and not (fact.whole and fact.kind == "number"):
        return False
    if not 2 <= fact.distinct <= _LEAK_VALUES or fact.distinct != target.distinct:
        return False
    return purity(con, base, fact.name, target.name) >= _PURE


def purity(con: DuckDBPyConnection, base: Base, column: str, target: str) -> float:
    """Share of rows whose value of the column goes with the target value it mostly goes with."""
    c, t = identifier(column), identifier(target)
    row = con.execute(
        f"SELECT sum(most), sum(n) FROM (SELECT max(k) AS most, sum(k) AS n FROM"  # noqa: S608 - quoted names
        f" (SELECT {c} AS c, count(*) AS k FROM {base.table} WHERE {c} IS NOT NULL AND {t} IS NOT NULL GROUP BY {c}, {t})"
        " GROUP BY c)"
    ).fetchall()[0]
    return float(row[0] or 0) / max(1.0, float(row[1] or 0))


def find_time(facts: Mapping[str, ColumnFacts]) -> str:
    """The column of time by which rows are ordered, one row each; empty when there is none."""
    for fact in facts.values():
        if fact.kind == "date" and fact.near_unique and fact.ordered >= 0.999 and not fact.missing:
            return fact.name
    return ""
