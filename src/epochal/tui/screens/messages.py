"""What was said of late, in full: the line at the foot of a pane has room for one message, and not for all of it."""

from __future__ import annotations

from collections.abc import Iterable

from textual.content import Content

from epochal.core.errors import EpochalError
from epochal.show import safe
from epochal.tui.glyphs import glyphs
from epochal.tui.paint import blank, heading, toned, wrapped
from epochal.tui.text import content
from epochal.workbench.messages import Message
from epochal.workbench.views.shell import error_line


_INDENT = 13
"""Cells of a message's time and sign."""


def message_lines(messages: Iterable[Message], suggested: str, width: int) -> list[Content]:
    """What is suggested next, then the messages, the newest first."""
    lines = [heading("Next", width), *wrapped(suggested, width), blank(), heading("Said of late", width)]
    told = [line for message in messages for line in _lines(message, width)]
    return [*lines, *(told or wrapped("nothing yet", width, "quiet"))]


def _lines(message: Message, width: int) -> list[Content]:
    signs, error = glyphs(), message.error
    bad = error is not None or message.warns
    sign = (
        (signs.problem, f"bold {'$ep-bad' if error is not None else '$ep-warning'}")
        if bad
        else (signs.done, "$ep-good")
    )
    first = content(toned(f" {message.at:%H:%M:%S}", "quiet"), "  ", sign, " ")
    return wrapped(_words(error) if error is not None else safe(message.notice), width, "text", _INDENT, first=first)


def _words(error: EpochalError) -> str:
    code = f" [{error.error_code}]" if error.error_code != EpochalError.code else ""
    return f"{error_line(error)}{code}"
