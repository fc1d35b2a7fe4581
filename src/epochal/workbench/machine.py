"""What this machine offers: terminal, Python, packages, GPU, disk and memory, each with what to do when it lacks."""

from __future__ import annotations

import locale
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from epochal.show import safe


_PACKAGES = ("textual", "torch", "duckdb", "datasets", "plotext", "lightgbm", "scikit-learn", "tabm", "pyarrow")


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """One thing looked at."""

    what: str
    found: str
    ok: bool = True
    fix: str = ""


def look_at_machine(folder: Path) -> list[Looked]:
    """Everything, in the order in which it usually fails. Changes nothing and imports nothing heavy."""
    return [*_terminal(), *_python(), *_packages(), _gpu(), _ranks(), _disk(folder), _memory()]


def _terminal() -> Iterator[Looked]:
    term = os.environ.get("TERM", "")
    usable = term not in {"", "dumb"}
    yield Looked(
        what="terminal",
        found=safe(term) or "none",
        ok=usable,
        fix="" if usable else "the screens need one: ssh -t, or tmux; the verbs work without",
    )
    size = shutil.get_terminal_size()
    roomy = size.columns >= 80 and size.lines >= 24
    yield Looked(
        what="size",
        found=f"{size.columns} × {size.lines}",
        ok=roomy,
        fix="" if roomy else "80 × 24 shows everything; below 60 × 16 only a run's progress",
    )
    encoding = locale.getpreferredencoding(do_setlocale=False)
    utf8 = encoding.lower().replace("-", "") == "utf8"
    yield Looked(what="encoding", found=encoding, ok=utf8, fix="" if utf8 else "export LANG=C.UTF-8 for all signs")
    rich = os.environ.get("COLORTERM", "") in {"truecolor", "24bit"}
    yield Looked(
        what="colours",
        found="16 million" if rich else "as the terminal says",
        fix="" if rich else "export COLORTERM=truecolor where the terminal can, or take the theme ansi",
    )


def _python() -> Iterator[Looked]:
    version = platform.python_version()
    yield Looked(what="python", found=f"{version} ({platform.machine()})")


def _packages() -> Iterator[Looked]:
    for name in ("epochal", *_PACKAGES):
        try:
            yield Looked(what=name, found=metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Looked(what=name, found="missing", ok=False, fix=f"pip install -c constraints.txt {name}")


def _gpu() -> Looked:
    program = shutil.which("nvidia-smi")
    if program is None:
        return Looked(what="gpu", found="none seen (no nvidia-smi); training uses the CPU")
    command = [program, "--query-gpu=name,memory.free,utilization.gpu", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        return Looked(what="gpu", found="nvidia-smi does not answer", ok=False, fix=safe(str(error), 200))
    return Looked(what="gpu", found=safe("; ".join(line.strip() for line in answer.splitlines()), 300))


def _ranks() -> Looked:
    """What several devices can train together with: gloo comes with torch, NCCL with its builds for GPUs of NVIDIA."""
    nccl = sorted(
        f"NCCL {found.version}"
        for found in metadata.distributions()
        if (found.metadata["Name"] or "").startswith("nvidia-nccl")
    )
    return Looked(what="ranks", found=f"{nccl[0]} for GPUs, gloo for the CPU" if nccl else "gloo, for ranks on the CPU")


def _disk(folder: Path) -> Looked:
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    enough = free > 2**30
    return Looked(
        what="disk",
        found=f"{free / 2**30:.1f} GiB free",
        ok=enough,
        fix="" if enough else "checkpoints and prepared data need room: free some, or delete .epochal/ of old projects",
    )


def free_memory() -> int | None:
    """Bytes of memory that can be taken without swapping; None where the system does not say."""
    return _memory_values().get("MemAvailable")


def _memory_values() -> dict[str, int]:
    """What /proc/meminfo says, in bytes; nothing where there is none."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    return {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if len(line.split()) > 1}


def _memory() -> Looked:
    values = _memory_values()
    if not values:
        return Looked(what="memory", found="unknown")
    free = values.get("MemAvailable", 0)
    enough = free > 2**30
    return Looked(
        what="memory",
        found=f"{free / 2**30:.1f} GiB free of {values.get('MemTotal', 0) / 2**30:.1f}",
        ok=enough,
        fix="" if enough else "torch and the data need about 1 GiB: end something else first",
    )
