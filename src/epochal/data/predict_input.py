"""New rows for a trained model: read as a source is, cleaned by the recipe, none dropped.

A row that cleaning would have removed stays and is marked in words; a value that a step fails on is missing, and its
row says so. Inputs become what a snapshot holds, as those that were learnt from did. Steps that need the target are
skipped, for new rows have none. What the file holds itself comes back unchanged beside the predictions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from epochal.core.byhand import rows_by_hand
from epochal.core.errors import SourceError, StepError
from epochal.core.settings import Project, Source
from epochal.core.steps import OPS, Step, nearest
from epochal.data import sources
from epochal.data.places import resolve
from epochal.data.predict_output import RAW, write_predictions
from epochal.data.recipe import ready_steps
from epochal.data.sql import columns_after, noted_sql, rejected_condition
from epochal.data.sqltext import as_text, identifier, literal
from epochal.data.stored import may_be_lost, replayed_value
from epochal.data.textsource import look_at


if TYPE_CHECKING:
    import duckdb

    from epochal.data.sources import Progress

ROWS = "rows.parquet"

_BATCH = 50_000
_LINE_NOTES = "_line_notes"
_REASONS = {"short": "the line has too few fields", "long": "the line has too many fields"}


def prepare(
    con: duckdb.DuckDBPyConnection,
    project: Project,
    folder: Path,
    *,
    uri: str,
    inputs: Sequence[str],
    into: Path,
    report: Progress,
    types: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Read new rows and clean them without dropping one.

    Writes `into`/rows.parquet (`_eid` from 0 in the file's order, the inputs, `_note`) and `into`/raw.parquet (`_eid` and
    the file's own columns as text).

    Args:
        con: A connection to an empty database of its own, `TRY_APART` in force.
        project: The run's frozen settings.
        folder: The project's folder, which relative addresses and mappings start from.
        uri: Where the new rows are.
        inputs: The columns the model learnt from.
        into: A folder that is there.
        report: Told what is being done.
        types: The types the inputs were learnt as, where known.

    Returns:
        {"rows": rows read, "columns": the file's columns}.

    Raises:
        SourceError: The file cannot be read, a line of it not even in part, or it lacks columns the model needs.
    """
    new = replace(project, sources=(_source(project, folder, uri, inputs),))
    imported = sources.load(con, new, folder, report, keep_uneven=True)
    _refuse_unreadable(con, uri)
    report(None, "cleaning the rows")
    present = [c for c in imported.columns if c[0] not in _names_of_target(project)]
    steps = _fitting_steps(con, project, folder, present)
    after = dict(columns_after(present, steps))
    _check_inputs(inputs, after, project, present)
    _note_lines(con)
    noted = noted_sql(present, steps)
    kinds = {row[0]: row[1] for row in con.execute(f"DESCRIBE {noted}").fetchall()}
    learnt = {c: (types or {}).get(c, "") for c in inputs}
    values = ", ".join(f"{replayed_value(c, kinds[c], t)} AS {identifier(c)}" for c, t in learnt.items())
    notes = [_removed_note(steps), *(c for c in kinds if c.startswith("_removed_note_"))]
    notes += [_lost_note(c, kinds[c], t) for c, t in learnt.items() if may_be_lost(kinds[c], t)]
    notes = [f"nullif({note}, '')" for note in (*notes, "_line_note")]
    _write(
        con,
        f"SELECT _eid, {values}, nullif(concat_ws('; ', {', '.join(notes)}), '') AS _note FROM ({noted}) "  # noqa: S608 - quoted
        f"LEFT JOIN {_LINE_NOTES} ON _noted_line = _line ORDER BY _eid",
        into / ROWS,
    )
    texts = ", ".join(f"{as_text(name, kind)} AS {identifier(name)}" for name, kind in imported.columns)
    _write(con, f"SELECT _eid, {texts} FROM raw ORDER BY _eid", into / RAW)  # noqa: S608 - quoted
    return {"rows": imported.rows, "columns": [name for name, _kind in imported.columns]}


def _source(project: Project, folder: Path, uri: str, inputs: Sequence[str]) -> Source:
    """The new file, read as the project's own is, unless only the guess finds columns in it that are known.

    A short file tells too little of how it is written; one written otherwise, a CSV for a table set apart by spaces, is
    none the worse for what the project says.
    """
    old = project.sources[0] if project.sources else Source(name="rows", uri=uri)
    plain = Source(name="rows", uri=uri, part=old.part)
    said = replace(plain, encoding=old.encoding, delimiter=old.delimiter, quote=old.quote, header=old.header)
    known = {*inputs, *(c for s in project.clean for c in (*s.columns, s.params.get("column", "")))}
    if said == plain or known & _names(said, folder) or not known & _names(plain, folder):
        return said
    return plain


def _names(source: Source, folder: Path) -> set[str]:
    """The columns of a text table's first file, read so; empty for other formats, and where it cannot be read."""
    place = resolve(source, folder)
    if place.format != "csv":
        return set()
    try:
        return set(look_at(place.files[0], source, whole=False)[0].dialect.names)
    except SourceError:
        return set()


def _refuse_unreadable(con: duckdb.DuckDBPyConnection, uri: str) -> None:
    found = con.execute(
        "SELECT line, kind, text FROM rejects WHERE kind NOT IN ('short', 'long') ORDER BY line LIMIT 1"
    ).fetchone()
    if found:
        line, kind, text = found
        what = "its quotes do not match" if kind == "quote" else "it holds bytes that are no text"
        raise SourceError(
            f"line {line} cannot be read: {what}: {text[:80]!r}",
            where=uri,
            fix="mend the line: no row is predicted rather than one left out",
            code="unreadable-line",
        )


def _names_of_target(project: Project) -> set[str]:
    """The target's name, and the names it had before it was renamed."""
    name = project.columns.target
    names = {name} if name else set()
    for step in reversed(project.clean):
        if step.enabled and step.op == "rename" and step.params["to"] == name:
            name = step.params["column"]
            names.add(name)
    return names


def _fitting_steps(
    con: duckdb.DuckDBPyConnection, project: Project, folder: Path, present: Sequence[tuple[str, str]]
) -> tuple[Step, ...]:
    """The recipe without what needs the target or another column that is not there; numbers of steps stay."""
    steps: list[Step] = []
    here: Sequence[tuple[str, str]] = present
    for step in project.clean:
        kept = _without_absent(step, {name for name, _kind in here}) if step.enabled else None
        if kept is not None:
            try:
                ready = ready_steps(con, replace(project, clean=(kept,)), folder, here)
                here = columns_after(here, ready)
                steps += ready
                continue
            except StepError as error:
                if error.error_code != "unknown-column":
                    raise
        steps.append(replace(step, enabled=False))
    return tuple(steps)


def _without_absent(step: Step, present: set[str]) -> Step | None:
    """The step on the columns that are there; None when it has nothing left to work on."""
    params = dict(step.params)
    named = [p.name for p in OPS[step.op].params if p.type == "columns" and p.name in params]
    for name in named:
        params[name] = tuple(c for c in params[name] if c in present)
        if not params[name]:
            return None
    if step.op != "compute" and "column" in params and params["column"] not in present:
        return None
    return replace(step, params=params)


def _check_inputs(
    inputs: Sequence[str], after: Mapping[str, str], project: Project, present: Sequence[tuple[str, str]]
) -> None:
    missing = [c for c in inputs if c not in after]
    if not missing:
        return
    close = nearest(missing[0], [name for name, _kind in present])
    computed = {s.params["column"] for s in project.clean if s.op == "compute" and s.enabled}
    from_others = " (computed from others that are not there)" if set(missing) <= computed else ""
    raise SourceError(
        f"{len(missing)} of the {len(inputs)} columns the model needs are not there: {', '.join(missing[:8])}{from_others}",
        where="the new file",
        fix=f"is {close!r} meant? name it {missing[0]!r}"
        if close
        else "give a file with the columns the model was trained on",
        code="missing-columns",
    )


def _removed_note(steps: Sequence[Step]) -> str:
    """SQL: why cleaning would leave a row out, in words."""
    cases = []
    for n, step in enumerate(steps, start=1):
        if not (step.enabled and OPS[step.op].removes_rows):
            continue
        if step.op == "drop_missing":
            why = f"{' or '.join(step.columns)} is missing"
        elif step.op == "filter":
            by_hand = rows_by_hand(step.params["where"])
            why = "it was chosen by hand" if by_hand else f"it is not {step.params['where']}"
        else:
            why = "it repeats an earlier row"
        cases.append(f"WHEN {n} THEN {literal(f'cleaning would leave it out (step {n}): {why}')}")
    return f"CASE _removed {' '.join(cases)} END" if cases else "NULL"


def _lost_note(column: str, kind: str, learnt: str) -> str:
    """SQL: what a value was that is missing as the type that was learnt from."""
    said = f"{literal(f'{column}: cannot be read: ')} || left({as_text(column, kind)}, 40)"
    return f"CASE WHEN {rejected_condition(column, kind, replayed_value(column, kind, learnt))} THEN {said} END"


def _note_lines(con: duckdb.DuckDBPyConnection) -> None:
    """Make the table of lines that were read, but not as they should be."""
    cases = " ".join(f"WHEN {literal(k)} THEN {literal(v)}" for k, v in _REASONS.items())
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE {_LINE_NOTES} AS SELECT line AS _noted_line, "  # noqa: S608 - our own text
        f"string_agg(CASE kind {cases} END, '; ') AS _line_note FROM rejects GROUP BY line"
    )


def _write(con: duckdb.DuckDBPyConnection, select: str, path: Path) -> None:
    """Write a query's rows as Parquet; into a folder that is thrown away, so nothing is synced."""
    reader: Any = con.sql(select).to_arrow_reader(_BATCH)
    with pq.ParquetWriter(path, reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)


__all__ = ["prepare", "write_predictions"]
