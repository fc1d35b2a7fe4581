"""Trees whose rows or columns are sampled are grown again on a resume: told, stopped when asked, and the same trees."""

from __future__ import annotations

from dataclasses import replace

import pytest

from epochal.core.events import Noticed, PhaseStarted, Resumed, RunEnded, TrainingStarted
from epochal.project.checkpoints import newest_checkpoint
from epochal.project.runfile import read_run, write_run
from epochal.train.checkpoint import load_checkpoint
from epochal.train.fit import fit
from epochal.train.make import make_learner, prepare
from epochal.train.rows import read_training
from epochal.train.state import TrainState, plan_from


def driven(spec, stop_after):
    """All events of a run that is asked to stop as soon as an event of this kind came."""
    events = []

    def asked():
        return ["stop"] if any(isinstance(e, stop_after) for e in events) else []

    for event in fit(spec, asked):
        events.append(event)  # noqa: PERF402 - what is asked depends on what came so far
    return events


@pytest.fixture
def stopped(spec_of, blobs):
    """A run of sampled trees that was stopped after some rounds, as a later process reads it."""
    spec = spec_of(
        blobs(),
        target="label",
        family="trees",
        options={"rounds": 200, "row_share": 0.5},
        train={"patience": 500},
    )
    driven(spec, TrainingStarted)
    return read_run(spec.folder)


def test_tells_how_many_rounds_and_ends_as_if_nothing_had_been(stopped, spec_of, blobs):
    rounds = int(newest_checkpoint(stopped.folder).name.removeprefix("step-"))
    events = list(fit(stopped, list))
    straight = spec_of(
        blobs(),
        target="label",
        family="trees",
        options={"rounds": 200, "row_share": 0.5},
        train={"patience": 500},
        number=2,
    )
    straight = replace(straight, resolved=stopped.resolved)
    write_run(straight)
    list(fit(straight, list, way="from-start"))

    assert next(e.text for e in events if isinstance(e, Noticed) and e.code == "again").startswith(
        f"growing {rounds} rounds again"
    )
    assert next(e.detail for e in events if isinstance(e, PhaseStarted) and e.name == "resuming") == (
        f"growing {rounds} rounds again"
    )
    models = [(s.folder / "bundle" / "model.txt").read_text() for s in (stopped, straight)]
    assert models[0] == models[1]


def test_stops_when_asked_and_keeps_the_checkpoint_to_go_on_from(stopped):
    before = newest_checkpoint(stopped.folder)
    events = driven(stopped, Resumed)
    ended = events[-1]

    assert isinstance(ended, RunEnded)
    assert (ended.state, ended.steps) == ("stopped", int(before.name.removeprefix("step-")))
    assert "grown again" in ended.reason
    assert newest_checkpoint(stopped.folder) == before
    assert list(fit(read_run(stopped.folder), list))[-1].state == "done"


def test_goes_on_from_the_checkpoints_own_trees_should_others_come_out(stopped):
    plan, prepared = plan_from(stopped.resolved), prepare(read_training(stopped))
    other = replace(plan, seed=plan.seed + 1)
    state = TrainState(learner=make_learner(prepared, "trees", other).learner, plan=other, metric="accuracy")
    folder = newest_checkpoint(stopped.folder)
    load_checkpoint(folder, state, {})
    state.learner.catch_up(10**6)
    window = state.learner.advance(1)

    assert [n.code for n in window.notices] == ["again-differs"]
    kept = (folder / "model.txt").read_text()
    assert kept.count("Tree=") == state.learner.booster.num_trees() - 3
