"""Where the command line enters the screens: the workbench, or one run's chart alone."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from epochal.runs.ending import heed_signals
from epochal.tui.app import Workbench
from epochal.workbench.session import Session


def run_workbench(session: Session, first: str, *, theme: str = "") -> int:
    """Show a session that `workbench.entry.prepare` opened, from its first stage on; returns the exit code."""
    if theme:
        os.environ["EPOCHAL_THEME"] = theme
    app = Workbench(session, first=first)
    heed_signals(lambda: app.call_from_thread(app.exit, 128 + signal.SIGTERM))
    code = app.run()
    session.close()
    for line in app.last_words:
        print(line)  # noqa: T201 - the terminal is the person's again
    return code or 0


def run_watch(run_folder: Path) -> int:
    """One run's live chart alone; leaving it leaves the run alone."""
    from epochal.tui.watch import WatchApp

    app = WatchApp(Path(run_folder))
    app.run()
    return 0
