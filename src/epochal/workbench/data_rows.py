"""Finding and selecting rows of a view, seen or not: what a key does is true of the whole view, never of a page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from epochal.core.errors import EpochalError
from epochal.data import protocol
from epochal.workbench.views.data import Query, number, plural


if TYPE_CHECKING:
    from epochal.workbench.data_client import DataClient
    from epochal.workbench.data_session import DataSession


MOST_SELECTED = 100_000
"""Rows that one selection may hold; more are filtered, not selected."""

MOST_NAMED = 1_000
"""Rows that one step may leave out by name: project.toml is read by people."""

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
        self._find(start, found, pattern=self.pattern, columns=self.pattern_columns, backwards=backwards)

    def seek(self, start: int, column: str, what: str, *, backwards: bool, found: Callable[[int, str], None]) -> None:
        """Find the next row where the column is "missing" or "different" from the row at `start`."""
        self._find(start, found, seek=what, columns=(column,), backwards=backwards)

    def _find(self, start: int, found: Callable[[int, str], None], **what: Any) -> None:
        if self.data.view is None:
            return

        def answered(body: Mapping[str, Any]) -> None:
            if body["row"] is None:
                side = "above" if what["backwards"] else "below"
                sought = what.get("pattern") or {"missing": "missing value", "different": "other value"}[what["seek"]]
                self.data.say(f"no {sought if 'seek' in what else f'row with {sought!r}'} {side}")
            else:
                found(int(body["row"]), str(body["column"] or ""))

        self.data.ask("find", protocol.FindRow(token=self.data.view.token, start=start, **what), answered)

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

        def collect(_report: object) -> list[int]:
            eids: dict[int, None] = {}
            for request in requests:
                view = client.ask(request)
                if view.rows > MOST_SELECTED:
                    raise EpochalError(
                        f"{number(view.rows)} rows match; a selection holds at most {number(MOST_SELECTED)}",
                        fix="F looks at rows by value; m w leaves rows out by a condition",
                        code="selection",
                    )
                for page in _pages(client, view):
                    eids.update(dict.fromkeys(page.eids))
            return list(eids)

        def collected(eids: list[int]) -> None:
            self.select(eids, on=on)
            self.data.say(f"{plural(len(eids), 'row')} {title}; {number(len(self.data.selected))} selected")

        self.data.session.background("select", "selecting rows", collect, collected)

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
            self.data.say('in a sorted view " shows the selected rows together')
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

        def looked(row: int | None) -> None:
            if row is None:
                self.data.say(f"no selected row {'above' if backwards else 'below'}")
            else:
                found(row, "")

        self.data.session.background("find", "finding the next selected row", look, looked)

    def show_selected(self) -> None:
        """Look at the selected rows alone."""
        if not self.data.selected:
            self.data.say("no row is selected: s selects, , selects all with this value")
            return
        self.data.look(Query(title="selected", eids=tuple(sorted(self.data.selected)), sort=self.data.query.sort))


def _pages(client: DataClient, view: protocol.View) -> Iterator[protocol.Page]:
    """All pages of a view without a column: only which rows they are."""
    first = 0
    while first < view.rows:
        page: protocol.Page = client.ask(
            protocol.ReadPage(token=view.token, first=first, count=_CHUNK, columns=(), cut=1)
        )
        if not page.eids:
            return
        first += len(page.eids)
        yield page
