"""Columns of figures that only grow, shared between all states that ever saw them.

A state holds a view of the first `len(view)` rows; appending to the newest view writes behind it and gives a longer
one, so following a run costs the same for its millionth record as for its first. Older views stay as they were.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar


T = TypeVar("T")


class Series:
    """Rows of numbers under named columns. A missing number is NaN. Frozen to the outside."""

    __slots__ = ("_columns", "_length", "names")

    def __init__(self, names: Sequence[str], columns: tuple[array[float], ...] | None = None, length: int = 0) -> None:
        """A series with these columns: empty, or a view of the first `length` figures of columns that are shared."""
        self.names = tuple(names)
        self._columns = columns or tuple(array("d") for _ in self.names)
        self._length = length

    def __len__(self) -> int:
        return self._length

    def column(self, name: str, start: int = 0) -> array[float]:
        """The figures of a column from row `start` on, as a copy. Raises ValueError for an unknown name."""
        return self._columns[self.names.index(name)][start : self._length]

    def last(self, name: str) -> float:
        """The newest figure of a column; NaN when there is none. Raises ValueError for an unknown name."""
        return self._columns[self.names.index(name)][self._length - 1] if self._length else math.nan

    def extended(self, rows: Sequence[Sequence[float | None]]) -> Series:
        """A series with rows added, each in the order of `names`. Only one view may be extended: others copy first."""
        if not rows:
            return self
        columns = self._columns
        if len(columns[-1]) != self._length:
            columns = tuple(column[: self._length] for column in columns)
        for column, figures in zip(columns, zip(*rows, strict=True), strict=True):
            column.extend(math.nan if figure is None else figure for figure in figures)
        return self._view(columns, self._length + len(rows))

    def first(self, num_rows: int) -> Series:
        """The first rows alone."""
        return self._view(self._columns, min(num_rows, self._length))

    def after(self, num_rows: int) -> Series:
        """All but the first rows."""
        columns = tuple(column[num_rows : self._length] for column in self._columns)
        return self._view(columns, len(columns[0]))

    def _view(self, columns: tuple[array[float], ...], length: int) -> Series:
        return Series(self.names, columns, length)


class Log(Generic[T]):
    """Values that only grow in number, shared like a `Series`. Iterable, with length and positions."""

    __slots__ = ("_length", "_values")

    def __init__(self, values: list[T] | None = None) -> None:
        """A log of these values, which are its own from now on."""
        self._values = [] if values is None else values
        self._length = len(self._values)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[T]:
        return iter(self._values[: self._length])

    def __getitem__(self, position: int) -> T:
        if not -self._length <= position < self._length:
            raise IndexError(position)
        return self._values[position % self._length]

    def extended(self, values: Sequence[T]) -> Log[T]:
        """A log with values added. Only one view may be extended: others copy first."""
        if not values:
            return self
        mine = self._values if len(self._values) == self._length else self._values[: self._length]
        mine.extend(values)
        return Log(mine)
