"""Killed or refused by the disk at any system call of a checkpoint: an older or the new one is whole, always."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from epochal.project.checkpoints import checkpoints_of, is_whole, newest_checkpoint, read_checkpoint


SAVES = """
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from epochal import fsio
from epochal.core.errors import EpochalError
from epochal.train.checkpoint import save_checkpoint
from epochal.train.state import TrainState

class Counts:
    "A learner whose whole state is its step."
    steps_per_epoch, total_steps, step = 10, 100, 0
    def save(self, folder):
        fsio.write_text(folder / "model.txt", f"weights of {self.step}")
        fsio.write_text(folder / "learner.json", f"[{self.step}]")

state = TrainState(learner=Counts(), plan=SimpleNamespace(), metric="accuracy")
for step in (1, 2, 3):
    state.learner.step, state.counters.last_train_loss = step, 0.5
    try:
        save_checkpoint(Path(sys.argv[1]), state, {"run": "r"})
        os.write(1, f"{step}\\n".encode())
    except EpochalError as error:
        os.write(1, f"refused {error.error_code}\\n".encode())
        sys.exit(7)
"""
LAST = 3
CALLS = ("write", "fsync", "rename", "unlink", "unlinkat", "rmdir")


def _strace_works() -> bool:
    if shutil.which("strace") is None:
        return False
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=write", "true"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(
    not _strace_works(), reason="NOT TESTED HERE: the sweep over a checkpoint needs strace (apt install strace)"
)


def saves(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    log = folder.with_suffix(".log")
    command = ["strace", "-f", "-qq", "-o", str(log), *options, sys.executable, "-B", "-c", SAVES, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def assert_nothing_acknowledged_is_lost(folder: Path, said: str) -> None:
    """The newest whole checkpoint is the one acknowledged last or the one after it, and holds what it should."""
    acknowledged = [int(line) for line in said.split() if line.isdigit()]
    newest = newest_checkpoint(folder)
    found = 0 if newest is None else read_checkpoint(newest).step
    assert found in {len(acknowledged), len(acknowledged) + 1}
    if newest is not None:
        assert (newest / "model.txt").read_text() == f"weights of {found}"
    whole = [c.step for c in checkpoints_of(folder) if is_whole(c.folder)]
    assert len(whole) >= min(2, len(acknowledged))


def goes_on_cleanly(folder: Path) -> None:
    """The next writer finds its way and leaves nothing behind."""
    assert subprocess.run([sys.executable, "-B", "-c", SAVES, str(folder)], check=False).returncode == 0
    left = {p.name for p in (folder / "checkpoints").iterdir()}
    assert left == {"step-00000002", "step-00000003"}


@pytest.mark.parametrize("call", CALLS)
def test_killed_before_any_system_call_of_a_checkpoint_an_older_one_is_whole(tmp_path, call):
    killed = 0
    for n in range(1, 200):
        folder = tmp_path / f"{n}"
        result = saves(folder, "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={n}")
        assert_nothing_acknowledged_is_lost(folder, result.stdout)
        if n % 5 == 1:
            goes_on_cleanly(folder)
        if result.returncode == 0:
            break
        killed += 1
    else:
        pytest.fail("the sweep did not reach the end of the saves")
    assert killed >= {"write": 4 * LAST, "fsync": 8 * LAST, "rename": 4 * LAST}.get(call, 0)


@pytest.mark.parametrize(("call", "error"), [("write", "ENOSPC"), ("fsync", "EIO"), ("rename", "EACCES")])
def test_a_checkpoint_that_the_disk_refuses_leaves_the_older_ones_and_no_trace(tmp_path, call, error):
    refused = 0
    for n in range(1, 200):
        folder = tmp_path / f"{n}"
        result = saves(folder, "-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={n}")
        assert_nothing_acknowledged_is_lost(folder, result.stdout)
        if "INJECTED" not in folder.with_suffix(".log").read_text():
            break  # there were fewer calls than that
        if result.returncode == 7:  # else it was the script's own word that could not be written
            refused += 1
            assert re.search(r"refused not-saved\n\Z", result.stdout)
            assert not list((folder / "checkpoints").glob(".*.tmp"))
    else:
        pytest.fail("the sweep did not reach the end of the saves")
    assert refused >= 3 * LAST


def test_every_file_of_a_checkpoint_is_synced_before_its_folder_is_renamed_and_the_parent_after(tmp_path):
    folder, log = tmp_path / "run", tmp_path / "log"
    folder.mkdir()
    command = ["strace", "-f", "-qq", "-y", "-o", str(log), "-e", "trace=rename,fsync,fdatasync"]
    subprocess.run([*command, sys.executable, "-B", "-c", SAVES, str(folder)], check=True, capture_output=True)
    calls = [line.split(maxsplit=1)[1] for line in log.read_text().splitlines() if "strace:" not in line]
    renames = [
        (n, *re.findall(r'"([^"]+)"', call))
        for n, call in enumerate(calls)
        if call.startswith("rename") and re.search(r'/step-\d+"\)', call)
    ]
    assert len(renames) == LAST
    for n, temporary, target in renames:
        names = json.loads((Path(target) / "manifest.json").read_text())["files"] if Path(target).exists() else ()
        for name in (*names, "manifest.json"):
            assert any(f"<{temporary}/{name}>" in call for call in calls[:n])
        assert any(f"<{folder}/checkpoints>" in call for call in calls[n:])
