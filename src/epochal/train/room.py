"""Writing on a full disk: the run waits at its step, tries again every few seconds, and can still be stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import TypeVar

from epochal.core.clock import Clock
from epochal.core.events import Event, Noticed, Waiting
from epochal.fsio import NotSaved, lacks_room
from epochal.fsio.room import NO_ROOM, RETRY_SECONDS, WAIT_SECONDS
from epochal.show import grouped


T = TypeVar("T")

_LOOK_SECONDS = 0.2


def when_there_is_room(
    write: Callable[[], T], what: str, *, look: Callable[[], bool], clock: Clock
) -> Generator[Event, None, T]:
    """`write`, again and again for up to an hour while the disk is full. `what` is written, in words.

    `look` says whether the run was asked to stop: then it is tried once more and no longer. Raises NotSaved.
    """
    began = clock.monotonic()
    waited = False
    while True:
        try:
            written = write()
        except NotSaved as error:
            now = clock.monotonic()
            if not lacks_room(error) or now - began >= WAIT_SECONDS or look():
                raise
            waited = True
            why = f"{what} was {error.what}; {NO_ROOM}"
            while clock.monotonic() - now < RETRY_SECONDS and not look():
                yield Waiting(why=why)
                time.sleep(_LOOK_SECONDS)
            continue
        if waited:
            seconds = clock.monotonic() - began
            yield Noticed(
                code="waited",
                text=f"{what} waited {grouped(round(seconds))} s for room on the disk, and was then written",
                severity="warning",
            )
        return written
