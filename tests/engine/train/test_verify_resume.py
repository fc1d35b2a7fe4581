"""`verify-resume` in the processes it really starts: a new one for every part, and nothing of it left in the project."""

from __future__ import annotations

import json
import os
import threading

import pytest

from epochal.core.errors import Cancelled, RunError
from epochal.project.code import read_code
from epochal.project.trust import trust
from epochal.runs.verify import verify_resume
from epochal.train.segment import AFTER_STEPS, BEFORE_STEPS
from epochal.workbench.verifying import said_of


OWN = """
import random

from torch import nn


class Net(nn.Module):
    def __init__(self, spec):
        super().__init__()
        self.last = nn.Sequential(nn.Linear(spec.numbers, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.Linear(8, spec.outputs))

    def forward(self, batch):
        return self.last(batch["numbers"] + (random.gauss(0, 0.1) if self.training else 0.0))
"""
"""A person's model that draws from generators of its own and of Python."""


@pytest.fixture
def project(spec_of, blobs):
    """A function that makes a project's settings, its folder, and what was built of it."""

    def make(family="mlp", **settings):
        spec = spec_of(blobs(), target="label", family=family, **settings)
        built = {"snapshot_id": "snap", "split_id": "split", "inputs": spec.inputs, "classes": spec.classes}
        return spec.project_folder, spec.project, built

    return make


def files_of(folder):
    """Every file of a folder with its bytes."""
    return {
        p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.parent.name != "locks"
    }


def test_trains_every_part_in_a_new_process_and_leaves_the_project_as_it_was(project):
    folder, settings, built = project(options={"width": 8}, train={"epochs": 4, "accumulate": 2})
    before, said = files_of(folder), []
    result = verify_resume(
        folder, settings, built, steps=12, at=(3, 9), report=lambda text, share: said.append((text, share))
    )
    (way,) = result.ways

    assert result.verdict == "exact"
    assert len({*way.pids, os.getpid()}) == 4
    assert [s.step for s in way.stops] == [3, 9]
    assert (result.steps, len(result.losses), result.pieces, result.mode) == (12, 12, 2, "exact")
    assert ("2 of 2, stopped at step 3 and 9: step 9 of 9", pytest.approx(0.5 + 0.5 * 2 / 3)) in said
    assert json.loads(json.dumps(result.as_document()))["ways"][0]["stops"][0]["where"] == "in the middle of epoch 1"
    assert files_of(folder) == before


def test_comes_to_the_end_of_an_epoch_and_its_evaluation_however_long_epochs_are(project):
    """It begins shortly before that end, says so, and compares the best weights that the evaluation kept."""
    folder, settings, built = project(options={"width": 4}, train={"epochs": 3, "batch_size": 1})
    result = verify_resume(folder, settings, built)
    ends = [stop.step for way in result.ways for stop in way.stops if "at the end of epoch" in stop.where]

    assert result.steps_per_epoch > 2 * BEFORE_STEPS
    assert (result.begins, result.steps) == (
        result.steps_per_epoch - BEFORE_STEPS,
        result.steps_per_epoch + AFTER_STEPS,
    )
    assert ends == [result.steps_per_epoch]
    assert result.evaluations == 1
    assert next(c.number for c in result.compared if c.what == "best weights")
    assert result.verdict == "exact"
    assert any(
        f"begins after step {result.begins}, with the weights of a beginning" in line for line in said_of(result)
    )


def test_says_that_no_evaluation_was_come_to_where_a_person_ends_it_before(project):
    folder, settings, built = project(options={"width": 4}, train={"epochs": 3, "batch_size": 1})
    result = verify_resume(folder, settings, built, steps=12, at=(3, 9))

    assert (result.begins, result.evaluations) == (0, 0)
    assert any("no evaluation lies within these steps" in line for line in said_of(result))


def test_holds_for_a_model_of_a_persons_own(project, tmp_path, monkeypatch):
    """Its code is read and run by every part in its own process, as by a run."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    folder, settings, built = project("own", options={"module": "model.py:Net"}, train={"epochs": 4})
    (folder / "model.py").write_text(OWN)
    trust(folder, read_code(folder))
    result = verify_resume(folder, settings, built)

    assert (result.family, result.verdict) == ("own", "exact")
    assert result.evaluations


def test_says_that_sampled_rounds_are_grown_again(project):
    folder, settings, built = project("trees", options={"row_share": 0.5}, train={"epochs": 12})
    said = []
    result = verify_resume(folder, settings, built, steps=12, at=(9,), report=lambda text, _share: said.append(text))

    assert result.verdict == "exact"
    assert any("growing 9 rounds again" in text for text in said)


def test_is_cancelled_at_once_and_clears_up(project):
    folder, settings, built = project()
    cancelled = threading.Event()
    before = files_of(folder)
    with pytest.raises(Cancelled):
        verify_resume(folder, settings, built, report=lambda _text, _share: cancelled.set(), cancelled=cancelled)

    assert files_of(folder) == before
    assert not list((folder / ".epochal").glob("verify-*"))


@pytest.mark.parametrize(("steps", "at"), [(10**6, ()), (3, (3,)), (None, (2, 2))])
def test_refuses_steps_that_are_not_there(project, steps, at):
    folder, settings, built = project(train={"epochs": 1})
    with pytest.raises(RunError) as caught:
        verify_resume(folder, settings, built, steps=steps, at=at)

    assert caught.value.error_code in {"too-many-steps", "bad-stops"}
