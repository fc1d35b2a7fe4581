"""The commands of the data pane (see `epochal.workbench.commands` for how keys are written)."""

from __future__ import annotations

from epochal.workbench.keys import Command


def _data(identity: str, title: str, text: str, *keys: str, cli: str = "", footer: int = 0, section: str = "Data") -> Command:
    return Command(
        id=f"data.{identity}", title=title, help=text, keys=keys, stages=("data",), cli=cli, footer=footer, section=section
    )


DATA: tuple[Command, ...] = (
    _data("down", "down", "One row down.", "j", "down", section="Move"),
    _data("up", "up", "One row up.", "k", "up", section="Move"),
    _data("left", "left", "One column left.", "h", "left", section="Move"),
    _data("right", "right", "One column right.", "l", "right", section="Move"),
    _data("palette", "commands", "Find any command by name.", "Space"),
)
