"""`epochal verify-resume` leaves nothing: told to end it tidies, and what a killed one left the next takes away."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from epochal.testing import tiny_project


def epochal(*words):
    return [sys.executable, "-m", "epochal", *map(str, words)]


def left_in(folder):
    """The folders of verifications in the project's cache."""
    return sorted((folder / ".epochal").glob("verify-*"))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A project whose data is prepared."""
    folder = tiny_project(tmp_path_factory.mktemp("verify") / "p").folder
    subprocess.run(epochal("check", folder, "--quick"), check=True, capture_output=True)
    return folder


@pytest.fixture
def project(prepared, tmp_path):
    return shutil.copytree(prepared, tmp_path / "p")


def begun(project):
    """A verification that is under way."""
    verifying = subprocess.Popen(
        epochal("verify-resume", project), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not [run for place in left_in(project) for run in place.iterdir() if run.is_dir()]:
        assert verifying.poll() is None, verifying.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return verifying


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_told_to_end_it_tidies(project, number):
    verifying = begun(project)
    os.kill(verifying.pid, number)
    _, said = verifying.communicate(timeout=60)

    assert verifying.returncode == 128 + number, said
    assert "Traceback" not in said
    assert left_in(project) == []


def test_what_a_killed_one_left_is_named_and_goes_with_the_next_and_what_is_in_use_stays(project):
    killed = begun(project)
    (left,) = left_in(project)
    killed.kill()
    killed.communicate()
    told = json.loads(subprocess.run(epochal("doctor", project, "--json"), capture_output=True, check=False).stdout)
    findings = [f for f in told["findings"] if f["code"] == "leftover"]

    assert f".epochal/{left.name}" in [f["where"] for f in findings]
    first = subprocess.Popen(epochal("verify-resume", project), stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while left.exists() or not left_in(project):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    second = subprocess.run(epochal("verify-resume", project), capture_output=True, text=True, check=False)

    assert first.communicate(timeout=300)[0].splitlines()[-1] == "verdict: exact"
    assert second.stdout.splitlines()[-1] == "verdict: exact"
    assert left_in(project) == []
