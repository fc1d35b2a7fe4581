"""Lines of styled text with an optional cursor: what every pane but the grid is made of.

Only lines that changed are painted again, so a pane that is updated twice a second costs a slow connection nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from textual.content import Content, Span
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip

from epochal.tui.private import lay_out
from epochal.tui.text import cut
from epochal.tui.widgets.painted import Painted


Laid = tuple[str, tuple[Span, ...], bool]
"""A line's text, its styles, and whether the cursor is on it."""


class Lines(Painted):
    """Lines shown from the top; the cursor's line is tinted and kept in sight."""

    DEFAULT_CSS = """
    Lines { height: 1fr; width: 1fr; }
    """

    class Resized(Message):
        """The size changed: what was laid out for another one, or says what is out of sight, is to be shown anew."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's word
        super().__init__(id=id, classes=classes)
        self._count = 0
        self._made: Callable[[int], Content] = ().__getitem__
        """Gives a line by its place."""
        self._cursor: int | None = None
        self._sized = Size(0, 0)
        self._laid: dict[Laid, Strip] = {}
        """Lines in sight as they were laid out last."""
        self.top = 0
        """The first line in sight."""

    def show(self, lines: Sequence[Content], cursor: int | None = None) -> None:
        """Show these lines, the cursor on one of them."""
        kept = tuple(lines)
        self.show_made(len(kept), kept.__getitem__, cursor)

    def show_made(self, count: int, made: Callable[[int], Content], cursor: int | None = None) -> None:
        """Show so many lines, of which `made` gives those that come in sight: a long list costs no more than a short one."""
        before = self._count
        self._count, self._made, self._cursor = count, made, cursor
        self._keep_in_sight()
        if self.styles.height is not None and self.styles.height.is_auto and before != count:
            lay_out(self)
        self.repaint()

    def scroll_lines(self, count: int) -> None:
        """Move the view, for panes without a cursor."""
        top = max(0, min(self.top + count, self._count - self.size.height))
        if top != self.top:
            self.top = top
            self.repaint()

    @property
    def below(self) -> int:
        """Lines out of sight below."""
        return max(0, self._count - self.top - self.size.height)

    def _keep_in_sight(self) -> None:
        height = self.size.height
        if not height:
            return
        last_top = max(0, self._count - height)
        if self._cursor is not None:
            if self._cursor < self.top + 1:
                self.top = max(0, self._cursor - 1)
            elif self._cursor >= self.top + height - 1:
                self.top = self._cursor - height + 2
        self.top = max(0, min(self.top, last_top))

    def on_resize(self) -> None:
        """The cursor stays in sight."""
        self._keep_in_sight()
        super().on_resize()
        if self.size != self._sized:
            self._sized = self.size
            self.post_message(self.Resized())

    def get_content_height(self, *_sizes: object) -> int:
        """As many rows as there are lines, where the height is automatic."""
        return max(1, self._count)

    def paint(self) -> list[Strip]:
        """The lines in sight; what stood there before is not laid out again."""
        old, self._laid = self._laid, {}
        return [self._line(self.top + y, old) for y in range(self.size.height)]

    def _line(self, n: int, old: Mapping[Laid, Strip]) -> Strip:
        if not 0 <= n < self._count:
            return self.blank_line()
        line, here = self._made(n), n == self._cursor
        key = (line.plain, tuple(line.spans), here)  # contents of other colours are equal to Textual
        strip = old.get(key)
        if strip is None or strip.cell_length != self.size.width:
            shown = cut(line, self.size.width)
            if here:
                shown = shown.pad_right(max(0, self.size.width - shown.cell_length)).stylize_before("on $ep-raised")
            strip = self.line(shown)
        self._laid[key] = strip
        return strip

    def repaint_all(self) -> None:
        """Lay everything out anew."""
        self._laid = {}
        super().repaint_all()
