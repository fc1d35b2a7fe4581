"""A person's own model: what it is told, what it may bring along, and what it is told when it does otherwise."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from epochal.core.errors import EpochalError
from epochal.core.events import EpochDone, StepsDone, TrainingStarted
from epochal.project.code import read_code
from epochal.project.runfile import read_run, write_run
from epochal.project.trust import run_code, trust
from epochal.snapshot.manifest import open_snapshot
from epochal.train import seeds
from epochal.train.bundle import load_bundle
from epochal.train.fit import fit
from epochal.train.rows import read_part
from epochal.train.scoring import score


HEAD = """
import numpy as np
import torch
from torch import nn
from torch.nn import functional


class Net(nn.Module):
    def __init__(self, spec, width=8, bias=True):
        super().__init__()
        self.spec = spec
        self.first = nn.Linear(spec.numbers, width)
        self.tables = nn.ModuleList(nn.Embedding(n, width) for n in spec.cardinalities)
        self.last = nn.Linear(width, spec.outputs, bias=bias)
"""

FORWARD = """
    def forward(self, batch):
        hidden = self.first(batch["numbers"])
        for i, table in enumerate(self.tables):
            hidden = hidden + table(batch["codes"][:, i])
        return self.last(torch.tanh(hidden))
"""

NET = HEAD + FORWARD

DRAWING = "import random\n" + NET.replace(
    "self.last(torch.tanh(hidden))",
    "self.last(torch.tanh(hidden) * (1 + 0.1 * self.training * (random.gauss() + np.random.standard_normal())))",
)

PREPARED = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, spec):
        super().__init__()
        self.last = nn.Linear(2, spec.outputs)

    def prepare(self, columns):
        first = torch.from_numpy(columns["first"]).nan_to_num()
        red = torch.tensor([c == "red" for c in columns["colour"]])
        return {"pair": torch.stack([first, red], dim=1).float()}

    def forward(self, batch):
        assert "numbers" not in batch
        return self.last(batch["pair"])
"""

PROJECTED = """
import random

import numpy as np
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, spec):
        super().__init__()
        self.last = nn.Linear(32, spec.outputs)
        self.register_buffer("lift", torch.randn(2, 32))
        self.shift = np.random.standard_normal(32) + random.gauss(0.0, 1.0)

    def prepare(self, columns):
        pair = np.stack([np.nan_to_num(columns["first"]), columns["second"]], axis=1)
        return {"x": torch.relu(torch.from_numpy(pair).float() @ self.lift + torch.from_numpy(self.shift).float())}

    def forward(self, batch):
        return self.last(batch["x"])
"""

BATCHED = """
import numpy as np
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, spec):
        super().__init__()
        self.last = nn.Sequential(nn.Linear(2, 8), nn.Dropout(0.2), nn.Tanh(), nn.Linear(8, spec.outputs))

    def batches(self, split, seed, epoch):
        order = np.random.permutation(len(split)) if split.name == "train" else np.arange(len(split))[::-1]
        numbers = np.stack([np.nan_to_num(split.columns["first"]), split.columns["second"]], axis=1)
        for rows in np.array_split(order, 5):
            batch = {"x": torch.from_numpy(numbers[rows]).float(), "rows": torch.from_numpy(rows.copy())}
            if split.target is not None:
                batch["target"] = torch.from_numpy(split.target[rows])
            yield batch

    def forward(self, batch):
        return self.last(batch["x"])
"""


def nothing():
    return ()


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """A trust list of the test's own, and one thread, so that figures are equal."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def own_spec(spec_of, tmp_path):
    """A run of a model whose text is given, trusted."""

    def make(text, table, *, number=1, options=None, train=None, trusted=True, **settings):
        (tmp_path / "model.py").write_text(text)
        if trusted:
            trust(tmp_path, read_code(tmp_path))
        spec = spec_of(
            table,
            family="own",
            number=number,
            options={"module": "model.py:Net", **(options or {})},
            train={"epochs": 12, "learning_rate": 0.03, **(train or {})},
            **{"target": "label", **settings},
        )
        if trusted:
            spec = replace(spec, code=run_code(tmp_path, spec.project))
            write_run(spec)
        return spec

    return make


def part_of(spec, part):
    """The rows of a part, as they are read."""
    folder = spec.project_folder / ".epochal"
    return read_part(
        open_snapshot(folder / "snapshots" / "snap"),
        folder / "splits" / "split",
        part,
        inputs=spec.inputs,
        target="label",
        classes=spec.classes,
    )


def told_losses(spec):
    """Of validation, over the run."""
    return [event.validation_loss for event in fit(spec, nothing) if isinstance(event, EpochDone)]


def weights_of(spec):
    return (spec.folder / "bundle" / "model.safetensors").read_bytes()


SPARSE = "self.register_buffer('graph', torch.eye(width).to_sparse()"


class TestAModelOfOnesOwn:
    def test_learns_classes_and_predicts_from_its_bundle(self, own_spec, blobs, held_out):
        spec = own_spec(NET, blobs())
        events = list(fit(spec, nothing))
        rows = held_out(spec)
        predictions = load_bundle(spec.folder / "bundle").predict(rows.inputs)

        assert events[-1].state == "done"
        assert score("classification", rows.target, predictions.scores)["accuracy"] > 0.85

    @pytest.mark.parametrize("ending", ["", ".squeeze(1)"])
    def test_learns_numbers_as_one_column_or_none(self, own_spec, line, held_out, ending):
        spec = own_spec(NET.replace("torch.tanh(hidden))", f"hidden){ending}"), line(), target="y", task="regression")
        events = list(fit(spec, nothing))
        rows = held_out(spec)
        predictions = load_bundle(spec.folder / "bundle").predict(rows.inputs)

        assert events[-1].state == "done"
        assert score("regression", rows.target, predictions.scores)["r2"] > 0.9

    def test_is_told_what_goes_in_and_what_must_come_out(self, own_spec, blobs, tmp_path):
        said = """
        import json
        with open(spec.folder / "said.json", "w") as file:
            json.dump({
                "task": spec.task, "outputs": spec.outputs, "classes": spec.classes, "numbers": spec.numbers,
                "cardinalities": spec.cardinalities, "inputs": [[i.name, i.kind, i.tensor, i.index, i.size, i.categories]
                for i in spec.inputs], "scaled": [i.mean is not None for i in spec.inputs],
            }, file)
"""
        spec = own_spec(HEAD + said + FORWARD, blobs())
        next(e for e in fit(spec, nothing) if isinstance(e, TrainingStarted))
        told = json.loads((tmp_path / "said.json").read_text())

        assert (told["task"], told["outputs"]) == ("classification", 3)
        assert told["classes"] == ["class 0", "class 1", "class 2"]
        assert told["inputs"] == [
            ["first", "number", "numbers", 0, 1, []],
            ["second", "number", "numbers", 1, 1, []],
            ["flag", "boolean", "numbers", 2, 1, []],
            ["first", "missing", "numbers", 3, 1, []],
            ["colour", "category", "codes", 0, 6, told["inputs"][4][5]],
        ]
        assert sorted(told["inputs"][4][5]) == ["blue", "green", "grey", "red"]
        assert told["scaled"] == [True, True, True, False, False]
        assert (told["numbers"], told["cardinalities"]) == (4, [6])

    def test_computes_the_same_twice(self, own_spec, blobs):
        first, second = own_spec(NET, blobs()), own_spec(NET, blobs(), number=2)
        for spec in (first, second):
            list(fit(spec, nothing))

        assert weights_of(first) == weights_of(second)

    @pytest.mark.parametrize("text", [NET, BATCHED, DRAWING], ids=["forward", "batches", "drawing"])
    def test_goes_on_after_a_stop_as_if_there_had_been_none(self, own_spec, blobs, text):
        """Its own batches draw from numpy's generator, which no checkpoint holds: each epoch is seeded anew."""
        whole, parted = (own_spec(text, blobs(), number=n, train={"patience": 99}) for n in (1, 2))
        list(fit(whole, nothing))
        asked: set[str] = set()
        for event in fit(parted, lambda: tuple(asked)):
            asked.update({"stop"} if isinstance(event, EpochDone) and event.epoch >= 3 else set())
        seeds.seed_all(99)  # whatever a new process draws first
        events = list(fit(read_run(parted.folder), nothing))

        assert 0 < next(e.resumed_from_step for e in events if isinstance(e, TrainingStarted)) < events[-1].steps
        assert weights_of(whole) == weights_of(parted)

    @pytest.mark.parametrize("changes", ["x *= 1.5", 'batch["numbers"] += 1'])
    def test_may_change_its_batch_in_place(self, own_spec, blobs, changes):
        """Which changes no row: those that are judged are judged again and again, and a resume begins with them as they were."""
        text = NET.replace(
            "        hidden = ", f'        x = batch["numbers"]\n        {changes}\n        hidden = ', 1
        )
        apart = text.replace("        x = ", "        batch = {k: v.clone() for k, v in batch.items()}\n        x = ")
        told = [told_losses(own_spec(t, blobs(), number=n)) for n, t in enumerate((text, apart), start=1)]

        assert told[0] == told[1]

    def test_may_have_settings_of_lists_and_scalars(self, own_spec, blobs):
        text = NET.replace("width=8, bias=True", "width, layers=(), bias=True").replace(
            "        self.spec = spec", "        assert layers == [3, 4]\n        self.spec = spec"
        )
        spec = own_spec(text, blobs(), options={"width": 4, "layers": [3, 4], "bias": False})

        assert list(fit(spec, nothing))[-1].state == "done"
        assert load_bundle(spec.folder / "bundle").model.model.last.bias is None

    def test_may_keep_a_buffer_that_was_expanded(self, own_spec, blobs):
        """Its numbers lie in one place each, and could not be written to: neither by a resume nor for the best model."""
        text = NET.replace(
            "        self.last = ",
            "        self.register_buffer('scale', torch.ones(1).expand(width))\n        self.last = ",
        ).replace("torch.tanh(hidden)", "torch.tanh(hidden) * self.scale")
        spec = own_spec(text, blobs())

        assert list(fit(spec, nothing))[-1].state == "done"
        assert load_bundle(spec.folder / "bundle").model.model.scale.tolist() == [1.0] * 8

    def test_may_keep_a_frozen_weight_that_was_expanded(self, own_spec, blobs):
        """As ones of every unit are: read back at its end, it has numbers of its own."""
        text = NET.replace(
            "        self.last = ",
            "        self.ones = nn.Parameter(torch.ones(1).expand(8), requires_grad=False)\n        self.last = ",
        )
        spec = own_spec(text, blobs())

        assert list(fit(spec, nothing))[-1].state == "done"
        assert load_bundle(spec.folder / "bundle").model.model.ones.tolist() == [1.0] * 8

    def test_may_keep_a_sparse_matrix_that_is_made_anew_with_it(self, own_spec, blobs):
        text = NET.replace(
            "        self.last = ",
            f"        {SPARSE}, persistent=False)\n        self.last = ",
        ).replace("torch.tanh(hidden)", "torch.sparse.mm(self.graph, torch.tanh(hidden).T).T")
        spec = own_spec(text, blobs())

        assert list(fit(spec, nothing))[-1].state == "done"
        assert load_bundle(spec.folder / "bundle").model.model.graph.is_sparse

    def test_may_share_weights_between_layers_and_leave_others_unused(self, own_spec, blobs):
        text = NET.replace(
            "        self.last = ",
            "        self.tied = self.first\n        self.idle = nn.Linear(3, 3)\n        self.last = ",
        )
        spec = own_spec(text, blobs())

        assert list(fit(spec, nothing))[-1].state == "done"
        assert load_bundle(spec.folder / "bundle").model.model.tied.weight.shape == (8, 4)


class TestItsOwnLoss:
    def test_is_what_is_learnt_and_judged_by(self, own_spec, blobs):
        """A loss of a thousand times the usual one shows in training and in validation alike."""
        loss = """
    def loss(self, output, batch):
        return 1000 * functional.cross_entropy(output, batch["target"])
"""
        said = []
        for number, text in ((1, NET), (2, NET + loss)):
            spec = own_spec(text, blobs(), number=number, train={"epochs": 1, "learning_rate": 1e-6})
            said.append([e for e in fit(spec, nothing) if isinstance(e, (StepsDone, EpochDone))])
        usual, own = said

        assert own[0].loss == pytest.approx(1000 * usual[0].loss, rel=1e-3)
        assert own[-1].validation_loss == pytest.approx(1000 * usual[-1].validation_loss, rel=1e-3)

    def test_gets_standardised_numbers_without_a_second_dimension(self, own_spec, line):
        loss = """
    def loss(self, output, batch):
        assert output.shape == batch["target"].shape == (len(output),)
        return functional.huber_loss(output, batch["target"])
"""
        spec = own_spec(NET + loss, line(), target="y", task="regression")

        assert list(fit(spec, nothing))[-1].state == "done"

    def test_of_a_batch_in_pieces_is_the_mean_over_all_of_it(self, own_spec, blobs):
        loss = """
    def loss(self, output, batch):
        return functional.cross_entropy(output, batch["target"])
"""
        whole = own_spec(NET + loss, blobs(), train={"epochs": 1, "batch_size": 64})
        pieces = own_spec(NET + loss, blobs(), number=2, train={"epochs": 1, "batch_size": 64, "accumulate": 3})
        first = [next(e for e in fit(s, nothing) if isinstance(e, StepsDone)).loss for s in (whole, pieces)]

        assert first[0] == pytest.approx(first[1], rel=1e-5)

    def test_may_change_its_batch_in_place(self, own_spec, blobs):
        """The targets that are judged by are judged by again."""
        loss = """
    def loss(self, output, batch):
        target = batch["target"]
        target %= 2
        return functional.cross_entropy(output, target)
"""
        told = [
            told_losses(own_spec(NET + text, blobs(), number=n))
            for n, text in enumerate((loss, loss.replace("target %= 2", "target = target % 2")), start=1)
        ]

        assert told[0] == told[1]

    @pytest.mark.parametrize("ending", ["output.detach()", "output.detach() * 2", "torch.zeros_like(output)"])
    def test_that_no_weight_has_a_part_in_is_refused(self, own_spec, blobs, ending):
        loss = f"""
    def loss(self, output, batch):
        return functional.cross_entropy({ending}, batch["target"])
"""
        with pytest.raises(EpochalError, match="does not depend on any weight") as refused:
            list(fit(own_spec(NET + loss, blobs()), nothing))

        assert refused.value.error_code == "own-model"


class TestItsParameterGroups:
    def test_learn_at_their_own_rate(self, own_spec, blobs):
        groups = """
    def parameter_groups(self, settings):
        assert (settings.learning_rate, settings.weight_decay) == (0.03, 0.01)
        torch.nn.init.ones_(self.last.weight)
        return [
            {"params": [*self.first.parameters(), *self.tables.parameters()]},
            {"params": self.last.parameters(), "lr": 0.0, "weight_decay": 0.0},
        ]
"""
        spec = own_spec(NET + groups, blobs(), train={"weight_decay": 0.01})
        list(fit(spec, nothing))
        model = load_bundle(spec.folder / "bundle").model.model

        assert torch.equal(model.last.weight, torch.ones_like(model.last.weight))
        assert not torch.equal(model.first.bias, torch.zeros_like(model.first.bias))

    def test_leave_what_is_frozen_as_it_is(self, own_spec, blobs):
        """A gradient never reaches it; the decay of a group that holds it must not either."""
        groups = """
    def parameter_groups(self, settings):
        return [{"params": self.parameters()}]
"""
        text = NET.replace(
            "        self.last = ",
            "        self.fixed = nn.Parameter(torch.ones(3, dtype=torch.float64), requires_grad=False)\n        self.last = ",
        )
        spec = own_spec(text + groups, blobs(), train={"weight_decay": 0.5})
        list(fit(spec, nothing))
        fixed = load_bundle(spec.folder / "bundle").model.model.fixed

        assert (fixed.dtype, fixed.tolist()) == (torch.float64, [1, 1, 1])

    @pytest.mark.parametrize(
        ("groups", "said"),
        [
            ("[{'params': self.first.parameters()}]", "leaves out tables.0.weight, last.weight"),
            ("[{'params': self.parameters()}, {'params': self.last.parameters()}]", "last.weight, last.bias twice"),
            ("[{'params': [*self.parameters(), torch.zeros(1)]}]", "no parameter of the model"),
            ("[{'params': self.parameters(), 'decay': 1}]", "gives decay"),
            ("self.parameters()", "parameter_groups: TypeError"),
        ],
    )
    def test_that_are_not_every_weight_once_are_refused(self, own_spec, blobs, groups, said):
        spec = own_spec(NET + f"\n    def parameter_groups(self, settings):\n        return {groups}\n", blobs())

        with pytest.raises(EpochalError, match=said) as refused:
            list(fit(spec, nothing))

        assert refused.value.error_code == "own-model"


class TestItsPreparation:
    def test_may_change_its_columns_in_place(self, own_spec, blobs):
        """As it is used to: they are copies."""
        text = PREPARED.replace(
            'torch.from_numpy(columns["first"]).nan_to_num()', 'torch.from_numpy(columns["first"])\n        first *= 2'
        ).replace("        first = ", '        columns["first"][np.isnan(columns["first"])] = 0.0\n        first = ')
        apart = text.replace("first *= 2", "first = first * 2").replace(
            "        columns[", '        columns = {**columns, "first": columns["first"].copy()}\n        columns['
        )
        told = [
            told_losses(own_spec("import numpy as np\n" + t, blobs(), number=n))
            for n, t in enumerate((text, apart), start=1)
        ]

        assert told[0] == told[1]

    def test_is_computed_with_one_thread_however_many_there_are(self, own_spec, blobs):
        """Sums round otherwise on several: the rows would depend on the cores, and a resume on others not be exact."""
        told = "assert torch.get_num_threads() == 1"
        text = PREPARED.replace("        self.last", f"        {told}\n        self.last").replace(
            "        first = ", f"        {told}\n        first = "
        )
        before = torch.get_num_threads()
        torch.set_num_threads(2)
        try:
            assert list(fit(own_spec(text, blobs()), nothing))[-1].state == "done"
            assert torch.get_num_threads() == 2
        finally:
            torch.set_num_threads(before)

    def test_makes_the_tensors_that_it_learns_from_and_predicts_with(self, own_spec, blobs, held_out):
        spec = own_spec(PREPARED, blobs())
        events = list(fit(spec, nothing))
        rows = held_out(spec)
        predictions = load_bundle(spec.folder / "bundle").predict(rows.inputs)

        assert events[-1].state == "done"
        assert score("classification", rows.target, predictions.scores)["accuracy"] > 0.6

    @pytest.mark.parametrize(
        ("returned", "said"),
        [
            ("{'pair': torch.zeros(3, 2)}", "`pair` with 3 rows"),
            ("[torch.zeros(3, 2)]", "no dict of tensors"),
            ("{'target': torch.zeros(len(columns['first']))}", "`target` or `rows`"),
            ("{'pair': columns['nothing']}", "KeyError: 'nothing'"),
        ],
    )
    def test_of_other_rows_or_forms_is_refused(self, own_spec, blobs, returned, said):
        text = PREPARED.replace('{"pair": torch.stack([first, red], dim=1).float()}', returned)

        with pytest.raises(EpochalError, match=said) as refused:
            list(fit(own_spec(text, blobs()), nothing))

        assert refused.value.error_code == "own-model"


class TestTheModelThatMakesTheRows:
    """`prepare` and `batches` are asked of a model that is not the one that learns: both must have drawn the same."""

    LIFTED = BATCHED.replace("self.last = ", "self.lift = nn.Linear(2, 2)\n        self.last = ").replace(
        "torch.from_numpy(numbers[rows]).float()", "self.lift(torch.from_numpy(numbers[rows]).float()).detach()"
    )
    READ = (
        PREPARED.replace("self.last = ", "self.lift = nn.Linear(2, 2)\n        self.last = ")
        .replace("torch.stack([first, red], dim=1).float()", "self.lift(torch.stack([first, red], dim=1).float())")
        .replace('self.last(batch["pair"])', 'self.last(self.lift(batch["pair"]))')
    )

    @pytest.mark.parametrize("text", [PROJECTED, LIFTED, READ], ids=["drawn", "batches", "with what is learnt"])
    def test_makes_the_same_rows_in_training_and_from_the_bundle(self, own_spec, blobs, text):
        """What it says of the validation rows while it trains is what its bundle says of them in another process."""
        spec = own_spec(text, blobs(), train={"epochs": 30})
        list(fit(spec, nothing))
        seeds.seed_all(99)  # whatever a new process draws first
        rows = part_of(spec, "validation")
        said = pq.read_table(spec.folder / "bundle" / "validation.parquet")
        predicted = load_bundle(spec.folder / "bundle").predict(rows.inputs).probabilities

        assert said["_key"].to_pylist() == rows.keys.to_pylist()
        assert np.allclose(predicted[:, 0], said["probability_class 0"].to_numpy(), atol=1e-5)

    def test_is_the_same_in_every_process(self, own_spec, blobs):
        first, second = own_spec(PROJECTED, blobs()), own_spec(PROJECTED, blobs(), number=2)
        list(fit(first, nothing))
        seeds.seed_all(99)
        list(fit(second, nothing))

        assert weights_of(first) == weights_of(second)

    def test_is_read_from_the_bundle_where_torch_draws_otherwise(self, own_spec, blobs, monkeypatch):
        spec = own_spec(PROJECTED, blobs())
        list(fit(spec, nothing))
        rows = part_of(spec, "validation").inputs
        scores = [load_bundle(spec.folder / "bundle").predict(rows).scores]
        drawn = torch.randn
        monkeypatch.setattr(torch, "randn", lambda *size: -drawn(*size))
        scores.append(load_bundle(spec.folder / "bundle").predict(rows).scores)

        assert np.array_equal(*scores)

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ("torch.randn(2, 32)", "torch.from_numpy(np.random.default_rng().random((2, 32))).float()"),
            (
                "        pair = np.stack",
                "        self.lift += float(np.nanmean(columns['second'])) + 1\n        pair = np.stack",
            ),
        ],
        ids=["drawn from elsewhere", "fitted in prepare"],
    )
    def test_that_is_another_each_time_is_refused_by_what_differs(self, own_spec, blobs, before, after):
        assert before in PROJECTED
        with pytest.raises(EpochalError, match="another each time it is made: lift differs") as refused:
            list(fit(own_spec(PROJECTED.replace(before, after), blobs()), nothing))

        assert refused.value.error_code == "own-model"
        assert "np.random" in refused.value.fix


class TestItsBatches:
    def test_are_learnt_from_and_judged_by_whatever_their_order(self, own_spec, blobs, held_out):
        spec = own_spec(BATCHED, blobs(), train={"epochs": 40})
        events = list(fit(spec, nothing))
        rows = held_out(spec)
        predictor = load_bundle(spec.folder / "bundle")
        some = rows.inputs.slice(0, 7)

        assert events[-1].state == "done"
        assert next(e.steps_per_epoch for e in events if isinstance(e, TrainingStarted)) == 5
        assert score("classification", rows.target, predictor.predict(rows.inputs).scores)["accuracy"] > 0.8
        assert np.allclose(predictor.predict(some).scores, predictor.predict(rows.inputs).scores[:7])

    def test_may_come_from_a_loader_that_cannot_say_how_many_there_are(self, own_spec, blobs, recwarn):
        """A DataLoader of a stream has a `__len__`, which fails."""
        text = (
            BATCHED.replace("    def batches(", "    def stream(")
            + """
    def batches(self, split, seed, epoch):
        torch.from_numpy(split.columns["second"])
        return torch.utils.data.DataLoader(Stream(self, split, seed, epoch), batch_size=None)


class Stream(torch.utils.data.IterableDataset):
    def __init__(self, net, *asked):
        self.net, self.asked = net, asked

    def __iter__(self):
        return self.net.stream(*self.asked)
"""
        )
        told = [told_losses(own_spec(t, blobs(), number=n)) for n, t in enumerate((text, BATCHED), start=1)]

        assert told[0] == told[1]
        assert not recwarn.list

    @pytest.mark.parametrize(
        ("before", "after", "said"),
        [
            ("            yield batch", "            yield batch\n            yield batch", "row . twice or more"),
            ('"rows": torch.from_numpy(rows.copy())', "", "no `rows`"),
            ('batch["target"] =', 'batch["answer"] =', "no `target` of shape"),
            (
                "            yield batch",
                "            if epoch < 2 or len(rows) > 42:\n                yield batch",
                "in epoch 2",
            ),
            ("            yield batch", "            while True: yield batch", "does not seem to end"),
            ("            yield batch", "            if False: yield batch", "no batch of the training rows"),
            ("            yield batch", "            yield 3", "no dict of tensors"),
            ("split.target[rows]", "split.target[rows] + 2", "targets from 2 to 4, of 3 classes"),
            ("split.target[rows]", "split.target[rows] - 1", "targets from -1 to 1, of 3 classes"),
            ("        for rows", "        split.columns['second'][0] = 7.0\n        for rows", "read-only"),
            ("        for rows", "        split.target[0] = 1\n        for rows", "read-only"),
            (
                "        for rows",
                "        torch.as_tensor(split.columns['second']).mul_(2)\n        for rows",
                "batches changed second of the train rows",
            ),
            (
                "        for rows",
                "        if split.name != 'train': torch.as_tensor(split.target).zero_()\n        for rows",
                "batches changed the target of the validation rows",
            ),
            ("            yield batch", "            yield {**batch, 'x': batch['x'][:1]}", "`x` with|`rows` with"),
        ],
    )
    def test_that_do_not_keep_to_the_protocol_are_refused(self, own_spec, blobs, before, after, said):
        with pytest.raises(EpochalError, match=said) as refused:
            list(fit(own_spec(BATCHED.replace(before, after), blobs()), nothing))

        assert refused.value.error_code == "own-model"


class TestAMistake:
    @pytest.mark.parametrize(
        "mistake",
        [
            ("hidden = self.first(", "hidden = self.frist(", "forward: AttributeError", True),
            ("super().__init__()\n", "pass\n", "making Net: AttributeError", True),
            (
                "return self.last(torch.tanh(hidden))",
                "return hidden",
                r"forward returned a tensor .* \[\d+, 8\]",
                False,
            ),
            ("return self.last(torch.tanh(hidden))", "return None", "forward returned nothing", False),
            ("self.last = nn.Linear(width, ", "self.last = nn.LazyLinear(", "of a shape not known yet", False),
            (
                "        self.last = ",
                f"        {SPARSE})\n        self.last = ",
                r"sparse tensors in its state \(graph\)",
                False,
            ),
            ("bias=bias)", "bias=bias).double()", "weights of float32 and float64", False),
            ("torch.tanh(hidden))", "torch.tanh(hidden)).detach()", "does not depend on any weight", False),
            ("torch.tanh(hidden))", "torch.tanh(hidden)).long()", "tensor of int64", False),
            (
                "return self.last(torch.tanh(hidden))",
                "hidden = torch.exp(hidden)\n        output = self.last(hidden)\n        hidden += 1\n        return output",
                "the gradient of the loss: RuntimeError: one of the variables needed for gradient computation",
                None,
            ),
        ],
    )
    def test_ends_the_run_with_what_and_where(self, own_spec, blobs, capsys, mistake):
        before, after, said, line = mistake

        with pytest.raises(EpochalError, match=said) as refused:
            list(fit(own_spec(NET.replace(before, after), blobs()), nothing))

        assert refused.value.error_code == "own-model"
        assert refused.value.where.startswith("model.py:") == bool(line)
        assert ("Traceback" in capsys.readouterr().err) == (line is not False)

    @pytest.mark.parametrize(
        ("options", "said", "fix"),
        [
            ({"widht": 3}, "Net takes no setting `widht`", "did you mean `width`"),
            ({"spec": 3}, "Net takes no setting `spec`", "it takes width, bias"),
        ],
    )
    def test_in_a_setting_is_refused_by_name(self, own_spec, blobs, options, said, fix):
        with pytest.raises(EpochalError, match=said) as refused:
            list(fit(own_spec(NET, blobs(), options=options), nothing))

        assert refused.value.error_code == "unknown-key"
        assert fix in refused.value.fix

    def test_of_leaving_a_needed_setting_out_is_refused(self, own_spec, blobs):
        with pytest.raises(EpochalError, match="needs the setting `width`"):
            list(fit(own_spec(NET.replace("width=8", "width"), blobs()), nothing))


class TestWhatCannotBeExact:
    ODD = NET.replace(
        "return self.last", "torch.zeros(2).put_(torch.tensor([0, 0]), torch.ones(2))\n        return self.last"
    )

    def test_ends_the_run_before_its_first_step_and_names_the_operation_and_the_line(self, own_spec, blobs):
        with pytest.raises(EpochalError, match="computes put_, which torch cannot do exactly") as refused:
            list(fit(own_spec(self.ODD, blobs()), nothing))

        assert refused.value.error_code == "not-exact"
        assert refused.value.where.startswith("model.py:")
        assert 'mode = "fast"' in refused.value.fix

    def test_is_computed_in_fast_mode(self, own_spec, blobs):
        spec = own_spec(self.ODD, blobs(), train={"mode": "fast", "epochs": 2})

        assert list(fit(spec, nothing))[-1].state == "done"


class TestTrust:
    CANARY = "from pathlib import Path\n\nPath(__file__).with_name('ran').write_text('')\n" + NET

    def test_comes_before_anything_of_it_runs(self, own_spec, blobs, tmp_path):
        spec = own_spec(self.CANARY, blobs(), trusted=False)

        with pytest.raises(EpochalError) as refused:
            list(fit(spec, nothing))

        assert refused.value.error_code == "untrusted"
        assert not (tmp_path / "ran").exists()

    def test_is_never_of_what_a_run_folder_lists_beside_a_trusted_hash(self, own_spec, blobs, tmp_path):
        """Runs are handed on with their projects: what run.toml says of its code is no more than a claim."""
        spec = own_spec(NET, blobs())
        evil = tmp_path / "runs" / "extra" / "evil.py"
        evil.parent.mkdir()
        evil.write_text(self.CANARY)
        files = {"runs/extra/evil.py": hashlib.sha256(evil.read_bytes()).hexdigest()}
        module = "runs/extra/evil.py:Net"
        claimed = replace(
            spec,
            code=replace(spec.code, files=files, module=module),
            project=replace(spec.project, model=replace(spec.project.model, options={"module": module})),
        )

        with pytest.raises(EpochalError):
            list(fit(claimed, nothing))

        assert not evil.with_name("ran").exists()

    def test_ends_with_a_change_before_the_run_begins(self, own_spec, blobs, tmp_path):
        spec = own_spec(NET, blobs())
        (tmp_path / "model.py").write_text(self.CANARY)

        with pytest.raises(EpochalError) as refused:
            list(fit(spec, nothing))

        assert refused.value.error_code == "untrusted"
        assert not (tmp_path / "ran").exists()

    def test_of_a_model_is_asked_for_when_its_bundle_comes_from_elsewhere(self, own_spec, blobs, tmp_path, monkeypatch):
        spec = own_spec(NET, blobs())
        list(fit(spec, nothing))
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "somebody else"))

        with pytest.raises(EpochalError) as refused:
            load_bundle(spec.folder / "bundle")

        assert refused.value.error_code == "untrusted"

    def test_is_no_longer_of_use_to_a_bundle_whose_code_was_changed(self, own_spec, blobs):
        spec = own_spec(NET, blobs())
        list(fit(spec, nothing))
        (spec.folder / "bundle" / "code" / "more.py").write_text("")

        with pytest.raises(EpochalError, match="not the one it was saved with"):
            load_bundle(spec.folder / "bundle")

    def test_of_what_a_run_began_with_is_enough_whatever_becomes_of_the_files(self, own_spec, blobs, tmp_path):
        """A person goes on working at their model while an earlier state of it trains."""
        spec = own_spec(NET, blobs())
        training = fit(spec, nothing)
        next(e for e in training if isinstance(e, TrainingStarted))
        (tmp_path / "model.py").write_text("broken(")
        events = list(training)

        assert events[-1].state == "done"
        assert (spec.folder / "bundle" / "code" / "model.py").read_text() == NET
        assert load_bundle(spec.folder / "bundle").family == "own"
