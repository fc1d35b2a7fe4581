"""Intervals hold what they promise, say how they were found, and never call two models equal."""

import math

import numpy as np
import pytest
from scipy import stats

from epochal.review import intervals
from epochal.review.metrics import Judged, Labelled, Measured, labelled


def judge(truth: list[int], guess: list[int], classes: int = 2, sure: float = 0.9) -> Labelled:
    p = np.full((len(truth), classes), (1 - sure) / (classes - 1))
    p[np.arange(len(guess)), guess] = sure
    return labelled(np.array(truth), p)


def found(judged: Judged, groups: np.ndarray | None = None) -> dict[str, intervals.Estimate]:
    samples = intervals.resample({"model": judged}, groups=groups)["model"]
    return intervals.estimates(judged, samples, groups=groups)


def test_the_interval_of_an_accuracy_is_near_the_binomial_one() -> None:
    truth = [0, 1] * 100
    guess = [t if i % 5 else 1 - t for i, t in enumerate(truth)]

    estimate = found(judge(truth, guess))["accuracy"]

    exact = stats.binomtest(160, 200).proportion_ci(method="wilson")
    assert estimate.value == pytest.approx(0.8)
    assert (estimate.low, estimate.high) == (pytest.approx(exact.low, abs=0.015), pytest.approx(exact.high, abs=0.015))


def test_the_interval_of_an_accuracy_holds_the_truth_nineteen_times_in_twenty() -> None:
    random = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        right = random.random(80) < 0.85
        truth = random.integers(0, 2, 80)
        judged = judge(truth.tolist(), np.where(right, truth, 1 - truth).tolist())
        estimate = found(judged)["accuracy"]
        held += estimate.low <= 0.85 <= estimate.high

    assert 178 <= held <= 199


def test_when_every_row_is_right_the_interval_still_reaches_down() -> None:
    """69 of 69 right: the true share of errors may be 1 − 0.025^(1/69), as Clopper and Pearson have it."""
    truth = [0] * 30 + [1] * 14 + [2] * 25
    estimates = found(judge(truth, truth, 3))

    exact = stats.binomtest(69, 69).proportion_ci(method="exact")
    assert estimates["accuracy"].low == pytest.approx(exact.low, abs=1e-9)
    assert estimates["accuracy"].high == 1
    for name in ("balanced_accuracy", "f1", "roc_auc", "average_precision"):
        estimate = estimates[name]
        assert 0 < estimate.low < estimates["accuracy"].low, name
        assert estimate.why.startswith("all 69 rows are right")


def test_every_metric_has_an_interval_around_it_or_says_why_not() -> None:
    random = np.random.default_rng(1)
    truth = random.integers(0, 3, 60)
    guess = np.where(random.random(60) < 0.7, truth, random.integers(0, 3, 60))
    numbers = Measured(truth=truth + 0.5, prediction=guess + random.random(60))
    lonely = judge([1], [1])
    one_class = judge([1] * 40, [1] * 30 + [0] * 10)

    for judged in (judge(truth.tolist(), guess.tolist(), 3), numbers, lonely, one_class):
        for name, e in found(judged).items():
            if e.low is None:
                assert e.why, name
            else:
                assert e.low <= e.value <= e.high, name
    assert found(one_class)["roc_auc"].why == "the test rows hold only one class"


def test_with_few_rows_of_many_classes_intervals_lie_around_their_figures() -> None:
    """Rows drawn twice make an average precision over classes of three rows look better than it is."""
    random = np.random.default_rng(2)
    truth = np.repeat(np.arange(60), 3)
    scores = random.normal(size=(180, 60)) + 0.8 * np.eye(60)[truth]
    shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)

    for name, e in found(labelled(truth, shares)).items():
        below, above = e.value - e.low, e.high - e.value
        assert e.low >= 0, name
        assert 0.5 < below / above < 2, name


def test_the_same_predictions_give_the_same_interval() -> None:
    judged = judge([0, 1] * 30, [0, 1, 1] * 20)

    assert found(judged) == found(judged)


def test_grouped_rows_are_drawn_as_groups_and_the_interval_is_wider() -> None:
    """Forty rows of four groups that are right or wrong together are four observations, not forty."""
    truth = [0, 1] * 20
    group = np.repeat(np.arange(4), 10)
    guess = [t if g else 1 - t for t, g in zip(truth, group, strict=True)]
    judged = judge(truth, guess)

    single, grouped = found(judged)["accuracy"], found(judged, group)["accuracy"]

    assert grouped.high - grouped.low > 1.5 * (single.high - single.low)


def test_a_share_has_wilsons_interval_and_f1_follows_from_it() -> None:
    for hits, rows in ((0, 7), (7, 7), (3, 40)):
        exact = stats.binomtest(hits, rows).proportion_ci(method="wilson")
        estimate = intervals.share(hits, rows)
        assert (estimate.low, estimate.high) == (pytest.approx(exact.low), pytest.approx(exact.high))
    assert intervals.f1_share(8, 10, 12).value == pytest.approx(2 * 8 / 22)
    assert intervals.share(0, 0).why
    assert intervals.f1_share(0, 0, 0).value is None


def test_a_better_accuracy_on_few_rows_is_not_shown_and_the_p_value_is_mcnemars() -> None:
    truth = [0, 1] * 30
    ours = judge(truth, [1 - t if i < 1 else t for i, t in enumerate(truth)])
    theirs = judge(truth, [1 - t if 10 <= i < 13 else t for i, t in enumerate(truth)])
    samples = intervals.resample({"model": ours, "strong": theirs})

    compared = intervals.compare("strong", "accuracy", ours, theirs, samples)

    assert compared.p == pytest.approx(stats.binomtest(1, 4).pvalue)
    assert compared.verdict == "not shown"
    assert compared.words == "better than strong: not shown (p = 0.62)"
    assert "equal" not in compared.words


def test_a_clear_lead_is_shown_either_way() -> None:
    random = np.random.default_rng(0)
    truth = random.normal(size=200)
    near = Measured(truth=truth, prediction=truth + 0.1 * random.normal(size=200))
    far = Measured(truth=truth, prediction=truth + random.normal(size=200))

    ahead = intervals.compare("strong", "rmse", near, far, intervals.resample({"model": near, "strong": far}))
    behind = intervals.compare("strong", "rmse", far, near, intervals.resample({"model": far, "strong": near}))

    assert (ahead.verdict, ahead.words) == ("better", "better than strong: shown (p < 0.001)")
    assert ahead.difference.high < 0
    assert (behind.verdict, behind.words) == ("worse", "worse than strong: shown (p < 0.001)")


def test_identical_models_are_never_shown_to_differ() -> None:
    judged = judge([0, 1] * 20, [0, 1, 1, 1] * 10)
    samples = intervals.resample({"model": judged, "trivial": judged})

    for metric in ("accuracy", "f1", "log_loss"):
        compared = intervals.compare("trivial", metric, judged, judged, samples)
        assert (compared.verdict, compared.p) == ("not shown", 1.0)


def test_large_test_sets_are_drawn_less_often_but_their_interval_agrees() -> None:
    random = np.random.default_rng(0)
    truth = random.normal(size=200_000)
    judged = Measured(truth=truth, prediction=truth + random.normal(size=200_000))

    estimate = found(judged)["rmse"]

    half = 1.96 / math.sqrt(2 * 200_000)
    assert estimate.high - estimate.low == pytest.approx(2 * half, rel=0.25)
