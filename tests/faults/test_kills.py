"""Runs that are killed at random and inside checkpoints end as one that was left alone; 200 kills are a matter of a command."""

from __future__ import annotations

import json
from dataclasses import asdict

import kill_runs


def test_ten_kills_lose_nothing_and_change_nothing(tmp_path):
    report = kill_runs.kill_runs(tmp_path, 10, ("mlp", "trees"))

    assert json.loads(json.dumps(asdict(report)))["kills"] == 10
    assert report.lost == []
    assert report.differ == []
    assert report.inside_a_checkpoint >= 1
