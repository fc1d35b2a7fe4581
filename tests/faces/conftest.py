"""A terminal of our own: the real program on a pty, its screen emulated, its bytes kept."""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyte
import pytest

from epochal.runs.identity import kill
from epochal.runs.signs import read_sign


OURS = re.compile(
    rb"\x1b\[[0-9;]*m"  # styles
    rb"|\x1b\[[0-9]+;[0-9]+H"  # the cursor to a place
    rb"|\x1b\[\?[0-9]+[hl]"  # modes: alternate screen, cursor, mouse, paste, synchronised frames
    rb"|\x1b\[\?(?:2026|2048)\$p|\x1b\[>[0-9]+u|\x1b\[<u"  # what the terminal can, and its keyboard protocol
    rb"|\x1b\]22;default\x07"  # the pointer's shape
)
"""Every control sequence the program itself may send."""

ACTING = re.compile(
    "[^\n]{0,24}[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b-\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff][^\n]{0,24}"
)
"""Anything else that could act on a terminal, with what stands around it: C0 but line ends, C1, bidi, zero width."""


def foreign_in(raw: bytes) -> list[str]:
    """What of these bytes acts on a terminal and is not the program's own."""
    return ACTING.findall(codecs.getincrementaldecoder("utf-8")("strict").decode(OURS.sub(b"", raw)))


@pytest.fixture
def foreign() -> Callable[[bytes], list[str]]:
    """The byte-level check, for output that came by another way than a terminal."""
    return foreign_in


class Terminal:
    """One program on one pty."""

    def __init__(self, command: list[str], folder: Path, columns: int, lines: int, environment: dict[str, str]) -> None:
        self.screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self.pressed: list[str] = []
        """Every key so far."""
        self.pid, self._master = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            # pytest's readline puts a LINES and COLUMNS of its own into the process, which say nothing of this pty.
            inherited = {name: value for name, value in os.environ.items() if name not in {"LINES", "COLUMNS"}}
            os.execve(command[0], command, {**inherited, **environment})
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self._status: int | None = None

    def read(self, seconds: float = 0.05) -> bool:
        """Take in what the program wrote; False when it closed the pty."""
        if not select.select([self._master], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self._master, 1 << 16)
        except OSError:
            return False
        self.raw += data
        self._stream.feed(data)
        return bool(data)

    @property
    def text(self) -> str:
        """The screen as it stands."""
        return "\n".join(line.rstrip() for line in self.screen.display)

    def wait_for(self, wanted: str | Callable[[str], bool], seconds: float = 60) -> str:
        """Read until the screen shows a text (or satisfies a condition); the screen then."""
        holds = wanted if callable(wanted) else lambda text: wanted in text
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            going = self.read()
            if holds(self.text):
                return self.text
            if not going:
                break
        raise AssertionError(f"the screen never showed {wanted!r}; it shows:\n{self.text}")

    def still(self, seconds: float = 0.4) -> str:
        """Read until the program says nothing more for a while; the screen then."""
        while True:
            before = len(self.raw)
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                if not self.read(0.05):
                    return self.text
            if len(self.raw) == before:
                return self.text

    @property
    def foreign(self) -> list[str]:
        """What of the output so far acts on a terminal and is not the program's own."""
        return foreign_in(self.raw)

    def press(self, *keys: str) -> None:
        """Type keys: characters, or Enter, Esc, Tab, Up, Down."""
        codes = {"Enter": "\r", "Esc": "\x1b", "Tab": "\t", "Up": "\x1b[A", "Down": "\x1b[B", "Space": " "}
        for key in keys:
            self.pressed.append(key)
            os.write(self._master, codes.get(key, key).encode())
            self.read(0.05)

    def hang_up(self) -> None:
        """Close the terminal, as a dropped connection does."""
        os.close(self._master)
        self._master = -1

    def kill(self) -> None:
        """Kill the program at once."""
        os.kill(self.pid, signal.SIGKILL)
        self.wait_exit()

    def wait_exit(self, seconds: float = 30) -> int:
        """Wait until the program ended; its exit status."""
        deadline = time.monotonic() + seconds
        while self._status is None and time.monotonic() < deadline:
            if self._master >= 0:
                self.read(0.02)
            else:
                time.sleep(0.02)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
        assert self._status is not None, f"the program did not end; it shows:\n{self.text}"
        return self._status

    def close(self) -> None:
        """End it however it is."""
        if self._status is None:
            self.kill()
        if self._master >= 0:
            os.close(self._master)
            self._master = -1


OpenTerminal = Callable[..., Terminal]


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[OpenTerminal]:
    """Opens `epochal WORDS` on ptys that are closed afterwards."""
    opened: list[Terminal] = []

    def open_terminal(
        *words: str, folder: Path | None = None, columns: int = 80, lines: int = 24, **extra: str
    ) -> Terminal:
        environment = {
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
            "XDG_STATE_HOME": str(tmp_path / "state"),
            "XDG_CONFIG_HOME": str(tmp_path / "config"),
            "TEXTUAL_ANIMATIONS": "none",
            **extra,
        }
        command = [sys.executable, "-m", "epochal", *words]
        opened.append(Terminal(command, folder or tmp_path, columns, lines, environment))
        return opened[-1]

    yield open_terminal
    for one in opened:
        one.close()


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of the module's project `made`, without runs; hosts that a test leaves behind are ended."""
    folder = tmp_path / "p"
    subprocess.run(["cp", "-r", made, folder], check=True)
    yield folder
    for run in folder.glob("runs/*"):
        sign = read_sign(run)
        if sign is not None and sign.identity.pid != os.getpid():
            kill(sign.identity, signal.SIGKILL)
