"""What facts of a trial mean: the same facts always give the same words, severities and suggestions."""

from __future__ import annotations

import math

import pytest

from epochal.core.settings import parse_project
from epochal.workbench.verdicts import of_room, verdicts


OWN = parse_project({"name": "p", "model": {"family": "own", "module": "model.py:Net"}})


def facts(**changed: dict) -> dict:
    """Facts of a trial in which nothing is wrong, but for what is changed of each check."""
    usual = {
        "untrained_loss": {"loss": 1.118, "expected": math.log(3), "exact": False, "rows": 62, "why_not": ""},
        "overfit": {
            "rows": 32,
            "steps": 40,
            "guess": 1.04,
            "floor": 0.0,
            "loss": 0.02,
            "learning_rate": 0.002,
            "otherwise": None,
            "cut_short": False,
            "why_not": "",
        },
        "learning_rate": {
            "in_force": 0.002,
            "suggested": 0.0018,
            "highest": 0.12,
            "curve": [],
            "smoothed": [],
            "rows": 32,
            "cut_short": False,
            "not_finite": None,
            "why_not": "",
        },
        "batch_size": {
            "in_force": 32,
            "suggested": 64,
            "throughput": [[32, 500.0], [64, 990.0], [128, 1000.0]],
            "memory": [],
            "largest": None,
            "cut_short": False,
            "not_finite": None,
            "why_not": "",
        },
    }
    return {name: {**found, **changed.get(name, {})} for name, found in usual.items()}


def said(name: str, **train: object):
    """The verdict of one check, where some of its facts are others."""
    settings = {key: train.pop(key) for key in ("batch_size",) if key in train}
    project = parse_project({"name": "p", "train": settings})
    return next(v for v in verdicts(facts(**{name: train}), project) if v.name == name)


def test_where_nothing_is_wrong_every_verdict_is_good_and_no_problem():
    assert [v.severity for v in verdicts(facts(), parse_project({"name": "p"}))] == ["ok"] * 4


class TestAnUntrainedLoss:
    @pytest.mark.parametrize(
        ("loss", "exact", "severity"),
        [
            (1.3, False, "ok"),
            (1.5, False, "warning"),
            (0.7, False, "warning"),
            (1.11, True, "warning"),
            (None, False, "error"),
        ],
    )
    def test_may_be_near_what_it_must_be_and_where_it_starts_from_nothing_only_equal(self, loss, exact, severity):
        assert said("untrained_loss", loss=loss, exact=exact).severity == severity

    def test_that_is_no_number_is_told_once_and_not_as_a_fault_of_what_follows(self):
        broken = {
            "untrained_loss": {"loss": None},
            "overfit": {"loss": None, "steps": 0},
            "batch_size": {"not_finite": [32, 0]},
        }
        found = verdicts(facts(**broken), OWN)

        assert [v.severity for v in found] == ["error", "unsaid", "ok", "unsaid"]
        assert (found[0].code, found[0].where) == ("loss-not-finite", "[model] module")
        assert "a loss of its own included" in found[0].fix
        assert verdicts(facts(**broken), parse_project({"name": "p"}))[0].where == "[columns]"

    def test_that_is_no_number_on_some_rows_alone_hides_nothing_that_the_others_show(self):
        labels = {"guess": 1.0, "floor": 0.6, "loss": 0.61}
        high = {"in_force": 0.2, "highest": 0.12}
        late = {"not_finite": [32, 9]}
        checks = facts(untrained_loss={"loss": None}, overfit=labels, learning_rate=high, batch_size=late)

        found = verdicts(checks, parse_project({"name": "p"}))

        codes = ["loss-not-finite", "cannot-overfit", "learning-rate-too-high", "loss-not-finite"]
        assert [v.code for v in found] == codes

    def test_that_is_a_number_where_a_first_step_has_none_leaves_it_to_the_batch_to_say_so(self):
        found = verdicts(facts(overfit={"loss": None, "steps": 0}, batch_size={"not_finite": [32, 0]}), OWN)

        assert [v.severity for v in found] == ["ok", "error", "ok", "unsaid"]
        assert found[1].code == "loss-not-finite"
        assert found[1].what == "the loss of a first step on 32 rows is no finite number"
        assert "no rate has a part in it yet" in found[1].fix

    def test_of_ones_own_that_has_no_value_where_rows_are_judged_says_nothing(self):
        why_not = "the model has a loss of its own"

        assert said("untrained_loss", loss=None, why_not=why_not).severity == "unsaid"


class TestOneBatch:
    def test_is_learnt_when_a_tenth_of_the_way_is_left(self):
        assert said("overfit", loss=0.103).severity == "ok"
        assert said("overfit", loss=0.2).severity == "warning"

    def test_that_is_hardly_learnt_at_all_is_an_error(self):
        verdict = said("overfit", loss=0.9)

        assert (verdict.severity, verdict.code) == ("error", "cannot-overfit")

    def test_whose_loss_is_no_number_is_one_too(self):
        assert said("overfit", loss=None).severity == "error"

    def test_is_judged_from_its_floor(self):
        assert said("overfit", floor=0.2, loss=0.25).severity == "ok"
        floor = said("overfit", floor=0.6, loss=0.61)
        assert floor.severity == "warning"
        assert "0.600" in floor.what

    def test_that_other_settings_learn_is_the_fault_of_the_settings(self):
        verdict = said("overfit", loss=0.9, otherwise=0.01)

        assert verdict.severity == "warning"
        assert "learning_rate" in verdict.where

    def test_for_which_time_was_up_or_that_has_one_target_says_nothing(self):
        assert said("overfit", loss=0.9, cut_short=True).severity == "unsaid"
        assert said("overfit", guess=0.0).severity == "unsaid"


class TestALearningRate:
    @pytest.mark.parametrize(
        ("in_force", "severity", "code"),
        [
            (0.002, "ok", ""),
            (0.05, "ok", ""),
            (0.12, "warning", "learning-rate-too-high"),
            (0.0001, "hint", "learning-rate-too-low"),
        ],
    )
    def test_is_good_between_a_tenth_of_the_suggested_and_where_the_loss_rises(self, in_force, severity, code):
        verdict = said("learning_rate", in_force=in_force)

        assert (verdict.severity, verdict.code) == (severity, code)
        assert (verdict.setting, verdict.value) == ("train.learning_rate", 0.0018)

    def test_that_is_the_suggested_one_is_not_offered_again(self):
        assert said("learning_rate", in_force=0.0018).setting == ""

    def test_of_which_nothing_is_known_is_not_judged(self):
        assert said("learning_rate", suggested=None, highest=None).severity == "unsaid"
        assert said("learning_rate", why_not="trees").severity == "unsaid"
        assert said("learning_rate", suggested=None, highest=0.001).severity == "warning"


class TestABatchSize:
    def test_that_is_far_from_fast_is_hinted_at_only_where_a_person_set_it(self):
        slow = [[32, 400.0], [64, 990.0]]

        assert said("batch_size", throughput=slow, batch_size=32).code == "batch-size"
        assert said("batch_size", throughput=slow).severity == "ok"
        assert said("batch_size", batch_size=32).severity == "ok"

    def test_names_what_fits_on_a_device(self):
        assert "at most 4 096 fit" in said("batch_size", largest=4096).what

    def test_of_which_nothing_is_known_is_not_judged(self):
        assert said("batch_size", suggested=None, throughput=[]).severity == "unsaid"
        assert said("batch_size", why_not="trees").severity == "unsaid"


class TestRoom:
    @pytest.mark.parametrize(
        ("disk_free", "memory_free", "codes"),
        [
            (2e9, 2e9, []),
            (0.5e9, 2e9, [("no-room", "error")]),
            (2e9, 0.5e9, [("little-memory", "warning")]),
            (2e9, None, []),
            (0, 0, [("no-room", "error"), ("little-memory", "warning")]),
        ],
    )
    def test_is_wanting_where_a_run_does_not_fit(self, disk_free, memory_free, codes):
        estimate = {
            "disk_bytes": 1e9,
            "memory_bytes": 1e9,
            "disk_free_bytes": disk_free,
            "memory_available_bytes": memory_free,
        }

        assert [(v.code, v.severity) for v in of_room(estimate)] == codes
