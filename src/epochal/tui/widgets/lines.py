"""Lines of styled text with an optional cursor: what every pane but the grid is made of.

Only lines that changed are painted again, so a pane that is updated twice a second costs a slow connection nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.visual import Visual
from textual.widget import Widget


class Lines(Widget):
    """Lines shown from the top; the cursor's line is tinted and kept in sight."""

    DEFAULT_CSS = """
    Lines { height: 1fr; width: 1fr; }
    """

    class Resized(Message):
        """The width changed: what was laid out for another one is to be laid out anew."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's word
        super().__init__(id=id, classes=classes)
        self._lines: tuple[Content, ...] = ()
        self._cursor: int | None = None
        self._width = 0
        self.top = 0
        """The first line in sight."""

    def show(self, lines: Sequence[Content], cursor: int | None = None) -> None:
        """Show these lines, the cursor on one of them."""
        before, old_cursor, old_top = self._lines, self._cursor, self.top
        self._lines, self._cursor = tuple(lines), cursor
        self._keep_in_sight()
        if self.styles.height is not None and self.styles.height.is_auto and len(before) != len(self._lines):
            self.refresh(layout=True)
            return
        if self.top != old_top:
            self.refresh()
            return
        for y in range(self.size.height):
            n = self.top + y
            same = self._at(before, n) == self._at(self._lines, n)
            if not same or (n in {old_cursor, cursor} and old_cursor != cursor):
                self.refresh(Region(0, y, self.size.width, 1))

    def scroll_lines(self, count: int) -> None:
        """Move the view, for panes without a cursor."""
        top = max(0, min(self.top + count, len(self._lines) - self.size.height))
        if top != self.top:
            self.top = top
            self.refresh()

    @staticmethod
    def _at(lines: Sequence[Content], n: int) -> Content | None:
        return lines[n] if 0 <= n < len(lines) else None

    def _keep_in_sight(self) -> None:
        height = self.size.height
        if not height:
            return
        last_top = max(0, len(self._lines) - height)
        if self._cursor is not None:
            if self._cursor < self.top + 1:
                self.top = max(0, self._cursor - 1)
            elif self._cursor >= self.top + height - 1:
                self.top = self._cursor - height + 2
        self.top = max(0, min(self.top, last_top))

    def on_resize(self) -> None:
        """The cursor stays in sight."""
        self._keep_in_sight()
        self.refresh()
        if self.size.width != self._width:
            self._width = self.size.width
            self.post_message(self.Resized())

    def get_content_height(self, *_sizes: object) -> int:
        """As many rows as there are lines, where the height is automatic."""
        return max(1, len(self._lines))

    def render_line(self, y: int) -> Strip:
        """One line, padded to the width."""
        width = self.size.width
        line = self._at(self._lines, self.top + y)
        style = self.visual_style
        if line is None:
            return Strip.blank(width, style.rich_style)
        line = line.truncate(width, ellipsis=True)
        if self._cursor == self.top + y:
            line = line.pad_right(max(0, width - line.cell_length)).stylize_before("on $ep-raised")
        strips = Visual.to_strips(self, line, width, 1, style, apply_selection=False)
        return strips[0].adjust_cell_length(width, style.rich_style) if strips else Strip.blank(width, style.rich_style)
