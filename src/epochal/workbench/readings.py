"""How a text file may be read otherwise than it was guessed: each choice is a key of its [[source]]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from epochal.core.settings import Source
    from epochal.data.protocol import Head


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One way to read."""

    key: str
    """Of [[source]]."""
    value: str | bool
    title: str


READINGS: tuple[Reading, ...] = (
    Reading(key="delimiter", value=",", title="comma between fields"),
    Reading(key="delimiter", value=";", title="semicolon between fields"),
    Reading(key="delimiter", value="\t", title="tab between fields"),
    Reading(key="delimiter", value="|", title="bar between fields"),
    Reading(key="delimiter", value=" ", title="space between fields"),
    Reading(key="header", value=True, title="the first line names the columns"),
    Reading(key="header", value=False, title="the first line is a row"),
    Reading(key="encoding", value="utf-8", title="UTF-8 text"),
    Reading(key="encoding", value="utf-16", title="UTF-16 text"),
    Reading(key="encoding", value="latin-1", title="latin-1 text"),
    Reading(key="encoding", value="cp1252", title="cp1252 text"),
    Reading(key="quote", value='"', title='fields quoted by "'),
    Reading(key="quote", value="'", title="fields quoted by '"),
    Reading(key="quote", value="", title="no quotes"),
)

KEYS: dict[str, str] = {
    "delimiter": "What stands between fields.",
    "header": "Whether the first line names the columns.",
    "encoding": "How the text is stored.",
    "quote": "What fields may be quoted by.",
}
"""Each key with its meaning, in the order they are shown."""


def readings_of(key: str) -> tuple[Reading, ...]:
    """The choices for one key."""
    return tuple(r for r in READINGS if r.key == key)


def is_text_table(source: Source) -> bool:
    """Whether there is anything to correct: a CSV or a file that is read like one."""
    if source.format:
        return source.format == "csv"
    name = source.uri.lower().removesuffix(".gz").removesuffix(".zst")
    scheme = ":" in source.uri.partition("/")[0]
    return not scheme and not name.endswith((".parquet", ".arrow", ".feather", ".json", ".jsonl", ".ndjson"))


def said(source: Source, key: str) -> str:
    """How a source is to be read, in words; empty while it is left to the guess."""
    value = getattr(source, key)
    if value is None or (value == "" and key != "quote"):
        return ""
    return next((r.title for r in readings_of(key) if r.value == value), repr(value))


def is_now(head: Head, reading: Reading) -> bool:
    """Whether a file's first rows were read so."""
    now = getattr(head, reading.key)
    return bool(now == reading.value) if isinstance(reading.value, bool) else str(now).lower() == reading.value
