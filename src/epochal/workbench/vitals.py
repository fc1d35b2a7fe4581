"""How busy this machine is: processor, memory, GPU; in a few words for the top bar."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from pathlib import Path


GPU_SECONDS = 5.0
_STAT, _MEMORY = Path("/proc/stat"), Path("/proc/meminfo")


class Vitals:
    """Reads what the system says of itself; what it does not say is left out."""

    def __init__(self) -> None:
        self._busy = self._total = 0
        self._smi = shutil.which("nvidia-smi")
        self._gpu, self._gpu_at = "", -GPU_SECONDS

    def read(self) -> str:
        """For example "gpu 97 %  cpu 43 %  mem 21 %"; empty where nothing can be read. Takes milliseconds, with a GPU some more."""
        return "  ".join(part for part in (self._read_gpu(), self._read_cpu(), _read_memory()) if part)

    def _read_cpu(self) -> str:
        try:
            figures = [int(x) for x in _STAT.read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]]
        except (OSError, ValueError):
            return f"load {os.getloadavg()[0]:.1f}"
        total, idle = sum(figures), figures[3] + figures[4]
        busy, before, self._busy = total - idle, self._busy, total - idle
        span, self._total = total - self._total, total
        return f"cpu {(busy - before) / span:3.0%}".replace("%", " %") if before and span > 0 else ""

    def _read_gpu(self) -> str:
        now = time.monotonic()
        if self._smi is None or now - self._gpu_at < GPU_SECONDS:
            return self._gpu
        self._gpu_at = now
        asked = ["--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
        with contextlib.suppress(OSError, subprocess.SubprocessError, ValueError):
            answer = subprocess.run([self._smi, *asked], capture_output=True, text=True, timeout=2, check=True)
            self._gpu = f"gpu {max(int(line) for line in answer.stdout.split())} %"
        return self._gpu


def _read_memory() -> str:
    try:
        lines = dict(line.split(":", 1) for line in _MEMORY.read_text(encoding="ascii").splitlines() if ":" in line)
        total, free = (int(lines[key].split()[0]) for key in ("MemTotal", "MemAvailable"))
    except (OSError, ValueError, KeyError):
        return ""
    return f"mem {1 - free / total:.0%}".replace("%", " %") if total else ""
