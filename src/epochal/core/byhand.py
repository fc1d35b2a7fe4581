"""Rows left out by hand: the condition of the filter that does so, written and recognised here and nowhere else."""

from __future__ import annotations

import re
from collections.abc import Sequence


_ROW = 'CAST("_key" AS VARCHAR)'
"""What names a row when no column does: a digest of its content."""

_OWN, _NAME, _TEXT = re.escape(_ROW), r'"(?:[^"]|"")+"', r"'(?:[^']|'')*'"
_CAST = rf"CAST\({_NAME} AS VARCHAR\)"
_COLUMN = rf"coalesce\((?:{_CAST}|regexp_replace\({_CAST}, '\\\.0\$', ''\)), {_OWN}\)"
_FORM = re.compile(rf"(?:{_OWN}|{_COLUMN}) NOT IN \(({_TEXT}(?:, {_TEXT})*)\)")


def without_rows(keys: Sequence[str], column: str = "", *, fraction: bool = False) -> str:
    """The SQL condition that keeps every row but those with these stable keys.

    A key is the text of the key `column`, where that is missing the row's own; `fraction` says that the column holds
    floating numbers, whose text has no needless `.0`.
    """
    text = _ROW
    if column:
        text = f"""CAST("{column.replace('"', '""')}" AS VARCHAR)"""
        text = f"coalesce({_no_nought(text) if fraction else text}, {_ROW})"
    listed = ", ".join("'" + key.replace("'", "''") + "'" for key in keys)
    return f"{text} NOT IN ({listed})"


def _no_nought(text: str) -> str:
    return rf"regexp_replace({text}, '\.0$', '')"


def rows_by_hand(condition: object) -> int:
    """How many rows a condition of `without_rows` leaves out; 0 for any other."""
    found = _FORM.fullmatch(condition) if isinstance(condition, str) else None
    return len(re.findall(_TEXT, found[1])) if found else 0
