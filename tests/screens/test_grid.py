"""The grid by itself: what it shows, and how little it repaints."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from dataclasses import replace

from textual.app import App, ComposeResult

from epochal.project.discover import shipped_themes
from epochal.testing import screen_text, until
from epochal.tui.themes import read_theme
from epochal.tui.widgets.grid import HEADER, Grid
from epochal.tui.widgets.grid_columns import GridColumn, grown
from epochal.tui.widgets.pages import MemoryPages


class GridApp(App[None]):
    CSS = "Screen { background: $background; }"

    def __init__(self) -> None:
        super().__init__()
        self.register_theme(read_theme(shipped_themes()["dusk"]))
        self.theme = "dusk"

    def compose(self) -> ComposeResult:
        yield Grid()


COLUMNS = [
    GridColumn(name="species", title="Species", kind="category", width=9, role="target"),
    GridColumn(name="mass", title="Body Mass (g)", kind="number", width=7, right=True),
    *[GridColumn(name=f"c{n}", title=f"c{n}", kind="number", width=8, right=True) for n in range(30)],
]


@asynccontextmanager
async def grid_of(rows: int, width: int = 60, height: int = 10):
    app = GridApp()
    async with app.run_test(size=(width, height)) as pilot:
        grid = app.query_one(Grid)
        cells = [("Adelie", None if n == 1 else f"{n * 1.25:g}", *[str(n)] * 30) for n in range(rows)]
        grid.show(MemoryPages([c.name for c in COLUMNS], cells), rows, COLUMNS)
        await until(lambda: rows == 0 or "Adelie" in screen_text(app), pilot)
        drawn = -1
        while drawn != grid.lines_drawn:
            drawn = grid.lines_drawn
            await pilot.pause(0.05)
        yield app, grid, pilot


async def test_names_kinds_numbers_and_missing_values_line_up():
    async with grid_of(3, width=48, height=6) as (app, _grid, _pilot):
        assert screen_text(app) == (
            "      Species    Body M…        c0        c1\n"
            "      target      number    number    number\n"
            "   1  Adelie         0           0         0\n"
            "   2  Adelie           ·         1         1\n"
            "   3  Adelie         2.5         2         2\n"
            "\n"
        )


async def test_a_step_down_repaints_two_lines_and_asks_for_nothing():
    async with grid_of(10_000) as (_app, grid, pilot):
        drawn, asked = grid.lines_drawn, grid.pages.asked
        grid.move(1)
        await pilot.pause()
        assert (grid.lines_drawn - drawn, grid.pages.asked - asked) == (2, 0)


async def test_the_cursor_stays_in_sight_wherever_it_goes():
    async with grid_of(100_000) as (app, grid, pilot):
        for row in (99_999, 0, 50_000, 49_000):
            grid.go(row)
            await until(lambda row=row: f"{row + 1}  Adelie" in screen_text(app), pilot)
            assert row in grid.visible_rows


async def test_columns_out_of_sight_are_not_asked_for_until_the_cursor_gets_there():
    async with grid_of(1_000) as (app, grid, pilot):
        assert not grid.pages.has(0, "c25")
        grid.go(0, len(COLUMNS) - 1)
        await until(lambda: "c29" in screen_text(app).splitlines()[0], pilot)
        assert grid.pages.has(0, "c29")
        assert not grid.pages.has(0, "c10")


async def test_a_jump_past_many_pages_fetches_only_where_it_lands():
    async with grid_of(100_000) as (_app, grid, pilot):
        before = grid.pages.fetched
        grid.go(77_777)
        await pilot.pause()
        assert grid.pages.fetched - before <= 3 * 128


async def test_a_click_puts_the_cursor_on_the_cell():
    async with grid_of(100) as (_app, grid, pilot):
        await pilot.click(Grid, offset=(22, HEADER + 4))
        assert (grid.cursor_row, grid.column.name) == (4, "mass")


async def test_a_view_without_rows_says_so():
    async with grid_of(5) as (app, grid, pilot):
        grid.empty = "no rows here; q goes back"
        grid.show(MemoryPages([c.name for c in COLUMNS], []), 0, COLUMNS)
        await until(lambda: "no rows here" in screen_text(app), pilot)


async def test_a_column_keeps_the_cursor_when_others_go():
    async with grid_of(5) as (_app, grid, _pilot):
        grid.go(0, 3)
        grid.set_columns([c for c in COLUMNS if c.name not in {"mass", "c0"}])
        assert grid.column.name == "c1"


async def test_a_number_longer_than_those_before_it_is_shown_whole_once_it_is_in_sight():
    columns = [
        GridColumn(name="mass", title="mass", kind="int", width=4, right=True),
        GridColumn(name="name", title="name", kind="text", width=6),
        GridColumn(name="n", title="n", kind="int", width=3, right=True),
    ]
    async with grid_of(0) as (app, grid, pilot):
        cells = [(str(n * n), "a name that is long" if n == 900 else "Ada", "1") for n in range(1_000)]
        grid.show(MemoryPages([c.name for c in columns], cells), 1_000, columns)
        await until(lambda: "   1      0  Ada       1" in screen_text(app), pilot)
        grid.go(999)
        await until(lambda: "1000  998001  Ada" in screen_text(app), pilot)
        assert "…" not in screen_text(app)
        grid.go(0)
        await until(lambda: "   1       0  Ada" in screen_text(app), pilot)


def test_a_text_grows_into_what_the_numbers_after_it_leave():
    columns = (
        GridColumn(name="name", title="name", width=6),
        GridColumn(name="mass", title="mass", width=4, right=True),
    )
    wanted = {"name": 30, "mass": 10}
    assert [c.width for c in grown(columns, wanted.__getitem__, 30, 2)] == [18, 10]
    assert [c.width for c in grown(columns, wanted.__getitem__, 14, 2)] == [6, 10]


async def test_rows_picked_from_elsewhere_go_by_their_own_numbers():
    class Picked(MemoryPages):
        def ask(self, first, count, columns, answer):
            super().ask(first, count, columns, lambda page: answer(replace(page, eids=(41, 99_998))))

    async with grid_of(0) as (app, grid, pilot):
        grid.own_numbers = True
        grid.show(Picked(["mass"], [("7",), ("8",)]), 2, COLUMNS[1:2])
        await until(lambda: re.search(r"^ +#42 +7\n +#99999 +8$", screen_text(app), re.MULTILINE), pilot)
