"""A recipe laid out over known columns: for each enabled step what it changes, adds, keeps. No SQL statement yet."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from epochal.core.errors import StepError
from epochal.core.steps import Step, nearest
from epochal.data.sqltext import as_text, identifier, literal
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


def _stage(n: int, step: Step, relation: str, here: tuple[tuple[str, str], ...]) -> Stage:
    base = {"n": n, "step": step, "source": relation, "name": f"step_{n}", "before": here}
    if step.op in CELL_OPS:
        return _cell_stage(base, step, here)
    return _STRUCTURE[step.op](base, step, here)


def _cell_stage(base: dict[str, Any], step: Step, here: tuple[tuple[str, str], ...]) -> Stage:
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


def _select_columns(base: dict[str, Any], step: Step, here: tuple[tuple[str, str], ...]) -> Stage:
    kept = _named(base["n"], step, here)
    return Stage(**base, after=tuple((c, dict(here)[c]) for c in kept))


def _drop_columns(base: dict[str, Any], step: Step, here: tuple[tuple[str, str], ...]) -> Stage:
    gone = _named(base["n"], step, here)
    after = tuple((c, t) for c, t in here if c not in gone)
    if not after:
        raise StepError(f"step {base['n']} leaves out every column", where=f"clean step {base['n']}", fix="keep one")
    return Stage(**base, after=after)


def _rename(base: dict[str, Any], step: Step, here: tuple[tuple[str, str], ...]) -> Stage:
    (column,) = _named(base["n"], step, here)
    to = step.params["to"]
    _new_name(base["n"], step, to, [c for c, _ in here if c != column])
    return Stage(**base, after=tuple((to if c == column else c, t) for c, t in here), renamed=(column, to))


def _drop_missing(base: dict[str, Any], step: Step, here: tuple[tuple[str, str], ...]) -> Stage:
    looked = _named(base["n"], step, here)
    return Stage(**base, after=here, keep=" AND ".join(f"{identifier(c)} IS NOT NULL" for c in looked))


def _drop_duplicates(base: dict[str, Any], step: Step, here: tuple[tuple[str, str], ...]) -> Stage:
    return Stage(**base, after=here, first_of=_named(base["n"], step, here))


def _filter(base: dict[str, Any], step: Step, here: tuple[tuple[str, str], ...]) -> Stage:
    return Stage(**base, after=here, keep=_bracketed(step.params["where"]))


def _compute(base: dict[str, Any], step: Step, here: tuple[tuple[str, str], ...]) -> Stage:
    name, expression = step.params["column"], _unshared(_bracketed(step.params["as"]))
    if name in dict(here):
        after = tuple((c, "" if c == name else t) for c, t in here)
        return Stage(**base, after=after, cells={name: expression})
    _new_name(base["n"], step, name, [c for c, _ in here])
    return Stage(**base, after=(*here, (name, "")), added={name: expression})


def _bracketed(expression: str) -> str:
    """A person's expression in brackets; one that holds a comment may not swallow the closing one."""
    return f"({expression.strip()}\n)" if "--" in expression else f"({expression.strip()})"


_TRIES = re.compile(r"\btry\s*\(", re.IGNORECASE)


def _unshared(expression: str) -> str:
    """An expression that tries something, kept whole.

    DuckDB works out once what stands twice, but before the TRY around it, where it fails the statement. It leaves the
    branches of a CASE alone.
    """
    return f"CASE WHEN _eid IS NOT NULL THEN {expression} END" if _TRIES.search(expression) else expression


def _split_column(base: dict[str, Any], step: Step, here: tuple[tuple[str, str], ...]) -> Stage:
    (column,) = _named(base["n"], step, here)
    at, into = step.params["at"], step.params["into"]
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


_STRUCTURE: dict[str, Callable[[dict[str, Any], Step, tuple[tuple[str, str], ...]], Stage]] = {
    "select": _select_columns,
    "drop_columns": _drop_columns,
    "rename": _rename,
    "drop_missing": _drop_missing,
    "drop_duplicates": _drop_duplicates,
    "filter": _filter,
    "compute": _compute,
    "split_column": _split_column,
}
