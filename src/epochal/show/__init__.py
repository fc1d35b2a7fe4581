"""Every string from outside passes here before a person sees it.

Terminal escapes, bidirectional marks and zero-width characters in data must appear as visible text and never act on
the terminal. Stored data stays unchanged. Widths are in terminal cells.
"""

from __future__ import annotations

import unicodedata


_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_ZERO_WIDTH = frozenset(
    "\u00ad\u180e\u200b\u200c\u200d\u2028\u2029\u2060\u2061\u2062\u2063\u2064\ufeff\ufff9\ufffa\ufffb"
)
_IGNORED = frozenset(
    map(
        chr,
        (
            0x034F,
            0x115F,
            0x1160,
            0x17B4,
            0x17B5,
            0x180B,
            0x180C,
            0x180D,
            0x180F,
            0x3164,
            0xFFA0,
            *range(0xFE00, 0xFE10),
        ),
    )
)
"""Fillers and variation selectors: terminals draw nothing for them, or change the width of their neighbour."""
_SKIN_TONES = frozenset(map(chr, range(0x1F3FB, 0x1F400)))
"""Drawn as part of the sign before them by some terminals and beside it by others."""
_NEWLY_WIDE = ((0x2630, 0x2637), (0x268A, 0x268F), (0x4DC0, 0x4DFF), (0x1D300, 0x1D356), (0x1D360, 0x1D376))
"""Wide since Unicode 16, which the screens' tables follow, and not yet so for every Python."""
_MAX_COMBINING = 8
"""More marks than this on one character draw over the lines around it."""


def safe(text: str, limit: int = 10_000) -> str:
    """The text with everything that could act on a terminal made visible.

    Control characters become their pictures (U+2400 block, C1 as `<9B>`), line ends ⏎ and tabs ⇥, bidirectional and
    zero-width characters `<U+202E>`, lone surrogates U+FFFD; a mark without a letter gets a ◌ to sit on. At most
    `limit` characters are looked at.
    """
    cut = text[:limit]
    if cut.isascii() and cut.isprintable():
        return cut if len(text) <= limit else cut + "…"
    shown: list[str] = []
    marks = 0
    for character in cut:
        visible = _visible(character)
        if _character_width(visible[0]) == 0:
            marks += 1
            if not shown:
                shown.append("◌")  # a mark without a letter would sit on what stands before this text
            if marks <= _MAX_COMBINING:
                shown.append(visible)
            continue
        marks = 0
        shown.append(visible)
    if len(text) > limit:
        shown.append("…")
    return "".join(shown)


def _visible(character: str) -> str:
    code = ord(character)
    if code == 0x0A:
        return "⏎"
    if code == 0x09:
        return "⇥"
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    if 0x80 <= code < 0xA0:
        return f"<{code:02X}>"
    if 0xD800 <= code < 0xE000:
        return "\ufffd"
    if character in _BIDI or character in _ZERO_WIDTH or character in _IGNORED or character in _SKIN_TONES:
        return f"<U+{code:04X}>"
    if 0xE0000 <= code < 0xE1000 or unicodedata.category(character) in {"Cf", "Cs", "Cn", "Co"}:
        return f"<U+{code:04X}>"
    return character


def cell_width(text: str) -> int:
    """How many terminal cells a safe text takes."""
    if text.isascii():
        return len(text)
    return sum(_character_width(c) for c in text)


def _character_width(character: str) -> int:
    code = ord(character)
    if code < 0x300:
        return 1
    if unicodedata.category(character) in {"Mn", "Mc", "Me"} or 0x1160 <= code < 0x1200 or 0xD7B0 <= code < 0xD800:
        return 0
    wide = unicodedata.east_asian_width(character) in "WF" or any(a <= code <= b for a, b in _NEWLY_WIDE)
    return 2 if wide else 1


def fit(text: str, width: int) -> str:
    """A safe text cut to at most `width` cells, an ellipsis showing the cut."""
    if cell_width(text) <= width:
        return text
    kept: list[str] = []
    used = 0
    for character in text:
        step = _character_width(character)
        if used + step > width - 1:
            break
        kept.append(character)
        used += step
    return "".join(kept).rstrip("…") + "…" if width > 0 else ""


def pad(text: str, width: int, *, right: bool = False) -> str:
    """A safe text cut or filled to exactly `width` cells; `right` puts the filling before it."""
    shown = fit(text, width)
    filling = " " * (width - cell_width(shown))
    return filling + shown if right else shown + filling


def grouped(number: float | str) -> str:
    """A number, or its text, with thousands apart: "11 800", "-1 234.5"."""
    text = str(number)
    sign = "-" if text.startswith("-") else ""
    whole, dot, rest = text.removeprefix("-").partition(".")
    head = len(whole) % 3
    parts = ([whole[:head]] if head else []) + [whole[i : i + 3] for i in range(head, len(whole), 3)]
    return f"{sign}{' '.join(parts)}{dot}{rest}"


def counted(number: int, one: str, many: str = "") -> str:
    """A count with its noun: "1 row", "2 000 rows"."""
    return f"{grouped(number)} {one if number == 1 else many or one + 's'}"
