"""What is refused or said before a run is made or goes on, by the command line as a person types it."""

import os
import select
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from epochal.project.read import read_project
from epochal.runs.follow import Follower
from epochal.runs.signs import read_sign
from shared import document, epochal, plants_project, until


SETTINGS = {
    "model.family": "linear",
    "train.epochs": 1_000_000,
    "train.patience": 1_000_000,
    "train.first_checkpoint": "0.2 s",
    "train.time_limit": "1 h",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A project ready to train until somebody stops it."""
    return plants_project(tmp_path_factory.mktemp("before"), SETTINGS)


@pytest.mark.parametrize("verb", ["train", "verify-resume"])
def test_a_column_to_feed_by_that_is_not_there_or_has_no_order_is_refused_and_no_run_is_made(project, verb):
    """With the column that is nearest, and where it was written."""
    gradual = ("--set", "train.feed=gradual")
    misspelt = epochal(verb, project, *gradual, "--set", "train.feed_by=steem", code=2).stderr
    text = epochal(verb, project, *gradual, "--set", "train.feed_by=edible", code=2).stderr

    assert "[unknown-column]" in misspelt
    assert "where: [train] feed_by" in misspelt
    assert "did you mean 'stem'?" in misspelt
    assert "'edible' holds text" in text
    assert not (project / "runs").exists()


@pytest.mark.parametrize("verb", ["train", "verify-resume"])
def test_a_setting_that_means_nothing_is_refused_by_whatever_would_train_with_it(project, verb):
    refused = epochal(verb, project, "--set", "model.family=mlp", "--set", "train.momentum=0.5", code=2).stderr

    assert "[useless-setting]" in refused
    assert "leave out --set train.momentum" in refused


@pytest.mark.parametrize(
    ("setting", "where", "words"),
    [
        ("train.precision=float16", "[train] precision", "float16 is slower than float32 on a CPU"),
        ("train.devices=[907]", "[train] devices", "there is no GPU 907 here"),
        ("train.memory=1 KB", "[train] memory", "fix: raise [train] memory, or leave out columns"),
    ],
)
def test_what_this_machine_cannot_do_is_refused_and_no_run_is_made(project, setting, where, words):
    refused = epochal("train", project, "--set", "model.family=mlp", "--set", setting, code=2).stderr

    assert words in refused
    assert f"where: {where}" in refused
    assert not (project / "runs").exists()


def test_what_another_machine_will_do_is_not_refused_by_this_one(project):
    gpus = ("--set", "model.family=mlp", "--set", "train.devices=[907]")

    assert "epochal.host" in epochal("train", project, *gpus, "--print-launch").stdout


def test_a_resume_says_that_a_source_has_changed_and_goes_on_with_the_data_it_began_with(project):
    short = ("--set", "train.first_checkpoint=1 h", "--set", "train.time_limit=2 s")
    epochal("train", project, "--no-follow", *short)
    run = project / "runs" / "0001-linear"
    until(lambda: Follower(run).read_all().step)
    os.kill(read_sign(run).identity.pid, signal.SIGKILL)
    until(lambda: Follower(run).read_all().status == "interrupted")
    with another_source(project):
        resumed = epochal("resume", project)

    assert (
        "source plants has changed, or gone, since run 0001-linear began; it goes on with the data it began with"
        in resumed.stderr
    )
    assert "0001-linear: done" in resumed.stdout


@contextmanager
def another_source(project):
    """Within, the file that the project reads, which its copies share, says otherwise of one row."""
    (source,) = read_project(project).sources
    path = (project / source.uri).resolve()
    unchanged = path.read_text()
    path.write_text(unchanged.replace("yes", "no", 1))
    try:
        yield
    finally:
        path.write_text(unchanged)


def test_what_check_finds_in_the_data_is_told_once(tmp_path):
    """The build refuses it too; that is no second problem."""
    (tmp_path / "one.csv").write_text("stem,edible\n" + "1.5,yes\n2.5,yes\n" * 60)
    (tmp_path / "project.toml").write_text(
        'format = 1\nname = "one"\n[goal]\ntask = "classification"\n[[source]]\nname = "one"\nuri = "one.csv"\n'
        '[columns]\ntarget = "edible"\n[split]\nkind = "random"\n[model]\nfamily = "linear"\n'
    )
    found = [problem["code"] for problem in document("check", tmp_path, code=1)["problems"]]

    assert found.count("target-constant") == 1


def test_the_lines_for_several_nodes_are_a_script_that_says_which_is_which(project):
    words = ("--set", "train.devices=1", "--print-launch", "--nodes", "2", "--meet", "gpu01:29500")
    lines = epochal("train", project, "--set", "model.family=mlp", *words).stdout.splitlines()

    assert lines[::2] == ["# on node 0:", "# on node 1:"]
    assert "epochal.host" in lines[1]
    assert "torch.distributed.run" in lines[3]

    with another_source(project):
        said = epochal("resume", project, code=2).stderr
    assert "[many-nodes]" in said
    assert "source plants" not in said, "its data is no question yet"


def test_a_run_that_was_only_made_is_ready_and_no_other_verb_takes_it_for_one_that_failed(project):
    epochal("train", project, "--print-launch")
    (listed,) = document("runs", project)

    assert listed["state"] == "ready"
    said = epochal("stop", project, code=2).stderr
    assert "is ready" in said
    assert "to be rid of it, delete runs/0001-linear" in said


def test_watching_a_run_that_was_only_made_says_that_it_waits_for_it_to_be_started(project):
    """Where no terminal is, too: nothing else would ever be said."""
    epochal("train", project, "--print-launch")
    command = [sys.executable, "-m", "epochal", "watch", str(project)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as watch:
        there, _, _ = select.select([watch.stderr], [], [], 60)
        said = watch.stderr.readline() if there else ""
        watch.kill()

    assert "run 1 is not started yet: `epochal resume` starts it" in said


def test_a_resume_without_the_rows_it_began_with_names_what_changed_and_never_says_that_it_goes_on(project):
    epochal("train", project, "--set", "train.epochs=2000", "--set", "train.time_limit=1 s", "--no-follow")
    run = project / "runs" / "0001-linear"
    until(lambda: Follower(run).read_all().step)
    os.kill(read_sign(run).identity.pid, signal.SIGKILL)
    until(lambda: Follower(run).read_all().status == "interrupted")
    path = project / "project.toml"
    path.write_text(path.read_text().replace("patience = 1000000", "patience = 7"))
    shutil.rmtree(project / ".epochal")
    with another_source(project):
        said = epochal("resume", project, code=2).stderr

    assert "[data-changed]" in said
    assert "source plants has changed, or gone, since it began" in " ".join(said.split())
    assert "goes on" not in said


def test_a_run_under_way_is_not_made_ready_a_second_time_and_keeps_what_it_has_when_its_resume_is_stopped(project):
    """Most likely while it still loads: its value and its time are those it had."""
    epochal("train", project, "--no-follow")
    run = project / "runs" / "0001-linear"
    until(lambda: (seen := Follower(run).read_all()).checkpoints and seen.best_value)
    assert "[run-busy]" in epochal("resume", project, "--print-launch", code=2).stderr
    os.kill(read_sign(run).identity.pid, signal.SIGKILL)
    until(lambda: Follower(run).read_all().status == "interrupted")

    path = project / "project.toml"
    path.write_text(path.read_text().replace("patience = 1000000", "patience = 7"))
    said = epochal("resume", project, "--no-follow").stderr
    assert "goes on with its own settings; project.toml differs in train.patience" in said
    assert epochal("stop", project).returncode == 0
    (listed,) = document("runs", project)

    assert listed["state"] == "stopped"
    assert listed["value"] is not None
    assert listed["seconds"] > 0
