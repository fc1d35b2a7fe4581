"""How much memory this process may still take: what its limits, its control group and the machine leave it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa


_PROC = Path("/proc")
_GROUPS = Path("/sys/fs/cgroup")
_NONE = 1 << 60
"""A limit this large is none: version 1 of control groups writes one of about so much."""
LATER_BYTES = 40 << 20
"""Of address space: the stacks of threads that are still to start, and what libraries load when they are first used."""
_M_ARENA_MAX, _M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -8, -3, -1
"""Of glibc's mallopt."""
_ARENAS = 1
_MAPPED_BYTES = 64 << 10
"""While rows are read larger pieces are given back to the system as soon as they are let go …"""
_STEP_BYTES = 2 << 20
"""… while steps are taken they are kept: every step asks for the same ones again."""


def memory_allowed(proc: Path = _PROC, groups: Path = _GROUPS) -> int:
    """Bytes this process can still take before a limit, or the machine's end, is reached."""
    found = [*_of_address_space(proc), *_of_group(proc, groups), *_of_machine(proc)]
    return max(0, min(found, default=_NONE))


def peak_bytes(proc: Path = _PROC) -> int:
    """The most memory this process ever held. `getrusage` would tell that of the process which started it, if that is more."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in (proc / "self" / "status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def address_space_is_limited() -> bool:
    """Whether RLIMIT_AS holds this process."""
    return resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY


def keep_heap_small() -> None:
    """Make what is let go go back to the system, and reserve little for threads: address space is counted too.

    For a process that is to stay within a bound while it reads: blocks that come and go, and a little of each that
    stays, would leave a heap full of holes.
    """
    pa.set_memory_pool(pa.system_memory_pool())
    _set_heap({_M_ARENA_MAX: _ARENAS, _M_MMAP_THRESHOLD: _MAPPED_BYTES})


def keep_heap_for_steps() -> None:
    """After `keep_heap_small`: keep what a step lets go for the next one, which asking the system would slow down."""
    _set_heap({_M_MMAP_THRESHOLD: _STEP_BYTES, _M_TRIM_THRESHOLD: 2 * _STEP_BYTES})


def _set_heap(options: Mapping[int, int]) -> None:
    """Tell glibc's heap; another one is left as it is."""
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):
            library = ctypes.CDLL(None)
            for option, value in options.items():
                library.mallopt(option, value)


def _of_address_space(proc: Path) -> Iterator[int]:
    """What RLIMIT_AS leaves: it counts what is mapped, held or not."""
    if not address_space_is_limited():
        return
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    taken = _lines(proc / "self" / "status").get("VmSize", 0)
    yield limit - taken - LATER_BYTES


def _of_group(proc: Path, groups: Path) -> Iterator[int]:
    """What each control group from this process's own up to the root leaves; files that are read again do not count."""
    try:
        lines = (proc / "self" / "cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, name = line.split(":", 2)
        first = controllers in {"", "memory"} or "memory" in controllers.split(",")
        if not first:
            continue
        root = groups / "memory" if controllers else groups
        limit, used, cached = (
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            if controllers
            else ("memory.max", "memory.current", "inactive_file")
        )
        own = root / name.lstrip("/")
        # Inside a container the path may be one that only exists outside: then the root is its own group.
        for folder in dict.fromkeys([*(p for p in (own, *own.parents) if p.is_relative_to(root)), root]):
            most, taken = _number(folder / limit), _number(folder / used)
            if most is not None and taken is not None and most < _NONE:
                yield most - taken + _lines(folder / "memory.stat", 1).get(cached, 0)


def _of_machine(proc: Path) -> Iterator[int]:
    available = _lines(proc / "meminfo").get("MemAvailable")
    if available is not None:
        yield available
        return
    with contextlib.suppress(ValueError, OSError):
        yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def _lines(path: Path, unit: int = 1024) -> dict[str, int]:
    """The numbers of a file of lines such as "Name: 123 kB", in bytes; empty where it cannot be read."""
    found: dict[str, int] = {}
    with contextlib.suppress(OSError):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            words = line.replace(":", " ").split()
            if len(words) > 1 and words[1].isdigit():
                found[words[0]] = int(words[1]) * unit
    return found


def _number(path: Path) -> int | None:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None
