"""Moving, finding, sorting and selecting in the data pane."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from epochal.show import counted
from epochal.tui.screens.overlay import Chooser, Prompt


if TYPE_CHECKING:
    from epochal.tui.screens.data import DataScreen

Action = Callable[["DataScreen"], None]


def _move(rows: int = 0, columns: int = 0) -> Action:
    return lambda screen: screen.grid.move(rows, columns)


def _page(pages: float) -> Action:
    return lambda screen: screen.grid.page(pages)


def _go_row(screen: DataScreen) -> None:
    def go(text: str | None) -> None:
        plain = (text or "").replace(" ", "").replace(",", "")
        if plain.isdecimal() and plain.isascii():
            screen.grid.go(int(plain) - 1)
        elif text:
            screen.data.say(f"{text!r} is no row number")

    screen.app.push_screen(Prompt(f"row, 1 to {screen.grid.rows}"), go)


def _go_column(screen: DataScreen) -> None:
    columns = screen.grid.columns
    names = [(c.title, f"{c.role} {c.kind}".strip()) for c in columns]

    def go(chosen: tuple[int, ...] | None) -> None:
        if chosen:
            screen.grid.go(screen.grid.cursor_row, chosen[0])

    screen.app.push_screen(Chooser("go to column", names, at=screen.grid.cursor_column), go)


_EDGES: Mapping[str, str] = {
    **dict.fromkeys(("down", "page-down", "bottom"), "this is the last row"),
    **dict.fromkeys(("up", "page-up", "top"), "this is the first row"),
    **dict.fromkeys(("right", "last-column"), "this is the last column"),
    **dict.fromkeys(("left", "first-column"), "this is the first column"),
}


def nowhere(screen: DataScreen, move: str, before: tuple[int, int]) -> str:
    """Why a key that moves left the cursor where it was; nothing when it moved, or does something else."""
    grid = screen.grid
    if move not in _EDGES or (grid.cursor_row, grid.cursor_column) != before:
        return ""
    return _EDGES[move] if grid.rows else "there are no rows here"


_OF_A_ROW = frozenset(
    {"cell", "form", "copy", "copy-row", "drop", "edit", "select", "toggle", "unselect", "select-equal"}
)
_OF_A_COLUMN = frozenset({"facets", "profile", "extract", "target", "key", "ignore", "hide", "width"})


def lacking(screen: DataScreen, name: str) -> str:
    """What a command would need that is not there; nothing when it can be done."""
    if screen.grid.rows or name not in _OF_A_ROW | _OF_A_COLUMN | MOVES.keys():
        return ""
    if screen.column is not None:
        return "there are no rows here" if name in _OF_A_ROW else ""
    return "there are no rows to look at: they are being read" if screen.data.failure is None else "there are no rows"


# ── finding ──


def found(screen: DataScreen, row: int, column: str) -> None:
    """Put the cursor where something was found."""
    names = [c.name for c in screen.grid.columns]
    screen.grid.go(row, names.index(column) if column in names else None)


def _search(*, everywhere: bool) -> Action:
    def ask(screen: DataScreen) -> None:
        rows = screen.data.rows
        where = "all columns" if everywhere or screen.column is None else screen.column.title

        def search(pattern: str | None) -> None:
            if pattern:
                rows.pattern = pattern
                rows.pattern_columns = () if everywhere or screen.column is None else (screen.column.name,)
                rows.find(screen.grid.cursor_row, backwards=False, found=lambda r, c: found(screen, r, c))

        screen.app.push_screen(Prompt(f"find in {where}", rows.pattern, "a regular expression"), search)

    return ask


def _again(*, backwards: bool) -> Action:
    def again(screen: DataScreen) -> None:
        screen.data.rows.find(
            screen.grid.cursor_row, backwards=backwards, found=lambda row, column: found(screen, row, column)
        )

    return again


def _seek(what: str, *, backwards: bool) -> Action:
    def seek(screen: DataScreen) -> None:
        if screen.column is not None:
            screen.data.rows.seek(
                screen.grid.cursor_row,
                screen.column.name,
                what,
                backwards=backwards,
                found=lambda row, column: found(screen, row, column),
            )

    return seek


def _seek_selected(*, backwards: bool) -> Action:
    def seek(screen: DataScreen) -> None:
        screen.data.rows.find_selected(
            screen.grid.cursor_row, backwards=backwards, found=lambda row, column: found(screen, row, column)
        )

    return seek


# ── sorting ──


def _sort(*, descending: bool, add: bool = False) -> Action:
    def sort(screen: DataScreen) -> None:
        if screen.column is not None:
            screen.data.sort(screen.column.name, descending=descending, add=add)

    return sort


# ── selecting ──


def _select(*, on: bool | None, go_on: bool) -> Action:
    def select(screen: DataScreen) -> None:
        eid = screen.grid.pages.eid(screen.grid.cursor_row)
        if eid is not None:
            screen.data.rows.select([eid], on=on)
        if go_on:
            screen.grid.move(1)

    return select


def _select_view(*, on: bool | None) -> Action:
    return lambda screen: screen.data.rows.select_where(((),), "in this view", on=on)


def _select_equal(screen: DataScreen) -> None:
    column = screen.column
    if column is None:
        return
    screen.with_cell(
        lambda value: screen.data.rows.select_where(
            (((column.name, "missing", None) if value is None else (column.name, "equals", value),),),
            f"with this {column.title}",
        )
    )


def _select_matching(*, on: bool, everywhere: bool) -> Action:
    def ask(screen: DataScreen) -> None:
        column = screen.column
        if column is None:
            return
        columns = screen.data.column_names if everywhere else (column.name,)

        def select(pattern: str | None) -> None:
            if pattern:
                alternatives = tuple(((name, "matches", pattern),) for name in columns)
                screen.data.rows.select_where(alternatives, f"match {pattern!r}", on=on)

        where = "any column" if everywhere else column.title
        verb = "select" if on else "unselect"
        screen.app.push_screen(Prompt(f"{verb} where {where} matches", "", "a regular expression"), select)

    return ask


def _unselect_all(screen: DataScreen) -> None:
    count = len(screen.data.selected)
    screen.data.rows.select_none()
    screen.data.say(f"{counted(count, 'row')} unselected")


MOVES: Mapping[str, Action] = {
    "down": _move(1),
    "up": _move(-1),
    "left": _move(columns=-1),
    "right": _move(columns=1),
    "page-down": _page(1),
    "page-up": _page(-1),
    "top": lambda screen: screen.grid.go(0),
    "bottom": lambda screen: screen.grid.go(screen.grid.rows - 1),
    "first-column": lambda screen: screen.grid.go(screen.grid.cursor_row, 0),
    "last-column": lambda screen: screen.grid.go(screen.grid.cursor_row, len(screen.grid.columns) - 1),
    "row": _go_row,
    "column": _go_column,
    "next-value": _seek("different", backwards=False),
    "previous-value": _seek("different", backwards=True),
    "next-missing": _seek("missing", backwards=False),
    "previous-missing": _seek("missing", backwards=True),
    "next-selected": _seek_selected(backwards=False),
    "previous-selected": _seek_selected(backwards=True),
    "search": _search(everywhere=False),
    "search-all": _search(everywhere=True),
    "next": _again(backwards=False),
    "previous": _again(backwards=True),
    "sort": _sort(descending=False),
    "sort-down": _sort(descending=True),
    "sort-add": _sort(descending=False, add=True),
    "sort-add-down": _sort(descending=True, add=True),
    "unsort": lambda screen: screen.data.unsort(),
    "select": _select(on=True, go_on=True),
    "toggle": _select(on=None, go_on=False),
    "unselect": _select(on=False, go_on=True),
    "select-all": _select_view(on=True),
    "toggle-all": _select_view(on=None),
    "unselect-all": _unselect_all,
    "select-equal": _select_equal,
    "select-matching": _select_matching(on=True, everywhere=False),
    "unselect-matching": _select_matching(on=False, everywhere=False),
    "select-any": _select_matching(on=True, everywhere=True),
    "unselect-any": _select_matching(on=False, everywhere=True),
    "selection": lambda screen: screen.data.rows.show_selected(),
}
"""What each command of the registry does, by its name after `data.`."""
