"""The frame's view, from the session's state."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from epochal.show import safe
from epochal.workbench.commands import STAGES
from epochal.workbench.views.rail import ShellView, Stage


if TYPE_CHECKING:
    from epochal.workbench.session import Session


def shell_view(session: Session) -> ShellView:
    """What the frame shows now."""
    error = session.error
    said = " ".join(p for p in (_sentence(error.what), f"({safe(error.where)})" if error.where else "", safe(error.fix)) if p) if error else ""
    job = session.job
    return ShellView(
        project=safe(session.project.name) if session.file is not None else "",
        saved=_clock(session.file.saved_at) if session.file is not None else "",
        busy=safe(job.text) if job else "",
        busy_fraction=job.fraction if job else None,
        error=said,
        stages=tuple(Stage(number=n, name=name, title=title) for n, (name, title) in enumerate(STAGES, 1)),
    )


def _sentence(text: str) -> str:
    shown = safe(text)
    return shown if shown.endswith((".", "!", "?")) else f"{shown}."


def _clock(moment: datetime | None) -> str:
    return moment.astimezone().strftime("%H:%M:%S") if moment is not None else ""
