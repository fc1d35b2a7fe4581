"""Choosing a family on evidence, and fitting plans to budgets."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from epochal.core.settings import with_setting
from epochal.core.tasks import FAMILIES
from epochal.snapshot.manifest import open_snapshot
from epochal.train.choose import choose, classes_of, inputs_of
from epochal.train.device import NoDevice, choose_device
from epochal.train.gradient import num_batches
from epochal.train.make import prepare
from epochal.train.plan import draft_plan, make_plan
from epochal.train.rows import read_training
from epochal.train.state import plan_from


def folders(spec):
    cache = spec.project_folder / ".epochal"
    return cache / "snapshots" / "snap", cache / "splits" / "split"


class TestAChoice:
    def test_ranks_every_family_with_its_evidence(self, spec_of, blobs):
        spec = spec_of(blobs(200), target="label")
        heard = []
        choice = choose(spec.project, *folders(spec), 20.0, lambda share, text: heard.append((share, text)))

        assert {c.family for c in choice.candidates} == set(FAMILIES)
        assert [c.value for c in choice.candidates] == sorted((c.value for c in choice.candidates), reverse=True)
        assert choice.family == choice.candidates[0].family
        assert choice.candidates[0].value > 0.85 > choice.trivial
        assert all(c.parameters > 0 and c.memory_bytes > 0 and c.seconds > 0 for c in choice.candidates)
        assert [share for share, _ in heard] == sorted(share for share, _ in heard)
        assert "trivial" in choice.reason
        json.dumps(asdict(choice))

    def test_takes_the_line_for_what_is_a_line(self, spec_of, line):
        spec = spec_of(line(200), target="y", task="regression")
        choice = choose(spec.project, *folders(spec), 20.0, lambda *_: None)

        assert choice.family != "trees"
        assert choice.candidates[0].value < 2 < choice.trivial

    def test_never_looks_at_test_rows(self, spec_of):
        rng = np.random.default_rng(0)
        table = pa.table({"x": rng.normal(size=200), "label": rng.choice(["a", "b"], 200)})
        spec = spec_of(table, target="label")
        snapshot, split = folders(spec)
        import pyarrow.parquet as pq

        parts = pq.read_table(split / "parts.parquet")["part"].to_numpy()
        rows = pq.read_table(snapshot / "rows-0.parquet")
        # A test row that were read would name a class there is none of, and reading would refuse it.
        labels = ["hidden" if p == 2 else v for p, v in zip(parts, rows["label"].to_pylist(), strict=True)]
        pq.write_table(
            rows.set_column(rows.column_names.index("label"), "label", pa.array(labels)), snapshot / "rows-0.parquet"
        )

        choice = choose(spec.project, snapshot, split, 5.0, lambda *_: None, inputs=spec.inputs, classes=spec.classes)

        assert not np.isnan(choice.candidates[0].value)

    def test_finds_inputs_and_classes_as_the_project_says(self, spec_of, blobs):
        spec = spec_of(blobs(), target="label")
        snapshot = open_snapshot(folders(spec)[0])
        project = with_setting(spec.project, "columns.ignore", ["flag"])
        project = with_setting(project, "columns.key", "first")

        assert inputs_of(project, snapshot) == ("second", "colour")
        assert classes_of(project, snapshot) == spec.classes


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


class TestADevice:
    def test_is_the_cpu_when_asked_or_when_rows_are_few(self):
        assert choose_device("cpu", 10**7)[0] == torch.device("cpu")
        assert choose_device("auto", 100)[0] == torch.device("cpu")

    def test_that_is_not_here_is_named(self):
        with pytest.raises(NoDevice, match="no GPU 99"):
            choose_device((99,), 100)
        with pytest.raises(NoDevice, match="2 devices"):
            choose_device((0, 1), 100)
