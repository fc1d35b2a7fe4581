"""Runs outlive what is killed around them: real processes, a real terminal, real signals.

The run trains on a few thousand rows until its time limit, so that it is under way for the same time on any machine and
then ends by itself.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from epochal.core.events import CheckpointSaved, Resumed
from epochal.journal.tail import read_journal
from epochal.runs.follow import Follower
from epochal.runs.identity import is_alive, kill
from epochal.runs.launch import HOST_COMMAND
from epochal.runs.signs import read_sign
from epochal.runs.state import run_info
from shared import epochal, plants_project, until


PATIENCE_SECONDS = 60
ENDS_AFTER = "6 s"
SETTINGS = {
    "model.family": "linear",
    "train.epochs": 1_000_000,
    "train.patience": 1_000_000,
    "train.first_checkpoint": "1 s",
    "train.time_limit": ENDS_AFTER,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A project ready to train on plants."""
    return plants_project(tmp_path_factory.mktemp("survival"), SETTINGS)


def only_run(folder):
    """The folder of the one run, once there is one."""
    return until(lambda: next(iter(folder.glob("runs/0001-*")), None))


def state(run):
    return Follower(run).read_all()


def checkpointed(run):
    """How the run stands after its first checkpoint, while it goes on."""

    def found():
        seen = state(run)
        return seen if seen.checkpoints and seen.step > seen.checkpoints[0].step else None

    seen = until(found)
    assert seen.status == "running"
    return seen


def covers_every_step(seen):
    """Whether the curve is whole: each of its rows begins where the one before ended."""
    ends, counts = list(seen.steps.column("step")), list(seen.steps.column("count"))
    starts = [end - count for end, count in zip(ends, counts, strict=True)]
    return starts == [0, *ends[:-1]] and ends[-1] == seen.step


def draws_from_edge_to_edge(text):
    """Whether the chart has a curve in every tenth of its width, but perhaps the last."""
    rows = [line.split("┤" if "┤" in line else "│", 1)[1] for line in text.splitlines() if re.search("[┤│]", line)]
    inked = {column for row in rows for column, sign in enumerate(row) if "\u2801" <= sign <= "\u28ff"}
    width = max(map(len, rows), default=0)
    return {10 * column // width for column in inked} >= set(range(9))


def begin(terminal, project, *settings):
    """The workbench with a run that it started by a key."""
    face = terminal(str(project), columns=120, lines=40)
    face.wait_for("plants")
    face.press("5")
    face.wait_for("No run yet")
    face.press("n")
    return face


def reopen(terminal, project):
    """Another workbench on the same project, at its train pane."""
    face = terminal(str(project), columns=120, lines=40)
    face.wait_for("plants")
    face.press("5")
    return face


def kill_workbench(face):
    face.kill()


def hang_up(face):
    face.hang_up()
    face.wait_exit()


@pytest.mark.parametrize("end", [kill_workbench, hang_up])
def test_a_run_whose_workbench_is_gone_ends_by_itself_and_is_seen_whole_when_reopened(terminal, project, end):
    face = begin(terminal, project)
    run = only_run(project)
    face.wait_for(lambda text: re.search(r"train 0\.\d", text))
    before = checkpointed(run)
    host = read_sign(run).identity

    end(face)

    assert is_alive(host)
    ended = until(lambda: (seen := state(run)).status == "done" and seen)
    assert ended.step > before.step
    assert covers_every_step(ended)
    assert ended.hosts == 1
    shown = reopen(terminal, project).wait_for(
        lambda text: re.search(r"run 1 +linear +done", text) and draws_from_edge_to_edge(text)
    )
    assert int(re.sub(r"\D", "", re.search(r"\bstep (\d+(?:\W\d{3})*)", shown)[1])) == ended.step
    assert "the time limit of 6 s is reached" in shown


def test_a_killed_run_is_interrupted_and_a_key_goes_on_from_its_checkpoint(terminal, project):
    face = begin(terminal, project)
    run = only_run(project)
    checkpointed(run)
    host = read_sign(run).identity

    kill(host, signal.SIGKILL)

    face.wait_for("interrupted", 20)
    interrupted = state(run)
    (listed,) = json.loads(epochal("runs", project, "--json").stdout)
    assert (listed["state"], interrupted.status) == ("interrupted", "interrupted")
    assert not (run / "bundle").exists()
    face.press("r")
    until(lambda: face.read() and state(run).status == "done")
    face.wait_for(lambda text: re.search(r"run 1 +linear +done", text))
    resumed_to_its_end(run, interrupted)


def test_a_killed_run_is_followed_to_exit_code_3_and_resumed_from_its_checkpoint_by_the_command_line(project):
    with subprocess.Popen(
        [sys.executable, "-m", "epochal", "train", project, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as following:
        run = only_run(project)
        checkpointed(run)
        kill(read_sign(run).identity, signal.SIGKILL)
        document = json.loads(following.communicate(timeout=PATIENCE_SECONDS)[0])
    interrupted = state(run)
    assert (following.returncode, document["state"]) == (3, "interrupted")

    again = json.loads(epochal("resume", project, "--json").stdout)

    assert (again["run"], again["state"]) == (run.name, "done")
    resumed_to_its_end(run, interrupted)


def resumed_to_its_end(run, interrupted):
    """The run went on from its newest checkpoint in the same folder, and its curve is whole."""
    ended = state(run)
    resumed = [r.event for r in read_journal(run) if isinstance(r.event, Resumed)]
    saved = [r.event for r in read_journal(run) if isinstance(r.event, CheckpointSaved)]
    newest = interrupted.checkpoints[-1]
    assert newest in saved
    assert [r.from_step for r in resumed] == [newest.step]
    assert resumed[0].folder == newest.folder
    assert ended.status == "done"
    assert ended.hosts == 2
    assert covers_every_step(ended)
    assert (run / "bundle" / "bundle.toml").exists()
    assert (run / "host.log").read_text() == ""


def test_a_run_killed_before_its_first_checkpoint_begins_again_and_says_so(project):
    epochal("train", project, "--no-follow", "--set", 'train.first_checkpoint="1 h"', "--set", 'train.time_limit="2 s"')
    run = only_run(project)
    until(lambda: state(run).step)
    kill(read_sign(run).identity, signal.SIGKILL)
    note = until(lambda: (seen := state(run)).status == "interrupted" and seen.status_note)
    assert "without a checkpoint: a resume begins anew" in note

    again = epochal("resume", project)

    assert "done" in again.stdout
    ended = state(run)
    assert [(r.from_step, r.folder) for r in ended.resumes] == [(0, "")]
    assert covers_every_step(ended)


# ── the thread host ──


@pytest.fixture
def threaded(project):
    """The project with `host = "thread"` and no time limit."""
    text = (project / "project.toml").read_text()
    (project / "project.toml").write_text(text.replace(f'time_limit = "{ENDS_AFTER}"', 'host = "thread"'))
    return project


def quits(face):
    face.press("g", "q")
    face.wait_for("stops with a checkpoint")
    face.press("Enter")
    assert face.wait_exit() == 0


def terminated(face):
    os.kill(face.pid, signal.SIGTERM)
    assert face.wait_exit() == 128 + signal.SIGTERM


@pytest.mark.parametrize("end", [quits, hang_up, terminated])
def test_a_run_in_the_workbench_shows_its_chart_and_ends_in_a_checkpoint_with_it(terminal, threaded, end):
    face = begin(terminal, threaded)
    run = only_run(threaded)
    face.wait_for(lambda text: re.search(r"train 0\.\d", text) and "lives inside this workbench" in text)
    until(lambda: face.read() and state(run).step > 100)
    assert read_sign(run).identity.pid == face.pid

    end(face)

    ended = state(run)
    assert ended.status == "stopped"
    assert ended.checkpoints[-1].step == ended.step
    assert covers_every_step(ended)


def test_a_run_in_a_command_checkpoints_when_the_command_is_ended_and_goes_on_in_a_process(threaded):
    command = [sys.executable, "-m", "epochal", "train", threaded, "--no-follow"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        run = only_run(threaded)
        until(lambda: state(run).step > 100)
        assert read_sign(run).identity.pid == process.pid
        process.send_signal(signal.SIGHUP)
        _, said = process.communicate(timeout=PATIENCE_SECONDS)
    assert b"lives in this command" in said
    assert process.returncode == 128 + signal.SIGHUP
    stopped = state(run)
    assert (stopped.status, stopped.checkpoints[-1].step) == ("stopped", stopped.step)

    epochal("resume", threaded, "--host", "detached", "--no-follow")

    until(lambda: state(run).step > stopped.step)
    assert [r.from_step for r in state(run).resumes] == [stopped.step]
    assert "outlives" in state(run).host.survives


# ── ctrl-c while following ──


def following(project, *words):
    """`epochal train` as a shell starts it: ctrl-c reaches it alone."""
    return subprocess.Popen(
        [sys.executable, "-m", "epochal", "train", project, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_ctrl_c_while_following_asks_for_a_stop_with_a_checkpoint_and_leaves_a_model_to_test(project):
    with following(project, "--json", "--set", 'train.time_limit="1 h"') as process:
        run = only_run(project)
        until(lambda: state(run).step > 100)
        os.killpg(process.pid, signal.SIGINT)
        said, noticed = process.communicate(timeout=PATIENCE_SECONDS)

    document = json.loads(said)
    ended = state(run)
    assert process.returncode == 130
    assert (document["state"], document["best"]["value"]) == ("stopped", ended.best_value)
    assert "ctrl-c again stops at once" in noticed
    assert ended.checkpoints[-1].step == ended.step
    assert json.loads(epochal("test", project, "--json").stdout)["metrics"]["accuracy"] > 0.55


@pytest.mark.parametrize("words", [(), ("--no-follow",)])
def test_ctrl_c_while_the_run_is_being_started_asks_it_to_stop(project, words):
    """It is never left behind unsaid: where the ctrl-c comes so early that it reaches the host too, there is none."""
    with following(project, "--set", 'train.time_limit="1 h"', *words) as process:
        run = only_run(project)
        until(lambda: read_sign(run) is not None)
        os.killpg(process.pid, signal.SIGINT)
        _said, noticed = process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == 130, noticed
    assert "asked the run to stop with a checkpoint" in noticed or "run 1 was not started" in noticed
    until(lambda: run_info(run).status == ("failed" if "not started" in noticed else "stopped"))


def test_a_second_ctrl_c_stops_at_once(project):
    with following(project, "--set", 'train.time_limit="1 h"') as process:
        run = only_run(project)
        until(lambda: state(run).step > 100)
        host = read_sign(run).identity
        with contextlib.suppress(ProcessLookupError):
            os.kill(host.pid, signal.SIGSTOP)  # so that it cannot have heeded the first one yet
            os.killpg(process.pid, signal.SIGINT)
            until(lambda: len(list((run / "commands").glob("*.json"))) == 1)
            os.killpg(process.pid, signal.SIGINT)
            until(lambda: len(list((run / "commands").glob("*.json"))) == 2)
            os.kill(host.pid, signal.SIGCONT)
        said, noticed = process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == 130
    assert "stopped at once, without a checkpoint" in said
    assert "asked the run to stop at once" in noticed
    until(lambda: not is_alive(host))


def test_a_third_ctrl_c_ends_a_process_that_does_not_answer(project):
    with following(project, "--set", 'train.time_limit="1 h"') as process:
        run = only_run(project)
        until(lambda: state(run).step > 100)
        host = read_sign(run).identity
        os.kill(host.pid, signal.SIGSTOP)
        for waiting in (1, 2, 2):
            os.killpg(process.pid, signal.SIGINT)
            until(lambda waiting=waiting: len(list((run / "commands").glob("*.json"))) == waiting)
        said, noticed = process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == 130
    assert "ctrl-c again ends its process" in noticed
    assert "ended the run's process without a checkpoint" in noticed
    assert "interrupted" in said
    assert "its process was ended as asked" in said
    assert "without a word" not in said
    assert f"Next: epochal resume {project} 1, which begins it anew" in said
    assert is_alive(host) is False


def test_a_run_that_is_ended_before_its_first_checkpoint_promises_none(project):
    late = ("--set", 'train.time_limit="1 h"', "--set", 'train.first_checkpoint="1 h"', "--set", "train.epochs=1000000")
    with following(project, *late) as process:
        run = only_run(project)
        until(lambda: state(run).step)
        kill(read_sign(run).identity, signal.SIGKILL)
        said, noticed = process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == 3
    assert "its process ended without a word; without a checkpoint: a resume begins anew" in said
    assert f"Next: epochal resume {project} 1, which begins it anew" in said
    assert "checkpoint" not in noticed


def test_a_key_pressed_three_times_ends_a_process_that_does_not_answer(terminal, project):
    face = begin(terminal, project)
    run = only_run(project)
    checkpointed(run)
    host = read_sign(run).identity
    os.kill(host.pid, signal.SIGSTOP)
    face.wait_for("stuck")

    for words in ("s again stops at once", "s again ends its process", "ended the run's process without a checkpoint"):
        face.press("s")
        face.wait_for(words)

    face.wait_for("interrupted")
    assert is_alive(host) is False


def test_a_lost_terminal_leaves_a_followed_run_alone(terminal, project):
    face = terminal("train", str(project))
    run = only_run(project)
    before = checkpointed(run)

    hang_up(face)

    ended = until(lambda: (seen := state(run)).status == "done" and seen)
    assert ended.step > before.step
    assert not ended.commands


def test_the_host_is_started_so_that_nothing_in_the_folder_is_imported():
    assert HOST_COMMAND[1] == "-P"
    assert Path(HOST_COMMAND[0]).is_absolute()
