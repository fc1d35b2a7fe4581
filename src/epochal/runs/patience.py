"""How long a part of a trial may take: a person's own code may never come back, and whoever waits must hear of it."""

from __future__ import annotations

import faulthandler
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from epochal.core.errors import RunError


_LOOK_SECONDS = 0.1
_GRACE_SECONDS = 10.0
"""Code that lets no other thread run is ended so much later, by a watchdog that needs none."""


class Patience:
    """Watches the thread that made it; `late` is called from another one, once, with what took too long and where."""

    def __init__(self, root: Path, late: Callable[[RunError], object]) -> None:
        """`root` is the folder of a person's own code, whose lines are worth naming."""
        self._root = root.resolve()  # as the files of the code are named, however the folder was come to
        self._late = late
        self._thread = threading.get_ident()
        self._part = ("", 0.0, float("inf"))
        """What is done, how long it may take, and until when."""
        threading.Thread(target=self._watch, name="epochal-patience", daemon=True).start()

    def begin(self, what: str, seconds: float) -> None:
        """Another part begins, which may take so long."""
        self._part = (what, seconds, time.monotonic() + seconds)
        faulthandler.dump_traceback_later(seconds + _GRACE_SECONDS, exit=True)

    def _watch(self) -> None:
        while time.monotonic() < self._part[2]:
            time.sleep(_LOOK_SECONDS)
        what, seconds, _until = self._part
        place = _place(sys._current_frames().get(self._thread), self._root)  # noqa: SLF001 - Python has no other name for it
        self._late(
            RunError(
                f"{what} has not ended after {seconds:g} s",
                where=place,
                fix="look for a loop there that does not end"
                if place
                else "end what else keeps this machine busy, or try fewer rows; a run waits as long as it takes",
                code="check-stuck",
            )
        )


def _place(frame: FrameType | None, root: Path) -> str:
    """file:line, in NAME, of the innermost call in a file of the project; empty when no such file is at work."""
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(root) and not path.is_relative_to(sys.prefix):
            return f"{path.relative_to(root)}:{frame.f_lineno}, in {frame.f_code.co_name}"
        frame = frame.f_back
    return ""
