"""Parameters of cleaning steps as a person types them, and back; conditions on rows as SQL.

One line of text for each parameter: lists are separated by commas (a part that holds a comma stands in double quotes),
mappings are `old → new` (or `old = new`) pairs.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from epochal.core.errors import SettingsError
from epochal.core.steps import OPS, Op, Param, Step, nearest, parse_step
from epochal.show import grouped, safe


_GROUPED = re.compile(r"[+-]?[0-9]{1,3}( [0-9]{3})+(\.[0-9]*)?")
_ESCAPED = re.compile(r"\\u\{([0-9a-fA-F]{1,6})\}")


def visible(text: str) -> str:
    r"""A text for a field that is typed in: what could act on a terminal stands as `\u{1b}`; `actual` reads it back."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if safe(c) == c else f"\\u{{{ord(c):x}}}" for c in text)


def actual(text: str) -> str:
    """The text that a field's text means."""
    return _ESCAPED.sub(lambda m: chr(min(int(m[1], 16), 0x10FFFF)), text)


def list_text(values: Iterable[str]) -> str:
    """Texts as one line that `text_list` reads back."""
    parts = []
    for value in map(visible, values):
        quoted = not value or value != value.strip() or any(c in value for c in ',"')
        parts.append('"' + value.replace('"', '""') + '"' if quoted else value)
    return ", ".join(parts)


def text_list(text: str) -> tuple[str, ...]:
    """The texts of a line. Raises SettingsError when a quote is not closed."""
    if not text.strip():
        return ()
    try:
        return tuple(map(actual, next(csv.reader(io.StringIO(text), skipinitialspace=True, strict=True))))
    except (csv.Error, StopIteration) as error:
        raise SettingsError("a quote is not closed", fix='write parts with a comma as "a, b"') from error


def field_text(param: Param, value: Any) -> str:
    """A parameter's value as a line to edit; nothing when it is not set."""
    if value is None:
        return ""
    match param.type:
        case "columns" | "texts":
            return list_text(value)
        case "mapping":
            return list_text(f"{old} → {new}" for old, new in value.items())
        case "boolean":
            return "yes" if value else "no"
        case "number" | "integer":
            return typed_number(value)
        case _:
            return visible(str(value))


def typed_number(value: float) -> str:
    """A number as people read and type it: 1 000 000; four digits are read at a glance, and often are a year."""
    plain = abs(value) < 1e4 or "e" in str(value)
    return str(value) if plain else grouped(value)


def ungrouped(text: str) -> str:
    """A number that was typed as people read it, its thousands together; any other text as it is."""
    return text.replace(" ", "") if _GROUPED.fullmatch(text.strip()) else text


def field_value(param: Param, text: str) -> Any:
    """The value a person typed; None when nothing was. Raises SettingsError with what was expected."""
    match param.type:
        case "columns" | "texts":
            return text_list(text) or None
        case "mapping":
            return dict(_pair(part) for part in text_list(text)) or None
        case "boolean":
            return text == "yes"
        case "number" | "integer":
            return _number(text, whole=param.type == "integer")
        case "value":
            return _plain_value(actual(text))
        case "column" | "expression":
            return actual(text.strip()) or None
        case _:
            # Spaces can be meant: a separator, a text to look for.
            return actual(text) or ("" if param.default == "" else None)


def _pair(part: str) -> tuple[str, str]:
    for sign in ("→", "=>", "="):
        old, found, new = part.partition(sign)
        if found:
            return old.strip(), new.strip()
    raise SettingsError(f"{part!r} is no pair", fix="write old → new, separated by commas")


def _number(text: str, *, whole: bool) -> int | float | None:
    if not text.strip():
        return None
    plain = ungrouped(text)
    try:
        return int(plain) if whole else _shortest(float(plain))
    except ValueError as error:
        raise SettingsError(
            f"{text!r} is no {'whole ' if whole else ''}number", fix="write it like 12 or 0.5"
        ) from error


def _shortest(value: float) -> int | float:
    return int(value) if value == int(value) and abs(value) < 2**53 else value


def _plain_value(text: str) -> str | int | float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        return text
    return _shortest(value) if abs(value) < float("inf") else text


def step_from_fields(op: Op, texts: Mapping[str, str], *, enabled: bool = True) -> Step:
    """The step that a filled form means. Raises SettingsError for the first field that cannot be."""
    table: dict[str, Any] = {"op": op.name}
    for param in op.params:
        value = field_value(param, texts.get(param.name, ""))
        if value is not None and not (value == param.default and not param.required):
            table[param.name] = value
    if not enabled:
        table["enabled"] = False
    return parse_step(table)


def changing(step: Step) -> Step:
    """The step without pairs that leave a value as it is. Raises SettingsError when there are no others."""
    mapping = step.params.get("mapping")
    if not mapping:
        return step
    others = {old: new for old, new in mapping.items() if old != new}
    if not others:
        raise SettingsError(
            f"{next(iter(mapping))!r} would stay as it is",
            fix="type another value after →, or none if it is to become missing",
        )
    return replace(step, params={**step.params, "mapping": others})


def known_columns(step: Step, columns: Sequence[str]) -> None:
    """Refuse a column that is not there, naming the nearest. Raises SettingsError."""
    named = step.columns if step.op != "compute" else ()
    for name in named:
        if name not in columns:
            close = nearest(name, tuple(columns))
            raise SettingsError(
                f"there is no column {name!r}", fix=f"did you mean {close!r}?" if close else "see the header"
            )


def suggested(op_name: str, columns: Sequence[str], value: str | None = None) -> dict[str, str]:
    """The texts a form starts with for these columns."""
    texts: dict[str, str] = {}
    for param in OPS[op_name].params:
        if param.type == "columns" and (param.required or op_name == "mark_missing"):
            texts[param.name] = list_text(columns)
        elif param.type == "column" and columns:
            texts[param.name] = visible(columns[0])
        elif param.default is not None:
            texts[param.name] = field_text(param, param.default)
        elif param.choices:
            texts[param.name] = param.choices[0]
        if param.type in {"value", "texts"} and value is not None and op_name in {"fill", "mark_missing"}:
            texts[param.name] = visible(value) if param.type == "value" else list_text([value])
    if op_name == "split_column" and columns:
        texts["into"] = list_text([f"{columns[0]}_1", f"{columns[0]}_2"])
    return texts


# ── conditions on rows ──


def sql_name(column: str) -> str:
    """A column's name in SQL."""
    return '"' + column.replace('"', '""') + '"'


def sql_text(value: str) -> str:
    """A text in SQL."""
    return "'" + value.replace("'", "''") + "'"


def keep_all_but(column: str, values: Sequence[str | None]) -> str:
    """The condition that keeps every row but those where the column, read as text, is one of the values (None: missing)."""
    name = sql_name(column)
    texts = [sql_text(v) for v in values if v is not None]
    conditions = []
    if texts:
        listed = f"CAST({name} AS VARCHAR) NOT IN ({', '.join(texts)})"
        conditions.append(listed if None in values else f"({name} IS NULL OR {listed})")
    if None in values:
        conditions.append(f"{name} IS NOT NULL")
    return " AND ".join(conditions)
