"""What lies over a pane for a moment: a text, a choice from a list, one line to type."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.events import Key
from textual.screen import ModalScreen
from textual.widgets import Input

from epochal.show import cell_width, safe
from epochal.tui.glyphs import glyphs
from epochal.tui.paint import cell, toned, wrapped
from epochal.tui.text import Part, content, spread
from epochal.tui.widgets.lines import Lines
from epochal.workbench.keys import shown_key, token


_DOWN = {"j", "down", "ctrl+n"}
_UP = {"k", "up"}
_AWAY = {"Esc", "q", "ctrl+c"}
_SCROLL = {
    "j": 1,
    "down": 1,
    "k": -1,
    "up": -1,
    "PgDn": 15,
    "PgUp": -15,
    "ctrl+d": 10,
    "ctrl+u": -10,
    "Space": 15,
    "G": 10**6,
    "g": -(10**6),
}
"""Lines that a key scrolls by."""


class TextOverlay(ModalScreen[None]):
    """A text that can be scrolled; it is asked for anew while it is open, so a log grows."""

    AUTO_FOCUS = ""

    def __init__(self, title: str, text: Callable[[], Sequence[str | Content]], *, live: bool = True) -> None:
        super().__init__()
        self._title, self._text, self._live = title, text, live
        self._at_end = live
        self._said = ""
        """What the last key could not do."""

    def compose(self) -> ComposeResult:
        """A title and the lines."""
        with Vertical(id="sheet", classes="wide"):
            yield Lines(id="sheet-title")
            yield Lines(id="sheet-body")

    def on_mount(self) -> None:
        """Show it, and again each second while it can change."""
        self.call_after_refresh(self._draw)
        if self._live:
            self.set_interval(1.0, self._draw)

    def _draw(self) -> None:
        title = self.query_one("#sheet-title", Lines)
        title.show(
            [
                spread(
                    content(toned(safe(self._title), "bold")),
                    content(toned(self._said, "warning"), toned("j k scroll   Esc back", "quiet")),
                    title.size.width,
                )
            ]
        )
        body = self.query_one("#sheet-body", Lines)
        lines: list[Content] = []
        for line in self._text():
            lines += [line] if isinstance(line, Content) else _as_it_stands(line, body.size.width)
        body.show(lines)
        if self._at_end:
            body.scroll_lines(len(lines))

    def on_key(self, event: Key) -> None:
        """Scroll, or close."""
        event.stop()
        event.prevent_default()
        pressed = token(event.key, event.character)
        body = self.query_one("#sheet-body", Lines)
        if pressed in _AWAY | {"Enter", "?"}:
            self.dismiss(None)
            return
        self._said = "" if pressed in _SCROLL else f"{shown_key(pressed)} means nothing here   "
        if pressed in _SCROLL:
            self._at_end = pressed == "G"
            body.scroll_lines(_SCROLL[pressed])
        self._draw()


def _as_it_stands(line: str, width: int) -> list[Content]:
    """A line of a text, broken where it is too long; what is set in, as a trace is, stays so."""
    text = line.expandtabs().lstrip(" ")
    return wrapped(text, width, indent=min(len(line.expandtabs()) - len(text), width // 2)) or [content("")]


class Agree(ModalScreen[bool]):
    """A text to read before something is done: Enter agrees, Esc does not."""

    AUTO_FOCUS = ""

    def __init__(self, title: str, text: Sequence[str]) -> None:
        super().__init__()
        self._title, self._text = title, text

    def compose(self) -> ComposeResult:
        """A title and the lines."""
        with Vertical(id="sheet", classes="wide"):
            yield Lines(id="sheet-title")
            yield Lines(id="sheet-body")

    def on_mount(self) -> None:
        """Show it."""
        self.call_after_refresh(self._draw)

    def on_resize(self) -> None:
        """Draw for the new size."""
        self.call_after_refresh(self._draw)

    def _draw(self) -> None:
        title, body = self.query_one("#sheet-title", Lines), self.query_one("#sheet-body", Lines)
        keys = content(toned("Enter agrees   j k scroll   Esc back", "quiet"))
        title.show([spread(content(toned(safe(self._title), "bold")), keys, title.size.width)])
        body.show([line for text in self._text for line in wrapped(text, body.size.width) or [content("")]])

    def on_key(self, event: Key) -> None:
        """Agree, scroll, or leave."""
        event.stop()
        event.prevent_default()
        pressed = token(event.key, event.character)
        if pressed == "Enter":
            self.dismiss(True)
        elif pressed in _AWAY:
            self.dismiss(False)
        else:
            self.query_one("#sheet-body", Lines).scroll_lines(_SCROLL.get(pressed, 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing to choose."""

    value: str
    title: str
    note: str = ""
    key: str = ""
    """Shown at the right, for the palette."""


class Pick(ModalScreen[str | None]):
    """One of a list; typing narrows it when `search` is on. With `chosen`, any number: the values joined by U+001F."""

    AUTO_FOCUS = ""

    def __init__(
        self,
        title: str,
        items: Sequence[Item],
        *,
        current: str = "",
        search: bool = False,
        hint: str = "",
        chosen: Iterable[str] | None = None,
    ) -> None:
        super().__init__()
        self._chosen = set(chosen) if chosen is not None else None
        hint = hint or ("Space marks   Enter takes   Esc back" if chosen is not None else "")
        self._title, self._items, self._search, self._hint = title, tuple(items), search, hint
        self._typed = ""
        self._cursor = next((n for n, item in enumerate(self._items) if item.value == current), 0)

    def compose(self) -> ComposeResult:
        """A title, what was typed, the list."""
        with Vertical(id="sheet"):
            yield Lines(id="sheet-title")
            yield Lines(id="sheet-body")

    def on_mount(self) -> None:
        """As high as the list, within the screen."""
        self._stand(len(self._items))
        self.call_after_refresh(self._draw)

    def on_resize(self) -> None:
        """Draw for the new size."""
        self.call_after_refresh(self._draw)

    @property
    def found(self) -> list[Item]:
        """What fits what was typed, the best first."""
        words = self._typed.lower().split()
        if not words:
            return list(self._items)
        kept = [i for i in self._items if all(w in f"{i.title} {i.note} {i.value} {i.key}".lower() for w in words)]

        def rank(item: Item) -> tuple[bool, int]:
            title = item.title.lower()
            return not title.startswith(words[0]), sum(w not in title for w in words)

        return sorted(kept, key=rank)

    def _draw(self) -> None:
        title = self.query_one("#sheet-title", Lines)
        head: list[Part] = [toned(safe(self._title), "bold")]
        if self._search:
            head += [
                "  ",
                toned(
                    f"{safe(self._typed)}▏" if self._typed else "type to search", "accent" if self._typed else "quiet"
                ),
            ]
        title.show(
            [spread(content(*head), content(toned(self._hint or "Enter takes   Esc back", "quiet")), title.size.width)]
        )
        body = self.query_one("#sheet-body", Lines)
        width = body.size.width
        found = self.found
        self._cursor = max(0, min(self._cursor, len(found) - 1))
        widest = max((cell_width(safe(i.title)) for i in found), default=0)
        room = max(12, min(widest, width // 2 if any(i.note for i in found) else width - 14))
        lines: list[Content] = []
        at = None
        for n, item in enumerate(found):
            at = len(lines) if n == self._cursor else at
            lines += self._lines(item, n == self._cursor, room, width)
        if not self._search:  # notes may take several lines: every choice is to be seen
            self._stand(len(lines))
        body.show(lines or [content(toned("nothing fits", "quiet"))], at)

    def _stand(self, num_lines: int) -> None:
        """Be as high as so many lines need, within the screen."""
        self.query_one("#sheet").styles.height = max(6, min(num_lines + 4, self.app.size.height - 4))

    def _lines(self, item: Item, here: bool, room: int, width: int) -> list[Content]:
        """A thing to choose: its note goes on under itself where it does not fit beside the title."""
        marked = self._chosen is not None and item.value in self._chosen
        head = content(
            (f"{glyphs().here} " if here else "  ", "$ep-accent"),
            (f"{glyphs().done} " if marked else "  " if self._chosen is not None else "", "$ep-good"),
            cell(safe(item.title), room, "bold" if here else "text"),
            "  ",
        )
        key = content((f"{item.key} " if item.key else "", "$ep-accent"))
        indent = head.cell_length
        first, *rest = wrapped(safe(item.note), width - key.cell_length - 1, "quiet", indent, first=head) or [head]
        return [spread(first, key, width), *rest]

    def on_key(self, event: Key) -> None:
        """Move, narrow, take, leave."""
        event.stop()
        event.prevent_default()
        pressed = token(event.key, event.character)
        found = self.found
        arrows = {"down": 1, "up": -1, "PgDn": 10, "PgUp": -10, "Tab": 1, "shift+Tab": -1}
        if pressed == "Enter":
            self._take(found)
        elif pressed == "Space" and self._chosen is not None and found:
            self._chosen ^= {found[self._cursor].value}
            self._draw()
        elif pressed in {"Esc", "ctrl+c"} or (pressed == "q" and not self._search):
            self.dismiss(None)
        elif pressed in arrows or (not self._search and pressed in {"j", "k"}):
            self._cursor += arrows.get(pressed, 1 if pressed == "j" else -1)
            self._draw()
        elif self._search and pressed == "Backspace":
            self._typed = self._typed[:-1]
            self._draw()
        elif self._search and (len(pressed) == 1 or pressed == "Space"):
            self._typed += " " if pressed == "Space" else pressed
            self._cursor = 0
            self._draw()

    def _take(self, found: list[Item]) -> None:
        if self._chosen is not None:
            self.dismiss("\x1f".join(i.value for i in self._items if i.value in self._chosen))
        else:
            self.dismiss(found[self._cursor].value if found else None)


class Ask(ModalScreen[str | None]):
    """One line to type, with what it means; `check` says what is wrong with a text, or nothing."""

    def __init__(
        self, title: str, value: str = "", *, meaning: str = "", check: Callable[[str], str] | None = None
    ) -> None:
        super().__init__()
        self._title, self._value, self._meaning = title, value, meaning
        self._check = check or (lambda _text: "")

    def compose(self) -> ComposeResult:
        """The question, the field, what it means or what is wrong."""
        with Vertical(id="sheet", classes="ask"):
            yield Lines(id="sheet-title")
            yield Input(value=self._value, id="sheet-input", compact=True)
            yield Lines(id="sheet-note")

    def on_mount(self) -> None:
        """The cursor blinks nowhere: a still screen sends nothing."""
        field = self.query_one(Input)
        field.cursor_blink = False
        field.focus()
        self.call_after_refresh(self._draw)

    def _draw(self, wrong: str = "") -> None:
        title = self.query_one("#sheet-title", Lines)
        title.show(
            [
                spread(
                    content(toned(safe(self._title), "bold")),
                    content(toned("Enter takes   Esc back", "quiet")),
                    title.size.width,
                )
            ]
        )
        note = self.query_one("#sheet-note", Lines)
        note.show(wrapped(wrong or self._meaning, note.size.width, "bad" if wrong else "quiet"))

    def on_input_changed(self, event: Input.Changed) -> None:
        """Say at once what is wrong."""
        self._draw(self._check(event.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take it when nothing is wrong."""
        wrong = self._check(event.value)
        if wrong:
            self._draw(wrong)
        else:
            self.dismiss(event.value)

    def on_key(self, event: Key) -> None:
        """Leave with Esc."""
        if event.key in {"escape", "ctrl+c"}:
            event.stop()
            self.dismiss(None)
