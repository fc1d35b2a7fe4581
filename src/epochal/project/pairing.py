"""Which item of an old list became which of a new one: kept, edited or moved, so that what belongs to it goes along."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import TypeVar


T = TypeVar("T")


def pair(old: Sequence[T], new: Sequence[T], same: Callable[[T, T], bool]) -> list[int | None]:
    """For each new item the position of the old one it was, or None for one that is really new.

    The very same object comes first, then equal items (in their order as far as possible, then moved ones), then,
    between neighbours that stayed, those that `same` takes for an edit of one another.
    """
    found: list[int | None] = [None] * len(new)
    free = list(range(len(old)))

    def take(j: int, i: int | None) -> None:
        if i is not None:
            found[j] = i
            free.remove(i)

    for j, item in enumerate(new):
        take(j, next((i for i in free if old[i] is item), None))
    for j, i in _in_order(list(free), _open(found), old, new):
        take(j, i)
    for j in _open(found):
        take(j, next((i for i in free if old[i] == new[j]), None))
    for j in _open(found):
        take(j, next((i for i in _between(found, j, len(old)) if i in free and same(old[i], new[j])), None))
    return found


def _open(found: list[int | None]) -> list[int]:
    return [j for j, i in enumerate(found) if i is None]


def _in_order(olds: list[int], news: list[int], old: Sequence[T], new: Sequence[T]) -> list[tuple[int, int]]:
    """Pairs (new, old) of equal items in the longest common order."""
    names: list[T] = []

    def name(item: T) -> int:
        """A number for all equal items: they need not be hashable."""
        if item not in names:
            names.append(item)
        return names.index(item)

    a, b = [name(old[i]) for i in olds], [name(new[j]) for j in news]
    blocks = difflib.SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks()
    return [(news[m.b + k], olds[m.a + k]) for m in blocks for k in range(m.size)]


def _between(found: list[int | None], j: int, count: int) -> range:
    """The old positions between the old positions of the new item's nearest neighbours that stayed."""
    before = next((i for i in reversed(found[:j]) if i is not None), -1)
    after = next((i for i in found[j + 1 :] if i is not None), count)
    return range(before + 1, after)
