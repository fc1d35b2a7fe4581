"""Killed or refused by the disk at any moment of a save: nothing acknowledged is lost, nothing is half written."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from epochal import fsio
from epochal.fsio.files import new_file
from epochal.fsio.streams import replace_volatile
from epochal.project.file import ProjectFile


HAND_WRITTEN = 'name = "x"\n\n# first\n[[clean]]\nop = "trim"\ncolumns = ["a"]\n\n# held out\n[split]\ntest = 0.2\n'

SESSION = """
import os
import sys
from dataclasses import replace
from pathlib import Path
from epochal.core.errors import EpochalError
from epochal.core.steps import Step
from epochal.project.file import ProjectFile

def say(what):
    p = file.project
    os.write(1, (" ".join([what, *(s.op for s in p.clean), str(p.train.epochs)]) + "\\n").encode())

file = ProjectFile.open(Path(sys.argv[1]))
try:
    file.change(replace(file.project, clean=(*file.project.clean, Step(op="lower", params={"columns": ("a",)}))), "lower")
    say("changed")
    file.change(replace(file.project, train=replace(file.project.train, epochs=3)), "epochs")
    say("changed")
    file.undo()
    say("undone")
except EpochalError as error:
    os.write(1, f"refused {error.error_code}\\n".encode())
    sys.exit(7)
"""
CALLS = ("write", "fsync", "rename", "unlink")


def _strace_works() -> bool:
    if shutil.which("strace") is None:
        return False
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=write", "true"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


needs_strace = pytest.mark.skipif(
    not _strace_works(), reason="NOT TESTED HERE: the crash sweep of the save path needs strace (apt install strace)"
)


def session(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = ["strace", "-f", "-qq", *options, sys.executable, "-B", "-c", SESSION, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def new_project(folder: Path) -> Path:
    folder.mkdir()
    (folder / "project.toml").write_text(HAND_WRITTEN)
    return folder


STATES = ("trim auto", "trim lower auto", "trim lower 3", "trim lower auto")
"""What the session goes through: as found, changed, changed, undone."""


def state(file: ProjectFile) -> str:
    return " ".join([*(s.op for s in file.project.clean), str(file.project.train.epochs)])


def assert_whole(folder: Path, said: str) -> None:
    """The project opens, is at or one step after what was acknowledged, and every state can be gone back to."""
    acknowledged = [line.split(" ", 1)[1] for line in said.splitlines() if not line.startswith("refused")]
    done = len(acknowledged)
    assert tuple(acknowledged) == STATES[1 : done + 1]
    file = ProjectFile.open(folder)
    assert state(file) in STATES[done : done + 2]
    assert "# first\n[[clean]]" in file.text
    assert "# held out\n[split]" in file.text
    while file.can_undo:
        assert file.undo() is not None
    assert file.text == HAND_WRITTEN
    file.change(replace(file.project, name="y"), "a save that tidies up")
    assert not list(folder.glob(".*.tmp"))


@needs_strace
@pytest.mark.parametrize("call", CALLS)
def test_killed_before_any_system_call_of_a_save_loses_nothing_acknowledged(tmp_path, call):
    killed = 0
    for n in range(1, 60):
        folder = new_project(tmp_path / f"{call}{n}")
        result = session(folder, "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={n}")
        assert_whole(folder, result.stdout)
        if result.returncode == 0:
            break
        killed += 1
    else:
        pytest.fail("the sweep did not reach the end of the session")
    assert killed >= (0 if call == "unlink" else 3)


@needs_strace
@pytest.mark.parametrize(("call", "error"), [("write", "ENOSPC"), ("fsync", "EIO"), ("rename", "EACCES")])
def test_a_refusal_of_the_disk_is_said_and_never_called_saved(tmp_path, call, error):
    refused = 0
    for n in range(1, 60):
        folder = new_project(tmp_path / f"{call}{n}")
        result = session(
            folder, "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={n}"
        )
        if result.returncode == 0:
            break
        if result.returncode == 7:  # otherwise it was the session's own word that could not be written
            refused += 1
            assert re.search(r"refused (history-)?not-saved\n\Z", result.stdout)
            assert not list(folder.glob(".*.tmp"))
        assert_whole(folder, result.stdout)
    else:
        pytest.fail("the sweep did not reach the end of the session")
    assert refused >= 3


@needs_strace
def test_every_file_is_synced_before_it_is_renamed_and_its_folder_after(tmp_path):
    folder = new_project(tmp_path / "p")
    log = tmp_path / "log"
    result = session(folder, "-y", "-o", str(log), "-e", "trace=rename,renameat,renameat2,fsync,fdatasync")
    assert result.returncode == 0
    calls = [line.split(maxsplit=1)[1] for line in log.read_text().splitlines()]
    renames = [(i, *re.findall(r'"([^"]+)"', c)) for i, c in enumerate(calls) if c.startswith("rename")]
    assert len(renames) == 3
    for i, source, _target in renames:
        assert any(f"<{source}>" in c for c in calls[:i])
        assert any(f"<{folder}>" in c for c in calls[i:])


class TestOneWrite:
    def test_leaves_the_old_file_when_the_disk_is_full(self, tmp_path):
        code = (
            "import resource, signal, sys\nfrom pathlib import Path\nfrom epochal import fsio\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
            "try:\n    fsio.write_bytes(Path(sys.argv[1]), b'x' * 5000)\nexcept fsio.NotSaved as e:\n    print(e.what)\n"
        )
        path = tmp_path / "file"
        path.write_text("old")
        said = subprocess.run(
            [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
        ).stdout
        assert "not saved" in said
        assert [p.name for p in tmp_path.iterdir()] == ["file"]
        assert path.read_text() == "old"

    def test_keeps_the_permissions_a_person_gave_the_file(self, tmp_path):
        path = tmp_path / "file"
        path.write_text("old")
        path.chmod(0o600)
        fsio.write_text(path, "new")
        assert (path.read_text(), path.stat().st_mode & 0o777) == ("new", 0o600)

    def test_takes_names_of_any_length(self, tmp_path):
        path = tmp_path / ("ü" * 120)
        fsio.write_text(path, "x")
        with fsio.new_folder(tmp_path / ("é" * 127)) as folder:
            fsio.write_text(folder / "a", "x")
        assert path.read_text() == "x"

    def test_replaces_a_link_and_never_writes_through_it(self, tmp_path):
        (tmp_path / "outside").write_text("mine")
        (tmp_path / "link").symlink_to(tmp_path / "outside")
        fsio.write_text(tmp_path / "link", "new")
        assert ((tmp_path / "outside").read_text(), (tmp_path / "link").is_symlink()) == ("mine", False)

    def test_where_there_is_no_folder_is_refused(self, tmp_path):
        with pytest.raises(fsio.NotSaved):
            fsio.write_text(tmp_path / "no" / "file", "x")


@pytest.mark.parametrize("name", ["a" * 250, "名" * 80, "é" * 120], ids=["letters", "CJK", "accents"])
def test_every_way_to_write_takes_a_name_as_long_as_the_file_system_does(tmp_path, name):
    path = tmp_path / name
    fsio.write_text(path, "1")
    with new_file(path) as making:
        making.write_text("2")
    replace_volatile(path, b"3")
    fsio.place_file(path, tmp_path / "copy")
    fsio.place_file(tmp_path / "copy", path)
    path.unlink()
    with fsio.new_folder(path):
        pass
    fsio.remove_folder(path)
    assert [p.name for p in tmp_path.iterdir()] == ["copy"]


class TestAnAppendedLine:
    def test_stands_alone_after_a_torn_one(self, tmp_path):
        path = tmp_path / "log"
        path.write_text("whole\nto")
        fsio.append_line(path, "next")
        assert path.read_text() == "whole\nto\nnext\n"

    def test_never_goes_through_a_link(self, tmp_path):
        (tmp_path / "link").symlink_to(tmp_path / "outside")
        with pytest.raises(fsio.NotSaved):
            fsio.append_line(tmp_path / "link", "x")


class TestANewFolder:
    def test_is_there_whole_or_not_at_all(self, tmp_path):
        target = tmp_path / "new"

        def fill_and_fail() -> None:
            with fsio.new_folder(target) as folder:
                fsio.write_text(folder / "a", "x")
                assert not target.exists()
                raise LookupError

        with pytest.raises(LookupError):
            fill_and_fail()
        assert list(tmp_path.iterdir()) == []
        with fsio.new_folder(target) as folder:
            fsio.write_text(folder / "a", "x")
        assert [p.name for p in target.iterdir()] == ["a"]

    def test_never_takes_the_place_of_one_that_holds_something(self, tmp_path):
        (tmp_path / "new").mkdir()
        (tmp_path / "new" / "old").write_text("")
        with pytest.raises(fsio.NotSaved), fsio.new_folder(tmp_path / "new") as folder:
            fsio.write_text(folder / "a", "x")
        assert [p.name for p in tmp_path.rglob("*")] == ["new", "old"]

    def test_is_taken_away_at_once(self, tmp_path):
        (tmp_path / "old" / "deep").mkdir(parents=True)
        fsio.remove_folder(tmp_path / "old")
        assert list(tmp_path.iterdir()) == []


REPLACES = """
import sys
from pathlib import Path
from epochal import fsio
with fsio.new_folder(Path(sys.argv[1]), replace=True) as folder:
    fsio.write_text(folder / "new", "x")
"""


class TestAFolderThatTakesThePlaceOfAnother:
    @pytest.fixture
    def target(self, tmp_path):
        (tmp_path / "bundle").mkdir()
        (tmp_path / "bundle" / "old").write_text("x")
        return tmp_path / "bundle"

    def test_leaves_nothing_of_the_other(self, target):
        with fsio.new_folder(target, replace=True) as folder:
            fsio.write_text(folder / "new", "x")
            assert (target / "old").exists()
        assert sorted(p.name for p in target.parent.rglob("*")) == ["bundle", "new"]

    def test_is_there_where_there_was_no_other(self, tmp_path):
        with fsio.new_folder(tmp_path / "bundle", replace=True) as folder:
            fsio.write_text(folder / "new", "x")
        assert sorted(p.name for p in tmp_path.rglob("*")) == ["bundle", "new"]

    def test_lets_the_other_stand_when_it_cannot_be_put_there(self, target):
        with pytest.raises(fsio.NotSaved), fsio.new_folder(target, replace=True) as folder:
            shutil.rmtree(folder)
        assert sorted(p.name for p in target.parent.rglob("*")) == ["bundle", "old"]

    @needs_strace
    def test_lets_the_other_stand_whichever_rename_the_disk_refuses(self, target):
        for n in (2, 3):  # the first puts the file into the new folder
            done = replaces(target, "rename", f"error=EACCES:when={n}")
            assert "not saved: Permission denied" in done.stderr
            assert sorted(p.name for p in target.parent.rglob("*")) == ["bundle", "old"]

    @needs_strace
    def test_loses_neither_to_a_kill_before_any_system_call_and_is_tidied_up_after(self, tmp_path):
        for call in ("rename", "fsync", "unlinkat", "rmdir"):
            for n in range(1, 20):
                target = tmp_path / f"{call}-{n}" / "bundle"
                target.mkdir(parents=True)
                (target / "old").write_text("x")
                done = replaces(target, call, f"signal=KILL:when={n}")
                fsio.clear_folders(target.parent, target.name)
                assert [p.name for p in target.parent.iterdir()] == ["bundle"]
                assert [p.name for p in target.iterdir()] in (["old"], ["new"])
                if done.returncode == 0:
                    break
            assert n > (1 if call == "rename" else 0)
            assert done.returncode == 0


def replaces(target: Path, call: str, how: str) -> subprocess.CompletedProcess[str]:
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:{how}"]
    command += [sys.executable, "-B", "-c", REPLACES, str(target)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


class TestALock:
    def test_is_held_by_one_and_freed_with_its_owner(self, tmp_path):
        code = "import sys\nfrom pathlib import Path\nfrom epochal import fsio\nwith fsio.locked(Path(sys.argv[1])):\n    print('held', flush=True)\n    sys.stdin.read()\n"
        path = tmp_path / "lock"
        with subprocess.Popen(
            [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            assert fsio.try_lock(path) is None
            with pytest.raises(fsio.EpochalError) as busy, fsio.locked(path, patience_seconds=0.05):
                pass
            assert busy.value.error_code == "busy"
            holder.kill()
        with fsio.locked(path, patience_seconds=5):
            assert fsio.try_lock(path) is None

    def test_never_goes_through_a_link(self, tmp_path):
        (tmp_path / "link").symlink_to(tmp_path / "outside")
        with pytest.raises(fsio.NotSaved), fsio.locked(tmp_path / "link"):
            pass

    def test_that_cannot_be_made_is_refused_by_name(self, tmp_path):
        with pytest.raises(fsio.NotSaved):
            fsio.try_lock(tmp_path / "no" / "lock")


class TestAPlace:
    def test_is_lost_once_its_folder_is_elsewhere_though_another_took_its_name(self, tmp_path):
        folder = tmp_path / "run"
        folder.mkdir()
        place = fsio.Place(folder)
        place.demand()
        folder.rename(tmp_path / "moved")
        assert place.lost
        folder.mkdir()
        assert place.lost
        with pytest.raises(fsio.NotSaved, match="moved or deleted"):
            place.demand()
        folder.rmdir()
        (tmp_path / "moved").rename(folder)
        assert not place.lost

    @pytest.mark.parametrize("error", [errno.ESTALE, errno.EIO, errno.EACCES])
    def test_that_cannot_be_asked_is_not_lost(self, tmp_path, monkeypatch, error):
        """As over a network for a moment: a run is not to end for that."""
        place = fsio.Place(tmp_path)

        def refuses(*_args, **_named):
            raise OSError(error, os.strerror(error))

        monkeypatch.setattr(Path, "stat", refuses)
        assert not place.lost


def test_leftovers_of_killed_writers_are_cleared_and_nothing_else(tmp_path):
    for name in (".project.toml.0123456789ab.tmp", ".project.toml.swp", ".other.0123456789ab.tmp", "project.toml"):
        (tmp_path / name).write_text("")
    assert fsio.clear_leftovers(tmp_path / "project.toml") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        ".other.0123456789ab.tmp",
        ".project.toml.swp",
        "project.toml",
    ]


class TestFoldersOfKilledWriters:
    LEFT = (".bundle.0123456789ab.tmp", ".trash.bundle.0123456789ab.tmp", ".old.bundle.0123456789ab.tmp")

    def test_are_cleared_of_one_folder_and_nothing_else(self, tmp_path):
        for name in (*self.LEFT, "bundle", ".report.0123456789ab.tmp", ".bundle.d"):
            (tmp_path / name).mkdir()
        fsio.clear_folders(tmp_path, "bundle")
        assert sorted(p.name for p in tmp_path.iterdir()) == [".bundle.d", ".report.0123456789ab.tmp", "bundle"]

    @pytest.mark.parametrize("named", ["bundle", ""])
    def test_come_back_where_nothing_took_their_place(self, tmp_path, named):
        for name in self.LEFT:
            (tmp_path / name).mkdir()
            (tmp_path / name / name.split(".")[1]).write_text("")
        fsio.clear_folders(tmp_path, named)
        assert sorted(p.name for p in tmp_path.rglob("*")) == ["bundle", "old"]
