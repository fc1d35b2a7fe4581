"""A run's ranks as its host sees them: started by torch's launcher, heard, asked, and ended together.

The host is no rank: it keeps lock, journal and requests, and stays when a rank dies to say which one and how.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from epochal.core.errors import RunError
from epochal.core.events import Event, PhaseStarted, RunEnded, StepsDone, Waiting, from_payload
from epochal.fsio import NotSaved
from epochal.project.checkpoints import reason_of_early_stop
from epochal.project.going import Way
from epochal.project.runfile import RunSpec
from epochal.runs import memory
from epochal.runs.channel import channel_pair, marked
from epochal.runs.identity import Identity, is_alive, kill, read_identity
from epochal.runs.thread_host import Poll, Training


TERM_SECONDS = 10
"""The launcher gives ranks so long to end when one of them died; then it kills them."""
JOIN_SECONDS = 25.0
"""The host waits so long for the launcher after the first bad news, or after the last good one; then it kills all."""
_KILL_SECONDS = 5.0
"""What was killed is gone by then, or hangs in the kernel."""
_LOOK_SECONDS = 0.1
_LOOPBACK = Path("/sys/class/net/lo")


MEET = "HOST:PORT"
"""To be replaced by the first node's name or address, as the others reach it, and a free port there."""


@dataclass(frozen=True, slots=True)
class Node:
    """One machine of a run, and where they all meet."""

    number: int = 0
    meet: str = ""
    """HOST:PORT on the first node; empty for a run on one machine."""


def launcher_arguments(spec: RunSpec, node: Node, way: Way = "exactly") -> list[str]:
    """What torch's launcher, `torchrun`, is given to start the ranks of one node."""
    if spec.nodes == 1:
        where = ["--standalone", "--local-addr", "127.0.0.1"]
    else:
        host, _, port = node.meet.rpartition(":")
        where = ["--nnodes", str(spec.nodes), "--node-rank", str(node.number)]
        where += ["--master-addr", host, "--master-port", port]
    return [
        *where,
        "--nproc-per-node",
        str(spec.project.train.num_ranks),
        "--max-restarts",
        "0",
        "--log-dir",
        os.devnull,  # the ranks write where their launcher writes
        "--no-python",
        sys.executable,
        "-P",
        "-m",
        "epochal.rank_host",
        str(spec.folder),
        *(["--way", way] if way != "exactly" else []),
    ]


def launch_lines(spec: RunSpec, meet: str = "", way: Way = "exactly") -> list[tuple[str, str]]:
    """Each node's name and the line that starts its part by hand: the first node's host, on the others the launcher."""
    meet = meet or MEET
    onward = ["--way", way] if way != "exactly" else []
    first = [sys.executable, "-P", "-m", "epochal.host", str(spec.folder), *onward]
    if spec.nodes == 1:
        return [("here", shlex.join(first))]
    lines = [("node 0", shlex.join([*first, "--meet", meet]))]
    launcher = [sys.executable, "-P", "-m", "torch.distributed.run"]
    for number in range(1, spec.nodes):
        node = Node(number=number, meet=meet)
        lines.append((f"node {number}", shlex.join([*launcher, *launcher_arguments(spec, node, way)])))
    return lines


def check_meet(meet: str) -> str:
    """A place to meet as it was given. Raises RunError when it is not HOST:PORT."""
    host, _, port = meet.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise RunError(
            f"{meet!r} is no place to meet",
            where="--meet",
            fix="write the first node's name or address, as the others reach it, and a free port: gpu01:29500",
            code="no-meeting",
        )
    return meet


def gang_training(spec: RunSpec, way: Way = "exactly", node: Node | None = None) -> Training:
    """The training of a run by its ranks on this node, as its host drives it."""

    def begin(poll: Poll) -> Iterator[Event]:
        count = spec.project.train.num_ranks
        yield PhaseStarted(name="loading", detail=f"starting {count} rank{'s' if count > 1 else ''}")
        gang = Gang(spec, launcher_arguments(spec, node or Node(), way))
        try:
            yield from gang.events(poll)
        finally:
            gang.end()

    return begin


class Gang:
    """The ranks of a run on this machine, and their launcher."""

    def __init__(self, spec: RunSpec, arguments: Sequence[str]) -> None:
        """Start them. Raises RunError when the launcher cannot be started."""
        self._folder = spec.folder
        self._ranks: dict[int, Identity] = {}
        self._ended: RunEnded | None = None
        self._fatal: list[tuple[int, Mapping[str, str]]] = []
        self._died: list[Mapping[str, int]] = []
        self._memory = memory.counter_of_mine()
        self._memory_kills = memory.kills(self._memory) or 0
        self._channel, theirs = channel_pair()
        command = [sys.executable, "-P", "-m", "epochal.gang_host", *arguments]
        try:
            self._launcher = subprocess.Popen(
                command, stdin=theirs.descriptor, env=_environment(spec), cwd="/", close_fds=True
            )
        except OSError as error:
            self._channel.close()
            raise RunError(
                f"torch's launcher cannot be started: {error}", where=command[0], code="start-failed"
            ) from error
        finally:
            theirs.close()

    def events(self, poll: Poll) -> Iterator[Event]:
        """What the first rank tells, until all have ended; the last event is RunEnded."""
        deadline = float("inf")
        stop_asked = begun = False
        while time.monotonic() < deadline:
            for verb in poll():
                if verb == "stop-now":
                    yield RunEnded(state="stopped", reason="stopped at once, without a checkpoint")
                    return
                stop_asked = stop_asked or verb == "stop"
                self._channel.say({"ask": verb})
            message = self._channel.hear(_LOOK_SECONDS)
            if message is None:
                break
            event = self._taken(message)
            if event is not None:
                begun = begun or isinstance(event, StepsDone)
                yield event
            over = self._ended or self._fatal or self._died or self._launcher.poll() is not None
            if over and deadline == float("inf"):
                deadline = time.monotonic() + JOIN_SECONDS
        # Ranks may fail because others were ended: what is no error of ours says nothing then.
        known = [error for _rank, error in self._fatal if error.get("code") not in {NotSaved.code, "unexpected"}]
        if stop_asked and not begun and self._ended is None and not known:
            yield RunEnded(state="stopped", reason=reason_of_early_stop(self._folder))
            return
        yield self._how_it_ended()

    def _taken(self, message: Mapping[str, Any]) -> Event | None:
        """Keep what a message says; the event that it tells of, unless it is the last."""
        if "identity" in message:
            identity = read_identity(message["identity"])
            if identity is not None:
                self._ranks[int(message["rank"])] = identity
        elif "fatal" in message:
            self._fatal.append((int(message["rank"]), message["fatal"]))
        elif "died" in message:
            self._died = list(message["died"])
        elif "waiting" in message:
            return Waiting(why=str(message["waiting"]))
        elif "event" in message:
            event = from_payload(str(message["event"]), message["payload"])
            if not isinstance(event, RunEnded):
                return event
            self._ended = event
        return None

    def _how_it_ended(self) -> RunEnded:
        """What the first rank said; else the first cause: a rank killed, then the first that told why, then what is left."""
        if self._ended is not None:
            return self._ended
        # The launcher tells the first first; what it ended itself because of that comes later, and died of its SIGTERM.
        killed = [
            died for i, died in enumerate(self._died) if died["code"] < 0 and (not i or died["code"] != -signal.SIGTERM)
        ]
        if killed:
            return _failed("rank-died", self._killed(killed[0]))
        if self._fatal:
            rank, error = self._fatal[0]
            what = f"rank {rank}: {error['what']}" if error.get("code") == "unexpected" else error["what"]
            return RunEnded(state="failed", reason=what, error={**error, "what": what})
        for died in self._died:
            return _failed("rank-died", f"rank {died['rank']} (process {died['pid']}) ended with {died['code']}")
        code = self._launcher.poll()
        how = "does not answer" if code is None else f"ended with {code}"
        return _failed("rank-died", f"torch's launcher (process {self._launcher.pid}) {how}")

    def _killed(self, died: Mapping[str, int]) -> str:
        number = -died["code"]
        with contextlib.suppress(ValueError):
            name = signal.Signals(number).name
            words = f"rank {died['rank']} (process {died['pid']}) was killed by signal {number} ({name})"
            if number == signal.SIGKILL and (memory.kills(self._memory) or 0) > self._memory_kills:
                return f"{words}, probably out of memory: the kernel ended a process of its group"
            return words
        return f"rank {died['rank']} (process {died['pid']}) was killed by signal {number}"

    def end(self) -> None:
        """End all that still lives, at once, and see that it is gone: within some seconds, whatever hangs."""
        self._channel.close()  # ranks that can still act end by themselves
        self._launcher.kill()
        for identity in self._ranks.values():
            kill(identity, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._launcher.wait(_KILL_SECONDS)
        deadline = time.monotonic() + _KILL_SECONDS
        while (left := self._living()) and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
        for rank, identity in left.items():
            words = f"rank {rank} (process {identity.pid}) was killed and is still there: it hangs in the kernel"
            print(words, file=sys.stderr, flush=True)  # noqa: T201 - host.log

    def _living(self) -> dict[int, Identity]:
        return {rank: identity for rank, identity in self._ranks.items() if is_alive(identity)}


def _failed(code: str, what: str) -> RunEnded:
    fix = "`epochal resume` goes on from the last checkpoint; host.log in the run's folder tells more"
    return RunEnded(state="failed", reason=what, error={"code": code, "what": what, "where": "", "fix": fix})


def _environment(spec: RunSpec) -> dict[str, str]:
    """For the launcher and its ranks; what a person set is kept."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    ours = {
        "OMP_NUM_THREADS": str(max(1, cores // spec.project.train.num_ranks)),
        "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(TERM_SECONDS),
        "TORCH_CPP_LOG_LEVEL": "ERROR",  # else each rank warns in host.log of looking for parameters that took no part
    }
    if spec.nodes == 1 and _LOOPBACK.exists():
        ours["GLOO_SOCKET_IFNAME"] = "lo"  # else ranks meet on what the machine's name leads to, which may be nowhere
    return marked({**ours, **os.environ})
