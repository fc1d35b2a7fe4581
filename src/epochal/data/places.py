"""Where a source's rows are: its address resolved to files of one format, a bundled set or a data set of the Hub.

Standard library only.
"""

from __future__ import annotations

import glob
import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from epochal.core.errors import SourceError
from epochal.core.settings import Source
from epochal.core.steps import nearest
from epochal.data.encoding import head_bytes
from epochal.show import grouped


Format = Literal["csv", "json", "jsonl", "parquet", "arrow", "sklearn", "hub"]

MAX_FILES = 10_000

_ENDINGS: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".txt": "csv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
}
_PACKED = (".gz", ".gzip", ".zst", ".zstd")
_LATER = {
    "s3:": "cloud storage",
    "gs:": "cloud storage",
    "az:": "cloud storage",
    "http:": "web addresses",
    "https:": "web addresses",
    "postgres:": "databases",
    "sqlite:": "databases",
    "images:": "folders of images",
    "gym:": "environments",
    "llm:": "language models",
}
SKLEARN = ("breast_cancer", "diabetes", "digits", "iris", "linnerud", "wine", "california_housing", "covtype")
"""The sets that can be named; the last two are fetched by scikit-learn when first used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A source's address, resolved."""

    format: Format
    files: tuple[Path, ...] = ()
    """For files: absolute, sorted by name."""
    name: str = ""
    """For sklearn and hub: the set's name, or a folder's absolute path."""


def resolve(source: Source, folder: Path) -> Place:
    """Find what a source names; relative paths start in `folder`.

    Raises SourceError when there is nothing, or nothing this version reads.
    """
    uri = source.uri
    scheme = uri.split(":", 1)[0].lower() + ":" if ":" in uri else ""
    if scheme == "sklearn:":
        return Place(format="sklearn", name=_sklearn(uri.split(":", 1)[1]))
    if uri.startswith("hf://"):
        name = uri[5:].removeprefix("datasets/")
        if not name:
            raise SourceError("hf:// names no data set", where=uri, fix="write hf://owner/name or hf:///folder")
        local = name.startswith((".", "/"))
        return Place(format="hub", name=str((folder / name).absolute()) if local else name)
    if scheme in _LATER and not (folder / uri).exists():
        raise SourceError(
            f"{_LATER[scheme]} cannot be read yet",
            where=uri,
            fix="save the rows as CSV or Parquet and name that file",
            code="later",
        )
    path = folder / uri
    if path.is_dir():
        return Place(format="hub", name=str(path.absolute()))
    files = _files(uri, folder)
    return Place(format=_common_format(source, files), files=files)


def _sklearn(name: str) -> str:
    if name not in SKLEARN:
        close = nearest(name, SKLEARN)
        raise SourceError(
            f"scikit-learn has no bundled set {name!r}",
            where=f"sklearn:{name}",
            fix=f"did you mean sklearn:{close}?" if close else f"there are {', '.join(SKLEARN)}",
            code="not-found",
        )
    return name


def _files(uri: str, folder: Path) -> tuple[Path, ...]:
    path = folder / uri
    if not glob.has_magic(uri) or os.path.lexists(path):
        if not os.path.lexists(path):
            close = nearest(path.name, _names_beside(path))
            raise SourceError(
                "there is no such file",
                where=str(path),
                fix=f"did you mean {close}?" if close else "check the path; it starts in the project's folder",
                code="not-found",
            )
        return (path.absolute(),)
    pattern = uri if uri.startswith("/") else f"{glob.escape(str(folder))}/{uri}"
    found = itertools.islice(glob.iglob(pattern, recursive=True), MAX_FILES + 1)  # noqa: PTH207 - needs the escaped folder
    files = sorted(Path(f).absolute() for f in found if not os.path.isdir(f))  # noqa: PTH112 - no Path for a million entries
    if not files:
        raise SourceError("no file matches", where=uri, fix="check the pattern; ** spans folders", code="not-found")
    if len(files) > MAX_FILES:
        raise SourceError(f"more than {grouped(MAX_FILES)} files match", where=uri, fix="name fewer", code="too-many")
    return tuple(files)


def _names_beside(path: Path) -> tuple[str, ...]:
    try:
        with os.scandir(path.parent) as entries:
            return tuple(e.name for e in itertools.islice(entries, 1000))
    except OSError:
        return ()


def _common_format(source: Source, files: Sequence[Path]) -> Format:
    formats = {format_of(f, source.format) for f in files[:100]}
    if len(formats) > 1:
        raise SourceError(
            f"files of several formats match: {', '.join(sorted(formats))}",
            where=source.uri,
            fix="make one [[source]] for each format",
        )
    return formats.pop()


def format_of(path: Path, declared: str = "") -> Format:
    """The format of a file: as declared, by its ending, else by its first bytes. Raises SourceError when unreadable."""
    if declared:
        return declared  # type: ignore[return-value]
    name = path.name.lower()
    for packed in _PACKED:
        name = name.removesuffix(packed)
    ending = _ENDINGS.get(os.path.splitext(name)[1])  # noqa: PTH122 - a plain string, no path any more
    if ending:
        return ending
    first, _all = head_bytes(path, 4096)
    if first.startswith(b"PAR1"):
        return "parquet"
    if first.startswith(b"ARROW1"):
        return "arrow"
    begin = first.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    return "json" if begin == b"[" else "jsonl" if begin == b"{" else "csv"
