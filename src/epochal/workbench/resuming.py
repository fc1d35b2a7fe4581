"""Going on with a run: what a person is told, and what they may choose where it is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from epochal.core.errors import EpochalError, RunError
from epochal.project import trust
from epochal.project.unlike import said_of_unlike
from epochal.runs.launch import refuse_nodes
from epochal.runs.resume import Way, refuse_resume, resume
from epochal.workbench import operations
from epochal.workbench.session import Refused


if TYPE_CHECKING:
    from epochal.journal.reduce import RunState
    from epochal.runs.state import RunInfo
    from epochal.workbench.session import Progress, Session


REFUSALS: Mapping[str, tuple[Way, str, str] | None] = {
    "resume-differs": ("anyway", "go on anyway", "not to the bit what it would have been; the chart marks the seam"),
    "no-device": ("anyway", "go on anyway", "on what is here, not to the bit; the chart marks the seam"),
    "no-checkpoint": ("from-start", "from the start", "begin this run again in its own folder"),
    "data-changed": None,
}
"""By the code of a refusal to resume: the other way to go on, and that in words; None where there is but a new run."""


def refusal_of(state: RunState | None) -> EpochalError | None:
    """Why the run's last host would not go on, if that is how it ended."""
    error = state.ended.error if state is not None and state.ended is not None else {}
    if error.get("code") not in REFUSALS:
        return None
    return RunError(error.get("what", ""), where=error.get("where", ""), fix=error.get("fix", ""), code=error["code"])


def go_on(session: Session, info: RunInfo, way: Way = "exactly") -> None:
    """Resume a run in its own folder, with its own settings; where the project's or its sources are others, that is told."""
    job = f"resume {info.name}"
    if session.job is not None and session.job.name == job:
        return  # the key was pressed twice
    kept = said_of_unlike(info.spec, session.project)

    def work(report: Progress) -> str:
        refuse_resume(info, way)
        refuse_nodes(info.spec)
        trust.demand_same(info.spec)
        changed = operations.data_to_go_on(session.data, info.spec, report)
        resume(info.folder, way=way)
        return ". ".join(filter(None, (kept, changed)))

    def done(told: str) -> None:
        if told:
            session.warn(told)
        session.look(fresh=True)

    session.background(
        job,
        f"resuming run {info.spec.number}",
        work,
        done,
        failed=lambda error: refuse_to_go_on(session, info, error),
    )


def refuse_to_go_on(session: Session, info: RunInfo, error: EpochalError) -> None:
    """Say why this run does not go on; where there is another way, a person is asked about this run and no other."""
    session.failed(error)
    if error.error_code in REFUSALS:
        session.refused = Refused(info=info, error=error)
        session.changed("refused")
