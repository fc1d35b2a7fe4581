"""Where the command line enters the screens: the workbench, or one run's chart alone."""

from __future__ import annotations

import os
from pathlib import Path

from epochal.core.errors import EpochalError
from epochal.tui.app import Workbench
from epochal.workbench.session import Session


def run_workbench(path: str, *, theme: str = "") -> int:
    """Open the workbench on a project folder, a data file or URI, or on nothing; returns the exit code.

    Raises EpochalError for a path that is none of these, before the screen is taken.
    """
    if theme:
        os.environ["EPOCHAL_THEME"] = theme
    session = Session()
    first = prepare(session, path)
    app = Workbench(session, first=first)
    code = app.run()
    session.close()
    for line in app.last_words:
        print(line)  # noqa: T201 - the terminal is the person's again
    return code or 0


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


def run_watch(run_folder: Path) -> int:
    """One run's live chart alone; leaving it leaves the run alone."""
    from epochal.tui.watch import WatchApp

    app = WatchApp(Path(run_folder))
    app.run()
    return 0
