"""Pages of rows for the grid: asked for when seen, one at a time, the last wish first, the oldest forgotten.

No widget is named here: the whole logic of paging is tested without a screen. All calls happen on the face's thread.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from epochal.data.protocol import Page
from epochal.show import cell_width


PAGE = 128
"""Rows of a page; pages begin at multiples of it."""

KEPT = 64
"""Pages kept, the least recently seen ones go first."""


MOST_DECIMALS = 6
"""Numbers with more are not lined up by their points."""


def decimals(text: str) -> int:
    """Cells that a number takes from its decimal point on; 0 for what has none."""
    _whole, point, rest = text.partition(".")
    return len(rest) + 1 if point and rest.isdecimal() and len(rest) <= MOST_DECIMALS else 0


class PageSource(Protocol):
    """Where pages come from."""

    def ask(self, first: int, count: int, columns: tuple[str, ...], answer: Callable[[Page], None]) -> None:
        """Ask for rows `first` … of these columns; `answer` is called later, or at once, on the face's thread."""

    def cancel(self) -> None:
        """The page asked for last is no longer wanted; its answer need not come."""


@dataclass
class MemoryPages:
    """A page source over rows that are already here: the head of a file, rejects, tests."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str | None]]

    def ask(self, first: int, count: int, columns: tuple[str, ...], answer: Callable[[Page], None]) -> None:
        """Answer at once."""
        places = [list(self.columns).index(name) for name in columns]
        rows = self.rows[first : first + count]
        answer(
            Page(
                token="",
                first=first,
                eids=tuple(range(first, first + len(rows))),
                keys=tuple(str(n) for n in range(first, first + len(rows))),
                rows=tuple(tuple(row[place] for place in places) for row in rows),
            )
        )

    def cancel(self) -> None:
        """Nothing is ever under way."""


@dataclass
class _Loaded:
    eids: tuple[int, ...] = ()
    keys: tuple[str, ...] = ()
    cells: dict[str, tuple[str | None, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Wish:
    page: int
    columns: tuple[str, ...]


@dataclass
class Pages:
    """What is known of a view's rows, and the one request that is under way."""

    source: PageSource
    rows: int
    """Rows of the whole view."""
    arrived: Callable[[int, int], None]
    """Told the first row and the number of rows that can be drawn now."""
    asked: int = 0
    """Requests made so far."""
    fetched: int = 0
    """Rows received so far."""
    highest: int = 0
    """The largest import number received so far."""
    _pages: OrderedDict[int, _Loaded] = field(default_factory=OrderedDict)
    _decimals: dict[str, int] = field(default_factory=dict)
    _widest: dict[str, int] = field(default_factory=dict)
    _under_way: _Wish | None = None
    _ticket: int = 0
    _wishes: list[_Wish] = field(default_factory=list)

    def want(self, first: int, last: int, columns: tuple[str, ...], direction: int = 1) -> None:
        """Rows `first` to `last` (exclusive) of `columns` are on screen, and the person moves down (1) or up (-1).

        A request under way that this makes useless is cancelled: the last wish wins. The page that comes next in the
        direction of movement is fetched ahead, after what is seen.
        """
        if self.rows <= 0 or last <= first or not columns:
            return
        seen = range(first // PAGE, (min(last, self.rows) - 1) // PAGE + 1)
        for page in seen:
            if page in self._pages:
                self._pages.move_to_end(page)
        ahead = seen[-1] + 1 if direction >= 0 else seen[0] - 1
        pages = [*seen, *([ahead] if 0 <= ahead <= (self.rows - 1) // PAGE else [])]
        self._wishes = [wish for page in pages if (wish := self._wish(page, columns)) is not None]
        if self._under_way is not None:
            if any(
                self._under_way.page == w.page and set(w.columns) <= set(self._under_way.columns) for w in self._wishes
            ):
                return
            self._ticket += 1
            self._under_way = None
            self.source.cancel()
        self._ask_next()

    def _wish(self, page: int, columns: tuple[str, ...]) -> _Wish | None:
        loaded = self._pages.get(page)
        lacking = columns if loaded is None else tuple(c for c in columns if c not in loaded.cells)
        return _Wish(page, lacking) if lacking else None

    def _ask_next(self) -> None:
        while self._wishes and self._under_way is None:
            wish = self._wishes.pop(0)
            still = self._wish(wish.page, wish.columns)
            if still is None:
                continue
            self._ticket += 1
            self.asked += 1
            ticket, first = self._ticket, still.page * PAGE
            self._under_way = still
            count = min(PAGE, self.rows - first)
            self.source.ask(first, count, still.columns, partial(self._answer, ticket, still))

    def _answer(self, ticket: int, wish: _Wish, page: Page) -> None:
        if ticket != self._ticket:
            return
        self._under_way = None
        self.fetched += len(page.rows)
        loaded = self._pages.setdefault(wish.page, _Loaded())
        loaded.eids, loaded.keys = page.eids, page.keys
        self.highest = max([self.highest, *page.eids])
        turned = tuple(zip(*page.rows, strict=True)) if page.rows else ((),) * len(wish.columns)
        loaded.cells.update(zip(wish.columns, turned, strict=True))
        for column, cells in zip(wish.columns, turned, strict=True):
            there = [cell for cell in cells if cell is not None]
            self._decimals[column] = max([self.decimals(column), *map(decimals, there)])
            self._widest[column] = max([self.widest(column), *map(cell_width, there)])
        self._pages.move_to_end(wish.page)
        while len(self._pages) > KEPT:
            self._pages.popitem(last=False)
        self.arrived(page.first, len(page.rows))
        self._ask_next()

    def failed(self) -> None:
        """The request under way ended in an error: nothing is retried by itself."""
        self._under_way = None
        self._wishes = []

    def close(self) -> None:
        """Forget everything; answers that still come are ignored."""
        self._ticket += 1
        self._wishes = []
        if self._under_way is not None:
            self._under_way = None
            self.source.cancel()

    # ── reading ──

    def has(self, row: int, column: str) -> bool:
        """Whether this cell is here."""
        loaded = self._pages.get(row // PAGE)
        return loaded is not None and column in loaded.cells and row % PAGE < len(loaded.cells[column])

    def cell(self, row: int, column: str) -> str | None:
        """A cell that is here: safe text, None when missing. Raises KeyError when it is not here."""
        return self._pages[row // PAGE].cells[column][row % PAGE]

    def decimals(self, column: str) -> int:
        """Cells from the decimal point on that the column's numbers take, as far as they were seen."""
        return self._decimals.get(column, 0)

    def widest(self, column: str) -> int:
        """Cells that the column's longest value takes, as far as they were seen."""
        return self._widest.get(column, 0)

    def eid(self, row: int) -> int | None:
        """The import number of a row, None when its page is not here."""
        loaded = self._pages.get(row // PAGE)
        return loaded.eids[row % PAGE] if loaded is not None and row % PAGE < len(loaded.eids) else None

    def key(self, row: int) -> str | None:
        """The stable key of a row, None when its page is not here."""
        loaded = self._pages.get(row // PAGE)
        return loaded.keys[row % PAGE] if loaded is not None and row % PAGE < len(loaded.keys) else None
