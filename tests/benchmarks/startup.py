"""How long a person waits for the first data row, and what the workbench keeps in memory.

Opens a CSV of 20 MB over a pty at 120 × 40, five warm launches after one that is not counted, and times the moment
from the launch to the first painted cell of the first row; then the same for the project made of it, which has a run,
with the memory after every pane was visited. Also: what `--help` imports, and how busy the machine was. Run by hand:

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
        own = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "XDG_STATE_HOME": str(folder / "state")}
        os.execve(command[0], command, {**os.environ, **own})
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    return pid, master


def first_row(command: list[str], folder: Path, keys: str = "") -> tuple[float, float]:
    """Seconds from launch to the first painted row, and MiB resident two seconds later and a second after each key."""
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
        drain(master, 2)
        for key in keys:
            os.write(master, key.encode())
            drain(master, 1)
        return seconds, resident_mib(pid)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.close(master)
        os.waitpid(pid, 0)


def drain(master: int, seconds: float) -> None:
    """Read what is written for a while."""
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        if select.select([master], [], [], 0.05)[0]:
            try:
                os.read(master, 1 << 16)
            except OSError as error:
                raise RuntimeError("the workbench ended while it was being measured") from error


def make_project(command: list[str], folder: Path) -> None:
    """A project of the file, with one finished run."""
    new = ["new", "p", "--data", "goods.csv", "--target", "sold", "--set", "model.family=linear"]
    for words in (new, ["train", "p", "--set", "train.epochs=2"]):
        subprocess.run([*command, *words], cwd=folder, check=True, capture_output=True)


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
    command = [str(script)] if script.exists() else [sys.executable, "-m", "epochal"]
    folder = Path(tempfile.mkdtemp(prefix="startup-"))
    try:
        size = write_csv(folder / "goods.csv")
        first_row([*command, "goods.csv"], folder)
        busy = os.getloadavg()[0]
        measured = [first_row([*command, "goods.csv"], folder) for _ in range(arguments.launches)]
        make_project(command, folder)
        first_row([*command, "p"], folder)
        reopened = [first_row([*command, "p"], folder, "14563") for _ in range(arguments.launches)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    result = {
        "bytes": size,
        "launches": len(measured),
        "first_row_seconds": round(statistics.median(m[0] for m in measured), 3),
        "first_row_seconds_all": [round(m[0], 3) for m in measured],
        "resident_mib": round(max(m[1] for m in measured), 1),
        "project_first_row_seconds": round(statistics.median(m[0] for m in reopened), 3),
        "project_resident_mib_after_every_pane": round(max(m[1] for m in reopened), 1),
        "load": round(busy, 2),
        "help_imports": help_imports(),
    }
    print(json.dumps(result) if arguments.json else "\n".join(f"{k}: {v}" for k, v in result.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
