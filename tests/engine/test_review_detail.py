"""What stands behind the headline leads to the right rows, stays small, and is drawn inside its picture."""

import re

import numpy as np
import pytest

from epochal.report import svg
from epochal.review import detail
from epochal.review.metrics import Measured, labelled
from epochal.review.view import CalibrationBin, Curve, Estimate, Residuals
from epochal.review.words import chance, figure


def rows(classes: int, count: int, seed: int = 0):
    random = np.random.default_rng(seed)
    return labelled(random.integers(0, classes, count), random.dirichlet(np.ones(classes), count))


def test_every_cell_of_the_confusion_matrix_knows_its_rows() -> None:
    judged = rows(3, 90)
    keys = [f"k{i}" for i in range(90)]

    found = detail.confusion(judged, ["a", "b", "c"], keys)

    assert np.sum(found["counts"]) == 90
    for i, j, held in found["keys"]:
        where = [k for k, t, p in zip(keys, judged.truth, judged.prediction, strict=True) if (t, p) == (i, j)]
        assert held == where
        assert found["counts"][i][j] == len(where)
    assert not found["rest"]


def test_many_classes_share_the_last_line_and_no_row_is_lost() -> None:
    judged = rows(200, 3000)

    found = detail.confusion(judged, [str(c) for c in range(200)], [str(i) for i in range(3000)])

    assert found["rest"]
    assert len(found["classes"]) == detail.MOST_CLASSES
    assert found["classes"][-1] == detail.REST
    assert np.sum(found["counts"]) == 3000


def test_a_review_of_many_rows_stays_small() -> None:
    judged = rows(2, 100_000)

    found = detail.confusion(judged, ["a", "b"], [str(i) for i in range(100_000)])

    assert sum(len(held) for _, _, held in found["keys"]) == 4 * detail.MOST_CELL_KEYS
    off = detail.residuals(Measured(truth=np.arange(1e5), prediction=np.zeros(100_000)), [""] * 100_000, level=None)
    assert off is not None
    assert len(off["points"]) == len(off["point_keys"]) == detail.MOST_POINTS
    assert all(len(c["points"]) <= detail.MOST_CURVE_POINTS for c in detail.curves(judged, ["a", "b"]))


def test_the_worst_rows_are_wrong_and_sure_first_then_right_and_unsure() -> None:
    p = np.array([[0.9, 0.1], [0.6, 0.4], [0.05, 0.95], [0.45, 0.55]])
    judged = labelled(np.array([0, 0, 0, 0]), p)

    assert detail.worst_labelled(judged, 4).tolist() == [2, 3, 1, 0]
    assert detail.words_labelled(judged, ["Adelie", "Chinstrap"], 2)["words"] == "Adelie taken for Chinstrap (0.95)"
    assert detail.words_labelled(judged, ["Adelie", "Chinstrap"], 1)["words"] == "Adelie, right but unsure (0.60)"
    assert detail.words_labelled(judged, ["Adelie", "Chinstrap"], 0)["words"] == "Adelie, right (0.90)"


def test_the_worst_numbers_say_which_way_they_miss() -> None:
    judged = Measured(truth=np.array([310.0, 10.0]), prediction=np.array([162.0, 12.0]))

    assert detail.worst_measured(judged, 2).tolist() == [0, 1]
    assert detail.words_measured(judged, 0)["words"] == "310.0, predicted 162.0 (too low by 148.0)"
    assert "too high by 2.000" in detail.words_measured(judged, 1)["words"]


@pytest.mark.parametrize(
    "off", [np.zeros(5), np.full(5, 1e9), np.linspace(-3, 7, 300), np.array([1e-9, 2e-9]), np.array([5.0])]
)
def test_every_residual_falls_in_a_bin_with_round_edges(off: np.ndarray) -> None:
    found = detail.residuals(Measured(truth=off, prediction=np.zeros(len(off))), [""] * len(off), level=None)

    assert found is not None
    assert sum(found["counts"]) == len(off)
    assert np.all(np.diff(found["edges"]) > 0)
    assert found["edges"][0] <= off.min() <= off.max() <= found["edges"][-1]


def test_calibration_counts_every_row_once() -> None:
    judged = rows(4, 500)

    bins = detail.calibration(judged)

    assert sum(b["rows"] for b in bins) == 500
    assert all(b["low"] <= b["stated"] <= b["high"] for b in bins)


def test_the_curves_of_two_classes_end_where_they_must() -> None:
    roc, precision_recall = detail.curves(rows(2, 400), ["a", "b"])

    assert (roc["points"][0], roc["points"][-1]) == ([0, 0], [1, 1])
    assert precision_recall["points"][-1][0] == 1
    assert detail.curves(rows(3, 50), ["a", "b", "c"]) == []


def test_pictures_stay_inside_their_frame() -> None:
    residuals = Residuals(
        edges=(-5.0, 0.0, 5.0),
        counts=(3, 0),
        points=((1.0, -40.0), (30.0, 2.0)),
        point_keys=("a", "b"),
        bias=Estimate(value=0.0),
    )
    one = Residuals(edges=(0.5, 1.5), counts=(1,), points=((1.0, 1.0),), point_keys=("a",), bias=Estimate(value=0.0))
    bins = [CalibrationBin(low=0.9, high=1, rows=3, stated=1.0, right=Estimate(value=0.0, low=0.0, high=1.0))]
    curve = Curve(name="roc", title="<i>", x="x", y="y", points=((0, 0), (1, 1)))
    pictures = [
        svg.residual_histogram(residuals),
        svg.scatter(residuals),
        svg.residual_histogram(one),
        svg.scatter(one),
        svg.calibration(bins),
        svg.curve(curve),
    ]

    for picture in pictures:
        assert "<i>" not in picture
        for x in re.findall(r' (?:cx|x)="([^"]+)"', picture):
            assert 0 <= float(x) <= svg.WIDTH
        for y in re.findall(r' (?:cy|y)="([^"]+)"', picture):
            assert 0 <= float(y) <= svg.HEIGHT


def test_figures_read_well_at_any_size() -> None:
    assert [figure(v) for v in (0.9857, 1, -0.002, 12.345, 54321.0, 2.5e12, None, float("nan"))] == [
        "0.986",
        "1.000",
        "−0.002",
        "12.35",
        "54\u202f321",
        "2.5e+12",
        "–",
        "–",
    ]
    assert [chance(p) for p in (0.324, 0.0312, 0.0001, None)] == ["p = 0.32", "p = 0.031", "p < 0.001", "no p-value"]
