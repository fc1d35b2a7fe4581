"""The only place that touches names Textual keeps to itself; checked against 8.2."""

from __future__ import annotations

from textual.app import App
from textual.screen import Screen


def screen_lines(screen: Screen[object]) -> list[str]:
    """What the screen shows, line by line, as plain text."""
    return [
        "".join(segment.text for segment in strip).rstrip()
        for strip in screen._compositor.render_strips()  # noqa: SLF001
    ]


def is_running(app: App[object]) -> bool:
    """Whether the app still takes messages."""
    return app._running  # noqa: SLF001
