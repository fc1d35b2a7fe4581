"""Checkpoints: complete or absent, exact, and refused where they cannot be what they say."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from epochal.project import checkpoints
from epochal.project.checkpoints import is_whole, newest_checkpoint, read_checkpoint, where_to_go_on
from epochal.train.checkpoint import BadCheckpoint, load_checkpoint, save_checkpoint
from epochal.train.make import make_learner, prepare
from epochal.train.plan import draft_plan
from epochal.train.rows import read_training
from epochal.train.state import TrainState, advance, judge


DATA = {"snapshot": "snap", "split": "split"}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def start(spec_of, blobs, family, small):
    """A function that gives the run's state as a new process would make it, with its evaluation."""
    spec = spec_of(blobs(), target="label", family=family, options=small, train={"epochs": 4})
    prepared = prepare(read_training(spec))
    plan = replace(draft_plan(spec.project, family, prepared), patience=99)

    def fresh():
        return TrainState(learner=make_learner(prepared, family, plan).learner, plan=plan, metric="accuracy")

    def go(state, steps):
        for _ in range(steps):
            advance(state, 1)
            if state.evaluation_due:
                judge(state, "classification", prepared.data.validation.target, 0)

    return spec.folder, fresh, go


def hashes(folder):
    return json.loads((folder / "manifest.json").read_text())["files"]


class TestJudgingAgain:
    @pytest.mark.parametrize("weights", ["none", "balanced", None])
    def test_says_the_same_before_a_further_step_is_taken(self, *, spec_of, blobs, line, family, small, weights):
        if weights is None:
            asked = {"table": line(), "target": "y", "task": "regression", "train": {"epochs": 4}}
        else:
            asked = {"table": blobs(), "target": "label", "train": {"epochs": 4, "class_weights": weights}}
        spec = spec_of(**asked, family=family, options=small)
        prepared = prepare(read_training(spec))
        plan = draft_plan(spec.project, family, prepared)
        saved, loaded = (make_learner(prepared, family, plan).learner for _ in range(2))
        saved.advance(3)
        (spec.folder / "saved").mkdir()
        saved.save(spec.folder / "saved")
        loaded.load(spec.folder / "saved")
        before, after = saved.evaluate(), loaded.evaluate()

        assert after.loss == pytest.approx(before.loss, rel=1e-9)
        np.testing.assert_allclose(after.prediction, before.prediction, rtol=1e-9)


class TestResuming:
    def test_twice_at_any_step_ends_with_the_same_weights_moments_and_generators(self, start):
        folder, fresh, go = start
        straight = fresh()
        total, epoch = straight.learner.total_steps, straight.learner.steps_per_epoch
        go(straight, total)
        golden = hashes(save_checkpoint(folder / "golden", straight, DATA).folder)
        for first in sorted({1, max(1, epoch - 1), epoch, epoch + 1}):
            place = folder / f"from-{first}"
            state = fresh()
            go(state, first)
            save_checkpoint(place, state, DATA)
            for more in (1, total - first - 1):
                torch.manual_seed(12345)  # whatever a new process draws first
                state = fresh()
                load_checkpoint(newest_checkpoint(place), state, DATA)
                go(state, more)
                last = save_checkpoint(place, state, DATA)

            assert hashes(last.folder) == golden, first

    def test_brings_the_counters_back(self, start):
        folder, fresh, go = start
        state = fresh()
        go(state, state.plan.evaluate_every * 2)
        state.counters.seconds = 3.5
        saved = save_checkpoint(folder, state, DATA)
        other = fresh()
        load_checkpoint(saved.folder, other, DATA)

        assert other.counters == state.counters
        assert (other.learner.step, other.epoch) == (state.learner.step, state.epoch)


class TestAFolder:
    def test_that_is_not_whole_does_not_exist_and_the_one_before_is_taken(self, start):
        folder, fresh, go = start
        state = fresh()
        go(state, 1)
        older = save_checkpoint(folder, state, DATA)
        go(state, 1)
        newer = save_checkpoint(folder, state, DATA)
        weights = next(newer.folder.glob("model.*"))
        content = weights.read_bytes()
        for damaged in (content[:-1], content[:-1] + bytes([content[-1] ^ 1]), b""):
            weights.write_bytes(damaged)

            assert newest_checkpoint(folder) == older.folder
        with pytest.raises(BadCheckpoint, match="damaged"):
            load_checkpoint(newer.folder, fresh(), DATA)

    def test_of_other_data_is_refused_before_anything_is_loaded(self, start):
        folder, fresh, go = start
        state = fresh()
        go(state, 1)
        saved = save_checkpoint(folder, state, DATA)
        other = fresh()
        with pytest.raises(BadCheckpoint, match="another snapshot"):
            load_checkpoint(saved.folder, other, {**DATA, "snapshot": "newer"})

        assert other.learner.step == 0

    def test_holds_no_pickle(self, start):
        folder, fresh, go = start
        state = fresh()
        go(state, 2)
        saved = save_checkpoint(folder, state, DATA)

        assert {p.suffix for p in saved.folder.iterdir()} <= {".json", ".safetensors", ".txt"}

    def test_goes_when_two_newer_ones_stand(self, start):
        folder, fresh, go = start
        state = fresh()
        for _ in range(4):
            go(state, 1)
            save_checkpoint(folder, state, DATA)

        assert [p.name for p in sorted((folder / "checkpoints").iterdir())] == ["step-00000003", "step-00000004"]

    def test_with_a_manifest_that_is_none_does_not_exist(self, start):
        folder, fresh, go = start
        state = fresh()
        go(state, 1)
        older = save_checkpoint(folder, state, DATA)
        go(state, 1)
        newer = save_checkpoint(folder, state, DATA)
        manifest = newer.folder / "manifest.json"
        good = json.loads(manifest.read_text())
        outside = {**good["files"], "../../run.toml": good["files"][min(good["files"])]}
        for wrong in (
            {**good, "files": {}},
            {**good, "files": []},
            {**good, "files": outside},
            {**good, "belongs": None},
            {k: v for k, v in good.items() if k != "counters"},
            *({**good, "epoch": value} for value in (None, "2", True, [], 10**400)),
            *({**good, "value": value} for value in ("0.9", False, {}, 10**400)),
            *({**good, "step": value} for value in (None, "2", 2.5, True)),
            [good],
        ):
            manifest.write_text(json.dumps(wrong))

            assert newest_checkpoint(folder) == older.folder
            assert where_to_go_on(folder, [1, 2]).checkpoint.folder == older.folder

    def test_of_more_steps_is_newer_however_long_its_number(self, start):
        folder, fresh, go = start
        state = fresh()
        go(state, 1)
        saved = save_checkpoint(folder, state, DATA).folder
        for steps in (99_999_999, 100_000_000):
            shutil.copytree(saved, saved.with_name(f"step-{steps:08d}"))

        assert newest_checkpoint(folder).name == "step-100000000"

    def test_of_a_step_that_is_there_already_takes_its_place_and_keeps_its_pin(self, start):
        """As after a resume from before it with other settings: what is told to be saved is what is saved."""
        folder, fresh, go = start
        state = fresh()
        go(state, 1)
        older = save_checkpoint(folder, state, DATA)
        go(state, 1)
        state.counters.last_train_loss = float("inf")
        stale = save_checkpoint(folder, state, DATA, pinned=True)
        other = fresh()
        load_checkpoint(older.folder, other, DATA)
        other.counters.seconds = 77.0
        go(other, 1)
        saved = save_checkpoint(folder, other, DATA)
        found = read_checkpoint(saved.folder)

        assert (stale.folder, stale.healthy) == (saved.folder, False)
        assert (saved.healthy, found.healthy, found.counters["seconds"]) == (True, True, 77.0)
        assert is_whole(saved.folder)
        assert found.pinned

    def test_that_is_damaged_is_not_kept_in_the_place_of_a_whole_one(self, start):
        folder, fresh, go = start
        state = fresh()
        for _ in range(2):
            go(state, 1)
            save_checkpoint(folder, state, DATA)
        (folder / "checkpoints" / "step-00000002" / "manifest.json").write_text("{}")
        go(state, 1)
        save_checkpoint(folder, state, DATA)

        assert [p.name for p in sorted((folder / "checkpoints").iterdir())] == ["step-00000001", "step-00000003"]

    def test_that_is_pinned_while_it_is_being_rotated_out_stays(self, start, monkeypatch):
        """A pin that was acknowledged holds, whenever it came: here just before the folder is renamed."""
        folder, fresh, go = start
        state = fresh()
        first = folder / "checkpoints" / "step-00000001"
        rename = type(first).rename

        def pinned_first(path, target):
            if path == first:
                checkpoints.pin(first)
            return rename(path, target)

        go(state, 1)
        save_checkpoint(folder, state, DATA)
        monkeypatch.setattr(type(first), "rename", pinned_first)
        for _ in range(3):
            go(state, 1)
            save_checkpoint(folder, state, DATA)

        assert checkpoints.is_whole(first)
        assert checkpoints.read_checkpoint(first).pinned
        assert [p.name for p in sorted((folder / "checkpoints").iterdir())] == [
            "step-00000001",
            "step-00000003",
            "step-00000004",
        ]
