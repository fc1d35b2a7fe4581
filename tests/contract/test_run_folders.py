"""Run folders: made once, numbered without gaps, found by any of their names, steered by plain files."""

import json
import math
import os
import subprocess
import sys
import threading
import tomllib
from dataclasses import replace

import pytest

from epochal.core.errors import RunError
from epochal.core.events import EpochDone, HostStarted, Noticed, Resumed, RunEnded, StepsDone
from epochal.core.settings import Columns, Goal, Model, Project, Source, SplitSettings
from epochal.fsio import NotSaved
from epochal.journal.append import JournalWriter
from epochal.journal.reduce import RunState, reduce_all
from epochal.journal.tail import read_journal
from epochal.project.runfile import read_run, write_run
from epochal.runs.control import Inbox, acknowledged, send
from epochal.runs.follow import EASED_BYTES, EASED_LOOKS, EASED_SECONDS, Follower, log_lines
from epochal.runs.keeper import Keeper
from epochal.runs.launch import make_run
from epochal.runs.resume import refuse_resume
from epochal.runs.state import find_run, info_of, list_runs, run_folders, run_info
from epochal.testing import kept_run, run_events, tiny_project, tiny_run


PROJECT = Project(
    name="p",
    goal=Goal(task="regression", metric="rmse"),
    sources=(Source(name="a", uri="a.csv"),),
    columns=Columns(target="y"),
    split=SplitSettings(kind="stratified"),
    model=Model(family="linear"),
)
BUILT = {
    "snapshot_id": "snap",
    "split_id": "spl",
    "inputs": ("a", "b"),
    "classes": (),
    "ledger": {"kept": 3},
    "settings": {"split.cuts": {"x": [0.2, 0.3]}, "split.fingerprint": "3:abc", "source.0.sha256": "ff"},
}


@pytest.fixture
def spec(tmp_path):
    return make_run(tmp_path, PROJECT, BUILT, {"train.seed": 3})


def ended(folder, state="done", **how):
    writer = JournalWriter(folder)
    writer.append(HostStarted(host="detached", pid=1, machine="m", device="", survives=""))
    writer.append(RunEnded(state=state, reason="because", **how))
    writer.close()


def test_a_run_is_frozen_whole_with_what_its_data_was(spec):
    read = read_run(spec.folder)

    assert read == spec
    assert read.project.split.cuts == {"x": (0.2, 0.3)}
    assert read.project.split.fingerprint == "3:abc"
    assert (read.snapshot_id, read.inputs, dict(read.overrides)) == ("snap", ("a", "b"), {"train.seed": 3})
    assert read.environment["python"] == sys.version.split()[0]
    assert "torch" in read.environment
    assert tomllib.loads((spec.folder / "run.toml").read_text())["settings"]["train"]["host"] == "detached"


def test_nothing_but_whole_run_folders_is_ever_seen(spec):
    assert [path.name for path in spec.folder.parent.iterdir()] == ["0001-linear"]


def test_starters_at_the_same_time_get_different_numbers(tmp_path):
    families = ["linear", "mlp", "trees", "tabm"] * 4
    made = []

    def make(family):
        made.append(make_run(tmp_path, Project(name="p", sources=PROJECT.sources, model=Model(family=family)), BUILT))

    threads = [threading.Thread(target=make, args=(family,)) for family in families]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(spec.number for spec in made) == list(range(1, 17))


def test_a_run_without_a_family_is_refused(tmp_path):
    with pytest.raises(RunError) as caught:
        make_run(tmp_path, Project(name="p"), {**BUILT, "settings": {}})
    assert caught.value.error_code == "no-family"


def test_runs_are_found_by_number_padded_number_and_name_and_by_default_the_newest(spec, tmp_path):
    second = make_run(tmp_path, PROJECT, BUILT)

    assert [find_run(tmp_path, which).name for which in ("1", "0001", "0001-linear", None)] == [
        spec.name, spec.name, spec.name, second.name,
    ]  # fmt: skip
    assert [info.name for info in list_runs(tmp_path)] == ["0002-linear", "0001-linear"]


@pytest.mark.parametrize("which", ["7", "0001-linaer", "", "../x", "٣", "9" * 30])
def test_a_run_that_is_not_there_is_named_with_those_that_are(spec, tmp_path, which):
    with pytest.raises(RunError) as caught:
        find_run(tmp_path, which)
    assert caught.value.error_code == "no-run"
    assert "0001-linear" in caught.value.fix


def test_a_project_without_runs_says_how_to_get_one(tmp_path):
    assert list_runs(tmp_path) == []
    with pytest.raises(RunError) as caught:
        find_run(tmp_path)
    assert "epochal train" in caught.value.fix


def test_only_run_folders_are_runs(spec, tmp_path):
    for name in ("0002-x-copy of it", "notes", ".0003-mlp.tmp", "12-short"):
        (spec.folder.parent / name).mkdir()
    (spec.folder.parent / "0009-broken").mkdir()

    assert [path.name for path in run_folders(tmp_path)] == ["0009-broken", "0001-linear"]
    assert [info.name for info in list_runs(tmp_path)] == ["0001-linear"]


def test_a_run_that_was_never_started_is_ready_and_nothing_went_wrong(spec):
    info = run_info(spec.folder)
    assert (info.status, info.alive) == ("ready", False)
    assert "not started yet" in info.note
    assert Follower(spec.folder).poll().status == "ready"


def test_a_run_that_was_never_started_is_passed_over_by_who_asks_for_started_ones(spec, tmp_path):
    """What `test` takes when no run is named; one that is named is taken as it is."""
    ended(spec.folder, "done")
    ready = replace(spec, folder=spec.folder.with_name("0002-linear"), name="0002-linear")
    ready.folder.mkdir()
    write_run(ready)

    assert find_run(tmp_path).name == "0002-linear"
    assert find_run(tmp_path, started=True).name == "0001-linear"
    assert find_run(tmp_path, "2", started=True).name == "0002-linear"


def test_a_run_that_is_being_trained_cannot_be_made_ready_for_another_host(spec):
    """Not even by who only wants the line that would start it."""
    host = Keeper(spec.folder, "host")
    host.record(HostStarted(host="detached", pid=os.getpid(), machine="here", device="", survives=""))
    with pytest.raises(RunError, match="already being trained") as refused:
        refuse_resume(run_info(spec.folder))
    host.release()

    assert refused.value.error_code == "run-busy"


def test_a_run_that_goes_on_shows_its_best_before_it_is_judged_again(spec):
    host = Keeper(spec.folder, "host")
    host.record(HostStarted(host="detached", pid=os.getpid(), machine="here", device="", survives=""))
    host.record(Resumed(from_step=20, folder="checkpoints/step-00000020", best_value=0.9, best_step=10))
    host.record(next(e for e in run_events() if isinstance(e, StepsDone)))
    host.release()

    assert (run_info(spec.folder).value, run_info(spec.folder).value_step) == (0.9, 10)


def test_more_ranks_than_a_machine_can_bear_are_refused_before_anything_starts(tmp_path):
    train = replace(PROJECT.train, devices=4 * os.cpu_count() + 1)
    with pytest.raises(RunError, match="ranks are asked for, and this machine has") as refused:
        make_run(tmp_path, replace(PROJECT, model=Model(family="mlp"), train=train), BUILT)

    assert refused.value.error_code == "too-many-ranks"


def test_a_request_that_finds_no_place_is_refused_by_name(spec):
    (spec.folder / "commands").write_text("a file where the folder should be")
    with pytest.raises(NotSaved):
        send(spec.folder, "stop")


def test_all_that_was_asked_of_an_earlier_host_is_put_aside_however_much_it_is(spec):
    for _ in range(200):
        send(spec.folder, "stop")
    host = Keeper(spec.folder, "host")
    host.release()

    assert Inbox(spec.folder).waiting() == []
    assert not host.stop_asked


@pytest.mark.parametrize("state", ["done", "stopped", "diverged", "failed"])
def test_an_ended_run_is_known_by_its_last_record_alone(spec, state):
    ended(spec.folder, state, best_value=0.5, best_step=7, steps=9, epochs=1.5, seconds=2.0)

    info = run_info(spec.folder)

    assert (info.status, info.note, info.value, info.value_step, info.step) == (state, "because", 0.5, 7, 9)
    assert set(info.as_row()) == {
        "run",
        "state",
        "family",
        "metric",
        "value",
        "started",
        "seconds",
        "world_size",
        "path",
    }
    assert set(info.as_result()) >= {
        "run", "state", "family", "task", "metric", "best", "steps", "epochs", "seconds", "samples_per_second",
        "world_size", "path",
    }  # fmt: skip
    json.dumps([info.as_row(), info.as_result()])


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("state", ["running", "failed", "done"])
def test_a_metric_that_is_not_defined_on_the_rows_is_none_in_every_document(spec, state, value):
    """As ROC-AUC where validation has one class; JSON has no such number."""
    judged = EpochDone(
        step=4, epoch=1.0, train_loss=0.1, validation_loss=0.2, metrics={}, value=value, best=True, seconds=1.0
    )
    end = {
        "running": [],
        "failed": [RunEnded(state="failed", reason="broke", best_value=value, best_step=4, samples_per_second=value)],
        "done": [RunEnded(state="done", reason="finished", best_step=4, steps=4)],
    }[state]
    with kept_run(spec, [judged, *end]):
        short = run_info(spec.folder)
        whole = info_of(spec, reduce_all(RunState(), read_journal(spec.folder)))

    for info in (short, whole):
        assert info.value is None
        assert json.loads(json.dumps(info.as_row(), allow_nan=False))["value"] is None
        assert json.loads(json.dumps(info.as_result(), allow_nan=False))["best"]["value"] is None


def test_a_journal_that_grows_is_read_anew(spec):
    assert run_info(spec.folder).step == 0
    writer = JournalWriter(spec.folder)
    for step in (1, 2):
        writer.append(StepsDone(step=step, epoch=1, count=1, loss=1, loss_min=1, loss_max=1, learning_rate=1))
        assert run_info(spec.folder).step == step
    writer.close()


def test_a_request_is_one_whole_file_and_its_acknowledgement_another(spec):
    asked = send(spec.folder, "stop", by="someone")
    inbox = Inbox(spec.folder)
    (command,) = inbox.waiting()
    assert (command.id, command.verb, command.by) == (asked, "stop", "someone")
    assert acknowledged(spec.folder, asked) is None

    inbox.acknowledge(command, 12)

    assert inbox.waiting() == []
    assert acknowledged(spec.folder, asked) == 12


def test_requests_are_taken_in_the_order_they_were_asked(spec):
    asked = [send(spec.folder, verb) for verb in ("checkpoint", "stop", "checkpoint")]
    assert [command.id for command in Inbox(spec.folder).waiting()] == asked


def test_a_half_written_request_is_taken_once_it_is_whole(spec):
    inbox = Inbox(spec.folder)
    folder = spec.folder / "commands"
    folder.mkdir()
    (folder / "a.json").write_text('{"ver')
    assert inbox.waiting() == []

    (folder / "a.json").write_text('{"verb": "stop"} ')

    assert [command.verb for command in inbox.waiting()] == ["stop"]


def test_files_that_are_no_requests_hold_up_none_however_many_they_are(spec):
    """A stop is taken although hundreds of files that sort before it say nothing."""
    folder = spec.folder / "commands"
    folder.mkdir()
    for n in range(200):
        (folder / f"{n:05d}.json").write_text("{}")
    asked = send(spec.folder, "stop")

    assert [command.id for command in Inbox(spec.folder).waiting()] == [asked]


def test_what_no_run_can_do_is_refused_before_it_is_asked(spec, tmp_path):
    with pytest.raises(RunError) as caught:
        send(spec.folder, "explode")
    assert caught.value.error_code == "unknown-command"
    with pytest.raises(RunError) as caught:
        send(tmp_path, "stop")
    assert caught.value.error_code == "no-run"


def test_a_follower_may_come_before_the_run(spec):
    follower = Follower(spec.folder)
    assert follower.poll().records == 0
    ended(spec.folder)
    assert follower.poll().status == "done"


def test_the_hosts_log_is_shown_by_its_end_and_cannot_act_on_a_terminal(spec):
    (spec.folder / "host.log").write_bytes(b"x" * 200_000 + b"\nlast \x1b[2J\x9b \xff\n")

    lines = log_lines(spec.folder, 1)

    assert lines == ["last ␛[2J\ufffd \ufffd"]
    assert log_lines(spec.folder / "nowhere") == []


def test_watching_and_steering_runs_needs_nothing_heavy():
    script = (
        "import sys, epochal.runs.state, epochal.runs.follow, epochal.runs.control, epochal.runs.launch, "
        "epochal.runs.resume, epochal.runs.choose, epochal.host; "
        "heavy = {'torch', 'numpy', 'pyarrow', 'duckdb', 'textual', 'rich', 'sklearn', 'tomlkit', 'asyncio'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert out.stdout == "[]\n"


def _eased(follower):
    looks = [follower.ease()]
    while follower.more:
        looks.append(follower.ease())
    return looks


def test_what_a_short_run_said_at_once_is_taken_in_over_some_looks(tmp_path):
    spec = tiny_run(tiny_project(tmp_path / "p"))
    with kept_run(spec, run_events(epochs=8, until_epoch=8, end=True)):
        pass
    looks = _eased(Follower(spec.folder))
    steps = [look.step for look in looks]

    assert len({step for step in steps if step}) >= 8, "an epoch at a time"
    assert steps == sorted(steps)
    assert {look.status for look in looks[:-1]} <= {"starting", "running", "done"}
    assert (looks[-1].status, looks[-1].records) == ("done", Follower(spec.folder).read_all().records)


def test_nobody_is_kept_waiting_for_long_however_much_it_said(tmp_path):
    spec = tiny_run(tiny_project(tmp_path / "p"))
    with kept_run(spec, [Noticed(code="n", text="x" * 500)] * 2000):
        pass
    follower = Follower(spec.folder)

    assert len(_eased(follower)) <= EASED_LOOKS + 2
    journal = spec.folder / "journal.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:1500]))
    assert len(_eased(follower)) <= EASED_LOOKS + 2, "the journal is another one: all of it waits anew"


def test_a_long_run_is_read_as_fast_as_it_goes(tmp_path):
    spec = tiny_run(tiny_project(tmp_path / "p"))
    with kept_run(spec, run_events(epochs=50, until_epoch=50, end=True)):
        pass
    follower = Follower(spec.folder)
    while follower.ease().seconds <= EASED_SECONDS:
        pass
    before = follower.bytes_read
    follower.ease()

    assert follower.bytes_read - before > 2 * EASED_BYTES
