"""Checkpoints as a person handles them: written on request, kept, listed; a resume that cannot match asks first."""

import json
import re
import signal

import pytest

from epochal.journal.tail import read_journal
from epochal.runs.follow import Follower
from epochal.runs.identity import kill
from epochal.runs.signs import read_sign
from shared import document, epochal, plants_project, until


SETTINGS = {
    "model.family": "linear",
    "train.epochs": 1_000_000,
    "train.patience": 1_000_000,
    "train.first_checkpoint": "1 h",
    "train.time_limit": "8 s",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A project ready to train, of whose runs none writes a checkpoint unless it is asked."""
    return plants_project(tmp_path_factory.mktemp("checkpoints"), SETTINGS)


def under_way(project):
    """Start a run; its folder once it trains."""
    epochal("train", project, "--no-follow")
    run = project / "runs" / "0001-linear"
    until(lambda: Follower(run).read_all().step > 100)
    return run


def interrupted_elsewhere(project):
    """A run that was killed after a checkpoint which another version of torch wrote; its folder and that step."""
    run = under_way(project)
    step = document("checkpoint", project)["step"]
    kill(read_sign(run).identity, signal.SIGKILL)
    until(lambda: Follower(run).read_all().status == "interrupted")
    (manifest,) = run.glob("checkpoints/step-*/manifest.json")
    told = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**told, "facts": {**told["facts"], "torch": "1.13"}}))
    return run, step


def test_a_checkpoint_is_written_on_request_kept_and_listed(project):
    under_way(project)

    first = document("checkpoint", project, "--pin")
    others = [document("checkpoint", project) for _ in range(4)]
    listed = document("checkpoint", project, "--list")

    assert (first["run"], first["pinned"], others[0]["pinned"]) == ("0001-linear", True, False)
    assert [row["step"] for row in listed if row["pinned"]] == [first["step"]]
    assert {row["step"] for row in listed} >= {others[-1]["step"], others[-2]["step"]}
    assert sum(row["best"] for row in listed) == 1
    assert all(row["healthy"] and row["whole"] and row["bytes"] > 0 for row in listed)
    epochal("stop", project)

    assert "is unpinned" in epochal("checkpoint", project, "--step", first["step"], "--unpin").stdout
    epochal("checkpoint", project, "--step", others[-1]["step"], "--pin")
    pinned = [row["step"] for row in document("checkpoint", project, "--list") if row["pinned"]]
    assert pinned == [others[-1]["step"]]
    assert "[not-running]" in epochal("checkpoint", project, code=2).stderr
    refused = epochal("checkpoint", project, "--step", 7, "--pin", code=2).stderr
    assert "[no-checkpoint]" in refused
    assert str(first["step"]) in refused


@pytest.mark.parametrize(
    "words",
    [
        ("--list", "--pin"),
        ("--list", "--step", "3"),
        ("--unpin",),
        ("--step", "3"),
        ("--step", "x", "--pin"),
        ("--pin", "--unpin"),
    ],
)
def test_words_that_do_not_go_together_are_refused_before_a_run_is_looked_for(tmp_path, words):
    """Words that are right are told that there is no run; these are told what is wrong with them."""
    (tmp_path / "project.toml").write_text('format = 1\nname = "p"\n')

    assert "[no-run]" in epochal("checkpoint", tmp_path, "--list", code=2).stderr
    assert "[usage]" in epochal("checkpoint", tmp_path, *words, code=2).stderr


def test_a_resume_that_cannot_match_is_refused_and_goes_on_anyway_when_told_to(project):
    run, step = interrupted_elsewhere(project)

    refused = epochal("resume", project, code=2)
    assert "torch was 1.13, now " in refused.stderr
    assert "[resume-differs]" in refused.stderr
    assert Follower(run).read_all().status == "interrupted"

    assert "done" in epochal("resume", project, "--anyway").stdout
    ended = Follower(run).read_all()
    assert ended.seams == (step,)
    assert [r.event.code for r in read_journal(run) if r.event.kind == "notice"].count("seam") == 1


def test_a_resume_past_a_damaged_checkpoint_says_so_where_no_terminal_is(project):
    run = under_way(project)
    older, newest = (document("checkpoint", project, "--pin")["step"] for _ in range(2))
    kill(read_sign(run).identity, signal.SIGKILL)
    until(lambda: Follower(run).read_all().status == "interrupted")
    weights = run / "checkpoints" / f"step-{newest:08d}" / "model.safetensors"
    weights.write_bytes(bytes(weights.stat().st_size))

    said = epochal("resume", project).stderr

    assert f"run 1: the checkpoint of step {newest} is damaged: the run goes on from step {older}" in said


def test_the_workbench_shows_why_and_offers_the_choices(terminal, project):
    run, step = interrupted_elsewhere(project)
    face = terminal(str(project), columns=120, lines=40)
    face.wait_for("interrupted")
    face.press("5")
    face.wait_for("r goes on from")

    face.press("r")
    shown = face.wait_for("train anew")
    assert "cannot go on as it was" in shown
    assert "torch was 1.13" in shown
    assert re.search(r"leave it .*going on from step", shown)
    face.press("j", "Enter")

    until(lambda: face.read() and Follower(run).read_all().status == "done")
    assert Follower(run).read_all().seams == (step,)
    assert "┊ not exact from here" in face.wait_for(lambda text: re.search(r"run 1 +linear +done", text))


def test_keys_of_the_workbench_write_a_checkpoint_and_one_to_keep(terminal, project):
    run = under_way(project)
    face = terminal(str(project), columns=80, lines=24)
    face.wait_for("running")
    face.press("5")

    face.press("c")
    until(lambda: face.read() and Follower(run).read_all().checkpoints)
    face.press("C")
    until(lambda: face.read() and any(c.pinned for c in Follower(run).read_all().checkpoints))

    listed = document("checkpoint", project, "--list")
    assert [row["pinned"] for row in listed].count(True) == 1
    assert len(listed) == 2
