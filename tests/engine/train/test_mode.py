"""Modes: exact computes the same each time and refuses what cannot; fast does not promise it, and says so."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
import torch
from torch import nn

from epochal.core.errors import RunError
from epochal.core.events import Noticed, Resumed, RunEnded, TrainingStarted
from epochal.project.runfile import read_run
from epochal.train.feed import MemoryFeed
from epochal.train.fit import fit
from epochal.train.gradient import GradientLearner
from epochal.train.mode import computing, enter, leave
from epochal.train.objective import Target
from epochal.train.seeds import order
from epochal.train.state import Plan


def standing():
    """What torch computes by, in this process."""
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.backends.cudnn.deterministic,
        torch.backends.cudnn.benchmark,
        torch.backends.cudnn.allow_tf32,
        torch.get_float32_matmul_precision(),
        os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
    )


EXACT = (True, True, False, False, "highest", ":4096:8")


class TestExact:
    def test_stands_while_it_trains_and_not_after(self):
        before = standing()
        with computing("exact"):
            assert standing() == EXACT
        assert standing() == before

    def test_is_put_back_whatever_happens(self):
        before = standing()
        with pytest.raises(ZeroDivisionError), computing("exact"):
            _ = 1 / 0
        assert standing() == before

    def test_holds_for_all_while_one_training_of_the_process_is_exact(self):
        """Runs of the thread host share one process, and may begin and end in any order."""
        before = standing()
        enter("fast")
        enter("exact")
        leave("fast")
        assert standing() == EXACT
        enter("fast")
        leave("exact")
        assert not standing()[0]
        leave("fast")
        assert standing() == before

    def test_is_what_a_run_computes_in_and_leaves_behind(self, spec_of, blobs):
        spec = spec_of(blobs(), target="label", family="mlp", options={"width": 8}, train={"epochs": 2})
        before, during = standing(), []
        for _event in fit(spec, lambda: during.append(standing()) or ()):
            pass

        assert set(during) == {EXACT}
        assert standing() == before

    def test_names_an_operation_that_it_cannot_compute_and_the_way_out(self):
        with computing("exact"), pytest.raises(RunError) as caught:
            learner().advance(1)

        assert caught.value.error_code == "not-exact"
        assert "put_" in caught.value.what
        assert 'mode = "fast"' in caught.value.fix

    def test_leaves_other_errors_of_a_model_as_they_are(self):
        with computing("exact"), pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
            learner(inputs=3).advance(1)


class TestFast:
    def test_computes_what_exact_refuses(self):
        with computing("fast"):
            assert learner().advance(3).count == 3

    def test_says_what_it_does_not_promise_and_marks_where_it_was_resumed(self, spec_of, blobs):
        settings = {"epochs": 4, "mode": "fast"}
        spec = spec_of(blobs(), target="label", family="mlp", options={"width": 8}, train=settings)
        first = stopped(spec)
        again = list(fit(read_run(spec.folder), list))
        (resumed,) = [e for e in again if isinstance(e, Resumed)]

        assert [e.code for e in first if isinstance(e, Noticed)][:1] == ["fast-mode"]
        assert isinstance(first[-1], RunEnded)
        assert first[-1].state == "stopped"
        assert resumed.seam == "fast mode promises no equality"
        assert "seam" in [e.code for e in again if isinstance(e, Noticed)]

    def test_is_not_resumed_as_exact(self, spec_of, blobs):
        """What was computed in one mode does not go on in the other."""
        spec = spec_of(blobs(), target="label", family="mlp", options={"width": 8}, train={"epochs": 4, "mode": "fast"})
        stopped(spec)
        spec = read_run(spec.folder)
        exact = replace(spec, project=replace(spec.project, train=replace(spec.project.train, mode="exact")))
        with pytest.raises(RunError, match="mode was fast, now exact"):
            list(fit(exact, list))


def stopped(spec):
    """All events of a run that is asked to stop once it trains."""
    events: list[object] = []

    def asked():
        return ["stop"] if any(isinstance(e, TrainingStarted) for e in events) else []

    for event in fit(spec, asked):
        events.append(event)  # noqa: PERF402 - what is asked depends on what came so far
    return events


class Odd(nn.Module):
    """A network that does what torch has no exact way for."""

    def __init__(self, inputs: int = 4) -> None:
        super().__init__()
        self.layer = nn.Linear(inputs, 2)

    def forward(self, batch):
        """Logits, with a member's axis."""
        outputs = self.layer(batch["numbers"])
        places, values = torch.tensor([0, 0]), torch.ones(2)
        return (outputs + torch.zeros(2).put_(places, values).sum()).unsqueeze(1)


def learner(inputs: int = 4):
    """A learner of it."""
    plan = Plan(
        epochs=2,
        batch_size=10,
        evaluate_every=10,
        learning_rate=0.01,
        schedule="constant",
        weight_decay=0.0,
        patience=5,
        precision="float32",
        device="cpu",
        threads=1,
        seed=0,
        class_weights="none",
    )
    rows = {"numbers": torch.ones(20, 4), "target": torch.zeros(20, dtype=torch.int64)}
    return GradientLearner(
        module=Odd(inputs),
        plan=plan,
        target=Target(task="classification"),
        feed=MemoryFeed(rows, lambda epoch: order(0, epoch, 20), 2),
        validation=None,
        device=torch.device("cpu"),
    )
