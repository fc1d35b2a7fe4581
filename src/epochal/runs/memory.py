"""Whether the kernel ended processes for want of memory: counted for the group of processes that one belongs to."""

from __future__ import annotations

from pathlib import Path


_GROUPS = Path("/proc/self/cgroup")
_PLACES = (("", "unified", "memory.events"), ("", "", "memory.events"), ("memory", "memory", "memory.oom_control"))
"""Of each version of control groups: the controller's name, where it is mounted, and the file that counts."""


def counter_of_mine() -> str:
    """The file that counts for this process; empty where the system does not tell."""
    try:
        lines = _GROUPS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    groups = {controllers: path for _, controllers, path in (line.split(":", 2) for line in lines)}
    for controller, mount, name in _PLACES:
        root = Path("/sys/fs/cgroup") / mount
        # Inside a container the path may be one that only exists outside: then the root is its own group.
        for folder in (root / groups.get(controller, "/").lstrip("/"), root):
            if kills(str(folder / name)) is not None:
                return str(folder / name)
    return ""


def kills(counter: str) -> int | None:
    """How many processes of the group the kernel ended for want of memory; None where that is not told."""
    try:
        lines = Path(counter).read_text(encoding="utf-8").splitlines() if counter else []
    except OSError:
        return None
    for line in lines:
        word, _, number = line.partition(" ")
        if word == "oom_kill" and number.isdigit():
            return int(number)
    return None
