"""Leaving a command that has something to tidy when it is told to end, as ctrl-c does."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator

from epochal.core.errors import Cancelled


_LOOK_SECONDS = 0.1


@contextlib.contextmanager
def told_to_leave() -> Iterator[threading.Event]:
    """Set the yielded event at SIGTERM and SIGHUP, for the work inside to be cancelled by; what is to be tidied is.

    A command that was cancelled so ends with 128 and the signal. A hang-up that is ignored, as `nohup` asks, stays ignored.
    """
    told: list[int] = []
    leave, over = threading.Event(), threading.Event()
    numbers = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) == signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, lambda received, _frame: told.append(received))

    def watch() -> None:
        while not over.wait(_LOOK_SECONDS):
            if told:
                leave.set()

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield leave
    except Cancelled:
        if told:
            sys.exit(128 + told[0])
        raise
    finally:
        over.set()
        watching.join()
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
