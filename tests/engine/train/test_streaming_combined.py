"""Rows read from disk in blocks, together with verifying, compiled steps and models of one's own; and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from epochal.core.errors import EpochalError
from epochal.core.events import Noticed
from epochal.core.settings import with_setting
from epochal.project.code import read_code
from epochal.project.paths import ProjectPaths
from epochal.project.runfile import read_run, with_resolved, write_run
from epochal.project.trust import run_code, trust
from epochal.snapshot.manifest import open_split
from epochal.train.baselines import strong_bytes
from epochal.train.begin import prepare_rows, write_rows
from epochal.train.bundle import load_bundle
from epochal.train.fit import fit
from epochal.train.plan import draft_plan
from epochal.train.scoring import score
from epochal.train.segment import train_segment
from epochal.train.trial import try_training


MEMORY = {"linear": "300 kB", "mlp": "300 kB", "own": "300 kB", "trees": "600 kB"}
"""Far less than the tables here take."""

OWN = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, spec):
        super().__init__()
        self.first = nn.Linear(spec.numbers, 8)
        self.last = nn.Linear(8, spec.outputs)

    def loss(self, outputs, batch):
        return nn.functional.cross_entropy(outputs, batch["target"])

    def forward(self, batch):
        return self.last(torch.tanh(self.first(batch["numbers"])))
"""

PREPARING = (
    OWN
    + """
    def prepare(self, columns):
        return {"numbers": torch.from_numpy(columns["second"]).float()[:, None].expand(-1, 1)}
"""
)

BATCHING = (
    OWN
    + """
    def batches(self, split, seed, epoch):
        yield {"numbers": torch.zeros(len(split), 1), "target": split.target}
"""
)


def nobody(_text, _share):
    """Hears what is reported."""


def never():
    return False


@pytest.fixture
def tight(spec_of, blobs, tmp_path, monkeypatch):
    """A function that makes a run of 4000 rows in little memory; `text` is a model of one's own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    numbers = iter(range(1, 100))

    def make(family="mlp", *, text="", options=None, **train):
        options = {**({"width": 8} if family == "mlp" else {}), **(options or {})}
        if text:
            (tmp_path / "model.py").write_text(text)
            trust(tmp_path, read_code(tmp_path))
            options = {"module": "model.py:Net"}
        spec = spec_of(
            blobs(4000),
            target="label",
            family=family,
            options=options,
            train={"memory": MEMORY[family], "epochs": 6, "batch_size": 64, "budget": "2 s", **train},
            number=next(numbers),
        )
        spec = replace(spec, name="0001-tight", code=run_code(tmp_path, spec.project))
        write_run(spec)
        return spec

    return make


def returned(generator):
    """What a generator of events returns."""
    while True:
        try:
            next(generator)
        except StopIteration as end:
            return end.value


def from_disk(spec):
    """Its rows, as they are learnt from in blocks, and their plan."""
    prepared = returned(write_rows(spec, returned(prepare_rows(spec)), never))
    plan = draft_plan(spec.project, spec.family, prepared)
    return prepared, prepared.streamed.planned(plan, prepared.preparation)


def feed_of(prepared, plan):
    feed, _ = prepared.streamed.feed(plan, prepared.streamed.target("none"), torch.device("cpu"))
    return feed


class TestVerifying:
    @pytest.mark.parametrize("family", ["linear", "mlp", "trees"])
    def test_a_run_that_stops_and_goes_on_equals_one_that_does_not(self, tight, family):
        plan = from_disk(tight(family))[1]
        straight, stopped = (with_resolved(tight(family), replace(plan, patience=99).as_resolved()) for _ in "ab")
        total = plan.epochs * (1 if family == "trees" else -(-2800 // 64))
        end, stop = (5, 3) if family == "trees" else (total // 2, 13)
        whole = train_segment(straight.folder, straight.project_folder, end, report=nobody)
        parts = [
            train_segment(read_run(stopped.folder).folder, stopped.project_folder, until, report=nobody)
            for until in (stop, end)
        ]

        assert any("read in blocks from disk" in text for text in whole.notices)
        assert whole.losses == parts[0].losses + parts[1].losses
        assert whole.batches == parts[0].batches + parts[1].batches
        assert whole.items == parts[1].items

    def test_batches_lie_alike_in_memory_however_a_step_is_come_to(self, tight):
        prepared, plan = from_disk(tight())
        through = feed_of(prepared, plan)
        places = [through.batch(step)["numbers"].storage_offset() for step in range(2 * through.steps_per_epoch)]

        assert len(set(places)) > 2
        for step in range(1, len(places), 7):
            assert feed_of(prepared, plan).batch(step)["numbers"].storage_offset() == places[step]

    def test_rounds_grown_again_are_told_with_the_reason(self, tight):
        spec = tight("trees", options={"rounds": 12}, epochs="auto")
        train_segment(spec.folder, spec.project_folder, 4, report=nobody)
        notices = {e.code: e.text for e in fit(read_run(spec.folder), list) if isinstance(e, Noticed)}

        assert notices["again"].startswith(
            "growing 4 rounds again: LightGBM can only go on from trees over rows in memory"
        )
        assert "again-differs" not in notices


class TestCompiledSteps:
    def test_get_batches_of_one_size(self, tight):
        prepared, plan = from_disk(tight(batch_size=75))
        sizes = {
            compiled: {len(feed.batch(step)["target"]) for step in range(feed.steps_per_epoch)}
            for compiled in (False, True)
            for feed in (feed_of(prepared, replace(plan, compiled=compiled)),)
        }

        assert len(sizes[False]) == 2
        assert sizes[True] == {min(sizes[False])}


class TestAModelOfOnesOwn:
    def test_learns_from_blocks_and_is_judged_by_its_own_loss(self, tight, held_out):
        spec = tight("own", text=OWN, learning_rate=0.03)
        events = list(fit(spec, list))
        rows = held_out(spec)
        predictions = load_bundle(spec.folder / "bundle").predict(rows.inputs)

        assert events[-1].state == "done"
        assert any(e.code == "read-in-blocks" for e in events if isinstance(e, Noticed))
        assert score("classification", rows.target, predictions.scores)["accuracy"] > 0.8

    @pytest.mark.parametrize(("text", "named"), [(PREPARING, "prepare"), (BATCHING, "batches")])
    def test_is_refused_where_it_reads_all_rows_itself(self, tight, text, named):
        spec = tight("own", text=text)
        with pytest.raises(
            EpochalError, match=f"`{named}` of the model is given all rows, and they do not fit"
        ) as caught:
            list(fit(spec, list))

        assert caught.value.error_code == "needs-all-rows"
        assert "a larger `memory`" in caught.value.fix


class TestWhatTakesAllRows:
    def test_ranks_are_refused(self, tight):
        spec = tight(devices=2)
        with pytest.raises(EpochalError, match="each of 2 ranks holds all rows, and they do not fit") as caught:
            returned(prepare_rows(spec))

        assert caught.value.error_code == "needs-all-rows"
        assert 'devices = "auto"' in caught.value.fix

    def test_ranks_hold_what_fits(self, tight):
        spec = tight(devices=2, memory="1 GB")

        assert returned(prepare_rows(spec)).streamed is None

    def test_feeding_gradually_is_refused_by_a_run_and_by_a_check(self, tight):
        spec = tight(feed="gradual", feed_by="second")
        paths = ProjectPaths(spec.project_folder)
        folders = paths.snapshots / spec.snapshot_id, paths.splits / spec.split_id
        with pytest.raises(EpochalError, match="takes an order of all rows, and they do not fit"):
            list(fit(spec, list))
        with pytest.raises(EpochalError, match="takes an order of all rows") as caught:
            try_training(spec.project, *folders, inputs=spec.inputs, classes=spec.classes, probes=False)

        assert 'feed = "all"' in caught.value.fix
        held = replace(spec, project=with_setting(spec.project, "train.memory", "1 GB"))
        assert returned(prepare_rows(held)).streamed is None


class TestACheck:
    def test_tries_a_sample_of_the_rows_and_counts_those_on_disk(self, tight):
        spec = tight()
        from_disk(spec)
        paths = ProjectPaths(spec.project_folder)
        folders = paths.snapshots / spec.snapshot_id, paths.splits / spec.split_id
        trial = try_training(spec.project, *folders, inputs=spec.inputs, classes=spec.classes)

        written = [p for p in paths.prepared.glob("*/*") if p.suffix != ".json"]

        assert trial.healthy
        assert len(written) == 6
        rows = sum(p.stat().st_size for p in written)
        baselines = strong_bytes(len(spec.classes), open_split(folders[1]).train)
        assert trial.disk_bytes == 4 * trial.checkpoint_bytes + baselines + trial.bundle_bytes + rows
        assert trial.checks is not None
