"""What a person was told, kept for reading on: a screen has one line for it, and the next key takes that."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from epochal.core.errors import EpochalError


KEPT = 200
"""Messages of a session; older ones are let go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One of them: an error, or a notice."""

    at: datetime
    error: EpochalError | None = None
    notice: str = ""
    warns: bool = False
    """Whether the notice is bad news."""


class Messages:
    """The messages of a session. One that still stands is no new one."""

    def __init__(self) -> None:
        self._kept: deque[Message] = deque(maxlen=KEPT)
        self._error: EpochalError | None = None
        self._notice = ""

    def __iter__(self) -> Iterator[Message]:
        """The newest first."""
        return reversed(self._kept)

    def take(self, error: EpochalError | None, notice: str, *, warns: bool = False) -> None:
        """Take note of what stands on the screen now."""
        now = datetime.now().astimezone()
        if notice and notice != self._notice:
            self._kept.append(Message(at=now, notice=notice, warns=warns))
        if error is not None and error is not self._error:
            self._kept.append(Message(at=now, error=error))
        self._error, self._notice = error, notice

    def add(self, notice: str) -> None:
        """Take note of what a pane says in a line of its own."""
        self._kept.append(Message(at=datetime.now().astimezone(), notice=notice))
