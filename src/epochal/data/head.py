"""The first rows of a source, at once: standard library only, before anything is imported or the engine is loaded."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from epochal import show
from epochal.core.settings import Source, read_table
from epochal.data.dialect import SAMPLE, is_number, read_records, single_spaced, sniff
from epochal.data.encoding import Encoding, as_utf8, detect, head_bytes
from epochal.data.places import resolve
from epochal.data.protocol import ColumnInfo, Head


_CUT = 120
_MAX_WIDTH = 40
_SHOWN_COLUMNS = 500


def head(folder: Path, source: Source | Mapping[str, Any], rows: int = 200) -> Head:
    """The first rows of a source as texts, with what was guessed about how it is written. Raises SourceError.

    Formats that need a library (Parquet, Arrow, bundled and Hub sets) give no rows and say so in `note`.
    """
    if isinstance(source, Mapping):
        source = read_table(Source, source, ("source", 0))
    place = resolve(source, folder)
    if not place.files or place.format in {"parquet", "arrow"}:
        size = sum(f.stat().st_size for f in place.files)
        return Head(
            format=place.format, encoding="", delimiter="", quote="", header=True, columns=(), rows=(), bytes=size,
            note="rows show when it is read",
        )  # fmt: skip
    path = place.files[0]
    note = f"first of {len(place.files)} files" if len(place.files) > 1 else ""
    encoding = detect(path, source.encoding, whole=False)
    text = _text(path, encoding)
    if place.format == "csv":
        dialect = sniff(text, source, str(path))
        even = single_spaced(text.encode(), dialect.quote).decode() if dialect.runs else text
        records = read_records(even, dialect.delimiter, dialect.quote)
        good = [r for r in records if len(r) in {dialect.fields, len(dialect.names), dialect.header_fields}]
        names, cells = dialect.names, [[c or None for c in r] for r in good[int(dialect.header) :][:rows]]
        described = (dialect.delimiter, dialect.quote, dialect.header)
    else:
        names, cells = _json_rows(text, place.format, rows)
        described = ("", "", True)
    return Head(
        format=place.format,
        encoding=encoding.name,
        delimiter=described[0],
        quote=described[1],
        header=described[2],
        columns=tuple(
            _column(n, [r[i] if i < len(r) else None for r in cells]) for i, n in enumerate(names[:_SHOWN_COLUMNS])
        ),
        rows=tuple(
            tuple(
                None if v is None else show.safe(v, _CUT)
                for v in (*r, *[None] * len(names))[: min(len(names), _SHOWN_COLUMNS)]
            )
            for r in cells
        ),
        bytes=sum(f.stat().st_size for f in place.files),
        note=note,
    )


def _text(path: Path, encoding: Encoding) -> str:
    data, everything = head_bytes(path, SAMPLE * (2 if encoding.name == "utf-16" else 1))
    text = b"".join(as_utf8(iter((data,)), encoding)).decode("utf-8", "replace")
    end = max(text.rfind("\n"), text.rfind("\r"))
    return text if everything or end <= 0 else text[: end + 1]


def _json_rows(text: str, kind: str, rows: int) -> tuple[tuple[str, ...], list[list[str | None]]]:
    decoder = json.JSONDecoder()
    found: list[Mapping[str, Any]] = []
    at = text.find("[") + 1 if kind == "json" and text.lstrip()[:1] == "[" else 0
    while len(found) < rows:
        while at < len(text) and text[at] in " \t\r\n,":
            at += 1
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            break
        if isinstance(value, Mapping):
            found.append(value)
    names = tuple(dict.fromkeys(itertools.chain.from_iterable(found)))
    return names, [[_json_text(row.get(n)) for n in names] for row in found]


def _json_text(value: Any) -> str | None:
    if value is None or value == "":
        return None
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _column(name: str, values: Sequence[str | None]) -> ColumnInfo:
    filled = [v for v in values if v is not None]
    number = bool(filled) and all(map(is_number, filled))
    title = show.safe(name, _CUT)
    width = max([show.cell_width(title), *(show.cell_width(show.safe(v, _MAX_WIDTH)) for v in filled[:100])])
    return ColumnInfo(
        name=name,
        title=title,
        kind="number" if number else "text",
        type="VARCHAR",
        width=min(width, _MAX_WIDTH),
        right=number,
    )
