"""Killed or refused by the disk at any system call of a checkpoint: an older or the new one is whole, always."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from checkpoint_saves import LAST, WHEN

from epochal.project.checkpoints import checkpoints_of, is_whole, newest_checkpoint, read_checkpoint


SAVES = Path(__file__).parent / "checkpoint_saves.py"
AT_LEAST = {"write": 4 * LAST, "fsync": 8 * LAST, "rename": 4 * LAST, "unlink": 0, "unlinkat": 0, "rmdir": 0}
"""Calls of each name in the saves, were nothing written but the files and their folder."""


def _strace_works() -> bool:
    if shutil.which("strace") is None:
        return False
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=write", "true"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(
    not _strace_works(), reason="NOT TESTED HERE: the sweep over a checkpoint needs strace (apt install strace)"
)


@dataclass(frozen=True)
class Saved:
    """What one process of the sweep did until its fault."""

    folder: Path
    code: int
    said: str
    met: bool
    """Whether it met its fault, which one with fewer calls than that does not."""


def swept(base: Path, faults: dict[str, str]) -> dict[str, list[Saved]]:
    """For each call's name, the processes that met its fault at their first, second, third... call."""
    log = base / "log"
    options = ["-e", f"trace={','.join(faults)}"]
    for call, fault in faults.items():
        options += ["-e", f"inject={call}:{fault}:when={WHEN}"]
    command = ["strace", "-f", "-qq", "-o", str(log), *options, sys.executable, "-B", str(SAVES), str(base), *faults]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    met = {int(line.split()[0]) for line in log.read_text().splitlines() if "INJECTED" in line or "killed by" in line}
    saved: dict[str, list[Saved]] = {call: [] for call in faults}
    for call, n, pid, code in (line.split() for line in result.stdout.splitlines()):
        folder = base / f"{call}-{n}"
        saved[call].append(Saved(folder, int(code), Path(f"{folder}.said").read_text(), int(pid) in met))
    return saved


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


def assert_all_go_on_cleanly(base: Path) -> None:
    """The next writer finds its way in every folder and leaves nothing behind."""
    subprocess.run([sys.executable, "-B", str(SAVES), str(base)], check=True, stdout=subprocess.DEVNULL, timeout=600)
    for folder in [path for path in base.iterdir() if path.is_dir()]:
        assert {p.name for p in (folder / "checkpoints").iterdir()} == {"step-00000002", "step-00000003"}


def test_killed_before_any_system_call_of_a_checkpoint_an_older_one_is_whole(tmp_path):
    for call, sweep in swept(tmp_path, dict.fromkeys(AT_LEAST, "signal=KILL")).items():
        for saved in sweep:
            assert_nothing_acknowledged_is_lost(saved.folder, saved.said)
            assert saved.code == (-9 if saved.met else 0)
        assert not sweep[-1].met, f"the sweep of {call} did not reach the end of the saves"
        assert sum(saved.met for saved in sweep) >= AT_LEAST[call]
    assert_all_go_on_cleanly(tmp_path)


def test_a_checkpoint_that_the_disk_refuses_leaves_the_older_ones_and_no_trace(tmp_path):
    refusals = {"write": "error=ENOSPC", "fsync": "error=EIO", "rename": "error=EACCES"}
    for call, sweep in swept(tmp_path, refusals).items():
        refused = [saved for saved in sweep if saved.code == 7]  # else it could not write its own word, or met nothing
        for saved in sweep:
            assert_nothing_acknowledged_is_lost(saved.folder, saved.said)
        for saved in refused:
            assert re.search(r"refused not-saved\n\Z", saved.said)
            assert not list((saved.folder / "checkpoints").glob(".*.tmp"))
        assert not sweep[-1].met, f"the sweep of {call} did not reach the end of the saves"
        assert len(refused) >= 3 * LAST
    assert_all_go_on_cleanly(tmp_path)


def test_every_file_of_a_checkpoint_is_synced_before_its_folder_is_renamed_and_the_parent_after(tmp_path):
    folder, log = tmp_path / "runs" / "run", tmp_path / "log"
    folder.mkdir(parents=True)
    command = ["strace", "-f", "-qq", "-y", "-o", str(log), "-e", "trace=rename,fsync,fdatasync"]
    subprocess.run([*command, sys.executable, "-B", str(SAVES), str(folder.parent)], check=True, capture_output=True)
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
