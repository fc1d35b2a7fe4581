"""Reading JSON (a list of objects, or an object of lists) and JSON lines into the raw table.

An object is a row, its keys are columns. A column whose values are all whole numbers, all numbers or all true/false gets
that type; everything else is text, nested values as JSON. What is no object is a reject.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from epochal.core.errors import SourceError
from epochal.core.ledger import Reject, RejectKind
from epochal.data.dialect import MAX_COLUMNS, usable_names
from epochal.data.encoding import ByteReader, as_utf8, detect
from epochal.data.lines import MAX_RECORD, TEXT_LIMIT, Counts
from epochal.show import grouped


if TYPE_CHECKING:
    from epochal.core.settings import Source
    from epochal.data.rawtable import RawTable

_BATCH = 20_000
_MAX_DOCUMENT = 512 * 1024 * 1024
"""Bytes of one JSON document; larger data belongs into JSON lines, which are read piece by piece."""
_WHOLE = range(-(2**63), 2**63)


@dataclass(slots=True)
class _Reading:
    """One file under way."""

    name: str
    counts: Counts = field(default_factory=Counts)
    rejects: list[Reject] = field(default_factory=list)
    kinds: dict[str, str] = field(default_factory=dict)
    """Columns in the order they were met, with the narrowest type that holds all their values."""

    def reject(self, line: int, kind: RejectKind, text: str) -> None:
        self.counts.rejected += 1
        self.rejects.append(Reject(source=self.name, line=line, column=None, kind=kind, text=text[:TEXT_LIMIT]))


def read_json(file: Path, source: Source, name: str, raw: RawTable, progress: Callable[[float], None]) -> Counts:
    """Append every object of a JSON or JSON-lines file to the raw table, everything else to the rejects.

    The file is read twice: once for its columns and their types, once for its rows. Raises SourceError for a JSON
    document that is broken or larger than half a gigabyte.
    """
    look = _Reading(name)
    for _line, row in _rows(file, source, look, lambda share: progress(share / 2)):
        for key, value in row.items():
            look.kinds[key] = _wider(look.kinds.get(key, ""), value)
        if len(look.kinds) > MAX_COLUMNS:
            raise SourceError(
                f"its objects have more than {grouped(MAX_COLUMNS)} keys",
                where=str(file),
                fix="cut it",
                code="too-wide",
            )
    if not look.kinds:
        raise SourceError("it holds no objects", where=str(file), fix="a row is an object: {…}", code="empty")
    keys = list(look.kinds)
    kinds = [k or "VARCHAR" for k in look.kinds.values()]
    names = raw.declare(list(zip(usable_names(keys), kinds, strict=True)))
    values = [f"c{i}::{k}::{raw.columns[n.casefold()][1]}" for i, (k, n) in enumerate(zip(kinds, names, strict=True))]
    reading = _Reading(name)
    rows: list[Mapping[str, Any]] = []
    lines: list[int] = []

    def flush() -> None:
        table = {
            "_row": pa.array(range(raw.rows, raw.rows + len(rows)), pa.int64()),
            "_line": pa.array(lines, pa.int64()),
        }
        for i, key in enumerate(keys):
            table[f"c{i}"] = pa.array([as_text(row.get(key)) for row in rows], pa.string())
        raw.append(name, pa.table(table), names, values)
        rows.clear()
        lines.clear()

    for line, row in _rows(file, source, reading, lambda share: progress(0.5 + share / 2)):
        rows.append(row)
        lines.append(line)
        if len(rows) == _BATCH:
            flush()
    if rows:
        flush()
    raw.reject(reading.rejects)
    return reading.counts


def as_text(value: Any) -> str | None:
    """A JSON value as a cell: missing for null and the empty text, else its text."""
    if value is None or value == "":
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.encode("utf-8", "replace").decode() if isinstance(value, str) else text


def _wider(kind: str, value: Any) -> str:
    """The narrowest of BOOLEAN, BIGINT, DOUBLE and VARCHAR that holds what `kind` held and this value."""
    if value is None or value == "":
        return kind
    own = "VARCHAR"
    if isinstance(value, bool):
        own = "BOOLEAN"
    elif isinstance(value, int):
        own = "BIGINT" if value in _WHOLE else "DOUBLE"
    elif isinstance(value, float):
        own = "DOUBLE"
    if kind in {"", own}:
        return own
    return "DOUBLE" if {kind, own} == {"BIGINT", "DOUBLE"} else "VARCHAR"


def _rows(
    file: Path, source: Source, reading: _Reading, progress: Callable[[float], None]
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    reader = ByteReader(file)
    encoding = detect(file, source.encoding)
    chunks = as_utf8(reader.chunks(), encoding)
    first = next((c for c in chunks if c.strip()), b"")
    rest = _chain(first, chunks)
    if _is_lines(first, str(file)):
        yield from _from_lines(rest, reading, reader, progress, str(file))
    else:
        yield from _from_document(rest, reading, str(file))
    progress(1.0)


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _is_lines(first: bytes, where: str) -> bool:
    """Whether each line is an object of its own, whatever the file is called."""
    begin = first.lstrip()
    if not begin:
        raise SourceError("it is empty", where=where, fix="name a file with rows", code="empty")
    if begin[:1] == b"[":
        return False
    line = begin.split(b"\n", 1)[0]
    try:
        return isinstance(_parse(line.decode("utf-8", "replace")), dict) and not _is_columns(line)
    except (ValueError, RecursionError):
        return not re.match(rb"\{\s*(\"|$|\n)", begin) or b"\n" not in begin


def _is_columns(line: bytes) -> bool:
    value = _parse(line.decode("utf-8", "replace"))
    return (
        bool(value) and all(isinstance(v, list) for v in value.values()) and len({len(v) for v in value.values()}) == 1
    )


def _from_lines(
    chunks: Iterator[bytes], reading: _Reading, reader: ByteReader, progress: Callable[[float], None], where: str
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for raw in _split_lines(chunks, where):
        counts = reading.counts
        counts.lines += 1
        if counts.lines % 4096 == 0:
            progress(reader.done / reader.size if reader.size else 1.0)
        if not raw.strip():
            counts.blank += 1
            continue
        try:
            value = _parse(raw.decode("utf-8"))
        except UnicodeDecodeError:
            reading.reject(counts.lines, "encoding", raw.decode("utf-8", "backslashreplace"))
            continue
        except (ValueError, RecursionError):
            reading.reject(counts.lines, "short", raw.decode("utf-8", "replace"))
            continue
        if isinstance(value, dict):
            counts.read += 1
            yield counts.lines, value
        else:
            reading.reject(counts.lines, "short", raw.decode("utf-8", "replace"))


def _split_lines(chunks: Iterator[bytes], where: str) -> Iterator[bytes]:
    carry = b""
    for chunk in chunks:
        *lines, carry = (carry + chunk).split(b"\n")
        if len(carry) > MAX_RECORD:
            raise SourceError(
                f"a line is longer than {MAX_RECORD >> 20} MB",
                where=where,
                fix="check that it is JSON lines",
                code="long-line",
            )
        yield from lines
    if carry:
        yield carry


def _from_document(chunks: Iterator[bytes], reading: _Reading, where: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    data = bytearray()
    for chunk in chunks:
        data += chunk
        if len(data) > _MAX_DOCUMENT:
            raise SourceError(
                f"the JSON document is larger than {_MAX_DOCUMENT >> 20} MB",
                where=where,
                fix="write it as JSON lines",
                code="too-large",
            )
    try:
        value = _parse(data.decode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise SourceError(
            f"it is no JSON: {str(error)[:200]}", where=where, fix="check that the file is whole", code="damaged"
        ) from error
    counts = reading.counts
    for row in _records(value, where):
        counts.lines += 1
        if isinstance(row, dict):
            counts.read += 1
            yield counts.lines, row
        else:
            reading.reject(counts.lines, "short", json.dumps(row, ensure_ascii=False))


def _records(value: Any, where: str) -> Iterator[Any]:
    """The rows of a document: its list, the only list of objects in it, its columns turned round, or itself."""
    if isinstance(value, list):
        return iter(value)
    if not isinstance(value, dict):
        raise SourceError(
            "it is neither a list nor an object", where=where, fix="a row is an object: {…}", code="damaged"
        )
    tables = [v for v in value.values() if isinstance(v, list) and v and all(isinstance(x, dict) for x in v)]
    if len(tables) == 1:
        return iter(tables[0])
    columns = list(value.values())
    if columns and all(isinstance(v, list) for v in columns) and len({len(v) for v in columns}) == 1:
        return (dict(zip(value, row, strict=True)) for row in zip(*columns, strict=True))
    return iter([value])


def _parse(text: str) -> Any:
    """JSON as values; numbers that are none are missing, whole numbers of absurd length are texts."""
    return json.loads(text, parse_constant=lambda _name: None, parse_int=_whole)


def _whole(text: str) -> int | str:
    return int(text) if len(text) < 400 else text
