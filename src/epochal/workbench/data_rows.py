"""Finding and selecting rows of a view, seen or not: what a key does is true of the whole view, never of a page."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from epochal.core.errors import EpochalError
from epochal.data import protocol
from epochal.show import counted
from epochal.workbench.views.data import Query, number


if TYPE_CHECKING:
    from epochal.workbench.data_client import DataClient
    from epochal.workbench.data_session import DataSession


MOST_SELECTED = 100_000
"""Rows that one selection may hold; more are filtered, not selected."""

MOST_NAMED = 1_000
"""Rows that one step may leave out by name: project.toml is read by people."""

_LOOKED = 2_000
"""Rows looked through at once for a selected one: as many as a page may hold."""

_CHUNK = 10_000
"""Rows whose numbers are read at once."""


@dataclass
class Rows:
    """The rows of what a data session looks at."""

    data: DataSession
    pattern: str = ""
    """What was searched for last."""
    pattern_columns: tuple[str, ...] = ()

    def find(self, start: int, *, backwards: bool, found: Callable[[int, str], None]) -> None:
        """Find the next row that matches the last pattern, from the row after (or before) `start`."""
        if not self.pattern:
            self.data.say("nothing was searched for yet: / searches this column, g/ all of them")
            return
        self._find(start, found, pattern=self.pattern, columns=self.pattern_columns, backwards=backwards, wrap=True)

    def seek(self, start: int, column: str, what: str, *, backwards: bool, found: Callable[[int, str], None]) -> None:
        """Find the next row where the column is "missing" or "different" from the row at `start`."""
        self._find(start, found, seek=what, columns=(column,), backwards=backwards)

    def _find(self, start: int, found: Callable[[int, str], None], *, wrap: bool = False, **what: Any) -> None:
        """Find from `start` on; with `wrap`, from the other end as well when nothing more is found."""
        view, backwards = self.data.view, what["backwards"]
        if view is None:
            return

        def answered(body: Mapping[str, Any]) -> None:
            if body["row"] is not None:
                found(int(body["row"]), str(body["column"] or ""))
            elif wrap:
                end = view.rows if backwards else -1
                self.data.ask("find", protocol.FindRow(token=view.token, start=end, **what), wrapped)
            else:
                sought = {"missing": "missing value", "different": "other value"}[what["seek"]]
                self.data.say(f"no {sought} {'above' if backwards else 'below'}")

        def wrapped(body: Mapping[str, Any]) -> None:
            row = body["row"]
            if row is None:
                self.data.say(f"no row matches {what['pattern']!r}{self._where(what['columns'])}")
                return
            found(int(row), str(body["column"] or ""))
            ends = "from the last row on" if backwards else "from the first row on"
            self.data.say("no other row matches" if row == start else f"found {ends}")

        self.data.ask("find", protocol.FindRow(token=view.token, start=start, **what), answered)

    def _where(self, columns: Sequence[str]) -> str:
        titles = {c.name: c.title for c in self.data.view.columns} if self.data.view is not None else {}
        return f" in {titles.get(columns[0], '')}: g/ looks in all columns" if columns else " in any column"

    def select(self, eids: Sequence[int], *, on: bool | None = True) -> None:
        """Select rows (on), unselect them (off), or turn each around (None)."""
        for eid in eids:
            if on or (on is None and eid not in self.data.selected):
                self.data.selected.add(eid)
            else:
                self.data.selected.discard(eid)
        self.data.heard("selection")

    def select_none(self) -> None:
        """Unselect everything, in this view and elsewhere."""
        self.data.selected.clear()
        self.data.heard("selection")

    def select_where(
        self, alternatives: tuple[tuple[tuple[str, str, Any], ...], ...], title: str, *, on: bool | None = True
    ) -> None:
        """Select (or unselect, or turn around) the rows of this view, seen or not, where any of the alternatives holds.

        An alternative is conditions that hold together; one without conditions is every row.
        """
        client, requests = self.data.session.data, [self._request(where) for where in alternatives]
        cancelled = threading.Event()

        def collect(_report: object) -> list[int]:
            eids: dict[int, None] = {}
            for request in requests:
                view = client.ask(request, cancelled=cancelled)
                if view.rows > MOST_SELECTED:
                    raise EpochalError(
                        f"{number(view.rows)} rows match; a selection holds at most {number(MOST_SELECTED)}",
                        fix="F looks at rows by value; m w leaves rows out by a condition",
                        code="selection",
                    )
                for page in _pages(client, view, cancelled):
                    eids.update(dict.fromkeys(page.eids))
            return list(eids)

        def collected(eids: list[int]) -> None:
            self.select(eids, on=on)
            self.data.say(f"{counted(len(eids), 'row')} {title}; {number(len(self.data.selected))} selected")

        self.data.session.background("select", "selecting rows", collect, collected, cancelled=cancelled)

    def _request(self, where: tuple[tuple[str, str, Any], ...]) -> protocol.OpenView:
        here = self.data.query
        return replace(self.data.request_for(here), where=(*here.where, *where), sort=())

    def keys_of_selected(self, then: Callable[[list[str]], None]) -> None:
        """Hand on the stable keys of the selected rows."""
        if not self.data.selected:
            self.data.say("no row is selected: s selects, d leaves out the row under the cursor")
            return
        if len(self.data.selected) > MOST_NAMED:
            self.data.say(f"a step names at most {number(MOST_NAMED)} rows: m w leaves rows out by a condition")
            return
        request = self.data.request_for(Query(eids=tuple(sorted(self.data.selected))))
        client = self.data.session.data

        def collect(_report: object) -> list[str]:
            return [key for page in _pages(client, client.ask(request)) for key in page.keys]

        self.data.session.background("select", "naming the selected rows", collect, then)

    def find_selected(self, start: int, *, backwards: bool, found: Callable[[int, str], None]) -> None:
        """Find the next selected row. Rows of an unsorted view stand in import order, so a few pages tell where."""
        if self.data.view is None or not self.data.selected:
            self.data.say("no row is selected: s selects")
            return
        if self.data.query.sort:
            self._find_selected_sorted(start, backwards=backwards, found=found)
            return
        client, view, wanted = self.data.session.data, self.data.view, sorted(self.data.selected)

        def eid_at(row: int) -> int:
            page = client.ask(protocol.ReadPage(token=view.token, first=row, count=1, columns=(), cut=1))
            return int(page.eids[0])

        def look(_report: object) -> int | None:
            here = eid_at(start)
            ordered = [e for e in reversed(wanted) if e < here] if backwards else [e for e in wanted if e > here]
            for eid in ordered:
                low, high = 0, view.rows - 1
                while low < high:
                    middle = (low + high) // 2
                    low, high = (low, middle) if eid_at(middle) >= eid else (middle + 1, high)
                if eid_at(low) == eid:
                    return low
            return None

        self._seen_or_said(look, found, threading.Event(), backwards=backwards)

    def _seen_or_said(
        self,
        look: Callable[[object], int | None],
        found: Callable[[int, str], None],
        cancelled: threading.Event,
        *,
        backwards: bool,
    ) -> None:
        def looked(row: int | None) -> None:
            if row is None:
                self.data.say(f"no selected row {'above' if backwards else 'below'}")
            else:
                found(row, "")

        self.data.session.background("find", "finding the next selected row", look, looked, cancelled=cancelled)

    def _find_selected_sorted(self, start: int, *, backwards: bool, found: Callable[[int, str], None]) -> None:
        """In a sorted view rows stand in no order of numbers: they are looked through from the cursor on."""
        client, view, selected = self.data.session.data, self.data.view, frozenset(self.data.selected)
        cancelled = threading.Event()
        assert view is not None  # noqa: S101 - the caller looked

        def look(_report: object) -> int | None:
            at = start - 1 if backwards else start + 1
            while 0 <= at < view.rows:
                first = max(0, at - _LOOKED + 1) if backwards else at
                count = at - first + 1 if backwards else _LOOKED
                wish = protocol.ReadPage(token=view.token, first=first, count=count, columns=(), cut=1)
                page = client.ask(wish, cancelled=cancelled)
                hits = [first + n for n, eid in enumerate(page.eids) if eid in selected]
                if hits:
                    return hits[-1] if backwards else hits[0]
                at = first - 1 if backwards else first + len(page.eids)
            return None

        self._seen_or_said(look, found, cancelled, backwards=backwards)

    def show_selected(self) -> None:
        """Look at the selected rows alone."""
        if not self.data.selected:
            self.data.say("no row is selected: s selects, , selects all with this value")
            return
        self.data.look(Query(title="selected", eids=tuple(sorted(self.data.selected)), sort=self.data.query.sort))


def _pages(
    client: DataClient, view: protocol.View, cancelled: threading.Event | None = None
) -> Iterator[protocol.Page]:
    """All pages of a view without a column: only which rows they are."""
    first = 0
    while first < view.rows:
        page: protocol.Page = client.ask(
            protocol.ReadPage(token=view.token, first=first, count=_CHUNK, columns=(), cut=1), cancelled=cancelled
        )
        if not page.eids:
            return
        first += len(page.eids)
        yield page
