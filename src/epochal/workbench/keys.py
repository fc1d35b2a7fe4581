"""What a command is, and how keys are written, read and judged."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One thing a person can do."""

    id: str
    """stage.verb; the screen's method is `do_stage_verb`."""
    title: str
    """A word or two for footer and palette."""
    help: str
    """One plain sentence."""
    keys: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()
    """Where it works; everywhere, if empty."""
    cli: str = ""
    """The verb that does the same on the command line, without `epochal`."""
    when: str = ""
    """A condition the screen knows ("running"); the footer shows the command only then."""
    footer: int = 0
    """Its place in the footer, smallest first; 0 is not shown there."""
    section: str = ""
    """Heading in help; the stage's name if empty."""


NAMED: dict[str, str] = {
    "enter": "Enter",
    "escape": "Esc",
    "space": "Space",
    "tab": "Tab",
    "shift+tab": "shift+Tab",
    "backspace": "Backspace",
    "pageup": "PgUp",
    "pagedown": "PgDn",
    "home": "Home",
    "end": "End",
    "up": "up",
    "down": "down",
    "left": "left",
    "right": "right",
    "delete": "Del",
}
"""Textual's names of keys and ours."""

_CTRL = {"ctrl+c", "ctrl+d", "ctrl+u", "ctrl+l", "ctrl+r", "ctrl+p", "ctrl+q"}
_SHOWN = {"up": "↑", "down": "↓", "left": "←", "right": "→"}


def token(key: str, character: str | None) -> str:
    """The token of one key press, from Textual's key name and the character it makes."""
    if key in NAMED:
        return NAMED[key]
    if character is not None and character.isprintable() and not key.startswith("ctrl+"):
        return character
    return key


def tokens_of(key: str) -> tuple[str, ...]:
    """The tokens of a key as it is written in the registry: "gg" → ("g", "g"), "z Enter" → ("z", "Enter")."""
    if " " in key.strip():
        return tuple(t for part in key.split() for t in tokens_of(part))
    if key in NAMED.values() or key.startswith(("ctrl+", "shift+")):
        return (key,)
    return tuple(key)


def shown_key(key: str) -> str:
    """A key as the footer and help show it."""
    return _SHOWN.get(key, key)


def unreachable(key: str) -> str:
    """Why a key does not arrive over SSH, tmux and screen; nothing when it does."""
    if not key.strip():
        return "it is empty"
    for part in tokens_of(key):
        if part in NAMED.values() or part in _CTRL:
            continue
        if part.startswith("ctrl+"):
            return "terminals, tmux or screen take it or cannot send it"
        if len(part) != 1 or not part.isprintable() or not part.isascii():
            return "there is no such key everywhere"
    return ""
