"""Names and values as SQL text, and what DuckDB's types are to us."""

from __future__ import annotations

import math
import re
from typing import Any


_NUMBERS = frozenset(
    {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"}
    | {"FLOAT", "DOUBLE", "REAL"}
)
_FLOATS = frozenset({"FLOAT", "DOUBLE", "REAL"})


def identifier(name: str) -> str:
    """A name as SQL: bare when it is plain and internal, else quoted."""
    if re.fullmatch(r"_[a-z_0-9]+", name):
        return name
    return '"' + name.replace('"', '""') + '"'


def table_name(name: str) -> str:
    """A table's name as SQL: ours are plain, and dotted where they stand in an attached database."""
    return name if re.fullmatch(r"[a-z_0-9]+(\.[a-z_0-9]+){0,2}", name) else identifier(name)


def literal(text: str) -> str:
    """A text as SQL."""
    return "'" + text.replace("'", "''") + "'"


def is_number_type(kind: str) -> bool:
    """Whether DuckDB's type is a number."""
    return kind in _NUMBERS or kind.startswith("DECIMAL")


def is_float_type(kind: str) -> bool:
    """Whether DuckDB's type is a binary floating point number."""
    return kind in _FLOATS


def is_text_type(kind: str) -> bool:
    """Whether DuckDB's type is text, dictionaries included."""
    return kind == "VARCHAR" or kind.startswith("ENUM")


def is_date_type(kind: str) -> bool:
    """Whether DuckDB's type is a date or a point in time."""
    return kind == "DATE" or kind.startswith("TIMESTAMP")


def as_text(column: str, kind: str, of: str = "") -> str:
    """A column's value as text: numbers without a needless `.0`."""
    named = f"{of}.{identifier(column)}" if of else identifier(column)
    if kind == "VARCHAR":
        return named
    if is_float_type(kind):
        return f"regexp_replace(CAST({named} AS VARCHAR), '\\.0$', '')"
    return f"CAST({named} AS VARCHAR)"


def typed_literal(value: Any, kind: str) -> str | None:
    """A value as a literal that fits a column of the type; None when it cannot."""
    if kind == "BOOLEAN":
        words = {"true": "true", "false": "false"}
        return words.get(str(value).lower())
    if is_number_type(kind):
        number = number_literal(value)
        return number if number is not None else None
    if is_date_type(kind):
        return f"CAST({literal(str(value))} AS {kind})" if re.match(r"\d{4}-\d\d?-\d\d?", str(value)) else None
    if is_text_type(kind):
        return literal(text_of(value)) if text_of(value) else None
    return number_literal(value) if isinstance(value, (int, float)) else literal(str(value))


def text_of(value: Any) -> str:
    """A setting's value as the text a cell would hold."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def number_literal(value: Any) -> str | None:
    """A number, or a text that is one, as SQL; None for anything else."""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, str) and not re.fullmatch(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,3})?\s*", value):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    if not math.isfinite(number):
        return None
    if isinstance(value, int) or (isinstance(value, str) and re.fullmatch(r"\s*[-+]?\d{1,18}\s*", value)):
        return str(int(value))
    return f"CAST({number!r} AS DOUBLE)"
