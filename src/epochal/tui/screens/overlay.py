"""What lies over the data pane for a moment: a prompt, a choice of names, a text to read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, TypeVar

from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.events import Key, Resize
from textual.reactive import reactive
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Input, Static

from epochal.show import fit
from epochal.tui.glyphs import glyphs
from epochal.tui.text import content, spread, stacked
from epochal.workbench.keys import shown_key, token
from epochal.workbench.views.choose import ranked


Result = TypeVar("Result")

Keys = Sequence[tuple[str, str]]
"""Keys and what they do, for the last line."""


class Overlay(ModalScreen[Result]):
    """A box over the pane. Esc leaves without a result; so does `q` where nothing is typed."""

    DEFAULT_CSS = """
    Overlay { align: center middle; background: $background 65%; }
    Overlay > #box {
        width: 76; max-width: 96%; height: auto; max-height: 94%; background: $ep-surface; padding: 1 2;
        border-left: outer $ep-accent;
    }
    Overlay #title { height: 1; margin-bottom: 1; }
    Overlay #hint { height: 1; margin-top: 1; }
    Overlay Input, Overlay Input:focus {
        height: 1; border: none; padding: 0 1; background: $ep-raised; color: $ep-text;
    }
    Overlay Input:focus { background: $ep-line; }
    Overlay Input > .input--placeholder, Overlay Input > .input--suggestion { color: $ep-quiet; }
    Overlay VerticalScroll { height: auto; scrollbar-size-vertical: 1; background: $ep-surface; }
    """
    AUTO_FOCUS = ""
    KEYS: ClassVar[Keys] = (("Esc", "back"),)

    def __init__(self, title: str, note: str = "") -> None:
        super().__init__()
        self.said_title, self.said_note = title, note

    def compose(self) -> ComposeResult:
        """Title, body, keys."""
        with Vertical(id="box"):
            yield Static(id="title")
            yield from self.compose_inside()
            yield Static(keys_line(self.KEYS), id="hint")

    def compose_inside(self) -> ComposeResult:
        """The body."""
        yield from ()

    def on_mount(self) -> None:
        """Write the title."""
        self.set_title(self.said_title, self.said_note)

    def on_resize(self, _event: Resize) -> None:
        """The title spans the box."""
        self.call_after_refresh(lambda: self.set_title(self.said_title, self.said_note))

    def set_title(self, title: str, note: str = "") -> None:
        """The first line: what this is, and a note at its right end."""
        self.said_title, self.said_note = title, note
        line = self.query_one("#title", Static)
        width = max(line.content_size.width, 20)
        line.update(spread(content((title, "bold $ep-accent")), content((note, "$ep-quiet")), width))

    def on_key(self, event: Key) -> None:
        """Esc goes back; what a text field does not take goes to `key_pressed`."""
        typing = isinstance(self.focused, Input)
        pressed = token(event.key, event.character)
        if pressed == "Esc" or (pressed == "q" and not typing):
            event.stop()
            event.prevent_default()
            self.dismiss(None)
        elif self.key_pressed(pressed):
            event.stop()
            event.prevent_default()
            self._hint()
        elif not typing:
            self._hint(f"{shown_key(pressed)} means nothing here   ")

    def _hint(self, said: str = "") -> None:
        """The last line: what the last key could not do, and the keys that do something."""
        if self.is_attached:
            self.query_one("#hint", Static).update(content((said, "$ep-warning"), keys_line(self.KEYS)))

    def key_pressed(self, pressed: str) -> bool:
        """Do what a key means here. False when it means nothing."""
        del pressed
        return False


def keys_line(keys: Keys) -> Content:
    """Keys and what they do, on one line."""
    gaps = ["", *["   "] * len(keys)]
    return content(
        *(
            p
            for (key, does), gap in zip(keys, gaps, strict=False)
            for p in (gap, (key, "bold $ep-text"), (f" {does}", "$ep-quiet"))
        )
    )


class Prompt(Overlay[str]):
    """One line of text, at the bottom, where eyes are when they search."""

    DEFAULT_CSS = """
    Prompt > #box { width: 100%; max-width: 100%; padding: 0 1; border: none; background: $ep-raised; layout: horizontal; height: 1; margin-bottom: 1; }
    Prompt #title { width: auto; min-width: 4; margin: 0 1 0 0; }
    Prompt #hint { width: auto; margin: 0 0 0 1; }
    Prompt Input, Prompt Input:focus { width: 1fr; background: $ep-raised; padding: 0; }
    """
    CSS = "Prompt.-bottom { align: left bottom; background: transparent; }"
    KEYS = (("Enter", "go"), ("Esc", "back"))

    def __init__(self, title: str, value: str = "", placeholder: str = "") -> None:
        super().__init__(title)
        self.add_class("-bottom")
        self._value, self._placeholder = value, placeholder

    def compose_inside(self) -> ComposeResult:
        """The field."""
        yield Input(self._value, placeholder=self._placeholder, select_on_focus=True)

    def on_mount(self) -> None:
        """Type at once."""
        self.query_one(Input).focus()

    def set_title(self, title: str, note: str = "") -> None:
        """The prompt's words."""
        self.said_title, self.said_note = title, note
        self.query_one("#title", Static).update(content((title, "bold $ep-accent")))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter."""
        event.stop()
        self.dismiss(event.value)


class NameList(Widget):
    """Names under each other, one under the cursor, some marked."""

    DEFAULT_CSS = "NameList { height: 12; }"

    lines: reactive[tuple[tuple[str, str, bool], ...]] = reactive(())
    """Name, note, whether it is marked."""
    cursor: reactive[int] = reactive(0)

    def render(self) -> Content:
        """As many as fit, the cursor's among them."""
        height, width = max(1, self.size.height), self.size.width
        first = max(0, min(self.cursor - height // 2, len(self.lines) - height))
        drawn = []
        for n, (name, note, marked) in enumerate(self.lines[first : first + height], first):
            here = n == self.cursor
            left = content(
                (f"{glyphs().here if here else ' '} ", "$ep-accent"),
                (f"{glyphs().done} " if marked else "", "$ep-good"),
                (fit(name, width - 6), "bold $ep-accent" if here else "$ep-text"),
            )
            drawn.append(spread(left, content((note, "$ep-quiet")), width))
        return stacked(drawn) if drawn else content(("  nothing by that name", "$ep-quiet"))


class Chooser(Overlay[tuple[int, ...]]):
    """A choice among names, by some of their letters; several with Tab, if `many`."""

    KEYS = (("↑ ↓", "move"), ("Enter", "take"), ("Esc", "back"))

    def __init__(
        self,
        title: str,
        names: Sequence[tuple[str, str]],
        *,
        many: bool = False,
        marked: Sequence[int] = (),
        at: int = 0,
    ) -> None:
        super().__init__(title)
        self._names, self._many, self._marked, self._at = tuple(names), many, set(marked), at
        self._found = list(range(len(self._names)))

    def compose_inside(self) -> ComposeResult:
        """A field to type letters, the names below."""
        yield Input(placeholder="type some letters" + (", Tab marks" if self._many else ""))
        yield NameList()

    def on_mount(self) -> None:
        """Type at once."""
        self.query_one(Input).focus()
        self.query_one(NameList).cursor = max(0, self._at)
        self._draw()

    def _draw(self) -> None:
        names = self.query_one(NameList)
        names.lines = tuple((*self._names[n], n in self._marked) for n in self._found)
        names.cursor = max(0, min(names.cursor, len(self._found) - 1))

    def on_input_changed(self, event: Input.Changed) -> None:
        """Fewer names."""
        self._found = ranked(event.value, [name for name, _note in self._names])
        if event.value:
            self.query_one(NameList).cursor = 0
        self._draw()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take what is marked, else what is under the cursor."""
        event.stop()
        if self._marked:
            self.dismiss(tuple(sorted(self._marked)))
        elif self._found:
            self.dismiss((self._found[self.query_one(NameList).cursor],))

    def key_pressed(self, pressed: str) -> bool:
        """Arrows move while letters are typed."""
        names = self.query_one(NameList)
        if pressed in {"up", "down"}:
            names.cursor = max(0, min(names.cursor + (1 if pressed == "down" else -1), len(self._found) - 1))
        elif pressed == "Tab":
            if self._many and self._found:
                self._marked ^= {self._found[names.cursor]}
                names.cursor = min(names.cursor + 1, len(self._found) - 1)
                self._draw()
        else:
            return False
        return True


class Reader(Overlay[None]):
    """A text to read, as long as it is."""

    DEFAULT_CSS = """
    Reader > #box { width: 100; height: auto; }
    Reader #text { height: auto; }
    Reader VerticalScroll { height: auto; }
    """
    KEYS = (("j k", "scroll"), ("y", "copy"), ("Esc", "back"))

    def __init__(self, title: str, note: str = "", text: Content | None = None, copied: str = "") -> None:
        super().__init__(title, note)
        self._text, self._copied = text, copied

    def compose_inside(self) -> ComposeResult:
        """The text."""
        with VerticalScroll(can_focus=False):
            yield Static(self._text or content(("…", "$ep-quiet")), id="text")

    def on_resize(self, event: Resize) -> None:
        """A long text leaves room for the title and the keys."""
        self.query_one(VerticalScroll).styles.max_height = max(3, int(event.size.height * 0.94) - 6)

    def read(self, text: Content, *, note: str = "", copied: str = "") -> None:
        """Show this text; `copied` is what `y` copies."""
        self._copied = copied
        self.query_one("#text", Static).update(text)
        if note:
            self.set_title(self.said_title, note)

    def key_pressed(self, pressed: str) -> bool:
        """Scroll and copy."""
        scroll = self.query_one(VerticalScroll)
        moves: dict[str, Callable[[], None]] = {
            "j": lambda: scroll.scroll_relative(y=1, animate=False),
            "down": lambda: scroll.scroll_relative(y=1, animate=False),
            "k": lambda: scroll.scroll_relative(y=-1, animate=False),
            "up": lambda: scroll.scroll_relative(y=-1, animate=False),
            "PgDn": lambda: scroll.scroll_page_down(animate=False),
            "PgUp": lambda: scroll.scroll_page_up(animate=False),
            "g": lambda: scroll.scroll_home(animate=False),
            "G": lambda: scroll.scroll_end(animate=False),
        }
        if pressed in moves:
            moves[pressed]()
        elif pressed == "y" and self._copied:
            self.app.copy_to_clipboard(self._copied)
            self.set_title(self.said_title, "copied")
        else:
            return False
        return True
