"""A recipe as one SQL statement: pure text in, pure text out, nothing is run here.

Every step is a common table expression over the one before it, so the statement reads like the recipe. The columns
`_eid`, `_source`, `_line` and `_key` pass through. One invariant makes steps simple: an empty text is missing, so no
step ever leaves one behind.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from epochal.core.steps import Step
from epochal.data.sqltext import as_text, identifier, literal, table_name
from epochal.data.stages import INTERNAL, Columns, Plan, Stage, plan
from epochal.data.stepsql import as_mapped


_CHAIN = 50
"""Columns that a statement names one after the other; more are put so that DuckDB need not look at each for each."""
_NOTED = 40
"""Characters of a value that a note repeats."""


def recipe_sql(columns: Columns, steps: Sequence[Step], source: str = "raw", *, upto: int | None = None) -> str:
    """The recipe as one SELECT statement: the internal columns first, then the recipe's, rows in import order.

    Raises StepError as `plan` does.
    """
    laid = plan(columns, steps, source, upto=upto)
    listed = ", ".join(identifier(c) for c in (*INTERNAL, *(name for name, _ in laid.after)))
    return f"{ctes(laid)}SELECT {listed}\nFROM {table_name(laid.last)}\nORDER BY _eid"


def ctes(laid: Plan) -> str:
    """`WITH …` with one expression a stage; empty without stages."""
    if not laid.stages:
        return ""
    parts = [f"{table_name(s.name)} AS (\n{_indented(stage_sql(s))}\n)" for s in laid.stages]
    return "WITH " + ",\n".join(parts) + "\n"


def columns_after(columns: Columns, steps: Sequence[Step]) -> tuple[tuple[str, str], ...]:
    """The columns a recipe leaves, with their types where known. Raises StepError as `plan` does."""
    return plan(columns, steps).after


def marked_sql(columns: Columns, steps: Sequence[Step], source: str = "raw", *, counted: bool = False) -> str:
    """The recipe without removing a row: `_removed` holds the number of the step that would have (NULL: none).

    An expression that fails on a removed row gives missing there. With `counted`, a column `_changed_N` beside each
    row says how many of its cells step N changed and `_rejected_N` how many it could not read (rows removed before
    count nothing). Raises StepError as `plan` does.
    """
    return _all_marked(columns, steps, source, partial(_marked_select, counted=counted))


def noted_sql(columns: Columns, steps: Sequence[Step], source: str = "raw") -> str:
    """As `marked_sql`, for rows the recipe was not made for: no value of any row makes it fail.

    Where a step fails on a value, the value becomes missing; a condition that fails removes nothing. A column
    `_removed_note_N` says in words what step N could not do. The connection must have TRY_APART in force. Raises
    StepError as `plan` does.
    """
    return _all_marked(columns, steps, source, _noted_select)


TRY_APART = "SET disabled_optimizers = 'common_subexpressions'"
"""DuckDB takes an expression that stands twice out of its TRY to work it out once; there it would fail the statement."""


def _all_marked(
    columns: Columns, steps: Sequence[Step], source: str, select_of: Callable[[Stage, str], tuple[str, list[str]]]
) -> str:
    """Every stage by `select_of`, which gives its SELECT over rows that carry `_removed`, and columns it puts beside."""
    laid = plan(columns, steps, source)
    start = f"SELECT *, CAST(NULL AS INTEGER) AS _removed\nFROM {table_name(source)}"
    parts = [f"_marked_0 AS (\n{_indented(start)}\n)"]
    relation = "_marked_0"
    beside: list[str] = []
    for stage in laid.stages:
        name = f"_marked_{stage.n}"
        select, own = select_of(stage, relation)
        beside += own
        parts.append(f"{name} AS (\n{_indented(select)}\n)")
        relation = name
    listed = [identifier(c) for c in (*INTERNAL, *(name for name, _ in laid.after))]
    return (
        "WITH " + ",\n".join(parts) + f"\nSELECT {', '.join([*listed, '_removed', *beside])}\n"
        f"FROM {relation}\nORDER BY _eid"
    )


def rejects_sql(columns: Columns, steps: Sequence[Step], source: str = "raw") -> list[tuple[int, str, str]]:
    """For each conversion of the recipe (step number, column, SELECT): the cells it cannot read.

    The SELECT gives `source`, `line`, `column`, `text` in import order. Raises StepError as `plan` does.
    """
    laid = plan(columns, steps, source)
    found: list[tuple[int, str, str]] = []
    for position, stage in enumerate(laid.stages):
        if not stage.converts:
            continue
        before = Plan(source=source, columns=laid.columns, stages=laid.stages[:position])
        types = dict(stage.before)
        for column, expression in stage.cells.items():
            select = (
                f'{ctes(before)}SELECT _source AS source, _line AS line, {literal(column)} AS "column", '
                f"{as_text(column, types[column])} AS text\nFROM {table_name(stage.source)}\n"
                f"WHERE {rejected_condition(column, types[column], expression)}\nORDER BY _eid"
            )
            found.append((stage.n, column, select))
    return found


def rejected_condition(column: str, kind: str, expression: str) -> str:
    """When a cell held something that the expression could not read."""
    text = as_text(column, kind)
    return f"{identifier(column)} IS NOT NULL AND trim({text}) <> '' AND ({expression}) IS NULL"


def changed_condition(column: str, kind: str, stage: Stage) -> str:
    """When a cell is another one after the stage: another value, or a value read as another type."""
    expression = stage.cells[column]
    if stage.converts:
        after = dict(stage.after).get(column, "")
        return f"({expression}) IS NOT NULL" if after != kind else "false"
    if stage.step.op == "map_values" and dict(stage.after)[column] == "VARCHAR":
        return f"{as_text(column, kind)} IS DISTINCT FROM ({expression})"
    return f"{identifier(column)} IS DISTINCT FROM ({expression})"


def stage_sql(stage: Stage) -> str:
    """A stage's SELECT, written as a person would write it."""
    relation = table_name(stage.source)
    if stage.step.op == "select":
        listed = ", ".join(identifier(c) for c in (*INTERNAL, *(c for c, _ in stage.after)))
        return f"SELECT {listed}\nFROM {relation}"
    if stage.step.op == "drop_columns":
        left = {c for c, _ in stage.after}
        gone = ", ".join(identifier(c) for c, _ in stage.before if c not in left)
        return f"SELECT * EXCLUDE ({gone})\nFROM {relation}"
    if stage.renamed:
        return f"SELECT * RENAME ({identifier(stage.renamed[0])} AS {identifier(stage.renamed[1])})\nFROM {relation}"
    if stage.joins:
        return _joined(stage, relation)
    text = f"SELECT {_star(stage.cells)}{_added(stage.added)}\nFROM {relation}"
    if stage.keep:
        text += f"\nWHERE {stage.keep}"
    if stage.first_of:
        text += f"\nQUALIFY row_number() OVER ({_window(stage.first_of)}) = 1"
    return text


def _star(cells: Mapping[str, str]) -> str:
    if not cells:
        return "*"
    changes = ",\n  ".join(f"{expression} AS {identifier(column)}" for column, expression in cells.items())
    if len(cells) <= _CHAIN:
        return f"* REPLACE (\n  {changes}\n)"
    # The same in another order of columns: DuckDB looks through a REPLACE anew for each of its columns.
    return f"* EXCLUDE ({', '.join(identifier(c) for c in cells)}),\n  {changes}"


def _added(added: Mapping[str, str]) -> str:
    return "".join(f",\n  {expression} AS {identifier(column)}" for column, expression in added.items())


def _window(columns: Sequence[str]) -> str:
    return f"PARTITION BY {', '.join(identifier(c) for c in columns)} ORDER BY _eid"


def _joined(stage: Stage, relation: str, more: str = "") -> str:
    column = identifier(next(iter(stage.cells)))
    star = f"_rows.* REPLACE (\n  {joined_value(stage)} AS {column}\n)"
    return f"SELECT {star}{more}\n{joined_rows(stage, relation)}"


def joined_rows(stage: Stage, relation: str = "") -> str:
    """`FROM …` of a long mapping: the rows as `_rows`, beside each its `_map` where its value has one."""
    column, mapping = stage.joins or ("", {})
    rows = ",\n  ".join(f"({literal(a)}, {literal(b) if b else 'NULL'})" for a, b in mapping.items())
    text = as_text(column, dict(stage.before)[column], of="_rows")
    return (
        f"FROM {relation or table_name(stage.source)} AS _rows\nLEFT JOIN (VALUES\n  {rows}\n) AS _map(_old, _new)\n"
        f"  ON {text} = _map._old"
    )


def joined_before(stage: Stage) -> str:
    """What the mapped column was, of the type it becomes."""
    column, _ = stage.joins or ("", {})
    before, after = dict(stage.before)[column], dict(stage.after)[column]
    return as_text(column, before, of="_rows") if after == "VARCHAR" else f"_rows.{identifier(column)}"


def joined_value(stage: Stage) -> str:
    """What the mapped column becomes beside `_rows` and `_map`."""
    column, _ = stage.joins or ("", {})
    text = as_text(column, dict(stage.before)[column], of="_rows")
    return as_mapped(f"CASE WHEN _map._old IS NULL THEN {text} ELSE _map._new END", dict(stage.after)[column])


def _marked_select(stage: Stage, relation: str, *, counted: bool) -> tuple[str, list[str]]:
    """The stage over rows that carry `_removed`, and the names of the counters it adds."""
    counters: dict[str, str] = {}
    if counted and stage.cells:
        types = dict(stage.before)
        changed = _sum([f"CAST(({changed_condition(c, types[c], stage)}) AS INTEGER)" for c in stage.cells])
        if stage.joins:
            changed = f"CAST(({joined_before(stage)} IS DISTINCT FROM {joined_value(stage)}) AS INTEGER)"
        counters[f"_changed_{stage.n}"] = changed
        if stage.converts:
            counters[f"_rejected_{stage.n}"] = _sum(
                [f"CAST(({rejected_condition(c, types[c], e)}) AS INTEGER)" for c, e in stage.cells.items()]
            )
    more = "".join(
        f",\n  CASE WHEN _removed IS NULL THEN {expression} ELSE 0 END AS {name}"
        for name, expression in counters.items()
    )
    cells = {c: _guarded(stage, e) for c, e in stage.cells.items()}
    added = {c: _guarded(stage, e) for c, e in stage.added.items()}
    return _marking(stage, relation, cells, added, more), list(counters)


def _marking(stage: Stage, relation: str, cells: dict[str, str], added: Mapping[str, str], more: str) -> str:
    """The stage's SELECT with these expressions for its cells and new columns; `more` are columns beside the row."""
    if stage.joins:
        return _joined(stage, relation, more)
    if stage.step.op == "select":
        left = {c for c, _ in stage.after}
        gone = ", ".join(identifier(c) for c, _ in stage.before if c not in left)
        return f"SELECT *{f' EXCLUDE ({gone})' if gone else ''}\nFROM {relation}"
    if stage.step.op == "drop_columns" or stage.renamed:
        return stage_sql(stage).replace(f"FROM {table_name(stage.source)}", f"FROM {relation}")
    if stage.keep:
        kept = f"({stage.keep}) IS NOT TRUE" if stage.step.op == "filter" else f"NOT ({stage.keep})"
        cells["_removed"] = f"CASE WHEN _removed IS NOT NULL THEN _removed WHEN TRY({kept}) THEN {stage.n} END"
    if stage.first_of:
        partition = ", ".join(["_removed IS NULL", *(identifier(c) for c in stage.first_of)])
        number = f"row_number() OVER (PARTITION BY {partition} ORDER BY _eid)"
        cells["_removed"] = f"CASE WHEN _removed IS NOT NULL THEN _removed WHEN {number} > 1 THEN {stage.n} END"
    return f"SELECT {_star(cells)}{_added(added)}{more}\nFROM {relation}"


def _noted_select(stage: Stage, relation: str) -> tuple[str, list[str]]:
    """The stage over any rows at all, and the name of the column of its notes, where it may have some."""
    types = dict(stage.before)
    cells = {c: f"TRY({e})" for c, e in stage.cells.items()}
    added = {c: f"TRY({e})" for c, e in stage.added.items()}
    notes: list[str] = []
    if stage.converts:
        for column, expression in cells.items():
            said = f"{literal(f'{column}: cannot be read: ')} || left({as_text(column, types[column])}, {_NOTED})"
            notes.append(f"CASE WHEN {rejected_condition(column, types[column], expression)} THEN {said} END")
    elif stage.step.op == "compute":
        # A list of the value is there even where the value is missing: without one, it could not be worked out.
        notes += [
            f"CASE WHEN TRY([{expression}]) IS NULL THEN {literal(f'{column}: cannot be computed (step {stage.n})')} END"
            for column, expression in (*stage.cells.items(), *stage.added.items())
        ]
    elif stage.step.op == "filter":
        said = literal(f"step {stage.n} cannot be decided: {stage.step.params['where']}")
        notes.append(f"CASE WHEN _removed IS NULL AND TRY([{stage.keep}]) IS NULL THEN {said} END")
    name = f"_removed_note_{stage.n}"
    more = f",\n  concat_ws('; ', {', '.join(notes)}) AS {name}" if notes else ""
    return _marking(stage, relation, cells, added, more), [name] if notes else []


def _sum(terms: Sequence[str]) -> str:
    """Terms added in halves: a chain of some thousand is deeper than DuckDB reads."""
    if len(terms) <= _CHAIN:
        return " + ".join(terms)
    half = len(terms) // 2
    return f"({_sum(terms[:half])}) + ({_sum(terms[half:])})"


def _guarded(stage: Stage, expression: str) -> str:
    """A person's expression may rely on rows being gone: on those it may fail, and is missing then."""
    if stage.step.op != "compute":
        return expression
    return f"CASE WHEN _removed IS NULL THEN {expression} ELSE TRY({expression}) END"


_BEGINS_OR_QUOTED = re.compile(r"""^|'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*""", re.MULTILINE)


def _indented(text: str) -> str:
    """SQL set in by two; what stands in quotes stays: a column's name may hold line ends."""
    return _BEGINS_OR_QUOTED.sub(lambda found: found[0] or "  ", text)
