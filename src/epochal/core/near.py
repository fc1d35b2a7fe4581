"""What a person may have meant by a key that is not known where it stands."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import fields

from epochal.core.steps import nearest
from epochal.core.tables import TABLES


_LIKE = 0.8
"""How like a key of another table must be to be named: one that is known here is named sooner."""


def meant_by(key: str, known: Sequence[str], otherwise: str) -> str:
    """How to mend an unknown key: the table where it is known, else the nearest known one, else what to do `otherwise`."""
    places = [f"{table}.{key}" for table, names in _elsewhere().items() if key in names]
    if places:
        return f"did you mean {' or '.join(f'`{p}`' for p in places)}?"
    close = nearest(key, tuple(known))
    if close:
        return f"did you mean `{close}`?"
    far = {name: f"{table}.{name}" for table, names in _elsewhere().items() for name in names}
    like = difflib.get_close_matches(key, far, n=1, cutoff=_LIKE)
    return f"did you mean `{far[like[0]]}`?" if like else otherwise


def _elsewhere() -> dict[str, tuple[str, ...]]:
    """The keys of every table whose keys are the same in all projects."""
    return {name: tuple(f.name for f in fields(table)) for name, table in TABLES.items() if name not in _OF_THEIR_OWN}


_OF_THEIR_OWN = ("source", "model")
"""There are many sources, and the keys of [model] are the family's."""
