"""What short throw-away trainings show before a run: faults of the data, faults of the settings, what to set instead."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from epochal.core.events import EpochDone
from epochal.core.settings import parse_project, to_document
from epochal.host import plain
from epochal.project.checkpoints import checkpoints_of
from epochal.train.checks.overfit import overfit
from epochal.train.checks.rates import range_test
from epochal.train.checks.sizes import largest_that_fits, size_test
from epochal.train.checks.subject import Subject, floor_loss, guess_loss
from epochal.train.checks.untrained import untrained
from epochal.train.fit import fit
from epochal.train.make import dense_rows, make_learner, prepare
from epochal.train.plan import draft_plan
from epochal.train.rows import read_training
from epochal.train.trial import try_training
from epochal.workbench.verdicts import verdicts


pytestmark = pytest.mark.usefixtures("one_thread")


def subject_of(spec):
    family = spec.project.model.family
    prepared = prepare(read_training(spec))
    plan = draft_plan(spec.project, family, prepared)
    dense = None if family == "trees" else dense_rows(prepared)
    fitted = make_learner(prepared, family, plan, dense).fitted
    return Subject(prepared=prepared, family=family, plan=plan, dense=dense, fitted=fitted)


def soon(seconds=60.0):
    return time.perf_counter() + seconds


def set_to(spec, **train):
    document = to_document(spec.project)
    return replace(spec, project=parse_project({**document, "train": {**document.get("train", {}), **train}}))


def shuffled(table, columns=None):
    """The table with its labels dealt out anew; with `columns` alone as inputs."""
    labels = np.random.default_rng(7).permutation(np.array(table["label"].to_pylist(), dtype=object))
    kept = table.select(columns) if columns else table.drop_columns(["label"])
    return kept.append_column("label", pa.array(labels.tolist()))


class TestAnUntrainedModel:
    def test_says_every_class_alike(self, spec_of, blobs, family, small):
        found = untrained(subject_of(spec_of(blobs(), target="label", family=family, options=small)))

        assert found.expected == pytest.approx(math.log(3))
        assert found.loss == pytest.approx(found.expected, rel=1e-5 if found.exact else 0.2)
        assert found.exact == (family in {"linear", "trees"})

    def test_has_the_same_loss_when_classes_are_weighted(self, spec_of, blobs):
        spec = spec_of(blobs(), target="label", family="linear", train={"class_weights": "balanced"})

        assert untrained(subject_of(spec)).loss == pytest.approx(math.log(3), rel=1e-5)

    def test_is_off_by_the_spread_of_a_number(self, spec_of, line, family, small):
        found = untrained(subject_of(spec_of(line(), target="y", task="regression", family=family, options=small)))

        assert found.expected == pytest.approx(1.0, rel=1e-3)
        assert found.loss == pytest.approx(1.0, rel=1e-3 if found.exact else 0.25)


class TestOneBatch:
    def test_is_learnt_by_heart_by_every_family(self, spec_of, blobs, family):
        found = overfit(subject_of(spec_of(blobs(), target="label", family=family)), soon())

        assert found.floor == 0
        assert found.loss < 0.1 * found.guess
        assert found.otherwise is None

    def test_of_a_number_is_learnt_too(self, spec_of, line, family):
        found = overfit(subject_of(spec_of(line(), target="y", task="regression", family=family)), soon())

        assert found.loss < 0.1

    @pytest.mark.parametrize("settings", [{"learning_rate": 1e-6}, {"optimiser": "sgd", "learning_rate": 1e-7}])
    def test_that_only_the_settings_hinder_is_learnt_with_the_family_s_own(self, spec_of, blobs, settings):
        found = overfit(subject_of(spec_of(blobs(), target="label", family="mlp", train=settings)), soon())

        assert found.loss > 0.5 * found.guess
        assert found.otherwise < 0.1 * found.guess

    @pytest.mark.parametrize("options", [{"dropout": 0.9}, {"dropout": 0.9, "depth": 4}])
    def test_is_learnt_whatever_guards_against_that_in_a_run(self, spec_of, blobs, options):
        guarded = {"weight_decay": 1.0, "label_smoothing": 0.5, "ema": 0.999}
        found = overfit(
            subject_of(spec_of(blobs(), target="label", family="mlp", options=options, train=guarded)), soon()
        )

        assert found.loss < 0.1 * found.guess

    @pytest.mark.parametrize("kind", ["linear", "mlp", "tabm", "trees"])
    def test_whose_equal_rows_have_different_targets_has_a_floor(self, spec_of, blobs, kind):
        """Labels without any sense: of a colour and a flag alone no model can tell them, and the floor says how far."""
        found = overfit(subject_of(spec_of(shuffled(blobs(), ["colour", "flag"]), target="label", family=kind)), soon())

        assert 0.3 * found.guess < found.floor <= found.loss + 1e-3

    def test_stops_when_time_is_up_and_says_so(self, spec_of, blobs):
        found = overfit(
            subject_of(spec_of(blobs(), target="label", family="mlp", train={"learning_rate": 1e-6})), soon(0)
        )

        assert found.cut_short
        assert found.otherwise is None


class TestTheLowestLoss:
    def test_is_that_of_the_best_answer_for_each_group_of_equal_rows(self):
        inputs = np.array([[0], [0], [1], [1]])
        quarter = np.array([0, 1, 1, 1])

        assert floor_loss("classification", np.array([0, 0, 1, 1]), inputs) == 0
        assert floor_loss("classification", quarter, inputs) == pytest.approx(math.log(2) / 2)
        assert floor_loss("classification", quarter, inputs[:, :0]) == guess_loss("classification", quarter)
        assert floor_loss("regression", np.array([1.0, 3.0, 9.0, 9.0]), inputs) == pytest.approx(0.5 / 12.75)


class TestARangeTest:
    @pytest.mark.parametrize("kind", ["linear", "mlp", "tabm"])
    def test_suggests_a_rate_near_a_good_one(self, spec_of, blobs, kind):
        """Each family's own rate was chosen by comparing trainings: the test must come within a factor of ten of it."""
        subject = subject_of(spec_of(blobs(), target="label", family=kind))
        found = range_test(subject, soon())

        assert subject.plan.learning_rate / 10 < found.suggested < subject.plan.learning_rate * 10
        assert found.rows == subject.plan.batch_size
        assert not found.cut_short

    def test_suggests_a_rate_that_learns_a_line(self, spec_of, line):
        spec = spec_of(line(), target="y", task="regression", family="mlp", options={"width": 16})
        found = range_test(subject_of(spec), soon())
        trained = fit(set_to(spec, learning_rate=found.suggested, epochs=60), tuple)
        judged = [event.metrics["r2"] for event in trained if isinstance(event, EpochDone)]

        assert max(judged) > 0.9

    @pytest.mark.parametrize("kind", ["mlp", "tabm"])
    def test_sees_from_where_a_rate_is_too_high(self, spec_of, blobs, kind):
        found = range_test(subject_of(spec_of(blobs(), target="label", family=kind)), soon())

        assert 10 * found.suggested < found.highest < 10

    def test_reaches_beyond_a_rate_that_is_set_out_of_its_range(self, spec_of, blobs):
        found = range_test(
            subject_of(spec_of(blobs(), target="label", family="linear", train={"learning_rate": 1e-8})), soon()
        )

        assert found.curve[0][0] < 1e-8 < found.curve[-1][0]

    def test_rises_by_equal_factors_and_is_the_same_again(self, spec_of, blobs):
        subject = subject_of(spec_of(blobs(), target="label", family="mlp", options={"width": 16}))
        first, second = range_test(subject, soon()), range_test(subject, soon())

        rates = np.log([rate for rate, _loss in first.curve])
        assert np.allclose(np.diff(rates), np.diff(rates)[0])
        assert first == second

    def test_suggests_nothing_when_there_is_nothing_to_learn(self, spec_of, blobs):
        nonsense = shuffled(blobs(2000), ["flag"])
        found = range_test(subject_of(spec_of(nonsense, target="label", family="linear")), soon())

        assert found.suggested is None
        assert found.curve
        assert found.highest is None or found.highest > 0.1  # what chance does to such a loss is no rise

    def test_takes_fewer_rows_a_step_when_time_is_short(self, spec_of, blobs):
        subject = subject_of(spec_of(blobs(3000), target="label", family="tabm", train={"batch_size": 2048}))

        assert range_test(subject, soon(2.0)).rows < 2048

    def test_is_not_for_trees(self, spec_of, blobs):
        found = range_test(subject_of(spec_of(blobs(), target="label", family="trees")), soon())

        assert found.suggested is None
        assert found.why_not


class TestASizeTest:
    def test_measures_speed_and_memory_around_the_size_in_force(self, spec_of, blobs):
        options = {"width": 24, "depth": 2}
        found = size_test(subject_of(spec_of(blobs(3000), target="label", family="mlp", options=options)), soon(4))

        sizes = [size for size, _ in found.throughput]
        assert sizes == sorted(sizes)
        assert found.in_force in sizes
        assert len(sizes) >= 4
        assert all(speed > 0 for _, speed in found.throughput)
        best = max(speed for _, speed in found.throughput)
        assert found.suggested == next(size for size, speed in found.throughput if speed >= 0.9 * best)
        needs = dict(found.memory)
        assert needs[sizes[-1]] > 2 * needs[sizes[0]]
        assert all(need >= size * 2 * 24 * 4 for size, need in needs.items())  # what each hidden layer gave, float32
        assert found.largest is None

    def test_sees_that_single_rows_are_slow(self, spec_of, blobs):
        found = size_test(
            subject_of(spec_of(blobs(1000), target="label", family="mlp", train={"batch_size": 1})), soon(4)
        )
        speeds = dict(found.throughput)

        assert speeds[1] < 0.5 * max(speeds.values())
        assert found.suggested > 1

    def test_leaves_the_largest_out_when_time_is_up(self, spec_of, blobs):
        found = size_test(subject_of(spec_of(blobs(3000), target="label", family="mlp")), soon(0))

        assert found.cut_short
        assert found.suggested is None

    def test_finds_the_most_rows_that_fit_as_far_as_there_are_rows(self, spec_of, blobs):
        subject = subject_of(spec_of(blobs(), target="label", family="mlp", options={"width": 8}))

        assert largest_that_fits(subject, soon()) == subject.num_rows

    def test_is_not_for_trees(self, spec_of, blobs):
        assert size_test(subject_of(spec_of(blobs(), target="label", family="trees")), soon()).why_not


def tried(spec, **asked):
    cache = spec.project_folder / ".epochal"
    return try_training(
        spec.project,
        cache / "snapshots" / "snap",
        cache / "splits" / "split",
        inputs=spec.inputs,
        classes=spec.classes,
        **asked,
    )


def said(spec):
    """The verdicts on a spec, by name."""
    return {v.name: v for v in verdicts(plain(tried(spec).checks), spec.project)}


def stood(folder):
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


class TestATrial:
    def test_tells_what_a_run_costs_and_what_the_checks_found(self, spec_of, blobs, family, small):
        heard = []
        spec = spec_of(blobs(), target="label", family=family, options=small)
        found = tried(spec, report=lambda text, share: heard.append((text, share)))

        assert found.healthy
        assert found.disk_bytes > 4 * found.checkpoint_bytes + found.bundle_bytes
        assert set(found.checks.seconds) == {"untrained_loss", "overfit", "learning_rate", "batch_size"}
        assert sum(found.checks.seconds.values()) < 30
        assert [share for _, share in heard] == sorted(share for _, share in heard)

    def test_knows_about_what_will_stand_on_disk(self, spec_of, blobs, family, small):
        spec = spec_of(blobs(2000), target="label", family=family, options=small, train={"epochs": 20})
        found = tried(spec, probes=False)
        list(fit(spec, tuple))

        checkpoints = [stood(c.folder) for c in checkpoints_of(spec.folder)]
        baselines = stood(spec.folder / "checkpoints" / "baselines")
        # Of trees nobody knows how many leaves they will have: at most as many as they may.
        most = 2.0 if family == "trees" else 1.3
        assert 0.7 < found.checkpoint_bytes / max(checkpoints) < most
        assert 0.7 < found.bundle_bytes / stood(spec.folder / "bundle") < most
        assert sum(checkpoints) + baselines + stood(spec.folder / "bundle") < 1.3 * found.disk_bytes

    def test_leaves_the_checks_out_where_they_are_not_asked_for(self, spec_of, blobs):
        assert tried(spec_of(blobs(), target="label"), probes=False).checks is None

    def test_leaves_nothing_in_the_project(self, spec_of, blobs):
        spec = spec_of(blobs(), target="label", family="mlp", options={"width": 8})
        before = sorted(spec.project_folder.rglob("*"))
        tried(spec)

        assert sorted(spec.project_folder.rglob("*")) == before


class TestVerdicts:
    def test_are_good_where_nothing_is_wrong(self, spec_of, blobs, family):
        spec = spec_of(blobs(), target="label", family=family)

        assert {v.severity for v in said(spec).values()} <= {"ok", "unsaid"}

    def test_name_the_floor_of_labels_that_make_no_sense(self, spec_of, blobs):
        verdict = said(spec_of(shuffled(blobs(), ["colour", "flag"]), target="label", family="mlp"))["overfit"]

        assert (verdict.severity, verdict.code) == ("warning", "cannot-overfit")
        assert "rows with equal inputs have different targets" in verdict.what

    def test_warn_of_a_rate_that_is_too_high_and_offer_another(self, spec_of, blobs):
        verdict = said(spec_of(blobs(), target="label", family="mlp", train={"learning_rate": 3.0}))["learning_rate"]

        assert (verdict.severity, verdict.code) == ("warning", "learning-rate-too-high")
        assert verdict.setting == "train.learning_rate"
        assert 1e-4 < verdict.value < 0.1

    def test_hint_at_a_rate_that_is_too_low(self, spec_of, blobs):
        found = said(spec_of(blobs(), target="label", family="mlp", train={"learning_rate": 1e-6}))

        assert (found["learning_rate"].severity, found["learning_rate"].code) == ("hint", "learning-rate-too-low")
        assert found["learning_rate"].fix == f"train.learning_rate = {found['learning_rate'].value:g}"
        assert "the settings are to blame" in found["overfit"].what

    def test_hint_at_a_batch_size_that_is_slow_only_where_a_person_set_it(self, spec_of, blobs):
        spec = spec_of(blobs(1000), target="label", family="mlp", train={"batch_size": 1})
        checks = plain(tried(spec).checks)
        automatic = parse_project({**to_document(spec.project), "train": {}})

        size = {v.name: v for v in verdicts(checks, spec.project)}["batch_size"]
        assert (size.severity, size.code, size.setting) == ("hint", "batch-size", "train.batch_size")
        assert {v.name: v for v in verdicts(checks, automatic)}["batch_size"].severity == "ok"
