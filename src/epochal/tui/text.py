"""Pieces of styled text: built from parts, never from markup, so that data cannot style the screen."""

from __future__ import annotations

from collections.abc import Iterable

from textual.content import Content


Part = Content | str | tuple[str, str]
"""Plain text, or text with a style such as "$ep-quiet" or "bold $ep-accent"."""


def content(*parts: Part) -> Content:
    """Parts one after the other."""
    return Content.assemble(*parts)


def cut(line: Content, width: int) -> Content:
    """A line in at most `width` cells, one ellipsis showing the cut: what ends in one already gets no second."""
    if line.cell_length <= width:
        return line
    kept = line.truncate(max(0, width - 1))
    while kept.plain.endswith(("…", " ")):
        kept = kept[: len(kept.plain) - 1]
    return Content.assemble(kept, "…" if width > 0 else "")


def spread(left: Content, right: Content, width: int) -> Content:
    """`left` at the left edge, `right` at the right one; the left gives way when both do not fit."""
    room = width - right.cell_length
    if room < 4:
        return cut(left, max(width, 0))
    left = cut(left, max(room - 1, 0))
    return Content.assemble(left, " " * (room - left.cell_length), right)


def stacked(lines: Iterable[Content]) -> Content:
    """Lines under each other."""
    return Content("\n").join(lines)
