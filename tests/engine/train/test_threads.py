"""Several compute threads are given up when they no longer pay, and it is said."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from epochal.core.clock import SystemClock
from epochal.core.events import Noticed
from epochal.train.loop import Loop
from epochal.train.make import make_learner, prepare
from epochal.train.plan import draft_plan
from epochal.train.rows import read_training
from epochal.train.state import TrainState
from epochal.train.threads import ThreadWatch


@pytest.fixture(autouse=True)
def own_threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


class TestTheWatch:
    def test_gives_up_after_some_seconds_slower_than_one_thread(self):
        watch = ThreadWatch(several=True, one_thread_seconds=0.01)

        assert [watch.give_up(50, 1.0) for _ in range(4)] == [False, False, True, False]

    def test_stays_while_several_are_as_fast_as_promised(self):
        watch = ThreadWatch(several=True, one_thread_seconds=0.01)

        assert not any(watch.give_up(150, 1.0) for _ in range(10))

    def test_never_gives_up_the_only_thread(self):
        assert not any(ThreadWatch(several=False, one_thread_seconds=0.01).give_up(1, 9.0) for _ in range(3))


class TestARun:
    def test_that_crawls_with_two_threads_goes_on_with_one_and_says_so(self, spec_of, line, family, small):
        spec = spec_of(line(), target="y", task="regression", family=family, options=small, train={"epochs": 6})
        prepared = prepare(read_training(spec))
        # One thread is said to be so fast that no machine could keep up with it.
        plan = replace(draft_plan(spec.project, family, prepared), threads=2, one_thread_seconds=1e-9)
        state = TrainState(learner=make_learner(prepared, family, plan).learner, plan=plan, metric="rmse")
        clock = SlowClock()
        loop = Loop(
            spec=spec,
            state=state,
            task="regression",
            truth=prepared.data.validation.target,
            positive=0,
            belongs={},
            clock=clock,
            look=lambda: False,
            take_checkpoint=lambda: "",
        )
        notices = [e for e in loop.run() if isinstance(e, Noticed)]

        assert [n.code for n in notices] == ["threads"]
        assert "one thread: 2 were slower" in notices[0].text
        assert state.learner.threads == 1
        assert state.finished

    def test_resumed_computes_with_as_many_as_it_had(self, spec_of, line, family, small, tmp_path):
        spec = spec_of(line(), target="y", task="regression", family=family, options=small, train={"epochs": 6})
        prepared = prepare(read_training(spec))
        plan = replace(draft_plan(spec.project, family, prepared), threads=2)
        first = make_learner(prepared, family, plan).learner
        first.advance(2)
        first.use_threads(1)
        first.save(tmp_path)
        second = make_learner(prepared, family, plan).learner
        second.load(tmp_path)
        second.advance(1)

        assert (second.threads, second.step) == (1, 3)


class SlowClock(SystemClock):
    """A clock on which every look takes two seconds."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def monotonic(self) -> float:
        """Two seconds later than last time."""
        self._seconds += 2.0
        return self._seconds
