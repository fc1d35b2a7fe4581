"""What the cells of text columns could be: exact counts over all rows of what reads as number, date or true/false."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from epochal.core.steps import Step
from epochal.data.sqltext import identifier, is_text_type, literal
from epochal.data.stepsql import CELL_OPS, boolean_from_text, date_from_text, number_from_text


if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MARKS = ("NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None", "?", "-", "--", ".")
"""Texts that often stand for missing. `unknown` and the like are values."""
_WEAK_MARKS = frozenset({"None"})
"""Marks that are as often a value: taken for missing only where few cells hold them, or the rest are numbers."""
DATE_FORMATS = (
    "%Y/%m/%d",
    "%d.%m.%Y",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%m/%d/%y",
    "%d/%m/%y",
    "%d.%m.%y",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%b %d %Y",
    "%B %d, %Y",
    "%b %d, %Y",
    "%d %b %Y",
    "%d %B %Y",
    "%d-%b-%y",
    "%d-%b-%Y",
    "%Y-%m-%d %H:%M",
    "%m/%d/%Y %H:%M",
    "%d.%m.%Y %H:%M",
)
AMOUNTS = {
    ".": r"[-+]?[€$£¥]?\s?([1-9][0-9]{0,2}(,[0-9]{3})+|[0-9]+)(\.[0-9]+)?\s?[€$£¥%]?",
    ",": r"[-+]?[€$£¥]?\s?([1-9][0-9]{0,2}(\.[0-9]{3})+|[0-9]+)(,[0-9]+)?\s?[€$£¥%]?",
}
"""By decimal sign: numbers with groups of thousands, a currency or a per cent sign."""
ENOUGH = 0.9
"""Share of the values that must read as a kind before it is proposed; the rest become rejects."""
_COLUMNS_AT_ONCE = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class TextFacts:
    """Counts over one text column, marks for missing taken out."""

    name: str
    filled: int
    numbers: int
    dates: int
    """ISO dates and times."""
    booleans: int
    zeros: int
    """Values such as 007, which numbers would spoil."""
    spaced: int
    """Values with spaces at an end."""
    marks: tuple[tuple[str, int], ...] = ()
    """Marks for missing that occur, with their counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KindGuess:
    """What a text column should be read as."""

    name: str
    kind: str
    """number, date, boolean, or empty to leave it text."""
    date_format: str = ""
    """For dates that are not ISO."""
    decimal: str = ""
    """For numbers that are written with a decimal comma, groups of thousands, a currency or a per cent sign."""
    fits: int = 0
    """Values that read as the kind."""
    filled: int = 0
    note: str = ""
    marks: tuple[str, ...] = field(default=())
    spaced: int = 0


def guess_kinds(
    con: DuckDBPyConnection,
    table: str,
    columns: Sequence[tuple[str, str]],
    report: Callable[[float], None] = lambda _share: None,
) -> tuple[KindGuess, ...]:
    """Guess for every text column of a table; others are what their type says and are left out.

    `report` is told the share of the columns that were looked at.
    """
    texts = [name for name, kind in columns if is_text_type(kind)]
    guesses: list[KindGuess] = []
    for start in range(0, len(texts), _COLUMNS_AT_ONCE):
        report(start / len(texts))
        part = text_facts(con, table, texts[start : start + _COLUMNS_AT_ONCE])
        guesses.extend(_guess(con, table, facts) for facts in part)
    return tuple(guesses)


def text_facts(con: DuckDBPyConnection, table: str, names: Sequence[str]) -> list[TextFacts]:
    """Count what the values of text columns could be, in one pass over the table and one over those with marks."""
    listed = ", ".join(literal(m) for m in MARKS)
    figures = ", ".join(
        ", ".join(
            (
                f"count(*) FILTER (trim({c}) IN ({listed}))",
                f"count({c}) FILTER ({v} IS NOT NULL)",
                f"count({number_from_text(v)})",
                f"count({date_from_text(v)})",
                f"count({boolean_from_text(v)}) FILTER ({v} NOT IN ('0', '1'))",
                f"count(*) FILTER (regexp_full_match({v}, '0[0-9]+'))",
                f"count(*) FILTER ({c} <> trim({c}))",
            )
        )
        for c, v in (
            (identifier(n), f"CASE WHEN trim({identifier(n)}) NOT IN ('', {listed}) THEN {identifier(n)} END")
            for n in names
        )
    )
    row = con.execute(f"SELECT {figures} FROM {table}").fetchall()[0]  # noqa: S608 - quoted names
    facts: list[TextFacts] = []
    for i, name in enumerate(names):
        marked, filled, numbers, dates, booleans, zeros, spaced = row[7 * i : 7 * i + 7]
        facts.append(
            TextFacts(
                name=name,
                filled=filled,
                numbers=numbers,
                dates=dates,
                booleans=booleans,
                zeros=zeros,
                spaced=spaced,
                marks=_marks(con, table, name, listed) if marked else (),
            )
        )
    return facts


def _marks(con: DuckDBPyConnection, table: str, name: str, listed: str) -> tuple[tuple[str, int], ...]:
    found = con.execute(
        f"SELECT trim({identifier(name)}) AS v, count(*) FROM {table} WHERE v IN ({listed}) GROUP BY v"  # noqa: S608
    ).fetchall()
    return tuple(sorted(found, key=lambda pair: MARKS.index(pair[0])))


def _guess(con: DuckDBPyConnection, table: str, facts: TextFacts) -> KindGuess:
    kind, form, decimal, fits, note = "", "", "", 0, ""
    enough = ENOUGH * facts.filled
    if facts.filled:
        if facts.numbers >= enough and facts.zeros <= 0.5 * facts.filled:
            kind, fits = "number", facts.numbers
        elif facts.dates >= enough:
            kind, fits = "date", facts.dates
        elif facts.booleans == facts.filled and _two_values(con, table, facts.name):
            kind, fits = "boolean", facts.booleans
        elif facts.numbers < enough:
            form, fits, note = _date_format(con, table, facts)
            kind = "date" if form else ""
        if not kind and facts.numbers < enough:
            decimal, fits, note = _amounts(con, table, facts)
            kind = "number" if decimal else ""
    weak = not kind and sum(n for m, n in facts.marks if m in _WEAK_MARKS) > 0.05 * (facts.filled + 1)
    marks = tuple(m for m, _ in facts.marks if not (weak and m in _WEAK_MARKS))
    return KindGuess(
        name=facts.name,
        kind=kind,
        date_format=form,
        decimal=decimal,
        fits=fits,
        filled=facts.filled,
        note=note,
        marks=marks,
        spaced=facts.spaced,
    )


def _amounts(con: DuckDBPyConnection, table: str, facts: TextFacts) -> tuple[str, int, str]:
    """The decimal sign of amounts such as 1.234,50 or $1,200, how many values read so, and what is not sure."""
    name = identifier(facts.name)
    shapes = ", ".join(
        f"count(*) FILTER (regexp_full_match(trim({name}), {literal(shape)}))" for shape in AMOUNTS.values()
    )
    counts = con.execute(f"SELECT {shapes} FROM {table}").fetchall()[0]  # noqa: S608 - quoted names
    read = dict(zip(AMOUNTS, counts, strict=True))
    best = max(AMOUNTS, key=lambda sign: read[sign])
    if read[best] < ENOUGH * facts.filled:
        return "", 0, ""
    step = Step(op="parse_number", params={"columns": (facts.name,), "decimal": best})
    made = CELL_OPS["parse_number"](step, facts.name, "VARCHAR", 0)
    fits: int = con.execute(f"SELECT count({made[0]}) FROM {table}").fetchall()[0][0] if made else 0  # noqa: S608
    either = len(set(counts)) == 1
    return best, fits, "a comma is taken for a thousand, not for decimals" if either else ""


def _two_values(con: DuckDBPyConnection, table: str, name: str) -> bool:
    read = boolean_from_text(identifier(name))
    return bool(con.execute(f"SELECT count(DISTINCT {read}) = 2 FROM {table}").fetchall()[0][0])  # noqa: S608 - quoted


def _date_format(con: DuckDBPyConnection, table: str, facts: TextFacts) -> tuple[str, int, str]:
    """The date format most values have, how many, and what is not sure; empty when none has enough."""
    name = identifier(facts.name)
    listed = ", ".join(literal(m) for m in MARKS)
    some = f"(SELECT DISTINCT {name} AS v FROM {table} WHERE {name} IS NOT NULL AND trim({name}) NOT IN ({listed}) LIMIT 400)"  # noqa: S608
    looks = con.execute(
        f"SELECT count(*) FILTER (regexp_matches(v, '[0-9].*[-/. ].*[0-9]') AND length(v) <= 30), count(*) FROM {some}"  # noqa: S608
    ).fetchall()[0]
    if looks[0] < ENOUGH * looks[1]:
        return "", 0, ""
    tries = ", ".join(f"count({date_from_text('v', f)})" for f in DATE_FORMATS)
    counts = con.execute(f"SELECT {tries} FROM {some}").fetchall()[0]  # noqa: S608 - our own formats
    likely = [f for f, n in zip(DATE_FORMATS, counts, strict=True) if n >= ENOUGH * looks[1]]
    if not likely:
        return "", 0, ""
    tries = ", ".join(f"count({date_from_text(name, f)})" for f in likely)
    exact = con.execute(f"SELECT {tries} FROM {table}").fetchall()[0]  # noqa: S608 - quoted names
    best = max(range(len(likely)), key=lambda i: exact[i])
    if exact[best] < ENOUGH * facts.filled:
        return "", 0, ""
    also = [f for i, f in enumerate(likely) if i != best and exact[i] == exact[best]]
    return likely[best], exact[best], f"{also[0]} reads as many" if also else ""
