"""How long a person waits for the first data row, and what the workbench keeps in memory.

Opens a CSV of 20 MB over a pty at 120 × 40, five warm launches after one that is not counted, and times the moment
from the launch to the first painted cell of the first row. Also: what `--help` imports. Run by hand:

    python tests/benchmarks/startup.py [--json] [--launches N]
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import pty
import select
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path


MARK = "firstrowmark"
ROWS = 400_000
DEADLINE_SECONDS = 30


def write_csv(path: Path) -> int:
    """A plain table of about 20 MB whose first cell can be recognised. Returns its bytes."""
    with path.open("w", encoding="utf-8") as file:
        file.write("name,size,weight,colour,price,sold,note\n")
        file.write(f"{MARK},1,1.5,red,9.99,true,first\n")
        colours = ("red", "green", "blue", "black")
        for i in range(1, ROWS):
            file.write(
                f"item {i},{i % 977},{i * 0.37 % 100:.2f},{colours[i % 4]},{i * 1.13 % 500:.2f},{i % 3 == 0},row {i:>9}\n"
            )
    return path.stat().st_size


def launch(command: list[str], folder: Path, *, columns: int = 120, lines: int = 40) -> tuple[int, int]:
    """Start a command on a pty of its own. Returns process id and the pty's master."""
    pid, master = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.environ.update(TERM="xterm-256color", COLORTERM="truecolor")
        os.execv(command[0], command)
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    return pid, master


def first_row(command: list[str], folder: Path) -> tuple[float, float]:
    """Seconds from launch to the first painted row, and MiB resident two seconds later."""
    started = time.perf_counter()
    pid, master = launch(command, folder)
    seen = b""
    seconds = float("nan")
    try:
        while time.perf_counter() - started < DEADLINE_SECONDS:
            if not select.select([master], [], [], 0.005)[0]:
                continue
            try:
                seen += os.read(master, 1 << 16)
            except OSError:
                break
            if MARK.encode() in seen:
                seconds = time.perf_counter() - started
                break
        settle = time.perf_counter() + 2
        while time.perf_counter() < settle:
            if select.select([master], [], [], 0.05)[0]:
                os.read(master, 1 << 16)
        return seconds, resident_mib(pid)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.close(master)
        os.waitpid(pid, 0)


def resident_mib(pid: int) -> float:
    """Resident memory of one process, in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return float("nan")


def help_imports() -> list[str]:
    """The heavy packages that `--help` imports: there must be none."""
    trace = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "epochal", "--help"], capture_output=True, text=True, check=True
    ).stderr
    names = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in trace.splitlines()}
    return sorted(names & {"textual", "rich", "torch", "duckdb", "pyarrow", "numpy", "sklearn", "datasets", "plotext"})


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--launches", type=int, default=5)
    arguments = parser.parse_args()
    script = Path(sys.executable).parent / "epochal"
    command = [str(script), "goods.csv"] if script.exists() else [sys.executable, "-m", "epochal", "goods.csv"]
    folder = Path(tempfile.mkdtemp(prefix="startup-"))
    try:
        size = write_csv(folder / "goods.csv")
        first_row(command, folder)
        measured = [first_row(command, folder) for _ in range(arguments.launches)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    result = {
        "bytes": size,
        "launches": len(measured),
        "first_row_seconds": round(statistics.median(m[0] for m in measured), 3),
        "first_row_seconds_all": [round(m[0], 3) for m in measured],
        "resident_mib": round(max(m[1] for m in measured), 1),
        "help_imports": help_imports(),
    }
    print(json.dumps(result) if arguments.json else "\n".join(f"{k}: {v}" for k, v in result.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
