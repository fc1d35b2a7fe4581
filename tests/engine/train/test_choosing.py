"""Choosing a family on evidence, and fitting plans to budgets."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from epochal.core.errors import SettingsError
from epochal.core.settings import with_setting
from epochal.core.tasks import FAMILIES
from epochal.train.choose import choose
from epochal.train.device import NoDevice, choose_device, same_device, usable_cores
from epochal.train.feed import num_batches
from epochal.train.make import prepare
from epochal.train.plan import draft_plan, make_plan
from epochal.train.rows import read_training
from epochal.train.state import plan_from
from epochal.train.team import Team


def folders(spec):
    cache = spec.project_folder / ".epochal"
    return cache / "snapshots" / "snap", cache / "splits" / "split"


def tried(spec, budget, report=lambda *_: None):
    return choose(spec.project, *folders(spec), budget, report, inputs=spec.inputs, classes=spec.classes)


def divided(spec, parts, settings):
    """The run with its rows divided so, by a project that says so."""
    path = folders(spec)[1] / "parts.parquet"
    pq.write_table(pq.read_table(path).set_column(1, "part", pa.array(parts, pa.int8())), path)
    project = spec.project
    for dotted, value in settings.items():
        project = with_setting(project, dotted, value)
    return replace(spec, project=project)


class TestAChoice:
    def test_ranks_every_family_with_its_evidence(self, spec_of, blobs):
        spec = spec_of(blobs(200), target="label")
        heard = []
        choice = tried(spec, 20.0, lambda share, text: heard.append((share, text)))

        assert {c.family for c in choice.candidates} == set(FAMILIES) - {"own"}
        assert [c.value for c in choice.candidates] == sorted((c.value for c in choice.candidates), reverse=True)
        assert choice.family == choice.candidates[0].family
        assert choice.candidates[0].value > 0.85 > choice.trivial
        assert all(c.parameters > 0 and c.memory_bytes > 0 and c.seconds > 0 for c in choice.candidates)
        assert [share for share, _ in heard] == sorted(share for share, _ in heard)
        assert "trivial" in choice.reason
        json.dumps(asdict(choice))

    def test_takes_the_line_for_what_is_a_line(self, spec_of, line):
        spec = spec_of(line(200), target="y", task="regression")
        choice = tried(spec, 20.0)

        assert choice.family != "trees"
        assert choice.candidates[0].value < 2 < choice.trivial

    def test_never_looks_at_test_rows(self, spec_of):
        rng = np.random.default_rng(0)
        table = pa.table({"x": rng.normal(size=200), "label": rng.choice(["a", "b"], 200)})
        spec = spec_of(table, target="label")
        snapshot, split = folders(spec)
        parts = pq.read_table(split / "parts.parquet")["part"].to_numpy()
        rows = pq.read_table(snapshot / "rows-0.parquet")
        # A test row that were read would name a class there is none of, and reading would refuse it.
        labels = ["hidden" if p == 2 else v for p, v in zip(parts, rows["label"].to_pylist(), strict=True)]
        pq.write_table(
            rows.set_column(rows.column_names.index("label"), "label", pa.array(labels)), snapshot / "rows-0.parquet"
        )

        choice = tried(spec, 5.0)

        assert not np.isnan(choice.candidates[0].value)

    @pytest.mark.parametrize("column", [None, "patient"])
    def test_learns_nothing_of_a_group_from_its_other_rows(self, spec_of, column):
        """Ten near-equal rows of each patient, whose label is a coin: rows of one patient on both sides tell it."""
        rng = np.random.default_rng(0)
        where, coin = rng.normal(size=(60, 4)), rng.integers(0, 2, 60)
        patient = np.repeat(np.arange(60), 10)
        near = where[patient] + rng.normal(0, 0.01, (600, 4))
        table = pa.table(
            {
                **{f"x{i}": near[:, i] for i in range(4)},
                "patient": patient,
                "label": np.array(["a", "b"])[coin[patient]],
            }
        )
        spec = spec_of(table, target="label", inputs=["x0", "x1", "x2", "x3"])
        if column:
            dealt = [2 if p % 5 == 0 else 1 if p % 10 == 1 else 0 for p in patient]
            spec = divided(spec, dealt, {"split.kind": "group", "columns.group": column})
        choice = tried(spec, 20.0)

        if column:
            assert choice.candidates[0].value < 0.75
            assert "whole groups at a time" in choice.method
        else:
            assert choice.candidates[0].value > 0.9, "without groups the same rows look easy: the trap is real"

    @pytest.mark.parametrize("validation", [True, False])
    def test_of_a_split_in_time_judges_by_what_comes_later(self, spec_of, validation):
        """A label that rows near in time share and that changes at random: the past alone does not tell it."""
        rng = np.random.default_rng(1)
        when = np.arange(600.0)
        label = np.repeat(np.concatenate([rng.permutation(["a", "b"]) for _ in range(30)]), 10)
        table = pa.table({"phase": when + rng.normal(0, 0.1, 600), "when": when, "label": label})
        spec = spec_of(table, target="label", inputs=["phase"])
        last = 1 if validation else 0
        dealt = np.where(when >= 500, 2, np.where(when >= 400, last, 0))
        choice = tried(divided(spec, dealt, {"split.kind": "time", "columns.time": "when"}), 20.0)

        assert choice.candidates[0].value < 0.75
        assert choice.method == (
            "judged on 100 validation rows"
            if validation
            else "trained on the 400 earlier training rows, judged on the 100 latest"
        )

    def test_of_a_split_by_column_is_judged_on_its_validation_part(self, spec_of, blobs):
        spec = divided(
            spec_of(blobs(), target="label"), np.arange(300) % 3, {"split.column": "flag", "split.kind": "column"}
        )

        assert tried(spec, 8.0).method == "judged on 100 validation rows"

    def test_says_how_sure_it_is_also_when_there_is_time_for_one_fold_only(self, spec_of, blobs):
        choice = tried(spec_of(blobs(400), target="label"), 5.0)

        assert "1 of 5 folds" in choice.method
        assert all(c.spread is not None for c in choice.candidates)

    @pytest.mark.parametrize(("rows", "why"), [(400, "none is shown to do better"), (40, "too few rows")])
    def test_of_noise_says_that_nothing_separates_the_families_and_takes_the_simplest(self, spec_of, rows, why):
        rng = np.random.default_rng(0)
        table = pa.table({"x": rng.normal(size=rows), "y": rng.normal(size=rows)})
        choice = tried(spec_of(table, target="y", task="regression"), 5.0)

        assert choice.family == "linear"
        assert choice.reason.startswith("nothing separates the families")
        assert why in choice.reason
        assert "has the best" not in choice.reason

    def test_of_a_tie_says_that_it_is_one_and_why_a_family_is_taken_all_the_same(self, spec_of):
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(2, 300))
        label = np.where(x + y + rng.normal(size=300) > 0, "yes", "no")
        choice = tried(spec_of(pa.table({"x": x, "y": y, "label": label}), target="label"), 8.0)
        first, second = choice.candidates[:2]

        assert first.value > choice.trivial + 0.1
        assert choice.reason.startswith(f"{first.title} and {second.title} are too close to call (accuracy ")
        assert f": {first.title} is taken, as its " in choice.reason
        assert "best" not in choice.reason


class TestAPlan:
    @pytest.fixture
    def prepared(self, spec_of, blobs):
        spec = spec_of(blobs(3000), target="label", family="tabm")
        return spec.project, prepare(read_training(spec))

    def test_never_changes_what_a_person_set(self, prepared):
        project, rows = prepared
        for dotted, value in {
            "train.epochs": 3,
            "train.learning_rate": 0.01,
            "train.budget": "1 s",
            "model.width": 200,
        }.items():
            project = with_setting(project, dotted, value)
        plan = make_plan(project, "tabm", rows, None).plan

        assert (plan.epochs, plan.learning_rate, plan.options["width"]) == (3, 0.01, 200)

    def test_takes_fewer_passes_or_a_smaller_model_for_a_smaller_budget_and_says_so(self, prepared):
        project, rows = prepared
        small = make_plan(with_setting(project, "train.budget", "1 s"), "tabm", rows, None)
        large = make_plan(with_setting(project, "train.budget", "1 h"), "tabm", rows, None)

        assert small.seconds < large.seconds
        assert (small.plan.epochs, small.plan.options["members"]) < (large.plan.epochs, large.plan.options["members"])
        assert small.notes
        assert not [n for n in large.notes if "budget" in n]

    def test_of_a_long_training_has_an_evaluation_every_few_seconds(self, prepared):
        project, rows = prepared
        project = with_setting(project, "train.epochs", 1_000_000)
        planned = make_plan(project, "linear", rows, None)
        seconds = planned.plan.evaluate_every * planned.rate.seconds_per_step

        assert planned.seconds > 500
        assert seconds < 10 or planned.plan.evaluate_every * 2000 >= planned.plan.epochs

    def test_with_a_time_limit_is_looked_at_within_it_and_says_how_far_it_comes(self, prepared):
        project, rows = prepared
        project = with_setting(with_setting(project, "train.epochs", 1_000_000), "train.time_limit", "5 s")
        planned = make_plan(project, "linear", rows, None)

        assert planned.seconds == 5
        assert planned.plan.evaluate_every * planned.rate.seconds_per_step < 1
        assert any("the time limit of 5 s comes after about" in n for n in planned.notes)

    def test_with_dear_evaluations_has_fewer_of_them(self, spec_of):
        rng = np.random.default_rng(0)
        label = rng.integers(0, 300, 60_000)
        table = pa.table({"x": label + rng.normal(size=60_000), "label": [f"class {i}" for i in label]})
        spec = spec_of(table, target="label", family="linear", train={"budget": "10 s"}, validation=0.4)
        rows = prepare(read_training(spec))
        planned = make_plan(spec.project, "linear", rows, None)
        steps = planned.plan.epochs * num_batches(len(rows.data.train), planned.plan.batch_size)
        evaluations = math.ceil(steps / planned.plan.evaluate_every)

        assert 1 <= evaluations <= 20
        assert planned.seconds < 6 or planned.plan.epochs == 1

    def test_comes_back_from_run_toml_as_it_was(self, prepared):
        project, rows = prepared
        plan = draft_plan(project, "tabm", rows)

        assert plan_from(plan.as_resolved()) == plan
        assert plan_from({**plan.as_resolved(), "later": 1}) == replace(plan)

    def test_gives_ranks_of_one_machine_a_fair_part_of_its_cores(self, monkeypatch):
        monkeypatch.setattr("os.sched_getaffinity", lambda _process: set(range(8)), raising=False)

        assert [usable_cores(Team(size=n, local_size=n)) for n in (1, 2, 3, 16)] == [8, 4, 2, 1]

    def test_needs_a_row_of_each_batch_for_every_rank(self, prepared):
        project, rows = prepared
        project = with_setting(project, "train.batch_size", 3)

        assert draft_plan(project, "tabm", rows, team=Team(size=2)).batch_size == 3
        with pytest.raises(SettingsError, match="2 rows cannot be shared by 4 ranks"):
            draft_plan(project, "tabm", rows, team=Team(size=4))


class TestADevice:
    def test_is_the_cpu_when_asked_or_when_rows_are_few(self):
        assert choose_device("cpu", 10**7)[0] == torch.device("cpu")
        assert choose_device("auto", 100)[0] == torch.device("cpu")

    def test_that_is_not_here_is_named(self):
        with pytest.raises(NoDevice, match="no GPU 99"):
            choose_device((99,), 100)
        with pytest.raises(NoDevice, match="no GPU 98"):
            choose_device((98, 99), 100)

    @pytest.mark.skipif(torch.cuda.is_available(), reason="then ranks have GPUs")
    def test_of_ranks_is_the_cpu_where_no_gpu_is(self):
        assert choose_device(4, 10**7, Team(rank=3, size=4, local_rank=3, local_size=4))[0] == torch.device("cpu")

    def test_of_a_run_that_comes_back_is_the_same_or_none(self):
        assert same_device("cpu") == torch.device("cpu")
        with pytest.raises(NoDevice, match="computes on cuda:99, which is not here") as refused:
            same_device("cuda:99")
        assert "`epochal train`" in refused.value.fix
