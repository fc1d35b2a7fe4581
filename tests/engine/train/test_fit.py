"""Training from a snapshot to a bundle: what a run says, what it leaves behind, and what it refuses."""

from __future__ import annotations

from itertools import count, pairwise

import numpy as np
import pyarrow as pa
import pytest

from epochal.core.events import (
    BaselineDone,
    CheckpointSaved,
    EpochDone,
    Noticed,
    Resumed,
    RunEnded,
    StepsDone,
    TrainingStarted,
)
from epochal.project.checkpoints import newest_checkpoint
from epochal.project.runfile import read_run
from epochal.train.bundle import load_bundle
from epochal.train.fit import fit
from epochal.train.scoring import score


def nothing():
    return ()


class TestATraining:
    def test_learns_classes_and_leaves_a_bundle_that_beats_the_trivial_baseline(
        self, spec_of, blobs, held_out, family, small
    ):
        spec = spec_of(blobs(), target="label", family=family, options=small, train={"epochs": 30})
        events = list(fit(spec, nothing))
        rows = held_out(spec)
        predictor = load_bundle(spec.folder / "bundle")
        predictions = predictor.predict(rows.inputs)
        accuracy = score("classification", rows.target, predictions.scores)["accuracy"]
        trivial = score("classification", rows.target, predictor.baselines(rows.inputs)["trivial"].scores)["accuracy"]

        assert isinstance(events[-1], RunEnded)
        assert events[-1].state == "done"
        assert accuracy > 0.9 > trivial
        assert predictions.probabilities.shape == (len(rows), 3)
        assert np.allclose(predictions.probabilities.sum(axis=1), 1)
        assert predictions.names[0] in spec.classes

    def test_learns_numbers_and_says_an_interval_that_holds_most_of_them(self, spec_of, line, held_out, family, small):
        spec = spec_of(line(600), target="y", task="regression", family=family, options=small, train={"epochs": 25})
        events = list(fit(spec, nothing))
        rows = held_out(spec)
        predictions = load_bundle(spec.folder / "bundle").predict(rows.inputs)
        inside = (predictions.lower <= rows.target) & (rows.target <= predictions.upper)

        assert events[-1].state == "done"
        assert score("regression", rows.target, predictions.scores)["r2"] > 0.85
        assert 0.75 < inside.mean() <= 1

    def test_says_baselines_first_then_steps_and_evaluations_in_rising_order(self, spec_of, blobs, family, small):
        spec = spec_of(blobs(), target="label", family=family, options=small, train={"epochs": 20})
        events = list(fit(spec, nothing))
        started = next(i for i, e in enumerate(events) if isinstance(e, TrainingStarted))
        steps = [e.step for e in events if isinstance(e, StepsDone)]
        evaluations = [e for e in events if isinstance(e, EpochDone)]

        assert [e.name for e in events[:started] if isinstance(e, BaselineDone)] == ["trivial", "strong"]
        assert steps == sorted(set(steps))
        assert sum(e.count for e in events if isinstance(e, StepsDone)) == events[-1].steps
        assert evaluations[0].metrics.keys() >= {"accuracy", "f1", "log_loss", "roc_auc"}
        assert events[-1].best_value == max(e.value for e in evaluations)

    def test_tells_every_evaluation_of_a_short_run_with_the_steps_before_it(self, spec_of, blobs, family, small):
        spec = spec_of(blobs(), target="label", family=family, options=small, train={"epochs": 30, "patience": 30})
        told = [e for e in fit(spec, nothing) if isinstance(e, (StepsDone, EpochDone))]
        pairs = list(pairwise(told))

        assert sum(isinstance(e, EpochDone) for e in told) == 30
        assert all(isinstance(a, StepsDone) and a.step == b.step for a, b in pairs if isinstance(b, EpochDone))

    def test_computes_the_same_twice(self, spec_of, blobs, family, small):
        settings = {"family": family, "options": small, "train": {"epochs": 5}, "target": "label"}
        first, second = spec_of(blobs(), **settings), spec_of(blobs(), **settings, number=2)
        for spec in (first, second):
            list(fit(spec, nothing))
        weights = "model.txt" if family == "trees" else "model.safetensors"

        assert (first.folder / "bundle" / weights).read_bytes() == (second.folder / "bundle" / weights).read_bytes()

    def test_fits_sizes_and_passes_to_a_budget_and_writes_down_what_auto_became(self, spec_of, blobs):
        table = blobs(20_000)
        spec = spec_of(table, target="label", family="tabm", train={"budget": "2 s"})
        events = []
        for event in fit(spec, nothing):
            events.append(event)
            if isinstance(event, TrainingStarted):
                break
        resolved = read_run(spec.folder).resolved

        assert resolved["epochs"] == events[-1].epochs < 15
        assert resolved["options"]["members"] * resolved["options"]["width"] < 8 * 128

    def test_does_without_validation_rows(self, spec_of, blobs, held_out, family):
        spec = spec_of(blobs(), target="label", family="mlp", options={"width": 8}, train={"epochs": 3}, validation=0.0)
        events = list(fit(spec, nothing))

        assert events[-1].state == "done"
        assert events[-1].best_value is None
        assert any(getattr(e, "code", "") == "no-validation" for e in events)
        assert load_bundle(spec.folder / "bundle").predict(held_out(spec).inputs).probabilities is not None

    def test_weighs_rare_classes_more_when_asked(self, spec_of):
        rng = np.random.default_rng(0)
        x = rng.normal(size=600)
        label = np.where(x + rng.normal(0, 1.0, 600) > 1.8, "rare", "common")
        table = pa.table({"x": x, "label": label})
        recalls = []
        for number, weights in ((1, "none"), (2, "balanced")):
            spec = spec_of(table, target="label", number=number, train={"class_weights": weights, "epochs": 40})
            list(fit(spec, nothing))
            predictions = load_bundle(spec.folder / "bundle").predict(table)
            recalls.append((np.array(predictions.names) == "rare")[label == "rare"].mean())

        assert recalls[1] > recalls[0] + 0.2

    def test_stops_early_and_keeps_the_best_weights(self, spec_of, held_out, family):
        rng = np.random.default_rng(0)
        table = pa.table({"x": rng.normal(size=120), "label": rng.choice(["a", "b"], 120)})
        spec = spec_of(
            table, target="label", family="mlp", metric="log_loss", train={"epochs": 400, "patience": 5}, validation=0.3
        )
        events = list(fit(spec, nothing))
        predictor = load_bundle(spec.folder / "bundle")
        rows = held_out(spec, "validation")
        value = score("classification", rows.target, predictor.predict(rows.inputs).scores)["log_loss"]

        assert events[-1].reason.startswith("stopped early")
        assert value == pytest.approx(events[-1].best_value, abs=1e-6)


class TestAStop:
    def test_checkpoints_and_ends_normally_and_the_next_start_goes_on_there(self, spec_of, blobs, family, small):
        spec = spec_of(blobs(), target="label", family=family, options=small, train={"epochs": 40, "patience": 500})
        first = stopped(spec, 2)
        second = list(fit(read_run(spec.folder), nothing))
        resumed = next(e for e in second if isinstance(e, Resumed))

        assert first[-1].state == "stopped"
        assert resumed.from_step == first[-1].steps
        assert not any(isinstance(e, BaselineDone) for e in second)
        assert second[-1].state == "done"

    def test_keeps_the_best_model_so_far_which_a_resume_replaces(self, spec_of, blobs, held_out, family, small):
        spec = spec_of(blobs(), target="label", family=family, options=small, train={"epochs": 40, "patience": 500})
        end = stopped(spec, 3)[-1]
        predictor = load_bundle(spec.folder / "bundle")
        rows = held_out(spec, "validation")
        value = score("classification", rows.target, predictor.predict(rows.inputs).scores)["accuracy"]
        last = list(fit(read_run(spec.folder), nothing))[-1]

        assert end.state == "stopped"
        assert value == pytest.approx(end.best_value)
        assert predictor.facts["best_step"] == end.best_step
        assert load_bundle(spec.folder / "bundle").facts["best_step"] == last.best_step

    def test_before_the_first_evaluation_is_judged_once_and_a_resume_computes_as_if_it_was_not(
        self, spec_of, blobs, held_out
    ):
        settings = {"target": "label", "train": {"epochs": 300, "patience": 300}}
        whole, broken = spec_of(blobs(), **settings), spec_of(blobs(), **settings, number=2)
        list(fit(whole, nothing))
        first = stopped(broken, 1)
        list(fit(read_run(broken.folder), nothing))

        assert first[-1].steps < read_run(broken.folder).resolved["evaluate_every"]
        assert [e.step for e in first if isinstance(e, EpochDone)] == [first[-1].steps] == [first[-1].best_step]
        weights = [(spec.folder / "bundle" / "model.safetensors").read_bytes() for spec in (whole, broken)]
        assert weights[0] == weights[1]

    def test_before_the_first_step_leaves_nothing_to_go_on_from(self, spec_of, blobs):
        spec = spec_of(blobs(), target="label")

        assert list(fit(spec, lambda: ("stop",)))[-1].state == "stopped"
        assert newest_checkpoint(spec.folder) is None

    def test_a_checkpoint_asked_for_is_written_and_training_goes_on(self, spec_of, blobs):
        spec = spec_of(blobs(), target="label", train={"epochs": 15})
        asked = [("checkpoint",)]
        events = list(fit(spec, lambda: asked.pop() if asked else ()))

        assert [e.kind for e in events].count("checkpoint") >= 1
        assert events[-1].state == "done"

    def test_is_what_a_run_ends_with_whose_checkpoints_cannot_be_written(self, spec_of, blobs):
        spec = spec_of(blobs(), target="label", train={"epochs": 1000, "patience": 1000})
        events = []
        for event in fit(spec, lambda: ("checkpoint",)):
            events.append(event)
            if isinstance(event, TrainingStarted):
                (spec.folder / "checkpoints").rename(spec.folder / "elsewhere")
                (spec.folder / "checkpoints").write_text("a file where the folder should be")

        refused = [e for e in events if isinstance(e, Noticed) and e.code == "not-saved"]
        assert len(refused) >= 3
        assert (events[-1].state, events[-1].reason) == ("stopped", "3 checkpoints in a row could not be written")
        assert load_bundle(spec.folder / "bundle").facts["best_step"] == events[-1].best_step

    def test_tells_every_step_before_the_checkpoint_that_holds_it(self, spec_of, blobs, family, small):
        spec = spec_of(blobs(), target="label", family=family, options=small, train={"epochs": 20})
        told = 0
        for event in fit(spec, lambda: ("checkpoint",)):
            told += event.count if isinstance(event, StepsDone) else 0
            if isinstance(event, CheckpointSaved):
                assert told == event.step > 0


class TestAnotherStart:
    def test_ends_with_the_uninterrupted_bundle_wherever_it_was_stopped(self, spec_of, blobs, family, small):
        settings = {"target": "label", "family": family, "options": small, "train": {"epochs": 40, "patience": 99}}
        whole, broken = spec_of(blobs(), **settings), spec_of(blobs(), **settings, number=2)
        list(fit(whole, nothing))
        for windows in (1, 2, 1):
            assert stopped(read_run(broken.folder), windows)[-1].state == "stopped"
        end = list(fit(read_run(broken.folder), nothing))[-1]
        weights = "model.txt" if family == "trees" else "model.safetensors"

        assert end.state == "done"
        assert (broken.folder / "bundle" / weights).read_bytes() == (whole.folder / "bundle" / weights).read_bytes()

    def test_without_a_checkpoint_begins_again_and_says_so(self, spec_of, blobs):
        spec = spec_of(blobs(), target="label", train={"epochs": 5})
        for event in fit(spec, nothing):
            if isinstance(event, TrainingStarted):
                break
        resumed = next(e for e in fit(read_run(spec.folder), nothing) if isinstance(e, Resumed))

        assert (resumed.from_step, resumed.folder) == (0, "")


def stopped(spec, windows):
    """What a run says that is asked to stop after so many windows of steps."""
    events, looks = [], count(1)

    def poll():
        training = any(isinstance(e, TrainingStarted) for e in events)
        return ("stop",) if training and next(looks) == windows else ()

    for event in fit(spec, poll):
        events.append(event)  # noqa: PERF402 - the requests look at what was said so far
    return events
