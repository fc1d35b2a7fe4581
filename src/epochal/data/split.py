"""Dealing rows out to train, validation and test, so that the same row always falls on the same side.

The rule is `epochal.core.split`: a fraction from an md5 of seed and key, here computed by DuckDB for all rows at once.
What is decided at the first split (cuts per class, dates) is recorded and followed afterwards: new rows move nobody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from epochal.core.errors import SourceError, SplitChanged
from epochal.core.settings import Columns, SplitSettings
from epochal.core.split import DEALT_ANEW, PARTS, fingerprint_of, followed, is_dealt_anew, rows_of
from epochal.core.steps import nearest
from epochal.data.sqltext import as_text, identifier, is_date_type, is_number_type, literal
from epochal.show import grouped


if TYPE_CHECKING:
    import duckdb

TRAIN, VALIDATION, TEST = (PARTS.index(p) for p in ("train", "validation", "test"))

PARTS_TABLE = "_parts"
"""The temporary table a split is left in: `_eid` and `part`, in the order of the rows."""

_MAX_CLASSES = 1_000
_DIGITS = "1152921504606846976.0"
"""16 ** 15: the first 15 hexadecimal digits over this are a fraction in [0, 1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """A split that was made: which rows are where stands in `PARTS_TABLE`."""

    settings: SplitSettings
    """As given, with what was decided now: cuts, dates, fingerprint; without what belonged to another rule."""
    train: int
    validation: int
    test: int
    notices: tuple[str, ...] = ()


def fraction_sql(seed: int, key: str) -> str:
    """The SQL of a key's fraction; `key` is an SQL expression of text."""
    return f"(('0x' || left(md5({literal(f'{seed}:')} || {key}), 15))::BIGINT::DOUBLE / {_DIGITS})"


def make_split(
    con: duckdb.DuckDBPyConnection, rows: str, types: Mapping[str, str], split: SplitSettings, columns: Columns
) -> Split:
    """Deal out the rows of a relation.

    Args:
        con: The connection `rows` can be read on.
        rows: A relation (SQL) with `_eid`, `_key` and the columns after the recipe.
        types: Those columns' DuckDB types.
        split: The [split] table; what it records is followed.
        columns: The [columns] table: which column is the target, the group, the time.

    Raises SourceError when a column it needs is not there or cannot serve.
    """
    anew = (DEALT_ANEW,) if is_dealt_anew(split, columns) else ()
    split = followed(split, columns)
    dealt, settled, notices = _DEAL[split.kind](con, rows, types, split, columns)
    made = f"SELECT _eid, part::TINYINT AS part FROM ({dealt}) ORDER BY _eid"  # noqa: S608 - quoted
    con.execute(f"CREATE OR REPLACE TEMP TABLE {PARTS_TABLE} AS {made}")
    counted = dict(con.execute(f"SELECT part, count(*) FROM {PARTS_TABLE} GROUP BY part").fetchall())  # noqa: S608 - a constant
    test_key = "('0x' || left(md5(_key), 15))::BIGINT"
    found = con.execute(
        f"SELECT count(*), sum({test_key}) FROM (FROM {rows}) JOIN {PARTS_TABLE} USING (_eid) WHERE {PARTS_TABLE}.part = {TEST}"  # noqa: S608 - our own text
    ).fetchone()
    held, total = found or (0, 0)
    return Split(
        settings=replace(
            settled, fingerprint=fingerprint_of(f"{held}-{int(total or 0) % 2**64:016x}", settled, columns)
        ),
        train=counted.get(TRAIN, 0),
        validation=counted.get(VALIDATION, 0),
        test=counted.get(TEST, 0),
        notices=(*anew, *notices),
    )


def check_unchanged(before: str, now: str, noticed: Sequence[str] = ()) -> None:
    """Refuse another test set than the recorded one, where one rule dealt out both. Raises SplitChanged.

    Under another rule other rows were asked for: that is told, not refused. What was `noticed` of the data is the
    likely cause, and who is refused hears of it nowhere else.
    """
    rule = before.split("-")[2:]
    if before and rows_of(before) != rows_of(now) and rule in ([], now.split("-")[2:]):
        old, new = before.partition("-")[0], now.partition("-")[0]
        counts = (
            f"{old} rows were held out, now it would be {new}" if old != new else f"other {new} rows would be held out"
        )
        raise SplitChanged(
            "; ".join([f"the test set would change: {counts}", *noticed]),
            where="project.toml [split] fingerprint",
            fix=f"if the data{', its cleaning or [split]' if not rule else ' or its cleaning'} changed on purpose, accept "
            "it (--accept-split); earlier test results do not compare with later ones",
        )


Dealt = tuple[str, SplitSettings, tuple[str, ...]]


def _column(name: str, role: str, types: Mapping[str, str]) -> str:
    """A column the split needs, as text. Raises SourceError when it is not there."""
    if not name:
        raise SourceError(f"the split needs a {role} column", where="project.toml [columns]", fix=f'write {role} = "…"')
    if name not in types:
        close = nearest(name, tuple(types))
        raise SourceError(
            f"the {role} column {name!r} is not there after cleaning",
            where="project.toml [columns]",
            fix=f"did you mean {close!r}?" if close else "keep it in the recipe (ignored columns are kept)",
            code="unknown-column",
        )
    return as_text(name, types[name])


def _by_fraction(rows: str, u: str, split: SplitSettings) -> str:
    end = split.test + split.validation
    return (
        f"SELECT _eid, CASE WHEN u < {split.test!r} THEN {TEST} WHEN u < {end!r} THEN {VALIDATION} ELSE {TRAIN} END AS part "  # noqa: S608 - our own text
        f"FROM (SELECT _eid, {u} AS u FROM {rows})"
    )


def _random(
    _con: duckdb.DuckDBPyConnection, rows: str, _types: Mapping[str, str], split: SplitSettings, _columns: Columns
) -> Dealt:
    return _by_fraction(rows, fraction_sql(split.seed, "_key"), split), split, ()


def _group(
    con: duckdb.DuckDBPyConnection, rows: str, types: Mapping[str, str], split: SplitSettings, columns: Columns
) -> Dealt:
    group = _column(columns.group, "group", types)
    missing = _scalar(con, f"SELECT count(*) FROM {rows} WHERE {group} IS NULL")  # noqa: S608 - quoted
    notices = (f"{grouped(missing)} rows have no {columns.group}: each is a group of its own",) if missing else ()
    return _by_fraction(rows, fraction_sql(split.seed, f"coalesce({group}, _key)"), split), split, notices


def _stratified(
    con: duckdb.DuckDBPyConnection, rows: str, types: Mapping[str, str], split: SplitSettings, columns: Columns
) -> Dealt:
    target = _column(columns.target, "target", types)
    placed = f"SELECT _eid, {target} AS class, {fraction_sql(split.seed, '_key')} AS u FROM {rows}"  # noqa: S608 - quoted
    classes = _scalar(con, f"SELECT count(DISTINCT class) FROM ({placed})")  # noqa: S608 - our own text
    if classes > _MAX_CLASSES:
        raise SourceError(
            f"the target {columns.target!r} has {grouped(classes)} values: too many to keep their shares",
            where="project.toml [split] kind",
            fix='write kind = "random"',
        )
    cuts = {**_new_cuts(con, placed, split), **split.cuts}
    used = [c for (c,) in con.execute(f"SELECT DISTINCT class FROM ({placed}) WHERE class IS NOT NULL").fetchall()]  # noqa: S608 - likewise
    listed = ", ".join(f"({literal(c)}, {float(cuts[c][0])!r}, {float(cuts[c][1])!r})" for c in used)
    if not listed:
        return _by_fraction(rows, fraction_sql(split.seed, "_key"), split), split, ()
    end = split.test + split.validation
    dealt = (
        f"SELECT p._eid, CASE WHEN p.u < coalesce(t, {split.test!r}) THEN {TEST} "  # noqa: S608 - quoted
        f"WHEN p.u < coalesce(v, {end!r}) THEN {VALIDATION} ELSE {TRAIN} END AS part "
        f"FROM ({placed}) AS p LEFT JOIN (VALUES {listed}) AS cut(class, t, v) ON p.class = cut.class"
    )
    return dealt, replace(split, cuts=dict(sorted(cuts.items()))), ()


def _new_cuts(con: duckdb.DuckDBPyConnection, placed: str, split: SplitSettings) -> dict[str, tuple[float, float]]:
    """For each class the cuts that give it the asked shares as exactly as whole rows allow."""
    found = con.execute(
        f"""WITH ranked AS (
            SELECT class, u, row_number() OVER (PARTITION BY class ORDER BY u) AS nth, count(*) OVER (PARTITION BY class) AS n
            FROM ({placed}) WHERE class IS NOT NULL
        ), wanted AS (
            SELECT *, floor({split.test!r} * n + 0.5) AS t, least(n, t + floor({split.validation!r} * n + 0.5)) AS v FROM ranked
        )
        SELECT class, max(u) FILTER (nth <= t), min(u) FILTER (nth > t), max(u) FILTER (nth <= v), min(u) FILTER (nth > v)
        FROM wanted GROUP BY class"""  # noqa: S608 - our own text
    ).fetchall()
    return {name: (between(a, b), between(c, d)) for name, a, b, c, d in found}


def between(low: float | None, high: float | None) -> float:
    """The shortest decimal above `low` and not above `high`: a cut that people can read. None: there is no row there."""
    if low is None:
        return 0.0
    if high is None:
        return 1.0
    for digits in range(4, 18):
        scale = Decimal(10) ** digits
        cut = float((Decimal(repr(low)) * scale).__floor__() + 1) / float(scale)
        if low < cut <= high:
            return cut
    return high


def _time(
    con: duckdb.DuckDBPyConnection, rows: str, types: Mapping[str, str], split: SplitSettings, columns: Columns
) -> Dealt:
    _column(columns.time, "time", types)
    kind, name = types[columns.time], identifier(columns.time)
    if not (is_date_type(kind) or is_number_type(kind)):
        raise SourceError(
            f"the time column {columns.time!r} is neither a date nor a number",
            where="project.toml [columns] time",
            fix='add a step: op = "parse_date"',
            code="wrong-kind",
        )
    settled = replace(
        split,
        validation_from=_moment(split.validation_from) or _nth(con, rows, name, split.test + split.validation),
        test_from=_moment(split.test_from)
        or (_nth(con, rows, name, split.test) if split.test else _NEVER[is_date_type(kind)]),
    )
    missing = _scalar(con, f"SELECT count(*) FROM {rows} WHERE {name} IS NULL")  # noqa: S608 - quoted
    notices = (f"{grouped(missing)} rows have no {columns.time}: they are trained on",) if missing else ()
    test, validation = (f"{literal(str(v))}::{kind}" for v in (settled.test_from, settled.validation_from))
    dealt = (
        f"SELECT _eid, CASE WHEN {name} >= {test} THEN {TEST} WHEN {name} >= {validation} THEN {VALIDATION} "  # noqa: S608 - quoted
        f"ELSE {TRAIN} END AS part FROM {rows}"
    )
    return dealt, settled, notices


_NEVER = {True: "9999-12-31", False: str(2**62)}
"""Where the test part begins when there is to be none: for dates, for numbers."""


def _moment(value: date | str | None) -> str:
    return value.isoformat() if isinstance(value, date) else value or ""


def _nth(con: duckdb.DuckDBPyConnection, rows: str, name: str, share: float) -> str:
    """The value from which on about this share of the rows lies; as ISO text."""
    found = con.execute(
        f"SELECT min(x) FROM (SELECT {name} AS x, row_number() OVER (ORDER BY {name} DESC) AS nth, count(*) OVER () AS n "  # noqa: S608 - quoted
        f"FROM {rows} WHERE {name} IS NOT NULL) WHERE nth <= greatest(1, floor({share!r} * n + 0.5))"
    ).fetchone()
    value: Any = found[0] if found else None
    if value is None:
        raise SourceError(
            "the time column holds no value", where="project.toml [columns] time", fix="choose another column"
        )
    if isinstance(value, datetime) and value == datetime.combine(value.date(), datetime.min.time()):
        value = value.date()
    return value.isoformat() if isinstance(value, date) else str(value)


def _by_column(
    con: duckdb.DuckDBPyConnection, rows: str, types: Mapping[str, str], split: SplitSettings, _columns: Columns
) -> Dealt:
    text = _column(split.column, "split", types)
    meaning: dict[str, str] = {p: p for p in PARTS} | dict(split.values)
    found = con.execute(f"SELECT {text} AS v, count(*) FROM {rows} GROUP BY v ORDER BY v").fetchall()  # noqa: S608 - quoted
    strange = [(v, n) for v, n in found if v not in meaning]
    if strange:
        value, count = strange[0]
        shown = "no value" if value is None else repr(value)
        raise SourceError(
            f"column {split.column!r} says {shown} for {grouped(count)} rows, which is no part",
            where="project.toml [split]",
            fix="name it in [split.values] as train, validation or test"
            if value is not None
            else "fill it, or drop these rows",
            code="unknown-part",
        )
    cases = " ".join(f"WHEN {literal(v)} THEN {PARTS.index(meaning[v])}" for v, _n in found)
    part = f"CASE {text} {cases} END" if cases else "0"
    return f"SELECT _eid, {part} AS part FROM {rows}", split, ()  # noqa: S608 - quoted


def _scalar(con: duckdb.DuckDBPyConnection, sql: str) -> int:
    row = con.execute(sql).fetchone()
    return int(row[0]) if row else 0


_DEAL = {"random": _random, "stratified": _stratified, "group": _group, "time": _time, "column": _by_column}
