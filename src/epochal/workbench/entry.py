"""What a path means to the workbench: a project, a file to make one from, or nothing. No screen is needed for it.

Asked before the screens are imported, so that the data host already reads the file while they are.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from epochal.core.errors import EpochalError


if TYPE_CHECKING:
    from epochal.workbench.session import Session


Call = Callable[[], None]


class Held:
    """Keeps calls for the face until it is there to run them; afterwards hands them on. Safe from any thread."""

    def __init__(self) -> None:
        self._calls: list[Call] = []
        self._to: Callable[[Call], object] | None = None
        self._lock = threading.Lock()

    def __call__(self, call: Call) -> None:
        """Run `call` on the face's thread, now or when there is one."""
        with self._lock:
            if self._to is None:
                self._calls.append(call)
                return
        self._to(call)

    def release(self, to: Callable[[Call], object]) -> None:
        """The face is there: hand it what was kept, in order, and everything from now on."""
        with self._lock:
            for call in self._calls:
                to(call)
            self._calls.clear()
            self._to = to


def prepare(session: Session, path: str) -> str:
    """Open what a path names in a session; returns the stage to show first. Raises EpochalError."""
    if not path:
        return "home"
    folder = Path(path).expanduser()
    if folder.is_dir():
        if not (folder / "project.toml").exists():
            raise EpochalError(
                "this folder holds no project",
                where=str(folder),
                fix="give a data file, and a project is made from it; or see `epochal demo`",
                code="no-project",
            )
        session.open(folder)
        return first_stage(session)
    return start_draft(session, path)


def first_stage(session: Session) -> str:
    """Where a reopened project is looked at first: a run under way, else the rows."""
    from epochal.runs.state import list_runs

    alive = session.folder is not None and any(r.alive for r in list_runs(session.folder))
    return "train" if alive else "data"


def start_draft(session: Session, uri: str) -> str:
    """Begin a project from a file or URI in the current folder, or open the one that was made of it before.

    Returns the stage to show first. Raises EpochalError when there is no such file.
    """
    from epochal.workbench import flow, operations

    path = Path(uri).expanduser()
    scheme = ":" in uri.partition("/")[0]
    if not scheme and not path.exists() and not any(c in uri for c in "*?["):
        raise EpochalError("there is no such file or folder", where=uri, fix="check the path", code="no-file")
    folder = Path.cwd() / operations.source_name(uri)
    if (folder / "project.toml").exists():
        session.open(folder)
        if operations.source_uri(uri, folder) in {s.uri for s in session.project.sources}:
            return first_stage(session)
        session.shut()
        folder = _free(folder)
    flow.start(session, uri, folder)
    return "start"


def _free(folder: Path) -> Path:
    """The folder's name with the first number that is free: data of the same name may be another question."""
    n = 2
    while folder.with_name(f"{folder.name}-{n}").exists():
        n += 1
    return folder.with_name(f"{folder.name}-{n}")
