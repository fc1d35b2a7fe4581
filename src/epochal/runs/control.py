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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from epochal import fsio
from epochal.core.errors import RunError
from epochal.core.events import CommandTaken, HostStarted
from epochal.fsio import NotSaved
from epochal.fsio.streams import read_small
from epochal.journal.tail import read_journal
from epochal.runs.identity import Identity, is_alive, kill
from epochal.runs.signs import read_sign, write_sign


VERBS = {
    "stop": "checkpoint, then end; asked a second time, end at once",
    "stop-now": "end at once, without a checkpoint",
    "checkpoint": "write a checkpoint and go on",
    "pin": "write a checkpoint that is never deleted, and go on",
}
"""What a run can be asked, and what it does then."""

STOP_NOW_SECONDS = 3.0
"""After a request to end at once, the training is left behind this much later."""
START_SECONDS = 20.0
"""A run that was asked to stop before its first step, and has not so much later, is asked to end at once: it may hang in
what it is made of, as a model of one's own can, and there is nothing to keep."""

_GONE_SECONDS = 2.0
"""How long a process that was killed may take to be gone."""
_LOOK_SECONDS = 0.02

_MAX_BYTES = 1 << 16
_MAX_TAKEN = 64
"""Requests taken at one look; what is no request counts for none, so that it cannot stand before them."""


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
    _make(folder)
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

    def waiting(self, *, most: int | None = _MAX_TAKEN) -> list[Command]:
        """Requests not yet acknowledged, oldest first, so many at `most`; None: all.

        What is no request is left where it lies until it changes.
        """
        try:
            found = sorted(
                (entry.name, entry.stat(follow_symlinks=False).st_mtime_ns)
                for entry in os.scandir(self._folder)
                if entry.name.endswith(".json") and not entry.name.startswith(".")
            )
        except OSError:
            return []
        commands: list[Command] = []
        for name, changed in found:
            if (name, changed) in self._refused:
                continue
            if len(commands) == most:
                break
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
        _make(self._done)
        document = {"id": command.id, "verb": command.verb, "by": command.by, "n": n}
        fsio.write_text(self._done / f"{command.id}.json", json.dumps(document) + "\n")
        with contextlib.suppress(OSError):
            (self._folder / f"{command.id}.json").unlink()

    def clear(self) -> None:
        """Put aside what was asked of an earlier host: a new host starts with nothing asked of it."""
        for command in self.waiting(most=None):
            with contextlib.suppress(OSError):
                (self._folder / f"{command.id}.json").unlink()


Asked = Literal["stop", "stop-now", "killed"]


def ask_to_stop(run_folder: Path, *, by: str = "") -> Asked:
    """Ask a run to end, more firmly each time: with a checkpoint, at once, and the third time its process is ended.

    Whoever asked before counts. Where the folder has no room for a request, a process of this machine is told by a
    signal. Raises RunError (code cannot-kill) for a third request where the process is a workbench or elsewhere, NotSaved
    when the folder cannot be written.
    """
    before = _stops_asked(run_folder)
    if before < 2:
        try:
            send(run_folder, "stop", by=by)
        except NotSaved:
            if not _signalled(run_folder):
                raise
        return "stop-now" if before else "stop"
    if kill_host(run_folder):
        return "killed"
    raise RunError(
        "its process cannot be ended from here: it is a workbench, or on another machine",
        where=str(run_folder),
        fix="quit that workbench, or end the process there",
        code="cannot-kill",
    )


def _signalled(run_folder: Path) -> bool:
    """Ask the host to stop by SIGTERM, which it takes for a request; False where it is no process of its own here."""
    sign = read_sign(run_folder)
    return (
        sign is not None
        and sign.role == "host"
        and is_alive(sign.identity) is True
        and kill(sign.identity, signal.SIGTERM)
    )


def _stops_asked(run_folder: Path) -> int:
    """How often the present host was asked to stop, by requests it took and by those that still wait."""
    asked = {command.id for command in Inbox(run_folder).waiting() if command.verb.startswith("stop")}
    taken: set[str] = set()
    for record in read_journal(run_folder, (HostStarted, CommandTaken)):
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
        "killed": "ended the run's process without a checkpoint",
    }[asked]


def kill_host(run_folder: Path) -> bool:
    """End a run's host process at once, with all it started: the last resort. False when there is none here.

    A run inside a workbench is not ended this way: its process is the workbench.
    """
    sign = read_sign(run_folder)
    if sign is None or sign.role != "host" or is_alive(sign.identity) is not True:
        return False
    ended = _end_process(sign.identity)
    if ended:
        _note_killed(run_folder, sign.token)
    return ended


def _end_process(identity: Identity) -> bool:
    with contextlib.suppress(OSError):
        if os.getpgid(identity.pid) == identity.pid:
            os.killpg(identity.pid, signal.SIGKILL)
            return True
    return kill(identity, signal.SIGKILL)


def _note_killed(run_folder: Path, token: str) -> None:
    """Write into its last sign of life that a person ended it, once nothing of it can write over that."""
    until = time.monotonic() + _GONE_SECONDS
    while (sign := read_sign(run_folder)) is not None and sign.token == token:
        if is_alive(sign.identity) is False:
            with contextlib.suppress(NotSaved):
                write_sign(run_folder, replace(sign, killed=True))
            return
        if time.monotonic() > until:
            return
        time.sleep(_LOOK_SECONDS)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise fsio.not_saved(folder, error) from error


def _read(path: Path) -> dict[str, Any] | None:
    try:
        document = json.loads(read_small(path, _MAX_BYTES) or b"null")
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
