"""The ledger and the rejects of a project as requests ask for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from epochal.core.errors import EpochalError, SettingsError, SourceError
from epochal.core.ledger import Ledger, SourceLines, StepCount
from epochal.core.settings import Project
from epochal.data.count import StepFigures, count_recipe, sentence
from epochal.data.engine import Engine, Work
from epochal.data.recipe import ready_steps
from epochal.data.sources import opened
from epochal.data.sql import rejects_sql
from epochal.data.views import base_of
from epochal.show import counted, grouped, safe


if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from epochal.core.steps import Step

_CUT = 2_000
"""Characters of a reject's text that are told."""


_FILES_TOLD = 10
"""Files of which the account says how they are read."""


def read_ledger(engine: Engine, con: DuckDBPyConnection, project: Project, work: Work) -> dict[str, Any]:
    """`Ledger.as_dict()` with "reading", "words" and, where rows cannot be dealt out yet, "open": why.

    "reading" says how each text file is read: encoding, delimiter, quotes, header.
    Raises StepError when the recipe cannot be run.
    """
    steps = ready_steps(con, project, engine.folder, engine.columns)
    work.report("counting what the steps did")
    figures = count_recipe(con, engine.columns, steps)
    ledger, why = _dealt_out(engine, con, project, work, figures)
    if why:
        kept = base_of(engine, con, project, work).rows
        ledger = Ledger(
            sources=_sources(con, engine, steps),
            steps=tuple(StepCount(n=f.n, op=f.step.op, removed=f.removed, changed=f.changed) for f in figures),
            train=kept,
            validation=0,
            test=0,
        ).as_dict()
    imported = opened(con)
    reading = list(imported.notes) if imported is not None else []
    words = [*(safe(note, 300) for note in reading[:_FILES_TOLD]), *_words(ledger, figures, why)]
    return {**ledger, "reading": reading, "words": words, **({"open": why} if why else {})}


def _dealt_out(
    engine: Engine, con: DuckDBPyConnection, project: Project, work: Work, figures: tuple[StepFigures, ...]
) -> tuple[Mapping[str, Any], str]:
    """The ledger of the snapshot and split; or why they cannot be made."""
    from epochal.data.build import build

    del figures
    if not project.columns.target:
        return {}, "no target is chosen yet"
    try:
        built = build(con, project, engine.folder, accept_split=True, report=work.tell)
    except (SourceError, SettingsError) as error:
        return {}, error.what
    return built.ledger, ""


def _sources(con: DuckDBPyConnection, engine: Engine, steps: tuple[Step, ...]) -> tuple[SourceLines, ...]:
    """The sources' lines, with the cells the recipe could not read."""
    imported = opened(con)
    if imported is None:
        raise EpochalError("the import is gone", fix="try again")
    lost = cast_rejects_by_source(con, engine, steps)
    return tuple(
        SourceLines(
            name=s.name,
            lines=s.lines,
            header=s.header,
            blank=s.blank,
            continuation=s.continuation,
            rejected=s.rejected,
            read=s.read,
            rejected_cells=s.rejected_cells + sum(n for name, n in lost.items() if name.split("/", 1)[0] == s.name),
        )
        for s in imported.lines
    )


def cast_rejects_by_source(con: DuckDBPyConnection, engine: Engine, steps: tuple[Step, ...]) -> dict[str, int]:
    """How many cells of each source (or file of one) the recipe's conversions could not read."""
    lost: dict[str, int] = {}
    for _, _, select in rejects_sql(engine.columns, steps):
        rows = con.execute(f"SELECT source, count(*) FROM ({select}) GROUP BY source").fetchall()  # noqa: S608 - ours
        for source, count in rows:
            lost[source] = lost.get(source, 0) + count
    return lost


def _words(ledger: Mapping[str, Any], figures: tuple[StepFigures, ...], why: str) -> list[str]:
    """One sentence a line of the account."""
    words = [_source_words(s) for s in ledger["sources"]]
    words.append(f"{counted(ledger['read'], 'row')} read")
    words.extend(f"step {f.n}, {f.step.op}: {sentence(f)}" for f in figures)
    kept = f"{counted(ledger['kept'], 'row')} kept"
    if why:
        words.append(f"{kept}; not dealt out yet: {safe(why, 200)}")
    else:
        words.append(
            f"{kept} = {grouped(ledger['train'])} to train on + {grouped(ledger['validation'])} to validate + {grouped(ledger['test'])} to test"
        )
    return words


def _source_words(source: Mapping[str, Any]) -> str:
    parts = [f"{grouped(source['header'])} header"] if source["header"] else []
    parts += [f"{grouped(source[k])} {k}" for k in ("blank", "continuation", "rejected") if source[k]]
    parts.append(f"{grouped(source['read'])} read")
    text = f"{safe(source['name'], 60)}: {counted(source['lines'], 'line')} = {' + '.join(parts)}"
    if source["rejected_cells"]:
        text += f"; beside them {counted(source['rejected_cells'], 'cell')} that could not be read"
    return text


def read_rejects(engine: Engine, con: DuckDBPyConnection, project: Project, work: Work, limit: int) -> dict[str, Any]:
    """The lines and cells that did not fit, up to `limit`, and how many there are in all.

    Their texts are as they stand in the source, cut: scripts compare them, and who shows them makes them safe.
    """
    steps = ready_steps(con, project, engine.folder, engine.columns)
    work.report("reading the rejects")
    queries = ['SELECT source, line, "column", kind, text FROM rejects']
    queries += [
        f"SELECT source, line, \"column\", 'cast' AS kind, text FROM ({select})"  # noqa: S608 - ours
        for _, _, select in rejects_sql(engine.columns, steps)
    ]
    found: list[dict[str, Any]] = []
    total = 0
    for query in queries:
        total += con.execute(f"SELECT count(*) FROM ({query})").fetchall()[0][0]  # noqa: S608 - ours
        room = max(0, limit - len(found))
        if room:
            rows = con.execute(f"SELECT * FROM ({query}) ORDER BY line LIMIT {room}").fetchall()  # noqa: S608 - ours
            found.extend(
                {
                    "source": source,
                    "line": line,
                    "column": column,
                    "kind": kind,
                    "text": (text or "")[:_CUT],
                }
                for source, line, column, kind, text in rows
            )
    found.sort(key=lambda r: (r["source"], r["line"]))
    return {"rejects": found, "total": total}
