"""Disks that refuse: a project on a read-only mount can be looked at and used, a full disk is called by its name."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


UNSHARE = ["unshare", "-Umr", "sh", "-c"]


def on_a_mount(folder: Path, mount: str, *commands: list[str]) -> list[subprocess.CompletedProcess[str]]:
    """Run epochal commands one after the other where `mount` (shell, $1 is the folder) was done for them alone."""
    _demand_mounts(mount, folder)
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder.parent / "own-cache")}
    script = mount + "".join(
        f'; "{sys.executable}" -m epochal {" ".join(command)} >"$2/{n}.out" 2>"$2/{n}.err" </dev/null; echo $? >"$2/{n}"'
        for n, command in enumerate(commands)
    )
    said = folder.parent / "said"
    said.mkdir(exist_ok=True)
    subprocess.run([*UNSHARE, script, "sh", str(folder), str(said)], check=True, env=environment, cwd=folder)
    return [
        subprocess.CompletedProcess(
            command,
            int((said / str(n)).read_text()),
            (said / f"{n}.out").read_text(),
            (said / f"{n}.err").read_text(),
        )
        for n, command in enumerate(commands)
    ]


def _demand_mounts(mount: str, folder: Path) -> None:
    if shutil.which("unshare") is None:
        pytest.skip("NOT TESTED HERE: mounting needs unshare")
    probe = subprocess.run([*UNSHARE, mount, "sh", str(folder)], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("NOT TESTED HERE: this machine lets nobody mount a file system of their own")


READ_ONLY = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1"'
TINY = 'mount -t tmpfs -o size=100k tmpfs "$1"'


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "p"
    subprocess.run([sys.executable, "-m", "epochal", "demo", "penguins", "--into", str(folder)], check=True)
    return folder


def test_a_read_only_project_can_be_looked_at_and_says_what_it_cannot_keep(project):
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}

    ledger, dry, changed, opened, doctor = on_a_mount(
        project,
        READ_ONLY,
        ["data", str(project), "--ledger"],
        ["clean", str(project), "lower", "--columns", "Island", "--dry-run"],
        ["clean", str(project), "lower", "--columns", "Island"],
        ["train", str(project), "--no-follow"],
        ["doctor", str(project)],
    )

    assert (ledger.returncode, ledger.stderr) == (0, "")
    assert "342 rows kept" in ledger.stdout
    assert (dry.returncode, dry.stdout.splitlines()[0]) == (0, "342 cells would be changed")
    for refused in (changed, opened):
        assert refused.returncode == 2
        assert "[not-saved]" in refused.stderr
        assert "Read-only file system" in refused.stderr
    assert "every file is as it should be" in doctor.stdout
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before


def test_a_full_disk_is_named_and_costs_no_decision(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()

    demo, clean, second = on_a_mount(
        folder,
        TINY,
        ["demo", "penguins", "--into", str(folder / "p")],
        ["clean", str(folder / "p"), "lower", "--columns", "Island"],
        ["demo", "titanic", "--into", str(folder / "q")],
    )

    assert demo.returncode == 0
    assert clean.returncode == 2
    assert "No space left on device" in clean.stderr
    assert "[disk]" in clean.stderr
    assert second.returncode == 2
    assert second.stderr.splitlines()[0] == "error: not saved: No space left on device  [not-saved]"


VERIFIES = """
import sys
from pathlib import Path
from epochal.fsio import NotSaved
from epochal.project.paths import ProjectPaths
from epochal.project.verified import verifying_in
paths = ProjectPaths(Path(sys.argv[1]))
paths.locks.mkdir(parents=True)
try:
    with verifying_in(paths):
        print("begun")
except NotSaved as error:
    print(error.what)
print(sorted(p.name for p in paths.cache.iterdir()))
"""


@pytest.mark.parametrize(("files", "room_for"), [(4, "nothing"), (5, "the folder"), (6, "its lock too")])
def test_a_verification_that_finds_no_room_says_so_and_leaves_nothing(tmp_path, files, room_for):
    mount = f'mount -t tmpfs -o nr_inodes={files} tmpfs "$1"'
    _demand_mounts(mount, tmp_path)
    script = f'{mount} && "{sys.executable}" -c "$2" "$1"'

    done = subprocess.run([*UNSHARE, script, "sh", str(tmp_path), VERIFIES], capture_output=True, text=True, check=True)

    said = "begun" if room_for == "its lock too" else "not saved: No space left on device"
    assert done.stdout.splitlines() == [said, "['locks']"]
