"""Torch's own elastic launcher for a run's host: `python -P -m epochal.gang_host` and what `torchrun` takes.

It adds two things to `torchrun`: how each rank that died ended is told to the host, and it ends when its host does.
"""

from __future__ import annotations

import os
import sys

from epochal.runs.channel import inherited


def main(arguments: list[str] | None = None) -> int:
    """Start the ranks and wait for their end; 1 when one of them failed."""
    channel = inherited()
    if channel is not None:
        channel.when_gone(lambda: os._exit(1))  # so do the ranks, each by itself
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    try:
        run(parse_args(sys.argv[1:] if arguments is None else arguments))  # type: ignore[no-untyped-call]
    except ChildFailedError as error:
        if channel is not None:
            died = [{"rank": r, "pid": f.pid, "code": f.exitcode} for r, f in error.failures.items()]
            channel.say({"died": died})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
