"""Where a verified run stops, what is compared, and what is said of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from epochal.core.errors import RunError
from epochal.runs.equality import Verification, compare, compared_of, refuse_stops, stops_of


def recorded(losses=(0.5, 0.25), batches=("a", "b"), **items):
    """What a part of a run recorded."""
    return {"start": 0, "losses": list(losses), "batches": list(batches), "items": items, "pid": 1}


def verification(straight, *ways):
    """What came out of some ways."""
    return Verification(
        family="mlp",
        task="classification",
        mode="exact",
        device="cpu",
        threads=1,
        precision="float32",
        begins=0,
        steps=len(straight["losses"]),
        steps_per_epoch=2,
        evaluate_every=2,
        total_steps=20,
        pieces=1,
        losses=tuple(straight["losses"]),
        ways=ways,
        compared=compared_of(straight, ways),
        notices=(),
        seconds=1.0,
    )


class TestStops:
    def test_are_in_mid_epoch_and_at_its_end_then_between_batches_and_one_step_later(self):
        first, second = stops_of(63, 25, 25, 4)

        assert [(s.step, s.where) for s in first] == [
            (12, "in the middle of epoch 1"),
            (25, "at the end of epoch 1"),
        ]
        assert [(s.step, s.where) for s in second] == [
            (33, "after the last of a batch's 4 pieces"),
            (34, "one step later"),
        ]

    def test_come_after_an_evaluation_where_that_is_later_than_an_epochs_end(self):
        assert [s.step for s in stops_of(60, 10, 20, 1)[0]] == [15, 20]

    @pytest.mark.parametrize("per_epoch", [1, 2, 7, 1000])
    @pytest.mark.parametrize("end", [3, 4, 5, 40, 400])
    def test_lie_within_the_steps_one_after_the_other(self, end, per_epoch):
        for way in stops_of(end, per_epoch, per_epoch, 1):
            steps = [0, *(s.step for s in way), end]

            assert steps == sorted(set(steps))

    def test_are_at_the_end_of_an_epoch_however_long_it_is(self):
        """What is compared then begins shortly before it."""
        first, second = stops_of(965, 875, 875, 1, begins=815)

        assert [(s.step, s.where) for s in first] == [
            (845, "in the middle of epoch 1"),
            (875, "at the end of epoch 1"),
        ]
        assert 875 < second[0].step < second[1].step < 965

    def test_are_where_a_person_says(self):
        (way,) = stops_of(20, 10, 10, 1, at=(5, 10, 11))

        assert [s.where for s in way] == [
            "in the middle of epoch 1",
            "at the end of epoch 1",
            "in the middle of epoch 2",
        ]

    @pytest.mark.parametrize(
        ("at", "steps"), [((0,), None), ((5, 5), None), ((7, 3), None), ((10,), 10), ((12,), 10), ((), 1)]
    )
    def test_that_are_none_are_refused_before_anything_is_trained(self, at, steps):
        with pytest.raises(RunError) as caught:
            refuse_stops(at, steps)

        assert caught.value.error_code == "bad-stops"

    @pytest.mark.parametrize(("end", "at"), [(2, ()), (5, (5,))])
    def test_that_a_short_run_has_no_room_for_are_refused(self, end, at):
        with pytest.raises(RunError, match=r"cannot be stopped twice|not before the end"):
            stops_of(end, 2, 2, 1, at=at)


class TestComparing:
    def test_counts_steps_from_the_runs_beginning_and_not_from_where_it_was_looked_at(self):
        straight = {**recorded(), "start": 815}

        assert compare(straight, [recorded((0.5, 0.3))], ()).first_step == 817

    def test_knows_how_often_the_model_was_judged(self):
        whole = replace(verification(recorded()), begins=815, steps=965, evaluate_every=875, total_steps=8750)

        assert whole.evaluations == 1
        assert replace(whole, steps=870).evaluations == 0
        assert replace(whole, begins=0, steps=8750).evaluations == 10
        assert replace(whole, begins=0, steps=8000, total_steps=8000).evaluations == 10

    def test_finds_the_same_exact(self):
        straight = recorded(**{"model.safetensors: a": "1"})
        parts = [recorded((0.5,), ("a",)), recorded((0.25,), ("b",), **{"model.safetensors: a": "1"})]

        assert verification(straight, compare(straight, parts, ())).verdict == "exact"

    def test_names_what_differs_and_the_first_step(self):
        straight = recorded(**{"model.safetensors: a": "1", "optimiser.safetensors: mean:a": "2"})
        part = recorded((0.5, 0.3), **{"model.safetensors: a": "1", "optimiser.safetensors: mean:a": "3"})
        result = verification(straight, compare(straight, [part], ()))

        assert result.verdict == "differs: the losses and the optimiser's moments, first at step 2"
        assert [(c.what, c.number, c.same) for c in result.compared] == [
            ("losses", 2, False),
            ("rows of the batches", 2, True),
            ("weights", 1, True),
            ("optimiser's moments", 1, False),
        ]

    def test_says_so_when_only_the_end_differs(self):
        straight = recorded(**{"random.safetensors: cpu": "1"})
        way = compare(straight, [recorded(**{"random.safetensors: cpu": "2"})], ())

        assert verification(straight, way).verdict == "differs: the random generators, at the end, step 2"

    @pytest.mark.parametrize("other", [{}, {"model.safetensors: a": "1", "more.bin": "x"}])
    def test_misses_neither_what_is_lacking_nor_what_came_in_addition(self, other):
        straight = recorded(**{"model.safetensors: a": "1"})

        assert compare(straight, [recorded(**other)], ()).differing

    def test_tells_a_run_that_ended_earlier(self):
        straight = recorded()
        way = compare(straight, [recorded((0.5,), ("a",))], ())

        assert (way.differing, way.first_step) == (("losses", "rows of the batches"), 2)
