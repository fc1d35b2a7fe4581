"""Tones to styles, and the small pieces every pane is painted with."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from rich.cells import chop_cells
from textual.content import Content

from epochal.show import cell_width, fit, pad
from epochal.tui.text import Part, content, cut


STYLES = {
    "text": "$ep-text",
    "quiet": "$ep-quiet",
    "accent": "$ep-accent",
    "second": "$ep-second",
    "blue": "$ep-blue",
    "good": "$ep-good",
    "warning": "$ep-warning",
    "bad": "$ep-bad",
    "bold": "bold $ep-text",
    "head": "bold $ep-quiet",
    "line": "$ep-line",
}


_WIDE_WORD = 20
"""Cells; narrower ones are never broken: before a pane is laid out it has no width at all."""


def toned(text: str, tone: str = "text") -> Part:
    """A text in a tone."""
    return (text, STYLES[tone])


def blank() -> Content:
    """An empty line."""
    return content("")


def cell(text: str, width: int, tone: str = "text", *, right: bool = False) -> Part:
    """A text in exactly `width` cells."""
    return (pad(text, width, right=right), STYLES[tone])


def heading(text: str, width: int, note: str = "") -> Content:
    """A part's title, a thin line to the right of it, a note at its end."""
    note = fit(note, max(0, width - cell_width(text) - 6))
    rule = max(0, width - cell_width(text) - 1 - (cell_width(note) + 1 if note else 0))
    parts: list[Part] = [(text, STYLES["head"]), " ", ("─" * rule, STYLES["line"])]
    if note:
        parts += [" ", (note, STYLES["quiet"])]
    return content(*parts)


def wrapped(text: str, width: int, tone: str = "text", indent: int = 0, first: Part | None = None) -> list[Content]:
    """A text over as many lines as it needs, broken at spaces; `first` stands before it in the indent.

    Words that are wider than a line, as paths may be, are broken too.
    """
    lines: list[str] = []
    line = ""
    pieces = (chop_cells(word, max(_WIDE_WORD, width - indent)) for word in text.split())
    for word in itertools.chain.from_iterable(pieces):
        if line and cell_width(line) + 1 + cell_width(word) > width - indent:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    if line:
        lines.append(line)
    result: list[Content] = []
    for n, shown in enumerate(lines):
        head: Part = first if n == 0 and first is not None else " " * indent
        result.append(content(head, (fit(shown, width - indent), STYLES[tone])))
    return result


def flowed(parts: Iterable[tuple[str, str]], width: int, max_lines: int, gap: str = "   ") -> list[Content]:
    """Texts with tones, a gap between them, over as many lines as they need but at most `max_lines`.

    A text that is wider than a line is broken at its spaces.
    """
    lines: list[list[Part]] = [[]]
    used = 0
    whole = [(text, tone, gap) for text, tone in parts]
    while whole:
        text, tone, between = whole.pop(0)
        if cell_width(text) > width and " " in text:
            first, *rest = text.split(" ")
            whole[:0] = [(first, tone, between), *((word, tone, " ") for word in rest)]
            continue
        size = cell_width(text)
        if lines[-1] and used + len(between) + size > width and len(lines) < max_lines:
            lines.append([])
            used = 0
        if lines[-1]:
            lines[-1].append(between)
            used += len(between)
        lines[-1].append(toned(text, tone))
        used += size
    return [cut(content(*line), width) for line in lines]


def clipped(lines: list[Content], height: int, more: str) -> list[Content]:
    """At most `height` lines; where that is not all of them, the last says how to see the rest."""
    if not 0 < height < len(lines):
        return lines
    return [*lines[: height - 1], content(toned(f"  {more}", "quiet"))]


def beside(left: list[Content], right: list[Content], width: int, gap: int = 3) -> list[Content]:
    """Two columns of lines; the left one is `width` cells wide."""
    result: list[Content] = []
    for n in range(max(len(left), len(right))):
        a = left[n] if n < len(left) else content("")
        b = right[n] if n < len(right) else content("")
        a = cut(a, width)
        result.append(Content.assemble(a, " " * (width - a.cell_length + gap), b))
    return result
