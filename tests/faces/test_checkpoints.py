"""Checkpoints as a person handles them: written on request, kept, listed; a resume that cannot match asks first."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time

import pytest

from epochal.journal.tail import read_journal
from epochal.runs.follow import Follower
from epochal.runs.identity import kill
from epochal.runs.signs import read_sign


PATIENCE_SECONDS = 90
SETTINGS = {
    "model.family": "linear",
    "train.epochs": 1_000_000,
    "train.patience": 1_000_000,
    "train.first_checkpoint": "1 h",
    "train.time_limit": "8 s",
}


def epochal(*words, code=0):
    done = subprocess.run(
        [sys.executable, "-m", "epochal", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == code, done.stderr
    return done


def document(*words):
    return json.loads(epochal(*words, "--json").stdout)


def until(condition):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    return pytest.fail("it did not happen")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A project ready to train, of whose runs none writes a checkpoint unless it is asked."""
    chance = random.Random(7)
    folder = tmp_path_factory.mktemp("checkpoints")
    lines = ["stem,leaf,edible"]
    for _ in range(3000):
        edible = chance.random() < 0.5
        sizes = f"{chance.gauss(10 if edible else 11, 1.5):.2f},{chance.gauss(3 if edible else 2.5, 0.8):.2f}"
        lines.append(f"{sizes},{'yes' if edible else 'no'}")
    (folder / "plants.csv").write_text("\n".join(lines) + "\n")
    sets = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]
    epochal("new", folder / "p", "--data", folder / "plants.csv", "--target", "edible", *sets)
    return folder / "p"


@pytest.fixture
def project(made, tmp_path):
    folder = tmp_path / "p"
    subprocess.run(["cp", "-r", made, folder], check=True)
    yield folder
    for run in folder.glob("runs/*"):
        sign = read_sign(run)
        if sign is not None and sign.identity.pid != os.getpid():
            kill(sign.identity, signal.SIGKILL)


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
    "words", [("--list", "--pin"), ("--unpin",), ("--step", "3"), ("--step", "x", "--pin"), ("--pin", "--unpin")]
)
def test_words_that_do_not_go_together_are_refused(project, words):
    (project / "runs").mkdir(exist_ok=True)
    done = epochal("checkpoint", project, *words, code=2)
    assert "[usage]" in done.stderr or "[no-run]" in done.stderr


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
