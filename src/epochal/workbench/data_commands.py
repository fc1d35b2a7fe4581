"""The commands of the data pane (see `epochal.workbench.commands` for how keys are written)."""

from __future__ import annotations

from epochal.core.steps import OPS
from epochal.workbench.keys import Command


def _data(
    identity: str, title: str, text: str, *keys: str, cli: str = "", footer: int = 0, section: str = "Data"
) -> Command:
    return Command(
        id=f"data.{identity}",
        title=title,
        help=text,
        keys=keys,
        stages=("data",),
        cli=cli,
        footer=footer,
        section=section,
    )


_MOVE = "Move"
_FIND = "Find and sort"
_SELECT = "Select rows"
_CLEAN = "Clean"
_SHOW = "Look closer"

DATA: tuple[Command, ...] = (
    _data("down", "down", "One row down.", "j", "down", section=_MOVE),
    _data("up", "up", "One row up.", "k", "up", section=_MOVE),
    _data("left", "left", "One column left.", "h", "left", section=_MOVE),
    _data("right", "right", "One column right.", "l", "right", section=_MOVE),
    _data("page-down", "page down", "One screen down.", "PgDn", "ctrl+d", section=_MOVE),
    _data("page-up", "page up", "One screen up.", "PgUp", "ctrl+u", section=_MOVE),
    _data("top", "first row", "To the first row.", "gg", section=_MOVE),
    _data("bottom", "last row", "To the last row.", "G", section=_MOVE),
    _data("first-column", "first column", "To the first column.", "gh", "Home", section=_MOVE),
    _data("last-column", "last column", "To the last column.", "gl", "End", section=_MOVE),
    _data("row", "go to row", "To the row with this number (asks).", "zr", section=_MOVE),
    _data("column", "go to column", "To a column by some letters of its name.", "c", section=_MOVE),
    _data("next-value", "next value", "Down to the next row with another value in this column.", ">", section=_MOVE),
    _data("previous-value", "previous value", "Up to the row with another value in this column.", "<", section=_MOVE),
    _data("next-missing", "next missing", "Down to the next missing value of this column.", "z>", section=_MOVE),
    _data("previous-missing", "previous missing", "Up to the missing value before.", "z<", section=_MOVE),
    _data("next-selected", "next selected", "Down to the next selected row.", "}", section=_MOVE),
    _data("previous-selected", "previous selected", "Up to the selected row before.", "{", section=_MOVE),
    _data("part", "next panel", "From the rows to problems, recipe, and back.", "Tab", section=_MOVE),
    _data("part-before", "panel before", "The same the other way round.", "shift+Tab", section=_MOVE),
    _data("search", "search", "Find text in this column (a regular expression).", "/", footer=2, section=_FIND),
    _data("search-all", "search everywhere", "Find text in all columns.", "g/", section=_FIND),
    _data("next", "next hit", "The next row that matches.", "n", section=_FIND),
    _data("previous", "hit before", "The row before that matches.", "N", section=_FIND),
    _data("sort", "sort", "Sort by this column, smallest first; again: as it was.", "[", footer=3, section=_FIND),
    _data("sort-down", "sort down", "Sort by this column, largest first; again: as it was.", "]", section=_FIND),
    _data("sort-add", "then sort", "Sort by this column too, after what sorts already.", "z[", section=_FIND),
    _data("sort-add-down", "then sort down", "The same, largest first.", "z]", section=_FIND),
    _data("unsort", "unsort", "Rows in the order of the source.", "g[", section=_FIND),
    _data("select", "select", "Select this row and go on.", "s", section=_SELECT),
    _data("toggle", "toggle", "Select this row, or unselect it.", "t", section=_SELECT),
    _data("unselect", "unselect", "Unselect this row and go on (U undoes).", "u", section=_SELECT),
    _data("select-all", "select all", "Select every row of this view.", "gs", section=_SELECT),
    _data("toggle-all", "toggle all", "Turn the selection around in this view.", "gt", section=_SELECT),
    _data("unselect-all", "unselect all", "Select nothing.", "gu", section=_SELECT),
    _data("select-equal", "select equal", "Select all rows with this value in this column.", ",", section=_SELECT),
    _data("select-matching", "select matching", "Select rows whose value matches a pattern.", "|", section=_SELECT),
    _data("unselect-matching", "unselect matching", "Unselect rows whose value matches.", "\\", section=_SELECT),
    _data("select-any", "select any", "Select rows where any column matches a pattern.", "g|", section=_SELECT),
    _data("unselect-any", "unselect any", "Unselect rows where any column matches.", "g\\", section=_SELECT),
    _data("selection", "selection", "Look at the selected rows alone; q goes back.", '"', section=_SELECT),
    _data("clean", "clean", "Every cleaning step, with its key.", "m", cli="clean", footer=1, section=_CLEAN),
    _data("kind-text", "as text", "These values are text.", "~", cli="clean set_kind", section=_CLEAN),
    _data("kind-number", "as number", "These values are numbers.", "#", cli="clean set_kind", section=_CLEAN),
    _data("kind-category", "as category", "These values are categories.", "%", cli="clean set_kind", section=_CLEAN),
    _data(
        "parse-number",
        "number with unit",
        "Read numbers with unit or currency.",
        "$",
        cli="clean parse_number",
        section=_CLEAN,
    ),
    _data("parse-date", "as date", "Read these values as dates.", "@", cli="clean parse_date", section=_CLEAN),
    _data("rename", "rename", "Give this column another name.", "^", cli="clean rename", section=_CLEAN),
    _data("fill", "fill", "Fill the missing values of this column.", "f", cli="clean fill", section=_CLEAN),
    _data(
        "edit",
        "change value",
        "Change this value wherever it stands in the column.",
        "e",
        cli="clean map_values",
        section=_CLEAN,
    ),
    _data("compute", "compute", "A new column from an expression.", "=", cli="clean compute", section=_CLEAN),
    _data("replace", "replace", "Replace text in this column.", "*", cli="clean replace", section=_CLEAN),
    _data(
        "extract",
        "extract",
        "A new column from the part that a pattern matches.",
        ";",
        cli="clean compute",
        section=_CLEAN,
    ),
    _data("split", "split column", "Split this column at a separator.", "z;", cli="clean split_column", section=_CLEAN),
    _data(
        "drop",
        "leave out row",
        "Leave this row out, by a step that can be undone.",
        "d",
        cli="clean filter",
        section=_CLEAN,
    ),
    _data("drop-selected", "leave out rows", "Leave all selected rows out.", "gd", cli="clean filter", section=_CLEAN),
    _data(
        "duplicates",
        "duplicates",
        "Leave repeated rows out.",
        "X",
        cli="clean drop_duplicates",
        footer=7,
        section=_CLEAN,
    ),
    _data("target", "predict this", "Make this column the one that is predicted.", "zt", section=_CLEAN),
    _data("key", "key", "This column identifies a row for ever.", "!", section=_CLEAN),
    _data("ignore", "ignore", "Keep this column, but do not learn from it.", "zi", section=_CLEAN),
    _data("hide", "hide column", "Do not show this column (it stays in the data).", "-", section=_SHOW),
    _data("unhide", "show columns", "Show all columns again.", "gv", section=_SHOW),
    _data("width", "width", "This column as wide as it wants, and back.", "_", section=_SHOW),
    _data("facets", "facets", "The values of this column with their counts.", "F", footer=4, section=_SHOW),
    _data("profile", "profile", "Figures of this column, exactly.", "I", cli="data --profile", footer=5, section=_SHOW),
    _data(
        "recipe",
        "recipe",
        "The steps: edit, move, switch off, delete.",
        "D",
        cli="clean --list",
        footer=6,
        section=_SHOW,
    ),
    _data(
        "problems",
        "problems",
        "What is wrong with the data, and how to mend it.",
        "A",
        cli="check",
        footer=8,
        section=_SHOW,
    ),
    _data("ledger", "ledger", "The account of every line and row.", "a", cli="data --ledger", footer=10, section=_SHOW),
    _data(
        "rejects", "rejects", "Lines and cells that did not fit.", "r", cli="data --rejects", footer=11, section=_SHOW
    ),
    _data("sql", "SQL", "The recipe as one SQL statement.", "zs", cli="data --sql", section=_SHOW),
    _data("cell", "whole cell", "All of this cell.", "v", "z Enter", section=_SHOW),
    _data("form", "row", "This row as a form.", "Enter", footer=9, section=_SHOW),
    _data("copy", "copy cell", "Copy the whole cell to the terminal's clipboard.", "y", section=_SHOW),
    _data("copy-row", "copy row", "Copy the row, tabs between cells, to the clipboard.", "Y", section=_SHOW),
    *(
        _data(
            f"step-{op.name}",
            op.title,
            f"Cleaning step {op.name}: m {op.letter}.",
            cli=f"clean {op.name}",
            section=_CLEAN,
        )
        for op in OPS.values()
        if not op.key and op.name != "set_kind"
    ),
    _data("palette", "commands", "Find any command by name.", "Space", section="Everywhere"),
)

ELSEWHERE: dict[str, str] = {
    "W": "pivoting comes later; F counts the values of a column",
    "M": "melting comes later; m lists every cleaning step",
    "&": "joining comes later; several files of one shape are one source by a pattern such as data/*.csv",
    "K": "clustering values comes later; F then e changes values everywhere",
    "L": "labelling is pane 3",
    "P": "the split is decided in pane 1",
    "S": "views are left by q; zs shows the recipe as SQL",
    "C": "c goes to a column by its name",
    "O": "the settings are in pane 1 and in project.toml; : lists all commands",
    "(": "nested values stay text; z; splits a column",
    ")": "nested values stay text; z; splits a column",
    "'": "every step is kept in the recipe: nothing needs to be frozen",
    "ge": "e changes a value wherever it stands; F then s and e change several",
}
"""What stands for keys of VisiData that mean nothing here."""
