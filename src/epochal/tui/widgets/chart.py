"""A live chart: draws what it is given and repaints only the cells that changed."""

from __future__ import annotations

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from epochal.charts.picture import Chart, Picture, draw


class ChartView(Widget):
    """A chart of curves. Give it a `Chart`; it asks nobody for anything."""

    COMPONENT_CLASSES = {
        "chart--train",
        "chart--validation",
        "chart--metric",
        "chart--rate",
        "chart--old",
        "chart--void",
        "chart--axis",
        "chart--label",
        "chart--level",
        "chart--mark",
    }
    DEFAULT_CSS = """
    ChartView { height: 1fr; width: 1fr; }
    ChartView > .chart--train { color: $ep-accent; }
    ChartView > .chart--validation { color: $ep-second; }
    ChartView > .chart--metric { color: $ep-second; }
    ChartView > .chart--rate { color: $ep-blue; }
    ChartView > .chart--old { color: $ep-blue; }
    ChartView > .chart--void { color: $ep-line; }
    ChartView > .chart--axis { color: $ep-line; }
    ChartView > .chart--label { color: $ep-quiet; }
    ChartView > .chart--level { color: $ep-quiet; }
    ChartView > .chart--mark { color: $ep-text; text-style: bold; }
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's word
        super().__init__(id=id)
        self._chart: Chart | None = None
        self._picture: Picture = ()
        self._styles: dict[str, Style] = {}
        self.repainted_cells = 0
        """Cells asked to be painted again since the widget was made: what a chart costs a slow line."""

    def show(self, chart: Chart | None) -> None:
        """Draw a chart; None leaves the space blank."""
        self._chart = chart
        self._redraw()

    def _redraw(self) -> None:
        before = self._picture
        width, height = self.size
        self._picture = draw(self._chart, width, height) if self._chart is not None and width and height else ()
        if len(before) != len(self._picture):
            self.refresh()
            self.repainted_cells += width * height
            return
        for y, (old, new) in enumerate(zip(before, self._picture, strict=True)):
            if old != new:
                first, last = _changed(old, new)
                self.repainted_cells += last - first
                self.refresh(Region(first, y, last - first, 1))

    def on_resize(self) -> None:
        """Draw for the new size."""
        self._picture = ()
        self._redraw()

    def notify_style_update(self) -> None:
        """Take the theme's colours anew."""
        super().notify_style_update()
        self._styles.clear()

    def render_line(self, y: int) -> Strip:
        """One line of the picture."""
        width = self.size.width
        base = self.rich_style
        if y >= len(self._picture):
            return Strip.blank(width, base)
        segments = [Segment(text, self._style(role)) for text, role in self._picture[y]]
        return Strip(segments, width)

    def _style(self, role: str) -> Style:
        if role not in self._styles:
            self._styles[role] = self.get_component_rich_style(f"chart--{role}")
        return self._styles[role]


def _changed(old: tuple[tuple[str, str], ...], new: tuple[tuple[str, str], ...]) -> tuple[int, int]:
    """The first and the end of the columns that differ between two lines."""
    a = [(c, role) for text, role in old for c in text]
    b = [(c, role) for text, role in new for c in text]
    length = max(len(a), len(b))
    first = next((i for i in range(min(len(a), len(b))) if a[i] != b[i]), min(len(a), len(b)))
    last = length
    while len(a) == len(b) and last > first + 1 and a[last - 1] == b[last - 1]:
        last -= 1
    return first, last
