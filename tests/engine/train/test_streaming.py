"""Rows that do not fit into memory: what is read from disk in blocks learns as what is held, and goes on to the bit."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
import tracemalloc
from dataclasses import replace
from itertools import count

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from epochal.core.errors import EpochalError
from epochal.core.events import BaselineDone, Noticed, TrainingStarted
from epochal.core.settings import with_setting
from epochal.core.split import PARTS
from epochal.project.paths import ProjectPaths
from epochal.project.runfile import read_run
from epochal.testing import FakeClock
from epochal.train.allowed import LATER_BYTES
from epochal.train.blocks import read_blocks, source_of_run
from epochal.train.bundle import load_bundle
from epochal.train.faster import fastest
from epochal.train.feed import MemoryFeed, num_batches
from epochal.train.fit import fit
from epochal.train.holding import Sizes, sizes_for
from epochal.train.make import Prepared, dense_rows, make_learner, prepare
from epochal.train.plan import draft_plan
from epochal.train.probe import Rate
from epochal.train.rows import read_training
from epochal.train.scoring import score, spread_of
from epochal.train.streamed import looked_over, written
from epochal.train.survey import TargetSeen, data_that_fits
from epochal.train.windows import Windows


MEMORY = "300 kB"
"""Far less than the tables here take."""


def nothing():
    return ()


def never():
    return False


@pytest.fixture
def tight(family, small):
    """Settings of a run in far less memory than the tables of 4000 rows take."""

    def make(**train):
        memory = "600 kB" if family == "trees" else MEMORY
        return {"family": family, "options": small, "train": {"memory": memory, "budget": "2 s", **train}}

    return make


def returned(generator):
    """What a generator of events returns."""
    while True:
        try:
            next(generator)
        except StopIteration as end:
            return end.value


def from_disk(spec, sizes: Sizes) -> Prepared:
    """A run's rows as they are learnt from in blocks."""
    data, streamed = returned(looked_over(source_of_run(spec), sizes, never))
    prepared = prepare(data, streamed)
    return replace(prepared, streamed=returned(written(streamed, prepared.preparation, spec.project_folder, never)))


def with_sizes(spec, **changed) -> Sizes:
    """The sizes of a run that may take little, some of them changed."""
    return replace(sizes_for(source_of_run(spec), MEMORY), **changed)


def stopped(spec, looks_taken):
    """The last that a run says that is asked to stop when it has looked so often, once a step."""
    events, looks = [], count(1)

    def poll():
        training = any(isinstance(e, TrainingStarted) for e in events)
        return ("stop",) if training and next(looks) == looks_taken else ()

    for event in fit(spec, poll, FakeClock()):  # without time each step is a window of its own
        events.append(event)  # noqa: PERF402 - the requests look at what was said so far
    return events[-1]


def with_gaps(num_rows=3000, unknown=0.01):
    """Columns that are missing, infinite or of a class nearly never, so that a sample of a few does not see it."""
    rng = np.random.default_rng(1)
    x, colour = rng.normal(size=num_rows), rng.choice(["red", "blue"], num_rows).astype(object)
    here = [i for i in range(num_rows) if i % 7]  # no sample of every seventh row has them
    holes, endless = x.copy(), x.copy()
    holes[here[500:520]], endless[here[700:720]] = np.nan, np.inf
    colour[here[900:920]] = None
    return pa.table(
        {
            "holes": pa.array(holes, from_pandas=True),
            "endless": endless,
            "whole": rng.normal(size=num_rows),
            "colour": pa.array(colour, pa.string()),
            "y": pa.array(3 * x + 5, mask=rng.random(num_rows) < unknown),
        }
    )


class TestARunOfMoreRowsThanFit:
    def test_learns_as_well_and_says_that_it_reads_in_blocks(self, spec_of, blobs, held_out, tight):
        spec = spec_of(blobs(6000), target="label", **tight(epochs=12))
        events = list(fit(spec, nothing))
        rows = held_out(spec)
        predictions = load_bundle(spec.folder / "bundle").predict(rows.inputs)
        notices = {e.code: e.text for e in events if isinstance(e, Noticed)}
        started = next(e for e in events if isinstance(e, TrainingStarted))
        resolved = read_run(spec.folder).resolved

        assert events[-1].state == "done"
        assert score("classification", rows.target, predictions.scores)["accuracy"] > 0.9
        assert "kB are allowed: they are read in blocks from disk" in notices["read-in-blocks"]
        assert "training rows" in notices["sampled"]
        assert (started.rows_train, started.rows_validation) == (4200, 600)
        assert 0 < resolved["sample_rows"] < started.rows_train
        assert spec.family == "trees" or 0 < resolved["block_rows"] <= resolved["window_rows"] < started.rows_train
        assert len([e for e in events if isinstance(e, BaselineDone)]) == 2

    def test_keeps_what_it_said_of_every_validation_row(self, spec_of, blobs, held_out, tight):
        spec = spec_of(blobs(4000), target="label", **tight(epochs=2))
        list(fit(spec, nothing))
        kept = pq.read_table(spec.folder / "bundle" / "validation.parquet")
        groups = pq.read_metadata(spec.folder / "bundle" / "validation.parquet").num_row_groups
        rows = held_out(spec, "validation")
        again = load_bundle(spec.folder / "bundle").predict(rows.inputs).probabilities

        assert kept["_key"].to_pylist() == rows.keys.to_pylist()
        assert kept["truth"].to_pylist() == [spec.classes[c] for c in rows.target]
        assert np.allclose(kept["probability_class 1"].to_numpy(), again[:, 1], atol=1e-6)
        assert groups == 1  # not one for each block: what is known of every group is held until the file ends

    def test_stopped_within_an_epoch_and_resumed_equals_an_uninterrupted_one(self, spec_of, blobs, tight):
        settings = {"target": "label", **tight(epochs=6, sampling="balanced")}
        whole, broken = spec_of(blobs(4000), **settings), spec_of(blobs(4000), **settings, number=2)
        list(fit(whole, nothing))
        end = stopped(broken, 4)
        list(fit(read_run(broken.folder), nothing))
        weights = "model.txt" if whole.family == "trees" else "model.safetensors"

        assert end.state == "stopped"
        assert whole.family == "trees" or end.epochs % 1
        assert (whole.folder / "bundle" / weights).read_bytes() == (broken.folder / "bundle" / weights).read_bytes()

    def test_goes_on_alike_where_there_is_more_memory_by_then(self, spec_of, blobs):
        settings = {"target": "label", "train": {"epochs": 4, "memory": MEMORY}}
        whole, broken = spec_of(blobs(4000), **settings), spec_of(blobs(4000), **settings, number=2)
        list(fit(whole, nothing))
        stopped(broken, 9)
        later = read_run(broken.folder)
        later = replace(later, project=with_setting(later.project, "train.memory", "auto"))
        list(fit(later, nothing))
        weights = [(spec.folder / "bundle" / "model.safetensors").read_bytes() for spec in (whole, broken)]

        assert weights[0] == weights[1]

    def test_can_be_stopped_while_it_reads_and_leaves_nothing_behind(self, spec_of, blobs):
        spec = spec_of(blobs(4000), target="label", train={"memory": MEMORY})
        events = list(fit(spec, lambda: ("stop",)))
        sizes = with_sizes(spec, rows_decoded=256)
        data, streamed = returned(looked_over(source_of_run(spec), sizes, never))
        prepared = prepare(data, streamed)
        looks = count()

        assert (events[-1].state, returned(looked_over(source_of_run(spec), sizes, lambda: True))) == ("stopped", None)
        assert returned(written(streamed, prepared.preparation, spec.project_folder, lambda: next(looks) == 3)) is None
        assert list(ProjectPaths(spec.project_folder).prepared.iterdir()) == []

    def test_reads_in_blocks_where_the_memory_of_a_gpu_is_too_small(self, spec_of, blobs):
        source = source_of_run(spec_of(blobs(2000), target="label"))
        small = sizes_for(source, device_free=20_000)

        assert sizes_for(source, device_free=1 << 30) is None
        assert small.window_bytes <= 20_000 / 4
        assert "on the GPU, 20 kB are free there: they are read in blocks from disk" in small.words

    def test_is_refused_where_not_even_a_few_rows_fit(self, spec_of, blobs):
        spec = spec_of(blobs(2000), target="label", train={"memory": "10 kB"})
        with pytest.raises(EpochalError, match="not enough memory: a few hundred rows would take") as caught:
            list(fit(spec, nothing))

        assert caught.value.error_code == "too-little-memory"

    def test_refuses_trees_whose_bins_do_not_fit_and_says_what_they_would_take(self, spec_of, blobs):
        spec = spec_of(blobs(12_000), target="label", family="trees", train={"memory": "300 kB", "budget": "1 s"})
        with pytest.raises(EpochalError, match="the bins of boosted trees would take") as caught:
            list(fit(spec, nothing))

        assert "take a network" in caught.value.fix


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS holds on Linux")
class TestAProcessWithALimit:
    def test_trains_on_four_times_what_it_may_take_beside_the_libraries(self, tmp_path, make_spec_in):
        rng = np.random.default_rng(0)
        rows = 200_000
        x = rng.normal(size=(rows, 60))
        table = pa.table({**{f"x{i}": x[:, i] for i in range(60)}, "y": x @ rng.normal(size=60)})
        data_bytes = table.nbytes
        train = {"epochs": 2, "devices": "cpu", "budget": "5 s"}
        settings = {"target": "y", "task": "regression", "family": "mlp", "options": {"width": 32}}
        few = make_spec_in(tmp_path / "few", table.slice(0, 2000), **settings, train={**train, "memory": "5 MB"})
        every = make_spec_in(tmp_path / "all", table, **settings, train=train, row_group_size=16_384)
        footprint = in_a_process(few, 0)
        # Beside what a run of a few rows takes at its peak, the stacks that threads of a longer one reserve.
        found = in_a_process(every, footprint["address_space_bytes"] + LATER_BYTES + data_bytes // 4)

        assert found["state"] == "done", found["notices"]
        assert any("read in blocks from disk" in text for text in found["notices"])
        assert found["value"] > 0.9
        assert found["resident_bytes"] - footprint["resident_bytes"] < data_bytes / 2

    @pytest.mark.parametrize("limited", [False, True])
    def test_tries_no_further_thread_whose_stack_and_buffers_would_take_the_rows_room(self, spec_of, blobs, limited):
        spec = spec_of(blobs(3000), target="label", family="mlp", train={"devices": "cpu"})
        prepared = from_disk(spec, with_sizes(spec))
        plan = draft_plan(spec.project, "mlp", prepared)

        def rate_of(plan):
            return Rate(seconds_per_step=100 / plan.threads, seconds_per_evaluation=0.0)

        before = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (1 << 46, before[1]) if limited else before)
        try:
            found, _, _ = fastest(spec.project, "mlp", prepared, plan, rate_of=rate_of, cores=2)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, before)

        assert found.threads == (1 if limited else 2)


def refuse_thread(_thread):
    """As Python refuses one whose stack has no room."""
    raise RuntimeError("can't start new thread")


def in_a_process(spec, limit):
    """What a run says of itself in a process whose address space is limited to so many bytes, unless 0."""
    script = (
        "import json, resource, sys\n"
        "limit = int(sys.argv[1])\n"
        "if limit: resource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n"
        "from pathlib import Path\n"
        "from epochal.project.runfile import read_run\n"
        "from epochal.train.fit import fit\n"
        "events = list(fit(read_run(Path(sys.argv[2])), lambda: ()))\n"
        "status = dict(l.split(':', 1) for l in Path('/proc/self/status').read_text().splitlines())\n"
        "size = {n: int(status[k].split()[0]) * 1024 for n, k in "
        "(('address_space_bytes', 'VmPeak'), ('resident_bytes', 'VmHWM'))}\n"
        "notices = [e.text for e in events if e.kind == 'notice']\n"
        "print(json.dumps({**size, 'state': events[-1].state, 'value': events[-1].best_value, 'notices': notices}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", script, str(limit), str(spec.folder)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


class TestRowsReadFromDisk:
    def test_are_prepared_as_in_memory_where_the_sample_is_all_of_them(self, spec_of):
        spec = spec_of(with_gaps(), target="y", task="regression")
        whole = prepare(read_training(spec))
        prepared = from_disk(spec, with_sizes(spec, sample_rows=10_000))
        dense, files = dense_rows(whole), prepared.streamed.files

        assert prepared.preparation.encoders == whole.preparation.encoders
        for name in whole.preparation.scale.__slots__:
            assert np.array_equal(getattr(prepared.preparation.scale, name), getattr(whole.preparation.scale, name)), (
                name
            )
        for part, rows, target in (
            (files.train, dense.train, whole.data.train.target),
            (files.validation, dense.validation, whole.data.validation.target),
        ):
            found = part.buffers(len(part))
            part.read(found, 0, 0, len(part))
            assert np.array_equal(found["numbers"], rows.numbers.numpy())
            assert np.array_equal(found["codes"], rows.codes.numpy())
            assert np.array_equal(found["target"], target)

    def test_tell_what_a_sample_did_not_see(self, spec_of):
        spec = spec_of(with_gaps(unknown=0.0), target="y", task="regression", test=0.0, validation=0.0)
        whole = prepare(read_training(spec)).preparation
        source = source_of_run(spec)
        data, streamed = returned(looked_over(source, with_sizes(spec, sample_rows=429), never))
        blind, seeing = prepare(data).preparation, prepare(data, streamed).preparation

        assert (len(data.train), data.train.total) == (429, 3000)
        assert np.array_equal(seeing.scale.indicated, whole.scale.indicated)
        assert seeing.cardinalities == whole.cardinalities
        assert not len(blind.scale.indicated)

    @pytest.mark.parametrize("reads", ["ahead", "where no thread can be had"])
    def test_are_learnt_from_as_those_in_memory_in_the_same_order(self, spec_of, blobs, monkeypatch, reads):
        spec = spec_of(blobs(3000), target="label", family="mlp", train={"batch_size": 37, "devices": "cpu"})
        prepared = from_disk(spec, with_sizes(spec, sample_rows=10_000))
        plan = replace(draft_plan(spec.project, "mlp", prepared), window_rows=400, block_rows=30)
        target = prepared.streamed.target("none")
        streamed, _ = prepared.streamed.feed(plan, target, torch.device("cpu"))
        windows = Windows(rows=prepared.data.train.total, window_rows=400, block_rows=30, seed=plan.seed)
        dense = dense_rows(prepare(read_training(spec))).train
        rows = {
            "numbers": dense.numbers,
            "codes": dense.codes,
            "target": target.tensor(read_training(spec).train.target),
        }
        held = MemoryFeed(rows, windows.order, num_batches(windows.rows, 37))
        if reads != "ahead":
            monkeypatch.setattr(threading.Thread, "start", refuse_thread)

        assert windows.count > 4
        # Not in the order of the steps alone: a resume begins anywhere, and what was read ahead is then for nothing.
        for step in [*range(2 * held.steps_per_epoch), 7, 8, held.steps_per_epoch - 1, held.steps_per_epoch, 3]:
            one, other = streamed.batch(step), held.batch(step)
            assert all(torch.equal(one[name], other[name]) and one[name].dtype == other[name].dtype for name in rows)
        streamed.release()

    def test_are_let_go_when_no_more_steps_are_asked_for(self, spec_of, blobs):
        spec = spec_of(blobs(3000), target="label", family="mlp", train={"batch_size": 37, "devices": "cpu"})
        prepared = from_disk(spec, with_sizes(spec, sample_rows=10_000))
        plan = replace(draft_plan(spec.project, "mlp", prepared), window_rows=400, block_rows=30)
        windows_bytes = 2 * 400 * prepared.streamed.files.train.layout.row_bytes
        tracemalloc.start()
        try:
            streamed, _ = prepared.streamed.feed(plan, prepared.streamed.target("none"), torch.device("cpu"))
            streamed.batch(0)
            held, _ = tracemalloc.get_traced_memory()
            streamed.release()
            left, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

        assert held - left >= windows_bytes

    def test_grow_the_same_trees_as_those_in_memory(self, spec_of, blobs):
        spec = spec_of(blobs(3000), target="label", family="trees", train={"epochs": 4, "class_weights": "balanced"})
        held = prepare(read_training(spec))
        plan = draft_plan(spec.project, "trees", held)
        said = []
        for prepared in (
            held,
            from_disk(spec, with_sizes(spec, sample_rows=10_000, allowed=1 << 30, rows_at_once=300)),
        ):
            learner = make_learner(prepared, "trees", plan).learner
            learner.advance(4)
            said.append((learner.booster.model_to_string(), learner.evaluate().prediction.tolist()))

        assert said[0][0].count("Tree=") == 12
        assert said[0] == said[1]

    def test_are_written_once_for_the_same_preparation_and_older_ones_go(self, spec_of, blobs):
        spec = spec_of(blobs(3000), target="label")
        folder = ProjectPaths(spec.project_folder).prepared
        from_disk(spec, with_sizes(spec))
        first = {p: p.stat().st_ino for p in folder.rglob("*")}
        open_still = from_disk(spec, with_sizes(spec))
        again = {p: p.stat().st_ino for p in folder.rglob("*")}
        for rows in (900, 800, 700):
            from_disk(spec, with_sizes(spec, sample_rows=rows))
        found = open_still.streamed.files.train.buffers(5)
        open_still.streamed.files.train.read(found, 0, 10, 15)

        assert first == again
        assert len(list(folder.iterdir())) == 2
        assert np.isfinite(found["numbers"]).all()

    def test_are_written_again_where_they_are_damaged(self, spec_of, blobs):
        spec = spec_of(blobs(2000), target="label")
        from_disk(spec, with_sizes(spec))
        numbers = next(ProjectPaths(spec.project_folder).prepared.glob("*/train-numbers"))
        whole = numbers.read_bytes()
        numbers.write_bytes(whole[:-8])
        from_disk(spec, with_sizes(spec))

        assert numbers.read_bytes() == whole

    def test_that_end_too_soon_while_they_are_learnt_from_end_the_run_with_what_to_do(self, spec_of, blobs):
        spec = spec_of(blobs(2000), target="label", train={"batch_size": 32})
        prepared = from_disk(spec, with_sizes(spec))
        numbers = next(ProjectPaths(spec.project_folder).prepared.glob("*/train-numbers"))
        numbers.write_bytes(numbers.read_bytes()[:100])
        plan = replace(draft_plan(spec.project, "linear", prepared), window_rows=200, block_rows=20)
        feed, _ = prepared.streamed.feed(plan, prepared.streamed.target("none"), torch.device("cpu"))
        with pytest.raises(EpochalError, match="can no longer be read") as caught:
            feed.batch(0)

        assert "epochal resume" in caught.value.fix

    @pytest.mark.parametrize("at_once", [7, 1000, 100_000])
    def test_are_the_same_in_blocks_of_any_size(self, spec_of, at_once):
        spec = spec_of(with_gaps(500), target="y", task="regression")
        data = read_training(spec)
        blocks = list(read_blocks(source_of_run(spec), 2 * at_once, at_once))
        for part, rows in zip(PARTS[:2], (data.train, data.validation), strict=True):
            assert np.array_equal(np.concatenate([b[part].target for b in blocks]), rows.target)
            assert sum(b[part].left_out for b in blocks) == rows.left_out
            assert pa.concat_tables([b[part].inputs for b in blocks]).equals(rows.inputs)

    def test_are_a_sample_for_who_only_tries(self, spec_of, blobs):
        spec = spec_of(blobs(5000), target="label", train={"memory": MEMORY})
        held = data_that_fits(with_setting(spec.project, "train.memory", "1 GB"), source_of_run(spec))
        sample = data_that_fits(spec.project, source_of_run(spec))

        assert (len(held.train), held.train.total) == (3500, 3500)
        assert len(sample.train) < 2000
        assert sample.train.total == 3500
        assert np.array_equal(sample.train.eids, held.train.eids[:: -(-3500 // with_sizes(spec).sample_rows)])


class TestTheOrderOfBlocks:
    @pytest.mark.parametrize(("rows", "window", "block"), [(1000, 100, 10), (1003, 97, 10), (10, 100, 10), (7, 3, 1)])
    def test_has_every_row_once_in_an_epoch_and_is_the_same_again(self, rows, window, block):
        windows = Windows(rows=rows, window_rows=window, block_rows=block, seed=3)
        order = windows.order(4)
        starts = windows.starts(windows.blocks(4))

        assert sorted(order.tolist()) == list(range(rows))
        assert np.array_equal(order, windows.order(4))
        assert rows < 10 or not np.array_equal(order, windows.order(5))
        assert starts[0] == 0
        assert starts[-1] == rows
        assert np.diff(starts).max() <= windows.largest
        assert windows.largest <= max(window, block) or windows.count == 1


class TestTargetsCountedInBlocks:
    @pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (1e-3, 1e6), (1e150, 0.0), (1e-200, 0.0)])
    def test_have_the_mean_and_spread_of_all_of_them(self, scale, shift):
        values = np.random.default_rng(0).normal(size=1000) * scale + shift
        seen = TargetSeen(0)
        for part in np.split(values, [1, 10, 400]):
            seen.add(part)
        seen.end()

        assert seen.mean == pytest.approx(values.mean(), rel=1e-12, abs=scale * 1e-12)
        assert seen.spread == pytest.approx(spread_of(values), rel=1e-6)
        assert seen.varies

    def test_that_are_all_equal_do_not_vary(self):
        seen = TargetSeen(0)
        for _ in range(3):
            seen.add(np.full(5, 7.0))
        seen.end()

        assert (seen.varies, seen.spread, seen.mean) == (False, 1.0, 7.0)

    def test_are_the_same_to_the_bit_whatever_is_read_at_once(self):
        values = np.random.default_rng(0).normal(size=200_000)
        found = set()
        for size in (4_096, 65_536, 77_777, 200_000):
            seen = TargetSeen(0)
            for start in range(0, len(values), size):
                seen.add(values[start : start + size])
            seen.end()
            found.add((seen.rows, seen.mean, seen.spread))

        assert len(found) == 1
