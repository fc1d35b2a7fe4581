"""A run that is stopped and resumed is the run that was not; and the comparison that says so misses nothing."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file, save_file

from epochal.project.code import read_code
from epochal.project.runfile import with_resolved
from epochal.project.trust import run_code, trust
from epochal.runs.equality import Verification, compare, compared_of, stops_of
from epochal.train.begin import belongs_to, prepare_rows
from epochal.train.checkpoint import save_checkpoint
from epochal.train.make import make_learner
from epochal.train.plan import draft_plan
from epochal.train.segment import items_of, train_segment
from epochal.train.state import TrainState, plan_from


EPOCH, STOP, END = 7, 9, 12
"""Steps: of an epoch, after which it is evaluated; to the middle of the second epoch; and short of its end."""

OWN = """
import random

import numpy as np
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, spec):
        super().__init__()
        self.last = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.Linear(8, spec.outputs))

    def batches(self, split, seed, epoch):
        order = np.random.permutation(len(split))
        numbers = np.stack([np.nan_to_num(split.columns["first"]), split.columns["second"]], axis=1)
        for rows in np.array_split(order, 7):
            batch = {"x": torch.from_numpy(numbers[rows]).float(), "rows": torch.from_numpy(rows.copy())}
            if split.target is not None:
                batch["target"] = torch.from_numpy(split.target[rows])
            yield batch

    def forward(self, batch):
        noise = random.gauss(0, 0.1) + 0.1 * np.random.randn() if self.training else 0.0
        return self.last(batch["x"] + noise)
"""
"""A person's model that makes its own batches in an order it draws itself, and draws from every generator there is."""

WRITTEN_ANEW = {"manifest.json: last_train_loss"}
"""Every step writes it."""

NETWORKS = {
    "linear": {},
    "mlp": {"width": 8},
    "tabm": {"width": 8, "members": 2},
}
VARIANTS = {
    **{family: (family, options, {}) for family, options in NETWORKS.items()},
    "sgd in pieces": ("mlp", {"width": 8}, {"optimiser": "sgd", "accumulate": 3, "sampling": "balanced"}),
    "averaged": ("mlp", {"width": 8}, {"ema": 0.9, "schedule": "plateau", "class_weights": "balanced"}),
    "bfloat16": ("tabm", {"width": 8, "members": 2}, {"precision": "bfloat16"}),
    "gradual": ("mlp", {"width": 8}, {"feed": "gradual", "feed_by": "second", "feed_stages": 3}),
    "own": ("own", {"module": "model.py:Net"}, {"learning_rate": 0.01}),
    "trees": ("trees", {}, {}),
    "weighted trees": ("trees", {}, {"class_weights": "balanced"}),
    "sampled trees": ("trees", {"row_share": 0.5, "column_share": 0.5}, {"class_weights": "balanced"}),
}


def nobody(_text, _share):
    """Hears what is reported."""


@pytest.fixture
def run(spec_of, blobs, tmp_path, monkeypatch):
    """A function that makes a run whose plan is made, the same one each time."""
    numbers = iter(range(1, 1000))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "model.py").write_text(OWN)
    trust(tmp_path, read_code(tmp_path))

    def make(variant, table=None, **settings):
        family, options, train = VARIANTS[variant]
        spec = spec_of(
            table if table is not None else blobs(),
            target=settings.pop("target", "label"),
            family=family,
            options=options,
            train={"epochs": 40, "batch_size": 32, **train},
            number=next(numbers),
            **settings,
        )
        spec = replace(spec, name="0001-verified", code=run_code(tmp_path, spec.project))
        plan = replace(draft_plan(spec.project, family, prepared_of(spec)), evaluate_every=EPOCH, patience=99)
        return with_resolved(spec, plan.as_resolved())

    return make


def prepared_of(spec):
    """Its rows, prepared."""
    rows = prepare_rows(spec)
    while True:
        try:
            next(rows)
        except StopIteration as end:
            return end.value


def part(spec, until):
    """A part of a run, as `verify-resume` gets it from its process."""
    torch.manual_seed(until)  # whatever a new process has drawn
    found = train_segment(spec.folder, spec.project_folder, until, report=nobody)
    return {"start": found.start, "losses": found.losses, "batches": found.batches, "items": found.items, "pid": 1}


def verdict(straight, *ways):
    """What is said of them."""
    result = Verification(
        family="",
        task="",
        mode="exact",
        device="cpu",
        threads=1,
        precision="float32",
        steps=END,
        begins=0,
        evaluate_every=EPOCH,
        steps_per_epoch=EPOCH,
        total_steps=END,
        pieces=1,
        losses=straight["losses"],
        ways=ways,
        compared=compared_of(straight, ways),
        notices=(),
        seconds=0.0,
    )
    return result.verdict


@pytest.mark.parametrize("variant", VARIANTS)
def test_stopping_twice_in_a_row_anywhere_changes_nothing(run, variant):
    """In mid-epoch, at the epoch's end, between the pieces of batches and one step later."""
    straight = part(run(variant), 2 * EPOCH + 3)
    for stops in stops_of(2 * EPOCH + 3, EPOCH, EPOCH, 3):
        spec = run(variant)
        parts = [part(spec, until) for until in (*(s.step for s in stops), 2 * EPOCH + 3)]

        assert verdict(straight, compare(straight, parts, stops)) == "exact"


@pytest.mark.parametrize("options", [{}, {"row_share": 0.5, "column_share": 0.5}], ids=["whole", "sampled"])
@pytest.mark.parametrize("target", ["y", "high"], ids=["of a number", "of two classes"])
def test_trees_go_on_as_well(run, line, target, options, monkeypatch):
    monkeypatch.setitem(VARIANTS, "these", ("trees", options, {"class_weights": "balanced"}))
    table = line()
    high = pa.array(["yes" if value > 50 else "no" for value in table["y"].to_pylist()])
    table = table if target == "y" else table.drop_columns("y").append_column("high", high)
    task = "regression" if target == "y" else "classification"
    straight, spec = (run("these", table, target=target, task=task) for _ in range(2))
    straight = part(straight, END)
    parts = [part(spec, until) for until in (4, 5, END)]

    assert verdict(straight, compare(straight, parts, ())) == "exact"


def test_rows_of_an_odd_width_are_rounded_alike(run):
    """Ten numbers a row: the batches of a block begin where products over them are rounded otherwise than at its start."""
    rng = np.random.default_rng(0)
    table = pa.table({f"x{i}": rng.normal(size=303) for i in range(10)} | {"y": rng.normal(size=303) * 70 + 150})
    straight = part(run("linear", table, target="y", task="regression"), 6 * EPOCH)
    for stop in (2, 3, EPOCH + 1, EPOCH + 4):
        spec = run("linear", table, target="y", task="regression")
        parts = [part(spec, until) for until in (stop, stop + 1, 6 * EPOCH)]

        assert verdict(straight, compare(straight, parts, ())) == "exact", stop


@pytest.mark.parametrize("variant", VARIANTS)
def test_without_any_one_thing_that_a_checkpoint_holds_the_comparison_says_so(run, variant):
    """Each tensor, key and text of it is put where it was in the beginning, one at a time: new ones come by themselves."""
    straight, whole = part(run(variant), END), run(variant)
    first = part(whole, STOP)
    name = f"checkpoints/step-{STOP:08d}"
    beginning = beginning_of(run(variant), whole)
    for item in ["", *sorted(items_of(whole.folder / name).keys() - WRITTEN_ANEW)]:
        lacking = run(variant)
        shutil.copytree(whole.folder / name, lacking.folder / name)
        if item:
            put_back(lacking.folder / name, beginning, item)
        said = verdict(straight, compare(straight, [first, part(lacking, END)], ()))

        assert said.startswith("differs: the ") if item else said == "exact", item


def beginning_of(spec, whole):
    """A checkpoint of the run before its first step; of trees after it, as there must be one."""
    if spec.family == "trees":
        part(spec, 1)
        return spec.folder / "checkpoints" / "step-00000001"
    prepared, plan = prepared_of(spec), plan_from(spec.resolved)
    state = TrainState(learner=make_learner(prepared, spec.family, plan).learner, plan=plan, metric=spec.project.metric)
    return save_checkpoint(spec.folder, state, belongs_to(whole)).folder


def put_back(folder, beginning, item):
    """Put one thing of a checkpoint to its value in the beginning; if that is the same, to another one."""
    file, _, name = item.partition(": ")
    path, then = folder / file, beginning / file
    manifest = json.loads((folder / "manifest.json").read_text())
    if path.suffix == ".safetensors":
        tensors, before = load_file(path), load_file(then) if then.exists() else {}
        value = before.get(name)
        if value is None or torch.equal(value, tensors[name]):
            value = spoilt(tensors[name])
        save_file({**tensors, name: value}, path)
    elif file == "manifest.json":
        before = json.loads(then.read_text())["counters"]
        manifest["counters"][name] = other(manifest["counters"][name], before[name])
    elif path.suffix == ".json":
        document, before = json.loads(path.read_text()), json.loads(then.read_text())
        path.write_text(json.dumps({**document, name: other(document[name], before[name])}))
    else:
        shutil.copy(then, path)
    if file != "manifest.json":
        data = path.read_bytes()
        manifest["files"][file] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def spoilt(tensor):
    """The tensor with a number in its middle changed, to one that can stand there."""
    changed = tensor.clone()
    first = changed.view(-1)[changed.numel() // 2 :][:1]
    first += -1 if not first.is_floating_point() and first.item() else 1
    return changed


def other(value, before):
    """The value of the beginning; of a thing that has not changed yet, another one."""
    return before if before != value else (value or 0) + 1


def test_what_differs_is_named_with_the_step_at_which_it_first_did(run):
    straight, spec = part(run("mlp"), END), run("mlp")
    first = part(spec, STOP)
    put_back(
        spec.folder / f"checkpoints/step-{STOP:08d}",
        beginning_of(run("mlp"), spec),
        next(i for i in straight["items"] if i.startswith("model.safetensors") and i.endswith("weight")),
    )
    way = compare(straight, [first, part(spec, END)], ())

    assert way.first_step == STOP + 1
    assert verdict(straight, way).startswith("differs: the losses, the weights, the optimiser's moments")
    assert verdict(straight, way).endswith(f"first at step {STOP + 1}")
