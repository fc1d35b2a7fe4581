"""Arguments that several verbs share."""

from __future__ import annotations

import argparse
import contextlib
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from epochal.core.errors import EpochalError, SettingsError


if TYPE_CHECKING:
    from epochal.core.settings import Project
    from epochal.runs.state import RunInfo


class UsageError(EpochalError):
    """The command's words are off."""

    code = "usage"


class Parser(argparse.ArgumentParser):
    """A parser that raises what it has to say, names the nearest option, and takes options between other words."""

    def __init__(self, **keywords: Any) -> None:
        super().__init__(allow_abbrev=False, **keywords)

    def read(self, words: Sequence[str]) -> argparse.Namespace:
        """The arguments in the words, in whatever order. Raises UsageError."""
        # argparse cannot mix words and options where there are verbs to choose from.
        read = self.parse_known_intermixed_args if self._subparsers is None else self.parse_known_args
        arguments, beyond = read(list(words))
        if not beyond:
            return arguments
        options = {option.lstrip("-"): option for action in self._actions for option in action.option_strings}
        unknown = next((word for word in beyond if word.startswith("-") and word != "-"), "")
        if unknown:
            from epochal.core.steps import nearest

            close = options.get(nearest(unknown.lstrip("-").partition("=")[0], tuple(options)))
            raise UsageError(f"there is no option {unknown}", fix=f"did you mean {close}?" if close else self._see())
        raise UsageError(f"one word too many: {beyond[0]}", fix=self._see())

    def error(self, message: str) -> NoReturn:
        """Argparse's own complaints, in our form."""
        raise UsageError(message, fix=self._see())

    def _see(self) -> str:
        usage = " ".join(self.format_usage().split()).removeprefix("usage: ")
        return f"{usage}; see `{self.prog} --help`" if len(usage) < 200 else f"see `{self.prog} --help`"


def count(text: str) -> int:
    """The type of an option that takes a whole number from 0."""
    number = int(text) if text.isascii() and text.isdigit() else -1
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0")
    return number


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


def run_of(arguments: argparse.Namespace, *, strict: bool = True, started: bool = False) -> RunInfo:
    """The run that DIR and RUN name; where they name none the newest, with `started` of those that were. Raises EpochalError.

    A mistake in project.toml is told first; unless `strict`, only where there is no such run: a run under way must be
    seen and stopped whatever was written into the file meanwhile.
    """
    from epochal.project.read import read_project
    from epochal.runs.state import find_run

    try:
        read_project(arguments.dir)
    except SettingsError as mistake:
        if strict or mistake.error_code == "no-project":
            raise
        try:
            return find_run(arguments.dir, arguments.run, started=started)
        except EpochalError:
            raise mistake from None
    return find_run(arguments.dir, arguments.run, started=started)


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
    """The project with every --set applied, whatever their order. Raises SettingsError naming the --set.

    One may need another (`split.kind=column` needs `split.column`): what cannot be yet is tried again after the others.
    The family comes first: it drops what it has no use for, but nothing that was asked for together with it.
    """
    # Another family drops settings, and so does a module, which says the family too: neither may drop one asked for here.
    rank = {"model.family": 0, "model.module": 1}
    waiting = sorted(sets.items(), key=lambda item: rank.get(item[0], len(rank)))
    while waiting:
        failed: list[tuple[tuple[str, Any], SettingsError]] = []
        for key, value in waiting:
            try:
                project = _with_set(project, key, value)
            except SettingsError as error:
                failed.append(((key, value), error))
        if len(failed) == len(waiting):
            (key, _value), first = failed[0]
            raise SettingsError(
                first.what, path=first.path, where=first.where or f"--set {key}", fix=first.fix, code=first.error_code
            ) from None
        waiting = [item for item, _error in failed]
    return project


def _with_set(project: Project, key: str, value: Any) -> Project:
    from epochal.core.settings import with_setting  # `--help` answers in a blink without it

    try:
        return with_setting(project, key, value)
    except SettingsError:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            with contextlib.suppress(SettingsError):  # a column may be called 1985
                return with_setting(project, key, str(value))
        raise
