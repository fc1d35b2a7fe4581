"""Metrics agree with scikit-learn's of the same meaning."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from epochal.train.scoring import calibration_error, score


@pytest.fixture(params=[2, 3, 7])
def classified(request):
    rng = np.random.default_rng(request.param)
    truth = rng.integers(0, request.param, 400)
    probs = rng.dirichlet(np.ones(request.param), 400).round(2) + np.eye(request.param)[truth] * 0.4 + 1e-3
    return truth, probs / probs.sum(axis=1, keepdims=True)


def test_classification_agrees_with_scikit_learn(classified):
    truth, probs = classified
    guess, num_classes = probs.argmax(axis=1), probs.shape[1]
    found = score("classification", truth, probs, positive=0)
    one_hot = np.eye(num_classes)[truth]
    expected = {
        "accuracy": metrics.accuracy_score(truth, guess),
        "balanced_accuracy": metrics.balanced_accuracy_score(truth, guess),
        "f1": metrics.f1_score(truth, guess, average="macro"),
        "log_loss": metrics.log_loss(truth, probs),
    }
    if num_classes == 2:
        expected["f1_positive"] = metrics.f1_score(truth, guess, pos_label=0)
        expected["roc_auc"] = metrics.roc_auc_score(truth == 0, probs[:, 0])
        expected["average_precision"] = metrics.average_precision_score(truth == 0, probs[:, 0])
    else:
        expected["roc_auc"] = metrics.roc_auc_score(truth, probs, multi_class="ovr", average="macro")
        expected["average_precision"] = metrics.average_precision_score(one_hot, probs, average="macro")

    assert {k: found[k] for k in expected} == pytest.approx(expected, rel=1e-9)


def test_regression_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    truth, value = rng.normal(size=100), rng.normal(size=100)

    assert score("regression", truth, value) == pytest.approx(
        {
            "rmse": metrics.root_mean_squared_error(truth, value),
            "mae": metrics.mean_absolute_error(truth, value),
            "r2": metrics.r2_score(truth, value),
        }
    )


def test_what_is_not_defined_is_left_out():
    one_class = score("classification", np.zeros(5, dtype=np.int64), np.tile([0.9, 0.1], (5, 1)), positive=1)

    assert "roc_auc" not in one_class
    assert one_class["accuracy"] == 1
    assert score("classification", np.zeros(0, dtype=np.int64), np.zeros((0, 3))) == {}
    assert score("regression", np.zeros(0), np.zeros(0)) == {}


@pytest.mark.parametrize("seed", range(3))
def test_a_model_that_gives_no_numbers_ranks_no_better_than_chance_whatever_the_order(seed):
    truth = np.random.default_rng(seed).permutation([1] * 5 + [0] * 15)
    found = score("classification", truth, np.full((20, 2), np.nan), positive=1)

    assert (found["roc_auc"], found["average_precision"]) == (0.5, 0.25)


def test_calibration_error_is_nothing_for_the_honest_and_all_for_the_boaster():
    assert calibration_error(np.array([0, 0, 0, 1]), np.tile([0.75, 0.25], (4, 1))) == pytest.approx(0)
    assert calibration_error(np.array([1, 1]), np.array([[1.0, 0.0], [1.0, 0.0]])) == pytest.approx(1)
