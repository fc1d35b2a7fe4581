"""The frame's view, from the session's state."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from epochal.core.tasks import METRICS
from epochal.show import safe
from epochal.workbench.commands import STAGES
from epochal.workbench.evidence import target_of
from epochal.workbench.views.rail import ShellView, Stage, StageState
from epochal.workbench.views.words import count, figure, some


if TYPE_CHECKING:
    from epochal.core.errors import EpochalError
    from epochal.workbench.session import Session


def shell_view(session: Session) -> ShellView:
    """What the frame shows now."""
    job, state, info = session.job, session.seen.state, session.info
    under_way = next((r for r in session.seen.runs if r.alive), None)
    here = info is not None and info.alive and state is not None and state.ended is None
    told = under_way if under_way is not None and not here else info
    return ShellView(
        project=safe(session.project.name) if session.file is not None else "",
        saved=_clock(session.file.saved_at) if session.file is not None else "",
        run=f"run {told.spec.number}" if told is not None else "",
        run_state=told.status if told is not None and told is not info else state.status if state is not None else "",
        run_fraction=state.progress if here and state is not None and state.status != "paused" else None,
        machine=session.seen.machine,
        notice=safe(session.notice),
        warns=session.notice == session.warned,
        busy=safe(job.text) if job else "",
        busy_fraction=job.fraction if job else None,
        error=error_line(session.error) if session.error else "",
        stages=_stages(session),
        next=_next(session, running=under_way is not None),
    )


def error_line(error: EpochalError) -> str:
    """An error as one line: a sentence of what and where, and how to mend it."""
    what = _sentence(f"{error.what} ({error.where})" if error.where else error.what)
    return " ".join(part for part in (what, _begun(safe(error.fix))) if part)


def _begun(text: str) -> str:
    """With a capital, unless a key stands first: t is another key than T."""
    return text if len(text.partition(" ")[0]) == 1 and text[:2] != "a " else text[:1].upper() + text[1:]


def _sentence(text: str) -> str:
    shown = _begun(safe(text))
    return shown if shown.endswith((".", "!", "?", "…")) else f"{shown}."


def _clock(moment: datetime | None) -> str:
    return moment.astimezone().strftime("%H:%M:%S") if moment is not None else ""


def _stages(session: Session) -> tuple[Stage, ...]:
    if session.file is None:
        return tuple(Stage(number=n, name=name, title=title) for n, (name, title) in enumerate(STAGES, 1))
    states = {
        "goal": _goal(session),
        "data": _data(session),
        "label": ("none", "–"),
        "model": _model(session),
        "train": _train(session),
        "test": _test(session),
        "ship": ("none", "–"),
    }
    return tuple(
        Stage(number=n, name=name, title=title, state=states[name][0], summary=states[name][1])
        for n, (name, title) in enumerate(STAGES, 1)
    )


def _goal(session: Session) -> tuple[StageState, str]:
    target = target_of(session.project)
    return ("done", safe(target)) if target else ("problem", "no target")


def _data(session: Session) -> tuple[StageState, str]:
    if session.problems:
        # Ten cells are all the rail has.
        return "problem", some(session.problems, "problem") if session.problems < 10 else f"{session.problems} to mend"
    if (built := session.built_here) is not None:
        return "done", f"{count(built.ledger['kept'])} rows"
    return "done", f"{len(session.project.clean)} steps" if session.project.clean else "–"


def _model(session: Session) -> tuple[StageState, str]:
    if session.job is not None and session.job.name == "measure":
        return "busy", "measures"
    family = session.project.model.family
    return ("done", safe(family)) if family else ("waiting", "choose")


def _train(session: Session) -> tuple[StageState, str]:
    info, state = session.info, session.seen.state
    if info is None or state is None:
        return "waiting", "–"
    if state.status in {"starting", "running", "stopping"}:
        return "busy", f"{state.progress:.0%}".replace("%", " %") if state.training else state.phase or state.status
    if state.status in {"done", "stopped"}:
        return "done", figure(state.best_value)
    return "problem", state.status


def _test(session: Session) -> tuple[StageState, str]:
    info = session.info
    if info is None:
        return "sealed", "sealed"
    review = session.reviews.get(info.name)
    if review is not None:
        return "done", figure(review.headline.model.value)
    return ("done", "opened") if session.seen.tested else ("sealed", "sealed")


def _next(session: Session, *, running: bool) -> str:
    """What to do next, wherever one is."""
    if session.file is None:
        return "choose a project, or give a data file: epochal FILE."
    if session.job is not None:
        return f"wait: {safe(session.job.text)}."
    project = session.project
    if not target_of(project):
        return "1 Goal: say which column is to be predicted."
    if running:
        return "5 Train shows the run live; it goes on without this terminal."
    if not project.model.family:
        return "4 Model: measure which family fits, or take one."
    if session.info is None:
        return f"5 Train: n trains {project.model.family}."
    if not session.seen.tested:
        return f"6 Test opens the sealed test set: the honest {METRICS[project.metric].title}."
    return "7 Ship says how to use the model elsewhere."
