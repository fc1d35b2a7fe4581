"""Reading text tables (CSV, TSV and their kin) into the raw table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from epochal.core.ledger import Reject
from epochal.data.columns import to_table
from epochal.data.dialect import SAMPLE, Dialect, single_spaced, sniff
from epochal.data.encoding import ByteReader, Encoding, as_utf8, detect, head_bytes
from epochal.data.lines import MAX_RECORD, Counts, LineReader


if TYPE_CHECKING:
    from epochal.core.settings import Source
    from epochal.data.rawtable import RawTable


@dataclass(frozen=True, slots=True, kw_only=True)
class TextFile:
    """How one text table is to be read."""

    path: Path
    encoding: Encoding
    dialect: Dialect


def look_at(path: Path, source: Source, *, whole: bool = True) -> tuple[TextFile, str]:
    """How a text table is to be read, and its sample as text. Raises SourceError.

    `whole` looks at up to 64 MB of it to be sure of the encoding.
    """
    encoding = detect(path, source.encoding, whole=whole)
    sample = sample_text(path, encoding)
    return TextFile(path=path, encoding=encoding, dialect=sniff(sample, source, str(path))), sample


def sample_text(path: Path, encoding: Encoding, count: int = SAMPLE) -> str:
    """The first lines as text, the last one whole."""
    data, everything = head_bytes(path, count * (2 if encoding.name == "utf-16" else 1))
    text = b"".join(as_utf8(iter((data,)), encoding)).decode("utf-8", "replace")
    if everything:
        return text
    end = max(text.rfind("\n"), text.rfind("\r"))
    return text[: end + 1] if end > 0 else text


def read_text(file: TextFile, name: str, raw: RawTable, progress: Callable[[float], None]) -> Counts:
    """Append every good record to the raw table and every other line to the rejects. Raises SourceError.

    Args:
        file: What to read, and how.
        name: What rows and rejects say they are from.
        raw: Where they go.
        progress: Told the share of the file that was read, 0 to 1; it may raise.
    """
    dialect = file.dialect
    names = raw.declare([(n, "VARCHAR") for n in dialect.names])
    values = [f"c{i}" for i in range(len(names))]
    reader = LineReader(
        delimiter=dialect.delimiter,
        quote=dialect.quote,
        width=len(names),
        fields=dialect.fields,
        header_fields=dialect.header_fields if dialect.header else None,
        where=str(file.path),
        keep_uneven=raw.keep_uneven,
    )
    source = ByteReader(file.path)
    for chunk, final in _with_end(_lines(source, file)):
        block = reader.feed(chunk, final=final)
        if block.rows:
            raw.append(name, to_table(block, raw.rows), names, values)
        raw.reject(Reject(source=name, line=r.line, column=None, kind=r.kind, text=r.text) for r in block.rejects)
        progress(source.done / source.size if source.size else 1.0)
    return reader.counts


def _lines(source: ByteReader, file: TextFile) -> Iterator[bytes]:
    chunks = _line_fed(source, file)
    return _single_spaced(chunks, file.dialect.quote) if file.dialect.runs else chunks


def _single_spaced(chunks: Iterator[bytes], quote: str) -> Iterator[bytes]:
    """As `dialect.single_spaced`, by whole lines: a run of spaces or a quoted field may go on in the next chunk."""
    held: list[bytes] = []
    size = 0
    for chunk in chunks:
        end = chunk.rfind(b"\n") + 1
        if end:
            yield single_spaced(b"".join((*held, chunk[:end])), quote)
            held, size = [], 0
        held.append(chunk[end:])
        size += len(chunk) - end
        if size > MAX_RECORD:
            # The reader refuses so long a line; it must come to see it.
            yield b"".join(held)
            held, size = [], 0
    yield single_spaced(b"".join(held), quote)


def _line_fed(source: ByteReader, file: TextFile) -> Iterator[bytes]:
    chunks = as_utf8(source.chunks(), file.encoding)
    if file.dialect.newline == "\n":
        yield from chunks
        return
    held = b""
    for chunk in chunks:
        data = held + chunk
        held = b"\r" if data.endswith(b"\r") else b""  # a line feed may follow in the next chunk
        yield data[: len(data) - len(held)].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if held:
        yield b"\n"


def _with_end(chunks: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
    for chunk in chunks:
        yield chunk, False
    yield b"", True
