"""report/view.json is read with the standard library, strictly, and nothing in it acts."""

import json
from pathlib import Path

import pytest

from epochal.core.errors import RunError
from epochal.review.view import FILE, read_view


ESTIMATE = {"value": 0.9, "low": 0.8, "high": 0.95, "why": ""}
DOCUMENT = {
    "format": 1,
    "run": "0003-tabm",
    "number": 3,
    "family": "tabm",
    "task": "classification",
    "target": "Spec\x1b]52;c;x\x07ies",
    "metric": "accuracy",
    "created": "2026-01-01T00:00:00+00:00",
    "rows": 69,
    "looks": 1,
    "fingerprint": "69:ab",
    "good": {"at_least": 0.95, "reached": False, "words": "good: 0.95 not reached"},
    "baselines": {"strong": {"title": "boosted trees", "note": ""}},
    "metrics": [
        {"name": "accuracy", "model": ESTIMATE, "baselines": {"strong": ESTIMATE}},
        {"name": "f1", "model": {"value": None, "low": None, "high": None, "why": "no rows"}, "baselines": {}},
    ],
    "comparisons": [
        {
            "baseline": "strong",
            "metric": "accuracy",
            "difference": ESTIMATE,
            "p": 0.32,
            "verdict": "not shown",
            "words": "better than strong: not shown (p = 0.32)",
        }
    ],
    "confusion": {
        "classes": ["a", "b\u202e"],
        "counts": [[1, 2], [0, 3]],
        "keys": [[0, 1, ["k\x1b1", "k2"]]],
        "cap": 9,
        "rest": False,
    },
    "per_class": [{"name": "a", "rows": 3, "predicted": 1, "precision": ESTIMATE, "recall": ESTIMATE, "f1": ESTIMATE}],
    "worst": [
        {
            "key": "k\x1b1",
            "number": 73,
            "truth": "a",
            "prediction": "b",
            "wrong": True,
            "score": 0.91,
            "words": "a taken for b (0.91)",
            "inputs": [["Mass", "\x9b2J"]],
            "note": "",
        }
    ],
    "residuals": None,
    "calibration": [{"low": 0.9, "high": 1.0, "rows": 3, "stated": 0.95, "right": ESTIMATE}],
    "curves": [],
    "ledger": {},
    "notices": [],
}


def written(folder: Path, document: object) -> Path:
    path = folder / FILE
    path.parent.mkdir()
    path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    return folder


def test_a_review_reads_back_whole(tmp_path: Path) -> None:
    view = read_view(written(tmp_path, DOCUMENT))

    assert view is not None
    assert (view.run, view.rows, view.headline.title) == ("0003-tabm", 69, "accuracy")
    assert view.headline.model.interval == "0.800 … 0.950"
    assert (view.metrics[1].model.text, view.metrics[1].model.interval, view.metrics[1].model.why) == (
        "–",
        "–",
        "no rows",
    )
    assert view.confusion is not None
    assert view.confusion.counts == ((1, 2), (0, 3))
    assert view.confusion.rows_of(1, 1) == ()
    assert view.comparisons[0].words == "better than strong: not shown (p = 0.32)"


def test_texts_are_made_visible_and_keys_stay_as_they_are(tmp_path: Path) -> None:
    view = read_view(written(tmp_path, DOCUMENT))

    assert view is not None
    assert view.target == "Spec␛]52;c;x␇ies"
    assert view.confusion is not None
    assert view.confusion.classes == ("a", "b<U+202E>")
    assert view.worst[0].inputs == (("Mass", "<9B>2J"),)
    assert view.worst[0].key == "k\x1b1" == view.confusion.rows_of(0, 1)[0]


def test_a_sealed_test_set_has_no_review(tmp_path: Path) -> None:
    assert read_view(tmp_path) is None


@pytest.mark.parametrize(
    "document",
    [
        "",
        "{",
        "[]",
        "{}",
        "null",
        "[" * 100_000,
        {**DOCUMENT, "format": 2},
        {**DOCUMENT, "metrics": None},
        {**DOCUMENT, "good": 3},
    ],
)
def test_what_is_no_review_is_one_clear_error(tmp_path: Path, document: object) -> None:
    with pytest.raises(RunError) as caught:
        read_view(written(tmp_path, document))

    assert caught.value.error_code == "no-view"
    assert caught.value.where.endswith("view.json")
