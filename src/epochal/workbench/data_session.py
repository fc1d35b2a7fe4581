"""The data pane without a screen: which rows are looked at, what is known of them, what is decided about them.

Requests go to the data host in slots: a newer one of a slot cancels the older, and answers that come late are dropped,
so the pane always shows the last thing that was asked for. Everything here runs on the face's thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from epochal.core.errors import Cancelled, DataHostError, EpochalError
from epochal.data import protocol
from epochal.data.identify import why_no_key
from epochal.workbench.data_recipe import Recipe
from epochal.workbench.data_rows import Rows
from epochal.workbench.session import Job, Session
from epochal.workbench.views.data import Query


if TYPE_CHECKING:
    from epochal.core.settings import Project
    from epochal.core.steps import Step


Problems = tuple[protocol.Problem, ...]

_AWAITED = ("view", "find", "cell", "row", "facets", "rejects", "sql", "count", "key")
"""What a person waits for, and can cancel; figures beside the rows are read on meanwhile."""

_BESIDE = ("ledger", "problems")


@dataclass
class _Slot:
    """One kind of request, of which only the newest counts."""

    ticket: int = 0
    request: int | None = None
    since: float = 0.0


@dataclass
class DataSession:
    """One person's look at the rows of one project."""

    session: Session
    heard: Callable[[str], None]
    """Told what changed: view, head, profile, ledger, problems, selection, busy, said."""
    view: protocol.View | None = None
    head: protocol.Head | None = None
    """The first rows as the file has them, shown until the view is there."""
    ledger: Mapping[str, Any] | None = None
    problems: Problems | None = None
    selected: set[int] = field(default_factory=set)
    """Import numbers of the selected rows."""
    hidden: frozenset[str] = frozenset()
    widths: dict[str, int] = field(default_factory=dict)
    said: str = ""
    """What the last key found or did, in words."""
    failure: EpochalError | None = None
    """Why the rows cannot be shown, when they cannot."""
    patience: float = 0.3
    """Seconds for which nothing is cancelled: it is done before anyone can see that it is under way."""
    stopped: bool = False
    """Whether account and problems were cancelled: they come with the next change."""
    _queries: list[Query] = field(default_factory=lambda: [Query()])
    _slots: dict[str, _Slot] = field(default_factory=dict)
    _profiles: dict[tuple[str, str], protocol.Profile] = field(default_factory=dict)
    _shown_queries: tuple[Query, ...] = (Query(),)
    """The queries that led to the view that is shown."""
    _accounted: Mapping[str, Any] | None = None
    """The project that account and problems are asked for."""
    _project: Project | None = None
    _again: bool = False
    """Whether the view is asked for a second time because the host ended."""

    def __post_init__(self) -> None:
        self.opened_folder = self.session.folder
        self.rows = Rows(self)
        self.recipe = Recipe(self.session)

    # ── asking ──

    def ask(
        self,
        slot: str,
        request: protocol.Request,
        answered: Callable[[Any], None],
        failed: Callable[[EpochalError], None] | None = None,
    ) -> None:
        """Ask the data host; only the newest request of a slot is answered. Errors go to `failed`, else to the person."""
        place = self._slots.setdefault(slot, _Slot())
        self.drop(slot)
        ticket, place.since = place.ticket, time.monotonic()

        def deliver(call: Callable[[], None]) -> None:
            self.session.deliver(call)

        def current(then: Callable[[], None]) -> Callable[[], None]:
            def run() -> None:
                if place.ticket == ticket:
                    then()

            return run

        def fail(error: EpochalError) -> None:
            place.request = None
            self._idle(slot)
            if isinstance(error, Cancelled) or error.error_code == Cancelled.code:
                return
            (failed or self.session.failed)(error)

        def answer(body: Any) -> None:
            place.request = None
            self._idle(slot)
            answered(body)

        place.request = self.session.data.submit(
            request,
            lambda body: deliver(current(lambda: answer(body))),
            lambda error: deliver(current(lambda: fail(error))),
            lambda text, fraction: deliver(current(lambda: self._busy(slot, fraction, text))),
        )

    def drop(self, slot: str) -> bool:
        """Cancel what a slot waits for. False when it waits for nothing."""
        place = self._slots.setdefault(slot, _Slot())
        place.ticket += 1
        waiting, place.request = place.request, None
        if waiting is not None:
            self.session.data.cancel(waiting)
            self._idle(slot)
        return waiting is not None

    def cancel(self, *, beside: bool = True) -> bool:
        """Cancel what a person waits for, else (`beside`) the figures beside the rows. False when there is nothing."""
        dropped = [slot for slot in _AWAITED if self._waits_long(slot) and self.drop(slot)]
        if "view" in dropped:
            self._stay()
        elif dropped or self._cancel_job():
            self.say("stopped")
        elif beside and any([self._waits_long(slot) and self.drop(slot) for slot in _BESIDE]):  # noqa: C419 - each is dropped
            self.stopped, self._accounted = True, None
            self.say("stopped looking at the whole data; the next sort or step looks again")
        else:
            return False
        return True

    def _cancel_job(self) -> bool:
        job = self.session.job
        return job is not None and not job.name.startswith("data-") and self.session.cancel()

    def _waits_long(self, slot: str) -> bool:
        return self.waits(slot) and time.monotonic() - self._slots[slot].since >= self.patience

    def _stay(self) -> None:
        """Show on what is shown: the rows that were asked for are not wanted any more."""
        if self.view is None:
            self.failure = EpochalError(
                "reading was stopped", fix="go to another pane and back to read on", code="stopped"
            )
            self.heard("view")
            self.say("reading was stopped: go to another pane and back (1, 2) to read on")
            return
        same = self._shown_queries == tuple(self._queries)
        self._queries = list(self._shown_queries)
        self.heard("columns")
        self.say(
            "stopped: these are the rows before the last change" if same else "stopped: the rows stay as they were"
        )

    def waits(self, slot: str) -> bool:
        """Whether a slot waits for an answer."""
        return slot in self._slots and self._slots[slot].request is not None

    def _busy(self, slot: str, fraction: float | None, text: str) -> None:
        self.session.job = Job(name=f"data-{slot}", text=text, fraction=fraction)
        self.session.changed("job")

    def _idle(self, slot: str) -> None:
        if self.session.job is not None and self.session.job.name == f"data-{slot}":
            self.session.job = None
            self.session.changed("job")

    def say(self, text: str) -> None:
        """Tell the person what a key found or did."""
        self.said = text
        self.session.messages.add(text)
        self.heard("said")

    # ── which rows ──

    @property
    def query(self) -> Query:
        """Which rows are looked at."""
        return self._queries[-1]

    @property
    def depth(self) -> int:
        """How many views lie under this one."""
        return len(self._queries) - 1

    @property
    def folder(self) -> str:
        """The project's folder, as requests name it."""
        return str(self.session.folder)

    @property
    def column_names(self) -> tuple[str, ...]:
        """The view's columns."""
        return tuple(c.name for c in self.view.columns) if self.view is not None else ()

    def start(self) -> None:
        """Show what can be shown at once, then the view, the account and the problems."""
        self._project = self.session.project
        if self.view is None and self.head is None and self._project.sources:
            source = protocol.ReadHead(folder=self.folder, source=self.session.document["source"][0])
            self.ask("head", source, self._head, lambda _error: None)
        self.reopen()

    def _head(self, head: protocol.Head) -> None:
        if self.view is None:
            self.head = head
            self.heard("head")

    def project_changed(self) -> None:
        """The project is another one now: look again at what that touches."""
        before, now = self._project, self.session.project
        self._project = now
        if before is None or (before.sources, before.clean) != (now.sources, now.clean) or self.failure is not None:
            self.reopen()
        elif before != now:
            self.heard("columns")
            self._account()

    def look(self, query: Query) -> None:
        """Look at other rows; `back` returns to these."""
        self._queries.append(query)
        self.reopen()

    def narrow(self, column: str, op: str, value: Any, title: str) -> None:
        """Look at those of these rows where a condition holds."""
        here = self.query
        joined = f"{here.title} and {title}" if here.title else title
        self.look(replace(here, where=(*here.where, (column, op, value)), title=joined))

    def back(self) -> bool:
        """Look at the rows that were looked at before. False when these are all rows."""
        if len(self._queries) == 1:
            return False
        self._queries.pop()
        self.reopen()
        return True

    def sort(self, column: str, *, descending: bool, add: bool = False) -> None:
        """Sort by a column, before or after what sorts already; the same once more takes it away."""
        wanted = (column, descending)
        kept = tuple(s for s in self.query.sort if s[0] != column) if add else ()
        sort = kept if wanted in self.query.sort else (*kept, wanted)
        self._queries[-1] = replace(self.query, sort=sort)
        self.reopen()

    def unsort(self) -> None:
        """Back to the order of the source."""
        self._queries[-1] = replace(self.query, sort=())
        self.reopen()

    def reopen(self) -> None:
        """Open the view anew: the recipe or the query changed. The old rows stay until the new ones are there."""
        self.failure = None
        self.heard("busy")
        self.ask("view", self.request_for(self.query), self._opened, self._not_opened)

    def request_for(self, query: Query) -> protocol.OpenView:
        """The request that opens a view of these rows."""
        return protocol.OpenView(
            folder=self.folder,
            document=self.session.document,
            steps=query.steps,
            sort=query.sort,
            where=query.where,
            eids=query.eids,
            keys=query.keys,
            part=query.part,
        )

    def _opened(self, view: protocol.View) -> None:
        self.view, self.failure, self._again = view, None, False
        self._shown_queries = tuple(self._queries)
        self._profiles.clear()
        self.heard("view")
        if self._accounted != self.session.document:
            self._account()

    def _not_opened(self, error: EpochalError) -> None:
        if isinstance(error, DataHostError) and not self._again:
            self._again = True
            self.say("the data process ended and was started again; nothing is lost")
            self.reopen()
            return
        if len(self._queries) > 1 or self._queries[-1] != Query():
            # A column that a sort or a condition names may be gone with the step that made it.
            self._queries = [Query()]
            self.say(f"{error.what}: all rows are shown")
            self.reopen()
            return
        self.failure = error
        self.heard("view")
        self.session.failed(error)

    def _account(self) -> None:
        document = self.session.document
        self._accounted, self.stopped = document, False
        self.ask("ledger", protocol.ReadLedger(folder=self.folder, document=document), self._ledger, self._no_ledger)
        self.ask(
            "problems", protocol.FindProblems(folder=self.folder, document=document), self._problems, self._no_problems
        )

    def _ledger(self, ledger: Mapping[str, Any]) -> None:
        self.ledger = ledger
        self.heard("ledger")

    def _no_ledger(self, error: EpochalError) -> None:
        if isinstance(error, DataHostError):
            self._accounted = None  # the next look at rows tries again
        # Without a target there is no split yet, hence no account: the panel says nothing rather than something wrong.
        self.ledger = None
        self.heard("ledger")

    def _no_problems(self, _error: EpochalError) -> None:
        self.stopped, self._accounted = True, None
        self.heard("problems")

    def _problems(self, body: Mapping[str, Any]) -> None:
        self.problems = tuple(protocol.Problem(**p) for p in body["problems"])
        self.session.problems = sum(p.severity != "hint" for p in self.problems)
        self.heard("problems")
        self.session.changed("problems")

    # ── profiles ──

    def profile(self, column: str) -> protocol.Profile | None:
        """What is known of a column of this view."""
        return self._profiles.get((self.view.token, column)) if self.view is not None else None

    def want_profile(self, column: str, *, exact: bool = False) -> None:
        """Ask for a column's profile, unless it is known as exactly as that."""
        known = self.profile(column)
        if self.view is None or (known is not None and (known.exact or not exact)):
            return
        token = self.view.token

        def arrived(profile: protocol.Profile) -> None:
            self._profiles[token, column] = profile
            self.heard("profile")

        request = protocol.ReadProfile(token=token, column=column, exact=exact)
        self.ask("profile", request, arrived, lambda _error: None)

    def identifies(self, column: str, told: Callable[[str], None]) -> None:
        """Say why a column of all rows after the recipe cannot be their key; nothing when it can."""

        def profiled(profile: protocol.Profile) -> None:
            told(why_no_key(column, rows=profile.rows, missing=profile.missing, values=profile.distinct))

        def opened(view: protocol.View) -> None:
            self.ask("key", protocol.ReadProfile(token=view.token, column=column, exact=True), profiled)

        self.ask("key", self.request_for(Query()), opened)

    # ── trying a step ──

    def count(
        self,
        step: Step,
        at: int | None,
        counted: Callable[[protocol.Counted], None],
        failed: Callable[[EpochalError], None],
    ) -> None:
        """What a step would do at its place in the recipe (the end, if None), without doing it.

        `at` is the place of a step that is edited: it is counted as if the old one were not there.
        """
        document = dict(self.session.document)
        if at is not None and at < len(self.recipe.steps):
            document["clean"] = [s.as_dict() for n, s in enumerate(self.recipe.steps) if n != at]
        request = protocol.CountStep(folder=self.folder, document=document, step=step.as_dict(), at=at)
        self.ask("count", request, counted, failed)
