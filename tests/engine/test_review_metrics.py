"""Our metrics are scikit-learn's, plainly and under any weighting of rows."""

import numpy as np
import pytest
from sklearn import metrics as golden

from epochal.core.tasks import TASKS
from epochal.review.intervals import estimates, resample
from epochal.review.metrics import Labelled, Measured, Scorer, evaluate, labelled, scores
from epochal.train.scoring import score


def some_labels(classes: int, rows: int = 200, seed: int = 0, *, ties: bool = False) -> Labelled:
    random = np.random.default_rng(seed)
    truth = random.integers(0, classes, rows)
    p = random.dirichlet(np.ones(classes), rows) + 0.7 * np.eye(classes)[truth] * random.random((rows, 1))
    if ties:
        p = np.round(p, 1) + 0.05
    return labelled(truth, p)


def sklearn_of(judged: Labelled, weight: np.ndarray | None = None) -> dict[str, float]:
    truth, guess, p, w = judged.truth, judged.prediction, judged.probabilities, weight
    found = {
        "accuracy": golden.accuracy_score(truth, guess, sample_weight=w),
        "balanced_accuracy": golden.balanced_accuracy_score(truth, guess, sample_weight=w),
        "f1": golden.f1_score(truth, guess, average="macro", sample_weight=w),
        "log_loss": golden.log_loss(truth, p, sample_weight=w, labels=np.arange(judged.classes)),
    }
    if judged.positive is not None:
        hit, s = truth == judged.positive, p[:, judged.positive]
        found["f1_positive"] = golden.f1_score(truth, guess, pos_label=judged.positive, sample_weight=w)
        found["roc_auc"] = golden.roc_auc_score(hit, s, sample_weight=w)
        found["average_precision"] = golden.average_precision_score(hit, s, sample_weight=w)
    else:
        one_hot = np.eye(judged.classes)[truth]
        found["roc_auc"] = golden.roc_auc_score(truth, p, multi_class="ovr", sample_weight=w)
        found["average_precision"] = golden.average_precision_score(one_hot, p, sample_weight=w)
    return found


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("ties", [False, True])
def test_class_metrics_agree_with_scikit_learn(classes: int, ties: bool) -> None:
    judged = some_labels(classes, ties=ties)

    assert {k: v for k, v in scores(judged).items() if k != "ece"} == pytest.approx(sklearn_of(judged), abs=1e-9)


@pytest.mark.parametrize("classes", [2, 4])
def test_weighted_class_metrics_agree_with_scikit_learn(classes: int) -> None:
    judged = some_labels(classes, ties=True)
    weights = np.random.default_rng(1).integers(0, 4, (5, judged.rows)).astype(float)

    found = evaluate(judged, weights)

    for i, weight in enumerate(weights):
        ours = {k: v[i] for k, v in found.items() if k != "ece"}
        assert ours == pytest.approx(sklearn_of(judged, weight), abs=1e-9)


def test_number_metrics_agree_with_scikit_learn_also_far_from_zero() -> None:
    random = np.random.default_rng(0)
    truth = 1e6 + random.normal(size=300)
    judged = Measured(truth=truth, prediction=truth + random.normal(size=300))
    weights = random.integers(0, 3, (4, 300)).astype(float)

    found = evaluate(judged, weights)

    for i, w in enumerate(weights):
        assert found["rmse"][i] == pytest.approx(
            golden.root_mean_squared_error(truth, judged.prediction, sample_weight=w)
        )
        assert found["mae"][i] == pytest.approx(golden.mean_absolute_error(truth, judged.prediction, sample_weight=w))
        assert found["r2"][i] == pytest.approx(golden.r2_score(truth, judged.prediction, sample_weight=w), abs=1e-6)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e-9, 1.0, 1e9, 1e200, 1e300])
@pytest.mark.parametrize("middle", [0.0, 1000.0])
def test_number_metrics_are_the_same_in_any_unit(scale: float, middle: float) -> None:
    random = np.random.default_rng(0)
    truth = middle + random.normal(size=300)
    prediction = truth + 0.5 * random.normal(size=300)
    r2, rmse = golden.r2_score(truth, prediction), golden.root_mean_squared_error(truth, prediction)
    mae = golden.mean_absolute_error(truth, prediction)
    expected = {"r2": r2, "rmse": rmse * scale, "mae": mae * scale}

    judged = Measured(truth=truth * scale, prediction=prediction * scale)

    assert scores(judged) == pytest.approx(expected, rel=1e-9, abs=0)
    assert score("regression", judged.truth, judged.prediction) == pytest.approx(expected, rel=1e-9, abs=0)
    found = estimates(judged, resample({"model": judged})["model"])
    assert all(0 < e.value - e.low < 0.3 * e.value for e in found.values() if e.value and e.low is not None)
    assert not any("same whichever" in e.why for e in found.values())


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [0.0, 0.1, 1e-200, 1e200, 123456.7])
def test_r2_is_undefined_for_equal_values_in_any_unit_and_says_so(value: float) -> None:
    judged = Measured(truth=np.full(7, value), prediction=np.full(7, value) + np.arange(7) * (value or 1.0))

    assert "r2" not in scores(judged)
    assert "r2" not in score("regression", judged.truth, judged.prediction)
    assert estimates(judged, resample({"model": judged})["model"])["r2"].why == "all true values are equal"


@pytest.mark.filterwarnings("error")
def test_r2_of_a_draw_without_the_outlier_keeps_its_digits() -> None:
    truth = np.append(np.arange(20.0), 1e12)
    judged = Measured(truth=truth, prediction=truth + np.tile([0.5, -1.0, 0.0], 7))
    weights = np.stack([np.append(np.ones(20), 0.0), np.append(np.zeros(20), 3.0)])

    r2 = evaluate(judged, weights)["r2"]

    assert r2[0] == pytest.approx(golden.r2_score(truth[:20], judged.prediction[:20]))
    assert np.isnan(r2[1]), "one row drawn thrice is constant"


def test_ties_are_ties_for_training_and_test_alike() -> None:
    """Sums that are off by rounding are left alone: dividing by them would rank rows that no model told apart."""
    truth = np.array([0, 1, 2, 0, 1, 2, 0, 0])
    p = np.array([[0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.5, 0.4, 0.1], [0.2, 0.7, 0.1]] * 2)
    judged = labelled(truth, p)

    assert len(np.unique(p.sum(axis=1))) > 1, "the sums do differ by an ulp"
    assert np.array_equal(judged.probabilities, p)
    ours, theirs = scores(judged), score("classification", truth, p)
    assert (ours["roc_auc"], ours["average_precision"]) == pytest.approx(
        (theirs["roc_auc"], theirs["average_precision"]), abs=1e-12
    )
    assert labelled(truth, 2 * p).probabilities == pytest.approx(p), "what does not sum to one is brought to"


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_a_metric_on_test_rows_means_what_it_means_on_validation_rows(classes: int) -> None:
    """Training judges validation with its own functions: a person compares the two figures."""
    judged = some_labels(classes, seed=3)

    theirs = score("classification", judged.truth, judged.probabilities, positive=judged.positive)

    assert scores(judged) == pytest.approx(theirs, abs=1e-6)
    truth, prediction = judged.probabilities[:, 0], judged.probabilities[:, 1]
    numbers = Measured(truth=truth, prediction=prediction)
    assert scores(numbers) == pytest.approx(score("regression", truth, prediction))


def test_every_metric_of_the_catalogue_is_computed() -> None:
    assert set(evaluate(some_labels(2))) == set(TASKS["classification"].metrics)
    assert set(evaluate(some_labels(3))) == set(TASKS["classification"].metrics) - {"f1_positive"}
    assert set(evaluate(Measured(truth=np.arange(3.0), prediction=np.ones(3)))) == set(TASKS["regression"].metrics)


def test_what_is_not_defined_is_left_out_and_nothing_warns() -> None:
    one_class = labelled(np.zeros(5, int), np.tile([0.6, 0.4], (5, 1)), positive=1)
    nothing = labelled(np.zeros(0, int), np.zeros((0, 3)))
    constant = Measured(truth=np.full(4, 2.5), prediction=np.arange(4.0))

    assert scores(one_class).keys() >= {"accuracy", "f1_positive"}
    assert not scores(one_class).keys() & {"roc_auc", "average_precision"}
    assert scores(nothing) == {}
    assert "r2" not in scores(constant)


def test_the_positive_class_is_the_rarer_unless_said_otherwise() -> None:
    p = np.tile([0.5, 0.5], (4, 1))

    assert labelled(np.array([0, 1, 1, 1]), p).positive == 0
    assert labelled(np.array([0, 0, 1, 1]), p).positive == 1
    assert labelled(np.array([0, 1, 1, 1]), p, positive=1).positive == 1


@pytest.mark.parametrize("rare", [0.5, 0.003])
def test_ranks_in_steps_are_near_enough_for_an_interval(rare: float) -> None:
    """Intervals of large test sets rank rows coarsely; also where the class sought is three rows in a thousand."""
    random = np.random.default_rng(0)
    truth = (random.random(100_000) < rare).astype(int)
    score = 1 / (1 + np.exp(-(random.normal(size=100_000) + 3 * truth)))
    judged = labelled(truth, np.stack([1 - score, score], axis=1), positive=1)
    once = np.ones((1, judged.rows))

    exact, coarse = evaluate(judged), Scorer(judged, coarse=True)(once)

    for name in ("roc_auc", "average_precision"):
        assert coarse[name][0] == pytest.approx(exact[name][0], abs=2e-3), name
