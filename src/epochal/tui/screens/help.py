"""Help of a pane, and the palette: both made from the registry of commands."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from epochal.tui.paint import blank, cell, heading, toned, wrapped
from epochal.tui.screens.overlays import Item
from epochal.tui.text import content
from epochal.workbench.commands import STAGES, Keymap, moves
from epochal.workbench.keys import Command, shown_key


def help_lines(keymap: Keymap, stage: str, teaches: str, width: int) -> list[Content]:
    """What the pane is for, then its commands with keys and the verbs that do the same."""
    lines = [*wrapped(teaches, width), blank()]
    groups: dict[str, list[Command]] = {}
    for command in keymap.of_stage(stage):
        groups.setdefault(command.section or dict(STAGES).get(stage, "Here"), []).append(command)
    for section, commands in groups.items():
        lines.append(heading(section, width))
        for command in commands:
            keys = "  ".join(shown_key(k) for k in command.keys)
            cli = f"  epochal {command.cli}" if command.cli else ""
            head = content(cell(keys, 16, "accent"), "  ")
            lines += wrapped(f"{command.help}", width, "text", 18, first=head)
            if cli:
                lines.append(content(" " * 18, toned(cli.strip(), "quiet")))
        lines.append(blank())
    return lines


def palette_items(keymap: Keymap, stage: str, holds: Sequence[str]) -> list[Item]:
    """Every command that can be done here now, for the palette; `holds` are the conditions that hold.

    The pane's own come first, what only moves the cursor last.
    """
    commands = sorted(keymap.of_stage(stage), key=moves)
    return [
        Item(
            value=command.id,
            title=command.title,
            note=command.help,
            key=shown_key(command.keys[0]) if command.keys else "",
        )
        for command in commands
        if command.id != "app.palette" and (not command.when or command.when in holds)
    ]
