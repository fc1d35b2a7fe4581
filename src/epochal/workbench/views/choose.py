"""Finding a name by some of its letters."""

from __future__ import annotations

from collections.abc import Sequence


def ranked(pattern: str, names: Sequence[str]) -> list[int]:
    """The places of the names that hold the pattern's letters in order, the closest first; all, for no pattern.

    A name that begins with the pattern comes before one that holds it whole, and that before one that holds its
    letters apart; shorter gaps first, then the names' own order.
    """
    wanted = pattern.casefold().replace(" ", "")
    if not wanted:
        return list(range(len(names)))
    found = [(score, n) for n, name in enumerate(names) if (score := _score(wanted, name.casefold())) is not None]
    return [n for _score_, n in sorted(found)]


def _score(wanted: str, name: str) -> tuple[int, int] | None:
    plain = name.replace(" ", "")
    if plain.startswith(wanted):
        return (0, len(plain))
    at = plain.find(wanted)
    if at >= 0:
        return (1, at)
    place, first = -1, 0
    for letter in wanted:
        place = plain.find(letter, place + 1)
        if place < 0:
            return None
        first = first or place
    return (2, place - first)
