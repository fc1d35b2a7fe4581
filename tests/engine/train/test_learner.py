"""The learner of networks: the steps are those the field's own optimisers take, whatever they cost in memory."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from epochal.core.errors import RunError
from epochal.train.batch import moved, num_rows
from epochal.train.dropout import ReluDropout
from epochal.train.feed import MemoryFeed, MemoryRows, num_batches
from epochal.train.gradient import GradientLearner
from epochal.train.objective import Objective, Target
from epochal.train.optimise import Optimiser, default_groups
from epochal.train.order import balanced
from epochal.train.scaling import LossScale
from epochal.train.seeds import order
from epochal.train.state import Plan


ROWS, INPUTS, CLASSES = 240, 5, 3

PLAN = Plan(
    epochs=10,
    batch_size=24,
    evaluate_every=10,
    learning_rate=0.01,
    schedule="constant",
    weight_decay=0.1,
    patience=5,
    precision="float32",
    device="cpu",
    threads=1,
    seed=0,
    class_weights="none",
    warm_up=0.0,
)


class Net(nn.Module):
    """A small network that can be told to run out of memory, or to meet what is no number, at a call."""

    def __init__(self, *, fails_at: int = -1, nan_at: int = -1, fewest: int = 10**9, dropout: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.layers = nn.Sequential(nn.Linear(INPUTS, 16), ReluDropout(dropout), nn.Linear(16, CLASSES))
        self.calls, self.fails_at, self.nan_at, self.fewest = 0, fails_at, nan_at, fewest

    def forward(self, batch):
        """Logits, with a member's axis."""
        if self.training:
            self.calls += 1
            if self.calls == self.fails_at or num_rows(batch) > self.fewest:
                raise torch.OutOfMemoryError("out of memory")
        outputs = self.layers(batch["numbers"]).unsqueeze(1)
        return outputs * float("nan") if self.training and self.calls == self.nan_at else outputs


def rows(seed: int = 0):
    """Rows of three classes that follow from the numbers."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(ROWS, INPUTS)).astype(np.float32)
    classes = (numbers @ rng.normal(size=(INPUTS, CLASSES))).argmax(axis=1)
    return {"numbers": torch.from_numpy(numbers), "target": torch.from_numpy(classes)}


def learner(module: nn.Module | None = None, **changes):
    """A learner of the rows by PLAN with some settings changed."""
    plan, data = replace(PLAN, **changes), rows()
    return GradientLearner(
        module=module or Net(),
        plan=plan,
        target=Target(task="classification", weights=changes.get("weights")),
        feed=MemoryFeed(data, lambda epoch: order(plan.seed, epoch, ROWS), num_batches(ROWS, plan.batch_size)),
        validation=MemoryRows(rows()),
        device=torch.device("cpu"),
    )


def weights(module: nn.Module) -> torch.Tensor:
    """All weights end to end."""
    return torch.cat([p.detach().flatten() for p in module.parameters()])


def taken_by_torch(module: nn.Module, optimiser: torch.optim.Optimizer, steps: int) -> torch.Tensor:
    """The weights after a plain loop over the same batches."""
    data = rows()
    for step in range(steps):
        epoch, place = divmod(step, 10)
        index = torch.from_numpy(order(0, epoch, ROWS))[place * 24 : place * 24 + 24]
        outputs = module({"numbers": data["numbers"][index]})[:, 0]
        optimiser.zero_grad()
        nn.functional.cross_entropy(outputs, data["target"][index]).backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), PLAN.clip_norm)
        optimiser.step()
    return weights(module)


class TestSteps:
    def test_of_adamw_are_torchs(self):
        module = Net()
        torch_adamw = torch.optim.AdamW(default_groups(module, 0.1), lr=0.01)
        ours = learner()
        ours.advance(25)

        assert torch.allclose(weights(ours.module), taken_by_torch(module, torch_adamw, 25), atol=1e-6)

    def test_of_sgd_without_decay_are_torchs_with_nesterovs_momentum(self):
        module = Net()
        torch_sgd = torch.optim.SGD(module.parameters(), lr=0.01, momentum=0.9, nesterov=True)
        ours = learner(optimiser="sgd", weight_decay=0.0)
        ours.advance(25)

        assert torch.allclose(weights(ours.module), taken_by_torch(module, torch_sgd, 25), atol=1e-6)

    def test_with_a_learning_rate_for_each_group_are_torchs(self):
        def groups(module):
            first, last = module.layers[0], module.layers[2]
            return [
                {"params": list(first.parameters()), "lr": 0.001, "weight_decay": 0.2},
                {"params": list(last.parameters()), "lr": 0.02, "weight_decay": 0.0},
            ]

        module, other = Net(), Net()
        plan, data = PLAN, rows()
        ours = GradientLearner(
            module=module,
            plan=plan,
            target=Target(task="classification"),
            feed=MemoryFeed(data, lambda epoch: order(0, epoch, ROWS), 10),
            validation=None,
            device=torch.device("cpu"),
            groups=groups(module),
        )
        ours.advance(25)

        assert torch.allclose(weights(module), taken_by_torch(other, torch.optim.AdamW(groups(other)), 25), atol=1e-6)

    def test_decay_weights_but_no_biases_norms_or_embeddings(self):
        module = nn.ModuleDict(
            {"a": nn.Linear(2, 3), "b": nn.LayerNorm(3), "c": nn.Embedding(4, 2), "d": nn.BatchNorm1d(3)}
        )
        decayed, free = default_groups(module, 0.1)

        assert [tuple(p.shape) for p in decayed["params"]] == [(3, 2)]
        assert (decayed["weight_decay"], free["weight_decay"]) == (0.1, 0.0)
        assert len(free["params"]) == 6

    def test_refuse_a_group_of_strange_parameters(self):
        module = Net()
        with pytest.raises(ValueError, match="no parameter of the module"):
            Optimiser(module, PLAN, [{"params": [nn.Parameter(torch.zeros(3))]}])

    def test_skip_on_the_device_what_is_not_finite(self):
        module = Net()
        optimiser = Optimiser(module, PLAN)
        before, state = weights(module), {n: t.clone() for n, t in optimiser.state().items()}
        for parameter in module.parameters():
            parameter.grad.fill_(float("nan"))
        optimiser.step(0.1, skip=torch.ones(()))

        assert torch.equal(weights(module), before)
        assert all(torch.equal(value, state[name]) for name, value in optimiser.state().items())


class TestMemory:
    def test_that_runs_out_at_a_step_leaves_the_same_weights(self):
        straight, pressed = learner(), learner(Net(fails_at=37))
        straight.advance(100)
        window = pressed.advance(100)

        assert pressed.pieces == 2
        assert pressed.step == 100
        assert window.samples == 2400
        assert [n.code for n in window.notices] == ["out-of-memory"]
        assert "step 37" in window.notices[0].text
        assert torch.allclose(weights(pressed.module), weights(straight.module), atol=1e-6)

    def test_that_holds_few_rows_is_halved_until_they_fit(self):
        straight, pressed = learner(), learner(Net(fewest=4))
        straight.advance(30)
        pressed.advance(30)

        assert pressed.pieces == 8
        assert torch.allclose(weights(pressed.module), weights(straight.module), atol=1e-6)

    def test_that_holds_not_one_row_ends_with_a_word(self):
        with pytest.raises(RunError, match="single row") as caught:
            learner(Net(fewest=0)).advance(1)

        assert caught.value.error_code == "out-of-memory"

    def test_that_runs_out_draws_the_same_random_numbers_again(self):
        """The step is computed anew from where its generators were, so later steps draw what they would have."""
        pressed = learner(Net(dropout=0.3, fails_at=5))
        pressed.advance(5)
        straight = learner(Net(dropout=0.3))
        straight.advance(4)
        straight.pieces = 2
        straight.advance(1)

        assert torch.equal(weights(pressed.module), weights(straight.module))

    def test_kept_by_accumulating_changes_nothing_with_weighted_classes(self):
        by_class = torch.tensor([0.2, 1.0, 3.0])
        whole, cut = learner(), learner(accumulate=5)
        for each in (whole, cut):
            each._objective = Objective(Target(task="classification", weights=by_class), torch.device("cpu"), 0.1)
            each.advance(40)

        assert torch.allclose(weights(cut.module), weights(whole.module), atol=1e-6)


class TestLoss:
    @pytest.mark.parametrize("smoothing", [0.0, 0.2])
    @pytest.mark.parametrize("by_class", [None, torch.tensor([0.5, 1.0, 2.0])])
    def test_of_many_members_is_each_ones_own(self, smoothing, by_class):
        generator = torch.Generator().manual_seed(0)
        outputs = torch.randn(50, 4, CLASSES, generator=generator)
        target = torch.randint(0, CLASSES, (50,), generator=generator)
        objective = Objective(Target(task="classification", weights=by_class), torch.device("cpu"), smoothing)
        each = [objective.loss(outputs[:, k : k + 1], target, training=True) for k in range(4)]

        assert torch.allclose(objective.loss(outputs, target, training=True), torch.cat(each), atol=1e-6)

    def test_is_smoothed_in_training_alone(self):
        outputs, target = torch.tensor([[[9.0, 0.0, 0.0]]]), torch.tensor([0])
        objective = Objective(Target(task="classification"), torch.device("cpu"), 0.3)

        assert objective.loss(outputs, target).item() < 0.001
        assert objective.loss(outputs, target, training=True).item() > 1

    def test_that_is_no_number_ends_before_the_step(self):
        ours = learner(Net(nan_at=8))
        window = ours.advance(20)
        straight = learner()
        straight.advance(7)

        assert (window.healthy, ours.step) == (False, 7)
        assert torch.equal(weights(ours.module), weights(straight.module))


class TestAverage:
    def test_is_what_is_judged_and_kept(self):
        ours = learner(ema=0.99)
        ours.advance(60)
        last = weights(ours.module)
        ours.evaluate()
        ours.remember()
        after = weights(ours.module)
        ours.recall()

        assert torch.equal(last, after)
        assert not torch.allclose(weights(ours.module), last, atol=1e-3)

    def test_follows_the_weights_of_all_steps(self):
        ours, plain = learner(ema=0.9), learner()
        shadow = weights(plain.module)
        for n in range(1, 21):
            plain.advance(1)
            ours.advance(1)
            decay = min(0.9, (1 + n) / (10 + n))
            shadow = decay * shadow + (1 - decay) * weights(plain.module)
        ours.recall()

        assert torch.allclose(weights(ours.module), shadow, atol=1e-6)


class TestTheRate:
    def test_is_halved_when_a_plateau_is_met_and_stays_so(self):
        ours = learner(schedule="plateau")
        before = ours.advance(1).learning_rate
        ours.lower_rate()
        ours.lower_rate()

        assert ours.advance(1).learning_rate == pytest.approx(before / 4)


class TestOrder:
    def test_blocks_give_the_rows_of_the_epochs_order(self):
        data = {
            "numbers": torch.arange(4000).float().unsqueeze(1).expand(-1, 40).contiguous(),
            "target": torch.arange(4000),
        }
        feed = MemoryFeed(data, lambda epoch: order(3, epoch, 4000), 13)
        for epoch in (0, 1):
            seen = torch.cat([feed.batch(epoch * 13 + i)["target"] for i in range(13)])

            assert seen.tolist() == order(3, epoch, 4000).tolist()
        assert feed.batch(5)["target"].tolist() == order(3, 0, 4000)[5 * 4000 // 13 : 6 * 4000 // 13].tolist()

    def test_a_batch_lies_in_memory_alike_however_it_is_come_to(self):
        """Products over numbers that lie otherwise are rounded otherwise: a resume would be another run."""
        data = {"numbers": torch.randn(450, 10), "target": torch.arange(450)}
        straight, resumed = (MemoryFeed(data, lambda epoch: order(0, epoch, 450), 14) for _ in range(2))
        before = [straight.batch(step) for step in range(28)]
        for step in (8, 23):
            batch = resumed.batch(step)
            for name, values in batch.items():
                assert torch.equal(values, before[step][name])
                assert (values.data_ptr() - before[step][name].data_ptr()) % 64 == 0

    def test_of_a_persons_arrays_lies_where_torchs_own_do(self):
        numbers = np.zeros(1000, dtype=np.float32)
        for start in range(16):
            batch = moved({"x": torch.from_numpy(numbers[start : start + 100])}, torch.device("cpu"))

            assert batch["x"].data_ptr() % 64 == 0

    def test_balanced_shows_every_class_as_often(self):
        classes = np.array([0] * 90 + [1] * 9 + [2])
        chosen = balanced(0, 4, classes)

        assert len(chosen) == 100
        assert sorted(np.bincount(classes[chosen])) == [33, 33, 34]
        assert len(set(chosen[classes[chosen] == 0])) >= 33
        assert chosen.tolist() == balanced(0, 4, classes).tolist()
        assert chosen.tolist() != balanced(0, 5, classes).tolist()


class TestDropout:
    def test_drops_its_share_keeps_the_mean_and_cuts_what_is_negative(self):
        torch.manual_seed(0)
        layer, units = ReluDropout(0.25), torch.ones(1000, 1000)
        dropped = layer(units)

        assert (dropped == 0).float().mean().item() == pytest.approx(0.25, abs=2e-3)
        assert dropped.mean().item() == pytest.approx(1.0, abs=3e-3)
        assert layer(-units).abs().max().item() == 0

    def test_hands_gradients_to_the_units_it_kept(self):
        torch.manual_seed(0)
        units = torch.randn(64, 33, requires_grad=True)
        dropped = ReluDropout(0.5)(units)
        dropped.sum().backward()

        assert torch.equal(units.grad, (dropped > 0) * 2.0)

    def test_does_nothing_when_judged(self):
        units = torch.randn(8, 8)

        assert torch.equal(ReluDropout(0.5).eval()(units), torch.relu(units))


class TestScaling:
    def test_skips_while_it_looks_for_a_scale_and_gives_up_after_eight(self):
        scale = LossScale()

        assert all(scale.met(finite=False) for _ in range(8))
        assert scale.scale == 65536 / 2**8
        assert not scale.met(finite=False)

    def test_grows_after_many_good_steps(self):
        scale = LossScale()
        for _ in range(2000):
            scale.met(finite=True)

        assert scale.scale == 131072

    def test_computes_in_float16_what_float32_does_nearly(self):
        half, full = learner(precision="float16"), learner()
        half.advance(60)
        full.advance(60)

        assert half.evaluate().loss == pytest.approx(full.evaluate().loss, rel=0.05)


VARIANTS = {
    "adamw": {},
    "sgd": {"optimiser": "sgd"},
    "average": {"ema": 0.95},
    "accumulated": {"accumulate": 3},
    "float16": {"precision": "float16"},
    "bfloat16": {"precision": "bfloat16"},
    "plateau": {"schedule": "plateau"},
}


@pytest.fixture(params=list(VARIANTS))
def variant(request):
    """Settings that add to what a checkpoint must hold."""
    return VARIANTS[request.param]


class TestACheckpoint:
    def test_goes_on_to_the_same_weights(self, variant, tmp_path):
        straight = learner(Net(dropout=0.2), **variant)
        straight.advance(20)
        straight.lower_rate()
        straight.advance(30)
        first = learner(Net(dropout=0.2), **variant)
        first.advance(20)
        first.lower_rate()
        first.save(tmp_path)
        torch.manual_seed(99)
        second = learner(Net(dropout=0.2), **variant)
        second.load(tmp_path)
        second.advance(30)
        straight.recall()
        second.recall()

        assert torch.equal(weights(second.module), weights(straight.module))

    def test_of_which_anything_is_missing_goes_on_elsewhere(self, variant, tmp_path):
        """Each thing it holds is needed: put at its beginning, the later weights are others."""
        whole, fresh = tmp_path / "whole", tmp_path / "fresh"
        for folder in (whole, fresh):
            folder.mkdir()
            started = learner(Net(dropout=0.2), **variant)
            if folder == whole:
                started.advance(20)
                started.lower_rate()
                if started._scale is not None:
                    started._scale.scale = 2.0**-14  # so low that small gradients vanish
            else:
                torch.manual_seed(7)
            started.save(folder)
        counted, initial = (json.loads((f / "learner.json").read_text()) for f in (whole, fresh))

        def later(folder):
            resumed = learner(Net(dropout=0.2), **variant)
            resumed.load(folder)
            resumed.advance(30)
            resumed.recall()
            return weights(resumed.module)

        expected = later(whole)
        tensors = [p.name for p in whole.glob("*.safetensors")]
        for item in [*tensors, *(name for name in counted if counted[name] != initial[name])]:
            lacking = tmp_path / item
            shutil.copytree(whole, lacking)
            if item in tensors:
                shutil.copy(fresh / item, lacking)
            else:
                (lacking / "learner.json").write_text(json.dumps({**counted, item: initial[item]}))

            assert not torch.equal(later(lacking), expected), item


class TestCompiledSteps:
    def test_are_of_equal_rows_and_leave_the_weights_of_plain_ones(self):
        if shutil.which("g++") is None:
            pytest.skip("torch compiles for a CPU with a C++ compiler, and there is none")
        data = rows()

        def made(*, compiled):
            return GradientLearner(
                module=Net(),
                plan=replace(PLAN, compiled=compiled),
                target=Target(task="classification"),
                feed=MemoryFeed(data, lambda epoch: order(0, epoch, ROWS), 7, even=True),
                validation=MemoryRows(rows()),
                device=torch.device("cpu"),
            )

        plain, compiled = made(compiled=False), made(compiled=True)
        plain.advance(20)
        window = compiled.advance(20)

        assert window.samples == 20 * (ROWS // 7)
        assert torch.allclose(weights(compiled.module), weights(plain.module), atol=1e-5)
        assert compiled.evaluate().loss == pytest.approx(plain.evaluate().loss, abs=1e-4)

    def test_drop_units_as_plain_ones_do(self):
        if shutil.which("g++") is None:
            pytest.skip("torch compiles for a CPU with a C++ compiler, and there is none")
        torch.manual_seed(0)
        layer = torch.compile(ReluDropout(0.25))
        for count in (1000, 333):
            dropped = layer(torch.ones(count, 1000))

            assert (dropped == 0).float().mean().item() == pytest.approx(0.25, abs=5e-3)
            assert dropped.mean().item() == pytest.approx(1.0, abs=1e-2)
