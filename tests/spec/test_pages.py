"""Paging: only what is seen is asked for, the last wish wins, the oldest is forgotten."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from epochal.data.protocol import Page
from epochal.tui.widgets.pages import KEPT, PAGE, MemoryPages, Pages, decimals


@dataclass
class SlowSource:
    """A source whose answers come when the test says so."""

    asked: list[tuple[int, int, tuple[str, ...]]] = field(default_factory=list)
    cancelled: int = 0
    _answer: Callable[[Page], None] | None = None

    def ask(self, first: int, count: int, columns: tuple[str, ...], answer: Callable[[Page], None]) -> None:
        self.asked.append((first, count, columns))
        self._answer = answer

    def cancel(self) -> None:
        self.cancelled += 1

    def deliver(self, answer: Callable[[Page], None] | None = None) -> None:
        first, count, columns = self.asked[-1]
        rows = tuple(tuple(f"{c}{r}" for c in columns) for r in range(first, first + count))
        page = Page(
            token="",
            first=first,
            eids=tuple(range(first, first + count)),
            keys=tuple(f"k{r}" for r in range(first, first + count)),
            rows=rows,
        )
        (answer or self._answer)(page)


@pytest.fixture
def source() -> SlowSource:
    return SlowSource()


@pytest.fixture
def pages(source: SlowSource) -> Pages:
    return Pages(source, 1_000_000, lambda _first, _count: None)


class TestWhatIsAskedFor:
    def test_the_page_that_is_seen_comes_first_then_the_next_one_ahead(self, source, pages):
        pages.want(0, 40, ("a", "b"))
        source.deliver()
        assert source.asked == [(0, PAGE, ("a", "b")), (PAGE, PAGE, ("a", "b"))]

    def test_going_up_the_page_above_is_fetched_ahead(self, source, pages):
        pages.want(5 * PAGE, 5 * PAGE + 40, ("a",), direction=-1)
        source.deliver()
        assert [first for first, _count, _columns in source.asked] == [5 * PAGE, 4 * PAGE]

    def test_only_columns_that_are_not_here_are_asked_for(self, source, pages):
        pages.want(0, 40, ("a", "b"))
        source.deliver()
        source.deliver()
        pages.want(0, 40, ("b", "c"))
        assert source.asked[-1] == (0, PAGE, ("c",))

    def test_rows_that_are_here_are_not_asked_for_again(self, source, pages):
        pages.want(0, 40, ("a",))
        source.deliver()
        source.deliver()
        before = len(source.asked)
        pages.want(3, 43, ("a",))
        assert len(source.asked) == before

    def test_the_last_page_asks_only_for_the_rows_there_are(self, source):
        pages = Pages(source, PAGE + 5, lambda _first, _count: None)
        pages.want(PAGE, PAGE + 5, ("a",))
        assert source.asked == [(PAGE, 5, ("a",))]


class TestTheLastWishWins:
    def test_a_jump_cancels_what_nobody_waits_for(self, source, pages):
        pages.want(0, 40, ("a",))
        pages.want(500_000, 500_040, ("a",))
        assert source.cancelled == 1
        assert [first for first, _count, _columns in source.asked] == [0, 500_000 // PAGE * PAGE]

    def test_an_answer_that_comes_after_its_cancelling_is_not_taken(self, source, pages):
        pages.want(0, 40, ("a",))
        late = source._answer
        pages.want(500_000, 500_040, ("a",))
        source.deliver(late)
        assert not pages.has(0, "a")

    def test_many_jumps_leave_one_request_under_way(self, source, pages):
        for row in range(0, 100_000, 1_000):
            pages.want(row, row + 40, ("a",))
        source.deliver()
        assert pages.has(99_000, "a")
        assert len(source.asked) - source.cancelled == 2, "the last page, and the one ahead of it"

    def test_nothing_comes_after_the_view_was_closed(self, source, pages):
        pages.want(0, 40, ("a",))
        pages.close()
        source.deliver()
        assert not pages.has(0, "a")


class TestWhatIsKept:
    def test_the_pages_seen_longest_ago_are_forgotten(self, source, pages):
        for number in range(KEPT + 8):
            pages.want(number * PAGE, number * PAGE + 10, ("a",))
            while pages._under_way is not None:
                source.deliver()
        assert not pages.has(0, "a")
        assert pages.has((KEPT + 7) * PAGE, "a")

    def test_cells_rows_and_keys_stand_where_they_belong(self, source, pages):
        pages.want(300, 310, ("a", "b"))
        source.deliver()
        assert (pages.cell(300, "b"), pages.eid(300), pages.key(300)) == ("b300", 300, "k300")
        assert pages.eid(10_000) is None


def test_rows_in_memory_are_a_source_too():
    arrived = []
    pages = Pages(MemoryPages(("x", "y"), [("1", None), ("2", "b")]), 2, lambda *rows: arrived.append(rows))
    pages.want(0, 2, ("y",))
    assert [pages.cell(0, "y"), pages.cell(1, "y")] == [None, "b"]
    assert arrived == [(0, 2)]


@pytest.mark.parametrize(
    ("text", "cells"),
    [("18", 0), ("18.7", 2), ("0.125", 4), ("-3.5", 2), ("1e5", 0), ("1.5e5", 0), ("a.b", 0), ("", 0)],
)
def test_decimals_are_counted_with_their_point(text, cells):
    assert decimals(text) == cells
