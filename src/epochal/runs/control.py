"""Steering a run from anywhere: one small file a request in its `commands/`, which the run acknowledges by moving it.

Works over network file systems and from a plain shell, needs no server, and asks nothing of a run that is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from epochal import fsio
from epochal.core.errors import RunError
from epochal.core.events import CommandTaken, HostStarted
from epochal.fsio.streams import read_small
from epochal.journal.tail import read_journal
from epochal.runs.identity import is_alive, kill
from epochal.runs.signs import read_sign


VERBS = {
    "stop": "checkpoint, then end; asked a second time, end at once",
    "stop-now": "end at once, without a checkpoint",
    "checkpoint": "write a checkpoint and go on",
    "pin": "write a checkpoint that is never deleted, and go on",
}
"""What a run can be asked, and what it does then."""

_MAX_BYTES = 1 << 16
_MAX_TAKEN = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One request to a run."""

    id: str
    """Sorts by time of asking."""
    verb: str
    by: str = ""
    """Who asked, as far as is known."""


def send(run_folder: Path, verb: str, *, by: str = "") -> str:
    """Ask a run for something; returns the request's id at once. The run takes it within about half a second.

    Raises RunError (code unknown-command) for a verb no run knows, NotSaved when the folder cannot be written.
    """
    if verb not in VERBS:
        raise RunError(f"a run cannot be asked to {verb}", fix=f"ask for {', '.join(VERBS)}", code="unknown-command")
    if not (run_folder / "run.toml").exists():
        raise RunError("this folder holds no run", where=str(run_folder), fix="see `epochal runs`", code="no-run")
    folder = run_folder / "commands"
    folder.mkdir(exist_ok=True)
    command_id = f"{time.time_ns():020d}-{secrets.token_hex(4)}"
    document = {"id": command_id, "verb": verb, "by": by or f"process {os.getpid()}"}
    fsio.write_text(folder / f"{command_id}.json", json.dumps(document) + "\n")
    return command_id


def acknowledged(run_folder: Path, command_id: str) -> int | None:
    """The number of the journal's record in which the run took the request; None while it has not."""
    document = _read(run_folder / "commands" / "done" / f"{command_id}.json")
    n = document.get("n") if document else None
    return n if isinstance(n, int) else None


class Inbox:
    """The run's side: takes requests in the order they were asked, and acknowledges each."""

    def __init__(self, run_folder: Path) -> None:
        self._folder = run_folder / "commands"
        self._done = self._folder / "done"
        self._refused: set[tuple[str, int]] = set()

    def waiting(self) -> list[Command]:
        """Requests not yet acknowledged, oldest first. What is no request is left where it lies until it changes."""
        try:
            found = sorted(
                (entry.name, entry.stat(follow_symlinks=False).st_mtime_ns)
                for entry in os.scandir(self._folder)
                if entry.name.endswith(".json") and not entry.name.startswith(".")
            )
        except OSError:
            return []
        commands: list[Command] = []
        for name, changed in found[:_MAX_TAKEN]:
            if (name, changed) in self._refused:
                continue
            document = _read(self._folder / name)
            verb = document.get("verb") if document else None
            if document is None or verb not in VERBS:
                self._refused.add((name, changed))
                continue
            commands.append(
                Command(id=name.removesuffix(".json"), verb=str(verb), by=str(document.get("by", ""))[:200])
            )
        return commands

    def acknowledge(self, command: Command, n: int) -> None:
        """Say that the request was taken, in record `n` of the journal. Raises NotSaved."""
        self._done.mkdir(exist_ok=True)
        document = {"id": command.id, "verb": command.verb, "by": command.by, "n": n}
        fsio.write_text(self._done / f"{command.id}.json", json.dumps(document) + "\n")
        with contextlib.suppress(OSError):
            (self._folder / f"{command.id}.json").unlink()

    def clear(self) -> None:
        """Put aside what was asked of an earlier host: a new host starts with nothing asked of it."""
        for command in self.waiting():
            with contextlib.suppress(OSError):
                (self._folder / f"{command.id}.json").unlink()


Asked = Literal["stop", "stop-now", "killed"]


def ask_to_stop(run_folder: Path, *, by: str = "") -> Asked:
    """Ask a run to end, more firmly each time: with a checkpoint, at once, and the third time its process is ended.

    Whoever asked before counts. Raises RunError (code cannot-kill) for a third request where the process is a workbench
    or elsewhere, NotSaved when the folder cannot be written.
    """
    before = _stops_asked(run_folder)
    if before < 2:
        send(run_folder, "stop", by=by)
        return "stop-now" if before else "stop"
    if kill_host(run_folder):
        return "killed"
    raise RunError(
        "its process cannot be ended from here: it is a workbench, or on another machine",
        where=str(run_folder),
        fix="quit that workbench, or end the process there",
        code="cannot-kill",
    )


def _stops_asked(run_folder: Path) -> int:
    """How often the present host was asked to stop, by requests it took and by those that still wait."""
    asked = {command.id for command in Inbox(run_folder).waiting() if command.verb.startswith("stop")}
    taken: set[str] = set()
    for record in read_journal(run_folder):
        if isinstance(record.event, HostStarted):
            taken = set()
        elif isinstance(record.event, CommandTaken) and record.event.verb.startswith("stop"):
            taken.add(record.event.id)
    return len(asked | taken)


def said_of_asking(asked: Asked, key: str) -> str:
    """What was asked of a run, and what the same `key` or command does next."""
    return {
        "stop": f"asked the run to stop with a checkpoint; {key} again stops at once",
        "stop-now": f"asked the run to stop at once; {key} again ends its process",
        "killed": "ended the run's process without a checkpoint; it can be resumed from its last one",
    }[asked]


def kill_host(run_folder: Path) -> bool:
    """End a run's host process at once, with all it started: the last resort. False when there is none here.

    A run inside a workbench is not ended this way: its process is the workbench.
    """
    sign = read_sign(run_folder)
    if sign is None or sign.role != "host" or is_alive(sign.identity) is not True:
        return False
    with contextlib.suppress(OSError):
        if os.getpgid(sign.identity.pid) == sign.identity.pid:
            os.killpg(sign.identity.pid, signal.SIGKILL)
            return True
    return kill(sign.identity, signal.SIGKILL)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        document = json.loads(read_small(path, _MAX_BYTES) or b"null")
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
