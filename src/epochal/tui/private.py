"""The only place that touches names Textual keeps to itself; checked against 8.2."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from rich.console import Console, RenderableType
from rich.control import Control
from textual._compositor import ChopsUpdate
from textual.app import App, ReturnType
from textual.dom import DOMNode
from textual.events import Event, Key, Paste
from textual.message_pump import MessagePump
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


Then = Callable[[], object]

_PATIENCE = 1.0
"""Seconds that a key waits for the one before it, should what that one went to be gone before it could answer."""


class CalmApp(App[ReturnType]):
    """An app that sends a terminal no more than it can draw and no more than has changed.

    Keys are dealt with one after the other: one that is typed while the key before it still opens a list, a field or
    another pane goes there, as it was meant, and not to what happened to be on screen when it arrived.
    """

    def __init__(self) -> None:
        super().__init__(driver_class=driver())
        self._typed: deque[Key | Paste] = deque()
        self._key = 0
        """Counts the keys; the newest one that was begun."""
        self._dealing = False
        self._holds = 0

    async def on_event(self, event: Event) -> None:
        """Begin with a key when those before it are done with; all else at once."""
        if not isinstance(event, (Key, Paste)) or event.is_forwarded:
            await super().on_event(event)
            return
        self._typed.append(event)
        await self._next_key()

    def hold_keys(self) -> Callable[[], None]:
        """Let keys wait until what this returns is called, at most for a second: the last one opens something that is asked for."""
        self._holds += 1
        over = False

        def release() -> None:
            nonlocal over
            if not over:
                over = True
                self._holds -= 1
                self._settle(self._next_key)

        self.set_timer(_PATIENCE, release)
        return release

    async def _next_key(self) -> None:
        if self._dealing or self._holds or not self._typed:
            return
        self._key += 1
        self._dealing = True
        key = self._key
        self.set_timer(_PATIENCE, lambda: self._done_with(key))
        target = self.focused or self.screen
        await super().on_event(self._typed.popleft())
        # What a field makes of a key reaches the screen a round after the key itself: bindings are looked up here, at last.
        self._follow(target, lambda: self._follow(self.focused or self.screen, lambda: self._done_with(key)))

    def _follow(self, node: MessagePump, then: Then) -> None:
        """Come back when a node, and then each that a key and what it led to rise to, has dealt with it."""
        if (
            isinstance(node, Screen)
            or not isinstance(node, DOMNode)
            or node.parent is None
            or not node.call_later(self._follow, node.parent, then)
        ):
            self._settle(then)

    def _settle(self, then: Then) -> None:
        """Come back when the screen that is now on top stands, and has the focus where it wants it."""
        if not self.screen.call_later(self.call_later, then):
            self.call_later(then)

    async def _done_with(self, key: int) -> None:
        if key == self._key and self._dealing:
            self._dealing = False
            await self._next_key()

    def _display(self, screen: Screen[object], renderable: RenderableType | None) -> None:
        if type(renderable) is ChopsUpdate:
            renderable = _Narrow(renderable.chops, renderable.spans, renderable.chop_ends)
        super()._display(screen, renderable)
