"""What ships with the program (sample projects, themes), and which projects were opened of late."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import epochal
from epochal import fsio
from epochal.project.read import read_regular


MAX_RECENT = 20
_MAX_BYTES = 1 << 20


def shipped_projects() -> dict[str, Path]:
    """The sample projects by name, each a folder with a project.toml, in a wheel and in an editable install alike."""
    folder = _shipped("projects")
    return {p.name: p for p in sorted(folder.iterdir()) if (p / "project.toml").is_file()} if folder.is_dir() else {}


def shipped_themes() -> dict[str, Path]:
    """The themes that ship, by name, each a TOML file."""
    return {p.stem: p for p in sorted(_shipped("themes").glob("*.toml"))}


def _shipped(what: str) -> Path:
    package = Path(epochal.__file__).resolve().parent
    inside = package / "_shipped" / what
    return inside if inside.is_dir() else package.parent.parent / what


def state_folder() -> Path:
    """Where this program keeps what belongs to the person and to no project ($XDG_STATE_HOME/epochal)."""
    base = os.environ.get("XDG_STATE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".local" / "state") / "epochal"


def recent_projects() -> list[Path]:
    """Projects opened of late, newest first; those that are gone are left out."""
    return [p for p in _remembered() if (p / "project.toml").is_file()]


def remember_project(folder: Path) -> None:
    """Put a project first among the recent ones. A state folder that cannot be written is no reason to stop."""
    folder = Path(folder).absolute()
    paths = [folder, *(p for p in _remembered() if p != folder)][:MAX_RECENT]
    with contextlib.suppress(fsio.NotSaved, OSError):
        state_folder().mkdir(parents=True, exist_ok=True)
        fsio.write_text(state_folder() / "recent.json", json.dumps([str(p) for p in paths], indent=1) + "\n")


def _remembered() -> list[Path]:
    try:
        listed = json.loads(read_regular(state_folder() / "recent.json", _MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return []
    return [Path(p) for p in listed if isinstance(p, str) and p.startswith("/")] if isinstance(listed, list) else []
