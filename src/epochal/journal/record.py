"""One record of a journal: a line of JSON whose last key is the checksum of all before it.

`{"n":12,"k":"steps","m":5120,"t":"2026-11-22T10:00:00.123Z", …payload…,"crc":"1a2b3c4d"}`: `n` counts records
from 0 without gaps, `k` is the event's kind, `m` are milliseconds since the writer opened the journal (they never
jump), `t` is the wall clock, for people. `crc` is the CRC-32 of the line as it would be without that key. The payload
lies flat beside them, so that jq and DuckDB read the file as it is.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from epochal.core.events import Event, from_payload, to_payload


RESERVED = frozenset({"n", "k", "m", "t", "torn", "crc"})
"""Keys no event may have."""

MAX_LINE_BYTES = 1 << 20
"""A longer line is no record: it ends a reader's patience, not its memory."""

_CRC = b',"crc":"'
_CRC_TAIL_BYTES = len(_CRC) + 8 + 2
_DECODE = json.JSONDecoder().raw_decode


@dataclass(frozen=True, slots=True)
class Record:
    """One record, read back."""

    n: int
    kind: str
    milliseconds: int
    """Since its writer opened the journal."""
    at: str
    """The wall clock, ISO 8601 in UTC; for people only."""
    event: Event | None
    """None when this version does not know the kind."""
    torn: int = 0
    """Bytes of an unfinished record that the writer found before this one and took away."""


def encode(event: Event, *, n: int, milliseconds: int, at: str, torn: int = 0) -> bytes:
    """The record's line, newline included."""
    head: dict[str, Any] = {"n": n, "k": event.kind, "m": milliseconds, "t": at}
    if torn:
        head["torn"] = torn
    text = json.dumps({**head, **to_payload(event)}, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    body = text.encode("utf-8", "replace")
    return b'%b,"crc":"%08x"}\n' % (body[:-1], zlib.crc32(body))


def decode(line: bytes) -> Record | None:
    """The record of a line without its newline; None when the line is damaged."""
    document = _checked(line)
    if document is None:
        return None
    n, kind, milliseconds, at = (document.get(key) for key in ("n", "k", "m", "t"))
    if not (isinstance(n, int) and isinstance(kind, str) and isinstance(milliseconds, int) and isinstance(at, str)):
        return None
    torn = document.get("torn", 0)
    return Record(n, kind, milliseconds, at, from_payload(kind, document), torn if isinstance(torn, int) else 0)


def _checked(line: bytes) -> Mapping[str, Any] | None:
    at = len(line) - _CRC_TAIL_BYTES
    if not 0 < at <= MAX_LINE_BYTES or not line.startswith(_CRC, at) or not line.endswith(b'"}'):
        return None
    try:
        if int(line[-10:-2], 16) != zlib.crc32(b"}", zlib.crc32(memoryview(line)[:at])):
            return None
        text = line.decode()
        document, end = _DECODE(text)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) and end == len(text) else None


def journal_file(run_folder: Path, index: int) -> Path:
    """The journal's file of that number: `journal.jsonl` first, then `journal.0001.jsonl` and so on."""
    return run_folder / ("journal.jsonl" if index == 0 else f"journal.{index:04d}.jsonl")


def last_index(run_folder: Path) -> int:
    """The number of the newest file; 0 also when there is none yet."""
    index = 0
    while journal_file(run_folder, index + 1).exists():
        index += 1
    return index
