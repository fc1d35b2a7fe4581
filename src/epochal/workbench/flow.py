"""The path from a file to a tested model, as intents: propose, accept, measure families, train, steer, test.

Each returns at once; what blocks runs on the session's threads, and the session tells its listeners.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from epochal.core.errors import EpochalError, RunError
from epochal.core.settings import Model, Project, parse_project, with_setting
from epochal.data.protocol import Built, Head, OpenView, Proposal, ReadHead, View, body_of
from epochal.project.checkpoints import Checkpoint, turn
from epochal.project.file import ProjectFile, create_project
from epochal.project.runfile import RunSpec
from epochal.review.view import ReviewView, read_view
from epochal.runs import choose as run_choose
from epochal.runs import control, launch
from epochal.show import grouped
from epochal.workbench import checking, operations
from epochal.workbench.checking import Checked
from epochal.workbench.evidence import asked_of, target_of


if TYPE_CHECKING:
    from epochal.runs.state import RunInfo
    from epochal.workbench.evidence import Asked
    from epochal.workbench.session import Progress, Session


T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A project that is proposed and not made yet."""

    uri: str
    folder: Path
    """Where it would be made."""
    target: str = ""
    """What the person said instead of the suggestion; empty while nothing was said."""
    task: str = ""
    ignore: tuple[str, ...] = ()
    """Columns the person leaves out."""
    reading: Mapping[str, Any] = field(default_factory=dict)
    """Keys of the source in which the person corrected how it is read."""
    head: Head | None = None
    proposal: Proposal | None = None

    @property
    def project(self) -> Project | None:
        """What is proposed, as a project."""
        return parse_project(self.proposal.document) if self.proposal is not None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a short trial of every family said."""

    chosen: str
    reason: str
    candidates: tuple[Mapping[str, Any], ...]
    """Ranked: family, value, spread, seconds_per_epoch, seconds, parameters, memory_bytes, why, as far as known."""
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


def start(session: Session, uri: str, folder: Path) -> None:
    """Look at a source and propose a project for it."""
    session.draft = Draft(uri=uri, folder=folder)
    session.changed("draft")
    _read_head(session, session.draft)
    propose(session)


def read_otherwise(session: Session, reading: Mapping[str, Any]) -> None:
    """Read the source as the person says, and propose anew: other columns make another proposal."""
    if session.draft is not None:
        session.draft = replace(session.draft, reading=reading, target="", task="", ignore=(), proposal=None)
        _read_head(session, session.draft)
        propose(session)


def _read_head(session: Session, draft: Draft) -> None:
    def took(head: Head) -> None:
        now = session.draft
        if now is not None and (now.uri, now.reading) == (draft.uri, draft.reading):
            session.draft = replace(now, head=head)
            session.changed("draft")

    source = {"uri": operations.source_uri(draft.uri, draft.folder), **draft.reading}
    session.data.submit(
        ReadHead(folder=str(draft.folder), source=source, rows=100),
        _later(session, took),
        _later(session, session.failed),
    )


def _later(session: Session, call: Callable[[T], None]) -> Callable[[T], None]:
    """`call` on the face's thread, for callbacks of the data client's reader."""

    def deliver(value: T) -> None:
        session.deliver(lambda: call(value))

    return deliver


def propose(session: Session, *, target: str = "", task: str = "", ignore: tuple[str, ...] | None = None) -> None:
    """Propose anew, with what the person said of target, task or columns to leave out."""
    draft = session.draft
    if draft is None:
        return
    # What tells one target alone may be a good input, or the answer, for another.
    other = bool(target) and target != (draft.project.columns.target if draft.project else "")
    # What was asked for holds once it is proposed: called off or failed, what is shown stays true of the draft.
    wished = replace(
        draft,
        target=target or draft.target,
        task=task or ("" if target else draft.task),
        ignore=ignore if ignore is not None else () if other else draft.ignore,
    )
    document = operations.blank_document(
        draft.folder, draft.uri, target=wished.target, task=wished.task, ignore=wished.ignore, reading=draft.reading
    )

    cancelled = threading.Event()

    def done(proposal: Proposal) -> None:
        now = session.draft
        if now is not None and (now.uri, now.reading) == (draft.uri, draft.reading):
            session.draft = replace(wished, head=now.head, proposal=proposal)
            session.changed("draft")

    session.background(
        "propose",
        "looking at the rows",
        lambda report: operations.propose(session.data, draft.folder, document, report, cancelled),
        done,
        cancelled=cancelled,
    )


def accept(session: Session) -> bool:
    """Make the project as proposed, prepare its data and measure the families. False, with `error`, when it cannot be."""
    draft = session.draft
    if draft is None or draft.project is None:
        return False
    if not draft.project.columns.target:
        session.failed(
            EpochalError("no column to predict is chosen", where=draft.uri, fix="t chooses one", code="no-target")
        )
        return False
    try:
        operations.refuse_existing(draft.folder)
        create_project(draft.folder, draft.project)
        session.open(draft.folder)
    except EpochalError as error:
        session.failed(error)
        return False
    session.draft = None
    session.changed("draft")
    measure(session)
    return True


def learn_columns(session: Session) -> None:
    """Learn the names of the columns after the recipe, quietly; they come under the topic "columns"."""
    if session.file is None:
        return

    def took(view: View) -> None:
        session.columns = tuple(c.name for c in view.columns)
        session.changed("columns")

    session.data.submit(
        OpenView(folder=str(session.file.folder), document=session.document),
        _later(session, took),
        _later(session, session.failed),
    )


def _lacks_target(session: Session) -> bool:
    """Whether there is no column to predict; the session's `error` says so then."""
    if target_of(session.project):
        return False
    named = session.project.columns.target
    session.failed(
        EpochalError(
            f"the recipe takes the target {named!r} away" if named else "no column to predict is chosen",
            where="project.toml [columns]",
            fix="1 Goal: t chooses one",
            code="no-target",
        )
    )
    return True


def settle(session: Session) -> None:
    """Have something to say of the families when what they learn from is first looked at, unless something is under way."""
    busy = session.job is not None or any(r.alive for r in session.seen.runs)
    untried = session.choice_here is None and session.measured != asked_of(session.project)
    if untried and not busy and target_of(session.project):
        measure(session, again=False)


def measure(session: Session, *, again: bool = True) -> None:
    """Prepare the data and try each family for a short, equal time; the best is taken when none was chosen yet.

    Without `again`, what an earlier trial said of this very data is good enough.
    """
    file = session.file
    if file is None or _lacks_target(session):
        return
    take = not file.project.model.family
    session.measured = asked_of(file.project)
    cancelled = threading.Event()

    asked: list[Asked] = []

    def work(report: Progress) -> Mapping[str, Any]:
        tell = _teller(session)
        project, built = operations.build(session.data, file, tell=tell, report=report, cancelled=cancelled)
        asked.append(asked_of(project))  # with what the build recorded of it
        session.deliver(lambda: session.built_now(built, asked[0]))
        known = None if again else _recalled(file, project, built)
        if known is not None:
            return known
        report("trying each family for a short, equal time", None)
        return run_choose.choose(
            file.folder,
            project,
            body_of(built),
            report=report,
            cancelled=cancelled,
        )

    def done(answer: Mapping[str, Any]) -> None:
        if session.file is not file:
            return
        session.choice, session.choice_of = choice_from(answer), asked[0]
        if take and session.choice_here is not None and not file.project.model.family:
            _take(session, session.choice)
        session.changed("choice")
        session.changed("project")

    session.background("measure", "preparing the rows", work, done, cancelled=cancelled)


def _take(session: Session, choice: Choice) -> None:
    """Write the chosen family down, with the settings fitted to the budget."""
    project = operations.taken(session.project, Model(family=choice.chosen, options=choice.options))
    for dotted, value in choice.settings.items():
        project = with_setting(project, dotted, value)
    session.change(project, f"choose {choice.chosen}")


def _teller(session: Session) -> Callable[[str], None]:
    """Shows a person, one after another, what a build noticed."""
    told: list[str] = []

    def tell(notice: str) -> None:
        told.append(notice)
        session.deliver(lambda: session.warn("; ".join(told)))

    return tell


def choice_from(answer: Mapping[str, Any]) -> Choice:
    """A choice from the answer of the trial."""
    return Choice(
        chosen=str(answer.get("family", "")),
        reason=str(answer.get("reason", "")),
        candidates=tuple(answer.get("candidates", ())),
        options=dict(answer.get("options", {})),
        settings=dict(answer.get("settings", {})),
    )


def recall_choice(session: Session) -> None:
    """Show what an earlier trial said of this data, if there was one."""
    built = session.built_here
    if session.choice_here is None and built is not None and session.file is not None:
        answer = _recalled(session.file, session.project, built)
        session.choice = choice_from(answer) if answer else None
        session.choice_of = session.built_of


def _recalled(file: ProjectFile, project: Project, built: Built) -> Mapping[str, Any] | None:
    """What an earlier trial said of this very data, if there was one."""
    return run_choose.last_choice(file.folder, project, body_of(built))


def take_family(session: Session, family: str) -> bool:
    """Take a family; its own settings start as suggested."""
    if session.project.model.family == family:
        return True
    return session.change(operations.taken(session.project, Model(family=family)), f"take {family}")


def check(session: Session) -> None:
    """Check the settings as they are: short trainings in a process of their own."""
    file = session.file
    if file is None or _lacks_target(session):
        return
    cancelled = threading.Event()
    project = file.project

    def work(report: Progress) -> Checked:
        code = checking.code_of(file.folder, project)
        document, _built = checking.check_file(session.data, file, report, tell=_teller(session), cancelled=cancelled)
        return Checked(document=document, project=project, code=code)

    def done(checked: Checked) -> None:
        if session.file is file:
            session.checked = checked
            session.changed("check")

    session.background("check", "looking at all rows", work, done, cancelled=cancelled)


def check_holds(session: Session) -> bool:
    """Whether the check that is known is of the settings and of the code as they are."""
    checked = session.checked
    if checked is None or session.file is None:
        return False
    same = checking.decided(checked.project) == checking.decided(session.project)
    return same and checked.code == checking.code_of(session.file.folder, session.project)


def recall_check(session: Session) -> None:
    """Show what an earlier check of this data with these settings said, if there was one."""
    built = session.built_here
    if session.file is None or built is None or check_holds(session):
        return
    document = checking.last_check(session.file, built)
    if document is not None:
        code = checking.code_of(session.file.folder, session.project)
        session.checked = Checked(document=document, project=session.project, code=code)


def accept_split(session: Session) -> None:
    """Hold out from now on the test rows that changed data give, then do what was asked for when that was found."""
    file, again = session.file, session.again
    if file is None:
        return
    cancelled = threading.Event()

    def work(report: Progress) -> None:
        operations.build(
            session.data, file, tell=_teller(session), accept_split=True, report=report, cancelled=cancelled
        )

    session.background("split", "holding out the new test rows", work, lambda _: again(), cancelled=cancelled)


def train(session: Session) -> None:
    """Prepare a run with the settings as they are and start its host."""
    file = session.file
    if file is None or _lacks_target(session):
        return
    cancelled = threading.Event()

    def work(report: Progress) -> RunSpec:
        tell = _teller(session)
        spec = operations.make_run(session.data, file, tell=tell, report=report, cancelled=cancelled)
        report("starting the run's own process", None)
        launch.start(spec)
        return spec

    def done(spec: RunSpec) -> None:
        session.show_run(spec.name)
        session.changed("project")

    session.background("train", "preparing the rows", work, done, cancelled=cancelled)


def stop(session: Session, info: RunInfo, key: str) -> None:
    """Ask a run to end: with a checkpoint, when asked again at once, the third time by ending its process."""

    def done(asked: control.Asked) -> None:
        # That its process was ended stays said when it has ended.
        session.tell(control.said_of_asking(asked, key), of="" if asked == "killed" else info.name)
        session.look(fresh=True)

    session.background(
        "stop", f"asking run {info.spec.number} to stop", lambda _r: control.ask_to_stop(info.folder), done
    )


def steer(session: Session, info: RunInfo, verb: str) -> None:
    """Ask a run to write a checkpoint, or one to keep."""
    asked = f"run {info.spec.number} to {_ASKED.get(verb, verb)}"

    def done(_id: str) -> None:
        session.tell(f"asked {asked}", of=info.name)
        session.look(fresh=True)

    session.background(verb, f"asking {asked}", lambda _r: control.send(info.folder, verb), done)


def pin_checkpoint(session: Session, checkpoint: Checkpoint) -> None:
    """Keep a checkpoint for ever, or let go of one that is pinned."""
    step, pinned = grouped(checkpoint.step), checkpoint.pinned
    kept = "is unpinned: it may give way to newer ones" if pinned else "is pinned: it is never deleted"

    def done(there: bool) -> None:
        if there:
            session.tell(f"the checkpoint of step {step} {kept}")
        else:
            session.failed(RunError(f"the checkpoint of step {step} is gone", where=str(checkpoint.folder)))
        session.look(fresh=True)

    doing = f"{'unpinning' if pinned else 'pinning'} the checkpoint of step {step}"
    session.background("pin", doing, lambda _r: turn(checkpoint), done)


_ASKED = {"checkpoint": "write a checkpoint", "pin": "write a checkpoint that is kept"}
"""What a run is asked, in words."""


def open_test_set(session: Session, info: RunInfo) -> None:
    """Open the sealed test set for a run; the look is counted before anything is shown."""

    def work(report: Progress) -> ReviewView | None:
        operations.open_test_set(session.data, info.folder, report)
        return read_view(info.folder)

    def done(view: ReviewView | None) -> None:
        session.reviews[info.name] = view
        session.changed("review")

    session.background("test", "opening the test set", work, done)


def review_of(session: Session, info: RunInfo) -> ReviewView | None:
    """What the test set said of a run; None when it was never opened for it. Sets `error` when it cannot be read."""
    if session.reviews.get(info.name) is None:
        try:
            session.reviews[info.name] = read_view(info.folder)
        except RunError as error:
            session.reviews[info.name] = None
            session.error = error
    return session.reviews[info.name]
