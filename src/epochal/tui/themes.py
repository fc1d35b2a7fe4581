"""Themes as TOML files: read strictly, given to Textual."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from textual.theme import Theme

from epochal.core.errors import SettingsError
from epochal.core.steps import nearest


COLOURS = (
    "background", "surface", "raised", "text", "quiet", "line", "accent", "second", "blue", "good", "warning", "bad",
)  # fmt: skip
"""What a theme names, all of them: grounds from back to front, text and quiet text, thin lines, then the meanings."""

_COLOUR = re.compile(r"#[0-9a-fA-F]{6}|ansi_(default|(bright_)?(black|red|green|yellow|blue|magenta|cyan|white))")


_ANSI = {"ansi-background": "ansi_black", "ansi-foreground": "ansi_white"}
"""What Textual asks of a theme that uses the terminal's own colours."""


def read_theme(path: Path) -> Theme:
    """One theme file as Textual's theme. Raises SettingsError naming the file and the key."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"the theme cannot be read: {error}", where=str(path), fix="mend or remove it") from error
    _known(document, ("name", "dark", "ansi", "colors"), path)
    colours = document.get("colors", {})
    _known(colours, COLOURS, path)
    for name in COLOURS:
        value = colours.get(name)
        if not isinstance(value, str) or not _COLOUR.fullmatch(value):
            raise SettingsError(
                f"the colour {name!r} is {value!r}" if name in colours else f"the colour {name!r} is missing",
                where=str(path),
                fix='write it like "#11151c" or "ansi_yellow" under [colors]',
                code="theme",
            )
    return theme_of(
        str(document.get("name", path.stem)), colours, dark=document.get("dark", True), ansi=document.get("ansi", False)
    )


def theme_of(name: str, colours: dict[str, str], *, dark: bool, ansi: bool) -> Theme:
    """Our twelve colours as Textual's theme, with a variable for each of ours."""
    return Theme(
        name=name,
        primary=colours["accent"],
        secondary=colours["second"],
        accent=colours["accent"],
        foreground=colours["text"],
        background=colours["background"],
        surface=colours["surface"],
        panel=colours["raised"],
        success=colours["good"],
        warning=colours["warning"],
        error=colours["bad"],
        dark=dark,
        ansi=ansi,
        variables={
            **{f"ep-{key}": value for key, value in colours.items()},
            **(_ANSI if ansi else {}),
            "border": colours["line"],
            "block-cursor-background": colours["raised"],
            "block-cursor-foreground": colours["text"],
            "block-cursor-text-style": "none",
            "block-cursor-blurred-background": colours["raised"],
            "block-cursor-blurred-foreground": colours["text"],
            "scrollbar": colours["line"],
            "scrollbar-hover": colours["quiet"],
            "scrollbar-active": colours["accent"],
            "scrollbar-background": colours["background"],
            "scrollbar-background-hover": colours["background"],
            "scrollbar-background-active": colours["background"],
            "scrollbar-corner-color": colours["background"],
            "input-cursor-background": colours["accent"],
            "input-cursor-foreground": colours["background"],
            "input-selection-background": colours["line"],
        },
    )


def _known(table: dict[str, object], known: tuple[str, ...], path: Path) -> None:
    for key in table:
        if key not in known:
            close = nearest(key, known)
            raise SettingsError(
                f"`{key}` is not known in a theme",
                where=str(path),
                fix=f"did you mean `{close}`?" if close else f"known are {', '.join(known)}",
                code="unknown-key",
            )


def read_themes(shipped: dict[str, Path], own: Path) -> tuple[dict[str, Theme], list[SettingsError]]:
    """All themes by name, shipped ones first, a person's own after (the same name replaces); what cannot be read is told."""
    themes: dict[str, Theme] = {}
    errors: list[SettingsError] = []
    order = ("dusk", "dawn", "ansi")
    paths = [shipped[n] for n in order if n in shipped]
    paths += [p for n, p in sorted(shipped.items()) if n not in order]
    paths += sorted(own.glob("*.toml")) if own.is_dir() else []
    for path in paths:
        try:
            theme = read_theme(path)
        except SettingsError as error:
            errors.append(error)
            continue
        themes[theme.name] = theme
    return themes, errors
