"""What a run's host and its ranks say to each other: one JSON message a packet, over a socket pair on the ranks' stdin.

Torch's launcher hands its stdin on to every rank, so all of them can tell the host of a fatal error; only the first rank
reads, and all see at once when the host is gone. Nothing listens anywhere, so nobody else can take part.
"""

from __future__ import annotations

import json
import os
import select
import socket
import stat
import threading
from collections.abc import Callable, Mapping
from typing import Any


MAX_BYTES = 128 << 10
_MARK = "EPOCHAL_CHANNEL"
"""Set for the ranks of a host: their stdin is the channel."""


class Channel:
    """One end."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end

    @property
    def descriptor(self) -> int:
        """Of the end itself, to be handed to a process."""
        return self._socket.fileno()

    def say(self, message: Mapping[str, Any]) -> bool:
        """Send a message, waiting while the other side does not take it; False when it is gone."""
        try:
            self._socket.send(json.dumps(message).encode()[:MAX_BYTES])
        except OSError:
            return False
        return True

    def hear(self, seconds: float = 0.0) -> dict[str, Any] | None:
        """The next message, {} for none within `seconds`; None when the other side is gone."""
        if not select.select([self._socket], [], [], seconds)[0]:
            return {}
        try:
            data = self._socket.recv(MAX_BYTES)
        except OSError:
            return None
        if not data:
            return None
        try:
            message = json.loads(data)
        except ValueError:
            return {}
        return message if isinstance(message, dict) else {}

    def when_gone(self, act: Callable[[], object]) -> None:
        """Call `act`, in a thread of its own, once the other side is gone, without taking any message."""

        def wait() -> None:
            watch = select.poll()
            watch.register(self._socket, 0)  # a hang-up is always told
            watch.poll()
            act()

        threading.Thread(target=wait, name="epochal-channel", daemon=True).start()

    def close(self) -> None:
        """Let go of this end: the other side then sees that it is gone."""
        self._socket.close()


def channel_pair() -> tuple[Channel, Channel]:
    """The host's end and the ranks'."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return Channel(one), Channel(other)


def marked(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for ranks whose stdin is the channel."""
    return {**environment, _MARK: "stdin"}


def inherited() -> Channel | None:
    """The channel to the host that started this process; None for one that no host on this machine started."""
    if os.environ.get(_MARK) != "stdin" or not stat.S_ISSOCK(os.fstat(0).st_mode):
        return None
    return Channel(socket.socket(fileno=os.dup(0)))
