"""The settings of a family as they stand in [model]: those of ours by their tables, those of a person's class by form."""

from __future__ import annotations

import re
from collections.abc import Mapping
from keyword import iskeyword
from typing import Any

from epochal.core.errors import SettingsError
from epochal.core.fields import is_int, is_number
from epochal.core.near import meant_by
from epochal.core.tasks import MODULE, OWN, Family


_MODULE = re.compile(r"(?:[^\W\d]\w*/)*[^\W\d]\w*\.py:[^\W\d]\w*")
"""FILE.py:CLASS: folders and file are Python names, as they are imported by them."""


def check_options(family: Family, options: Mapping[str, Any]) -> None:
    """Refuse a setting the family does not have, or a value it cannot take. Raises SettingsError."""
    known = {o.name: o for o in family.options}
    for key, value in options.items():
        path = ("model", key)
        if key not in known:
            raise SettingsError(
                f"family {family.name} has no setting `{key}`",
                path=path,
                fix=meant_by(key, ("family", *known), f"it has {', '.join(known) or 'none'}"),
                code="unknown-key",
            )
        option = known[key]
        if option.choices:
            ok, expected = value in option.choices, f"one of {', '.join(option.choices)}"
        elif isinstance(option.default, bool):
            ok, expected = isinstance(value, bool), "true or false"
        else:
            whole = isinstance(option.default, int)
            low = -float("inf") if option.low is None else option.low
            high = float("inf") if option.high is None else option.high
            ok = (is_int(value) if whole else is_number(value)) and low <= value <= high
            ok = ok or (option.default == "auto" and value == "auto")
            expected = f"a {'whole ' if whole else ''}number from {low:g} to {high:g}"
        if not ok:
            raise SettingsError(f"`{key}` is {value!r}", path=path, fix=f"expected {expected}: {option.meaning}")


def check_own(options: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a person's own model: which class, and what only that class can judge. Lists become tuples.

    Raises SettingsError for a class that is not named, or a value that is neither scalar nor a list of scalars.
    """
    module = options.get(MODULE)
    if not isinstance(module, str) or not _MODULE.fullmatch(module):
        said = f"`{MODULE}` is {module!r}" if MODULE in options else f'family "{OWN}" does not say which class it is'
        raise SettingsError(
            said,
            path=("model", MODULE if MODULE in options else "family"),
            fix=f'write {MODULE} = "FILE.py:CLASS" in [model], such as "model.py:Net"; the file stands in the project',
            code="missing-key" if MODULE not in options else "",
        )
    read: dict[str, Any] = {}
    for key, value in options.items():
        read[key] = tuple(value) if isinstance(value, (list, tuple)) else value
        if not key.isidentifier() or iskeyword(key):
            raise SettingsError(
                f"`{key}` cannot be an argument of a Python class",
                path=("model", key),
                fix="use letters, digits and _ alone",
            )
        if not all(_is_scalar(v) for v in (value if isinstance(value, (list, tuple)) else (value,))):
            raise SettingsError(
                f"`{key}` is {value!r}",
                path=("model", key),
                fix="expected a text, a number, true or false, or a list of these",
            )
    return read


def _is_scalar(value: Any) -> bool:
    return isinstance(value, (str, bool)) or is_number(value)
