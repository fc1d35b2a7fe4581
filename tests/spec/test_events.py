"""Events travel as JSON and come back the same, NaN and infinity included."""

from __future__ import annotations

import json
import math
from dataclasses import MISSING, fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epochal.core.events import EVENTS, EpochDone, StepsDone, from_payload, to_payload


SAMPLES = {"str": "text", "int": 3, "float": 0.5, "bool": True}


def sample(kind: str):
    """An event of a kind, every field filled."""
    values = {}
    for f in fields(EVENTS[kind]):
        declared = str(f.type)
        if "Mapping[str, float]" in declared:
            values[f.name] = {"f1": 0.5}
        elif "Mapping" in declared:
            values[f.name] = {"what": "x"}
        elif "Literal" in declared:
            values[f.name] = "done" if kind == "ended" else "hint"
        else:
            values[f.name] = SAMPLES[declared.split(" ", 1)[0]]
    return EVENTS[kind](**values)


@pytest.mark.parametrize("kind", EVENTS)
class TestEachEvent:
    def test_comes_back_from_its_payload(self, kind):
        event = sample(kind)
        assert from_payload(kind, json.loads(json.dumps(to_payload(event), allow_nan=False))) == event

    def test_passes_over_what_a_later_version_added(self, kind):
        assert from_payload(kind, {**to_payload(sample(kind)), "later": 1}) == sample(kind)

    def test_is_nothing_when_a_needed_part_is_missing(self, kind):
        needed = [f.name for f in fields(EVENTS[kind]) if f.default is MISSING and f.default_factory is MISSING]
        payload = to_payload(sample(kind))
        for name in needed:
            assert from_payload(kind, {k: v for k, v in payload.items() if k != name}) is None


def test_a_kind_of_a_later_version_is_nothing():
    assert from_payload("later", {}) is None


@given(st.floats(), st.floats())
def test_figures_that_are_no_numbers_travel(loss, metric):
    steps = StepsDone(step=1, epoch=0.1, count=1, loss=loss, loss_min=loss, loss_max=loss, learning_rate=0.1)
    epoch = EpochDone(
        step=1,
        epoch=1,
        train_loss=loss,
        validation_loss=loss,
        metrics={"f1": metric},
        value=metric,
        best=False,
        seconds=1,
    )
    for event, value in ((steps, "loss"), (epoch, "value")):
        back = from_payload(event.kind, json.loads(json.dumps(to_payload(event), allow_nan=False)))
        number, was = getattr(back, value), getattr(event, value)
        assert number == was or (math.isnan(number) and math.isnan(was))
    back = from_payload("epoch", json.loads(json.dumps(to_payload(epoch))))
    assert back.metrics["f1"] == metric or math.isnan(metric)


def test_a_text_that_reads_like_a_figure_stays_a_text():
    event = sample("notice")
    payload = {**to_payload(event), "text": "NaN"}
    assert from_payload("notice", payload).text == "NaN"
