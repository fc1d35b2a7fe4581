"""The one registry of commands: bindings, footer, palette, help and documentation are all made from it.

A key is written as people write it: a character ("s", "G", "?"), a name ("Enter", "Esc", "Space", "Tab", "PgUp",
"ctrl+d"), or a sequence of either ("gg", "z<", "z Enter"). Only keys that survive SSH, tmux and screen are allowed.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from epochal.core.errors import SettingsError
from epochal.core.steps import nearest
from epochal.workbench.data_commands import DATA
from epochal.workbench.keys import Command, tokens_of, unreachable
from epochal.workbench.shell_commands import GOAL, SHELL, STAGE_COMMANDS, STAGE_NAMES, STAGES


__all__ = ["BY_ID", "COMMANDS", "STAGES", "STAGE_NAMES", "Keymap", "moves", "read_keymap"]


COMMANDS: tuple[Command, ...] = (*SHELL, *GOAL, *DATA, *STAGE_COMMANDS)
"""Every command there is, in the order of help."""

BY_ID: Mapping[str, Command] = {c.id: c for c in COMMANDS}


_SECTIONS = {"Stages": 1, "Everywhere": 2}
"""Sections that stand after a pane's own."""

_WAYS = {"down", "up", "left", "right"}


def moves(command: Command) -> bool:
    """Whether a command only goes somewhere in its pane: whoever looks a command up by name wants another."""
    return command.section == "Move" or command.id.partition(".")[2] in _WAYS


@dataclass(frozen=True)
class Keymap:
    """Which keys mean which command, stage by stage."""

    commands: tuple[Command, ...] = COMMANDS
    _exact: dict[tuple[str, tuple[str, ...]], Command] = field(init=False, repr=False)
    _prefixes: set[tuple[str, tuple[str, ...]]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        exact: dict[tuple[str, tuple[str, ...]], Command] = {}
        prefixes: set[tuple[str, tuple[str, ...]]] = set()
        for command in sorted(self.commands, key=lambda c: bool(c.stages)):
            for stage in command.stages or (*STAGE_NAMES, "home", "start"):
                for key in command.keys:
                    tokens = tokens_of(key)
                    exact[stage, tokens] = command
                    prefixes.update((stage, tokens[:n]) for n in range(1, len(tokens)))
        object.__setattr__(self, "_exact", exact)
        object.__setattr__(self, "_prefixes", prefixes)

    def find(self, stage: str, tokens: tuple[str, ...]) -> Command | None:
        """The command of a complete sequence of keys; a stage's own wins over one that is for every stage."""
        return self._exact.get((stage, tokens))

    def begins(self, stage: str, tokens: tuple[str, ...]) -> bool:
        """Whether some longer sequence starts with these keys."""
        return (stage, tokens) in self._prefixes

    def of_stage(self, stage: str) -> tuple[Command, ...]:
        """The commands that work in a stage, its own first."""
        own = [c for c in self.commands if stage in c.stages]
        everywhere = [c for c in self.commands if not c.stages]
        return (*sorted((*own, *everywhere), key=lambda c: _SECTIONS.get(c.section, 0)),)


def read_keymap(path: Path) -> Keymap:
    """The default keys, changed by a person's keys.toml: `"train.stop" = "x"` or a list of keys.

    A file that is not there changes nothing. Raises SettingsError for an unknown command or a key that cannot arrive.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Keymap()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"keys.toml cannot be read: {error}", where=str(path), fix="mend or remove it") from error
    changed: dict[str, tuple[str, ...]] = {}
    for identity, keys in document.items():
        if identity not in BY_ID:
            close = nearest(identity, tuple(BY_ID))
            raise SettingsError(
                f"there is no command {identity!r}",
                where=str(path),
                fix=f"did you mean {close!r}?" if close else "`?` in the workbench lists all",
                code="unknown-key",
            )
        changed[identity] = _keys(identity, keys, path)
    return Keymap(commands=tuple(replace(c, keys=changed.get(c.id, c.keys)) for c in COMMANDS))


def _keys(identity: str, keys: object, path: Path) -> tuple[str, ...]:
    listed: Iterable[object] = keys if isinstance(keys, list) else [keys]
    result: list[str] = []
    for key in listed:
        reason = unreachable(key) if isinstance(key, str) else "it is no text"
        if reason:
            raise SettingsError(
                f"the key {key!r} of {identity!r} cannot be used: {reason}",
                where=str(path),
                fix="use a letter, a sign or a named key",
            )
        result.append(str(key))
    return tuple(result)
