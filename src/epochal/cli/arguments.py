"""Arguments that several verbs share."""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epochal.core.errors import EpochalError, SettingsError


if TYPE_CHECKING:
    from epochal.core.settings import Project


class UsageError(EpochalError):
    """The command's words are off."""

    code = "usage"


def add_project(parser: argparse.ArgumentParser, *, optional: bool = False) -> None:
    """The project's folder."""
    parser.add_argument(
        "dir",
        metavar="DIR",
        type=Path,
        nargs="?" if optional else None,
        default=Path() if optional else None,
        help="the project's folder" + (" (default: this one)" if optional else ""),
    )


def add_run(parser: argparse.ArgumentParser) -> None:
    """Which run: its number or name."""
    parser.add_argument("run", metavar="RUN", nargs="?", help="its number or name (default: the newest)")


def add_json(parser: argparse.ArgumentParser) -> None:
    """--json."""
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout and nothing else")


def add_set(parser: argparse.ArgumentParser, help_text: str) -> None:
    """--set dotted.path=VALUE, repeatable."""
    parser.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], help=help_text)


def parse_sets(words: Iterable[str]) -> dict[str, Any]:
    """Dotted paths and values of --set. A value is TOML; a bare word is a text. Raises UsageError."""
    sets: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"--set {word}: no `=`", fix="write it like --set train.epochs=20")
        sets[key.strip()] = parse_value(text.strip())
    return sets


def parse_value(text: str) -> Any:
    """A TOML value, or the text itself when it is none."""
    if len(text) > 100_000:
        raise UsageError("a value of more than 100,000 characters", fix="write it into project.toml")
    try:
        document = tomllib.loads(f"value = {text}")
    except (tomllib.TOMLDecodeError, RecursionError, ValueError):
        return text
    return document["value"] if list(document) == ["value"] else text


def apply_sets(project: Project, sets: dict[str, Any]) -> Project:
    """The project with every --set applied, in order. Raises SettingsError naming the --set."""
    from epochal.core.settings import with_setting  # `--help` answers in a blink without it

    for key, value in sets.items():
        try:
            project = with_setting(project, key, value)
        except SettingsError as error:
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                try:  # a column may be called 1985
                    project = with_setting(project, key, str(value))
                    continue
                except SettingsError:
                    pass
            raise SettingsError(
                error.what, path=error.path, where=error.where or f"--set {key}", fix=error.fix, code=error.error_code
            ) from None
    return project
