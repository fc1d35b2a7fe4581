"""A disk that fills while a run trains: it waits at its step, says so, keeps what it has, and goes on by itself."""

from __future__ import annotations

import resource
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import kill_runs
import pytest

from epochal.core.events import Noticed
from epochal.fsio import NotSaved, demand_room, lacks_room
from epochal.fsio.room import RETRY_SECONDS
from epochal.journal.tail import read_journal
from epochal.project.checkpoints import checkpoints_of, is_whole
from epochal.runs.control import send
from epochal.runs.follow import Follower
from epochal.runs.identity import kill
from epochal.runs.launch import make_run, start
from epochal.runs.signs import read_sign
from epochal.runs.state import run_info
from epochal.testing import FakeClock
from epochal.train.room import when_there_is_room
from shared import until


LIMIT_BYTES = 100_000
"""Less than the weights, more than the journal."""


def state(spec):
    return Follower(spec.folder).read_all()


def limit(spec, soft):
    """Let the run's host write files of so many bytes at most."""
    pid = read_sign(spec.folder).identity.pid
    hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard if soft is None else soft, hard))


def half_written(spec):
    return list((spec.folder / "checkpoints").glob(".*.tmp"))


@pytest.fixture
def spec(tmp_path):
    """A run that trains for a long time and whose checkpoints are larger than its journal."""
    kill_runs.write_rows(tmp_path)
    made = kill_runs.new_run(tmp_path, "mlp")
    project = replace(
        made.project,
        model=replace(made.project.model, options={"width": 256, "depth": 2}),
        train=replace(made.project.train, epochs=1_000_000, checkpoint_every="0.5 s"),
    )
    built = {"snapshot_id": "s", "split_id": "t", "inputs": ("a", "b"), "classes": ("down", "up")}
    big = make_run(tmp_path, project, built)
    yield big
    sign = read_sign(big.folder)
    if sign is not None:
        kill(sign.identity, signal.SIGKILL)


def test_a_run_that_may_not_write_waits_with_its_checkpoint_and_goes_on_when_it_may(spec):
    start(spec)
    until(lambda: state(spec).checkpoints)
    limit(spec, LIMIT_BYTES)

    paused = until(lambda: (seen := state(spec)).status == "paused" and seen)

    assert "the checkpoint of step" in paused.status_note
    assert "not saved: File too large" in paused.status_note
    assert "waits for room on the disk" in paused.status_note
    assert run_info(spec.folder).alive
    kept = checkpoints_of(spec.folder)[-1]
    assert kept.step == paused.checkpoints[-1].step
    assert is_whole(kept.folder)
    assert until(lambda: not half_written(spec))
    at = paused.step
    time.sleep(1)
    assert state(spec).step == at

    limit(spec, None)

    gone_on = until(lambda: (seen := state(spec)).status == "running" and seen.step > at and seen)
    assert gone_on.checkpoints[-1].step > kept.step
    assert gone_on.hosts == 1
    waited = [r.event for r in read_journal(spec.folder) if isinstance(r.event, Noticed) and r.event.code == "waited"]
    assert "for room on the disk, and was then written" in waited[0].text


def test_a_run_that_waits_for_room_ends_when_asked_and_says_what_it_could_not_write(spec):
    start(spec)
    until(lambda: state(spec).checkpoints)
    limit(spec, LIMIT_BYTES)
    paused = until(lambda: (seen := state(spec)).status == "paused" and seen)

    send(spec.folder, "stop")

    ended = until(lambda: (seen := state(spec)).status == "stopped" and seen)
    last = paused.checkpoints[-1].step
    assert "stopped as asked; its checkpoint could not be written: not saved: File too large" in ended.status_note
    assert f"the last healthy checkpoint is of step {last}" in ended.status_note.replace("\u202f", "").replace(" ", " ")
    assert is_whole(checkpoints_of(spec.folder)[-1].folder)


ON_A_SMALL_DISK = """
import sys, time
from dataclasses import replace
from pathlib import Path
from epochal.project.checkpoints import checkpoints_of, is_whole
from epochal.runs.control import ask_to_stop
from epochal.runs.follow import Follower
from epochal.runs.launch import make_run, start
sys.path.insert(0, sys.argv[2])
import kill_runs
folder = Path(sys.argv[1])
kill_runs.write_rows(folder)
project = kill_runs.new_run(folder, "mlp").project
project = replace(project, train=replace(project.train, epochs=1_000_000),
                  model=replace(project.model, options={"width": 256, "depth": 2}))
built = {"snapshot_id": "s", "split_id": "t", "inputs": ("a", "b"), "classes": ("down", "up")}
spec = make_run(folder, project, built)

def until(condition):
    deadline = time.monotonic() + 90
    while not (seen := condition(Follower(spec.folder).read_all())):
        if time.monotonic() > deadline:
            sys.exit(f"still {Follower(spec.folder).read_all().status}")
        time.sleep(0.05)
    return seen

start(spec)
until(lambda seen: seen.checkpoints)
filler = folder / "filler"
with filler.open("wb", buffering=0) as file:
    try:
        while True:
            file.write(b"x" * 4096)
    except OSError:
        pass
paused = until(lambda seen: seen.status == "paused" and seen)
print("room on the disk" in paused.status_note, all(is_whole(c.folder) for c in checkpoints_of(spec.folder)))
filler.unlink()
going = until(lambda seen: seen.status == "running" and seen.step > paused.step + 100 and seen)
print(going.hosts, going.damaged)
with filler.open("wb", buffering=0) as file:
    try:
        while True:
            file.write(b"x" * 4096)
    except OSError:
        pass
until(lambda seen: seen.status == "paused")
print(ask_to_stop(spec.folder))  # there is no room for a request either
print(until(lambda seen: seen.status == "stopped" and seen).status)
"""


def test_a_full_disk_of_its_own_is_waited_for_and_left_whole(tmp_path):
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("NOT TESTED HERE: mounting needs unshare")
    mount = f"mount -t tmpfs -o size=24m t {tmp_path}"
    if subprocess.run([unshare, "-Umr", "sh", "-c", mount], capture_output=True, check=False).returncode:
        pytest.skip("NOT TESTED HERE: this machine lets nobody mount a file system of their own")
    command = f'{mount} && exec {sys.executable} -c "$0" {tmp_path} {Path(__file__).parent}'

    done = subprocess.run(
        [unshare, "-Umr", "sh", "-c", command, ON_A_SMALL_DISK], capture_output=True, text=True, check=False
    )

    assert done.stdout == "True True\n1 0\nstop\nstopped\n", done.stderr


class TestWaitingForRoom:
    def refusing(self, times):
        """A write that the disk refuses so many times."""
        left = [times]

        def write():
            if left[0]:
                left[0] -= 1
                demand_room(Path("/"), 1 << 62)
            return "written"

        return write

    def drive(self, write, clock, stop_after=10**9):
        """What the waiting says, and what comes of it; each look takes a second."""
        looks = [0]

        def look():
            looks[0] += 1
            clock.advance(1)
            return looks[0] > stop_after

        waiting = when_there_is_room(write, "the model", look=look, clock=clock)
        said = []
        while True:
            try:
                said.append(next(waiting))
            except StopIteration as end:
                return said, end.value

    def test_tells_why_and_afterwards_how_long(self):
        clock = FakeClock()
        said, written = self.drive(self.refusing(1), clock)

        assert written == "written"
        assert all(event.kind == "waiting" for event in said[:-1])
        assert "needed" in said[0].why
        assert said[-1].code == "waited"
        assert clock.seconds >= RETRY_SECONDS

    def test_ends_when_asked_to_stop(self):
        with pytest.raises(NotSaved) as refused:
            self.drive(self.refusing(10**9), FakeClock(), stop_after=3)
        assert lacks_room(refused.value)

    def test_ends_after_an_hour(self, monkeypatch):
        monkeypatch.setattr("epochal.train.room.WAIT_SECONDS", 12.0)
        with pytest.raises(NotSaved):
            self.drive(self.refusing(10**9), FakeClock())

    def test_does_not_wait_for_what_no_room_would_help(self, tmp_path):
        def write():
            raise NotSaved("not saved: broken") from OSError(5, "Input/output error")

        with pytest.raises(NotSaved):
            self.drive(write, FakeClock())
