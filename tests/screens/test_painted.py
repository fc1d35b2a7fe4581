"""Only cells that changed go over the wire."""

from __future__ import annotations

import io

from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.strip import Strip

from epochal.testing import screen_text
from epochal.tui.private import CalmApp, _Narrow
from epochal.tui.widgets.lines import Lines
from epochal.tui.widgets.painted import changed


def strip(*parts):
    return Strip([Segment(text, Style(color=colour)) for text, colour in parts])


class TestWhatDiffers:
    def test_equal_lines_do_not_however_they_are_cut(self):
        assert changed(strip(("abc", "red"), ("def", "red")), strip(("abcdef", "red"))) == []

    def test_colours_count(self):
        assert changed(strip(("abc", "red")), strip(("a", "red"), ("b", "blue"), ("c", "red"))) == [(1, 1)]

    def test_near_changes_are_sent_together_and_far_ones_apart(self):
        old, new = list("." * 60), list("." * 60)
        for x in (3, 6, 40):
            new[x] = "x"

        assert changed(strip(("".join(old), "red")), strip(("".join(new), "red"))) == [(3, 4), (40, 1)]

    def test_wide_characters_take_their_two_cells(self):
        assert changed(strip(("ab日本c", "red")), strip(("ab日木c", "red"))) == [(4, 2)]


class OneText(CalmApp[None]):
    def compose(self) -> ComposeResult:
        yield Lines()


async def test_a_number_that_moves_costs_its_digits():
    app = OneText()
    async with app.run_test(size=(100, 20)) as pilot:
        lines = app.query_one(Lines)
        rows = [Content(f"row {n}: all as it was, and so it stays") for n in range(20)]
        lines.show([*rows[:5], Content("epoch 41 of 120"), *rows[6:]])
        await pilot.pause()
        before = lines.repainted_cells
        lines.show([*rows[:5], Content("epoch 42 of 120"), *rows[6:]])
        await pilot.pause()

        assert lines.repainted_cells - before == 1
        assert "epoch 42 of 120" in screen_text(app)


async def test_another_colour_of_the_same_words_is_shown():
    app = OneText()
    async with app.run_test(size=(100, 20)):
        lines = app.query_one(Lines)
        lines.show([Content("done")])
        before = lines.repainted_cells
        lines.show([Content.styled("done", "bold")])

        assert lines.repainted_cells - before == 4


def test_a_repaint_begins_at_the_first_cell_that_changed():
    update = _Narrow([{0: Strip([Segment("loss 0.51 of all")])}], [(0, 5, 9)], [[16]])
    sent = update.render_segments(Console(file=io.StringIO(), color_system=None))

    assert "0.51" in sent
    assert "loss" not in sent
    assert "of all" not in sent


class Fitted(CalmApp[None]):
    CSS = "Vertical, Lines { height: auto; }"

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Lines()


async def test_lines_are_as_high_as_they_are_many_though_they_were_measured_while_a_layout_was_awaited():
    app = Fitted()
    async with app.run_test(size=(80, 24)) as pilot:
        lines, around = app.query_one(Lines), app.query_one(Vertical)
        lines.show([Content("a line")] * 7)
        # As when a sibling asks for a layout before these lines are idle:
        around._clear_arrangement_cache()
        app.screen._clear_arrangement_cache()
        app.screen._refresh_layout()
        lines.show([Content("a line")] * 5)
        await pilot.pause()

        assert lines.size.height == 5
