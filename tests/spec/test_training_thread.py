"""The training thread and the keeper of a run: whatever the training does, the journal tells it and the run is let go."""

import contextlib
import os
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest

from epochal.core.errors import RunError, StepError
from epochal.core.events import CommandTaken, EpochDone, PhaseStarted, Resumed, RunEnded, StepsDone, TrainingStarted
from epochal.core.settings import Model, Project, Source
from epochal.journal.reduce import RunState, reduce_all
from epochal.journal.tail import read_journal
from epochal.runs import thread_host
from epochal.runs.control import acknowledged, send
from epochal.runs.keeper import LOOK_SECONDS, Keeper
from epochal.runs.launch import make_run, start
from epochal.runs.signs import read_sign
from epochal.runs.state import info_of, run_info
from epochal.runs.thread_host import TrainingThread


PROJECT = Project(name="p", sources=(Source(name="a", uri="a.csv"),), model=Model(family="linear"))


def window(step):
    return StepsDone(step=step, epoch=step / 10, count=1, loss=1.0, loss_min=1.0, loss_max=1.0, learning_rate=0.1)


@pytest.fixture
def spec(tmp_path):
    return make_run(tmp_path, PROJECT, {"snapshot_id": "s", "split_id": "t", "inputs": ("a",)})


@pytest.fixture
def keeper(spec):
    keeper = Keeper(spec.folder, "host")
    yield keeper
    keeper.release()


def drive(keeper, training):
    """Run a training to its end; what the journal holds then."""
    thread = TrainingThread(training, keeper)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    events = [record.event for record in read_journal(keeper.folder)]
    assert events[-1] == thread.ended
    return events


def test_what_the_training_says_is_in_the_journal_in_its_order(keeper):
    said = [PhaseStarted(name="training"), window(1), window(2), RunEnded(state="done", reason="finished", steps=2)]

    assert drive(keeper, lambda _poll: iter(said)) == said


def test_what_is_said_after_the_end_is_not_heard(keeper):
    end = RunEnded(state="done", reason="finished")
    assert drive(keeper, lambda _poll: iter([end, window(1)])) == [end]


def test_an_error_with_a_remedy_keeps_it(keeper):
    def training(_poll):
        yield window(1)
        raise StepError("no rows are left", where="[[clean]] 3", fix="take the filter out")

    ended = drive(keeper, training)[-1]

    assert (ended.state, ended.reason) == ("failed", "no rows are left")
    assert ended.error == {
        "code": "step", "what": "no rows are left", "where": "[[clean]] 3", "fix": "take the filter out",
    }  # fmt: skip


def breaks(_poll):
    """A training that says some steps and evaluations, and breaks."""
    yield PhaseStarted(name="training")
    for step in (1, 2):
        yield replace(window(step), seconds=13.5 * step)
        yield EpochDone(
            step=step, epoch=step / 10, train_loss=1, validation_loss=1, metrics={}, value=0.5 + step / 10,
            best=step == 1, seconds=13.5 * step,
        )  # fmt: skip
    raise ZeroDivisionError("the training broke")


def breaks_at_once(_poll):
    """One that goes on from its second step and does not come to the third."""
    yield Resumed(from_step=2, folder="checkpoints/step-00000002")
    raise ZeroDivisionError("again")


def ends_at_once(keeper):
    """One that is asked twice to stop after two steps."""

    def training(poll):
        with contextlib.suppress(ZeroDivisionError):
            yield from breaks(poll)
        keeper.ask("stop", by="me")
        keeper.ask("stop", by="me")
        yield window(3)

    return training


@pytest.mark.parametrize("how", ["breaks", "is stopped at once"])
def test_an_end_says_what_was_done_until_then_however_it_came(spec, keeper, how, capsys):
    """`epochal runs` reads the end alone, `train --json` the whole journal: they agree."""
    ended = drive(keeper, breaks if how == "breaks" else ends_at_once(keeper))[-1]
    keeper.release()
    state = reduce_all(RunState(), read_journal(spec.folder))
    told, whole = run_info(spec.folder), info_of(spec, state)

    assert (ended.epochs, ended.seconds) == (state.epoch, state.seconds)
    assert (ended.best_value, ended.best_step, ended.steps) == (0.6, 1, 2 if how == "breaks" else 3)
    assert told.as_row() == whole.as_row()
    assert told.as_result() == whole.as_result()


def test_an_end_before_a_resumed_run_took_a_step_keeps_what_was_done_before(spec, keeper, capsys):
    drive(keeper, breaks)
    keeper.release()
    resumed = Keeper(spec.folder, "host")
    ended = drive(resumed, breaks_at_once)[-1]
    resumed.release()

    assert (ended.steps, ended.seconds, ended.best_value) == (2, 27.0, 0.6)


def test_an_end_is_told_as_it_came_when_the_journal_cannot_be_read_then(spec, keeper, capsys):
    journal, aside = spec.folder / "journal.jsonl", spec.folder / "aside"

    def training(_poll):
        yield window(1)
        journal.rename(aside)
        journal.mkdir()
        raise RunError("the training broke", code="broke")

    thread = TrainingThread(training, keeper)
    thread.start()
    thread.join(30)
    journal.rmdir()
    aside.rename(journal)
    ended = [record.event for record in read_journal(spec.folder)][-1]

    assert ended == thread.ended
    assert (ended.state, ended.reason, ended.error["code"], ended.steps) == ("failed", "the training broke", "broke", 0)


def test_an_error_nobody_expected_is_named_with_its_place(keeper, capsys):
    def training(_poll):
        yield window(1)
        raise ZeroDivisionError("division by zero")

    ended = drive(keeper, training)[-1]

    assert (ended.state, ended.error["code"]) == ("failed", "unexpected")
    assert "test_training_thread.py" in ended.error["where"]
    assert "Traceback" in capsys.readouterr().err


def test_a_training_that_cannot_even_begin_is_failed(keeper):
    def training(_poll):
        raise RunError("the run's data is gone", code="no-snapshot")

    assert drive(keeper, training)[-1].error["code"] == "no-snapshot"


def test_requests_reach_the_training_once_each(keeper):
    seen = []

    def training(poll):
        keeper.ask("checkpoint", by="me")
        seen.extend([list(poll()), list(poll())])
        yield RunEnded(state="done", reason="finished")

    drive(keeper, training)
    assert seen == [["checkpoint"], []]


def test_a_second_request_to_stop_breaks_off_and_closes_what_the_training_had_open(keeper):
    closed = []

    def training(_poll):
        try:
            for step in range(1, 1_000_000):
                yield window(step)
                if step == 3:
                    keeper.ask("stop", by="me")
                    keeper.ask("stop", by="me")
        finally:
            closed.append(True)

    events = drive(keeper, training)

    assert (events[-1].state, events[-1].reason) == ("stopped", "stopped at once, without a checkpoint")
    assert [e.verb for e in events if isinstance(e, CommandTaken)] == ["stop", "stop-now"]
    assert closed == [True]


def test_nothing_comes_after_an_end_whatever_is_asked_or_said_at_that_moment(spec, keeper):
    """Lists read the last record alone: a request behind an end would make a run that is done one that was broken off."""
    for event in (window(1), RunEnded(state="done", reason="finished", steps=1)):
        keeper.record(event)

    for late in (
        lambda: keeper.ask("stop", by="me"),
        lambda: keeper.record(window(2)),
        lambda: keeper.end(RunEnded(state="stopped", reason="stopped at once")),
    ):
        with pytest.raises(RunError) as refused:
            late()
        assert refused.value.error_code == "run-ended"
    unheard = send(spec.folder, "stop")
    time.sleep(3 * LOOK_SECONDS)
    keeper.release()

    assert [record.event.kind for record in read_journal(spec.folder)] == ["steps", "ended"]
    assert acknowledged(spec.folder, unheard) is None
    assert (read_sign(spec.folder).said, run_info(spec.folder).status) == ("done", "done")


def test_a_kept_run_can_be_kept_by_nobody_else_until_it_is_let_go(spec, keeper):
    with pytest.raises(RunError) as caught:
        Keeper(spec.folder, "host")
    assert caught.value.error_code == "run-busy"

    keeper.release()
    keeper.release()
    Keeper(spec.folder, "host").release()


def test_the_sign_of_life_tells_what_lists_need(spec, keeper):
    keeper.record(PhaseStarted(name="training"))
    keeper.record(
        TrainingStarted(
            task="classification", metric="accuracy", epochs=1, steps_per_epoch=9, batch_size=1, learning_rate=1.0,
            precision="float32", device="cpu", threads=1, rows_train=1, rows_validation=1, parameters=1,
        )
    )  # fmt: skip
    keeper.record(window(5))
    keeper.record(
        EpochDone(
            step=5, epoch=0.5, train_loss=1, validation_loss=1, metrics={}, value=0.75, best=True, seconds=2.0
        )
    )  # fmt: skip
    keeper.release()

    sign = read_sign(spec.folder)
    assert (sign.said, sign.phase, sign.step, sign.value, sign.value_step) == ("running", "training", 5, 0.75, 5)
    assert sign.identity.pid == os.getpid()


def test_a_run_in_a_thread_is_this_process_until_it_ends(spec, monkeypatch):
    go_on = threading.Event()

    def training(_poll):
        yield window(1)
        go_on.wait(30)
        yield RunEnded(state="done", reason="finished", steps=1)

    monkeypatch.setattr(thread_host, "fit_training", lambda _spec, _way: training)
    assert start(spec, "thread") == os.getpid()
    assert run_info(spec.folder).alive
    with pytest.raises(RunError):
        start(spec, "thread")

    go_on.set()
    assert thread_host.leave() == []
    assert run_info(spec.folder).status == "done"


def test_a_run_whose_thread_cannot_be_started_has_failed_and_is_let_go(spec, monkeypatch):
    def refuse(*_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(TrainingThread, "start", refuse)
    with pytest.raises(RuntimeError):
        start(spec, "thread")

    assert run_info(spec.folder).status == "failed"
    assert thread_host.leave() == []
    Keeper(spec.folder, "host").release()


NO_ROOM = """
import subprocess, sys, threading, time
from pathlib import Path
from epochal.core.events import Noticed
from epochal.fsio import NotSaved
from epochal.journal.tail import Tail
from epochal.runs import control, keeper
from epochal.runs.follow import Follower
from epochal.runs.state import run_info
from epochal.testing import tiny_project, tiny_run, run_events
keeper.RETRY_SECONDS = 0.05
spec = tiny_run(tiny_project(Path(sys.argv[1]) / "p"))
folder = spec.folder
kept = keeper.Keeper(folder, "host")
for event in list(run_events())[:12]:
    kept.record(event)
filler = folder / "filler"
with filler.open("wb", buffering=0) as file:
    try:
        while True:
            file.write(b"x" * 4096)
    except OSError:
        pass
written = []
def write():
    try:
        for number in range(int(sys.argv[2])):
            written.append(kept.record(Noticed(code="n", text="x" * 200)))
    except NotSaved:
        written.append("gave up")
thread = threading.Thread(target=write)
thread.start()
time.sleep(0.5)
"""

WAITED = """
waiting = thread.is_alive() and len(written)
found, followed = run_info(folder), Follower(folder).poll()
filler.unlink()
thread.join()
print(found.status, found.alive, followed.status, "room on the disk" in followed.status_note)
print(run_info(folder).status)
kept.release()
batch = Tail(folder).read()
print(waiting < 200, len(written), len(batch.records) - 12, batch.damaged)
"""

STOPPED = """
(folder / "commands").mkdir(exist_ok=True)
subprocess.run(["mount", "-t", "tmpfs", "t", folder / "commands"], check=True)
for asked in range(2):
    control.send(folder, "stop")
    time.sleep(1.0)
    print(kept.poll(), kept.stop_now.is_set(), thread.is_alive())
filler.unlink()
time.sleep(1.0)
kept.release()
print(written[-1], [r.event.verb for r in Tail(folder).read().records if r.event.kind == "command"])
print(list((folder / "commands").glob("*.json")))
"""


def _on_a_full_disk(tmp_path, script, num_records=200):
    """What a script prints that fills a small disk of its own and then has something to say."""
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("this machine has no unshare")
    found = subprocess.run(
        [
            unshare,
            "-Umr",
            "sh",
            "-c",
            f'mount -t tmpfs -o size=256k t {tmp_path} && exec {sys.executable} -c "$0" {tmp_path} {num_records}',
            NO_ROOM + script,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if "mount" in found.stderr or "unshare" in found.stderr:
        pytest.skip("this machine lets nobody mount a file system of their own")
    assert found.stderr == ""
    return found.stdout


def test_a_full_disk_makes_the_run_wait_and_it_goes_on_when_there_is_room(tmp_path):
    assert _on_a_full_disk(tmp_path, WAITED) == "paused True paused True\nrunning\nTrue 200 200 0\n"


SAID_ITS_END = """
print(thread.is_alive(), (folder / ".reserve").exists())
kept.ask("stop", by="me")
thread.join(30)
kept.record(Noticed(code="n", text="the end"))
kept.release()
print(len(written), [r.event.text for r in Tail(folder).read().records if r.event.kind == "notice"][-1])
print((folder / ".reserve").exists())
"""


def test_a_run_that_is_asked_to_stop_on_a_full_disk_has_room_to_say_how_it_ended(tmp_path):
    assert _on_a_full_disk(tmp_path, SAID_ITS_END, 100) == "True True\n100 the end\nFalse\n"


def test_a_run_that_waits_for_room_is_stopped_at_once_by_a_second_request(tmp_path):
    asked = "['stop'] False True\n['stop', 'stop-now'] True False\n"

    # It has more to say than the room that is kept for its end.
    assert _on_a_full_disk(tmp_path, STOPPED, 2000) == f"{asked}gave up ['stop', 'stop-now']\n[]\n"
