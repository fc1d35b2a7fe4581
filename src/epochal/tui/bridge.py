"""Between the session's threads and the screens: a call made anywhere runs in the app's own loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from textual.message import Message
from textual.message_pump import MessagePump


@dataclass
class Call(Message):
    """Something to run on the app's thread."""

    call: Callable[[], None]


@dataclass
class Deliver:
    """Posts calls to a message pump; safe from any thread, quietly useless after the app has gone."""

    pump: MessagePump

    def __call__(self, call: Callable[[], None]) -> Any:
        """Run `call` on the app's thread, in order."""
        return self.pump.post_message(Call(call))
