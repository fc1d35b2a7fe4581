"""The data process: the only one in which DuckDB runs for the faces. A bomb, a hostile file or an endless query ends here.

`python -P -m epochal.data_host FD` talks over the socket with that number. One thread reads requests; lanes of their
own answer them, so that a page never waits for an import. The first rows of a file are answered before DuckDB is
loaded.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from epochal.core.errors import Cancelled, DataHostError, EpochalError
from epochal.data import protocol


if TYPE_CHECKING:
    from epochal.data.answers import Answers

_LANES: dict[str, tuple[str, float]] = {
    "read_head": ("head", 30),
    "read_page": ("page", 30),
    "read_cell": ("page", 30),
    "open_view": ("look", 1800),
    "find_row": ("look", 600),
    "read_profile": ("look", 1800),
    "read_facets": ("look", 600),
    "count_step": ("look", 1800),
}
"""Which lane answers a request, and after how many seconds it is given up. All others: the work lane, four hours."""
_WORK = ("work", 4 * 3600.0)
_GRACE = 20.0
"""Seconds after which a request that does not heed an interruption takes the process with it."""
_CANCEL_GRACE = 5.0
"""The same for one that a person cancelled: they are waiting for it."""
_WARM_UP = 0.05
EXIT_STUCK = 75
EXIT_BLOATED = 76
"""Memory that ran out does not come back to the system: the next process starts with all of it."""


class Job:
    """One request under way."""

    def __init__(self, number: int, request: protocol.Request, limit: float, send: Callable[..., None]) -> None:
        from epochal.data.engine import Work

        self.number, self.request, self._limit, self._send = number, request, limit, send
        self.work = Work(self._report)
        self.deadline = float("inf")
        self._grace = _GRACE
        self._said = 0.0

    def begin(self) -> None:
        """It leaves the queue now; its time runs from here."""
        self.deadline = time.monotonic() + self._limit

    def cancel(self) -> None:
        """A person asked for its end."""
        self._grace = _CANCEL_GRACE
        self.deadline = min(self.deadline, time.monotonic())
        self.work.stop()

    def _report(self, text: str, fraction: float | None) -> None:
        now = time.monotonic()
        if now - self._said >= 0.1:  # people read no faster
            self._said = now
            self._send(self.number, "progress", {"fraction": fraction, "text": text})

    def tick(self) -> None:
        """Look after it while it runs: say how far it is, end it when its time is over."""
        now = time.monotonic()
        if now > self.deadline + self._grace:
            os._exit(EXIT_STUCK)  # DuckDB does not look for interruptions inside one huge value
        if now > self.deadline:
            self.work.stop(overdue=True)
            return
        done = self.work.fraction()
        if done is not None and self.work.text:
            self._report(self.work.text, done)


class Host:
    """Reads requests from the socket and answers them until the other side is gone."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._jobs: dict[int, Job] = {}
        self._running: set[Job] = set()
        self._queues: dict[str, queue.SimpleQueue[Job]] = {}
        self._answers: Answers | None = None
        self._loading = threading.Lock()
        self._no_head = threading.Event()
        self._no_head.set()

    def serve(self) -> None:
        """Serve until the other side closes."""
        threading.Thread(target=self._look_after, name="clock", daemon=True).start()
        threading.Thread(target=self._warm_up, name="warm-up", daemon=True).start()
        while True:
            frame = self._next()
            if frame is None:
                self._sweep()
                return
            number, kind, body = frame
            if kind == "cancel":
                job = self._jobs.get(number)
                if job is not None:
                    job.cancel()
                continue
            self._take(number, kind, body)

    def _next(self) -> tuple[int, str, dict[str, Any]] | None:
        try:
            return protocol.read_frame(self._connection)
        except OSError:
            return None  # killed in the middle of a frame: gone all the same

    def _take(self, number: int, kind: str, body: Mapping[str, Any]) -> None:
        try:
            request = protocol.request_from(kind, body)
        except (KeyError, TypeError) as error:
            self._fail(number, DataHostError(f"no such request: {kind}: {error}", code="protocol"))
            return
        if isinstance(request, protocol.ReadHead):
            self._no_head.clear()
            threading.Thread(target=self._answer_head, args=(number, request), daemon=True).start()
            return
        lane, limit = _LANES.get(kind, _WORK)
        job = Job(number, request, _time_limit(limit), self._send)
        self._jobs[number] = job
        if lane not in self._queues:
            self._queues[lane] = queue.SimpleQueue()
            threading.Thread(target=self._work, args=(self._queues[lane],), name=lane, daemon=True).start()
        self._queues[lane].put(job)

    def _answer_head(self, number: int, request: protocol.ReadHead) -> None:
        from pathlib import Path

        from epochal.data.head import head

        self._guarded(number, lambda: head(Path(request.folder), request.source, request.rows))
        self._no_head.set()

    def _warm_up(self) -> None:
        """Load DuckDB while nobody waits for it, but never beside a first look at a file."""
        time.sleep(_WARM_UP)
        self._no_head.wait(_LANES["read_head"][1])
        self._load()

    def _work(self, jobs: queue.SimpleQueue[Job]) -> None:
        while True:
            job = jobs.get()
            self._running.add(job)
            job.begin()
            try:
                self._guarded(job.number, partial(self._answer, job))
            finally:
                self._running.discard(job)
                self._jobs.pop(job.number, None)

    def _answer(self, job: Job) -> Any:
        return self._load().answer(job.request, job.work)

    def _guarded(self, number: int, answer: Callable[[], Any]) -> None:
        """Answer, or say what went wrong. One of the program's edges: nothing may end the process but its limits."""
        try:
            body = protocol.body_of(answer())
            self._send(number, "answer", body)
        except EpochalError as error:
            self._fail(number, error)
        except MemoryError:
            self._fail(
                number, DataHostError("this needs more memory than the data process may take", code="out-of-memory")
            )
        except OSError as error:
            self._fail(
                number,
                DataHostError(
                    f"the disk does not take it: {error.strerror or _safe(str(error))}",
                    where=_safe(str(error.filename or "")),
                    fix="make room on the disk, or check the folder's permissions",
                    code="disk",
                ),
            )
        except Exception as error:  # noqa: BLE001 - the host's edge
            if type(error).__module__.partition(".")[0] in {"duckdb", "_duckdb"}:
                from epochal.data.engine import translated

                self._fail(number, translated(error))
                return
            import traceback

            traceback.print_exc(file=sys.stderr)
            self._fail(number, DataHostError(f"{type(error).__name__}: {_safe(str(error))}", code="internal"))

    def _fail(self, number: int, error: EpochalError) -> None:
        self._send(number, "error", {**error.as_dict(), "class": type(error).__name__})
        if error.error_code == "out-of-memory" and _bloated():
            os._exit(EXIT_BLOATED)

    def _send(self, number: int, kind: str, body: Mapping[str, Any]) -> None:
        with self._sending:
            try:
                protocol.send_frame(self._connection, number, kind, body)
            except ValueError:
                text = {
                    "code": "too-large",
                    "what": "the answer is too large",
                    "where": "",
                    "fix": "ask for fewer rows",
                }
                protocol.send_frame(self._connection, number, "error", text)
            except OSError:
                self._sweep()
                os._exit(0)  # the other side is gone, and nobody waits for an answer

    def _sweep(self) -> None:
        """Leave no file behind that only this process would use."""
        if self._answers is not None:
            self._answers.sweep()

    def _load(self) -> Answers:
        """The engine's side, loaded once."""
        with self._loading:
            if self._answers is None:
                import duckdb  # noqa: F401 - loaded here, where it delays nothing

                from epochal.data.answers import Answers

                self._answers = Answers()
            return self._answers

    def _look_after(self) -> None:
        while True:
            time.sleep(0.15)
            for job in tuple(self._running):
                with contextlib.suppress(Cancelled, DataHostError):
                    job.tick()


def _bloated() -> bool:
    """Whether more than half of the address space that is allowed is taken."""
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - no time for more
        taken = int(file.read().split()[0]) * resource.getpagesize()
    return limit != resource.RLIM_INFINITY and taken > limit // 2


def _time_limit(seconds: float) -> float:
    asked = os.environ.get("EPOCHAL_DATA_SECONDS", "")
    return min(seconds, float(asked)) if asked.replace(".", "", 1).isdecimal() else seconds


def _safe(text: str) -> str:
    from epochal.show import safe

    return safe(text, 300)


def main(arguments: list[str] | None = None) -> int:
    """Serve the socket whose number is the only argument. Returns when the other side is gone."""
    given = sys.argv[1:] if arguments is None else arguments
    if len(given) != 1 or not given[0].isdecimal():
        print("usage: python -P -m epochal.data_host FD (started by the workbench)", file=sys.stderr)  # noqa: T201
        return 2
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl-c is the face's: it cancels requests
    Host(socket.socket(fileno=int(given[0]))).serve()
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # threads inside DuckDB are not waited for
