"""Our metrics are scikit-learn's, plainly and under any weighting of rows."""

import numpy as np
import pytest
from sklearn import metrics as golden

from epochal.core.tasks import TASKS
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
