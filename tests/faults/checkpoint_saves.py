"""Save checkpoints in forked processes, the nth of which meets a given system call's fault at its nth call.

strace counts the calls of each process. A fault set for call WHEN therefore meets the nth process at its own nth call
once that process has made WHEN - n calls to no effect before, and one import of torch serves the whole sweep.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

from epochal import fsio
from epochal.core.errors import EpochalError
from epochal.train.checkpoint import save_checkpoint
from epochal.train.state import TrainState


LAST = 3
WHEN = 40
"""More than there are calls of any name in the saves."""


class Counts:
    """A learner whose whole state is its step."""

    steps_per_epoch, total_steps, step = 10, 100, 0

    def save(self, folder: Path) -> None:
        fsio.write_text(folder / "model.txt", f"weights of {self.step}")
        fsio.write_text(folder / "learner.json", f"[{self.step}]")


def saves(folder: Path) -> int:
    """Save a checkpoint after each of three steps; say each that is acknowledged, and end with 7 at one refused."""
    state = TrainState(learner=Counts(), plan=SimpleNamespace(), metric="accuracy")
    for step in range(1, LAST + 1):
        state.learner.step, state.counters.last_train_loss = step, 0.5
        try:
            save_checkpoint(folder, state, {"run": "r"})
            os.write(1, f"{step}\n".encode())
        except EpochalError as error:
            os.write(1, f"refused {error.error_code}\n".encode())
            return 7
    return 0


def calls_to_no_effect(name: str, times: int) -> None:
    """Make system calls that change nothing and yet count."""
    here, null, root = Path("/not-here"), os.open(os.devnull, os.O_WRONLY), os.open("/", os.O_RDONLY)
    calls: dict[str, Callable[[], object]] = {
        "write": lambda: os.write(null, b"-"),
        "fsync": lambda: os.fsync(null),
        "rename": lambda: here.rename("/not-there"),
        "unlink": here.unlink,
        "unlinkat": lambda: os.unlink("not-here", dir_fd=root),
        "rmdir": here.rmdir,
    }
    for _ in range(times):
        with suppress(OSError):
            calls[name]()


def child_that_saves(folder: Path, name: str | None = None, before: int = 0) -> tuple[int, int]:
    """Return the process's id and exit code; its words are in the file beside the folder."""
    pid = os.fork()
    if pid:
        return pid, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = 1
    try:
        os.dup2(os.open(f"{folder}.said", os.O_CREAT | os.O_WRONLY), 1)
        if name is not None:
            calls_to_no_effect(name, before)
        code = saves(folder)
    finally:
        os._exit(code)


def main(base: Path, *names: str) -> None:
    """Sweep over the calls of these names in new folders; without a name, save into all folders that are there."""
    ends = []
    for name in names:
        for n in range(1, WHEN + 1):
            folder = base / f"{name}-{n}"
            folder.mkdir()
            ends.append((name, n, *child_that_saves(folder, name, WHEN - n)))
    if not names:
        for folder in [path for path in base.iterdir() if path.is_dir()]:
            child_that_saves(folder)
    print("\n".join(" ".join(map(str, end)) for end in ends))  # at once: each write of this process counts too


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
