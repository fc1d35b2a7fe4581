"""Signs of the screens, each with an ASCII twin for consoles that cannot draw more."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from textual.driver import Driver


@dataclass(frozen=True, slots=True, kw_only=True)
class Glyphs:
    """One sign for each meaning; colour never stands alone."""

    done: str = "✓"
    busy: str = "◐"
    problem: str = "!"
    sealed: str = "▪"
    waiting: str = "·"
    here: str = "▸"
    bad: str = "✗"
    crumb: str = "▸"
    mark: str = "▎"
    train: str = "━━"
    validation: str = "┅┅"
    overlay: str = "··"
    seam: str = "┊"
    stage: str = "╎"
    blocks: str = " ▏▎▍▌▋▊▉█"
    """Eighths of a cell, for bars."""
    bars: str = "▁▂▃▄▅▆▇█"
    bar_left: str = "▕"
    bar_right: str = "▏"
    ellipsis: str = "…"
    rule: str = "─"


UNICODE = Glyphs()
ASCII = Glyphs(
    done="+",
    busy="*",
    problem="!",
    sealed="#",
    waiting=".",
    here=">",
    bad="x",
    crumb=">",
    mark="|",
    train="**",
    validation="++",
    overlay="..",
    seam=":",
    stage="!",
    blocks=" ########",
    bars="._-=+*##",
    bar_left="[",
    bar_right="]",
    ellipsis="~",
    rule="-",
)


def glyphs() -> Glyphs:
    """The signs this terminal can draw: ASCII on the Linux console, without UTF-8, or when EPOCHAL_ASCII is set."""
    encoding = (getattr(sys.__stdout__, "encoding", None) or "utf-8").lower()
    if os.environ.get("EPOCHAL_ASCII") or os.environ.get("TERM") == "linux" or "utf" not in encoding:
        return ASCII
    return UNICODE


def driver() -> type[Driver] | None:
    """What writes to a terminal that draws ASCII alone; None for Textual's own."""
    if glyphs() is UNICODE:
        return None
    from epochal.tui.plain import PlainDriver  # no terminal of ours on a system that lacks its modules

    return PlainDriver


def bar(fraction: float, width: int, signs: Glyphs) -> str:
    """A progress bar of `width` cells, in eighths."""
    eighths = round(max(0.0, min(1.0, fraction)) * width * 8)
    full, rest = divmod(eighths, 8)
    text = signs.blocks[8] * full + (signs.blocks[rest] if rest else "")
    return text.ljust(width)[:width]
