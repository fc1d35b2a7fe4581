"""What a setting is: a dataclass field that knows what its value must be and what it means."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from dataclasses import MISSING, field
from datetime import date
from typing import Any

from epochal.core.errors import SettingsError


def setting(
    default: Any = MISSING,
    *,
    check: Callable[[Any], bool],
    expected: str,
    meaning: str,
    choices: tuple[str, ...] = (),
) -> Any:
    """A field of a settings table with what its value must be."""
    metadata = {"check": check, "expected": expected, "meaning": meaning, "choices": choices}
    if default is MISSING:
        return field(metadata=metadata)
    if isinstance(default, (dict, list)):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def is_text(value: Any) -> bool:
    """Whether it is a text."""
    return isinstance(value, str)


def is_int(value: Any) -> bool:
    """Whether it is a whole number; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Whether it is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < float("inf")


def are_texts(value: Any) -> bool:
    """Whether it is a list of texts."""
    return isinstance(value, (list, tuple)) and all(isinstance(v, str) for v in value)


def text_key(default: Any = "", *, meaning: str, choices: tuple[str, ...] = ()) -> Any:
    """A text."""
    return setting(default, check=is_text, expected="a text", meaning=meaning, choices=choices)


def texts_key(meaning: str) -> Any:
    """A list of texts."""
    return setting((), check=are_texts, expected="a list of texts", meaning=meaning)


def int_key(default: int, low: int, high: int, *, meaning: str) -> Any:
    """A whole number in a range."""
    return setting(
        default,
        check=lambda v: is_int(v) and low <= v <= high,
        expected=f"a whole number from {low} to {high}",
        meaning=meaning,
    )


def number_key(default: Any, low: float, high: float, *, meaning: str, auto: bool = False) -> Any:
    """A number in a range, or, with `auto`, the word auto."""
    return setting(
        default,
        check=lambda v: (auto and v == "auto") or (is_number(v) and low <= v <= high),
        expected=f"a number from {low:g} to {high:g}" + (' or "auto"' if auto else ""),
        meaning=meaning,
    )


def auto_int_key(default: Any, low: int, high: int, *, meaning: str) -> Any:
    """A whole number in a range, or the word auto."""
    return setting(
        default,
        check=lambda v: v == "auto" or (is_int(v) and low <= v <= high),
        expected=f'a whole number from {low} to {high} or "auto"',
        meaning=meaning,
    )


_UNITS = {
    "s": 1.0,
    "sec": 1.0,
    "second": 1.0,
    "min": 60.0,
    "minute": 60.0,
    "h": 3600.0,
    "hour": 3600.0,
    "d": 86400.0,
    "day": 86400.0,
}
_AMOUNT = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?) ?([a-z]+)")


def duration_seconds(text: str) -> float:
    """Seconds in a duration as people write it: "30 s", "5 min", "8 h", "2 days".

    Raises SettingsError when it is not one, or not longer than nothing.
    """
    match = _AMOUNT.fullmatch(text.strip().lower())
    unit = match[2] if match else ""
    unit = unit if unit in _UNITS else unit.removesuffix("s")
    if match is None or unit not in _UNITS or float(match[1]) <= 0:
        raise SettingsError(f"{text!r} is no duration", fix='write it like "30 s", "5 min" or "8 h"')
    return float(match[1]) * _UNITS[unit]


def is_duration(value: Any) -> bool:
    """Whether it is a duration as people write it."""
    if not isinstance(value, str):
        return False
    try:
        duration_seconds(value)
    except SettingsError:
        return False
    return True


_BYTES = {"kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}


def size_bytes(text: str) -> int:
    """Bytes in a size as people write it: "500 MB", "4 GB". Raises SettingsError when it is not one, or nothing."""
    match = _AMOUNT.fullmatch(text.strip().lower())
    if match is None or match[2] not in _BYTES or float(match[1]) <= 0:
        raise SettingsError(f"{text!r} is no size", fix='write it like "500 MB" or "4 GB"')
    return int(float(match[1]) * _BYTES[match[2]])


def is_size(value: Any) -> bool:
    """Whether it is a size as people write it."""
    if not isinstance(value, str):
        return False
    try:
        size_bytes(value)
    except SettingsError:
        return False
    return True


_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def is_date(value: Any) -> bool:
    """Whether it is a date, or one that travelled as JSON."""
    return isinstance(value, date) or isinstance(as_date(value), date)


def as_date(value: Any) -> Any:
    """A date that travelled as JSON, as a date again; anything else as it is."""
    if isinstance(value, str) and _ISO_DATE.fullmatch(value):
        with contextlib.suppress(ValueError):
            return date.fromisoformat(value)
    return value
