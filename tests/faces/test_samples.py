"""Every sample is a project that a stranger can copy, check, train within a minute and test."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from epochal.core.tasks import METRICS, OWN
from epochal.project.discover import shipped_projects
from epochal.project.read import read_project


def document(*words: str | Path) -> dict:
    done = subprocess.run(
        [sys.executable, "-m", "epochal", *map(str, words), "--json"],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", sorted(shipped_projects()))
def test_a_sample_trains_in_a_minute_and_beats_its_trivial_baseline(name, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    folder = tmp_path / name
    document("demo", name, "--into", folder)
    if read_project(folder).model.family == OWN:
        document("trust", folder, "--yes")

    checked = document("check", folder)
    began = time.monotonic()
    trained = document("train", folder)
    seconds = time.monotonic() - began
    tested = document("test", folder)

    assert [p for p in checked["problems"] if p["severity"] != "hint"] == []
    assert checked["estimate"]["seconds"] < 60
    assert trained["state"] == "done"
    assert trained["seconds"] < 60
    # The command's own minute is for two idle cores; beside other tests it may take longer.
    assert seconds < 180
    metric = METRICS[trained["metric"]]
    model, trivial = tested["metrics"][metric.name], tested["baselines"]["trivial"][metric.name]
    assert model > trivial if metric.higher_is_better else model < trivial
    assert tested["ledger"]["sums"]


def test_penguins_are_told_apart_whichever_rows_are_held_out(tmp_path):
    folder = tmp_path / "penguins"
    document("demo", "penguins", "--into", folder)
    accuracies = []
    for seed in range(5):
        document("train", folder, "--set", f"split.seed={seed}")
        tested = document("test", folder)
        accuracies.append(tested["metrics"]["accuracy"])

        assert tested["baselines"]["trivial"]["accuracy"] < accuracies[-1]
        assert tested["ledger"]["sums"]
    assert sum(accuracies) / 5 >= 0.98
