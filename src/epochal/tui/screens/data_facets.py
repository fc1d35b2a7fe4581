"""The values of a column with their counts: look at some, select them, leave them out, change one everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.content import Content
from textual.events import Key, Resize
from textual.widgets import Input

from epochal.show import cell_width, counted, fit
from epochal.tui.glyphs import glyphs
from epochal.tui.screens.overlay import Keys, Overlay
from epochal.tui.text import content
from epochal.tui.widgets.lines import Lines
from epochal.workbench.views.data import number, share


FEW = 20
"""So many values are listed even where each stands in one row only."""

LOW = 30
"""Lines of a screen below which fewer values are shown at once."""

Wish = tuple[str, tuple[str | None, ...]]
"""What to do (look, select, drop, map) with which values (None: missing)."""


class Facets(Overlay[Wish]):
    """One column's values, the most frequent first."""

    DEFAULT_CSS = """
    Facets > #box { width: 80; }
    Facets #values { height: auto; max-height: 24; background: $ep-surface; }
    Facets.-short #values { max-height: 13; }
    """
    KEYS: ClassVar[Keys] = (
        ("/", "find"),
        ("Enter", "look"),
        ("s", "mark"),
        (",", "select"),
        ("d", "leave out"),
        ("e", "change"),
        ("Esc", "back"),
    )

    def __init__(self, column: str) -> None:
        super().__init__(column, "counting …")
        self._values: tuple[tuple[str, int, str | None], ...] = ()
        self._found: list[int] = []
        """Places of the values that are shown: all, or those that hold the letters typed."""
        self._cursor = 0
        """A place among those shown."""
        self._marked: set[int] = set()
        self._rows = 0
        self._note = ""
        """How many values there are, for the title."""
        self._among = ""
        """Which of the values are listed, where not all are."""
        self._largest = self._room = self._widest = 1
        """The largest count, its cells, and the cells of the widest value."""
        self._all_different = ""
        """What is said instead of a list of values that each stand in one row."""

    def compose_inside(self) -> ComposeResult:
        """The letters looked for, the values."""
        yield Input(placeholder="some letters of the value")
        yield Lines(id="values")

    def on_mount(self) -> None:
        """No letters are looked for until / asks for it."""
        self.query_one(Input).display = False

    def show(self, body: Mapping[str, Any], *, rows: int) -> None:
        """Show what the host counted."""
        self._values = tuple((str(v[0]), int(v[1]), v[2]) for v in body["values"])
        self._rows = rows
        distinct = int(body["distinct"])
        first = f"first {number(len(self._values))}" if distinct > len(self._values) else ""
        self._among = f" among the {first}" if first else ""
        self._note = ", ".join(part for part in (counted(distinct, "value"), first) if part)
        self._note = f"{self._note} in {counted(rows, 'row')}"
        # The host lists the most frequent first: where those stand in one row each, so do the values not listed.
        if distinct > FEW and all(count == 1 for _v, count, raw in self._values if raw is not None):
            self._values = tuple(v for v in self._values if v[2] is None)
            self._all_different = f"every value is different: {number(distinct)} values, each in one row"
        self._largest = max((count for _v, count, _raw in self._values), default=1) or 1
        self._room = cell_width(number(self._largest))
        self._widest = max((cell_width(_shown(text, raw)) for text, _c, raw in self._values), default=1)
        self._find("")

    def _find(self, letters: str) -> None:
        """Show the values that hold these letters."""
        wanted = letters.casefold()
        self._found = [n for n, (text, _c, _raw) in enumerate(self._values) if wanted in text.casefold()]
        self._cursor = 0
        hidden = len(self._marked.difference(self._found))
        self.set_title(self.said_title, f"{number(hidden)} marked, out of sight" if hidden else self._note)
        self._draw()

    def on_resize(self, event: Resize) -> None:
        """The bars fit the box."""
        self.set_class(event.size.height < LOW, "-short")
        self.call_after_refresh(self._draw)

    def _draw(self) -> None:
        lines = self.query_one("#values", Lines)
        width = lines.content_size.width
        if self._all_different:
            said = content((self._all_different, "$ep-text"))
            lines.show_made(len(self._found) + 1, lambda n: self._line(n - 1, width) if n else said, self._cursor + 1)
        elif self._found:
            lines.show_made(len(self._found), lambda n: self._line(n, width), self._cursor)
        elif self._values:
            lines.show([content((f"no value{self._among} holds these letters", "$ep-quiet"))])

    def _line(self, place: int, width: int) -> Content:
        n = self._found[place]
        text, count, raw = self._values[n]
        here = place == self._cursor
        name = max(8, min(self._widest, width - self._room - 26))
        space = max(4, width - name - self._room - 16)
        eighths = max(1, round(count / self._largest * space * 8)) if count else 0
        full, rest = divmod(eighths, 8)
        cut = fit(_shown(text, raw), name)
        return content(
            (f"{glyphs().here if here else ' '} ", "$ep-accent"),
            (f"{glyphs().mark if n in self._marked else ' '} ", "$ep-blue"),
            (
                cut + " " * (name - cell_width(cut)),
                "$ep-quiet" if raw is None else ("bold $ep-accent" if here else "$ep-text"),
            ),
            f"  {number(count):>{self._room}}  ",
            (f"{share(count, self._rows):>6}  ", "$ep-quiet"),
            (glyphs().blocks[8] * full + (glyphs().blocks[rest] if rest else ""), "$ep-blue"),
        )

    def key_pressed(self, pressed: str) -> bool:
        """Move, mark, do."""
        moves = {"j": 1, "down": 1, "k": -1, "up": -1, "PgDn": 10, "PgUp": -10}
        wishes = {"Enter": "look", ",": "select", "d": "drop", "e": "map"}
        if pressed in moves:
            self._cursor = max(0, min(self._cursor + moves[pressed], len(self._found) - 1))
        elif pressed in {"g", "G"}:
            self._cursor = 0 if pressed == "g" else max(0, len(self._found) - 1)
        elif pressed in {"s", "t", "Space"} and self._found:
            self._marked ^= {self._found[self._cursor]}
            self._cursor = min(self._cursor + 1, len(self._found) - 1)
        elif pressed in wishes and self._found:
            # What is marked and out of sight is not meant by a key pressed on what is shown.
            places = sorted(self._marked.intersection(self._found)) or [self._found[self._cursor]]
            self.dismiss((wishes[pressed], tuple(self._values[n][2] for n in places)))
        elif pressed == "/" and self._values:
            field = self.query_one(Input)
            field.display = True
            field.focus()
        else:
            return False
        self._draw()
        return True

    def on_input_changed(self, event: Input.Changed) -> None:
        """Fewer values, or more again."""
        self._find(event.value)

    def on_key(self, event: Key) -> None:
        """While letters are typed arrows move, and Enter gives the keys to the values found; Esc shows all again first."""
        field = self.query_one(Input)
        if event.key == "escape" and field.display:
            field.value, field.display = "", False
            self.set_focus(None)
        elif self.focused is field and event.key == "enter":
            self.set_focus(None)
        elif self.focused is field and event.key in {"up", "down"}:
            self.key_pressed(event.key)
        else:
            return
        event.stop()
        event.prevent_default()


def _shown(text: str, raw: str | None) -> str:
    """A value as it is listed."""
    return f"{glyphs().waiting} missing" if raw is None else text or '""'
