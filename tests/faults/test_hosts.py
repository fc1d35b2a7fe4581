"""What happens to runs when processes, terminals and disks fail: real hosts, real signals."""

import json
import os
import pty
import signal
import subprocess
import sys
import textwrap
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from slow_host import slow

import shared
from epochal import fsio
from epochal.core.errors import RunError
from epochal.core.events import CommandTaken, HostStarted, Resumed, RunEnded, StepsDone
from epochal.core.settings import Columns, Model, Project, Source
from epochal.journal.record import journal_file
from epochal.journal.tail import read_journal
from epochal.runs import launch, thread_host
from epochal.runs.control import Inbox, acknowledged, ask_to_stop, kill_host, send
from epochal.runs.follow import Follower, log_lines
from epochal.runs.identity import is_alive, kill, my_identity
from epochal.runs.keeper import Keeper
from epochal.runs.launch import make_run, start
from epochal.runs.resume import resume
from epochal.runs.signs import read_sign
from epochal.runs.state import find_run, list_runs, run_info
from epochal.runs.thread_host import start_here
from epochal.show import grouped


HOST = (sys.executable, "-P", str(Path(__file__).with_name("slow_host.py")))
PROJECT = Project(
    name="p", sources=(Source(name="a", uri="a.csv"),), columns=Columns(target="y"), model=Model(family="linear")
)
BUILT = {"snapshot_id": "s", "split_id": "t", "inputs": ("a",), "classes": ("u", "v"), "ledger": {"kept": 3}}
PATIENCE_SECONDS = 30.0
until = partial(shared.until, seconds=PATIENCE_SECONDS)


def state(spec):
    return Follower(spec.folder).read_all()


def status(spec, *wanted):
    return until(lambda: (found := state(spec)).status in wanted and found)


@pytest.fixture
def spec(tmp_path):
    """A run that is not started, whose host is ended after the test whatever happened."""
    made = make_run(tmp_path, PROJECT, BUILT)
    yield made
    sign = read_sign(made.folder)
    if sign is not None and sign.identity.pid != os.getpid():
        kill(sign.identity, signal.SIGCONT)
        kill(sign.identity, signal.SIGKILL)


@pytest.fixture
def endless(monkeypatch):
    """The slow training takes longer than any test."""
    monkeypatch.setenv("EPOCHAL_STEPS", "100000")


def test_a_run_goes_from_its_start_to_done_and_everyone_reads_the_same(spec, tmp_path):
    pid = start(spec, command=HOST)
    follower = Follower(spec.folder)
    until(lambda: follower.poll().status == "done")

    live, afterwards = follower.poll(), state(spec)
    assert live.steps.column("step") == afterwards.steps.column("step")
    assert list(live.steps.column("step")) == list(range(1, 41))
    assert (live.host.pid, live.best_value, live.progress) == (pid, 0.4, 1.0)
    info = find_run(tmp_path, "1")
    assert info.as_row() == {
        "run": "0001-linear",
        "state": "done",
        "family": "linear",
        "metric": "accuracy",
        "value": 0.4,
        "started": spec.created,
        "seconds": pytest.approx(0.8),
        "world_size": 1,
        "path": str(spec.folder),
    }
    assert info.as_result()["best"] == {"value": 0.4, "step": 40}
    until(lambda: not is_alive(read_sign(spec.folder).identity))


def test_a_killed_run_is_interrupted_never_done_and_resumes_from_its_checkpoint(spec, endless, monkeypatch):
    start(spec, command=HOST)
    until(lambda: state(spec).checkpoints and state(spec).step > state(spec).checkpoints[-1].step)
    os.kill(read_sign(spec.folder).identity.pid, signal.SIGKILL)

    found = status(spec, "interrupted")
    assert run_info(spec.folder).status == "interrupted"
    assert found.ended is None
    at, back = grouped(found.step), grouped(found.checkpoints[-1].step)
    assert f"at step {at}: a resume goes on from step {back}" in found.status_note

    monkeypatch.setenv("EPOCHAL_STEPS", str(found.step + 20))
    start(spec, command=HOST)
    ended = status(spec, "done")
    checkpoint = ended.resumes[0].from_step
    assert checkpoint >= found.checkpoints[-1].step > 0
    assert list(ended.steps.column("step")) == list(range(1, found.step + 21))
    assert ended.hosts == 2
    assert [r.n for r in read_journal(spec.folder)] == list(range(ended.records))


def test_killed_again_and_again_a_run_still_ends_and_loses_nothing_it_acknowledged(spec, monkeypatch):
    monkeypatch.setenv("EPOCHAL_STEPS", "60")
    monkeypatch.setenv("EPOCHAL_PAUSE", "0.005")
    seen = 0
    for _ in range(5):
        start(spec, command=HOST)
        until(lambda enough=seen + 5: (now := state(spec)).records > enough or now.status == "done")
        had = read_sign(spec.folder).identity
        kill(had, signal.SIGKILL)
        until(lambda had=had: is_alive(had) is False)
        now = state(spec)
        assert now.damaged == 0
        assert now.records >= seen
        seen = now.records
        if now.status == "done":
            break
    else:
        until(lambda: run_info(spec.folder).status in {"interrupted", "done"})
        if run_info(spec.folder).status != "done":
            start(spec, command=HOST)

    ended = status(spec, "done")
    assert list(ended.steps.column("step")) == list(range(1, 61))
    assert ended.damaged == 0


def test_killed_between_its_last_step_and_its_end_a_resumed_run_only_ends(spec, monkeypatch):
    monkeypatch.setenv("EPOCHAL_FAULT", "never-ends")
    start(spec, command=HOST)
    until(lambda: state(spec).checkpoints and state(spec).checkpoints[-1].step == 40)
    kill(read_sign(spec.folder).identity, signal.SIGKILL)
    assert status(spec, "interrupted").step == 40

    monkeypatch.delenv("EPOCHAL_FAULT")
    start(spec, command=HOST)
    ended = status(spec, "done")
    assert list(ended.steps.column("step")) == list(range(1, 41))
    assert [resumed.from_step for resumed in ended.resumes] == [40]


def test_a_run_whose_folder_is_moved_ends_there_and_makes_nothing_where_it_was(spec, tmp_path, endless, monkeypatch):
    monkeypatch.setenv("EPOCHAL_PAUSE", "0.4")  # no checkpoint is due before it is noticed
    start(spec, command=HOST)
    until(lambda: state(spec).step > 1)
    there = tmp_path / "moved"
    spec.folder.rename(there)

    ended = until(lambda: Follower(there).read_all().ended)

    assert (ended.state, ended.error["code"]) == ("failed", "run-moved")
    assert "moved or deleted" in ended.reason
    assert not spec.folder.exists()


def test_a_hang_up_and_a_ctrl_c_reach_no_run(spec, endless):
    pid = start(spec, command=HOST)
    status(spec, "running")

    os.kill(pid, signal.SIGHUP)
    os.kill(pid, signal.SIGINT)
    before = state(spec).step

    until(lambda: state(spec).step > before + 5)
    assert state(spec).status == "running"


def test_a_run_outlives_the_terminal_it_was_started_from(tmp_path, endless):
    script = textwrap.dedent(f"""
        import sys
        from pathlib import Path
        from epochal.core.settings import Columns, Model, Project, Source
        from epochal.runs.launch import make_run, start
        project = Project(name="p", sources=(Source(name="a", uri="a.csv"),), model=Model(family="linear"))
        spec = make_run(Path({str(tmp_path)!r}), project, {BUILT!r})
        print("PID", start(spec, command={HOST!r}), flush=True)
        input()
    """)
    child, terminal = pty.fork()
    if child == 0:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may be run under nohup
        os.execv(sys.executable, [sys.executable, "-c", script])
    said = b""
    while b"PID" not in said or not said.endswith(b"\n"):
        said += os.read(terminal, 4096)
    pid = int(said.split(b"PID")[1].split()[0])
    os.close(terminal)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])

    info = list_runs(tmp_path)[0]
    before = Follower(info.folder).read_all().step
    until(lambda: Follower(info.folder).read_all().step > before)
    sign = read_sign(info.folder)
    assert sign.identity.pid == pid
    assert os.getsid(pid) == pid
    kill(sign.identity, signal.SIGKILL)


def test_a_request_to_stop_is_acknowledged_and_ends_with_a_checkpoint(spec, endless):
    start(spec, command=HOST)
    status(spec, "running")

    command = send(spec.folder, "stop", by="a test")

    ended = status(spec, "stopped")
    assert ended.checkpoints[-1].step == ended.step
    n = until(lambda: acknowledged(spec.folder, command))
    record = next(r for r in read_journal(spec.folder) if r.n == n)
    assert record.event == CommandTaken(id=command, verb="stop", by="a test")
    assert list((spec.folder / "commands").glob("*.json")) == []


def test_a_request_to_save_is_done_while_the_run_goes_on(spec, endless):
    start(spec, command=HOST)
    status(spec, "running")

    command = send(spec.folder, "checkpoint")

    n = until(lambda: acknowledged(spec.folder, command))
    until(lambda: any(c.step % 10 for c in state(spec).checkpoints))
    assert n is not None
    assert state(spec).status == "running"


def test_a_terminated_run_checkpoints_and_says_stopped(spec, endless):
    pid = start(spec, command=HOST)
    status(spec, "running")

    os.kill(pid, signal.SIGTERM)

    ended = status(spec, "stopped")
    assert ended.checkpoints[-1].step == ended.step
    assert [c.by for c in ended.commands] == ["SIGTERM"]


def test_a_second_request_ends_a_run_that_does_not_listen(spec, monkeypatch):
    monkeypatch.setenv("EPOCHAL_PAUSE", "1000")
    pid = start(spec, command=HOST)
    status(spec, "running")

    os.kill(pid, signal.SIGTERM)
    status(spec, "stopping")
    send(spec.folder, "stop")

    assert status(spec, "stopped").status_note == "stopped at once, before its first step"
    until(lambda: is_alive(read_sign(spec.folder).identity) is False)


def test_a_run_that_hangs_before_its_first_step_ends_by_itself_when_it_is_asked_to_stop(spec, monkeypatch):
    """As a model of one's own may in its constructor: the person is told what is waited for, and for how long."""
    monkeypatch.setenv("EPOCHAL_FAULT", "hang")
    monkeypatch.setenv("EPOCHAL_START_SECONDS", "5")
    start(spec, command=HOST)
    until(lambda: state(spec).phase == "preparing")
    (spec.project_folder / "project.toml").write_text('name = "p"\n')
    command = [sys.executable, "-m", "epochal", "stop", str(spec.project_folder)]

    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, stdin=subprocess.DEVNULL)

    assert "it has not begun to learn (reading model.py:Net): it ends within" in done.stderr
    assert done.stdout == "run 0001-linear: stopped. stopped at once, before its first step\n"
    assert done.returncode == 0
    assert [(c.verb, c.by[:23]) for c in state(spec).commands][1:] == [("stop-now", "its host: no answer for")]
    until(lambda: is_alive(read_sign(spec.folder).identity) is False)


def test_a_run_that_learns_is_given_the_time_its_step_takes(spec, monkeypatch):
    monkeypatch.setenv("EPOCHAL_START_SECONDS", "0.2")
    monkeypatch.setenv("EPOCHAL_PAUSE", "2")
    pid = start(spec, command=HOST)
    until(lambda: state(spec).step)

    os.kill(pid, signal.SIGTERM)

    ended = status(spec, "stopped")
    assert ended.checkpoints[-1].step == ended.step
    assert [c.verb for c in ended.commands] == ["stop"]


def test_a_third_request_ends_the_process_of_a_run_that_heeds_none(spec, endless):
    pid = start(spec, command=HOST)
    status(spec, "running")
    os.kill(pid, signal.SIGSTOP)

    assert [ask_to_stop(spec.folder) for _ in range(3)] == ["stop", "stop-now", "killed"]

    status(spec, "interrupted")


def test_requests_of_an_earlier_host_do_not_make_the_next_ones_firmer(spec, endless):
    start(spec, command=HOST)
    status(spec, "running")
    assert ask_to_stop(spec.folder) == "stop"
    status(spec, "stopped")
    until(lambda: not run_info(spec.folder).alive and not is_alive(read_sign(spec.folder).identity))
    start(spec, command=HOST)
    status(spec, "running")

    assert ask_to_stop(spec.folder) == "stop"
    status(spec, "stopped")


def test_the_command_asked_three_times_says_what_each_does(spec, endless):
    pid = start(spec, command=HOST)
    status(spec, "running")
    os.kill(pid, signal.SIGSTOP)
    (spec.project_folder / "project.toml").write_text('name = "p"\n')
    command = [sys.executable, "-m", "epochal", "stop", str(spec.project_folder)]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, "text": True}
    asking = []
    for number in (1, 2):
        asking.append(subprocess.Popen(command, **streams))
        until(lambda number=number: len(list((spec.folder / "commands").glob("*.json"))) == number)
    asking.append(subprocess.Popen(command, **streams))

    said = [process.communicate(timeout=60) for process in asking]

    words = ("again stops at once", "again ends its process", "ended the run's process without a checkpoint")
    assert all(word in errors for word, (_out, errors) in zip(words, said, strict=True))
    assert [process.returncode for process in asking] == [3, 3, 3]
    assert is_alive(read_sign(spec.folder).identity) is False


def test_a_run_inside_a_workbench_is_not_ended_with_it(spec, workbench):
    status(spec, "running")
    workbench.send_signal(signal.SIGSTOP)
    ask_to_stop(spec.folder)
    ask_to_stop(spec.folder)

    with pytest.raises(RunError) as refused:
        ask_to_stop(spec.folder)

    assert refused.value.error_code == "cannot-kill"
    assert workbench.poll() is None


def test_the_last_resort_ends_a_host_that_does_not_even_answer(spec, endless):
    pid = start(spec, command=HOST)
    status(spec, "running")
    os.kill(pid, signal.SIGSTOP)

    assert kill_host(spec.folder)

    status(spec, "interrupted")
    assert kill_host(spec.folder) is False


def test_stopping_a_run_that_does_not_answer_ends_its_process(spec, endless):
    pid = start(spec, command=HOST)
    status(spec, "running")
    os.kill(pid, signal.SIGSTOP)
    (spec.project_folder / "project.toml").write_text('name = "p"\n')
    command = [sys.executable, "-m", "epochal", "stop", str(spec.project_folder)]

    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, stdin=subprocess.DEVNULL)

    assert "did not answer: its process was ended" in done.stderr
    assert f"epochal resume {spec.project_folder} {spec.number}" in done.stderr
    assert done.returncode != 0
    status(spec, "interrupted")


def test_a_second_starter_is_refused_and_told_who_has_the_run(spec, endless):
    pid = start(spec, command=HOST)

    with pytest.raises(RunError) as caught:
        start(spec, command=HOST)
    assert caught.value.error_code == "run-busy"
    assert str(pid) in caught.value.what

    second = subprocess.run([*HOST, str(spec.folder)], capture_output=True, text=True, check=False)
    assert (second.returncode, second.stderr.split(":")[0]) == (75, "run-busy")
    assert state(spec).hosts == 1


def test_a_training_that_breaks_is_failed_with_its_error_in_journal_and_log(spec, monkeypatch):
    monkeypatch.setenv("EPOCHAL_FAULT", "raise")
    start(spec, command=HOST)

    ended = status(spec, "failed")
    assert ended.status_note == "ZeroDivisionError: the training broke"
    assert ended.ended.error["code"] == "unexpected"
    assert "slow_host.py" in ended.ended.error["where"]
    assert any("Traceback" in line for line in log_lines(spec.folder))


def test_a_host_that_comes_up_after_it_was_given_up_leaves_the_run_alone(spec, monkeypatch):
    monkeypatch.setattr(launch, "READY_SECONDS", 1.0)
    monkeypatch.setenv("EPOCHAL_FAULT", "late")

    with pytest.raises(RunError, match="gave no answer within 1 s") as caught:
        start(spec, command=HOST)

    assert caught.value.error_code == "start-failed"
    until(lambda: any("start-given-up" in line for line in log_lines(spec.folder)))
    assert state(spec).status == "failed"
    monkeypatch.undo()
    start(spec, command=HOST)
    status(spec, "done")


def test_a_run_is_started_anew_while_its_earlier_host_still_lets_go(spec):
    earlier = Keeper(spec.folder, "host")
    earlier.end(RunEnded(state="stopped", reason="stopped as asked"))
    letting_go = threading.Timer(0.3, earlier.release)
    letting_go.start()
    pid = start(spec, command=HOST)
    letting_go.join()

    assert status(spec, "done").host.pid == pid
    assert read_sign(spec.folder).identity.pid == pid


@pytest.mark.parametrize("host", ["detached", "thread"])
def test_a_stop_asked_while_a_start_waits_for_the_earlier_host_is_for_the_one_to_come(spec, endless, monkeypatch, host):
    monkeypatch.setattr(thread_host, "fit_training", slow)
    earlier = Keeper(spec.folder, "host")
    earlier.end(RunEnded(state="stopped", reason="stopped as asked"))
    send(spec.folder, "stop", by="one of the past")

    def meanwhile():
        until(lambda: not Inbox(spec.folder).waiting())
        send(spec.folder, "stop", by="a person who waits")
        earlier.release()

    asking = threading.Thread(target=meanwhile)
    asking.start()
    start(spec, host, command=HOST)
    asking.join()

    status(spec, "stopped")
    taken = [r.event.by for r in read_journal(spec.folder) if isinstance(r.event, CommandTaken)]
    assert taken == ["a person who waits"]


@pytest.mark.parametrize("host", ["detached", "thread"])
def test_of_two_starts_that_wait_for_the_earlier_host_one_has_the_run(spec, endless, monkeypatch, host):
    monkeypatch.setattr(thread_host, "fit_training", slow)
    monkeypatch.setattr(launch, "_LETTING_GO_SECONDS", 8.0)
    earlier = Keeper(spec.folder, "host")
    earlier.end(RunEnded(state="stopped", reason="stopped as asked"))
    told = []

    def begin():
        try:
            told.append(start(spec, host, command=HOST))
        except RunError as error:
            told.append(error.error_code)

    starts = [threading.Thread(target=begin) for _ in range(2)]
    for each in starts:
        each.start()
    time.sleep(1.5)  # longer than a host itself waits for the lock
    earlier.release()
    for each in starts:
        each.join()
    ask_to_stop(spec.folder)

    assert "run-busy" in told
    assert status(spec, "stopped").host.pid in told
    assert sum(isinstance(r.event, HostStarted) for r in read_journal(spec.folder)) == 1


@pytest.mark.parametrize("host", ["detached", "thread"])
def test_a_start_that_waited_while_another_came_to_the_end_does_not_begin_the_run_again(spec, host):
    lock = fsio.try_lock(spec.folder / "run.lock")
    send(spec.folder, "stop", by="one of the past")

    def another():
        until(lambda: not Inbox(spec.folder).waiting())
        other = Keeper(spec.folder, "host", lock=lock)
        other.end(RunEnded(state="done", reason="finished", steps=9))
        other.release()

    meanwhile = threading.Thread(target=another)
    meanwhile.start()
    with pytest.raises(RunError, match="was started from elsewhere meanwhile, and is done") as caught:
        start(spec, host, command=HOST)
    meanwhile.join()

    assert caught.value.error_code == "run-busy"
    assert run_info(spec.folder).status == "done"


@pytest.mark.parametrize("host", ["detached", "thread"])
def test_an_earlier_host_that_never_lets_go_is_not_overrun(spec, monkeypatch, host):
    monkeypatch.setattr(launch, "_LETTING_GO_SECONDS", 0.2)
    earlier = Keeper(spec.folder, "host")
    earlier.end(RunEnded(state="stopped", reason="stopped as asked"))

    with pytest.raises(RunError, match="is stopped, and a process still holds it") as caught:
        start(spec, host, command=HOST)

    assert caught.value.error_code == "run-busy"
    assert f"end process {os.getpid()}" in caught.value.fix
    assert read_sign(spec.folder).role == "host"
    earlier.release()


def test_a_host_that_does_not_come_up_is_failed_with_the_end_of_its_log(spec):
    broken = (sys.executable, "-c", "import sys; print('no such module: \\x1b[2Jx', file=sys.stderr); sys.exit(3)")

    with pytest.raises(RunError) as caught:
        start(spec, command=broken)

    assert caught.value.error_code == "start-failed"
    assert "no such module: ␛[2Jx" in caught.value.what
    assert state(spec).status == "failed"
    start(spec, command=HOST)
    status(spec, "done")


def test_a_halted_run_is_stuck_and_goes_on_when_continued(spec, endless):
    pid = start(spec, command=HOST)
    status(spec, "running")
    os.kill(pid, signal.SIGSTOP)

    assert "kill -CONT" in status(spec, "stuck").status_note

    os.kill(pid, signal.SIGCONT)
    status(spec, "running")


def test_a_finished_run_is_not_resumed(spec):
    start(spec, command=HOST)
    status(spec, "done")

    with pytest.raises(RunError) as caught:
        resume(spec.folder)
    assert caught.value.error_code == "run-done"


def test_a_torn_record_is_repaired_by_the_next_host(spec, endless, monkeypatch):
    start(spec, command=HOST)
    until(lambda: state(spec).checkpoints)
    kill(read_sign(spec.folder).identity, signal.SIGKILL)
    until(lambda: run_info(spec.folder).status == "interrupted")
    path = journal_file(spec.folder, 0)
    path.write_bytes(path.read_bytes() + b'{"n":99,"k":"steps","m"')
    monkeypatch.setenv("EPOCHAL_STEPS", str(state(spec).step + 10))

    start(spec, command=HOST)

    ended = status(spec, "done")
    assert ended.damaged == 0
    assert [r.torn for r in read_journal(spec.folder) if r.torn] == [23]


def test_a_request_of_an_earlier_day_does_not_stop_the_next_host(spec):
    send(spec.folder, "stop")

    start(spec, command=HOST)

    assert status(spec, "done", "stopped").status == "done"


def test_a_host_that_is_started_by_hand_does_not_obey_what_an_earlier_one_was_asked(spec, monkeypatch):
    """The line of `--print-launch` has no starter that puts old requests aside: the host does, once it has the run."""
    monkeypatch.setenv("EPOCHAL_STEPS", "10")
    send(spec.folder, "stop")

    done = subprocess.run([*HOST, str(spec.folder)], capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 0, done.stderr
    assert state(spec).status == "done"
    assert not [r for r in read_journal(spec.folder) if isinstance(r.event, CommandTaken)]


def test_junk_among_the_requests_is_left_alone(spec, endless):
    commands = spec.folder / "commands"
    commands.mkdir()
    (commands / "0.json").write_text("[" * 100_000)
    (commands / "1.json").write_text('{"verb": "rm -rf"}')
    os.mkfifo(commands / "2.json")
    (commands / "3.json").symlink_to("/etc/passwd")
    start(spec, command=HOST)
    status(spec, "running")

    (commands / "by-hand.json").write_text('{"verb": "stop"}')

    assert status(spec, "stopped").commands[-1].id == "by-hand"
    assert sorted(p.name for p in commands.glob("*.json")) == ["0.json", "1.json", "2.json", "3.json"]


IN_A_WORKBENCH = """
import os, sys, time
from pathlib import Path
sys.path.insert(0, {folder!r})
from slow_host import slow
from epochal.project.runfile import read_run
from epochal.runs.thread_host import start_here
spec = read_run(Path(sys.argv[1]))
start_here(spec, slow(spec))
print("begun", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def workbench(spec, endless):
    """A process that has the run in a thread and quits when its input closes."""
    script = IN_A_WORKBENCH.format(folder=str(Path(__file__).parent))
    with subprocess.Popen(
        [sys.executable, "-c", script, str(spec.folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"begun\n"
        yield process
        process.kill()


def test_a_run_in_a_thread_ends_in_a_checkpoint_when_its_workbench_quits(spec, workbench):
    status(spec, "running")
    assert "inside this workbench" in state(spec).host.survives
    assert run_info(spec.folder).pid == workbench.pid

    workbench.stdin.close()

    assert workbench.wait(PATIENCE_SECONDS) == 0
    ended = status(spec, "stopped")
    assert ended.checkpoints[-1].step == ended.step
    assert ended.commands[-1].by == "the workbench, quitting"


def test_a_run_in_a_thread_is_interrupted_with_its_workbench_and_goes_on_in_a_process(spec, workbench, monkeypatch):
    until(lambda: state(spec).checkpoints)
    workbench.kill()
    workbench.wait()
    found = status(spec, "interrupted")
    monkeypatch.setenv("EPOCHAL_STEPS", str(found.step + 10))

    start(spec, command=HOST)

    ended = status(spec, "done")
    assert any(isinstance(r.event, Resumed) for r in read_journal(spec.folder))
    assert ended.host.host == "detached"


def test_a_run_in_a_thread_is_stopped_by_a_request_like_any_other(spec, workbench):
    status(spec, "running")
    send(spec.folder, "stop")
    status(spec, "stopped")

    until(lambda: run_info(spec.folder).alive is False)
    monopoly = subprocess.run([*HOST, str(spec.folder)], env={**os.environ, "EPOCHAL_STEPS": "1"}, check=False)
    assert monopoly.returncode == 0


def test_a_training_that_ends_without_a_word_is_failed(spec):
    def silent(_poll):
        yield StepsDone(step=1, epoch=1, count=1, loss=1, loss_min=1, loss_max=1, learning_rate=1)

    start_here(spec, silent)

    assert status(spec, "failed").status_note == "the training ended without saying how"
    assert isinstance(next(iter(read_journal(spec.folder))).event, HostStarted)


def test_a_folder_without_a_run_is_told_apart_from_a_busy_one(tmp_path):
    found = subprocess.run(
        [sys.executable, "-P", "-m", "epochal.host", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stderr.split(":")[0]) == (2, "run")


def test_a_reused_process_number_is_nobody(tmp_path):
    mine = my_identity()
    assert is_alive(mine) is True
    for wrong in ({"ticks": mine.ticks + 1}, {"pid": 2**22 + 7}, {"boot": "an earlier one"}):
        assert is_alive(type(mine)(**{**mine.as_dict(), **wrong})) is False
    elsewhere = type(mine)(**{**mine.as_dict(), "machine": "x other", "boot": "y"})
    assert is_alive(elsewhere) is None
    assert kill(elsewhere, signal.SIGKILL) is False


def test_a_dead_child_that_nobody_buried_is_dead():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    ticks = int(Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[19])
    identity = type(my_identity())(**{**my_identity().as_dict(), "pid": child.pid, "ticks": ticks})
    assert is_alive(identity) is True

    child.kill()
    until(lambda: is_alive(identity) is False)
    child.communicate()


def test_a_sign_that_cannot_be_read_is_none(spec):
    for text in ("", "[]", "{", '{"identity": 3}', "[" * 100_000, json.dumps({"identity": {"pid": "x"}})):
        (spec.folder / "status.json").write_text(text)
        assert read_sign(spec.folder) is None
        assert run_info(spec.folder).status == "ready", "no host ever said that it has the run"


def test_the_end_is_the_last_thing_a_host_says(spec):
    start(spec, command=HOST)
    status(spec, "done")
    assert isinstance(list(read_journal(spec.folder))[-1].event, RunEnded)
