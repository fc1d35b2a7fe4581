"""Who has a run: a process named so that no reused process number, no clock and no reboot can mislead.

A lock that is held proves little (a forked worker holds it on after its parent died) and a process number less; number,
start ticks and boot id together name one process for ever. On another machine, or in another container, nothing can be
said of a process: the answer is then `None`, and only signs of life count.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any


_PROC = Path("/proc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """One process."""

    pid: int
    ticks: int
    """When it started, in clock ticks since boot; 0 where the system does not tell."""
    boot: str
    """Of the running system; empty where the system does not tell."""
    machine: str
    """The machine's own id and its name."""
    namespace: str
    """In which process numbers count: containers have their own."""

    def as_dict(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    @property
    def machine_name(self) -> str:
        """The machine's name as people know it."""
        return self.machine.partition(" ")[2] or self.machine


def my_identity() -> Identity:
    """This process."""
    return Identity(
        pid=os.getpid(), ticks=_ticks(os.getpid()) or 0, boot=_boot(), machine=_machine(), namespace=_namespace()
    )


def read_identity(document: Mapping[str, Any]) -> Identity | None:
    """The identity back from `as_dict`; None when it is none."""
    values = {name: document.get(name) for name in Identity.__slots__}
    whole = all(isinstance(values[name], int) for name in ("pid", "ticks"))
    texts = all(isinstance(values[name], str) for name in ("boot", "machine", "namespace"))
    return Identity(**values) if whole and texts else None  # type: ignore[arg-type]


def is_alive(identity: Identity) -> bool | None:
    """Whether that very process lives; None when it cannot be told from here (another machine or container)."""
    if identity.boot != _boot():
        return False if identity.machine == _machine() else None
    if identity.namespace != _namespace():
        return None
    if not identity.ticks:
        return _answers(identity.pid)
    return _ticks(identity.pid) == identity.ticks


def is_halted(identity: Identity) -> bool:
    """Whether the process was stopped by a signal (SIGSTOP, ctrl-z) and waits to be continued."""
    return is_alive(identity) is True and _stat(identity.pid)[:1] in (["T"], ["t"])


def kill(identity: Identity, signal_number: int) -> bool:
    """Send a signal to that very process, without the race of a reused number. False when it is gone or elsewhere."""
    if is_alive(identity) is not True:
        return False
    import signal

    try:
        descriptor = os.pidfd_open(identity.pid)
    except OSError:
        return False
    try:
        if is_alive(identity) is not True:
            return False
        signal.pidfd_send_signal(descriptor, signal_number)
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
    return True


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name, which may itself hold anything; empty when there is no such process."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def _ticks(pid: int) -> int | None:
    """Start ticks of a living process; None for one that is gone or is only waiting to be buried."""
    fields = _stat(pid)
    if len(fields) < 20 or fields[0] in {"Z", "X", "x"}:
        return None
    return int(fields[19])


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@cache
def _boot() -> str:
    return _line(_PROC / "sys/kernel/random/boot_id")


@cache
def _machine() -> str:
    return f"{_line(Path('/etc/machine-id'))} {platform.node()}"


@cache
def _namespace() -> str:
    try:
        return str((_PROC / "self/ns/pid").readlink())
    except OSError:
        return ""


def _line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
