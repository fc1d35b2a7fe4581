"""The values of a column with their counts: look at some, select them, leave them out, change one everywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.content import Content
from textual.events import Resize

from epochal.show import cell_width, fit
from epochal.tui.glyphs import glyphs
from epochal.tui.screens.overlay import Keys, Overlay
from epochal.tui.text import content
from epochal.tui.widgets.lines import Lines
from epochal.workbench.views.data import number, plural, share


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
        self._cursor = 0
        self._marked: set[int] = set()
        self._rows = 0

    def compose_inside(self) -> ComposeResult:
        """The values."""
        yield Lines(id="values")

    def show(self, body: Mapping[str, Any], *, rows: int) -> None:
        """Show what the host counted."""
        self._values = tuple((str(v[0]), int(v[1]), v[2]) for v in body["values"])
        self._rows = rows
        distinct = int(body["distinct"])
        note = plural(distinct, "value") + (
            f", first {number(len(self._values))}" if distinct > len(self._values) else ""
        )
        self.set_title(self.said_title, f"{note} in {plural(rows, 'row')}")
        self._draw()

    def on_resize(self, event: Resize) -> None:
        """The bars fit the box."""
        self.set_class(event.size.height < LOW, "-short")
        self.call_after_refresh(self._draw)

    def _draw(self) -> None:
        if self._values:
            lines = self.query_one("#values", Lines)
            lines.show(list(self._lines(lines.content_size.width)), self._cursor)

    def _lines(self, width: int) -> Sequence[Content]:
        largest = max(count for _v, count, _raw in self._values) or 1
        room = cell_width(number(largest))
        widest = max(
            cell_width(f"{glyphs().waiting} missing" if raw is None else shown) for shown, _c, raw in self._values
        )
        name = max(8, min(widest, width - room - 26))
        space = max(4, width - name - room - 16)
        lines = []
        for n, (shown, count, raw) in enumerate(self._values):
            here = n == self._cursor
            eighths = max(1, round(count / largest * space * 8)) if count else 0
            full, rest = divmod(eighths, 8)
            text = glyphs().waiting + " missing" if raw is None else shown or '""'
            cut = fit(text, name)
            lines.append(
                content(
                    (f"{glyphs().here if here else ' '} ", "$ep-accent"),
                    (f"{glyphs().mark if n in self._marked else ' '} ", "$ep-blue"),
                    (
                        cut + " " * (name - cell_width(cut)),
                        "$ep-quiet" if raw is None else ("bold $ep-accent" if here else "$ep-text"),
                    ),
                    f"  {number(count):>{room}}  ",
                    (f"{share(count, self._rows):>6}  ", "$ep-quiet"),
                    (glyphs().blocks[8] * full + (glyphs().blocks[rest] if rest else ""), "$ep-blue"),
                )
            )
        return lines

    def key_pressed(self, pressed: str) -> bool:
        """Move, mark, do."""
        moves = {"j": 1, "down": 1, "k": -1, "up": -1, "PgDn": 10, "PgUp": -10}
        wishes = {"Enter": "look", ",": "select", "d": "drop", "e": "map"}
        if pressed in moves:
            self._cursor = max(0, min(self._cursor + moves[pressed], len(self._values) - 1))
        elif pressed in {"g", "G"}:
            self._cursor = 0 if pressed == "g" else max(0, len(self._values) - 1)
        elif pressed in {"s", "t", "Space"}:
            self._marked ^= {self._cursor}
            self._cursor = min(self._cursor + 1, len(self._values) - 1)
        elif pressed in wishes and self._values:
            places = sorted(self._marked) or [self._cursor]
            self.dismiss((wishes[pressed], tuple(self._values[n][2] for n in places)))
        else:
            return False
        self._draw()
        return True
