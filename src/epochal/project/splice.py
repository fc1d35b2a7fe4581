"""Single edits of a TOML text: a key put, a key taken out, the items of a list of tables put in another order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from epochal.core.settings import TABLES
from epochal.core.steps import OPS
from epochal.project.outline import Block, Entry, Path, comments_in, item_comments_in, outline
from epochal.project.values import key_text, replaced, value_text


def key_line(key: str, value: Any) -> str:
    """`key = value`, with its line's end."""
    head = f"{key_text(key)} = "
    return f"{head}{value_text(value, used=len(head))}\n"


def put(text: str, path: Path, value: Any, wanted: Mapping[str, Any], after: Sequence[str]) -> str:
    """Set one value, in place where it is written already.

    `wanted` is the whole document as it will be: where a table is written as one value, that is replaced by its new
    one. A table that is missing is put after those named in `after`.
    """
    blocks = outline(text)
    for entry in (e for b in blocks for e in b.entries):
        if entry.path == path:
            return _replace_value(text, entry, value)
        if path[: len(entry.path)] == entry.path:
            return _replace_value(text, entry, _at(wanted, entry.path))
    if isinstance(value, Mapping) and any(b.path == path for b in blocks):
        at = next(b.body for b in blocks if b.path == path)
        return text[:at] + "".join(key_line(k, v) for k, v in value.items()) + text[at:]
    parent = path[:-1]
    block = next((b for b in blocks if b.path == parent), None)
    dotted = [
        (b, e) for b in blocks for e in b.entries if len(b.path) < len(parent) and e.path[: len(parent)] == parent
    ]
    if block is None and dotted:
        home, last = dotted[-1]
        keys = ".".join(key_text(str(k)) for k in path[len(home.path) :])
        return text[: last.end] + f"{_indent(text, last)}{keys} = {value_text(value)}\n" + text[last.end :]
    if isinstance(value, Mapping) and len(path) == 2:
        return _new_table(text, path, "".join(key_line(k, v) for k, v in value.items()), after)
    if block is None:
        return _new_table(text, parent, key_line(str(path[-1]), value), after)
    return _add_key(text, block, str(path[-1]), value, _key_order(parent, _at(wanted, parent)))


def _replace_value(text: str, entry: Entry, value: Any) -> str:
    before = text[entry.value_start : entry.value_end]
    used = entry.value_start - entry.start
    written, gone = replaced(before, value, used=used)
    indent = _indent(text, entry)
    above = "".join(f"{indent}{comment}\n" for comment in gone)
    return text[: entry.start] + above + text[entry.start : entry.value_start] + written + text[entry.value_end :]


def _indent(text: str, entry: Entry) -> str:
    line = text[entry.start : entry.value_start]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _at(document: Any, path: Path) -> Any:
    for key in path:
        document = document.get(key, {}) if isinstance(document, Mapping) else document[key]
    return document


def _add_key(text: str, block: Block, key: str, value: Any, order: list[str]) -> str:
    """Put a key into its table, after the nearest that comes before it in the table's order."""
    earlier = order[: order.index(key)] if key in order else order
    own = [e for e in block.entries if len(e.path) > len(block.path)]
    before = [e for e in own if e.path[len(block.path)] in earlier]
    indent = _indent(text, own[0]) if own else ""
    at = before[-1].end if before else block.body
    return text[:at] + indent + key_line(key, value) + text[at:]


def _key_order(path: Path, table: Mapping[str, Any]) -> list[str]:
    """The keys a table may have, in the order they are written in."""
    if path[0] == "clean" and len(path) == 2 and table.get("op") in OPS:
        return ["op", *(p.name for p in OPS[table["op"]].params), "enabled"]
    if path[0] in TABLES and path[0] != "model" and len(path) == (2 if path[0] == "source" else 1):
        return [f.name for f in fields(TABLES[str(path[0])])]
    return list(table)


def _new_table(text: str, path: Path, body: str, after: Sequence[str]) -> str:
    header = ".".join(key_text(str(k)) for k in path)
    return _insert_block(text, _place(text, after), f"[{header}]\n{body}")


def _place(text: str, after: Sequence[str]) -> int:
    """Where a new table is put: after the last of the named ones."""
    blocks = outline(text)
    return [b for b in blocks if not b.path or b.path[0] in after][-1].end


def _insert_block(text: str, at: int, block: str) -> str:
    """A block put between others, blank lines around it."""
    before, behind = text[:at], text[at:]
    if before and not before.endswith("\n"):
        before += "\n"
    lead = "" if not before or before.endswith("\n\n") else "\n"
    trail = "" if not behind or behind.startswith("\n") else "\n"
    return before + lead + block + trail + behind


def take_out(text: str, path: Path, wanted: Mapping[str, Any] | None = None) -> str:
    """Take a key or a table inside a table out, its own comments with it."""
    for entry in (e for b in outline(text) for e in b.entries):
        if len(entry.path) < len(path) and path[: len(entry.path)] == entry.path and wanted is not None:
            return _replace_value(text, entry, _at(wanted, entry.path))
    spans = [
        (part.lead, part.end)
        for b in outline(text)
        for part in ([b] if _within(b.path, path) else [e for e in b.entries if _within(e.path, path)])
    ]
    return _without(text, spans)


def take_out_table(text: str, name: str) -> str:
    """Take everything of a table of the top out, however it is written."""
    return take_out(text, (name,))


def _within(path: Path, outer: Path) -> bool:
    return path[: len(outer)] == outer


def _without(text: str, spans: Sequence[tuple[int, int]]) -> str:
    for start, end in sorted(spans, reverse=True):
        text = text[:start] + _joined(text[:start], text[end:])
    return text


def _joined(before: str, behind: str) -> str:
    """What follows a part that was taken out, without doubling the blank lines around it."""
    if not behind.strip():
        return ""
    if not before or before.endswith("\n\n"):
        return behind.lstrip("\n")
    return behind


def comments_of(text: str, path: Path) -> list[str]:
    """All comments that belong to a table, from their `#`; those of the whole text for the empty path."""
    if not path:
        return comments_in(text)
    spans = [
        (part.lead, part.end)
        for b in outline(text)
        for part in ([b] if _within(b.path, path) else [e for e in b.entries if _within(e.path, path)])
    ]
    return [c for start, end in spans for c in comments_in(text[start:end])]


def item_comments(text: str, name: str, count: int) -> list[list[str]]:
    """The comments of each of `count` items of a list, whether it is written as tables or as one value.

    What stands above or beside the whole value goes to its first item.
    """
    found: list[list[str]] = [[] for _ in range(count)]
    for block in outline(text):
        if block.path[:1] == (name,):
            found[int(block.path[1])] += comments_in(text[block.lead : block.end])
        for entry in block.entries:
            if entry.path != (name,) or not count:
                continue
            inside = item_comments_in(text[entry.value_start : entry.value_end])
            for own, comments in zip(found, inside, strict=False):
                own.extend(comments)
            found[0] = [
                *comments_in(text[entry.lead : entry.start]),
                *found[0],
                *comments_in(text[entry.value_end : entry.end]),
            ]
    return found


def splice_items(
    text: str, name: str, found: Sequence[int | None], texts: Sequence[str | None], after: Sequence[str]
) -> str:
    """Put the items of a list of tables in a new order.

    `found` says for each new item which old one it is, or None where `texts` holds a new one. Old items that are not
    found are taken out with their comments; what stands between items stays in place.
    """
    kept = [i for i in found if i is not None]
    text = _without(text, [span for i, span in enumerate(item_spans(text, name)) if i not in kept])
    ranks = sorted(kept)
    text = _reordered(text, item_spans(text, name), [ranks.index(i) for i in kept])
    for j, fresh in enumerate(texts):
        if fresh is None:
            continue
        spans = item_spans(text, name)
        if j > 0:
            text = _insert_block(text, spans[j - 1][1], fresh)
        elif spans:
            text = text[: spans[0][0]] + fresh + "\n" + text[spans[0][0] :]
        else:
            text = _insert_block(text, _place(text, after), fresh)
    return text


def _reordered(text: str, spans: Sequence[tuple[int, int]], order: Sequence[int]) -> str:
    """The text with its spans filled in another order; what stands between them stays."""
    out, at = "", 0
    for (start, end), i in zip(spans, order, strict=True):
        out += text[at:start] + text[slice(*spans[i])]
        at = end
    return out + text[at:]


def item_spans(text: str, name: str) -> list[tuple[int, int]]:
    """From where to where each item of a list of tables stands, its comments and inner tables included."""
    spans: dict[int, tuple[int, int]] = {}
    for block in outline(text):
        if block.path[:1] == (name,):
            i = int(block.path[1])
            spans[i] = (spans.get(i, (block.lead, 0))[0], block.end)
    return [spans[i] for i in sorted(spans)]
