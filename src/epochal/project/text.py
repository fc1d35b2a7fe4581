"""project.toml as a person's text: every change is spliced in, so that their comments stay where they belong.

A comment belongs to the table, step or key that stands directly below it, or on its line; comment lines that follow a
table's last key directly belong to that table. Whole steps and sources move with their comments; comment lines that
stand alone between blank lines stay in place.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from epochal.core.errors import SettingsError
from epochal.core.settings import TABLES, Project, parse_project, to_document
from epochal.core.steps import Step
from epochal.project.outline import Path, outline
from epochal.project.pairing import pair
from epochal.project.read import parse_document
from epochal.project.splice import (
    comments_of,
    item_comments,
    key_line,
    put,
    splice_items,
    take_out,
    take_out_table,
)
from epochal.project.values import WIDTH, key_text


ORDER = ("format", "name", "goal", "source", "columns", "clean", "split", "model", "train")
"""In which tables stand in a new file, and where one that is missing is put."""


def render(project: Project, comments: Mapping[str, str] | None = None) -> str:
    """The text of a new file.

    `comments` are texts to stand above tables, by name; for a list of tables "clean" is the first and "clean.2" the
    third; "" is the top of the file.
    """
    notes = comments or {}
    document = to_document(project)
    root = "".join(key_line(k, document[k]) for k in ("format", "name"))
    parts = [_comment(notes.get("", "")) + root]
    for name in ORDER[2:]:
        value = document.get(name)
        if isinstance(value, list):
            for i, item in enumerate(value):
                note = notes.get(f"{name}.{i}", notes.get(name, "") if i == 0 else "")
                parts.append(_comment(note) + item_text(name, item))
        elif value:
            parts.append(_comment(notes.get(name, "")) + _table_text(name, value))
    return "\n".join(parts)


def _comment(note: str) -> str:
    return "".join(f"# {line}".rstrip() + "\n" for line in note.splitlines())


def _table_text(name: str, table: Mapping[str, Any]) -> str:
    """A table with the tables inside it after it."""
    plain = {k: v for k, v in table.items() if not isinstance(v, Mapping)}
    inner = {k: v for k, v in table.items() if isinstance(v, Mapping)}
    texts = []
    if plain or not inner:
        texts.append(f"[{name}]\n" + "".join(key_line(k, v) for k, v in plain.items()))
    texts += [f"[{name}.{key_text(k)}]\n" + "".join(key_line(a, b) for a, b in v.items()) for k, v in inner.items()]
    return "\n".join(texts)


def item_text(name: str, item: Mapping[str, Any]) -> str:
    """One item of a list of tables: a step or a source. Long tables inside it stand below it."""
    plain, below = "", ""
    for key, value in item.items():
        line = key_line(key, value)
        if isinstance(value, Mapping) and len(line) > WIDTH:
            below += f"[{name}.{key_text(key)}]\n" + "".join(key_line(a, b) for a, b in value.items())
        else:
            plain += line
    return f"[[{name}]]\n{plain}{below}"


def apply(text: str, old: Project, new: Project) -> str:
    """The text of `old` with what `new` decides otherwise, everything else as it stands.

    Steps of `new` that are the very objects of `old` are known to be the same even among equal ones.
    """
    crlf = text.count("\r\n") * 2 > text.count("\n")
    lines = text.replace("\r\n", "\n")
    if lines and not lines.endswith("\n"):
        lines += "\n"
    wanted = to_document(parse_project(to_document(new)))
    try:
        done = _edited(lines, old, new, wanted)
        faithful = to_document(parse_project(parse_document(done))) == wanted
    except SettingsError:
        faithful, done = False, lines
    if not faithful:
        done = _anew(lines, new)
    return done.replace("\n", "\r\n") if crlf else done


def _edited(text: str, old: Project, new: Project, wanted: Mapping[str, Any]) -> str:
    before = to_document(old)
    for name, olds, news in (("source", old.sources, new.sources), ("clean", old.clean, new.clean)):
        found = pair(olds, news, _is_edit)
        if found != list(range(len(olds))):
            text = _tables_of_list(text, name, before.get(name, []))
            texts = [None if i is not None else item_text(name, wanted[name][j]) for j, i in enumerate(found)]
            text = splice_items(text, name, found, texts, _after(name))
        items = wanted.get(name, [])
        before[name] = [items[j] if i is None else before[name][i] for j, i in enumerate(found)]
        for j, (was, item) in enumerate(zip(before[name], items, strict=True)):
            text = _changed(text, (name, j), was, item, wanted)
    for name in ORDER:
        if name not in ("source", "clean"):
            text = _changed_top(text, name, before.get(name, {}), wanted.get(name, {}), wanted)
    return text


def _is_edit(one: Any, other: Any) -> bool:
    """Whether one item of a list may be an edit of another."""
    if isinstance(one, Step):
        return bool(one.op == other.op)
    return True


def _changed_top(text: str, name: str, was: Any, now: Any, wanted: Mapping[str, Any]) -> str:
    if isinstance(now, Mapping):
        return _changed(text, (name,), was, now, wanted)
    return text if was == now else put(text, (name,), now, wanted, _after(name))


def _changed(text: str, path: Path, was: Mapping[str, Any], now: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """The text with one table changed, key by key, and tables inside it likewise."""
    for key in was:
        if key not in now:
            text = _unset(text, (*path, key), wanted)
    for key, value in now.items():
        there = (*path, key)
        inside = isinstance(value, Mapping) and isinstance(was.get(key), Mapping) and value and was[key]
        if inside:
            text = _changed(text, there, was[key], value, wanted)
        elif key not in was or not _alike(was[key], value):
            if isinstance(value, Mapping) and key in was:
                text = take_out(text, there)
            text = put(text, there, value, wanted, _after(str(path[0])))
    return text


def _alike(one: Any, other: Any) -> bool:
    """Equal and of one type: 1, 1.0 and true are three values in TOML."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(_alike(a, b) for a, b in zip(one, other, strict=True))
    return type(one) is type(other) and bool(one == other)


def _unset(text: str, path: Path, wanted: Mapping[str, Any]) -> str:
    """Take a key back to its default: written out where that is a value, so that its line and comments stay."""
    default = _default(path)
    here = next((e for b in outline(text) for e in b.entries if e.path == path), None)
    if default is not None and here is not None:
        return put(text, path, default, wanted, _after(str(path[0])))
    return take_out(text, path, wanted)


def _default(path: Path) -> Any:
    """The default of a setting where it is a value worth writing, else None."""
    cls = TABLES.get(str(path[0]))
    if cls is None or len(path) != (3 if path[0] == "source" else 2):
        return None
    default = next((f.default for f in fields(cls) if f.name == path[-1]), MISSING)
    return None if default is MISSING or default in ("", (), None) else default


def _after(name: str) -> tuple[str, ...]:
    """The tables after which a new one of this name is put."""
    return ORDER[: ORDER.index(name) + 1]


def _tables_of_list(text: str, name: str, items: list[Mapping[str, Any]]) -> str:
    """The text with a list that was written as one value, or scattered, written as a table for each item."""
    blocks = outline(text)
    inline = any(e.path[0] == name for e in blocks[0].entries)
    scattered = any(
        block.path[:1] == (name,) and len(block.path) > 2 and before.path[:2] != block.path[:2]
        for before, block in itertools.pairwise(blocks)
    )
    if not (inline or scattered):
        return text
    comments = item_comments(text, name, len(items))
    text = take_out_table(text, name)
    texts: list[str | None] = [
        "".join(f"{c}\n" for c in own) + item_text(name, item) for own, item in zip(comments, items, strict=True)
    ]
    return splice_items(text, name, [None] * len(items), texts, _after(name))


def _anew(text: str, new: Project) -> str:
    """The last resort for a text laid out as no person would: written anew, every comment of it kept on top."""
    comments = comments_of(text, ())
    return "".join(f"{c}\n" for c in comments) + ("\n" if comments else "") + render(new)
