"""Reading project.toml strictly: caps before parsing, and every error with file, line and the way out."""

from __future__ import annotations

import errno
import os
import re
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from epochal.core.errors import SettingsError
from epochal.core.settings import Project, parse_project
from epochal.project.outline import excess, line_number, line_of
from epochal.project.paths import ProjectPaths


MAX_BYTES = 1 << 20
"""A project.toml is written by and for people; what is larger is something else."""
MAX_DEPTH = 16
MAX_DOTS = 16
MAX_KEYS = 20_000

_CONFLICT = re.compile(r"^(?:<{7}|={7}|>{7}|\|{7})(?: .*)?\r?$", re.MULTILINE)
_AT_LINE = re.compile(r" ?\(at (?:line (\d+), column \d+|end of document)\)")
_MAX_WORDS = 300
"""Characters of an error's text: values from the file may be long."""


def read_project(folder: Path) -> Project:
    """Read a project's folder strictly.

    Raises SettingsError: code no-project when there is none, else with `where` as project.toml:LINE.
    """
    return parse_text(read_text(ProjectPaths(folder).toml))


class NoRegularFile(OSError):
    """A folder, pipe or device where a file is expected."""


def read_regular(path: Path, limit: int = -1) -> bytes:
    """At most `limit` bytes of a regular file; never waits for a pipe. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise NoRegularFile(errno.EINVAL, "no regular file", str(path))
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(limit)
    finally:
        os.close(descriptor)


def read_text(path: Path) -> str:
    """The text of a project.toml, without a byte order mark.

    Raises SettingsError when it is missing, unreadable, no regular file, too large or not UTF-8.
    """
    try:
        data = read_regular(path, MAX_BYTES + 1)
    except NoRegularFile:
        raise SettingsError(
            "project.toml is no regular file", where=str(path), fix="put a file in its place", code="no-project"
        ) from None
    except (FileNotFoundError, NotADirectoryError):
        raise SettingsError(
            "there is no project here",
            where=str(path),
            fix="make one with `epochal new`, or name the folder that holds project.toml",
            code="no-project",
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SettingsError(
            f"project.toml cannot be read: {reason}", where=str(path), fix="check its permissions", code="unreadable"
        ) from error
    if len(data) > MAX_BYTES:
        raise SettingsError(
            f"project.toml is larger than {MAX_BYTES >> 20} MiB",
            where=path.name,
            fix="long value mappings belong into a CSV under mappings/",
            code="too-large",
        )
    return _decode(data, path.name)


def _decode(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        utf16 = data[:2] in (b"\xff\xfe", b"\xfe\xff")
        raise SettingsError(
            "the file is UTF-16" if utf16 else f"byte 0x{data[error.start]:02x} is not UTF-8",
            where=f"{name}:{line}",
            fix="save the file as UTF-8",
            code="encoding",
        ) from error


def parse_text(text: str, name: str = "project.toml") -> Project:
    """The project a text holds. Raises SettingsError with `where` as NAME:LINE."""
    document = parse_document(text, name)
    try:
        return parse_project(document)
    except SettingsError as error:
        raise SettingsError(
            shortened(error.what),
            path=error.path,
            where=f"{name}:{line_of(text, error.path)}",
            fix=shortened(error.fix),
            code=error.error_code,
        ) from None


def parse_document(text: str, name: str = "project.toml") -> dict[str, Any]:
    """The plain data of a TOML text within our caps. Raises SettingsError with `where` as NAME:LINE."""
    over = excess(text, depth=MAX_DEPTH, dots=MAX_DOTS, keys=MAX_KEYS)
    if over:
        raise SettingsError(
            f"the file has {over[0]}", where=f"{name}:{line_number(text, over[1])}", fix="simplify it", code="too-large"
        )
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _syntax(text, name, error) from None
    except (ValueError, OverflowError, RecursionError) as error:
        raise SettingsError(
            f"a value cannot be read: {shortened(str(error))}", where=name, fix="use smaller values", code="syntax"
        ) from None
    _check_numbers(document, (), text, name)
    return document


def _syntax(text: str, name: str, error: tomllib.TOMLDecodeError) -> SettingsError:
    conflict = _CONFLICT.search(text)
    if conflict:
        return SettingsError(
            "the file holds the marks of an unfinished git merge",
            where=f"{name}:{line_number(text, conflict.start())}",
            fix="keep one of the two versions and delete the lines <<<<<<<, ======= and >>>>>>>",
            code="merge-marks",
        )
    found = _AT_LINE.search(str(error))
    line = int(found[1]) if found and found[1] else line_number(text, len(text.rstrip()))
    return SettingsError(
        f"this is not TOML: {shortened(_AT_LINE.sub('', str(error)))}",
        where=f"{name}:{line}",
        fix="texts stand in quotes, true and false are small, tables are [table], steps are [[clean]]",
        code="syntax",
    )


def _check_numbers(value: Any, path: tuple[str | int, ...], text: str, name: str) -> None:
    """Refuse whole numbers beyond TOML's 64 bits: Python reads any, and fails on them later."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _check_numbers(inner, (*path, key), text, name)
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            _check_numbers(inner, (*path, i), text, name)
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise SettingsError(
            "a whole number is beyond 64 bits",
            path=path,
            where=f"{name}:{line_of(text, path)}",
            fix="use a smaller number",
            code="syntax",
        )


def shortened(words: str) -> str:
    """Words cut to a length that a person reads."""
    return words if len(words) <= _MAX_WORDS else words[: _MAX_WORDS - 1] + "…"
