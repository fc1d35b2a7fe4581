"""A recipe as one SQL statement: pure text in, pure text out, nothing is run here.

Every step is a common table expression over the one before it, so the statement reads like the recipe. The columns
`_eid`, `_source`, `_line` and `_key` pass through. One invariant makes steps simple: an empty text is missing, so no
step ever leaves one behind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from epochal.core.errors import StepError
from epochal.core.steps import Step, nearest
from epochal.data.sqltext import as_text, identifier, literal, table_name
from epochal.data.stepsql import CELL_OPS


INTERNAL: tuple[str, ...] = ("_eid", "_source", "_line", "_key")
"""Columns every row has beside its own."""

Columns = Sequence[tuple[str, str]]
"""Names and DuckDB types, in order; an empty type is not known (a computed column's)."""

_MAPPING_AS_CASE = 40
"""Longer mappings become a join: a CASE is looked through branch by branch for every row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One enabled step in the plan."""

    n: int
    """1-based place in the recipe, disabled steps counted."""
    step: Step
    source: str
    """The relation it reads."""
    name: str
    """The relation it makes."""
    before: tuple[tuple[str, str], ...]
    after: tuple[tuple[str, str], ...]
    cells: Mapping[str, str] = field(default_factory=dict)
    """Existing columns it changes, with the expression each becomes."""
    added: Mapping[str, str] = field(default_factory=dict)
    """New columns, with their expressions."""
    keep: str = ""
    """The condition under which a row stays; empty when all do."""
    first_of: tuple[str, ...] = ()
    """For drop_duplicates: of rows that agree in these columns, the first in import order stays."""
    renamed: tuple[str, str] | None = None
    converts: bool = False
    """Whether a value it cannot read becomes missing and is a reject."""
    joins: tuple[str, Mapping[str, str]] | None = None
    """For long mappings: the column and what its values become."""

    @property
    def sql(self) -> str:
        """The SELECT of this stage."""
        return _select(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A recipe laid out over known columns."""

    source: str
    columns: tuple[tuple[str, str], ...]
    """Of the source."""
    stages: tuple[Stage, ...]

    @property
    def after(self) -> tuple[tuple[str, str], ...]:
        """The columns when all is done."""
        return self.stages[-1].after if self.stages else self.columns

    @property
    def last(self) -> str:
        """The relation that holds the result."""
        return self.stages[-1].name if self.stages else self.source

    @property
    def ordered(self) -> bool:
        """Whether rows are sure to come in import order without being told to."""
        return not any(s.first_of or s.joins for s in self.stages)

    def ctes(self) -> str:
        """`WITH …` with one expression a stage; empty without stages."""
        if not self.stages:
            return ""
        parts = [f"{table_name(s.name)} AS (\n{_indented(s.sql)}\n)" for s in self.stages]
        return "WITH " + ",\n".join(parts) + "\n"


def plan(columns: Columns, steps: Sequence[Step], source: str = "raw", *, upto: int | None = None) -> Plan:
    """Lay out the first `upto` steps (all, if None) over the columns.

    Raises StepError when a step names a column that is not there, or cannot work on its kind of values.
    """
    start = tuple((name, kind) for name, kind in columns if name not in INTERNAL)
    here, relation = start, source
    stages: list[Stage] = []
    for n, step in enumerate(steps if upto is None else steps[:upto], start=1):
        if not step.enabled:
            continue
        stage = _stage(n, step, relation, here)
        stages.append(stage)
        here, relation = stage.after, stage.name
    return Plan(source=source, columns=start, stages=tuple(stages))


def recipe_sql(columns: Columns, steps: Sequence[Step], source: str = "raw", *, upto: int | None = None) -> str:
    """The recipe as one SELECT statement: the internal columns first, then the recipe's, rows in import order.

    Raises StepError as `plan` does.
    """
    laid = plan(columns, steps, source, upto=upto)
    listed = ", ".join(identifier(c) for c in (*INTERNAL, *(name for name, _ in laid.after)))
    return f"{laid.ctes()}SELECT {listed}\nFROM {table_name(laid.last)}\nORDER BY _eid"


def columns_after(columns: Columns, steps: Sequence[Step]) -> tuple[tuple[str, str], ...]:
    """The columns a recipe leaves, with their types where known. Raises StepError as `plan` does."""
    return plan(columns, steps).after


def marked_sql(columns: Columns, steps: Sequence[Step], source: str = "raw", *, counted: bool = False) -> str:
    """The recipe without removing a row: `_removed` holds the number of the step that would have (NULL: none).

    An expression that fails on a removed row gives missing there. With `counted`, a column `_changed_N` beside each
    row says how many of its cells step N changed and `_rejected_N` how many it could not read (rows removed before
    count nothing). Raises StepError as `plan` does.
    """
    laid = plan(columns, steps, source)
    parts = [f"_marked_0 AS (\n  SELECT *, CAST(NULL AS INTEGER) AS _removed\n  FROM {table_name(source)}\n)"]
    relation = "_marked_0"
    counters: list[str] = []
    for stage in laid.stages:
        name = f"_marked_{stage.n}"
        select, own = _marked_select(stage, relation, counted=counted)
        counters += own
        parts.append(f"{name} AS (\n{_indented(select)}\n)")
        relation = name
    listed = [identifier(c) for c in (*INTERNAL, *(name for name, _ in laid.after))]
    return (
        "WITH " + ",\n".join(parts) + f"\nSELECT {', '.join([*listed, '_removed', *counters])}\n"
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
        for column, expression in stage.cells.items():
            text = as_text(column, dict(stage.before)[column])
            found.append(
                (
                    stage.n,
                    column,
                    f'{before.ctes()}SELECT _source AS source, _line AS line, {literal(column)} AS "column", '
                    f"{text} AS text\nFROM {table_name(stage.source)}\n"
                    f"WHERE {rejected_condition(column, dict(stage.before)[column], expression)}\nORDER BY _eid",
                )
            )
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
    if stage.step.op == "map_values":
        return f"{as_text(column, kind)} IS DISTINCT FROM ({expression})"
    return f"{identifier(column)} IS DISTINCT FROM ({expression})"


def _stage(n: int, step: Step, relation: str, here: tuple[tuple[str, str], ...]) -> Stage:
    base = {"n": n, "step": step, "source": relation, "name": f"step_{n}", "before": here}
    if step.op in CELL_OPS:
        return _cell_stage(base, step, here)
    return _STRUCTURE[step.op](base, step, here)


def _cell_stage(base: dict, step: Step, here: tuple[tuple[str, str], ...]) -> Stage:  # type: ignore[type-arg]
    types = dict(here)
    cells: dict[str, str] = {}
    changed = dict(types)
    for column in _named(base["n"], step, here):
        made = CELL_OPS[step.op](step, column, types[column], base["n"])
        if made is None:
            continue
        cells[column], changed[column] = made
    after = tuple((name, changed[name]) for name, _ in here)
    converts = step.op in {"set_kind", "parse_date", "parse_number"}
    if step.op == "map_values" and len(step.params["mapping"]) > _MAPPING_AS_CASE:
        column = step.params["column"]
        return Stage(**base, after=after, cells=cells, joins=(column, step.params["mapping"]))
    return Stage(**base, after=after, cells=cells, converts=converts)


def _named(n: int, step: Step, here: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """The columns a step works on, all of them when it names none. Raises StepError when one is not there."""
    known = [name for name, _ in here]
    if not step.columns:
        return tuple(known)
    seen: list[str] = []
    for column in step.columns:
        if column not in known:
            raise _no_column(n, step, column, known)
        if column not in seen:
            seen.append(column)
    return tuple(seen)


def _no_column(n: int, step: Step, column: str, known: list[str]) -> StepError:
    close = nearest(column, known)
    return StepError(
        f"step {n} ({step.op}) names the column {column!r}, which is not there",
        where=f"clean step {n}",
        fix=f"did you mean {close!r}?" if close else "disable the step, or name a column that is there",
        code="unknown-column",
    )


def _new_name(n: int, step: Step, name: str, taken: Sequence[str]) -> None:
    """Refuse a name that is empty, internal or taken; DuckDB's names do not tell capitals apart."""
    if not name or name.lower() in INTERNAL or name.lower().startswith("_removed") or "\x00" in name:
        raise StepError(
            f"step {n} ({step.op}) cannot name a column {name!r}", where=f"clean step {n}", fix="choose another name"
        )
    if name.lower() in {t.lower() for t in taken}:
        raise StepError(
            f"step {n} ({step.op}) makes a second column {name!r}",
            where=f"clean step {n}",
            fix="choose a name that is not taken (capitals make no difference)",
            code="column-taken",
        )


def _select_columns(base: dict, step: Step, here: tuple[tuple[str, str], ...]) -> Stage:  # type: ignore[type-arg]
    kept = _named(base["n"], step, here)
    return Stage(**base, after=tuple((c, dict(here)[c]) for c in kept))


def _drop_columns(base: dict, step: Step, here: tuple[tuple[str, str], ...]) -> Stage:  # type: ignore[type-arg]
    gone = _named(base["n"], step, here)
    after = tuple((c, t) for c, t in here if c not in gone)
    if not after:
        raise StepError(f"step {base['n']} leaves out every column", where=f"clean step {base['n']}", fix="keep one")
    return Stage(**base, after=after)


def _rename(base: dict, step: Step, here: tuple[tuple[str, str], ...]) -> Stage:  # type: ignore[type-arg]
    (column,) = _named(base["n"], step, here)
    to = step.params["to"]
    _new_name(base["n"], step, to, [c for c, _ in here if c != column])
    return Stage(**base, after=tuple((to if c == column else c, t) for c, t in here), renamed=(column, to))


def _drop_missing(base: dict, step: Step, here: tuple[tuple[str, str], ...]) -> Stage:  # type: ignore[type-arg]
    looked = _named(base["n"], step, here)
    return Stage(**base, after=here, keep=" AND ".join(f"{identifier(c)} IS NOT NULL" for c in looked))


def _drop_duplicates(base: dict, step: Step, here: tuple[tuple[str, str], ...]) -> Stage:  # type: ignore[type-arg]
    return Stage(**base, after=here, first_of=_named(base["n"], step, here))


def _filter(base: dict, step: Step, here: tuple[tuple[str, str], ...]) -> Stage:  # type: ignore[type-arg]
    return Stage(**base, after=here, keep=_bracketed(step.params["where"]))


def _compute(base: dict, step: Step, here: tuple[tuple[str, str], ...]) -> Stage:  # type: ignore[type-arg]
    name, expression = step.params["column"], _bracketed(step.params["as"])
    if name in dict(here):
        after = tuple((c, "" if c == name else t) for c, t in here)
        return Stage(**base, after=after, cells={name: expression})
    _new_name(base["n"], step, name, [c for c, _ in here])
    return Stage(**base, after=(*here, (name, "")), added={name: expression})


def _bracketed(expression: str) -> str:
    """A person's expression in brackets; one that holds a comment may not swallow the closing one."""
    return f"({expression.strip()}\n)" if "--" in expression else f"({expression.strip()})"


def _split_column(base: dict, step: Step, here: tuple[tuple[str, str], ...]) -> Stage:  # type: ignore[type-arg]
    (column,) = _named(base["n"], step, here)
    at, into = step.params["at"], step.params["into"]
    if not at:
        raise StepError(f"step {base['n']} splits at nothing", where=f"clean step {base['n']}", fix="give a separator")
    text = as_text(column, dict(here)[column])
    taken = [c for c, _ in here]
    added: dict[str, str] = {}
    for i, name in enumerate(into, start=1):
        _new_name(base["n"], step, name, [*taken, *added])
        if i < len(into):
            added[name] = f"nullif(split_part({text}, {literal(at)}, {i}), '')"
        else:  # the last one takes the rest, so that nothing is lost
            added[name] = f"nullif(array_to_string(string_split({text}, {literal(at)})[{i}:], {literal(at)}), '')"
    return Stage(**base, after=(*here, *((name, "VARCHAR") for name in into)), added=added)


_STRUCTURE = {
    "select": _select_columns,
    "drop_columns": _drop_columns,
    "rename": _rename,
    "drop_missing": _drop_missing,
    "drop_duplicates": _drop_duplicates,
    "filter": _filter,
    "compute": _compute,
    "split_column": _split_column,
}


def _select(stage: Stage) -> str:
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
    return f"* REPLACE (\n  {changes}\n)"


def _added(added: Mapping[str, str]) -> str:
    return "".join(f",\n  {expression} AS {identifier(column)}" for column, expression in added.items())


def _window(columns: Sequence[str]) -> str:
    return f"PARTITION BY {', '.join(identifier(c) for c in columns)} ORDER BY _eid"


def _joined(stage: Stage, relation: str, more: str = "", within: str = "*") -> str:
    column, mapping = stage.joins or ("", {})
    rows = ",\n  ".join(f"({literal(a)}, {literal(b) if b else 'NULL'})" for a, b in mapping.items())
    text = as_text(f"{column}", dict(stage.before)[column], of="_rows")
    star = f"_rows.{within} REPLACE (\n  {joined_value(stage)} AS {identifier(column)}\n)"
    return (
        f"SELECT {star}{more}\nFROM {relation} AS _rows\nLEFT JOIN (VALUES\n  {rows}\n) AS _map(_old, _new)\n"
        f"  ON {text} = _map._old"
    )


def joined_value(stage: Stage) -> str:
    """What the mapped column becomes beside `_rows` and `_map`."""
    column, _ = stage.joins or ("", {})
    text = as_text(column, dict(stage.before)[column], of="_rows")
    return f"CASE WHEN _map._old IS NULL THEN {text} ELSE _map._new END"


def _marked_select(stage: Stage, relation: str, *, counted: bool) -> tuple[str, list[str]]:
    """The stage over rows that carry `_removed`, and the names of the counters it adds."""
    counters: dict[str, str] = {}
    if counted and stage.cells:
        types = dict(stage.before)
        changed = " + ".join(f"CAST(({changed_condition(c, types[c], stage)}) AS INTEGER)" for c in stage.cells)
        if stage.joins:
            (column,) = stage.cells
            text = as_text(column, types[column], of="_rows")
            changed = f"CAST(({text} IS DISTINCT FROM {joined_value(stage)}) AS INTEGER)"
        counters[f"_changed_{stage.n}"] = changed
        if stage.converts:
            counters[f"_rejected_{stage.n}"] = " + ".join(
                f"CAST(({rejected_condition(c, types[c], e)}) AS INTEGER)" for c, e in stage.cells.items()
            )
    more = "".join(
        f",\n  CASE WHEN _removed IS NULL THEN {expression} ELSE 0 END AS {name}"
        for name, expression in counters.items()
    )
    if stage.joins:
        return _joined(stage, relation, more), list(counters)
    if stage.step.op == "select":
        left = {c for c, _ in stage.after}
        gone = ", ".join(identifier(c) for c, _ in stage.before if c not in left)
        return f"SELECT *{f' EXCLUDE ({gone})' if gone else ''}\nFROM {relation}", []
    if stage.step.op == "drop_columns" or stage.renamed:
        return stage.sql.replace(f"FROM {table_name(stage.source)}", f"FROM {relation}"), []
    cells = {c: _guarded(stage, e) for c, e in stage.cells.items()}
    if stage.keep:
        kept = f"({stage.keep}) IS NOT TRUE" if stage.step.op == "filter" else f"NOT ({stage.keep})"
        cells["_removed"] = f"CASE WHEN _removed IS NOT NULL THEN _removed WHEN {kept} THEN {stage.n} END"
    if stage.first_of:
        partition = ", ".join(["_removed IS NULL", *(identifier(c) for c in stage.first_of)])
        number = f"row_number() OVER (PARTITION BY {partition} ORDER BY _eid)"
        cells["_removed"] = f"CASE WHEN _removed IS NOT NULL THEN _removed WHEN {number} > 1 THEN {stage.n} END"
    added = {c: _guarded(stage, e) for c, e in stage.added.items()}
    return f"SELECT {_star(cells)}{_added(added)}{more}\nFROM {relation}", list(counters)


def _guarded(stage: Stage, expression: str) -> str:
    """A person's expression may rely on rows being gone: on those it may fail, and is missing then."""
    if stage.step.op != "compute":
        return expression
    return f"CASE WHEN _removed IS NULL THEN {expression} ELSE TRY({expression}) END"


def _indented(text: str) -> str:
    return "\n".join("  " + line for line in text.split("\n"))

