"""Two changes of the same decisions joined: key by key, step by step, or refused where both touch one thing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from epochal.core.errors import EpochalError
from epochal.core.settings import Project, Source, parse_project, to_document
from epochal.core.steps import Step
from epochal.project.pairing import pair


T = TypeVar("T")

_WHOLE = ("split", "model")
"""Tables whose keys only mean something together: recorded cuts belong to a seed, options to a family."""

_NOTHING = object()


def merge(base: Project, ours: Project, theirs: Project) -> Project:
    """What `base` becomes when both changes are made; new steps of both stand in the order theirs, ours.

    Raises EpochalError (code edit-conflict) naming what both changed, SettingsError when the two do not fit together.
    """
    if ours in (base, theirs):
        return theirs
    if theirs == base:
        return ours
    merged = parse_project(_values(_tables(base), _tables(ours), _tables(theirs), ()))
    return replace(
        merged,
        sources=_items(base.sources, ours.sources, theirs.sources, _same_source, "source"),
        clean=_items(base.clean, ours.clean, theirs.clean, _same_step, "step"),
    )


def _tables(project: Project) -> dict[str, Any]:
    """The project's document without its lists of tables."""
    return {k: v for k, v in to_document(project).items() if k not in {"source", "clean"}}


def _same_source(one: Source, other: Source) -> bool:
    return one.name == other.name


def _same_step(one: Step, other: Step) -> bool:
    return one.op == other.op


def _values(base: Any, ours: Any, theirs: Any, path: tuple[str, ...]) -> Any:
    if ours in (base, theirs):
        return theirs
    if theirs == base:
        return ours
    base = {} if base is _NOTHING and isinstance(ours, Mapping) else base
    tables = all(isinstance(v, Mapping) for v in (base, ours, theirs))
    if not tables or (path and path[0] in _WHOLE):
        raise _conflict(f"[{path[0]}] {'.'.join(path[1:])}".rstrip() if len(path) > 1 else f"`{path[0]}`")
    found: dict[str, Any] = {}
    for key in dict.fromkeys([*theirs, *ours, *base]):
        value = _values(base.get(key, _NOTHING), ours.get(key, _NOTHING), theirs.get(key, _NOTHING), (*path, key))
        if value is not _NOTHING:
            found[key] = value
    return found


def _items(
    base: Sequence[T], ours: Sequence[T], theirs: Sequence[T], same: Callable[[T, T], bool], word: str
) -> tuple[T, ...]:
    """One list changed by two: each item kept, edited or taken out by at most one of them, new ones of both."""
    if tuple(ours) in (tuple(base), tuple(theirs)):
        return tuple(theirs)
    sides = [_Side(base, side, same) for side in (theirs, ours)]
    stay: dict[int, T] = {}
    for i, item in enumerate(base):
        now = _one(item, sides[1].became(i), sides[0].became(i), f"{word} {i + 1}")
        if now is not _NOTHING:
            stay[i] = now
    merged: list[T] = []
    for i in (-1, *_order(sides, stay, word)):
        if i >= 0:
            merged.append(stay[i])
        merged += _both([side.new_after(i, stay) for side in sides])
    return (*merged, *_both([side.appended() for side in sides]))


def _both(fresh: Sequence[list[Any]]) -> list[Any]:
    """New items of two sides at one place; once when both made the same."""
    theirs, ours = fresh
    return theirs if theirs == ours else theirs + ours


class _Side:
    """One changed list beside the one it came from."""

    def __init__(self, base: Sequence[T], items: Sequence[T], same: Callable[[T, T], bool]) -> None:
        self.items, self.found = items, pair(base, items, same)

    def became(self, i: int) -> Any:
        """What the base's item is now; _NOTHING when it was taken out."""
        return self.items[self.found.index(i)] if i in self.found else _NOTHING

    def order(self, stay: Mapping[int, Any]) -> list[int]:
        """The base's items that stay, in this side's order."""
        return [i for i in self.found if i is not None and i in stay]

    def appended(self) -> list[Any]:
        """The new items at the end: they belong there, whatever is moved or taken out before them."""
        return list(self.items[self._end() :])

    def _end(self) -> int:
        """After the last item that was there before."""
        return max((j + 1 for j, i in enumerate(self.found) if i is not None), default=0)

    def new_after(self, anchor: int, stay: Mapping[int, Any]) -> list[Any]:
        """The new items that follow one of the base's that stays, or stand first for -1; those at the end are apart."""
        fresh, last = [], -1
        for i, item in list(zip(self.found, self.items, strict=True))[: self._end()]:
            if i is None and last == anchor:
                fresh.append(item)
            elif i is not None and i in stay:
                last = i
        return fresh


def _one(base: Any, ours: Any, theirs: Any, name: str) -> Any:
    if ours in (base, theirs):
        return theirs
    if theirs == base:
        return ours
    raise _conflict(name)


def _order(sides: Sequence[_Side], stay: Mapping[int, Any], word: str) -> list[int]:
    """The order of what stays: of the side that moved something."""
    theirs, ours = (side.order(stay) for side in sides)
    if ours in (sorted(ours), theirs):
        return theirs
    if theirs == sorted(theirs):
        return ours
    raise _conflict(f"the order of {word}s")


def _conflict(what: str) -> EpochalError:
    return EpochalError(what, code="edit-conflict")
