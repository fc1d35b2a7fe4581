"""What each cell-changing step makes of one column: its SQL expression and the type that comes out."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from epochal.core.errors import StepError
from epochal.core.steps import Step
from epochal.data.sqltext import (
    as_text,
    identifier,
    is_date_type,
    is_float_type,
    is_number_type,
    is_text_type,
    literal,
    number_literal,
    typed_literal,
)


SPACES = r"[\s\pZ]+"
"""RE2 for what counts as space: ASCII white space and Unicode separators (no-break space and its like)."""

TRUE_WORDS = ("true", "t", "yes", "y", "1")
FALSE_WORDS = ("false", "f", "no", "n", "0")

Made = tuple[str, str] | None
"""Expression and type; None leaves the column as it is."""


def trimmed(text: str) -> str:
    """SQL that takes all kinds of space off both ends."""
    return f"regexp_replace({text}, '^{SPACES}|{SPACES}$', '', 'g')"


def _text_needed(step: Step, column: str, kind: str, n: int) -> str:
    """The column as text. Raises StepError when it holds something else."""
    if kind and not is_text_type(kind):
        raise StepError(
            f"step {n} ({step.op}) works on text, and {column!r} is {_words(kind)}",
            where=f"clean step {n}",
            fix="take the column out of the step, or set its kind to text before",
            code="wrong-kind",
        )
    return as_text(column, kind)


def _words(kind: str) -> str:
    if is_number_type(kind):
        return "a number"
    if is_date_type(kind):
        return "a date"
    return "true or false" if kind == "BOOLEAN" else kind


def _trim(step: Step, column: str, kind: str, n: int) -> Made:
    return f"nullif({trimmed(_text_needed(step, column, kind, n))}, '')", "VARCHAR"


def _lower(step: Step, column: str, kind: str, n: int) -> Made:
    return f"lower({_text_needed(step, column, kind, n)})", "VARCHAR"


def _upper(step: Step, column: str, kind: str, n: int) -> Made:
    return f"upper({_text_needed(step, column, kind, n)})", "VARCHAR"


def _collapse(step: Step, column: str, kind: str, n: int) -> Made:
    return f"regexp_replace({_text_needed(step, column, kind, n)}, '{SPACES}', ' ', 'g')", "VARCHAR"


def _replace(step: Step, column: str, kind: str, n: int) -> Made:
    text = _text_needed(step, column, kind, n)
    find, by = step.params["find"], step.params.get("with", "")
    if not find:
        raise StepError(f"step {n} looks for nothing", where=f"clean step {n}", fix="say what to look for")
    if step.params.get("regex", False):
        return f"nullif(regexp_replace({text}, {literal(find)}, {literal(by)}, 'g'), '')", "VARCHAR"
    return f"nullif(replace({text}, {literal(find)}, {literal(by)}), '')", "VARCHAR"


def _map_values(step: Step, column: str, kind: str, n: int) -> Made:
    mapping = step.params.get("mapping")
    if mapping is None:
        raise StepError(
            f"step {n} takes its mapping from a file that was not read", where=f"clean step {n}", code="mapping"
        )
    text = as_text(column, kind)
    if not mapping:
        return None
    cases = " ".join(f"WHEN {literal(a)} THEN {literal(b) if b else 'NULL'}" for a, b in mapping.items())
    after = _mapped_type([b for b in mapping.values() if b], kind)
    return as_mapped(f"CASE {text} {cases} ELSE {text} END", after), after


def _mapped_type(given: Sequence[str], kind: str) -> str:
    """The type of a column after a mapping: as it was where every new value can be of it, else text."""
    if not (is_number_type(kind) or is_date_type(kind) or kind == "BOOLEAN"):
        return "VARCHAR"
    if any(typed_literal(value, kind) is None for value in given):
        return "VARCHAR"
    whole = is_number_type(kind) and not is_float_type(kind)
    return "DOUBLE" if whole and not all(re.fullmatch(r"\s*[-+]?\d{1,18}\s*", value) for value in given) else kind


def as_mapped(expression: str, kind: str) -> str:
    """A mapping's text as the column's type."""
    return expression if kind == "VARCHAR" else f"TRY_CAST({expression} AS {kind})"


def _mark_missing(step: Step, column: str, kind: str, n: int) -> Made:
    del n
    values = step.params["values"]
    name = identifier(column)
    if is_number_type(kind):
        numbers = [v for v in map(number_literal, values) if v is not None]
        return (f"CASE WHEN {name} IN ({', '.join(numbers)}) THEN NULL ELSE {name} END", kind) if numbers else None
    if kind and not is_text_type(kind):
        return None
    listed = ", ".join(literal(v) for v in dict.fromkeys(v.strip() for v in values))
    return f"CASE WHEN {trimmed(as_text(column, kind))} IN ({listed}) THEN NULL ELSE {name} END", kind


def _fill(step: Step, column: str, kind: str, n: int) -> Made:
    value = typed_literal(step.params["value"], kind)
    if value is None:
        raise StepError(
            f"step {n} fills {column!r}, which is {_words(kind)}, with {step.params['value']!r}",
            where=f"clean step {n}",
            fix="give a value of the column's kind",
            code="wrong-kind",
        )
    return f"coalesce({identifier(column)}, {value})", kind


def _clip(step: Step, column: str, kind: str, n: int) -> Made:
    if kind and not is_number_type(kind):
        raise StepError(
            f"step {n} limits {column!r}, which is no number",
            where=f"clean step {n}",
            fix="set its kind to number before",
            code="wrong-kind",
        )
    name = identifier(column)
    expression = name
    if "low" in step.params:
        expression = f"greatest({expression}, {number_literal(step.params['low'])})"
    if "high" in step.params:
        expression = f"least({expression}, {number_literal(step.params['high'])})"
    # greatest and least pass missing values over: without this a missing cell would become the limit
    return f"CASE WHEN {name} IS NOT NULL THEN {expression} END", _wider(kind, step)


def _wider(kind: str, step: Step) -> str:
    whole = all(isinstance(step.params[k], int) for k in ("low", "high") if k in step.params)
    return kind if whole and kind in {"BIGINT", "DOUBLE"} else ("DOUBLE" if kind in {"DOUBLE", "FLOAT"} else "")


def number_from_text(text: str) -> str:
    """SQL that reads a text as a finite number; missing when it is none. `1_000`, `inf` and `nan` are none."""
    cast = f"TRY_CAST({text} AS DOUBLE)"
    return f"CASE WHEN isfinite({cast}) AND NOT contains({text}, '_') THEN {cast} END"


def boolean_from_text(text: str) -> str:
    """SQL that reads a text as true or false."""
    true, false = (", ".join(literal(w) for w in words) for words in (TRUE_WORDS, FALSE_WORDS))
    low = f"lower(trim({text}))"
    return f"CASE WHEN {low} IN ({true}) THEN true WHEN {low} IN ({false}) THEN false END"


def date_from_text(text: str, form: str = "") -> str:
    """SQL that reads a text as a point in time: ISO, or a strptime format."""
    if form:
        return f"TRY_CAST(try_strptime(trim({text}), {literal(form)}) AS TIMESTAMP)"
    cast = f"TRY_CAST(trim({text}) AS TIMESTAMP)"
    # DuckDB reads the words epoch and infinity as dates
    return f"CASE WHEN regexp_matches({text}, '^\\s*\\d') THEN {cast} END"


def _set_kind(step: Step, column: str, kind: str, n: int) -> Made:
    del n
    text = as_text(column, kind)
    wanted = step.params["kind"]
    if wanted == "number":
        if is_number_type(kind):
            return None
        if kind == "BOOLEAN":
            return f"CAST({identifier(column)} AS DOUBLE)", "DOUBLE"
        return number_from_text(text), "DOUBLE"
    if wanted == "boolean":
        return None if kind == "BOOLEAN" else (boolean_from_text(text), "BOOLEAN")
    if wanted == "date":
        if is_date_type(kind):
            return None if kind == "TIMESTAMP" else (f"CAST({identifier(column)} AS TIMESTAMP)", "TIMESTAMP")
        return date_from_text(text), "TIMESTAMP"
    return None if kind == "VARCHAR" else (text, "VARCHAR")


def _parse_date(step: Step, column: str, kind: str, n: int) -> Made:
    del n
    if is_date_type(kind):
        return None if kind == "TIMESTAMP" else (f"CAST({identifier(column)} AS TIMESTAMP)", "TIMESTAMP")
    return date_from_text(as_text(column, kind), step.params.get("format", "")), "TIMESTAMP"


def _parse_number(step: Step, column: str, kind: str, n: int) -> Made:
    del n
    if is_number_type(kind):
        return None
    comma = step.params.get("decimal", ".") == ","
    thousands, point = (".", ",") if comma else (",", ".")
    text = as_text(column, kind)
    # one number, a sign, a unit or a currency around it; two numbers are none. Digits may stand in groups, but whole
    # ones (12.345, in India 12,34,567): among decimal commas 170.5 is no 1705
    group = rf"[{thousands}'\pZ]"
    shorter = "" if comma else rf"(?:{group}[0-9]{{2}})*"
    digits = rf"(?:[1-9][0-9]{{0,2}}{shorter}(?:{group}[0-9]{{3}})+|[0-9]+)"
    number = rf"(?:{digits}(?:[{point}][0-9]*)?|[{point}][0-9]+)(?:[eE][-+]?[0-9]{{1,2}})?"
    shape = literal(rf"^[^0-9{point}+-]*([-+]?)[^0-9{point}+-]*({number})[^0-9]*$")
    grouping = literal(group)
    found = f"concat(regexp_extract({text}, {shape}, 1), regexp_extract({text}, {shape}, 2))"
    bare = f"regexp_replace({found}, {grouping}, '', 'g')"
    if comma:
        bare = f"replace({bare}, ',', '.')"
    cast = f"TRY_CAST({bare} AS DOUBLE)"
    return f"nullif(nullif({cast}, CAST('inf' AS DOUBLE)), CAST('-inf' AS DOUBLE))", "DOUBLE"


CELL_OPS: dict[str, Callable[[Step, str, str, int], Made]] = {
    "trim": _trim,
    "lower": _lower,
    "upper": _upper,
    "collapse_spaces": _collapse,
    "replace": _replace,
    "map_values": _map_values,
    "mark_missing": _mark_missing,
    "fill": _fill,
    "clip": _clip,
    "set_kind": _set_kind,
    "parse_date": _parse_date,
    "parse_number": _parse_number,
}
"""Steps that change cells of existing columns: (step, column, its type, the step's number) to expression and type."""
