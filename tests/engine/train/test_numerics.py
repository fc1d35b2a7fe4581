"""Numbers that must not change unnoticed: golden losses of each family, the data's order, diverging, schedules."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from epochal.core.events import StepsDone
from epochal.project.checkpoints import newest_checkpoint
from epochal.train import seeds
from epochal.train.fit import fit
from epochal.train.make import make_learner, prepare
from epochal.train.plan import draft_plan
from epochal.train.rows import read_training
from epochal.train.schedule import learning_rate_at


GOLDEN = {
    "linear": [1.098612, 1.070693, 1.049387, 0.990445, 0.953427],
    "mlp": [1.081256, 1.117065, 1.062527, 1.061103, 1.057467],
    "tabm": [1.147293, 1.121443, 1.111712, 1.148748, 1.111877],
    "trees": [1.009858, 0.936095, 0.870206, 0.810985, 0.831502],
}
"""The loss of the first four steps, then on validation; a linear model of three classes starts at ln 3."""


class TestGoldenLosses:
    def test_of_the_first_steps_are_what_they_were(self, spec_of, blobs, family, small):
        spec = spec_of(blobs(), target="label", family=family, options=small, train={"epochs": 4})
        prepared = prepare(read_training(spec))
        learner = make_learner(prepared, family, draft_plan(spec.project, family, prepared)).learner
        losses = [learner.advance(1).loss for _ in range(4)]
        losses.append(learner.evaluate().loss)

        assert losses == pytest.approx(GOLDEN[family], rel=2e-3)

    def test_do_not_depend_on_how_steps_are_grouped(self, spec_of, blobs, family, small):
        spec = spec_of(blobs(), target="label", family=family, options=small, train={"epochs": 4})
        prepared = prepare(read_training(spec))
        plan = draft_plan(spec.project, family, prepared)
        together, apart = (make_learner(prepared, family, plan).learner for _ in range(2))
        seeds.seed_torch(0, "steps")
        one = together.advance(4)
        seeds.seed_torch(0, "steps")
        four = [apart.advance(1).loss for _ in range(4)]

        assert one.loss == pytest.approx(np.mean(four), rel=1e-6)
        assert (one.loss_min, one.loss_max) == pytest.approx((min(four), max(four)), rel=1e-6)


class TestTheOrder:
    def test_is_a_pure_function_of_seed_and_epoch(self):
        assert seeds.order(0, 3, 1000).tolist() == seeds.order(0, 3, 1000).tolist()
        assert seeds.order(0, 3, 1000).tolist() != seeds.order(0, 4, 1000).tolist()
        assert seeds.order(1, 3, 1000).tolist() != seeds.order(0, 3, 1000).tolist()
        assert sorted(seeds.order(0, 3, 1000)) == list(range(1000))

    def test_is_what_it_always_was(self):
        assert seeds.order(0, 0, 8).tolist() == [3, 5, 4, 7, 0, 6, 2, 1]


class TestDiverging:
    def test_stops_before_the_step_that_met_it_and_keeps_the_last_healthy_checkpoint(self, spec_of, blobs, monkeypatch):
        spec = spec_of(blobs(), target="label", family="mlp", train={"epochs": 50, "first_checkpoint": "0.001 s"})
        poisoned = []

        def poison(event):
            if isinstance(event, StepsDone) and event.step > 3 and not poisoned:
                poisoned.append(event.step)
                monkeypatch.setattr(torch, "log_softmax", lambda outputs, **_: torch.full_like(outputs, float("nan")))

        events = []
        for event in fit(spec, lambda: ()):
            events.append(event)
            poison(event)
        kept = newest_checkpoint(spec.folder)

        assert events[-1].state == "diverged"
        assert kept is not None
        assert events[-1].steps >= int(kept.name.removeprefix("step-"))


class TestTheLearningRate:
    @pytest.mark.parametrize("schedule", ["one-cycle", "cosine"])
    def test_rises_then_falls_to_nearly_nothing(self, schedule):
        rates = [learning_rate_at(step, 1000, 0.01, schedule, 0.1) for step in range(1000)]
        top = int(np.argmax(rates))

        assert max(rates) == pytest.approx(0.01, rel=1e-3)
        assert rates[: top + 1] == sorted(rates[: top + 1])
        assert rates[top:] == sorted(rates[top:], reverse=True)
        assert rates[-1] < 0.01 * 0.01

    def test_stays_when_constant(self):
        assert {learning_rate_at(step, 1000, 0.01, "constant", 0.05) for step in range(50, 1000)} == {0.01}
