"""Main of one rank of a run: `python -P -m epochal.rank_host RUN_DIR`, started on every device by torch's launcher.

The first rank tells its host all that happens and is asked by it; the others only say when they cannot go on. A rank
ends when its host does. Exit codes: 0 the training ended; 1 it failed.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from epochal.core.clock import SystemClock
from epochal.core.errors import EpochalError, RunError
from epochal.core.events import Event, Waiting, to_payload
from epochal.project.going import Way
from epochal.project.runfile import RunSpec, read_run
from epochal.runs.channel import Channel, inherited
from epochal.runs.identity import my_identity


_PR_SET_PDEATHSIG = 1
"""In linux/prctl.h."""
_MOST_TEXT = 4000
"""Of an error's words, sent to the host."""


def main(arguments: list[str] | None = None) -> int:
    """Train this rank's part; returns the process's exit code."""
    parser = argparse.ArgumentParser(prog="python -P -m epochal.rank_host")
    parser.add_argument("folder", type=Path, help="the run's folder, absolute")
    parser.add_argument("--way", choices=get_args(Way), default="exactly", help="how a run that was begun may go on")
    asked = parser.parse_args(arguments)
    rank = int(os.environ.get("RANK", "0"))
    _end_with_launcher()
    channel = inherited()
    if channel is not None:
        channel.when_gone(lambda: os._exit(1))
        channel.say({"rank": rank, "identity": my_identity().as_dict()})
    try:
        spec = read_run(asked.folder)
        _train(spec, asked.way, channel)
    except EpochalError as error:
        return _failed(channel, rank, error.as_dict())
    except Exception as error:  # noqa: BLE001 - an edge: nobody above would hear of it
        traceback.print_exc()
        shown = f"{type(error).__name__}: {error}"
        fix = "see host.log in the run's folder"
        return _failed(channel, rank, {"code": "unexpected", "what": shown, "where": f"rank {rank}", "fix": fix})
    return 0


def _end_with_launcher() -> None:
    """Have the kernel end this process when its launcher ends: a rank that hangs in foreign code cannot do so itself."""
    if sys.platform == "linux":
        launcher = os.getppid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != launcher:
            os._exit(1)


def _train(spec: RunSpec, way: Way, channel: Channel | None) -> None:
    """Meet the other ranks and train. Raises EpochalError."""
    from epochal.train.fit import fit
    from epochal.train.team import join, leave

    team = join()
    if team.size != spec.world_size:
        raise RunError(
            f"run {spec.name} is for {spec.world_size} ranks and {team.size} were started",
            where=str(spec.folder / "run.toml"),
            fix="start the lines that --print-launch prints, on every node",
            code="other-ranks",
        )
    told = channel if team.first else None
    if team.first and channel is None:
        raise RunError(
            "the first rank has no host to tell what happens",
            where=str(spec.folder),
            fix="start the first node's line that --print-launch prints on the first node",
            code="no-host",
        )
    requests = _Requests(told)
    for event in fit(spec, requests.poll, SystemClock(), way=way, team=team):
        if told is not None:
            _tell(told, event)
    leave()


class _Requests:
    """What the host asks of the first rank."""

    def __init__(self, channel: Channel | None) -> None:
        self._channel = channel

    def poll(self) -> Sequence[str]:
        """The verbs asked since the last call."""
        verbs: list[str] = []
        while self._channel is not None and (message := self._channel.hear()):
            verbs.append(str(message.get("ask", "")))
        return verbs


def _tell(channel: Channel, event: Event) -> None:
    if isinstance(event, Waiting):
        channel.say({"waiting": event.why})
    else:
        channel.say({"event": event.kind, "payload": to_payload(event)})


def _failed(channel: Channel | None, rank: int, error: dict[str, str]) -> int:
    """Tell the host, and end without waiting for ranks that may never answer."""
    print(f"rank {rank}: {error['code']}: {error['what']} ({error['where']})", file=sys.stderr)  # noqa: T201 - host.log
    if channel is not None:
        channel.say({"fatal": {k: v[:_MOST_TEXT] for k, v in error.items()}, "rank": rank})
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
