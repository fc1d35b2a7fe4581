"""Writing the cleaned rows to a file of a person's choosing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from epochal import fsio
from epochal.core.errors import SettingsError
from epochal.core.settings import Project
from epochal.data.engine import Engine, Work
from epochal.data.sqltext import identifier, literal
from epochal.data.views import base_of
from epochal.project.paths import ProjectPaths


if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_FORMATS = {
    ".csv": "FORMAT csv, HEADER",
    ".tsv": "FORMAT csv, HEADER, DELIMITER '\t'",
    ".parquet": "FORMAT parquet",
    ".jsonl": "FORMAT json",
    ".ndjson": "FORMAT json",
}


def export(engine: Engine, con: DuckDBPyConnection, project: Project, work: Work, path: Path) -> dict[str, int]:
    """Write the rows after the recipe, without our own columns; the ending says the format. {"rows": …}.

    DuckDB may write only in the project's cache, so the file is made there and then put in its place, whole.
    Raises SettingsError for an ending that is not known, NotSaved when the disk refuses.
    """
    form = _FORMATS.get(path.suffix.lower())
    if form is None:
        raise SettingsError(
            f"the ending {path.suffix!r} names no format", where=str(path), fix=f"use one of {', '.join(_FORMATS)}"
        )
    base = base_of(engine, con, project, work)
    cache = ProjectPaths(engine.folder).cache
    fsio.make_folder(cache)
    made = cache / f"export-{os.getpid()}-{os.urandom(4).hex()}.tmp"
    names = ", ".join(identifier(c) for c, _ in base.columns)
    work.report("writing the rows")
    try:
        con.execute(
            f"COPY (SELECT {names} FROM {base.table} ORDER BY rowid) TO {literal(str(made))} ({form})"  # noqa: S608 - quoted
        )
        fsio.place_file(made, path)
    finally:
        made.unlink(missing_ok=True)
    return {"rows": base.rows}
