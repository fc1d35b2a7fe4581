"""A recipe as SQL does what the same recipe does in plain Python, row by row."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from epochal.core.errors import StepError
from epochal.core.steps import OPS, Step, parse_step
from epochal.data.count import count_recipe
from epochal.data.engine import QUADRATIC
from epochal.data.sql import columns_after, marked_sql, recipe_sql, rejects_sql
from epochal.data.stages import plan


CELLS = (
    None, "a", "A", " a ", "b\u00a0", "x  y", "NA", "?", "7", " 7 ", "-3.5", "1e2", "1_000", "nan", "inf", "$1,234.50",
    "2 kg", "12-15", "2020-01-31", "31.01.2020", "yes", "No", "true", "a/b/c", "/b", "'quoted'", "\u00e9", "0", "007",
)  # fmt: skip
SPACE = re.compile(r"^[\s\u00a0\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+|[\s\u00a0\u3000]+$")

Row = dict[str, Any]


# ── the oracle: the same steps in plain Python ──


class CannotApply(Exception):
    """The step does not fit the columns: SQL must refuse it too."""


def apply(  # noqa: C901, PLR0912 - one case for each step
    rows: list[Row], types: dict[str, str], step: Step
) -> tuple[list[Row], dict[str, str]]:
    """One step over rows; types are text, number, boolean, date."""
    p = step.params
    named = list(dict.fromkeys(step.columns)) or list(types)
    if step.op not in {"compute", "filter"} and any(c not in types for c in named):
        raise CannotApply
    match step.op:
        case "select":
            return [{c: r[c] for c in named} | {"_eid": r["_eid"]} for r in rows], {c: types[c] for c in named}
        case "drop_columns":
            left = {c: t for c, t in types.items() if c not in named}
            if not left:
                raise CannotApply
            return [{c: r[c] for c in ("_eid", *left)} for r in rows], left
        case "rename":
            old, new = p["column"], p["to"]
            if new.lower() in {c.lower() for c in types if c != old}:
                raise CannotApply
            rows = [{(new if k == old else k): v for k, v in r.items()} for r in rows]
            return rows, {(new if c == old else c): t for c, t in types.items()}
        case "drop_missing":
            return [r for r in rows if all(r[c] is not None for c in named)], types
        case "drop_duplicates":
            seen: set[tuple[Any, ...]] = set()
            kept = []
            for r in rows:
                mark = tuple(r[c] for c in named)
                if mark not in seen:
                    kept.append(r)
                seen.add(mark)
            return kept, types
        case "filter":
            return [r for r in rows if r["a"] is not None and len(r["a"]) > 1], types
        case "compute":
            return [r | {p["column"]: len(r["a"]) if r["a"] is not None else None} for r in rows], types | {
                p["column"]: "number"
            }
        case "split_column":
            if any(n.lower() in {c.lower() for c in types} for n in p["into"]):
                raise CannotApply
            return [r | pieces(as_text(r[p["column"]]), p["at"], p["into"]) for r in rows], types | dict.fromkeys(
                p["into"], "text"
            )
    changed = dict(types)
    made = [dict(r) for r in rows]
    for column in named:
        new = cell_step(step, types[column])
        if new is None:
            continue
        for r in made:
            r[column] = new(r[column])
        changed[column] = becomes(step, types[column])
    return made, changed


def cell_step(step: Step, kind: str) -> Any:
    """What the step does to one cell of the kind; None when it leaves the column alone."""
    p = step.params
    if step.op in {"trim", "lower", "upper", "collapse_spaces", "replace"}:
        if kind != "text":
            raise CannotApply
        return {
            "trim": lambda v: v and (SPACE.sub("", v) or None),
            "lower": lambda v: v and v.lower(),
            "upper": lambda v: v and v.upper(),
            "collapse_spaces": lambda v: v and re.sub(r"[\s\u00a0]+", " ", v),
            "replace": lambda v: v and (v.replace(p.get("find"), p.get("with", "")) or None),
        }[step.op]
    if step.op == "map_values":
        reader = {"number": number, "boolean": boolean, "date": date, "text": lambda v: v}[becomes(step, kind)]
        mapping = {k: reader(v) if v else None for k, v in p["mapping"].items()}
        as_it_is = as_text if becomes(step, kind) == "text" else lambda v: v
        return lambda v: None if v is None else mapping[as_text(v)] if as_text(v) in mapping else as_it_is(v)
    if step.op == "mark_missing":
        if kind == "number":
            marks = {float(v) for v in p["values"] if v in {"7", "0", "007"}}
            return (lambda v: None if v in marks else v) if marks else None
        return (lambda v: None if v is not None and SPACE.sub("", v) in p["values"] else v) if kind == "text" else None
    if step.op == "fill":
        return filled(p["value"], kind)
    if step.op == "clip":
        if kind != "number":
            raise CannotApply
        return lambda v: None if v is None else min(max(v, p.get("low", -math.inf)), p.get("high", math.inf))
    return conversion(step, kind)


def filled(value: Any, kind: str) -> Any:
    if kind == "number":
        if not isinstance(value, (int, float)) and value not in {"7", "0", "007"}:
            raise CannotApply
        return lambda v: float(value) if v is None else v
    if kind != "text":
        raise CannotApply
    text = as_text(value)
    if not text:
        raise CannotApply
    return lambda v: text if v is None else v


def conversion(step: Step, kind: str) -> Any:
    wanted = {"parse_date": "date", "parse_number": "number"}.get(step.op, step.params.get("kind"))
    if wanted in {"text", "category", "id"}:
        return None if kind == "text" else lambda v: None if v is None else as_text(v)
    if kind == wanted:
        return None
    if step.op == "parse_number":
        return lambda v: None if v is None else money(as_text(v))
    if wanted == "number" and kind == "boolean":
        return lambda v: None if v is None else float(v)
    reader = {"number": number, "boolean": boolean, "date": date}[wanted]
    if step.params.get("format"):
        return lambda v: None if v is None else formatted(as_text(v))
    return lambda v: None if v is None else reader(as_text(v))


def becomes(step: Step, kind: str) -> str:
    if step.op == "set_kind":
        return {"category": "text", "id": "text"}.get(step.params["kind"], step.params["kind"])
    if step.op == "map_values":
        fits = {"number": number, "boolean": {"true": True, "false": False}.get, "date": lambda _text: None}
        stays = kind in fits and all(fits[kind](v) is not None for v in step.params["mapping"].values() if v)
        return kind if stays else "text"
    return {"parse_date": "date", "parse_number": "number"}.get(step.op, kind)


def number(text: str) -> float | None:
    if not re.fullmatch(r"[ ]*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?[ ]*", text):
        return None
    return float(text)


def boolean(text: str) -> bool | None:
    word = text.strip(" ").lower()
    return True if word in {"true", "t", "yes", "y", "1"} else False if word in {"false", "f", "no", "n", "0"} else None


def date(text: str) -> datetime | None:
    try:
        return datetime.strptime(text.strip()[:19], "%Y-%m-%d" if len(text.strip()) == 10 else "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007
    except ValueError:
        return None


def formatted(text: str) -> datetime | None:
    try:
        return datetime.strptime(text.strip(), "%d.%m.%Y")  # noqa: DTZ007
    except ValueError:
        return None


def money(text: str) -> float | None:
    found = re.fullmatch(
        r"[^0-9.+-]*([-+]?)[^0-9.+-]*((?:[0-9](?:[0-9,'\s]*[0-9])?(?:[.][0-9]*)?|[.][0-9]+)(?:[eE][-+]?[0-9]{1,2})?)[^0-9]*",
        text,
    )
    return float(found[1] + re.sub(r"[,'\s]", "", found[2])) if found else None


def as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return str(value)


def pieces(text: str | None, at: str, into: tuple[str, ...]) -> Row:
    parts = [] if text is None or text == "None" else text.split(at, len(into) - 1)
    return {name: (parts[i] or None) if i < len(parts) else None for i, name in enumerate(into)}


# ── the comparison ──

NAMES = st.sampled_from(("a", "b", "c", "d e"))
SOME = st.lists(NAMES, min_size=1, max_size=3, unique=True)
WORDS = st.sampled_from(("a", "7", "NA", "?", "x", "0", "é", "'q"))


def steps() -> st.SearchStrategy[Step]:
    """Any step, over columns that may or may not be there."""
    simple = [
        st.fixed_dictionaries({"op": st.just(op), "columns": SOME})
        for op in (
            "select",
            "drop_columns",
            "trim",
            "lower",
            "upper",
            "collapse_spaces",
            "drop_missing",
            "parse_number",
        )
    ]
    return st.one_of(
        *simple,
        st.fixed_dictionaries({"op": st.just("drop_duplicates")}, optional={"columns": SOME}),
        st.fixed_dictionaries(
            {"op": st.just("rename"), "column": NAMES, "to": st.sampled_from(("A", "z", "b", "d e"))}
        ),
        st.fixed_dictionaries(
            {
                "op": st.just("set_kind"),
                "columns": SOME,
                "kind": st.sampled_from(("number", "category", "date", "boolean")),
            }
        ),
        st.fixed_dictionaries({"op": st.just("replace"), "columns": SOME, "find": WORDS}, optional={"with": WORDS}),
        st.fixed_dictionaries(
            {
                "op": st.just("map_values"),
                "column": NAMES,
                "mapping": st.dictionaries(WORDS, st.sampled_from(("A", "", "7")), min_size=1),
            }
        ),
        st.fixed_dictionaries(
            {
                "op": st.just("map_values"),
                "column": NAMES,
                "mapping": st.just({f"m{i}": "M" for i in range(60)} | {"a": "B", "7": ""}),
            }
        ),
        st.fixed_dictionaries(
            {"op": st.just("mark_missing"), "values": st.lists(WORDS, min_size=1)}, optional={"columns": SOME}
        ),
        st.fixed_dictionaries({"op": st.just("fill"), "columns": SOME, "value": st.sampled_from(("x", "7", 3, 2.5))}),
        st.fixed_dictionaries({"op": st.just("parse_date"), "columns": SOME}, optional={"format": st.just("%d.%m.%Y")}),
        st.fixed_dictionaries(
            {
                "op": st.just("split_column"),
                "column": NAMES,
                "at": st.just("/"),
                "into": st.sampled_from((["p", "q"], ["p"], ["B"])),
            }
        ),
        st.fixed_dictionaries(
            {"op": st.just("clip"), "columns": SOME, "low": st.just(0.5)}, optional={"high": st.just(6.5)}
        ),
    ).map(parse_step)


ROWS = st.lists(st.tuples(*[st.sampled_from(CELLS)] * 4), min_size=0, max_size=8)
COLUMNS = (("a", "VARCHAR"), ("b", "VARCHAR"), ("c", "VARCHAR"), ("d e", "VARCHAR"))


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


def fill_raw(con: duckdb.DuckDBPyConnection, rows: list[tuple[Any, ...]]) -> None:
    con.execute(
        'CREATE OR REPLACE TABLE raw (_eid BIGINT, _source VARCHAR, _line BIGINT, _key VARCHAR, a VARCHAR, b VARCHAR, c VARCHAR, "d e" VARCHAR)'
    )
    if rows:
        con.executemany(
            "INSERT INTO raw VALUES (?, 's', ?, ?, ?, ?, ?, ?)", [(i, i + 2, f"k{i}", *r) for i, r in enumerate(rows)]
        )


def expected(rows: list[tuple[Any, ...]], recipe: list[Step]) -> tuple[list[Row], dict[str, str]]:
    here: list[Row] = [{"_eid": i, **dict(zip(("a", "b", "c", "d e"), r, strict=True))} for i, r in enumerate(rows)]
    types = dict.fromkeys(("a", "b", "c", "d e"), "text")
    for step in recipe:
        here, types = apply(here, types, step)
    return here, types


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, recipe=st.lists(steps(), max_size=5))
def test_a_recipe_gives_what_plain_python_gives(
    con: duckdb.DuckDBPyConnection, rows: list[tuple[Any, ...]], recipe: list[Step]
) -> None:
    try:
        wanted, types = expected(rows, recipe)
    except CannotApply:
        with pytest.raises(StepError):
            recipe_sql(COLUMNS, recipe)
        return
    fill_raw(con, rows)
    found = con.execute(recipe_sql(COLUMNS, recipe))
    names = [d[0] for d in found.description][4:]
    got = [(row[0], *row[4:]) for row in found.fetchall()]
    assert names == list(types) == [c for c, _ in columns_after(COLUMNS, recipe)]
    assert got == [(r["_eid"], *(r[c] for c in types)) for r in wanted]
    assert "" not in {v for row in got for v in row}
    compare_marked(con, recipe, types, got)
    compare_counts(con, rows, recipe)


def compare_marked(
    con: duckdb.DuckDBPyConnection, recipe: list[Step], types: Mapping[str, str], got: list[tuple[Any, ...]]
) -> None:
    """The marking form keeps every row, and those it does not mark are the recipe's."""
    marked = con.execute(marked_sql(COLUMNS, recipe)).fetchall()
    assert [row[0] for row in marked] == list(range(con.execute("SELECT count(*) FROM raw").fetchall()[0][0]))
    assert [(row[0], *row[4 : 4 + len(types)]) for row in marked if row[4 + len(types)] is None] == got


def compare_counts(con: duckdb.DuckDBPyConnection, rows: list[tuple[Any, ...]], recipe: list[Step]) -> None:
    """Counting in one pass finds what counting step by step finds."""
    figures = {f.n: f for f in count_recipe(con, COLUMNS, recipe)}
    for n, step in enumerate(recipe, start=1):
        before, _ = expected(rows, recipe[: n - 1])
        after, _ = expected(rows, recipe[:n])
        assert figures[n].removed == len(before) - len(after)
        if OPS[step.op].changes_columns or step.op in {"set_kind", "parse_date", "parse_number"}:
            continue
        old = {r["_eid"]: r for r in before}
        assert figures[n].changed == sum(
            as_text(r[c]) != as_text(old[r["_eid"]][c])
            for r in after
            for c in r
            if c != "_eid" and OPS[step.op].removes_rows is False
        )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS)
def test_rejects_are_the_values_that_did_not_fit(con: duckdb.DuckDBPyConnection, rows: list[tuple[Any, ...]]) -> None:
    fill_raw(con, rows)
    recipe = [parse_step({"op": "set_kind", "columns": ["a"], "kind": "number"})]
    ((n, column, select),) = rejects_sql(COLUMNS, recipe)
    found = con.execute(select).fetchall()
    assert (n, column) == (1, "a")
    wanted = [("s", i + 2, "a", r[0]) for i, r in enumerate(rows) if r[0] is not None and number(r[0]) is None]
    assert found == wanted
    (figures,) = count_recipe(con, COLUMNS, recipe)
    assert figures.rejected == len(wanted)
    assert figures.changed == sum(r[0] is not None and number(r[0]) is not None for r in rows)


def test_the_statement_reads_like_the_recipe() -> None:
    recipe = [
        parse_step({"op": "trim", "columns": ["b"]}),
        parse_step({"op": "filter", "where": "length(a) > 1"}),
        parse_step({"op": "drop_columns", "columns": ["c"]}),
    ]
    assert recipe_sql(COLUMNS, recipe) == (
        "WITH step_1 AS (\n"
        "  SELECT * REPLACE (\n"
        "    nullif(regexp_replace(\"b\", '^[\\s\\pZ]+|[\\s\\pZ]+$', '', 'g'), '') AS \"b\"\n"
        "  )\n"
        "  FROM raw\n"
        "),\n"
        "step_2 AS (\n"
        "  SELECT *\n"
        "  FROM step_1\n"
        "  WHERE (length(a) > 1)\n"
        "),\n"
        "step_3 AS (\n"
        '  SELECT * EXCLUDE ("c")\n'
        "  FROM step_2\n"
        ")\n"
        'SELECT _eid, _source, _line, _key, "a", "b", "d e"\n'
        "FROM step_3\n"
        "ORDER BY _eid"
    )


def test_a_disabled_step_does_nothing_but_keeps_its_number() -> None:
    recipe = [
        parse_step({"op": "drop_columns", "columns": ["gone"], "enabled": False}),
        parse_step({"op": "trim", "columns": ["a"]}),
    ]
    assert [s.n for s in plan(COLUMNS, recipe).stages] == [2]


def test_a_missing_column_is_named_with_its_step_and_the_nearest_one() -> None:
    with pytest.raises(StepError) as error:
        recipe_sql((("Species", "VARCHAR"),), [parse_step({"op": "trim", "columns": ["species"]})])
    assert (error.value.error_code, error.value.where) == ("unknown-column", "clean step 1")
    assert "'Species'" in error.value.fix


def test_a_comment_in_an_expression_swallows_nothing(con: duckdb.DuckDBPyConnection) -> None:
    fill_raw(con, [("aa", None, None, None), ("b", None, None, None)])
    recipe = [parse_step({"op": "filter", "where": "length(a) > 1 -- only long ones"})]
    assert [r[4] for r in con.execute(recipe_sql(COLUMNS, recipe)).fetchall()] == ["aa"]


def test_a_name_with_line_ends_is_kept_through_the_layout(con: duckdb.DuckDBPyConnection) -> None:
    con.execute(
        "CREATE OR REPLACE TABLE raw AS SELECT 0 AS _eid, 's' AS _source, 1 AS _line, 'k' AS _key, ' x ' AS \"a\n\n \"\"b\""
    )
    steps = (
        parse_step({"op": "trim", "columns": ['a\n\n "b']}),
        parse_step({"op": "filter", "where": "'p\n q' <> 'p\nq'"}),
    )
    assert con.execute(recipe_sql((('a\n\n "b', "VARCHAR"),), steps)).fetchall() == [(0, "s", 1, "k", "x")]


def test_an_expression_that_fails_on_removed_rows_does_not_fail_the_marking_form(
    con: duckdb.DuckDBPyConnection,
) -> None:
    fill_raw(con, [("7", None, None, None), ("x", None, None, None)])
    recipe = [
        parse_step({"op": "filter", "where": "a = '7'"}),
        parse_step({"op": "compute", "column": "n", "as": "CAST(a AS INTEGER) * 2"}),
    ]
    assert [(r[8], r[9]) for r in con.execute(marked_sql(COLUMNS, recipe)).fetchall()] == [(14, None), (None, 1)]


def test_splitting_a_column_loses_nothing(con: duckdb.DuckDBPyConnection) -> None:
    fill_raw(con, [("a/b/c", None, None, None), ("/b", None, None, None), ("a", None, None, None)])
    recipe = [parse_step({"op": "split_column", "column": "a", "at": "/", "into": ["p", "q"]})]
    found = con.execute(recipe_sql(COLUMNS, recipe)).fetchall()
    assert [(r[4], r[8], r[9]) for r in found] == [("a/b/c", "a", "b/c"), ("/b", None, "b"), ("a", "a", None)]


@pytest.mark.parametrize(
    ("text", "decimal", "value"),
    [
        ("$1,234.50", ".", 1234.5),
        ("-€ 3", ".", -3.0),
        ("1.234,5 kg", ",", 1234.5),
        ("12 %", ".", 12.0),
        ("1'000'000", ".", 1_000_000.0),
        ("2\u00a0500", ".", 2500.0),
        ("12,34,567", ".", 1_234_567.0),
        ("1234567", ",", 1_234_567.0),
        ("0,646", ".", None),
        ("170.5", ",", None),
        ("1.2.3", ",", None),
        ("1,5", ".", None),
        ("1234,567", ".", None),
        ("01.02.2021", ",", None),
        ("12-15", ".", None),
        ("none", ".", None),
        ("1e400", ".", None),
    ],
)
def test_numbers_with_units_and_currencies(
    con: duckdb.DuckDBPyConnection, text: str, decimal: str, value: float | None
) -> None:
    fill_raw(con, [(text, None, None, None)])
    recipe = [parse_step({"op": "parse_number", "columns": ["a"], "decimal": decimal})]
    assert con.execute(recipe_sql(COLUMNS, recipe)).fetchall()[0][4] == value


def test_a_step_over_very_many_columns_is_planned_in_a_way_that_grows_with_them() -> None:
    columns = [f"c{n}" for n in range(1_500)]
    with duckdb.connect() as con:
        cells = ", ".join(f"'{n}' AS {c}" for n, c in enumerate(columns))
        con.execute(f"CREATE TABLE raw AS SELECT 0 AS _eid, 's' AS _source, 2 AS _line, 'k' AS _key, {cells}")
        con.execute(f"SET disabled_optimizers = '{QUADRATIC}'")
        types = [(c, "VARCHAR") for c in columns]
        step = Step(op="set_kind", params={"columns": tuple(columns), "kind": "number"})
        made = recipe_sql(types, (step,))
        row = con.execute(made).fetchall()[0]
        (figures,) = count_recipe(con, types, (step,))
    assert row == (0, "s", 2, "k", *map(float, range(1_500)))
    assert (figures.changed, figures.rejected) == (1_500, 0)
    assert "REPLACE" not in made, "over every column it takes DuckDB minutes"
