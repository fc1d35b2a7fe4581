"""Training from a snapshot to a bundle: what a run says, what it leaves behind, and what it refuses."""

from __future__ import annotations

import errno
import resource
from itertools import count, pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from epochal.core.events import (
    BaselineDone,
    CheckpointSaved,
    EpochDone,
    Noticed,
    PhaseStarted,
    Resumed,
    RunEnded,
    StepsDone,
    TrainingStarted,
    Waiting,
)
from epochal.fsio import NotSaved
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

    def test_never_goes_into_the_folder_of_another_run_that_took_the_place(self, spec_of, blobs):
        spec = spec_of(blobs(), target="label", train={"epochs": 1000, "patience": 1000})
        other = spec.folder / "checkpoints" / "step-00000003"
        events = []
        for event in fit(spec, lambda: ("checkpoint",)):
            events.append(event)
            if isinstance(event, TrainingStarted):
                spec.folder.rename(spec.folder.with_name("moved"))
                other.mkdir(parents=True)

        assert {e.code for e in events if isinstance(e, Noticed)} >= {"not-saved"}
        assert [p.name for p in spec.folder.rglob("*")] == ["checkpoints", other.name]

    def test_nor_does_the_model_when_the_run_was_moved_before_it_was_kept(self, spec_of, blobs):
        spec = spec_of(blobs(), target="label", train={"epochs": 2})
        training = fit(spec, nothing)
        for event in training:
            if isinstance(event, PhaseStarted) and event.name == "finishing":
                spec.folder.rename(spec.folder.with_name("moved"))
                break

        with pytest.raises(NotSaved, match="moved or deleted"):
            list(training)
        assert not spec.folder.exists()

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

    def test_that_cannot_keep_its_model_lets_the_earlier_one_stand(self, spec_of, blobs, monkeypatch):
        spec = spec_of(blobs(), target="label", train={"epochs": 40, "patience": 99})
        stopped(spec, 1)
        before = load_bundle(spec.folder / "bundle").facts
        rename = Path.rename

        def refused(path, target):
            if path.name.startswith(".bundle."):
                raise PermissionError(errno.EACCES, "Permission denied")
            return rename(path, target)

        monkeypatch.setattr(Path, "rename", refused)
        with pytest.raises(NotSaved):
            list(fit(read_run(spec.folder), nothing))

        assert load_bundle(spec.folder / "bundle").facts == before
        assert not list(spec.folder.glob(".*.bundle.*"))

    def test_clears_what_one_that_was_killed_left_of_its_model(self, spec_of, blobs):
        spec = spec_of(blobs(), target="label", train={"epochs": 2})
        for name in (".bundle.0123456789ab.tmp", ".trash.bundle.0123456789ab.tmp"):
            (spec.folder / name).mkdir()
        list(fit(spec, nothing))

        assert not list(spec.folder.glob(".*"))
        assert load_bundle(spec.folder / "bundle").facts["run"] == spec.name

    def test_without_a_checkpoint_begins_again_and_says_so(self, spec_of, blobs):
        spec = spec_of(blobs(), target="label", train={"epochs": 5})
        for event in fit(spec, nothing):
            if isinstance(event, TrainingStarted):
                break
        resumed = next(e for e in fit(read_run(spec.folder), nothing) if isinstance(e, Resumed))

        assert (resumed.from_step, resumed.folder) == (0, "")


class TestARunThatEndedAndWasKilledBeforeItsModelWasKept:
    ENDS = (
        {"epochs": 6, "patience": 99},
        {"epochs": 400, "patience": 2, "learning_rate": 0.05},
        {"epochs": 100_000, "patience": 100_000, "time_limit": "0.3 s"},
    )

    @pytest.mark.parametrize("train", ENDS, ids=("all steps", "patience", "time limit"))
    def test_ends_where_it_ended_when_it_is_resumed(self, spec_of, blobs, family, small, train):
        options = {**small, "rounds": 6 if "time_limit" not in train else 100_000} if family == "trees" else small
        spec = spec_of(blobs(), target="label", family=family, options=options, train=train)
        first = list(until_finishing(spec))
        saved = [e for e in first if isinstance(e, CheckpointSaved)][-1]
        again = list(fit(read_run(spec.folder), nothing))

        assert not any(isinstance(e, (StepsDone, EpochDone, CheckpointSaved)) for e in again)
        assert (again[-1].state, again[-1].steps) == ("done", saved.step)
        assert again[-1].best_step == max((e.step for e in first if isinstance(e, EpochDone) and e.best), default=None)

    @pytest.mark.parametrize("train", ENDS[:2], ids=("all steps", "patience"))
    def test_keeps_the_bundle_and_the_words_of_the_uninterrupted_one(self, spec_of, blobs, family, small, train):
        options = {**small, "rounds": 40} if family == "trees" else small
        settings = {"target": "label", "family": family, "options": options, "train": train}
        whole, broken = spec_of(blobs(), **settings), spec_of(blobs(), **settings, number=2)
        straight = list(fit(whole, nothing))[-1]
        list(until_finishing(broken))
        resumed = list(fit(read_run(broken.folder), nothing))[-1]
        learnt = ("model.txt" if family == "trees" else "model.safetensors", "validation.parquet")

        assert (resumed.reason, resumed.best_value) == (straight.reason, straight.best_value)
        for name in learnt:
            assert (broken.folder / "bundle" / name).read_bytes() == (whole.folder / "bundle" / name).read_bytes()

    def test_is_so_too_when_no_tree_can_be_grown_any_more(self, spec_of, blobs):
        options = {"rounds": 500, "min_leaf": 90}
        spec = spec_of(blobs(), target="label", family="trees", options=options, train={"patience": 500})
        first = list(until_finishing(spec))
        judged = [e.step for e in first if isinstance(e, EpochDone)]
        again = list(fit(read_run(spec.folder), nothing))

        assert judged == sorted(set(judged))
        assert len(judged) < 500
        assert not any(isinstance(e, (StepsDone, EpochDone)) for e in again)
        assert again[-1].steps == judged[-1]


@pytest.mark.parametrize("memory", ["auto", "600 kB"], ids=["in memory", "in blocks"])
@pytest.mark.parametrize("target", ["label", "y"])
def test_trees_are_kept_and_said_of_the_validation_rows_as_they_were_best(spec_of, held_out, memory, target):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4000, 3))
    y = x[:, 0] + rng.normal(scale=2.0, size=4000)
    table = pa.table(
        {"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], target: y if target == "y" else np.where(y > 0, "no", "yes")}
    )
    options = {"rounds": 60}
    spec = spec_of(
        table,
        target=target,
        task="regression" if target == "y" else "classification",
        family="trees",
        options=options,
        train={"memory": memory, "patience": 500, "learning_rate": 0.5},
    )
    end = list(fit(spec, nothing))[-1]
    kept = pq.read_table(spec.folder / "bundle" / "validation.parquet")
    bundle = load_bundle(spec.folder / "bundle")
    rows = held_out(spec, "validation")
    said = bundle.predict(rows.inputs)

    assert (end.state, end.steps) == ("done", 60)
    assert end.best_step < 50
    if target == "y":
        assert kept["prediction"].to_numpy() == pytest.approx(said.values, rel=1e-9)
        residuals = np.abs(rows.target - said.values)
        assert np.mean(residuals <= bundle.half_width) == pytest.approx(0.9, abs=0.01)
        assert np.sqrt(np.mean(residuals**2)) == pytest.approx(end.best_value, rel=1e-9)
    else:
        assert kept["probability_yes"].to_numpy() == pytest.approx(said.probabilities[:, 1], rel=1e-9)


def until_finishing(spec):
    """What a run says until all that is left is to keep its model; there it is killed."""
    for event in fit(spec, nothing):
        if isinstance(event, PhaseStarted) and event.name == "finishing":
            return
        yield event


def stopped(spec, windows):
    """What a run says that is asked to stop after so many windows of steps."""
    events, looks = [], count(1)

    def poll():
        training = any(isinstance(e, TrainingStarted) for e in events)
        return ("stop",) if training and next(looks) == windows else ()

    for event in fit(spec, poll):
        events.append(event)  # noqa: PERF402 - the requests look at what was said so far
    return events


class TestAFullDisk:
    """Simulated by the size a file may have here, which the system refuses in the same way."""

    @pytest.fixture(autouse=True)
    def soon(self, monkeypatch):
        monkeypatch.setattr("epochal.train.room.RETRY_SECONDS", 0.1)

    @pytest.fixture
    def limit(self):
        """A function that lets files grow to so many bytes at most, or as far as before."""
        before = resource.getrlimit(resource.RLIMIT_FSIZE)

        def to(size=None):
            resource.setrlimit(resource.RLIMIT_FSIZE, before if size is None else (size, before[1]))

        yield to
        to()

    def test_before_the_first_step_is_waited_for_like_later_ones(self, spec_of, blobs, limit):
        spec = spec_of(blobs(), target="label", family="linear", train={"epochs": 2})
        waited = []
        for event in fit(spec, nothing):
            if isinstance(event, PhaseStarted) and event.name in {"baselines", "probing"}:
                limit(200)
            elif isinstance(event, Waiting):
                waited.append(event.why)
                limit()
        end = event

        assert end.state == "done"
        assert [why.partition(" was not saved")[0] for why in waited] == [
            "what the model is compared with",
            "the plan of the run",
        ]

    @pytest.mark.parametrize("phase", ["baselines", "probing"])
    def test_before_the_first_step_does_not_keep_a_stop_waiting(self, spec_of, blobs, limit, phase):
        spec = spec_of(blobs(), target="label", family="linear", train={"epochs": 2})
        asked = []
        for event in fit(spec, lambda: asked):
            if isinstance(event, PhaseStarted) and event.name == phase:
                limit(200)
            elif isinstance(event, Waiting):
                asked.append("stop")
        end = event

        assert (end.state, end.reason) == ("stopped", "stopped before the first step; there is nothing to keep")

    def test_while_its_size_is_fitted_ends_it_without_a_step(self, spec_of, blobs):
        asked, events = [], []
        for event in fit(spec_of(blobs(), target="label", family="mlp", train={"epochs": 2}), lambda: asked):
            events.append(event)
            if isinstance(event, PhaseStarted) and event.name == "probing":
                asked.append("stop")

        assert not any(isinstance(event, (StepsDone, EpochDone, CheckpointSaved)) for event in events)
        assert (events[-1].state, events[-1].reason) == (
            "stopped",
            "stopped before the first step; there is nothing to keep",
        )
