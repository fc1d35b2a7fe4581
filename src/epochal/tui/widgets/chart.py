"""A live chart: draws what it is given and repaints only the cells that changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.segment import Segment
from rich.style import Style
from textual.content import Content
from textual.strip import Strip

from epochal.charts.picture import Chart, draw
from epochal.show import safe
from epochal.tui.glyphs import glyphs
from epochal.tui.paint import toned
from epochal.tui.text import Part, content
from epochal.tui.widgets.painted import Painted


if TYPE_CHECKING:
    from epochal.runs.state import RunInfo
    from epochal.workbench.views.curves import ChartKind
    from epochal.workbench.views.train import TrainView


def legend(view: TrainView, kind: ChartKind, room: int, other: RunInfo | None = None) -> Content:
    """Each curve's sign and name: a curve is never told from another by its colour alone.

    The newest figures stand behind the names unless they do not fit into `room`. `other` is the run laid over.
    """
    signs = glyphs()
    parts: list[Part] = []
    for figures in ((view.loss, view.validation_loss), ("", "")):
        parts = []
        if kind == "loss":
            parts = [toned(f"{signs.train} train {figures[0]}".rstrip(), "accent"), "   "]
            parts.append(toned(f"{signs.validation} validation {figures[1]}".rstrip(), "second"))
        elif kind == "metric" and other is not None:
            parts = [toned(f"{signs.train} {view.run}", "second")]
        if other is not None and parts:
            parts += ["   ", toned(f"{signs.overlay} run {other.spec.number} {safe(other.spec.family)}", "blue")]
        if view.seams:
            parts += ["   " if parts else "", toned(f"{signs.seam} not exact from here", "quiet")]
        if view.stages:
            parts += ["   " if parts else "", toned(f"{signs.stage} more rows are fed", "quiet")]
        if content(*parts).cell_length < room:
            break
    return content(*parts, " ")


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
        "chart--seam",
        "chart--stage",
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
    ChartView > .chart--seam { color: $ep-quiet; }
    ChartView > .chart--stage { color: $ep-quiet; }
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
