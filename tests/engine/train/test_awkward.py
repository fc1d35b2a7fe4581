"""Tables as they come: every family trains on them without a warning, and its model predicts them."""

from __future__ import annotations

import datetime as dt
import warnings

import numpy as np
import pyarrow as pa
import pytest

from epochal.train.bundle import load_bundle
from epochal.train.fit import fit


def rng():
    return np.random.default_rng(0)


def classes_of(x, names=("a", "b")):
    return np.array(names)[(x > np.median(x)).astype(int)]


def constant_columns():
    x = rng().normal(size=200)
    return {"x": x, "one": np.ones(200), "same": ["s"] * 200, "yes": [True] * 200, "label": classes_of(x)}


def fewer_rows_than_bins():
    x = rng().normal(size=20)
    return {"x": x, "label": classes_of(x)}


def five_rows():
    return {"x": [1.0, 2.0, 3.0, 4.0, 5.0], "label": ["a", "a", "a", "b", "b"]}


def one_feature():
    x = rng().normal(size=1500)
    return {"x": x, "label": classes_of(x)}


def missing_wherever_it_is_trained():
    x = rng().normal(size=100)
    nowhere = pa.array([None] * 100, pa.float64())
    return {"x": x, "gone": nowhere, "lost": pa.array([None] * 100, pa.string()), "label": classes_of(x)}


def a_class_with_one_member():
    x = rng().normal(size=101)
    return {"x": x, "label": [*classes_of(x)[:100].tolist(), "lonely"]}


def two_hundred_classes():
    label = np.arange(2000) % 200
    return {"x": label + rng().normal(0, 0.1, 2000), "label": [f"class {i}" for i in label]}


def yes_and_no():
    flags = rng().integers(0, 2, (1200, 4))
    table = {f"bit {i}": flags[:, i].astype(float) for i in range(3)}
    return {**table, "flag": flags[:, 3].astype(bool), "label": np.array(["a", "b"])[flags[:, 0] ^ flags[:, 3]]}


def dates_and_short_text():
    days = rng().integers(0, 700, 300)
    words = np.array(["good morning", "good night", "see you", "farewell then"])
    greeting = [f"{words[d % 4]} number {d}" for d in days]
    moments = [dt.datetime(2024, 1, 1, 5, tzinfo=dt.UTC) + dt.timedelta(days=int(d), hours=int(d) % 24) for d in days]
    moments[3] = None
    return {"when": moments, "said": greeting, "label": np.where(days % 4 == 0, "a", "b")}


def target_with_gaps():
    x = rng().normal(size=300)
    return {"x": x, "label": [None if i % 7 == 0 else str(v) for i, v in enumerate(classes_of(x))]}


def numbers_without_end():
    x = rng().normal(size=1500)
    huge = x * 1e300
    huge[::50] = np.inf
    huge[1::50] = -np.inf
    return {
        "huge": huge,
        "tiny": x * 1e-300,
        "far": 1e15 + x,
        "whole": (x * 1e12).astype(np.int64),
        "label": classes_of(x),
    }


CLASSES = [
    constant_columns,
    fewer_rows_than_bins,
    five_rows,
    one_feature,
    missing_wherever_it_is_trained,
    a_class_with_one_member,
    two_hundred_classes,
    yes_and_no,
    dates_and_short_text,
    target_with_gaps,
    numbers_without_end,
]


@pytest.mark.parametrize("made", CLASSES, ids=lambda made: made.__name__)
def test_classes_are_learnt_from(made, spec_of, family, small, capfd):
    table = pa.table(made())
    kinds = {"said": "text"} if "said" in table.column_names else None
    spec = spec_of(
        table, target="label", family=family, options=small, train={"epochs": 8, "budget": "2 s"}, kinds=kinds
    )
    end = list(fit(spec, tuple))[-1]
    predictions = load_bundle(spec.folder / "bundle").predict(table)

    assert (end.state, end.reason) in {("done", "finished"), ("done", end.reason)}
    assert predictions.probabilities.shape == (len(table), len(spec.classes))
    assert np.isfinite(predictions.probabilities).all()
    assert np.allclose(predictions.probabilities.sum(axis=1), 1)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("scale", [1e-200, 1e-12, 1e12, 1e200])
def test_numbers_of_any_size_are_learnt(scale, spec_of, family, small, capfd):
    x = rng().normal(size=400)
    table = pa.table({"x": x, "y": (3 * x + rng().normal(0, 0.1, 400)) * scale})
    spec = spec_of(
        table, target="y", task="regression", family=family, options=small, train={"epochs": 30, "budget": "5 s"}
    )
    end = list(fit(spec, tuple))[-1]
    predictions = load_bundle(spec.folder / "bundle").predict(table)
    truth = table["y"].to_numpy() / scale
    found = predictions.values / scale

    assert end.state == "done"
    assert 1 - ((truth - found) ** 2).mean() / truth.var() > 0.6
    assert ((predictions.lower <= predictions.values) & (predictions.values <= predictions.upper)).all()
    assert capfd.readouterr() == ("", "")


def test_numbers_around_a_far_mean_are_learnt(spec_of, family, small):
    x = rng().normal(size=400)
    table = pa.table({"x": x, "y": 1e9 + 3 * x})
    spec = spec_of(table, target="y", task="regression", family=family, options=small, train={"epochs": 40})
    list(fit(spec, tuple))
    found = load_bundle(spec.folder / "bundle").predict(table).values

    assert 1 - ((found - table["y"].to_numpy()) ** 2).mean() / (9 * x.var()) > 0.6


def test_nobody_is_warned(spec_of, blobs, family, small):
    spec = spec_of(blobs(), target="label", family=family, options=small, train={"epochs": 3})
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        list(fit(spec, tuple))

    assert [str(w.message) for w in said] == []
