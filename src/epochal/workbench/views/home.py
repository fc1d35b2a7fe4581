"""Recent projects and samples."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from epochal.runs.state import list_runs
from epochal.show import safe
from epochal.workbench.views.words import figure


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeRow:
    """One project that can be opened."""

    name: str
    folder: Path
    sample: bool
    question: str
    where: str
    state: str = ""
    """How its newest run stands."""


def home_rows(recent: Iterable[Path], samples: dict[str, Path], *, limit: int = 12) -> tuple[HomeRow, ...]:
    """Recent projects, newest first, then the samples."""
    rows = [_row(folder, sample=False) for folder in list(recent)[:limit]]
    return (*rows, *(_row(folder, sample=True) for folder in samples.values()))


def _row(folder: Path, *, sample: bool) -> HomeRow:
    name, question = folder.name, ""
    try:
        with (folder / "project.toml").open("rb") as file:
            document = tomllib.loads(file.read(1 << 20).decode("utf-8"))
        name = str(document.get("name", name))
        goal = document.get("goal")
        question = str(goal.get("question", "")) if isinstance(goal, dict) else ""
    except (OSError, ValueError, RecursionError):
        question = "project.toml cannot be read"
    return HomeRow(
        name=safe(name),
        folder=folder,
        sample=sample,
        question=safe(question),
        where="copied here when opened" if sample else safe(_short(folder)),
        state="" if sample else _state(folder),
    )


def _state(folder: Path) -> str:
    runs = list_runs(folder)
    if not runs:
        return "no run yet"
    value = f" {figure(runs[0].value)}" if runs[0].value is not None else ""
    return f"run {runs[0].spec.number} {runs[0].status}{value}"


def _short(folder: Path) -> str:
    try:
        return f"~/{folder.relative_to(Path.home())}"
    except ValueError:
        return str(folder)
