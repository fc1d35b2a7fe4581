"""Value mappings as CSV files under mappings/: readable, diffable, with the columns `from` and `to`."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from epochal import fsio
from epochal.core.errors import StepError
from epochal.project.paths import ProjectPaths
from epochal.project.read import read_regular


MAX_BYTES = 64 << 20
_HEADER = ["from", "to"]
_FIELD_LIMIT = 1 << 20


def mapping_path(folder: Path, file: str) -> Path:
    """Where a step's `file` stands: "colours.csv" and "mappings/colours.csv" are the same.

    Raises StepError (code outside) for a path that leaves the project's mappings.
    """
    parts = PurePosixPath(file).parts
    parts = parts[1:] if parts[:1] == ("mappings",) else parts
    if not parts or file.startswith("/") or "\0" in file or any(p == ".." for p in parts):
        raise StepError(
            f"{file!r} does not name a file under mappings/",
            where="map_values",
            fix='write file = "mappings/NAME.csv"',
            code="outside",
        )
    base = ProjectPaths(folder).mappings
    path = base.joinpath(*parts)
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(base.parent)):
        raise StepError(
            f"{file!r} is a link that leaves the project",
            where="map_values",
            fix="put the file itself under mappings/",
            code="outside",
        )
    return path


def read_mapping(folder: Path, file: str) -> dict[str, str]:
    """Old values to new values, in the file's order; an empty `to` is an empty value.

    Raises StepError when the file is missing, has other columns, names a value twice or is larger than 64 MiB.
    """
    path = mapping_path(folder, file)
    rows = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    previous = csv.field_size_limit(_FIELD_LIMIT)
    mapping: dict[str, str] = {}
    try:
        header = next(rows, [])
        if header != _HEADER:
            raise _broken(path, 1, f"its columns are {', '.join(header)[:80] or 'missing'}", "name them from,to")
        for row in rows:
            if not row:
                continue
            if len(row) != 2:
                raise _broken(path, rows.line_num, f"a line with {len(row)} fields", "write two: from,to")
            if row[0] in mapping:
                raise _broken(path, rows.line_num, f"{row[0][:80]!r} stands twice", "keep one of the lines")
            mapping[row[0]] = row[1]
    except csv.Error as error:
        raise _broken(path, rows.line_num, str(error), "quote values that hold quotes or commas") from error
    finally:
        csv.field_size_limit(previous)
    return mapping


def _text(path: Path) -> str:
    try:
        data = read_regular(path, MAX_BYTES + 1)
    except OSError as error:
        raise StepError(
            f"the mapping cannot be read: {error.strerror or error}", where=str(path), fix="check `file` of the step"
        ) from error
    if len(data) > MAX_BYTES:
        raise StepError("the mapping is larger than 64 MiB", where=str(path), fix="join it to the source instead")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _broken(path, line, "it is not UTF-8", "save it as UTF-8") from error


def _broken(path: Path, line: int, what: str, fix: str) -> StepError:
    return StepError(f"the mapping cannot be used: {what}", where=f"{path}:{line}", fix=fix)


def write_mapping(folder: Path, name: str, mapping: Mapping[str, str]) -> str:
    """Write a mapping durably; gives the step's `file`. Raises StepError for a bad name, NotSaved."""
    path = mapping_path(folder, name if name.endswith(".csv") else f"{name}.csv")
    text = io.StringIO(newline="")
    unquoted = "\r" not in "".join((*mapping, *mapping.values()))  # the writer leaves it bare, the reader ends a line
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_MINIMAL if unquoted else csv.QUOTE_ALL)
    writer.writerow(_HEADER)
    writer.writerows(mapping.items())
    fsio.make_folder(path.parent)
    fsio.write_text(path, text.getvalue())
    return path.relative_to(ProjectPaths(folder).folder).as_posix()
