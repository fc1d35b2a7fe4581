"""Feeding rows gradually: trusted or easy ones first, the rest in stages."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from epochal.core.errors import SettingsError
from epochal.core.events import EpochDone, StageStarted, StepsDone
from epochal.project.runfile import read_run
from epochal.train.fit import fit
from epochal.train.make import make_learner, prepare
from epochal.train.plan import draft_plan
from epochal.train.rows import NoTarget, read_training
from epochal.train.stages import gradual, ranked_by, stage_at, stages_of


@pytest.fixture
def plan(spec_of, blobs):
    """A plan of twelve epochs that feeds gradually."""
    spec = spec_of(blobs(), target="label", family="mlp", train={"epochs": 12, "feed": "gradual"})
    return draft_plan(spec.project, "mlp", prepare(read_training(spec)))


class TestStages:
    def test_grow_over_the_first_half_to_all_rows(self, plan):
        found = [(s.from_epoch, s.rows) for s in stages_of(plan, 200)]

        assert found == [(0, 50), (2, 100), (4, 150), (6, 200)]

    def test_are_fewer_when_there_are_few_epochs(self, plan):
        for epochs in (1, 2, 3, 5):
            stages = stages_of(replace(plan, epochs=epochs), 200)

            assert stages[-1].rows == 200
            assert stages[-1].from_epoch <= epochs // 2 + 1
            assert len({s.from_epoch for s in stages}) == len(stages)

    def test_are_none_when_all_rows_are_fed(self, plan):
        assert stages_of(replace(plan, feed="all"), 200) == ()


class TestRanking:
    @pytest.mark.parametrize(
        "values",
        [
            [3, None, 1, 2],
            [3.5, None, -1.0, 2.0],
            [date(2026, 3, 1), None, date(2026, 1, 1), date(2026, 2, 1)],
        ],
    )
    def test_puts_high_or_low_values_first_and_missing_ones_last(self, values):
        column = pa.chunked_array([pa.array(values)])

        assert ranked_by(column, "trust", "high").tolist() == [0, 3, 2, 1]
        assert ranked_by(column, "trust", "low").tolist() == [2, 3, 0, 1]

    def test_of_text_is_refused(self):
        with pytest.raises(SettingsError, match="'note' holds text"):
            ranked_by(pa.chunked_array([pa.array(["a", "b"])]), "note", "high")

    def test_keeps_equal_rows_in_their_order(self):
        assert ranked_by(pa.chunked_array([pa.array([1, 1, 2, 1])]), "trust", "high").tolist() == [2, 0, 1, 3]


class TestTheOrder:
    def test_holds_only_admitted_rows_as_often_as_each_other(self, plan):
        ranking = np.arange(200)[::-1].copy()
        stages = stages_of(plan, 200)
        for epoch in range(12):
            rows = gradual(0, epoch, ranking, stages)
            admitted = stage_at(stages, epoch).rows
            counts = np.bincount(rows, minlength=200)

            assert len(rows) == 200
            assert counts[: 200 - admitted].sum() == 0
            assert np.ptp(counts[200 - admitted :]) <= 1
        assert gradual(0, 0, ranking, stages).tolist() != gradual(0, 1, ranking, stages).tolist()


def evaluations(spec, *, stop_after: int | None = None) -> list[tuple[int, float]]:
    """Step and loss of every evaluation of a run that is asked to stop after so many."""
    seen: list[tuple[int, float]] = []
    for event in fit(spec, lambda: ["stop"] if len(seen) == stop_after else ()):
        match event:
            case EpochDone():
                seen.append((event.step, event.validation_loss))
    return seen


class TestARun:
    def test_begins_with_trusted_rows_and_tells_its_stages(self, spec_of, blobs):
        table = blobs(400)
        trust = np.where(np.arange(400) % 4 == 0, 1.0, 0.0)
        table = table.append_column("trust", pa.array(trust))
        spec = spec_of(
            table,
            target="label",
            family="mlp",
            options={"width": 16},
            inputs=["first", "second"],
            train={"epochs": 8, "feed": "gradual", "feed_by": "trust", "batch_size": 16},
        )
        prepared = prepare(read_training(spec))
        plan = draft_plan(spec.project, "mlp", prepared)
        learner = make_learner(prepared, "mlp", plan).learner
        first = {tuple(row) for row in learner._feed.batch(0)["numbers"].tolist()}
        trusted = prepared.data.train.beside.to_numpy() == 1
        dense = prepared.preparation.dense(prepared.train).numbers[trusted].tolist()
        events = list(fit(spec, lambda: ()))
        stages = [e for e in events if isinstance(e, StageStarted)]

        assert first <= {tuple(row) for row in dense}
        assert [s.number for s in stages] == [1, 2, 3, 4]
        assert stages[0].step == 0
        assert stages[-1].rows == len(prepared.data.train)
        assert events[-1].state == "done"

    def test_without_a_column_begins_with_what_a_small_model_finds_easy(self, spec_of, blobs):
        table = blobs(400)
        labels = table["label"].to_pylist()
        wrong = set(range(0, 400, 5))
        flipped = [f"class {(int(v[-1]) + 1) % 3}" if i in wrong else v for i, v in enumerate(labels)]
        table = table.set_column(table.column_names.index("label"), "label", pa.array(flipped))
        spec = spec_of(table, target="label", family="mlp", train={"epochs": 8, "feed": "gradual"})
        prepared = prepare(read_training(spec))
        plan = draft_plan(spec.project, "mlp", prepared)
        rows = prepared.data.train
        is_wrong = np.isin(rows.eids, list(wrong))
        feed = make_learner(prepared, "mlp", plan).learner._feed
        early = feed._order_of(0)

        assert is_wrong.mean() == pytest.approx(0.2, abs=0.06)
        assert is_wrong[early].mean() < 0.05

    @pytest.mark.parametrize(
        "train", [{"optimiser": "sgd"}, {"label_smoothing": 0.3}, {"clip_norm": 1e-6}, {"ema": 0.9}]
    )
    def test_without_a_column_begins_with_the_same_rows_however_it_learns(self, spec_of, blobs, train):
        orders = []
        for asked in ({}, train):
            settings = {"epochs": 8, "feed": "gradual", **asked}
            spec = spec_of(blobs(), target="label", family="mlp", train=settings, number=len(orders) + 1)
            prepared = prepare(read_training(spec))
            feed = make_learner(prepared, "mlp", draft_plan(spec.project, "mlp", prepared)).learner._feed
            orders.append(set(feed._order_of(0).tolist()))

        assert orders[0] == orders[1]

    def test_goes_on_patiently_at_each_stage_and_ends_like_an_uninterrupted_one(self, spec_of, blobs):
        settings = {"family": "mlp", "options": {"width": 16}, "train": {"epochs": 8, "feed": "gradual", "patience": 2}}
        straight = evaluations(spec_of(blobs(), target="label", **settings))
        other = spec_of(blobs(), target="label", number=2, **settings)
        first = evaluations(other, stop_after=3)

        assert len(first) < len(straight)
        assert [*first, *evaluations(read_run(other.folder))] == straight

    def test_is_not_ended_early_before_its_last_stage_has_begun_and_its_patience_counts_anew(self, spec_of, blobs):
        """However early the first rows teach nothing more: three quarters of all are still to come."""
        train = {"epochs": 60, "feed": "gradual", "patience": 3, "learning_rate": 0.05, "schedule": "constant"}
        spec = spec_of(blobs(400), target="label", family="mlp", options={"width": 16}, train=train)
        events = list(fit(spec, lambda: ()))
        stages = [e for e in events if isinstance(e, StageStarted)]
        better = [e.step for e in events if isinstance(e, EpochDone) and e.best]
        judged = [e.step for e in events if isinstance(e, EpochDone)]

        assert [s.number for s in stages] == [1, 2, 3, 4]
        assert events[-1].reason.startswith("stopped early")
        assert events[-1].best_step == better[-1]
        assert sum(step > max(stages[-1].step, better[-1]) for step in judged) == 3

    def test_that_waits_for_its_last_stage_is_not_slowed_without_end(self, spec_of, blobs):
        """The plateau schedule too gives up where patience is over: the rows to come are learnt at a rate worth having."""
        train = {"epochs": 80, "feed": "gradual", "patience": 3, "learning_rate": 0.05, "schedule": "plateau"}
        spec = spec_of(blobs(400), target="label", family="mlp", options={"width": 16}, train=train)
        events = list(fit(spec, lambda: ()))
        last = [e for e in events if isinstance(e, StageStarted)][-1].step
        first_of_last = next(e for e in events if isinstance(e, StepsDone) and e.step > last)

        assert first_of_last.learning_rate >= 0.05 * 0.5 ** (3 * 3)

    def test_by_a_column_that_is_not_there_is_refused(self, spec_of, blobs):
        spec = spec_of(blobs(), target="label", family="mlp", train={"feed": "gradual", "feed_by": "nothing"})
        with pytest.raises(NoTarget, match="no column 'nothing'"):
            list(fit(spec, lambda: ()))
