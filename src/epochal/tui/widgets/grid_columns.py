"""The grid's columns as they are drawn, and how wide they grow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace


_MOST = 40
"""Cells that a column grows to by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GridColumn:
    """One column as it is drawn."""

    name: str
    """The real name, as pages are asked for."""
    title: str
    """The name as it is shown, safe."""
    kind: str = ""
    """The line under the name."""
    width: int = 8
    right: bool = False
    role: str = ""
    """"target", "key", "ignored", or nothing."""
    sort: str = ""
    """A mark such as "↑" or "↓2", or nothing."""


def grown(columns: Sequence[GridColumn], widest: Callable[[str], int], room: int, gap: int) -> tuple[GridColumn, ...]:
    """The columns, wider where their widest value seen so far wants it: a number is never cut, a text while there is room.

    Nothing becomes narrower again: columns would jump about while a person walks through the rows.
    """
    more = [max(0, min(widest(c.name), _MOST) - c.width) for c in columns]
    taken = sum(
        column.width + gap + (wished if column.right else 0) for column, wished in zip(columns, more, strict=True)
    )
    # The numbers' cells are taken before any text's: a text before a number would push it out of sight.
    spare = max(0, room + gap - taken)
    made: list[GridColumn] = []
    for column, wished in zip(columns, more, strict=True):
        added = wished if column.right else min(wished, spare)
        spare -= 0 if column.right else added
        made.append(replace(column, width=column.width + added) if added else column)
    return tuple(made)
