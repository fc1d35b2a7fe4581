"""Whether a file is whole and of its kind, judged by its bytes alone: for the doctor, who trusts no writer."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import tomllib
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any


MAX_TEXT_BYTES = 64 << 20
_MAX_HEADER_BYTES = 8 << 20
_RECORD = re.compile(rb'\A(\{.*),"crc":"([0-9a-f]{8})"\}\Z', re.DOTALL)


class NotWhole(Exception):
    """What is wrong with a file, in words."""


def demand(holds: bool, otherwise: str) -> None:
    """Raise NotWhole with these words unless something holds."""
    if not holds:
        raise NotWhole(otherwise)


def regular(path: Path) -> os.stat_result:
    """The state of a regular file. Raises NotWhole for anything else; never waits for a pipe or a device."""
    try:
        found = path.stat()
    except OSError as error:
        raise NotWhole(f"cannot be looked at: {error.strerror}") from error
    if not stat.S_ISREG(found.st_mode):
        raise NotWhole("is no regular file")
    return found


def content(path: Path, limit: int = MAX_TEXT_BYTES) -> bytes:
    """A file's bytes. Raises NotWhole when it is unreadable or larger than `limit`."""
    if regular(path).st_size > limit:
        raise NotWhole(f"is larger than {limit >> 20} MiB")
    try:
        return path.read_bytes()
    except OSError as error:
        raise NotWhole(f"cannot be read: {error.strerror}") from error


def toml(path: Path) -> dict[str, Any]:
    """A TOML file's document. Raises NotWhole."""
    try:
        return tomllib.loads(content(path).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise NotWhole(f"is no TOML: {str(error)[:120]}") from error


def json_document(data: bytes) -> Any:
    """A JSON document. Raises NotWhole."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise NotWhole(f"is no JSON: {str(error)[:120]}") from error


def json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any] | None, bool]]:
    """Each line's number, its object (None when it is damaged) and whether it is an unfinished last line."""
    lines = content(path, 1 << 30).split(b"\n")
    for number, line in enumerate(lines, start=1):
        last = number == len(lines)
        if last and not line:
            return
        try:
            value = json_document(line)
        except NotWhole:
            value = None
        yield number, value if isinstance(value, dict) else None, last


def journal_lines(path: Path) -> Iterator[tuple[int, dict[str, Any] | None, bool]]:
    """As `json_lines`, a line whose checksum does not fit being damaged too."""
    lines = content(path, 1 << 30).split(b"\n")
    for number, line in enumerate(lines, start=1):
        last = number == len(lines)
        if last and not line:
            return
        match = _RECORD.match(line)
        good = match is not None and int(match[2], 16) == zlib.crc32(match[1] + b"}")
        try:
            value = json_document(line) if good else None
        except NotWhole:
            value = None
        yield number, value if isinstance(value, dict) else None, last


def sha256(path: Path) -> str:
    """A file's hash. Raises NotWhole."""
    regular(path)
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise NotWhole(f"cannot be read: {error.strerror}") from error


def check(path: Path) -> None:
    """Judge a file by its ending: TOML, JSON, JSON lines, Parquet, safetensors, CSV. Raises NotWhole."""
    match path.suffix:
        case ".toml":
            toml(path)
        case ".json":
            json_document(content(path))
        case ".parquet":
            _parquet(path)
        case ".safetensors":
            _safetensors(path)
        case ".csv" | ".md" | ".html":
            _utf8(path)
        case _:
            regular(path)


def _utf8(path: Path) -> None:
    try:
        content(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotWhole(f"byte {error.start} is not UTF-8") from error


def _parquet(path: Path) -> None:
    size = regular(path).st_size
    with path.open("rb") as file:
        head = file.read(4)
        file.seek(max(0, size - 8))
        tail = file.read(8)
    demand(size >= 12 and head == tail[4:] == b"PAR1", "is no whole Parquet file")
    demand(int.from_bytes(tail[:4], "little") <= size - 12, "has a Parquet footer longer than itself")


def _safetensors(path: Path) -> None:
    size = regular(path).st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        demand(
            size >= 8 and length <= min(size - 8, _MAX_HEADER_BYTES), "has a header longer than itself or than 8 MiB"
        )
        header = json_document(file.read(length))
    spans: list[tuple[int, int]] = []
    for name, tensor in header.items() if isinstance(header, dict) else [("", None)]:
        if name == "__metadata__":
            continue
        offsets = tensor.get("data_offsets") if isinstance(tensor, dict) else None
        if not (isinstance(offsets, list) and len(offsets) == 2 and all(isinstance(o, int) for o in offsets)):
            raise NotWhole("has a tensor without a place")
        spans.append((offsets[0], offsets[1]))
    at = 0
    for start, end in sorted(spans):
        demand(start == at <= end, "has tensors that overlap or leave gaps")
        at = end
    demand(at == size - 8 - length, "is not as long as its tensors")
