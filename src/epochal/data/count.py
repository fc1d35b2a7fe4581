"""What steps do, in figures: rows removed, cells changed, cells that could not be read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from epochal.core.byhand import rows_by_hand
from epochal.core.settings import Project
from epochal.core.steps import Step
from epochal.data.engine import Engine, Work
from epochal.data.kinds import can_be, declared_kinds
from epochal.data.protocol import Counted
from epochal.data.recipe import ready_steps
from epochal.data.sql import (
    changed_condition,
    joined_before,
    joined_rows,
    joined_value,
    marked_sql,
    rejected_condition,
    stage_sql,
)
from epochal.data.sqltext import as_text, table_name
from epochal.data.stages import Stage, plan
from epochal.data.views import Base, base_of
from epochal.show import counted, grouped, safe


if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_SAMPLE = 6
_LOOKED_AT = 1000
"""Changed cells of a column among which different ones are sought."""
_CUT = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFigures:
    """What one step of a recipe did."""

    n: int
    step: Step
    removed: int
    """Rows."""
    changed: int
    """Cells."""
    rejected: int
    """Cells that held something it could not read."""


def count_recipe(
    con: DuckDBPyConnection, columns: Sequence[tuple[str, str]], steps: Sequence[Step], source: str = "raw"
) -> tuple[StepFigures, ...]:
    """Count a whole recipe in one pass: every enabled step's figures. `steps` as `ready_steps` gives them."""
    enabled = [(n, s) for n, s in enumerate(steps, start=1) if s.enabled]
    if not enabled:
        return ()
    marked = marked_sql(columns, steps, source, counted=True)
    names = [row[0] for row in con.execute(f"DESCRIBE {marked}").fetchall()]
    counters = [c for c in names if c.startswith(("_changed_", "_rejected_"))]
    sums = "".join(f", coalesce(sum({c}), 0)" for c in counters)
    rows = con.execute(f"SELECT _removed, count(*){sums} FROM ({marked}) GROUP BY _removed").fetchall()  # noqa: S608 - ours
    removed = {row[0]: row[1] for row in rows if row[0] is not None}
    totals = {c: sum(int(row[2 + i]) for row in rows) for i, c in enumerate(counters)}
    return tuple(
        StepFigures(
            n=n,
            step=step,
            removed=removed.get(n, 0),
            changed=totals.get(f"_changed_{n}", 0),
            rejected=totals.get(f"_rejected_{n}", 0),
        )
        for n, step in enabled
    )


def count_step(
    engine: Engine, con: DuckDBPyConnection, project: Project, step: Step, work: Work, *, at: int | None = None
) -> Counted:
    """What a step would do at place `at` (0-based; the end, if None) of the recipe, without doing it.

    Raises StepError when it cannot be done there.
    """
    before = project.clean if at is None else project.clean[:at]
    step = replace(step, enabled=True)
    ready = ready_steps(con, replace(project, clean=(*before, step)), engine.folder, engine.columns)
    base = base_of(engine, con, replace(project, clean=before), work)
    stage = plan(base.columns, (ready[-1],), base.table).stages[0]
    work.report("counting")
    removed = _removed(con, base, stage)
    changed, rejected, sample = _changed(con, stage)
    figures = StepFigures(n=len(before) + 1, step=ready[-1], removed=removed, changed=changed, rejected=rejected)
    declared = declared_kinds((step,))
    kinds = _other_kinds(declared, project, base, stage)
    told = sentence(figures, would=True)
    if kinds and not changed and not rejected:
        told = f"{_listed(kinds)} would be read as {declared[kinds[0]]}, every cell as it stands"
    return Counted(
        removed=removed,
        changed=changed,
        rows_before=base.rows,
        rows_after=base.rows - removed,
        rejected_cells=rejected,
        sample=sample,
        kinds=len(kinds),
        sentence=told + (_unknown(con, stage) if removed and step.op == "filter" else ""),
        warning=_warning(project.columns.target, base, stage, removed),
    )


def _warning(target: str, base: Base, stage: Stage, removed: int) -> str:
    """What a step takes away without which nothing can be learnt."""
    if target in dict(stage.before) and target not in dict(stage.after):
        return f"{safe(target, 60)} is what is to be predicted"
    return "no row would be left" if removed and removed == base.rows else ""


def _other_kinds(declared: Mapping[str, str], project: Project, base: Base, stage: Stage) -> tuple[str, ...]:
    """The columns whose values a step makes of another kind; a person's word on a column stands above any step."""
    types = dict(stage.after)
    said = {c: k for c, k in declared.items() if c in base.kinds and c not in project.columns.kinds}
    return tuple(c for c, kind in said.items() if kind != base.kinds[c] and can_be(kind, types[c]))


def _unknown(con: DuckDBPyConnection, stage: Stage) -> str:
    """A condition on a missing value is neither true nor false, and the row goes too: people do not expect it."""
    count: int = con.execute(
        f"SELECT count(*) FROM {table_name(stage.source)} WHERE ({stage.keep}\n) IS NULL"  # noqa: S608 - ours, checked
    ).fetchall()[0][0]
    return f"; {grouped(count)} of them because a value it looks at is missing" if count else ""


def _removed(con: DuckDBPyConnection, base: Base, stage: Stage) -> int:
    if not stage.keep and not stage.first_of:
        return 0
    kept: int = con.execute(f"SELECT count(*) FROM ({stage_sql(stage)})").fetchall()[0][0]  # noqa: S608 - ours
    return base.rows - kept


def _changed(con: DuckDBPyConnection, stage: Stage) -> tuple[int, int, tuple[tuple[str | None, str | None], ...]]:
    """Cells changed and rejected, and some of them before and after."""
    types = dict(stage.before)
    source = table_name(stage.source)
    if stage.joins:
        pairs = f"SELECT {joined_before(stage)} AS old, {joined_value(stage)} AS new {joined_rows(stage)}"
        counted = f"SELECT count(*) FILTER (old IS DISTINCT FROM new) FROM ({pairs})"  # noqa: S608 - ours
        sample = f"SELECT old::VARCHAR, new::VARCHAR FROM ({pairs}) WHERE old IS DISTINCT FROM new LIMIT {_LOOKED_AT}"  # noqa: S608 - ours
        return con.execute(counted).fetchall()[0][0], 0, tuple(_sample(con, sample)[:_SAMPLE])
    if not stage.cells and not stage.added:
        return 0, 0, ()
    changed = {c: changed_condition(c, types[c], stage) for c in stage.cells}
    rejected = {c: rejected_condition(c, types[c], e) for c, e in stage.cells.items()} if stage.converts else {}
    # A FILTER on each of some thousand counts would take ten times as long.
    counts = [f"coalesce(sum(CAST(({c}) AS INTEGER)), 0)" for c in (*changed.values(), *rejected.values())]
    counts = counts or ["0"]
    row = con.execute(f"SELECT {', '.join(counts)} FROM {source}").fetchall()[0]  # noqa: S608 - ours
    total, lost = sum(row[: len(changed)]), sum(row[len(changed) :])
    queries = [
        f"SELECT left({as_text(c, types[c])}, {_CUT}), left(CAST({e} AS VARCHAR), {_CUT}) FROM {source}"  # noqa: S608 - ours
        f" WHERE {rejected[c] if rejected.get(c) and lost else changed[c]} LIMIT {_LOOKED_AT}"
        for c, e in stage.cells.items()
    ]
    queries += [
        f"SELECT NULL, left(CAST({e} AS VARCHAR), {_CUT}) FROM {source} LIMIT {_LOOKED_AT}"  # noqa: S608 - ours
        for e in stage.added.values()
    ]
    found: list[tuple[str | None, str | None]] = []
    for query in queries:
        if len(found) < _SAMPLE:
            found = list(dict.fromkeys((*found, *_sample(con, query))))
    return total, lost, tuple(found[:_SAMPLE])


def _sample(con: DuckDBPyConnection, query: str) -> list[tuple[str | None, str | None]]:
    """Different pairs of old and new, in the order of the rows."""
    return [
        (None if old is None else safe(old, _CUT), None if new is None else safe(new, _CUT))
        for old, new in dict.fromkeys(con.execute(query).fetchall())
    ]


def sentence(figures: StepFigures, *, would: bool = False) -> str:
    """What a step did, or would do, for a person."""
    step = figures.step
    what = _listed(step.columns)
    verb = "would be" if would else "were" if figures.removed != 1 else "was"
    if step.op == "drop_missing":
        gap = f"{what} is missing" if len(step.columns) == 1 else f"one of {what} is missing"
        return f"{counted(figures.removed, 'row')} {verb} left out because {gap}"
    if step.op == "drop_duplicates":
        same = f"another has the same {what}" if step.columns else "another is equal"
        return f"{counted(figures.removed, 'row')} {verb} left out because {same}"
    if step.op == "filter":
        if rows_by_hand(step.params["where"]):
            return f"{counted(figures.removed, 'row')} chosen by hand {verb} left out"
        where = safe(step.params["where"], 60)
        return f"{counted(figures.removed, 'row')} {verb} left out because this does not hold: {where}"
    cells = counted(figures.changed, "cell")
    touched = f"{cells} {'would be' if would else 'were' if figures.changed != 1 else 'was'}"
    verbs = {
        "set_kind": f"read as {step.params.get('kind', '')}",
        "parse_date": "read as dates",
        "parse_number": "read as numbers",
        "mark_missing": "marked as missing",
        "fill": "filled in",
        "clip": "limited",
    }
    if step.op in _COLUMNS and not figures.changed:
        return _COLUMNS[step.op](step, would)
    text = f"{touched} {verbs.get(step.op, 'changed')}"
    emptied = [old for old, new in (step.params.get("mapping") or {}).items() if not new]
    if emptied and figures.changed:
        become = "would become missing" if would else "became missing"
        every = len(emptied) == len(step.params["mapping"])
        text = f"{cells} {become}" if every else f"{text}; {_listed(emptied)} {become}"
    if figures.rejected:
        text += (
            f"; {counted(figures.rejected, 'cell')} cannot be read and {'would become' if would else 'became'} missing"
        )
    return text


def _kept(step: Step, would: bool) -> str:
    return f"only {_listed(step.columns)} {'would be' if would else 'were'} kept"


def _left_out(step: Step, would: bool) -> str:
    verb = "would be" if would else "was" if len(step.columns) == 1 else "were"
    return f"{_listed(step.columns)} {verb} left out; no row is lost"


def _renamed(step: Step, would: bool) -> str:
    return f"{_listed(step.columns)} {'would be' if would else 'is'} called {safe(step.params['to'], 40)}"


def _computed(step: Step, would: bool) -> str:
    return f"the column {safe(step.params['column'], 40)} {'would be' if would else 'was'} computed"


def _split(step: Step, would: bool) -> str:
    return f"{_listed(step.params['into'])} {'would be' if would else 'were'} added; {_listed(step.columns)} stays"


_COLUMNS: Mapping[str, Callable[[Step, bool], str]] = {
    "select": _kept,
    "drop_columns": _left_out,
    "rename": _renamed,
    "compute": _computed,
    "split_column": _split,
}
"""What steps that touch no cell do to columns."""


def _listed(columns: Sequence[str]) -> str:
    names = [safe(c, 40) for c in columns]
    if len(names) <= 3:
        return ", ".join(names)
    return f"{', '.join(names[:2])} and {len(names) - 2} more"


def rows_after(con: DuckDBPyConnection, engine: Engine, project: Project, work: Work) -> int:
    """Rows left by the recipe."""
    return base_of(engine, con, project, work).rows
