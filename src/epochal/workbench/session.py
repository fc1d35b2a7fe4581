"""The application without a screen: one opened project, its data host, its runs; intents in, frozen state out.

All state is changed on one thread, the face's. Work that blocks runs on daemon threads of our own and its result is
handed to `deliver`, which the face binds to its message queue. (Never a Textual worker: leaving joins those.)
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from epochal.core.errors import Cancelled, EpochalError
from epochal.core.settings import Project, to_document, with_setting
from epochal.core.split import said_of_change
from epochal.core.useless import said_of_idle
from epochal.workbench.evidence import Asked, asked_of
from epochal.workbench.messages import Messages
from epochal.workbench.vitals import Vitals
from epochal.workbench.watcher import Seen, Watcher, Wish


if TYPE_CHECKING:
    from epochal.core.steps import Step
    from epochal.data.protocol import Built
    from epochal.project.file import ProjectFile
    from epochal.project.trust import Standing
    from epochal.review.view import ReviewView
    from epochal.runs.state import RunInfo
    from epochal.workbench.checking import Checked
    from epochal.workbench.data_client import DataClient
    from epochal.workbench.flow import Choice, Draft
    from epochal.workbench.intents import ShowRows


T = TypeVar("T")

Progress = Callable[[str, float | None], None]
"""Told what is being done, in words, and the share done (None: unknown)."""

Listener = Callable[[str], None]
"""Told the topic that changed: project, job, runs, run, choice, check, code, ledger, problems, review, rows, notice,
error, refused."""

_LONG = {"measure": "the trial of the families", "check": "the check", "verify": "the verification of a resume"}
"""What is lost when something else begins, by the job's name."""
NOTICE_SECONDS = 12.0
"""After these a notice yields to what to do next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Something under way that a person waits for."""

    name: str
    text: str
    fraction: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A run that could not go on as it was."""

    info: RunInfo
    error: EpochalError


@dataclass
class Session:
    """One person at one project."""

    deliver: Callable[[Callable[[], None]], object] = lambda call: call()
    """Runs a call on the face's thread; by default at once, for use without a face."""
    folder: Path | None = None
    file: ProjectFile | None = None
    job: Job | None = None
    error: EpochalError | None = None
    """The last thing that went wrong; the screen shows it until the next intent."""
    refused: Refused | None = None
    """The last resume that was refused, for whoever asks what to do instead."""
    notice: str = ""
    """What was just done, in words; the screen shows it until the next key, or for some seconds."""
    warned: str = ""
    """The last notice that was bad news."""
    messages: Messages = field(default_factory=Messages)
    """All that was said of late."""
    rows_wanted: ShowRows | None = None
    """Rows another pane sent to the data pane; the data pane takes it and sets None."""
    columns: tuple[str, ...] = ()
    """Names of the columns after the recipe, as far as known."""
    problems: int | None = None
    """How many problems the data pane knows, hints apart; None before it looked."""
    goal_line: str = ""
    """The setting on which the goal pane puts its cursor when it is next shown, as a dotted path."""
    draft: Draft | None = None
    """A project that is proposed and not made yet."""
    built: Built | None = None
    """The snapshot and split last made or found in this session."""
    built_of: Asked | None = None
    """What they were made of; None: of the project as it stands."""
    checked: Checked | None = None
    """The check that was last made or recalled."""
    choice: Choice | None = None
    """What a trial of the families said last."""
    choice_of: Asked | None = None
    """What it was tried on; None: the project as it stands."""
    seen: Seen = field(default_factory=Seen)
    """What was last seen of the runs."""
    reviews: dict[str, ReviewView | None] = field(default_factory=dict)
    """By run: what its test set said; None when it was never opened."""
    run_wanted: str = ""
    """The run that is shown; the newest, if empty."""
    overlay_wanted: str = ""
    log_wanted: bool = False
    checkpoints_wanted: bool = False
    _listeners: list[Listener] = field(default_factory=list)
    _client: DataClient | None = None
    _watcher: Watcher | None = None
    _cancelled: threading.Event | None = None
    _unreadable: str = ""
    """Why project.toml could last not be read."""
    _told_of: str = ""
    """The run that the last notice is of, where it ends with it."""
    _standing: tuple[str, float] = ("", 0.0)
    """The notice that was last seen to stand, and since when."""
    _jobs: int = 0
    """How many were begun; the newest is the one that is shown."""
    code: Standing | None = None
    """How the code of the project's own model stands, as last looked at; None before, or where there is none."""
    again: Callable[[], None] = lambda: None
    """Does once more what was asked for in the background and failed last."""
    measured: Asked | None = None
    """What the families were last tried on, or were about to be, since the project was opened."""
    vitals: Vitals | None = field(default_factory=Vitals)
    """What reads how busy the machine is; None shows nothing of it."""

    # ── who listens ──

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Tell `listener` of every change, on the face's thread. Returns what takes it off again."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def changed(self, topic: str) -> None:
        """Tell every listener that something of a topic changed."""
        self.messages.take(self.error, self.notice, warns=self.notice == self.warned)
        for listener in tuple(self._listeners):
            listener(topic)

    def tell(self, notice: str, *, of: str = "") -> None:
        """Show a person what they should hear; it stays until the next key, or for some seconds.

        What is said `of` a run holds only while that run lives.
        """
        self.notice, self._told_of = notice, of
        self.changed("notice")

    def warn(self, notice: str) -> None:
        """Show a person bad news in the same way."""
        self.warned = notice
        self.tell(notice)

    def hush(self) -> None:
        """Take back what was said last: it hides nothing of what the next key says."""
        self.error, self.notice, self._told_of = None, "", ""
        self.messages.take(None, "")

    def fade(self) -> None:
        """Take back a notice that stood long enough to be read. The face asks this now and then."""
        now = time.monotonic()
        if self.notice != self._standing[0]:
            self._standing = self.notice, now
        elif self.notice and now - self._standing[1] >= NOTICE_SECONDS:
            self.notice = ""
            self.changed("notice")

    def failed(self, error: EpochalError) -> None:
        """Show an error to the person."""
        self.error = error
        self.changed("error")

    # ── the project ──

    @property
    def project(self) -> Project:
        """What is decided now. Raises RuntimeError before a project is opened."""
        if self.file is None:
            raise RuntimeError("no project is open")
        return self.file.project

    @property
    def document(self) -> Mapping[str, Any]:
        """The project as requests to the data host carry it."""
        return to_document(self.project)

    @property
    def data(self) -> DataClient:
        """The data host's client, started when first wanted."""
        if self._client is None:
            from epochal.workbench.data_client import DataClient  # the child starts only when wanted

            self._client = DataClient()
        return self._client

    def open(self, folder: Path) -> None:
        """Open a project folder. Raises EpochalError when it cannot be read."""
        from epochal.project.discover import remember_project
        from epochal.project.file import ProjectFile  # tomlkit is wanted only with a project

        self.file = ProjectFile.open(folder)
        self.folder = Path(folder).absolute()
        self.built = self.choice = self.checked = self.code = None
        self.built_of = self.choice_of = self.measured = None
        self.columns = ()
        self.reviews, self.seen, self.run_wanted = {}, Seen(), ""
        remember_project(self.folder)
        self.look(fresh=True)
        self.changed("project")

    def shut(self) -> None:
        """Let go of the project."""
        self.file = self.folder = self.built = self.choice = self.checked = self.code = None
        self.reviews, self.seen, self.run_wanted = {}, Seen(), ""

    def built_now(self, built: Built, of: Asked) -> None:
        """A snapshot and a split are ready, made of what the project asked."""
        self.built, self.built_of = built, of
        self.changed("ledger")

    @property
    def built_here(self) -> Built | None:
        """The snapshot and split, unless the project asks for others by now."""
        return self.built if self._holds(self.built_of) else None

    @property
    def choice_here(self) -> Choice | None:
        """What a trial of the families said, unless the project asks for something else by now."""
        return self.choice if self._holds(self.choice_of) else None

    def _holds(self, of: Asked | None) -> bool:
        return of is None or (self.file is not None and of == asked_of(self.project))

    def refresh(self) -> None:
        """See what another workbench or an editor changed in the project's files."""
        if self.file is None:
            return
        try:
            changed = self.file.refresh()
        except EpochalError as error:
            if self.error is None or self.error.what != error.what:
                self.failed(error)
            self._unreadable = error.what
            return
        if self.error is not None and self.error.what == self._unreadable:
            self.error, changed = None, True  # whoever broke the file has mended it
        if changed:
            self.changed("project")

    # ── its runs ──

    @property
    def info(self) -> RunInfo | None:
        """The run that is shown."""
        return self.seen.info()

    def look(self, *, fresh: bool = False) -> None:
        """Ask for a look at the runs; what is seen is told under the topic "runs"."""
        if self.folder is None:
            return
        if self._watcher is None:
            self._watcher = Watcher(self._deliver_seen, self.vitals)
            self._watcher.start()
        wish = Wish(
            folder=self.folder,
            run=self.run_wanted,
            overlay=self.overlay_wanted,
            log=self.log_wanted,
            checkpoints=self.checkpoints_wanted,
            fresh=fresh,
        )
        self._watcher.ask(wish)

    def _deliver_seen(self, seen: Seen) -> None:
        self.deliver(lambda: self._saw(seen))

    def _saw(self, seen: Seen) -> None:
        if seen != self.seen:
            self.seen = seen
            if self._told_of and not any(r.alive for r in seen.runs if r.name == self._told_of):
                self.notice, self._told_of = "", ""
            self.changed("runs")

    @staticmethod
    def lives_here(info: RunInfo) -> bool:
        """Whether a run's training thread is in this very process."""
        return info.pid == os.getpid()

    def show_run(self, name: str) -> None:
        """Show another run."""
        self.run_wanted = name
        self.look(fresh=True)

    def change(self, project: Project, why: str) -> bool:
        """Save a decision; on disk before it is shown. False, with `error` set, when it could not be."""
        return self._decide(lambda file: file.change(project, why))

    def set(self, dotted: str, value: Any, why: str = "") -> bool:
        """Save one setting by its dotted path."""

        def decide(file: ProjectFile) -> None:
            file.change(with_setting(file.project, dotted, value), why or f"set {dotted}")

        return self._decide(decide)

    def add_step(self, step: Step, why: str = "") -> bool:
        """Append a step to the recipe."""
        return self.change(replace(self.project, clean=(*self.project.clean, step)), why or f"add {step.op}")

    def undo(self) -> bool:
        """Take back the last decision."""
        return self._decide(lambda file: self._told("taken back", file.undo(), "there is nothing to take back"))

    def redo(self) -> bool:
        """Do again what was taken back."""
        return self._decide(lambda file: self._told("done again", file.redo(), "there is nothing to do again"))

    def _told(self, done: str, why: str | None, nothing: str) -> None:
        self.notice, self._told_of = f"{done}: {why}" if why else nothing, ""

    def _decide(self, decide: Callable[[ProjectFile], object]) -> bool:
        if self.file is None:
            return False
        self.error = None
        before = self.file.project
        try:
            decide(self.file)
        except EpochalError as error:
            self.failed(error)
            return False
        for dropped in (said_of_change(before, self.file.project), said_of_idle(before, self.file.project)):
            if dropped:
                self.notice = f"{self.notice}; {dropped}" if self.notice else dropped
        self.changed("project")
        return True

    # ── work that blocks ──

    def background(
        self,
        name: str,
        text: str,
        work: Callable[[Progress], T],
        done: Callable[[T], None],
        *,
        cancelled: threading.Event | None = None,
        failed: Callable[[EpochalError], None] | None = None,
    ) -> None:
        """Run `work` on a thread of its own; `done` gets its result on the face's thread, errors go to `failed` there.

        Without `failed` they are shown and no more.

        Setting `cancelled` makes `work` end soon; with it, `cancel` can. What was under way and can be cancelled is:
        a person who starts something new waits for it alone.
        """
        given_up = _LONG.get(self.job.name) if self.job is not None else None
        if self.cancel() and given_up and given_up != _LONG.get(name):
            self.tell(f"{given_up} gave way to this")
        self._jobs += 1
        number = self._jobs
        self.job = Job(name=name, text=text)
        self.error = None
        self._cancelled = cancelled
        self.changed("job")

        def report(said: str, fraction: float | None = None) -> None:
            self.deliver(lambda: self._progress(number, Job(name=name, text=said or text, fraction=fraction)))

        def fails(error: EpochalError) -> None:
            self.again = lambda: self.background(name, text, work, done, cancelled=cancelled, failed=failed)
            (failed or self.failed)(error)

        def run() -> None:
            try:
                result = work(report)
            except Cancelled as error:
                words = error.what
                self.deliver(lambda: self._called_off(number, words))
            except EpochalError as error:
                failure = error
                self.deliver(lambda: self._ended(number, lambda: fails(failure)))
            except Exception as error:  # noqa: BLE001 - an edge: a thread has no caller to raise to
                unexpected = EpochalError(
                    f"something unforeseen happened: {error!r}",
                    where=name,
                    fix="the project is safe; please report this",
                    code="bug",
                )
                self.deliver(lambda: self._ended(number, lambda: self.failed(unexpected)))
            else:
                self.deliver(lambda: self._ended(number, lambda: done(result)))

        threading.Thread(target=run, name=f"epochal-{name}", daemon=True).start()

    def cancel(self) -> bool:
        """Cancel what is under way; False when nothing is that can be."""
        if self.job is None or self._cancelled is None:
            return False
        self._cancelled.set()
        return True

    def _progress(self, number: int, job: Job) -> None:
        if self.job is not None and self._jobs == number:
            self.job = job
            self.changed("job")

    def _ended(self, number: int, then: Callable[[], None]) -> None:
        if self._jobs == number:
            self.job = None
        then()
        self.changed("job")

    def _called_off(self, number: int, words: str) -> None:
        if self._jobs == number:  # of what gave way to something newer there is nothing to say
            self.job = None
            self.notice, self._told_of = words, ""
        self.changed("job")

    def close(self) -> None:
        """Let go of the data host and of the watcher. Runs in their own processes go on; those in this one checkpoint and stop."""
        here = sys.modules.get("epochal.runs.thread_host")
        if here is not None:
            here.leave()
        if self._watcher is not None:
            self._watcher.end()
            self._watcher = None
        if self._client is not None:
            self._client.close()
            self._client = None
