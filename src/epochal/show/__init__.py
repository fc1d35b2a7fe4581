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
_MAX_COMBINING = 8
"""More marks than this on one character draw over the lines around it."""


def safe(text: str, limit: int = 10_000) -> str:
    """The text with everything that could act on a terminal made visible.

    Control characters become their pictures (U+2400 block, C1 as `<9B>`), line ends ⏎ and tabs ⇥, bidirectional and
    zero-width characters `<U+202E>`, lone surrogates U+FFFD. At most `limit` characters are looked at.
    """
    cut = text[:limit]
    if cut.isascii() and cut.isprintable():
        return cut if len(text) <= limit else cut + "…"
    shown: list[str] = []
    marks = 0
    for character in cut:
        if unicodedata.combining(character):
            marks += 1
            if marks <= _MAX_COMBINING:
                shown.append(character)
            continue
        marks = 0
        shown.append(_visible(character))
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
    if character in _BIDI or character in _ZERO_WIDTH or 0xE0000 <= code < 0xE0080:
        return f"<U+{code:04X}>"
    if unicodedata.category(character) in {"Cf", "Cs", "Cn", "Co"}:
        return f"<U+{code:04X}>"
    return character


def cell_width(text: str) -> int:
    """How many terminal cells a safe text takes."""
    if text.isascii():
        return len(text)
    return sum(_character_width(c) for c in text)


def _character_width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


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
    return "".join(kept) + "…" if width > 0 else ""


def pad(text: str, width: int, *, right: bool = False) -> str:
    """A safe text cut or filled to exactly `width` cells; `right` puts the filling before it."""
    shown = fit(text, width)
    filling = " " * (width - cell_width(shown))
    return filling + shown if right else shown + filling
