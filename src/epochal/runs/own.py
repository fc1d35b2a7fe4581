"""Asking what a person's own class is like: a child process imports it, so that no face does and no run begins in vain."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import tomli_w

from epochal.core.settings import Project, to_document
from epochal.core.tasks import MODULE, OWN
from epochal.runs.child import Report, ask_child
from epochal.runs.trial import PART_SECONDS


LOOK_COMMAND = (sys.executable, "-P", "-m", "epochal.host", "--look")


def look_at_class(
    folder: Path,
    project: Project,
    *,
    part_seconds: float = PART_SECONDS,
    report: Report,
    cancelled: threading.Event | None = None,
) -> tuple[str, ...]:
    """Which of `core.useless.OWN_PARTS` the class of a project has; nothing for every other family.

    Takes as long as importing torch and the project's code, which is given up after `part_seconds`. Raises Cancelled
    and what a run would be refused for: code that is not trusted or cannot be imported, a class that is not there, a
    setting that it does not take.
    """
    if project.model.family != OWN:
        return ()
    module = str(project.model.options[MODULE])
    report(f"reading {module}", None)
    answer = ask_child(
        [*LOOK_COMMAND, str(folder)],
        {
            "project": tomli_w.dumps(to_document(project)),
            "folder": str(Path(folder).absolute()),
            "part_seconds": part_seconds,
        },
        what=f"reading {module}",
        code="own-model",
        fix="import it by hand to see what it does to the process",
        cancelled=cancelled,
    )
    return tuple(map(str, answer["brings"]))
