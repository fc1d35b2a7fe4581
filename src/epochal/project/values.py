"""Values as TOML text: short ones on a line, long ones over several, a person's comments inside arrays kept."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from epochal.project.outline import comments_in


WIDTH = 100
"""Columns after which a list is written one item a line."""

_TOKEN = re.compile(
    r'(?P<string>"""(?:[^"\\]|\\.|"{1,2}(?!"))*+"{3,5}|\'\'\'(?:[^\']|\'{1,2}(?!\'))*+\'{3,5}'
    r'|"(?:[^"\\\n]|\\.)*+"|\'[^\'\n]*+\')|(?P<comment>#[^\n]*+)|[\[\]{},\n]|[^\[\]{},\n#"\']++',
    re.DOTALL,
)


def key_text(key: str) -> str:
    """A key as it stands before `=`, quoted where it must be."""
    import tomlkit  # takes longer to import than a project takes to open

    return tomlkit.key(key).as_string()


def value_text(value: Any, *, used: int = 0) -> str:
    """A value as it stands after `=`; `used` columns of its line are taken already."""
    if isinstance(value, Mapping):
        inner = ", ".join(f"{key_text(k)} = {value_text(v)}" for k, v in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, (list, tuple)):
        items = [value_text(v) for v in value]
        line = f"[{', '.join(items)}]"
        return line if len(line) + used <= WIDTH or not items else _over_lines(items)
    return _scalar(value)


def _scalar(value: Any) -> str:
    import tomlkit

    return str(tomlkit.item(value).as_string())


def _over_lines(items: Sequence[str]) -> str:
    return "[\n" + "".join(f"    {item},\n" for item in items) + "]"


@dataclass(slots=True)
class _Item:
    """One item of a written array."""

    text: str = ""
    above: list[str] = field(default_factory=list)
    """Comment lines before it."""
    beside: str = ""
    """The comment on its line."""


def replaced(before: str, value: Any, *, used: int = 0) -> tuple[str, list[str]]:
    """A value written in place of another, and the comments that stood inside that one and found no place.

    An array that was written over several lines stays so, and its items keep their comments.
    """
    comments = comments_in(before)
    if not (isinstance(value, (list, tuple)) and before.startswith("[") and "\n" in before and value):
        return value_text(value, used=used), comments
    if not comments:
        return _over_lines([value_text(v) for v in value]), []
    items, last = _items(before)
    lines: list[str] = []
    for v in value:
        text = value_text(v)
        known = next((i for i in items if i.text == text), None)
        if known is None:
            lines.append(f"    {text},\n")
            continue
        items.remove(known)
        lines += [f"    {comment}\n" for comment in known.above]
        lines.append(f"    {text},{'  ' + known.beside if known.beside else ''}\n")
    lines += [f"    {comment}\n" for comment in last]
    gone = [c for i in items for c in (*i.above, i.beside) if c]
    return "[\n" + "".join(lines) + "]", gone


def _items(array: str) -> tuple[list[_Item], list[str]]:
    """The items of an array's text with their comments, and the comments after the last."""
    items: list[_Item] = []
    current = _Item()
    depth = 0
    last: _Item | None = None
    """The item whose line is not over yet."""
    for match in _TOKEN.finditer(array):
        sign = match[0]
        if match["comment"] is not None:
            beside = current if current.text.strip() else last
            if beside is not None and not beside.beside:
                beside.beside = sign.rstrip()
            else:
                current.above.append(sign.rstrip())
        elif sign == "\n":
            last = None
        elif sign == "," and depth == 1:
            current.text = current.text.strip()
            items.append(current)
            last, current = current, _Item()
        elif not (depth == 0 or (sign == "]" and depth == 1)):
            current.text += sign
        if match["string"] is None and match["comment"] is None:
            depth += (sign in "[{") - (sign in "]}")
    current.text = current.text.strip()
    if current.text:
        items.append(current)
        return items, []
    return items, current.above
