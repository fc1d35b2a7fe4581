"""A widget of whole lines that sends only the cells that changed: over a slow connection a repaint is what costs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.content import Content
from textual.geometry import Region
from textual.strip import Strip
from textual.visual import Visual
from textual.widget import Widget


_GAP = 8
"""Unchanged cells between two changes that are sent along: to move the cursor over them costs as much."""


class Painted(Widget):
    """Give `paint` the lines as they are now, and call `repaint` when they may have changed."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's word
        super().__init__(id=id, classes=classes)
        self._strips: list[Strip] = []
        self.repainted_cells = 0
        """Cells asked to be painted again since the widget was made: what it costs a slow line."""

    def paint(self) -> Sequence[Strip]:
        """The lines, as many as the widget has rows, each as wide as it is; blank ones, unless a widget says more."""
        return [self.blank_line()] * self.size.height

    def repaint(self) -> None:
        """Send what differs from what was shown before."""
        if not self.size.width or not self.size.height:
            return
        before, self._strips = self._strips, list(self.paint())
        if len(before) != len(self._strips):
            self.repainted_cells += self.size.width * self.size.height
            self.refresh()
            return
        regions = [
            Region(x, y, width, 1)
            for y, (old, new) in enumerate(zip(before, self._strips, strict=True))
            if old is not new
            for x, width in changed(old, new)
        ]
        if regions:
            self.repainted_cells += sum(r.width for r in regions)
            self.refresh(*regions)

    def repaint_all(self) -> None:
        """Send everything: the size or the colours are others."""
        self._strips = []
        self.repaint()

    def on_resize(self) -> None:
        """Draw for the new size."""
        self.repaint_all()

    def notify_style_update(self) -> None:
        """Draw in the theme's colours."""
        super().notify_style_update()
        self.repaint_all()

    def render_line(self, y: int) -> Strip:
        """One line as it was painted."""
        if len(self._strips) != self.size.height:
            self._strips = list(self.paint())
        return self._strips[y] if y < len(self._strips) else self.blank_line()

    def line(self, content: Content) -> Strip:
        """A content as one line of the widget's width and colours."""
        width, style = self.size.width, self.visual_style
        strips = Visual.to_strips(self, content.truncate(width, ellipsis=True), width, 1, style, apply_selection=False)
        return strips[0].adjust_cell_length(width, style.rich_style) if strips else self.blank_line()

    def blank_line(self) -> Strip:
        """An empty line in the widget's colours."""
        return Strip.blank(self.size.width, self.visual_style.rich_style)


def changed(old: Strip, new: Strip) -> list[tuple[int, int]]:
    """Where two lines differ: first columns and widths, small gaps taken in."""
    spans: list[tuple[int, int]] = []
    for x, (a, b) in enumerate(zip_longest(_cells(old), _cells(new))):
        if a == b:
            continue
        if spans and x - (spans[-1][0] + spans[-1][1]) < _GAP:
            spans[-1] = (spans[-1][0], x + 1 - spans[-1][0])
        else:
            spans.append((x, 1))
    return spans


def _cells(strip: Strip) -> list[tuple[str, Style | None]]:
    """A line cell by cell; what a wide character covers stands there as often as it is wide."""
    cells: list[tuple[str, Style | None]] = []
    segment: Segment
    for segment in strip:
        for sign in segment.text:
            cells += [(sign, segment.style)] * max(1, cell_len(sign))
    return cells
