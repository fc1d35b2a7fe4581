"""The few types a snapshot holds, and every value as one of them: alike for rows to learn from and for new ones."""

from __future__ import annotations

from epochal.data.sqltext import as_text, identifier, is_date_type, is_float_type
from epochal.data.stepsql import boolean_from_text, date_from_text, number_from_text


_NUMBERS = frozenset({"BIGINT", "DOUBLE"})


def stored_type(kind: str) -> str:
    """The type a column has in a snapshot: one of a few that every reader understands alike."""
    if kind.endswith("]"):
        return "VARCHAR"
    if kind in {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"}:
        return "BIGINT"
    if is_float_type(kind) or kind in {"HUGEINT", "UBIGINT", "UHUGEINT"} or kind.startswith("DECIMAL"):
        return "DOUBLE"
    if is_date_type(kind):
        return "TIMESTAMP"
    return "BOOLEAN" if kind == "BOOLEAN" else "VARCHAR"


def stored_value(name: str, kind: str, wanted: str) -> str:
    """A column's value as a snapshot holds it: no number that is none, no text that is empty."""
    named = identifier(name)
    if wanted == "DOUBLE" and is_float_type(kind):
        return f"CASE WHEN isfinite({named}) THEN {named}::DOUBLE END"
    if wanted == "VARCHAR":
        return f"nullif({as_text(name, kind)}, '')"
    return f"{named}::{wanted}"


def replayed_value(name: str, kind: str, learnt: str) -> str:
    """A new row's value as the type that was learnt from (empty: not known), which its own may differ from.

    It never fails: a value that cannot be of that type is missing.
    """
    own = stored_type(kind)
    if not learnt or learnt == own:
        return f"TRY({stored_value(name, kind, own)})"
    if learnt == "VARCHAR":
        return f"TRY({stored_value(name, kind, learnt)})"
    if learnt in _NUMBERS and own in {*_NUMBERS, "BOOLEAN"}:
        # A fraction is a number too where only whole ones were learnt: it is not rounded to one.
        return f"TRY({stored_value(name, kind, 'DOUBLE')})"
    text = as_text(name, kind)
    read = {"BOOLEAN": boolean_from_text, "TIMESTAMP": date_from_text}.get(learnt, number_from_text)
    return f"TRY({read(text)})"


def may_be_lost(kind: str, learnt: str) -> bool:
    """Whether `replayed_value` may give missing for a value that is one."""
    own = stored_type(kind)
    if own == "TIMESTAMP" and learnt in {"", own}:
        return kind != "TIMESTAMP"
    return learnt not in {"", "VARCHAR", own} and not (learnt in _NUMBERS and own in {*_NUMBERS, "BOOLEAN"})
