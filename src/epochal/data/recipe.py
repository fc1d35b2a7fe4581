"""A project's recipe made ready to run: mapping files read, expressions checked."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from epochal.core.errors import StepError
from epochal.core.settings import Project
from epochal.core.steps import Step
from epochal.data.expressions import check_steps
from epochal.project.paths import ProjectPaths


if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_MAX_MAPPING = 32 * 1024 * 1024
"""Bytes of a mapping file."""


def ready_steps(
    con: DuckDBPyConnection, project: Project, folder: Path, columns: Sequence[tuple[str, str]]
) -> tuple[Step, ...]:
    """The project's steps as `sql` takes them. Every statement made of a recipe starts here.

    Raises StepError when a mapping file cannot be read, a column is not there or an expression is not allowed.
    """
    steps = tuple(_with_mapping(n, step, folder) for n, step in enumerate(project.clean, start=1))
    check_steps(con, columns, steps)
    return steps


def _with_mapping(n: int, step: Step, folder: Path) -> Step:
    if step.op != "map_values" or "file" not in step.params or not step.enabled:
        return step
    name = step.params["file"]
    mappings = ProjectPaths(folder).mappings.resolve()
    path = (mappings / Path(name).name).resolve() if Path(name).parent == Path() else (folder / name).resolve()
    where = f"clean step {n}"
    if not path.is_relative_to(mappings):
        raise StepError(
            f"the mapping file {name!r} is not in mappings/", where=where, fix="move it there", code="mapping"
        )
    params = {k: v for k, v in step.params.items() if k != "file"}
    return Step(op=step.op, params={**params, "mapping": _read(path, where)}, enabled=True)


def _read(path: Path, where: str) -> dict[str, str]:
    fix = "it is a CSV with the columns `from` and `to`"
    try:
        if path.stat().st_size > _MAX_MAPPING:
            raise StepError("the mapping file is too large", where=str(path), fix="use a join instead", code="mapping")
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if rows.fieldnames is None or not {"from", "to"} <= set(rows.fieldnames):
                raise StepError(f"no mapping: {path.name}", where=where, fix=fix, code="mapping")
            return {row["from"]: row["to"] or "" for row in rows if row["from"]}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise StepError(f"the mapping file {path.name} cannot be read", where=where, fix=fix, code="mapping") from error
