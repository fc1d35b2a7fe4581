"""The faces' side of the data process: start it, ask it, cancel, start it again when it died and say so once."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from epochal.core import errors
from epochal.core.errors import Cancelled, DataHostError, EpochalError
from epochal.data import protocol
from epochal.show import safe


_LOOK_SECONDS = 0.1
"""Between two looks at whether a request is still wanted."""


OnProgress = Callable[[str, float | None], None]
"""Told what is being done, in words, and how far it is in [0, 1] where that is known."""

_CLASSES = {c.__name__: c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, EpochalError)}
_EXIT_STUCK, _EXIT_BLOATED = 75, 76


@dataclass(slots=True)
class _Pending:
    request: protocol.Request
    on_answer: Callable[[Any], None]
    on_error: Callable[[EpochalError], None]
    on_progress: OnProgress | None
    host: _Host
    again: bool = False
    """Whether it was asked once before, of a process that ended on purpose."""
    cancelled: bool = False


class DataClient:
    """Asks the data process. Thread-safe; callbacks run on the reader's thread and must return at once."""

    def __init__(self, *, start: bool = True) -> None:
        """Start the process at once, or with `start=False` at the first request."""
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._pending: dict[int, _Pending] = {}
        self._host: _Host | None = None
        self._closed = False
        if start:
            with self._lock:
                self._running()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """The process under way; None when none is."""
        host = self._host
        return host.process.pid if host is not None else None

    def ask(
        self,
        request: protocol.Request,
        progress: OnProgress | None = None,
        timeout: float | None = None,
        cancelled: threading.Event | None = None,
    ) -> Any:
        """Ask and wait. `timeout` in seconds cancels the request when it is over, and so does setting `cancelled`.

        Raises the EpochalError the host answered with (Cancelled when it was); DataHostError when the process died, or
        after `timeout`.
        """
        done = threading.Event()
        result: list[Any] = []
        failure: list[EpochalError] = []

        def answered(value: Any) -> None:
            result.append(value)
            done.set()

        def failed(error: EpochalError) -> None:
            failure.append(error)
            done.set()

        number = self.submit(request, answered, failed, progress)
        try:
            in_time = done.wait(timeout) if cancelled is None else _wait(done, timeout, cancelled)
            if cancelled is not None and cancelled.is_set() and not done.is_set():
                self.cancel(number)
                in_time = done.wait(timeout)
        except BaseException:
            self.cancel(number)  # ctrl-c while waiting: the host need not go on
            raise
        if not in_time:
            self.cancel(number)
            raise DataHostError(f"no answer within {timeout:g} s", fix="try again, or ask for less", code="too-long")
        if failure:
            raise Cancelled(failure[0].what) if failure[0].error_code == Cancelled.code else failure[0]
        return result[0]

    def submit(
        self,
        request: protocol.Request,
        on_answer: Callable[[Any], None],
        on_error: Callable[[EpochalError], None],
        on_progress: OnProgress | None = None,
    ) -> int:
        """Ask and go on. Exactly one of `on_answer` and `on_error` is called, on another thread. Returns its number."""
        number = next(self._numbers)
        with self._lock:
            try:
                host = self._running()
            except OSError as error:
                failed = DataHostError(f"the data process cannot be started: {error.strerror}", fix="try again")
                threading.Thread(target=on_error, args=(failed,), daemon=True).start()
                return number
            self._pending[number] = _Pending(request, on_answer, on_error, on_progress, host)
        host.send(number, request.kind(), protocol.body_of(request))
        return number

    def cancel(self, number: int) -> None:
        """Interrupt a request; it ends with the error `cancelled` unless it was done already."""
        with self._lock:
            pending = self._pending.get(number)
        if pending is not None:
            pending.cancelled = True
            pending.host.send(number, "cancel", {})

    def close(self) -> None:
        """End the process. What is under way ends with the error `cancelled`."""
        with self._lock:
            self._closed = True
            host, self._host = self._host, None
        if host is not None:
            host.end()
        self._fail_all(host, Cancelled("closed"))

    def _running(self) -> _Host:
        """The process, started when there is none. Call with the lock held."""
        if self._closed:
            raise OSError(0, "this client is closed")
        if self._host is None:
            self._host = _Host(self._received, self._died)
        return self._host

    def _received(self, number: int, kind: str, body: dict[str, Any]) -> None:
        with self._lock:
            pending = self._pending.get(number) if kind == "progress" else self._pending.pop(number, None)
        if pending is None:
            return
        if kind == "progress":
            if pending.on_progress is not None:
                pending.on_progress(body["text"], body["fraction"])
        elif kind == "answer":
            pending.on_answer(protocol.answer_from(type(pending.request), body))
        else:
            pending.on_error(_error(body))

    def _died(self, host: _Host, reason: str, *, on_purpose: bool) -> None:
        with self._lock:
            if self._host is host:
                self._host = None
        if on_purpose:
            self._ask_again(host)
        self._fail_all(
            host,
            DataHostError(
                f"the data process ended: {reason}",
                fix="nothing is lost; it starts again with the next request",
                code="data-host",
            ),
        )

    def _ask_again(self, old: _Host) -> None:
        """Hand what an ended process left to a new one, each request once: all of them may be asked twice."""
        with self._lock:
            left = [(n, p) for n, p in self._pending.items() if p.host is old and not p.again and not p.cancelled]
            if not left or self._closed:
                return
            with contextlib.suppress(OSError):
                host = self._running()
                for _, pending in left:
                    pending.host, pending.again = host, True
        for number, pending in left:
            pending.host.send(number, pending.request.kind(), protocol.body_of(pending.request))

    def _fail_all(self, host: _Host | None, error: EpochalError) -> None:
        with self._lock:
            gone = [n for n, p in self._pending.items() if p.host is host]
            pending = [self._pending.pop(n) for n in gone]
        for one in pending:
            # A process that heeds no cancelling ends: for who cancelled that is what was asked for.
            one.on_error(Cancelled("cancelled") if one.cancelled else error)


class _Host:
    """One life of the data process."""

    def __init__(self, received: Callable[[int, str, dict[str, Any]], None], died: Callable[..., None]) -> None:
        ours, theirs = socket.socketpair()
        self._said = os.fdopen(os.memfd_create("epochal-data-host"), "w+b")  # what it says on its way out
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "epochal.data_host", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._said,
                start_new_session=True,  # the terminal's ctrl-c and hang-up are the face's business
            )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        self._connection = ours
        self._sending = threading.Lock()
        self._received, self._died = received, died
        self._ending = False
        threading.Thread(target=self._read, name="data host", daemon=True).start()

    def send(self, number: int, kind: str, body: dict[str, Any]) -> None:
        """Send a frame; when the process is gone the reader says so."""
        with self._sending, contextlib.suppress(OSError):
            protocol.send_frame(self._connection, number, kind, body)

    def end(self) -> None:
        """End the process and wait for it; it holds nothing that must be saved."""
        self._ending = True
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        try:
            self.process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _read(self) -> None:
        try:
            while (frame := protocol.read_frame(self._connection)) is not None:
                self._received(*frame)
        except (OSError, ValueError):
            self.process.kill()
        self._connection.close()
        code = self.process.wait()
        if not self._ending:
            self._died(self, self._reason(code), on_purpose=code == _EXIT_BLOATED)
        self._said.close()

    def _reason(self, code: int) -> str:
        if code == -9:
            return "it was killed, probably because the machine ran out of memory"
        if code == _EXIT_BLOATED:
            return "it ran out of memory"
        if code == _EXIT_STUCK:
            return "a request did not end in time"
        with contextlib.suppress(OSError, ValueError):
            size = os.fstat(self._said.fileno()).st_size
            last = os.pread(self._said.fileno(), 2000, max(0, size - 2000)).decode("utf-8", "replace").strip()
            if last:
                return safe(last.splitlines()[-1], 200)
        return f"signal {-code}" if code < 0 else f"exit code {code}"


def _error(body: dict[str, Any]) -> EpochalError:
    """The host's error as it was raised there."""
    cls = _CLASSES.get(body.get("class", ""), DataHostError)
    return cls(body["what"], where=body["where"], fix=body["fix"], code=body["code"])


def _wait(done: threading.Event, timeout: float | None, cancelled: threading.Event) -> bool:
    """Wait for either; False when the time is over before any is set."""
    end = None if timeout is None else time.monotonic() + timeout
    while not done.wait(_LOOK_SECONDS) and not cancelled.is_set():
        if end is not None and time.monotonic() >= end:
            return False
    return True
