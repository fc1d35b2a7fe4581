"""A live chart: draws what it is given and repaints only the cells that changed."""

from __future__ import annotations

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from epochal.charts.picture import Chart, draw
from epochal.tui.widgets.painted import Painted


class ChartView(Painted):
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
        self._styles: dict[str, Style] = {}

    def show(self, chart: Chart | None) -> None:
        """Draw a chart; None leaves the space blank."""
        self._chart = chart
        self.repaint()

    def paint(self) -> list[Strip]:
        """The picture's lines."""
        width, height = self.size
        picture = draw(self._chart, width, height) if self._chart is not None and width and height else ()
        lines = [Strip([Segment(text, self._style(role)) for text, role in line], width) for line in picture]
        return [*lines, *[Strip.blank(width, self.rich_style)] * (height - len(lines))]

    def notify_style_update(self) -> None:
        """Take the theme's colours anew."""
        self._styles.clear()
        super().notify_style_update()

    def _style(self, role: str) -> Style:
        if role not in self._styles:
            self._styles[role] = self.get_component_rich_style(f"chart--{role}")
        return self._styles[role]
