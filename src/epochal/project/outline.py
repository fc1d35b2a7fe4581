"""The outline of a TOML text: where each table, key and value stands, and which comments belong to which.

The outline reads only texts that `tomllib` has accepted, so it follows TOML's grammar without judging it. All
positions are offsets into the text; all passes take time linear in its length, whatever stands in it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field

from epochal.show import grouped


Path = tuple[str | int, ...]

_STRING = (
    r'"""(?:[^"\\]|\\.|"{1,2}(?!"))*+(?:"{3,5}|\Z)'
    r"|'''(?:[^']|'{1,2}(?!'))*+(?:'{3,5}|\Z)"
    r'|"(?:[^"\\\n]|\\.)*+(?:"|(?=\n)|\Z)'
    r"|'[^'\n]*+(?:'|(?=\n)|\Z)"
)
_VALUE = re.compile(rf"(?P<string>{_STRING})|(?P<comment>#[^\n]*+)|[\[\]{{}}]|\n", re.DOTALL)
_KEY = re.compile(rf"[ \t]*(?P<part>{_STRING}|[A-Za-z0-9_-]+)[ \t]*", re.DOTALL)
_SHAPE = re.compile(rf"(?:{_STRING})|#[^\n]*+|[\[\]{{}}=.,\n]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Entry:
    """One `key = value`."""

    path: Path
    """From the top of the document, array positions included."""
    lead: int
    """Where its own comment lines begin: those directly above it."""
    start: int
    """Where its line begins."""
    value_start: int
    value_end: int
    end: int
    """After its last line's end."""


@dataclass(slots=True)
class Block:
    """A header with what stands under it; the first block of a text has no header."""

    path: Path
    lead: int
    """Where the comment lines directly above the header begin."""
    start: int
    """Where the header's line begins."""
    body: int
    """After the header's line."""
    end: int
    """After its last key, or the comment lines that follow that directly."""
    entries: list[Entry] = field(default_factory=list)
    array: bool = False
    """Whether the header is of an array: [[…]]."""


def outline(text: str) -> list[Block]:
    """The blocks of a valid TOML text in order, the one without a header first."""
    blocks = [Block(path=(), lead=0, start=0, body=0, end=0)]
    counts: dict[Path, int] = {}
    lead: int | None = None
    at = 0
    while at < len(text):
        after = _end_of_line(text, at)
        first = _skip_spaces(text, at)
        sign = text[first : first + 1]
        if sign == "#":
            lead = at if lead is None else lead
        elif sign in ("", "\n", "\r"):
            _close(blocks[-1], lead, at)
            lead = None
        elif sign == "[":
            blocks.append(_header(text, at, first, at if lead is None else lead, counts))
            lead = None
        else:
            entry = _entry(text, at, at if lead is None else lead, blocks[-1].path)
            blocks[-1].entries.append(entry)
            blocks[-1].end = after = entry.end
            lead = None
        at = after
    _close(blocks[-1], lead, len(text))
    return blocks


def _close(block: Block, lead: int | None, at: int) -> None:
    """Give comment lines that follow a block's last key directly to that block."""
    if lead is not None and lead == block.end and block.end > block.start:
        block.end = at


def _end_of_line(text: str, at: int) -> int:
    found = text.find("\n", at)
    return len(text) if found < 0 else found + 1


def _skip_spaces(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t":
        at += 1
    return at


def _keys(text: str, at: int) -> tuple[list[str], int]:
    """A dotted key's parts, and where it ends."""
    parts: list[str] = []
    while True:
        match = _KEY.match(text, at)
        if match is None:
            return parts, at
        parts.append(_key_name(match["part"]))
        at = match.end()
        if text[at : at + 1] != ".":
            return parts, at
        at += 1


def _key_name(part: str) -> str:
    if part[0] == "'":
        return part[1:-1]
    if part[0] == '"':
        return str(tomllib.loads(f"x = {part}")["x"])
    return part


def _header(text: str, at: int, first: int, lead: int, counts: dict[Path, int]) -> Block:
    array = text.startswith("[[", first)
    parts, _ = _keys(text, first + (2 if array else 1))
    path: Path = ()
    for i, part in enumerate(parts):
        path = (*path, part)
        if array and i == len(parts) - 1:
            counts[path] = counts.get(path, 0) + 1
        if path in counts:
            path = (*path, counts[path] - 1)
    after = _end_of_line(text, at)
    return Block(path=path, lead=lead, start=at, body=after, end=after, array=array)


def _entry(text: str, at: int, lead: int, parent: Path) -> Entry:
    parts, equals = _keys(text, at)
    start = _skip_spaces(text, equals + 1)
    depth, end = 0, len(text)
    value_end = len(text)
    for match in _VALUE.finditer(text, start):
        sign = match[0]
        if sign in "[{":
            depth += 1
        elif sign in "]}":
            depth -= 1
        elif depth <= 0 and (sign == "\n" or match["comment"] is not None):
            value_end, end = match.start(), _end_of_line(text, match.start())
            break
    value_end = start + len(text[start:value_end].rstrip(" \t\r\n"))
    return Entry(path=(*parent, *parts), lead=lead, start=at, value_start=start, value_end=value_end, end=end)


def comments_in(text: str) -> list[str]:
    """The comments inside a value's text, in order, each from its `#`."""
    return [m["comment"].rstrip() for m in _VALUE.finditer(text) if m["comment"] is not None]


def item_comments_in(value: str) -> list[list[str]]:
    """The comments of each item of an array of inline tables: those before it, in it, and behind it on its line."""
    items: list[list[str]] = []
    waiting: list[str] = []
    depth, behind = 0, False
    for match in _SHAPE.finditer(value):
        sign = match[0]
        if sign in ("[", "{"):
            depth += 1
            if depth == 2:
                items.append(waiting)
                waiting = []
        elif sign in ("]", "}"):
            depth -= 1
            behind = behind or depth == 1
        elif sign == "\n":
            behind = False
        elif sign[0] == "#":
            (items[-1] if items and (depth > 1 or behind) else waiting).append(sign.rstrip())
    if items:
        items[-1] += waiting
    return items


def line_number(text: str, at: int) -> int:
    """The 1-based line of an offset."""
    return text.count("\n", 0, at) + 1


def line_of(text: str, path: Path) -> int:
    """The 1-based line where a path of the document stands, or the nearest thing above it."""
    best, where = -1, 0
    for there, at in _places(text):
        shared = _shared(there, path)
        if shared == len(path) and len(there) == len(path):
            return line_number(text, at)
        if shared > best and shared:
            best, where = shared, at
    return line_number(text, where)


def _places(text: str) -> Iterator[tuple[Path, int]]:
    for block in outline(text):
        if block.path:
            yield block.path, block.start
        for entry in block.entries:
            yield entry.path, entry.start


def _shared(one: Path, other: Path) -> int:
    count = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        count += 1
    return count


def excess(text: str, *, depth: int, dots: int, keys: int) -> tuple[str, int] | None:
    """What a text has too much of, in words, and the offset of it; None when it keeps to the limits.

    `depth` limits brackets inside one another, `dots` those of one key, `keys` the keys of the whole text. For texts
    not parsed yet: parsers take quadratic time or much stack over what lies beyond such limits.
    """
    open_brackets = num_dots = num_keys = 0
    for match in _SHAPE.finditer(text):
        sign = match[0]
        if sign == ".":
            num_dots += 1
        elif sign in ("\n", "=", ",", "[", "{"):
            num_dots = 0
        if sign in ("[", "{"):
            open_brackets += 1
        elif sign in ("]", "}"):
            open_brackets = max(0, open_brackets - 1)
        elif sign == "=":
            num_keys += 1
        if open_brackets > depth:
            return f"brackets more than {depth} deep", match.start()
        if num_dots > dots:
            return f"a key of more than {dots} parts", match.start()
        if num_keys > keys:
            return f"more than {grouped(keys)} keys", match.start()
    return None
