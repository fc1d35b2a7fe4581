"""Pieces of styled text: built from parts, never from markup, so that data cannot style the screen."""

from __future__ import annotations

from collections.abc import Iterable

from textual.content import Content


Part = Content | str | tuple[str, str]
"""Plain text, or text with a style such as "$ep-quiet" or "bold $ep-accent"."""


def content(*parts: Part) -> Content:
    """Parts one after the other."""
    return Content.assemble(*parts)


def spread(left: Content, right: Content, width: int) -> Content:
    """`left` at the left edge, `right` at the right one; the left gives way when both do not fit."""
    room = width - right.cell_length
    if room < 4:
        return left.truncate(max(width, 0), ellipsis=True)
    if left.cell_length > room - 1:
        left = left.truncate(max(room - 1, 0), ellipsis=True)
    return Content.assemble(left, " " * (room - left.cell_length), right)


def stacked(lines: Iterable[Content]) -> Content:
    """Lines under each other."""
    return Content("\n").join(lines)
