"""From a file on disk to UTF-8 bytes: compression seen by its magic bytes, encoding guessed, both with bounds.

Everything here is the standard library (zstd needs pyarrow, imported when met): the first rows of a file must show
before anything heavy is loaded. Nothing is ever written.
"""

from __future__ import annotations

import codecs
import gzip
import os
import stat
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from epochal.core.errors import SourceError


CHUNK = 8 * 1024 * 1024
"""Bytes read at a time."""

MAX_EXPANSION = 200
"""A compressed file that grows more than this …"""
EXPANSION_FLOOR = 48 * 1024 * 1024
"""… and past this many bytes is taken for a bomb: fewer than are looked at for the encoding, before a row is stored."""

_SCAN = 64 * 1024 * 1024
"""How much of a file is looked at to guess its encoding."""

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_FOREIGN = {
    b"PAR1": "a Parquet file",
    b"ARROW1": "an Arrow file",
    b"PK\x03\x04": "a zip archive or a spreadsheet",
    b"SQLite format 3": "an SQLite database",
    b"%PDF": "a PDF",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """How a file's bytes become text."""

    name: str
    """utf-8, utf-16, latin-1 or cp1252, as in a [[source]] table."""
    codec: str
    """Python's codec; the byte order is in it."""
    bom: int = 0
    """Bytes of the mark at the start, which is no text."""


def check_regular(path: Path) -> os.stat_result:
    """Refuse what is no readable regular file, before it can block. Raises SourceError."""
    try:
        status = path.stat()
        if stat.S_ISREG(status.st_mode):
            with path.open("rb"):
                return status
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SourceError(
            f"it cannot be read: {reason}", where=str(path), fix="check the path in [[source]] uri", code="unreadable"
        ) from error
    what = "a folder" if stat.S_ISDIR(status.st_mode) else "a device, pipe or socket"
    raise SourceError(f"it is {what}, not a file", where=str(path), fix="name a file or a glob", code="unreadable")


def compression_of(path: Path) -> str:
    """gzip, zstd or nothing, by the file's first bytes. Raises SourceError when it cannot be read."""
    check_regular(path)
    with path.open("rb") as file:
        magic = file.read(4)
    if magic.startswith(_GZIP):
        return "gzip"
    return "zstd" if magic == _ZSTD else ""


@dataclass(slots=True)
class ByteReader:
    """A file's content in chunks, decompressed, with a bound on how far it may expand.

    `done` is how many bytes of the file itself have been read: what progress is measured by.
    """

    path: Path
    size: int = 0
    done: int = 0

    def chunks(self, size: int = CHUNK) -> Iterator[bytes]:
        """The content from its start. Raises SourceError for a broken or hostile archive."""
        compression = compression_of(self.path)
        self.size = self.path.stat().st_size
        produced = 0
        with self.path.open("rb") as raw:
            stream = _decompressed(raw, compression)
            try:
                # A plain file is read up to the size it had: one that grows as fast as it is read would never end.
                while chunk := stream.read(size if compression else min(size, self.size - produced)):
                    self.done = raw.tell()
                    produced += len(chunk)
                    if compression and produced > max(EXPANSION_FLOOR, MAX_EXPANSION * max(self.done, 1)):
                        raise SourceError(
                            f"it expands more than {MAX_EXPANSION} times",
                            where=str(self.path),
                            fix="if that is right, decompress it yourself and use the plain file",
                            code="bomb",
                        )
                    yield bytes(chunk)
            except (EOFError, OSError, zlib.error) as error:
                raise SourceError(
                    f"the {compression or 'file'} is damaged: {error}",
                    where=str(self.path),
                    fix="fetch it again",
                    code="damaged",
                ) from error


def _decompressed(raw: IO[bytes], compression: str) -> Any:
    if compression == "gzip":
        return gzip.GzipFile(fileobj=raw, mode="rb")
    if compression == "zstd":
        import pyarrow as pa

        return pa.CompressedInputStream(raw, "zstd")
    return raw


def head_bytes(path: Path, count: int) -> tuple[bytes, bool]:
    """The first `count` bytes of the content, and whether that is all of it. Raises SourceError."""
    parts: list[bytes] = []
    have = 0
    for chunk in ByteReader(path).chunks(min(count + 1, CHUNK)):
        parts.append(chunk)
        have += len(chunk)
        if have > count:
            break
    data = b"".join(parts)
    return data[:count], len(data) <= count


def detect(path: Path, declared: str = "", *, whole: bool = True) -> Encoding:
    """The file's encoding: as declared, by its mark, or by what its bytes can be.

    `whole` looks at up to 64 MB, otherwise at the first 256 kB. Raises SourceError for what is no text.
    """
    first, _all = head_bytes(path, 256 * 1024)
    _refuse_foreign(path, first)
    if first.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        raise SourceError(
            "it is written in UTF-32, which is not read",
            where=str(path),
            fix="save it as UTF-8: iconv -f utf-32 -t utf-8",
            code="not-text",
        )
    marked = _by_mark(first)
    if declared:
        return _declared(declared, marked, first)
    if marked:
        return marked
    wide = _wide_without_mark(first)
    if wide:
        return wide
    full_of = "NUL bytes" if first.count(0) > len(first) // 10 else "control characters" if _binary(first) else ""
    if full_of:
        raise SourceError(
            f"it is no text: it is full of {full_of}",
            where=str(path),
            fix="name a text file, or set the encoding in its [[source]] table if it is one",
            code="not-text",
        )
    return _by_content(ByteReader(path).chunks() if whole else iter((first,)))


_CONTROLS = bytes(c for c in (*range(1, 32), 127) if c not in b"\t\n\v\f\r\x1b")


def _binary(first: bytes) -> bool:
    """Whether many different control characters stand all over it; one of them may well be the delimiter."""
    found = len(first) - len(first.translate(None, _CONTROLS))
    return found > len(first) // 30 and len(set(first) & set(_CONTROLS)) > 8


def _refuse_foreign(path: Path, first: bytes) -> None:
    for magic, what in _FOREIGN.items():
        if first.startswith(magic):
            raise SourceError(
                f"it is {what}, not text",
                where=str(path),
                fix="set the format in its [[source]] table, or save it as CSV or Parquet",
                code="not-text",
            )


def _by_mark(first: bytes) -> Encoding | None:
    if first.startswith(codecs.BOM_UTF8):
        return Encoding(name="utf-8", codec="utf-8", bom=3)
    if first.startswith(codecs.BOM_UTF16_LE):
        return Encoding(name="utf-16", codec="utf-16-le", bom=2)
    if first.startswith(codecs.BOM_UTF16_BE):
        return Encoding(name="utf-16", codec="utf-16-be", bom=2)
    return None


def _declared(declared: str, marked: Encoding | None, first: bytes) -> Encoding:
    if marked and marked.name == declared:
        return marked
    if declared == "utf-16":
        return _wide_without_mark(first) or Encoding(name="utf-16", codec="utf-16-le")
    return Encoding(name=declared, codec=declared)


def _wide_without_mark(first: bytes) -> Encoding | None:
    """UTF-16 shows itself by NUL in nearly every second byte."""
    half = len(first) // 2
    if half < 2:
        return None
    even, odd = first[0 : 2 * half : 2].count(0), first[1 : 2 * half : 2].count(0)
    if odd > 0.4 * half and even < 0.1 * half:
        return Encoding(name="utf-16", codec="utf-16-le")
    if even > 0.4 * half and odd < 0.1 * half:
        return Encoding(name="utf-16", codec="utf-16-be")
    return None


_C1 = frozenset(range(0x80, 0xA0))
_NOT_IN_CP1252 = frozenset((0x81, 0x8D, 0x8F, 0x90, 0x9D))


def _by_content(chunks: Iterator[bytes]) -> Encoding:
    """UTF-8 where a good part of its sequences is right, else the single-byte encoding its bytes can be."""
    right = wrong = seen = 0
    high: set[int] = set()
    rest = b""
    for chunk in chunks:
        seen += len(chunk)
        if not (chunk.isascii() and not rest):
            data = rest + chunk
            text, used = codecs.utf_8_decode(data, "replace", False)
            rest = data[used:]
            replaced = text.count("\ufffd")
            bad = replaced - data.count(b"\xef\xbf\xbd")
            wrong += bad
            right += len(text) - len(text.encode("ascii", "ignore")) - replaced
            if bad:
                high |= set(data) & _C1
        if seen >= _SCAN:
            rest = b""
            break
    wrong += bool(rest)
    if right * 3 > wrong or not wrong:  # so many do not come about by chance: what is wrong becomes rejects, in sight
        return Encoding(name="utf-8", codec="utf-8")
    if high and not high & _NOT_IN_CP1252:
        return Encoding(name="cp1252", codec="cp1252")
    return Encoding(name="latin-1", codec="latin-1")


def as_utf8(chunks: Iterator[bytes], encoding: Encoding) -> Iterator[bytes]:
    """The chunks as UTF-8 without the mark at the start.

    What is not text in the source's encoding stays as bytes that are not UTF-8: the lines it stands in are found and
    rejected later, none is lost here.
    """
    skip = encoding.bom
    plain = encoding.name == "utf-8"
    decode = codecs.getincrementaldecoder(encoding.codec)
    decoder = decode("surrogateescape" if encoding.name == "cp1252" else "surrogatepass")
    for chunk in chunks:
        data = chunk
        if skip:
            data, skip = chunk[skip:], max(0, skip - len(chunk))
        yield data if plain else decoder.decode(data).encode("utf-8", "surrogatepass")
    if decoder.getstate()[0] and not plain:
        yield b"\xff"
