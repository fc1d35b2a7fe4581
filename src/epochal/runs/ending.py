"""What a process with a terminal does when it is told to end: runs that live in it first write their checkpoint.

A hang-up comes as SIGHUP, a shutdown as SIGTERM. Python would die of either without another word.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable


_PATIENCE_SECONDS = 5.0
"""For what `leave` does before the process ends regardless."""
_ending = threading.Event()
"""Set once this process was told to end."""


def heed_signals(leave: Callable[[], object] | None = None) -> None:
    """From now on SIGHUP and SIGTERM let the runs of this process checkpoint, then end it.

    `leave` ends the process in its own way (and gives the terminal back) on SIGTERM; without it, and when the terminal
    is gone, the process simply ends. Call it on the main thread.
    """
    heard: queue.SimpleQueue[int] = queue.SimpleQueue()

    def attend() -> None:
        # On a thread of its own: the main one may hold a lock that a checkpoint needs.
        number = heard.get()
        _ending.set()
        _end(number, leave)

    threading.Thread(target=attend, name="epochal-ending", daemon=True).start()
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, lambda received, _frame: heard.put(received))


def wait_if_ending() -> None:
    """Return at once, unless this process was told to end: then it ends here, with the exit code of the signal."""
    if _ending.is_set():
        threading.Event().wait()


def _end(number: int, leave: Callable[[], object] | None) -> None:
    here = sys.modules.get("epochal.runs.thread_host")
    if here is not None:
        here.leave(by=signal.Signals(number).name)
    if leave is not None and number == signal.SIGTERM:
        with contextlib.suppress(Exception):
            leave()
            threading.Event().wait(_PATIENCE_SECONDS)
    os._exit(128 + number)
