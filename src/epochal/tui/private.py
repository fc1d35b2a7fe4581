"""The only place that touches names Textual keeps to itself; checked against 8.2."""

from __future__ import annotations

from rich.console import Console, RenderableType
from rich.control import Control
from textual._compositor import ChopsUpdate
from textual.app import App, ReturnType
from textual.screen import Screen
from textual.widget import Widget

from epochal.tui.glyphs import driver


def screen_lines(screen: Screen[object]) -> list[str]:
    """What the screen shows, line by line, as plain text."""
    return [
        "".join(segment.text for segment in strip).rstrip()
        for strip in screen._compositor.render_strips()  # noqa: SLF001
    ]


def is_running(app: App[object]) -> bool:
    """Whether the app still takes messages."""
    return app._running  # noqa: SLF001


def lay_out(widget: Widget) -> None:
    """Have a widget measured anew.

    Textual's own `refresh(layout=True)` is not enough while an earlier one waits: what was measured between the two is
    kept, and the widget stays as high as it was in between.
    """
    widget._layout_updates += 1  # noqa: SLF001 - part of the key under which a measured size is kept
    widget.refresh(layout=True)


class _Narrow(ChopsUpdate):
    """A repaint that sends the cells asked for: Textual's own begins at the left edge of the widget they lie in."""

    def render_segments(self, console: Console) -> str:
        """The bytes for the terminal."""
        sent: list[str] = []
        for y, first, last in self.spans:
            for end, (x, strip) in zip(self.chop_ends[y], self.chops[y].items(), strict=False):
                left, right = max(x, first), min(end, last)
                if strip is None or left >= right:
                    continue
                piece = strip if (left, right) == (x, end) else strip.crop(left - x, right - x)
                sent += [Control.move_to(left, y).segment.text, piece.render(console)]
        return "".join(sent)


class CalmApp(App[ReturnType]):
    """An app that sends a terminal no more than it can draw and no more than has changed."""

    def __init__(self) -> None:
        super().__init__(driver_class=driver())

    def _display(self, screen: Screen[object], renderable: RenderableType | None) -> None:
        if type(renderable) is ChopsUpdate:
            renderable = _Narrow(renderable.chops, renderable.spans, renderable.chop_ends)
        super()._display(screen, renderable)
