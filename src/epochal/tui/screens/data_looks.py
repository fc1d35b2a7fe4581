"""Looking closer: a whole cell, a row as a form, values with counts, the account, rejects, SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.content import Content
from textual.events import Resize

from epochal.data import protocol
from epochal.show import cell_width, counted, fit, safe
from epochal.tui.glyphs import glyphs
from epochal.tui.screens.data_cleaning import change_values, drop_values
from epochal.tui.screens.data_facets import LOW, Facets, Wish
from epochal.tui.screens.data_moves import Action
from epochal.tui.screens.overlay import Keys, Overlay, Reader
from epochal.tui.text import content, stacked
from epochal.tui.widgets.grid import Grid
from epochal.tui.widgets.grid_columns import GridColumn
from epochal.tui.widgets.lines import Lines
from epochal.tui.widgets.pages import MemoryPages
from epochal.workbench.views.data import number


if TYPE_CHECKING:
    from epochal.tui.screens.data import DataScreen

Account = Mapping[str, Any]


def _name_of_row(screen: DataScreen) -> str:
    """What the row under the cursor is called at its left."""
    grid = screen.grid
    eid = grid.pages.eid(grid.cursor_row) if grid.own_numbers else None
    return number(grid.cursor_row + 1) if eid is None else f"#{eid + 1}"


def _cell(screen: DataScreen) -> None:
    column = screen.column
    if column is None or screen.data.view is None:
        return
    row, name = screen.grid.cursor_row, _name_of_row(screen)
    reader = Reader(column.title, f"row {name}")
    screen.app.push_screen(reader)

    def show(body: Mapping[str, Any]) -> None:
        if reader.is_attached:
            text = body["text"]
            words = (f"{glyphs().waiting} missing", "$ep-quiet") if text is None else (text, "$ep-text")
            note = f"row {name}  ·  {counted(body['length'], 'character')}"
            reader.read(content(words), note=note, copied=text or "")

    request = protocol.ReadCell(token=screen.data.view.token, row=row, column=column.name)
    screen.data.ask("cell", request, show)


def _copy(screen: DataScreen) -> None:
    def copy(text: str | None) -> None:
        screen.app.copy_to_clipboard(text or "")
        screen.data.say(f"copied: {fit(safe(text or '', 200), 60)}" if text else "this cell is missing: nothing copied")

    screen.with_cell(copy)


def _copy_row(screen: DataScreen) -> None:
    def copy(cells: Sequence[str | None]) -> None:
        screen.app.copy_to_clipboard("\t".join(c or "" for c in cells))
        screen.data.say(f"copied: {counted(len(cells), 'cell')} of row {_name_of_row(screen)}")

    _read_row(screen, screen.grid.cursor_row, copy)


def _read_row(screen: DataScreen, row: int, then: Any) -> None:
    if screen.data.view is None or not screen.grid.rows:
        return
    names = tuple(c.name for c in screen.all_columns)
    request = protocol.ReadPage(token=screen.data.view.token, first=row, count=1, columns=names, cut=10_000)
    screen.data.ask("row", request, lambda page: then(page.rows[0]) if page.rows else None)


class RowForm(Overlay[None]):
    """One row, a line for each column."""

    DEFAULT_CSS = """
    RowForm > #box { width: 92; }
    RowForm #cells { height: auto; max-height: 32; background: $ep-surface; }
    RowForm.-short #cells { max-height: 15; }
    """
    KEYS: ClassVar[Keys] = (("j k", "column"), ("J K", "other row"), ("v", "whole cell"), ("Esc", "back"))

    def __init__(self, data_screen: DataScreen) -> None:
        super().__init__("Row")
        self._on, self._cells, self._at = data_screen, (), data_screen.grid.cursor_column

    _cells: Sequence[str | None]

    def compose_inside(self) -> ComposeResult:
        """The cells."""
        yield Lines(id="cells")

    def on_mount(self) -> None:
        """Read the row under the grid's cursor."""
        self._read()

    def on_resize(self, event: Resize) -> None:
        """Names and values share the width."""
        self.set_class(event.size.height < LOW, "-short")
        self.call_after_refresh(self._draw)

    def _read(self) -> None:
        _read_row(self._on, self._on.grid.cursor_row, self._show)

    def _show(self, cells: Sequence[str | None]) -> None:
        self._cells = cells
        if self.is_attached:
            self.set_title(f"Row {_name_of_row(self._on)}", f"of {number(self._on.grid.rows)}")
            self._draw()

    def _draw(self) -> None:
        lines = self.query_one("#cells", Lines)
        width = lines.size.width
        columns = self._on.all_columns
        if not self._cells or not width or len(columns) != len(self._cells):
            return
        name = min(max(cell_width(c.title) for c in columns), width // 3)
        kind = max(cell_width(c.role or c.kind) for c in columns)
        drawn = []
        for n, (column, cell) in enumerate(zip(columns, self._cells, strict=True)):
            here = n == self._at
            title = fit(column.title, name)
            style = "bold $ep-accent" if here else ("$ep-second" if column.role == "target" else "$ep-text")
            value = (glyphs().waiting, "$ep-quiet") if cell is None else (cell, "$ep-text")
            drawn.append(
                content(
                    (f"{glyphs().here if here else ' '} ", "$ep-accent"),
                    (title + " " * (name - cell_width(title)), style),
                    (f"  {column.role or column.kind:<{kind}}  ", "$ep-quiet"),
                    value,
                )
            )
        lines.show(drawn, self._at)

    def key_pressed(self, pressed: str) -> bool:
        """Move in the row, to other rows, into the cell."""
        grid = self._on.grid
        moves = {"j": 1, "down": 1, "k": -1, "up": -1, "PgDn": 10, "PgUp": -10}
        if pressed in moves:
            self._at = max(0, min(self._at + moves[pressed], len(self._cells) - 1))
            self._draw()
        elif pressed in {"J", "n", "K", "p"}:
            grid.move(1 if pressed in "Jn" else -1)
            self._read()
        elif pressed in {"v", "Enter"}:
            names = [c.name for c in grid.columns]
            wanted = self._on.all_columns[self._at].name
            if wanted in names:
                grid.go(grid.cursor_row, names.index(wanted))
                _cell(self._on)
        else:
            return False
        return True


def _form(screen: DataScreen) -> None:
    if screen.grid.rows:
        screen.app.push_screen(RowForm(screen))


# ── values with counts ──


def _facets(screen: DataScreen) -> None:
    column, view = screen.column, screen.data.view
    if column is None or view is None:
        return
    facets = Facets(column.title)

    def done(wish: Wish | None) -> None:
        screen.data.drop("facets")  # left before it was counted: nobody waits any more
        if wish is not None:
            _FACET_WISHES[wish[0]](screen, column, wish[1])

    screen.app.push_screen(facets, done)
    screen.data.ask(
        "facets",
        protocol.ReadFacets(token=view.token, column=column.name, limit=1_000),
        lambda body: facets.show(body, rows=view.rows) if facets.is_attached else None,
    )


def _condition(values: Sequence[str | None]) -> tuple[str, Any]:
    if len(values) == 1:
        return ("missing", None) if values[0] is None else ("equals", values[0])
    return "among", list(values)


def _look_at(screen: DataScreen, column: GridColumn, values: Sequence[str | None]) -> None:
    op, value = _condition(values)
    shown = ", ".join("missing" if v is None else safe(v, 30) for v in values[:3])
    more = f" and {len(values) - 3} more" if len(values) > 3 else ""
    screen.data.narrow(column.name, op, value, f"{column.title} is {shown}{more}")


def _select(screen: DataScreen, column: GridColumn, values: Sequence[str | None]) -> None:
    alternatives = tuple(((column.name, *_condition([v])),) for v in values)
    screen.data.rows.select_where(alternatives, f"with {counted(len(values), 'value')} of {column.title}")


_FACET_WISHES: Mapping[str, Any] = {
    "look": _look_at,
    "select": _select,
    "drop": lambda screen, _column, values: drop_values(screen, values),
    "map": lambda screen, _column, values: change_values(screen, values),
}


# ── the account, rejects, SQL ──


def account(ledger: Account, *, opened: bool = False) -> Content:
    """The whole account: lines of each source, rows by step, parts; whether the test part was `opened` for a run."""
    lines: list[Content] = []

    def line(label: str, value: int, *, sign: str = "", strong: bool = False, note: str = "") -> None:
        style = "bold $ep-text" if strong else "$ep-text"
        lines.append(
            content(
                (f"{sign:>2} ", "$ep-quiet"),
                (f"{number(value):>12}  ", style),
                (label, style),
                (f"  {note}", "$ep-quiet"),
            )
        )

    for source in ledger["sources"]:
        lines.append(content((safe(source["name"], 60), "bold $ep-accent")))
        line("lines in the file", source["lines"])
        for key, words in (
            ("header", "header"),
            ("blank", "blank"),
            ("continuation", "inside a quoted field"),
            ("rejected", "rejected (r shows them)"),
        ):
            if source[key]:
                line(words, source[key], sign="−")
        note = f"{counted(source['rejected_cells'], 'cell')} rejected" if source["rejected_cells"] else ""
        line("rows read", source["read"], sign="=", strong=True, note=note)
        lines.append(Content(""))
    lines.append(content(("Cleaning", "bold $ep-accent")))
    if len(ledger["sources"]) > 1:
        line("rows read from all sources", ledger["read"])
    for step in ledger["steps"]:
        if step["removed"]:
            line(f"left out by step {step['n']}, {step['op']}", step["removed"], sign="−")
    line("rows kept", ledger["kept"], sign="=", strong=True)
    lines += [Content(""), content(("Split", "bold $ep-accent"))]
    line("to train on", ledger["train"])
    line("to choose the best model (validation)", ledger["validation"], sign="+")
    line("test" if opened else "sealed until the end (test)", ledger["test"], sign="+")
    sums = (
        (f"{glyphs().done} every line is accounted for", "$ep-good")
        if ledger["sums"]
        else (f"{glyphs().bad} the account does not sum", "$ep-bad")
    )
    lines += [Content(""), content(sums)]
    return stacked(lines)


def _ledger(screen: DataScreen) -> None:
    if screen.data.ledger is None:
        screen.data.say("the account is being made" if screen.data.waits("ledger") else "there is no account yet")
        return
    words = "\n".join(screen.data.ledger.get("words", ()))
    opened = any((run.folder / "report" / "view.json").exists() for run in screen.session.seen.runs)
    shown = account(screen.data.ledger, opened=opened)
    reader = Reader("Ledger", "where every line and row went", shown, copied=words)
    screen.app.push_screen(reader)


def _sql(screen: DataScreen) -> None:
    reader = Reader("The recipe as one SQL statement", counted(len(screen.data.recipe.steps), "step"))
    screen.app.push_screen(reader)

    def show(body: Mapping[str, Any]) -> None:
        if reader.is_attached:
            text = "\n".join(safe(line, 2000) for line in str(body["sql"]).splitlines())
            reader.read(content((text, "$ep-text")), copied=str(body["sql"]))

    screen.data.ask("sql", protocol.ReadSql(folder=screen.data.folder, document=screen.session.document), show)


class Rejects(Overlay[None]):
    """Lines and cells that did not fit, as a table of their own."""

    DEFAULT_CSS = """
    Rejects > #box { width: 130; height: 90%; }
    Rejects Grid { height: 1fr; }
    """
    KEYS: ClassVar[Keys] = (("j k", "move"), ("h l", "column"), ("Enter", "whole cell"), ("Esc", "back"))

    def __init__(self) -> None:
        super().__init__("Rejects", "looking …")
        self._texts: tuple[str, ...] = ()
        """What was rejected, whole."""

    def compose_inside(self) -> ComposeResult:
        """The table."""
        grid = Grid()
        grid.empty = "nothing was rejected: every line and cell fits"
        yield grid

    def show(self, body: Mapping[str, Any]) -> None:
        """Show what the host knows."""
        names = ("source", "line", "column", "kind", "text")
        self._texts = tuple(str(r["text"] or "") for r in body["rejects"])
        rows = [tuple(None if r[n] is None else safe(str(r[n]), 500) for n in names) for r in body["rejects"]]
        widths = [max([cell_width(row[i] or "") for row in rows[:200]] + [len(n)]) for i, n in enumerate(names)]
        room = max(30, self.query_one(Grid).size.width - sum(min(w, 20) for w in widths[:4]) - 18)
        columns = [
            GridColumn(name=n, title=n, width=min(w, room if n == "text" else 20), right=n == "line")
            for n, w in zip(names, widths, strict=True)
        ]
        self.query_one(Grid).show(MemoryPages(names, rows), len(rows), columns)
        total = int(body["total"])
        note = counted(total, "reject")
        self.set_title("Rejects", note if total == len(rows) else f"first {number(len(rows))} of {note}")

    def key_pressed(self, pressed: str) -> bool:
        """Move in the table."""
        grid = self.query_one(Grid)
        rows = {"j": 1, "down": 1, "k": -1, "up": -1, "PgDn": 15, "PgUp": -15, "G": grid.rows, "g": -grid.rows}
        columns = {"l": 1, "right": 1, "h": -1, "left": -1}
        if pressed in {"Enter", "v"} and self._texts:
            text = self._texts[grid.cursor_row]
            lines = "\n".join(safe(line, 2000) for line in text.splitlines())
            reader = Reader(
                f"Reject {number(grid.cursor_row + 1)}", counted(len(text), "character"), content(lines), text
            )
            self.app.push_screen(reader)
            return True
        if pressed not in rows and pressed not in columns:
            return False
        grid.move(rows.get(pressed, 0), columns.get(pressed, 0))
        return True


def _rejects(screen: DataScreen) -> None:
    rejects = Rejects()
    screen.app.push_screen(rejects)
    request = protocol.ReadRejects(folder=screen.data.folder, document=screen.session.document)
    screen.data.ask("rejects", request, lambda body: rejects.show(body) if rejects.is_attached else None)


LOOKS: Mapping[str, Action] = {
    "cell": _cell,
    "form": _form,
    "copy": _copy,
    "copy-row": _copy_row,
    "facets": _facets,
    "ledger": _ledger,
    "rejects": _rejects,
    "sql": _sql,
}
"""What each command of the registry does, by its name after `data.`."""
