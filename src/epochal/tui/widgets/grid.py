"""The grid: any number of rows and columns, drawn from pages, repainting only what changed.

Columns move whole, rows by the scrollbar's own arithmetic; a header of two lines (names, kinds) stays. The grid
computes nothing about the data and asks only for the columns and rows that are seen.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.events import Click, Resize
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from epochal.show import cell_width, fit, pad
from epochal.tui.glyphs import glyphs
from epochal.tui.widgets.grid_columns import GridColumn, grown
from epochal.tui.widgets.pages import MemoryPages, Pages, PageSource, decimals


HEADER = 2
"""Lines that stay at the top: names, kinds."""

GAP = 2
"""Cells between columns."""

_LEAST = 4
"""A column cut by the right edge is drawn when this many cells of it fit."""


@dataclass(frozen=True, slots=True)
class _Place:
    """A visible column: its number, where it starts, and how wide it is drawn."""

    index: int
    x: int
    width: int


class Grid(ScrollView):
    """Rows and columns with one cursor."""

    DEFAULT_CSS = """
    Grid {
        overflow-x: hidden; overflow-y: auto; scrollbar-size-vertical: 1; scrollbar-gutter: stable;
        background: $background; color: $ep-text; height: 1fr;
        & > .grid--name { background: $background; color: $ep-text; text-style: bold; }
        & > .grid--name-here { background: $ep-surface; color: $ep-accent; text-style: bold; }
        & > .grid--name-target { color: $ep-second; text-style: bold; }
        & > .grid--name-ignored { color: $ep-quiet; }
        & > .grid--kind { background: $background; color: $ep-quiet; }
        & > .grid--kind-here { background: $ep-surface; color: $ep-quiet; }
        & > .grid--cell { background: $background; color: $ep-text; }
        & > .grid--column { background: $ep-surface; color: $ep-text; }
        & > .grid--row { background: $ep-raised; color: $ep-text; }
        & > .grid--cursor { background: $ep-accent; color: $ep-background; }
        & > .grid--blurred { background: $ep-line; color: $ep-text; }
        & > .grid--quiet { color: $ep-quiet; }
        & > .grid--number { background: $background; color: $ep-quiet; }
        & > .grid--number-here { background: $ep-raised; color: $ep-accent; }
        & > .grid--selected { color: $ep-blue; text-style: bold; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "grid--name", "grid--name-here", "grid--name-target", "grid--name-ignored", "grid--kind", "grid--kind-here",
        "grid--cell", "grid--column", "grid--row", "grid--cursor", "grid--blurred", "grid--quiet", "grid--number",
        "grid--number-here", "grid--selected",
    }  # fmt: skip

    @dataclass
    class Moved(Message):
        """The cursor stands on another cell."""

        grid: Grid
        row: int
        column: int

        @property
        def control(self) -> Grid:
            """The grid it is about."""
            return self.grid

    @dataclass
    class Opened(Message):
        """A cell was clicked twice."""

        grid: Grid

        @property
        def control(self) -> Grid:
            """The grid it is about."""
            return self.grid

    def __init__(self, *, id: str | None = None, classes: str | None = None, missing: str = "") -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self.columns: tuple[GridColumn, ...] = ()
        self.pages = Pages(MemoryPages((), ()), 0, self._arrived)
        self.cursor_row = 0
        self.cursor_column = 0
        self.selected: Collection[int] = frozenset()
        """Import numbers of the selected rows."""
        self.empty = ""
        """What to say when there are no rows."""
        self.own_numbers = False
        """Whether rows go by their place in the source (#112), not by their place in the view."""
        self.lines_drawn = 0
        """Lines made anew so far; benchmarks and tests count them."""
        self._missing = missing or glyphs().waiting
        self._mark = glyphs().mark
        self._first_column = 0
        self._drawn_gutter = 0
        self._active = True
        self._places: tuple[_Place, ...] = ()
        self._styles_by_name: dict[str, Style] = {}
        self._direction = 1

    # ── what is shown ──

    def show(self, source: PageSource, rows: int, columns: Sequence[GridColumn], here: str = "") -> None:
        """Show a view: its rows come from `source`.

        The cursor stays on its row number where it can, and goes to the column `here`, else stays on its column.
        """
        here = here or (self.column.name if self.column is not None else "")
        self.pages.close()
        self.pages = Pages(source, rows, self._arrived)
        self.set_columns(columns, here)
        self.cursor_row = max(0, min(self.cursor_row, rows - 1))
        self.virtual_size = Size(max(self.size.width, 1), rows + HEADER)
        self._show_row()
        self._want()
        self.refresh()

    def set_columns(self, columns: Sequence[GridColumn], here: str | None = None) -> None:
        """Draw these columns; the cursor goes to the one named `here`, if there is one."""
        name = here if here is not None else (self.column.name if self.column is not None else "")
        self.columns = self._grown(columns)
        names = [c.name for c in self.columns]
        self.cursor_column = names.index(name) if name in names else max(0, min(self.cursor_column, len(names) - 1))
        self._show_column()
        self._want()
        self.refresh()

    def set_active(self, active: bool) -> None:
        """Whether keys go here: the cursor is bright then."""
        if active != self._active:
            self._active = active
            self._redraw_row(self.cursor_row)

    def set_selected(self, selected: Collection[int]) -> None:
        """Mark these rows, by import number."""
        self.selected = selected
        self.refresh(Region(0, HEADER, self._gutter, max(0, self.size.height - HEADER)))

    @property
    def rows(self) -> int:
        """Rows of the view."""
        return self.pages.rows

    @property
    def column(self) -> GridColumn | None:
        """The column under the cursor."""
        return self.columns[self.cursor_column] if 0 <= self.cursor_column < len(self.columns) else None

    @property
    def visible_columns(self) -> tuple[str, ...]:
        """The columns seen now, from left to right."""
        return tuple(self.columns[p.index].name for p in self._places)

    @property
    def visible_rows(self) -> range:
        """The rows seen now."""
        first = self.scroll_offset.y
        return range(first, min(self.rows, first + max(0, self.size.height - HEADER)))

    # ── moving ──

    def move(self, rows: int = 0, columns: int = 0) -> None:
        """Move the cursor by so many rows and columns."""
        self.go(self.cursor_row + rows, self.cursor_column + columns)

    def page(self, pages: float) -> None:
        """Move by so many screens."""
        self.move(rows=round(pages * max(1, self.size.height - HEADER - 1)))

    def go(self, row: int, column: int | None = None) -> None:
        """Put the cursor on a cell, as near as there is one, and repaint only what that changes."""
        row = max(0, min(row, self.rows - 1))
        column = self.cursor_column if column is None else max(0, min(column, len(self.columns) - 1))
        before_row, before_column = self.cursor_row, self.cursor_column
        if (row, column) == (before_row, before_column):
            return
        self._direction = 1 if row >= before_row else -1
        self.cursor_row, self.cursor_column = row, column
        scrolled = self._show_row()
        shifted = self._show_column() if column != before_column else False
        if scrolled or shifted:
            self.refresh()
        else:
            if row != before_row:
                self._redraw_row(before_row)
                self._redraw_row(row)
            if column != before_column:
                self._redraw_column(before_column)
                self._redraw_column(column)
        self._want()
        self.post_message(self.Moved(self, row, column))

    def _show_row(self) -> bool:
        height = max(1, self.size.height - HEADER)
        top = self.scroll_offset.y
        if self.cursor_row < top:
            wanted = self.cursor_row
        elif self.cursor_row >= top + height:
            wanted = self.cursor_row - height + 1
        else:
            return False
        # Forced: right after a view is shown the scrollbar is not laid out yet.
        self.scroll_to(y=wanted, animate=False, force=True)
        return True

    def _show_column(self) -> bool:
        before = self._first_column
        self._first_column = max(0, min(self._first_column, self.cursor_column))
        while self._first_column < self.cursor_column and not self._fits():
            self._first_column += 1
        self._lay_out()
        return before != self._first_column

    def _fits(self) -> bool:
        used = sum(c.width + GAP for c in self.columns[self._first_column : self.cursor_column + 1])
        return self._gutter + used - GAP <= self._room

    @property
    def _room(self) -> int:
        return self.scrollable_content_region.width

    @property
    def _gutter(self) -> int:
        """Cells of the row numbers: a mark, the number, a gap."""
        return 1 + max(3, len(self._number(self.rows - 1, self.pages.highest))) + GAP

    def _number(self, row: int, eid: int | None) -> str:
        """What a row is called at its left."""
        if not self.own_numbers:
            return str(row + 1)
        return f"#{eid + 1}" if eid is not None else ""

    def _lay_out(self) -> None:
        places: list[_Place] = []
        x = self._gutter
        for index in range(self._first_column, len(self.columns)):
            width = min(self.columns[index].width, self._room - x)
            if width < min(_LEAST, self.columns[index].width):
                break
            places.append(_Place(index, x, width))
            x += width + GAP
        self._places = tuple(places)

    def _want(self) -> None:
        seen = self.visible_rows
        if seen:
            self.pages.want(seen.start, seen.stop, self.visible_columns, self._direction)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Rows that came into sight are asked for."""
        super().watch_scroll_y(old_value, new_value)
        if round(old_value) != round(new_value):
            self._direction = 1 if new_value > old_value else -1
            self._want()

    def on_resize(self, _event: Resize) -> None:
        """More or fewer columns and rows are seen."""
        self.virtual_size = Size(max(self.size.width, 1), self.rows + HEADER)
        self.columns = self._grown(self.columns)
        self._show_row()
        self._show_column()
        self._want()

    def on_click(self, event: Click) -> None:
        """A click puts the cursor there; two open the row."""
        if event.y < HEADER:
            row = self.cursor_row
        else:
            row = self.scroll_offset.y + event.y - HEADER
            if row >= self.rows:
                return
        column = next((p.index for p in self._places if p.x - GAP < event.x < p.x + p.width + GAP), self.cursor_column)
        self.go(row, column)
        if event.chain > 1 and event.y >= HEADER:
            self.post_message(self.Opened(self))

    # ── repainting ──

    def _grown(self, columns: Sequence[GridColumn]) -> tuple[GridColumn, ...]:
        return grown(columns, self.pages.widest, self._room - self._gutter, GAP)

    def _arrived(self, first: int, count: int) -> None:
        columns, gutter = self._grown(self.columns), self._gutter
        if columns != self.columns or gutter != self._drawn_gutter:
            self.columns, self._drawn_gutter = columns, gutter
            self._show_column()
            self.refresh()
            return
        seen = self.visible_rows
        top, end = max(first, seen.start), min(first + count, seen.stop)
        if end > top:
            self.refresh(Region(0, HEADER + top - seen.start, self.size.width, end - top))

    def _aligned(self, text: str, column: GridColumn, width: int) -> str:
        """A number with blanks after it, so that decimal points stand under each other; texts as they are."""
        if not column.right:
            return text
        blanks = self.pages.decimals(column.name) - decimals(text)
        return text + " " * min(blanks, max(0, width - cell_width(text)))

    def _redraw_row(self, row: int) -> None:
        y = HEADER + row - self.scroll_offset.y
        if HEADER <= y < self.size.height:
            self.refresh(Region(0, y, self.size.width, 1))

    def _redraw_column(self, index: int) -> None:
        place = next((p for p in self._places if p.index == index), None)
        if place is not None:
            self.refresh(Region(place.x - 1, 0, place.width + 2, self.size.height))

    def notify_style_update(self) -> None:
        """Another theme: forget the styles."""
        self._styles_by_name.clear()
        super().notify_style_update()

    def _style(self, *names: str) -> Style:
        key = " ".join(names)
        style = self._styles_by_name.get(key)
        if style is None:
            style = self.get_component_rich_style(f"grid--{names[0]}")
            for name in names[1:]:
                style += self.get_component_rich_style(f"grid--{name}", partial=True)
            self._styles_by_name[key] = style
        return style

    def render_line(self, y: int) -> Strip:
        """One line of the screen."""
        self.lines_drawn += 1
        if y == 0:
            segments = self._header(self._draw_name)
        elif y == 1:
            segments = self._header(self._draw_kind)
        else:
            segments = self._row(self.scroll_offset.y + y - HEADER)
        return Strip(segments).adjust_cell_length(self.size.width, self._style("cell"))

    def _header(self, draw: Callable[[_Place, GridColumn], tuple[str, Style]]) -> list[Segment]:
        segments = [Segment(" " * (self._gutter - 1), self._style("number"))]
        for place in self._places:
            column = self.columns[place.index]
            text, style = draw(place, column)
            here = place.index == self.cursor_column
            edge = self._style("kind-here" if here else "kind")
            segments += [
                Segment(" ", edge),
                Segment(pad(text, place.width, right=column.right), style),
                Segment(" ", edge),
            ]
        return segments

    def _draw_name(self, place: _Place, column: GridColumn) -> tuple[str, Style]:
        here = place.index == self.cursor_column
        names = ["name-here" if here else "name"]
        if column.role in {"target", "ignored"} and not here:
            names.append(f"name-{column.role}")
        if not column.sort:
            return column.title, self._style(*names)
        room = place.width - cell_width(column.sort) - 1
        return f"{fit(column.title, room)} {column.sort}" if room > 0 else column.sort, self._style(*names)

    def _draw_kind(self, place: _Place, column: GridColumn) -> tuple[str, Style]:
        here = place.index == self.cursor_column
        style = self._style("kind-here" if here else "kind", *(["name-target"] if column.role == "target" else []))
        return column.role or column.kind, style

    def _row(self, row: int) -> list[Segment]:
        if row >= self.rows:
            said = self.empty if self.rows == 0 and row == 1 else ""
            return [Segment(" " * self._gutter + said, self._style("cell", "quiet"))]
        here = row == self.cursor_row
        eid = self.pages.eid(row)
        chosen = eid is not None and eid in self.selected
        number = self._style("number-here" if here else "number", *(["selected"] if chosen else []))
        ground = "row" if here else "cell"
        segments = [
            Segment(f"{self._mark if chosen else ' '}{self._number(row, eid):>{self._gutter - 1 - GAP}}", number),
            Segment(" " * (GAP - 1), self._style(ground)),
        ]
        for place in self._places:
            segments += self._cell(row, place, ground, here)
        if here:
            segments.append(Segment(" " * self.size.width, self._style(ground)))
        return segments

    def _cell(self, row: int, place: _Place, ground: str, here: bool) -> list[Segment]:
        column = self.columns[place.index]
        aimed = place.index == self.cursor_column
        if aimed:
            ground = ("cursor" if self._active else "blurred") if here else "column"
        edge = self._style(ground)
        if not self.pages.has(row, column.name):
            return [Segment(" " * (place.width + GAP), edge)]
        text = self.pages.cell(row, column.name)
        quiet = not (aimed and here) and (text is None or column.role == "ignored")
        style = self._style(ground, "quiet") if quiet else edge
        shown = pad(
            self._missing if text is None else self._aligned(text, column, place.width), place.width, right=column.right
        )
        return [Segment(" ", edge), Segment(shown, style), Segment(" ", edge)]
