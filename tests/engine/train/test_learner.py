"""The learner of networks: the steps are those the field's own optimisers take, whatever they cost in memory."""

from __future__ import annotations

import json
import math
import random
import shutil
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from epochal.core.errors import RunError
from epochal.train.batch import moved, num_rows
from epochal.train.dropout import ReluDropout
from epochal.train.families import tabm
from epochal.train.feed import MemoryFeed, MemoryRows, num_batches
from epochal.train.gradient import GradientLearner
from epochal.train.network import Shape
from epochal.train.objective import Objective, Target
from epochal.train.optimise import Optimiser, default_groups
from epochal.train.order import balanced
from epochal.train.scaling import LossScale
from epochal.train.seeds import order
from epochal.train.state import Plan, TrainState, advance


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

    def __init__(
        self,
        *,
        fails_at: int = -1,
        nan_at: int = -1,
        nan_from: int = 10**9,
        fewest: int = 10**9,
        dropout: float = 0.0,
        judges: int = 10**9,
    ) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.layers = nn.Sequential(nn.Linear(INPUTS, 16), ReluDropout(dropout), nn.Linear(16, CLASSES))
        self.calls, self.fails_at, self.nan_at, self.fewest = 0, fails_at, nan_at, fewest
        self.nan_from, self.judges, self.judged = nan_from, judges, []

    def forward(self, batch):
        """Logits, with a member's axis."""
        if self.training:
            self.calls += 1
            if self.calls == self.fails_at or num_rows(batch) > self.fewest:
                raise torch.OutOfMemoryError("out of memory")
        else:
            self.judged.append(num_rows(batch))
            if num_rows(batch) > self.judges:
                raise torch.OutOfMemoryError("out of memory")
        outputs = self.layers(batch["numbers"]).unsqueeze(1)
        bad = self.training and (self.calls == self.nan_at or self.calls >= self.nan_from)
        return outputs * float("nan") if bad else outputs


class WithStatistics(nn.Module):
    """A network that takes note of its inputs' mean and spread."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first, self.norm = nn.Linear(INPUTS, 8), nn.BatchNorm1d(8)
        self.last = nn.Linear(8, CLASSES)

    def forward(self, batch):
        """Logits, with a member's axis."""
        return self.last(torch.relu(self.norm(self.first(batch["numbers"])))).unsqueeze(1)


def rows(seed: int = 0):
    """Rows of three classes that follow from the numbers."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(ROWS, INPUTS)).astype(np.float32)
    classes = (numbers @ rng.normal(size=(INPUTS, CLASSES))).argmax(axis=1)
    return {"numbers": torch.from_numpy(numbers), "target": torch.from_numpy(classes)}


class Foreign(WithStatistics):
    """A person's own: it draws from Python's generator, and runs out of memory at a call."""

    def __init__(self, fails_at: int = -1, nan_at: int = -1) -> None:
        super().__init__()
        self.calls, self.fails_at, self.nan_at = 0, fails_at, nan_at
        self.seen = nn.Parameter(torch.zeros(()), requires_grad=False)

    def forward(self, batch):
        """Logits, moved by chance."""
        with torch.no_grad():
            self.seen += len(batch["numbers"])
        outputs = super().forward(batch) * (1 + 0.1 * random.random())
        self.calls += self.training
        if self.training and self.calls == self.fails_at:
            raise torch.OutOfMemoryError("out of memory")
        return outputs * math.nan if self.training and self.calls == self.nan_at else outputs


class Thawing(Foreign):
    """Its statistics stand still in the first four steps."""

    def forward(self, batch):
        """Logits."""
        self.norm.train(self.training and self.calls >= 4)
        return super().forward(batch)


class Teaching(nn.Module):
    """A person's own with a large frozen part that follows from the first step on, and with what a batch leaves behind."""

    def __init__(self, fails_at: int = -1) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first, self.last = nn.Linear(INPUTS, 300), nn.Linear(300, CLASSES)
        self.teacher = nn.Parameter(torch.zeros(300, 300), requires_grad=False)
        self.register_buffer("left", torch.zeros(0), persistent=False)
        self.calls, self.fails_at = 0, fails_at

    def forward(self, batch):
        """Logits, with a member's axis."""
        hidden = torch.relu(self.first(batch["numbers"]))
        if self.training:
            self.calls += 1
            self.teacher.data.mul_(0.9).add_(hidden.detach().mean())
            self.left = batch["numbers"][: num_rows(batch) // self.calls].clone()
            if self.calls == self.fails_at:
                raise torch.OutOfMemoryError("out of memory")
        return (self.last(hidden) + 0.01 * self.teacher.mean()).unsqueeze(1)


class Masking(nn.Module):
    """A person's own whose answers are ruled out from a step on: their loss is infinite, and has gradients that are numbers."""

    def __init__(self, at: int) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.last, self.calls, self.at = nn.Linear(INPUTS, CLASSES), 0, at

    def forward(self, batch):
        """Logits, with a member's axis."""
        self.calls += self.training
        logits = self.last(batch["numbers"])
        if self.training and self.calls >= self.at:
            ruled_out = nn.functional.one_hot(batch["target"], CLASSES).bool()
            logits = logits.masked_fill(ruled_out, -math.inf)
        return logits.unsqueeze(1)


class Copies(TorchDispatchMode):
    """Takes note of how many numbers each tensor has that is copied: to a new place, or over another."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes, self.over = [], []

    def __torch_dispatch__(self, function, _types, args=(), kwargs=None):
        """Count it where it copies."""
        if function in {torch.ops.aten.clone.default, torch.ops.aten._to_copy.default}:
            self.sizes.append(args[0].numel())
        elif function is torch.ops.aten._foreach_copy_.default:
            self.over += [value.numel() for value in args[1]]
        return function(*args, **(kwargs or {}))


class NoCopies(TorchDispatchMode):
    """There is no memory for any copy."""

    def __torch_dispatch__(self, function, _types, args=(), kwargs=None):
        """Run out where it copies."""
        if function in {torch.ops.aten.clone.default, torch.ops.aten._to_copy.default}:
            raise torch.OutOfMemoryError("out of memory")
        return function(*args, **(kwargs or {}))


def learner(
    module: nn.Module | None = None, *, foreign: bool = False, waits: bool | None = None, own_loss=None, **changes
):
    """A learner of the rows by PLAN with some settings changed."""
    plan, data = replace(PLAN, **changes), rows()
    return GradientLearner(
        module=module or Net(),
        plan=plan,
        target=Target(task="classification", weights=changes.get("weights")),
        feed=MemoryFeed(data, lambda epoch: order(plan.seed, epoch, ROWS), num_batches(ROWS, plan.batch_size)),
        validation=MemoryRows(rows()),
        device=torch.device("cpu"),
        foreign=foreign,
        waits=waits,
        own_loss=own_loss,
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

    def test_decay_matrices_whatever_they_are_called(self):
        assert decayed_of(nn.LSTM(4, 8)) == ["weight_ih_l0", "weight_hh_l0"]
        assert decayed_of(nn.MultiheadAttention(8, 2)) == ["in_proj_weight", "out_proj.weight"]
        assert decayed_of(nn.ParameterDict({"table": torch.zeros(3, 2), "bias": torch.zeros(3, 2)})) == ["table"]
        assert decayed_of(nn.ModuleDict({"spread": nn.Linear(3, 3)})) == ["spread.weight"]

    def test_decay_of_an_ensemble_its_layers_but_no_scales_and_no_embeddings_of_numbers(self):
        edges = [torch.linspace(0, 1, 5)] * 2
        shape = Shape(numbers=2, cardinalities=(), outputs=3)
        options = {"members": 4, "width": 8, "depth": 2, "dropout": 0.0}
        ensemble = tabm.ManyNetworks(shape, options, torch.tensor([0, 1]), edges)

        assert decayed_of(ensemble) == ["backbone.0.0.weight", "backbone.1.0.weight", "output.weight"]

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


def decayed_of(module):
    """Names of the parameters that are decayed."""
    names = {id(p): name for name, p in module.named_parameters()}
    return [names[id(p)] for p in default_groups(module, 0.1)[0]["params"]]


@pytest.mark.parametrize("waits", [True, False])
def test_a_step_whose_loss_is_infinite_is_not_taken_though_its_gradient_is_a_number(waits):
    before, after = learner(Masking(at=10**9), foreign=True), learner(Masking(at=4), foreign=True, waits=waits)
    before.advance(3)
    window = after.advance(9)

    assert (window.count, window.healthy, after.step) == (3, False, 3)
    assert torch.equal(weights(after.module), weights(before.module))


class TestADivergence:
    def test_leaves_all_as_it_was_after_the_last_step_taken(self):
        """So a checkpoint of then is one of that step: the statistics and the generators too."""
        random.seed(0)
        straight = learner(Foreign(), foreign=True, ema=0.9)
        straight.advance(5)
        state, drawn = straight.module.state_dict(), (random.getstate(), torch.get_rng_state())
        random.seed(0)
        diverged = learner(Foreign(nan_at=6), foreign=True, ema=0.9)
        window = diverged.advance(9)

        assert (window.count, window.healthy, diverged.intact) == (5, False, True)
        assert all(torch.equal(value, state[name]) for name, value in diverged.module.state_dict().items())
        assert (random.getstate(), torch.get_rng_state().tolist()) == (drawn[0], drawn[1].tolist())

    def test_that_is_not_waited_for_leaves_no_state_to_save(self):
        """On a GPU steps are computed beyond it, which draw and average."""
        diverged = learner(Net(nan_at=6, dropout=0.3), waits=False, ema=0.9)
        window = diverged.advance(9)

        assert (window.count, window.healthy, diverged.intact) == (5, False, False)


def test_the_training_loss_of_an_evaluation_does_not_depend_on_how_steps_were_divided_into_windows():
    told = []
    for windows in ((12,), (5, 7), (1, 1, 4, 6)):
        state = TrainState(learner=learner(), plan=replace(PLAN, evaluate_every=12), metric="accuracy")
        losses = [loss for count in windows for loss in advance(state, count).losses]
        told.append(state.counters.last_train_loss)

    assert set(told) == {told[0]}
    assert told[0] == pytest.approx(np.mean(losses))


def test_what_is_no_number_in_a_batch_norms_statistics_is_seen_though_the_weights_are_numbers():
    """A step that is not taken may leave it so: nothing is kept of that."""
    trained = learner(WithStatistics())
    trained.advance(1)
    assert trained.intact
    trained.module.norm.running_mean[0] = math.inf
    assert not trained.intact


def test_a_mask_that_is_infinite_from_the_beginning_leaves_a_state_that_can_be_kept():
    """Of which a checkpoint is written when a run diverges before its first."""
    module = WithStatistics()
    module.register_buffer("mask", torch.full((3,), -math.inf))
    trained = learner(module)
    trained.advance(1)
    assert trained.intact
    with torch.no_grad():
        module.last.bias[0] = math.nan
    assert not trained.intact


class TestMemory:
    def test_of_the_rows_is_given_back_when_nothing_more_is_learnt(self):
        """The bundle is written with what they took."""
        kept = rows()
        seen = weakref.ref(kept["numbers"])
        trained = GradientLearner(
            module=Net(),
            plan=PLAN,
            target=Target(task="classification"),
            feed=MemoryFeed(kept, lambda epoch: order(0, epoch, ROWS), num_batches(ROWS, PLAN.batch_size)),
            validation=None,
            device=torch.device("cpu"),
        )
        trained.advance(1)
        del kept
        trained.release()

        assert seen() is None

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

    @pytest.mark.parametrize("step", [1, 2, 3, 6])
    def test_that_runs_out_in_a_persons_model_leaves_its_statistics_and_its_other_generators(self, step):
        random.seed(0)
        straight = learner(Foreign(), foreign=True)
        if step > 1:
            straight.advance(step - 1)
        straight.pieces = 2
        straight.advance(1)
        after = random.random()
        random.seed(0)
        pressed = learner(Foreign(fails_at=step), foreign=True)
        pressed.advance(step)

        assert pressed.pieces == 2
        assert random.random() == after
        assert torch.equal(pressed.module.norm.running_mean, straight.module.norm.running_mean)
        assert pressed.module.seen == straight.module.seen

    def test_that_runs_out_leaves_statistics_that_begin_to_move_late(self):
        """Batch norms change theirs without torch's count of it, and a part that was frozen at first may thaw."""
        random.seed(0)
        straight = learner(Thawing(), foreign=True)
        straight.advance(5)
        straight.pieces = 2
        straight.advance(1)
        random.seed(0)
        pressed = learner(Thawing(fails_at=6), foreign=True)
        pressed.advance(6)

        assert pressed.pieces == 2
        assert torch.equal(pressed.module.norm.running_mean, straight.module.norm.running_mean)

    def test_of_a_frozen_part_of_a_persons_model_is_not_copied_for_every_step(self):
        """So that the last step could be taken anew: a frozen backbone is most of what there is, and stays as it is."""
        module = Foreign()
        module.backbone = nn.Linear(200, 200).requires_grad_(requires_grad=False)
        ours = learner(module, foreign=True)
        ours.advance(3)
        with Copies() as copies:
            ours.advance(4)

        assert 0 < max(copies.sizes + copies.over) < 200

    def test_of_a_frozen_part_is_taken_once_while_it_is_not_known_whether_it_stays(self):
        module = Foreign()
        module.backbone = nn.Linear(200, 200).requires_grad_(requires_grad=False)
        ours = learner(module, foreign=True)
        with Copies() as copies:
            ours.advance(4)

        assert copies.sizes.count(200 * 200) == 1

    def test_of_a_frozen_part_is_not_taken_for_ever_after_memory_ran_out_once(self):
        """What is put back as it was has not changed."""
        module = Foreign(fails_at=1)
        module.backbone = nn.Linear(200, 200).requires_grad_(requires_grad=False)
        ours = learner(module, foreign=True)
        ours.advance(3)
        with Copies() as copies:
            ours.advance(3)

        assert ours.pieces == 2
        assert max(copies.sizes + copies.over) < 200

    @pytest.mark.parametrize("step", [1, 2, 5])
    def test_that_runs_out_leaves_a_large_frozen_part_that_steps_change_as_it_was(self, step):
        straight = learner(Teaching(), foreign=True)
        if step > 1:
            straight.advance(step - 1)
        straight.pieces = 2
        straight.advance(1)
        pressed = learner(Teaching(fails_at=step), foreign=True)
        pressed.advance(step)

        assert pressed.pieces == 2
        assert torch.equal(pressed.module.teacher, straight.module.teacher)

    def test_that_is_lacking_for_what_would_undo_a_step_halves_it_too(self):
        """As for whatever else a step takes: it ends with a word where that is of no use."""
        ours = learner(Foreign(), foreign=True)
        with NoCopies(), pytest.raises(RunError, match="single row") as caught:
            ours.advance(1)

        assert caught.value.error_code == "out-of-memory"
        with NoCopies(), pytest.raises(RunError, match="when the model was judged") as caught:
            ours.evaluate()

        assert caught.value.error_code == "out-of-memory"

    def test_that_runs_out_when_the_model_is_judged_halves_the_rows_at_once_and_says_so_once(self):
        straight, pressed = learner(), learner(Net(judges=50))
        expected = straight.evaluate()
        found, again = pressed.evaluate(), pressed.evaluate()

        assert pressed.module.judged == [240, 120, *[60], *[30] * 8, *[30] * 8]
        assert [n.code for n in found.notices] == ["out-of-memory"]
        assert "30 rows are judged at once" in found.notices[0].text
        assert again.notices == expected.notices == ()
        assert found.loss == again.loss == pytest.approx(expected.loss, abs=1e-6)
        assert found.prediction == pytest.approx(expected.prediction, abs=1e-6)
        assert pressed.losses_of(MemoryRows(rows())).tolist() == pytest.approx(
            straight.losses_of(MemoryRows(rows())).tolist(), abs=1e-6
        )

    def test_that_ran_out_when_the_model_was_judged_is_remembered_by_a_checkpoint(self, tmp_path):
        first = learner(Net(judges=50))
        first.evaluate()
        first.save(tmp_path)
        second = learner(Net(judges=50))
        second.load(tmp_path)

        assert second.evaluate().loss == first.evaluate().loss
        assert second.module.judged == [30] * 8

    def test_that_does_not_hold_one_row_to_judge_ends_with_a_word(self):
        with pytest.raises(RunError, match="when the model was judged, 1 row at once") as caught:
            learner(Net(judges=0)).evaluate()

        assert caught.value.error_code == "out-of-memory"

    def test_kept_by_accumulating_changes_nothing_with_weighted_classes(self):
        by_class = torch.tensor([0.2, 1.0, 3.0])
        whole, cut = learner(), learner(accumulate=5)
        for each in (whole, cut):
            each._batches._objective = Objective(
                Target(task="classification", weights=by_class), torch.device("cpu"), 0.1
            )
            each.advance(40)

        assert torch.allclose(weights(cut.module), weights(whole.module), atol=1e-6)


@pytest.mark.parametrize("count", [1, 7, 1001, 1003, 1008])
def test_equal_rows_have_equal_probabilities_to_the_bit(count):
    """Or they would rank by their places, and a row be answered otherwise among others."""
    for seed in range(20):
        logits = torch.from_numpy(np.random.default_rng(seed).normal(size=(1, 1, 7)).astype(np.float32))
        answers = Target(task="classification").answers(logits.expand(count, 1, 7))

        assert (answers == answers[0]).all()


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

    @pytest.mark.parametrize("waits", [True, False], ids=["a device that is waited for", "one that is not"])
    def test_that_is_no_number_ends_it_before_that_step_however_many_were_asked_for(self, waits):
        straight, ours = learner(waits=waits), learner(Net(nan_at=8), waits=waits)
        before = straight.advance(7)
        window = ours.advance(20)

        assert (window.healthy, window.count, window.samples, ours.step) == (False, 7, 7 * 24, 7)
        assert (window.loss, window.grad_norm) == pytest.approx((before.loss, before.grad_norm), rel=1e-6)
        assert torch.equal(weights(ours.module), weights(straight.module))

    @pytest.mark.parametrize("waits", [True, False], ids=["a device that is waited for", "one that is not"])
    def test_that_is_no_number_at_the_first_step_is_not_taken(self, waits):
        ours = learner(Net(nan_at=1), waits=waits)
        before = weights(ours.module)
        window = ours.advance(5)

        assert (window.healthy, window.count, ours.step) == (False, 0, 0)
        assert torch.equal(weights(ours.module), before)

    def test_of_a_persons_model_that_is_no_number_ends_it_though_its_gradient_is_one(self):
        said = iter([0.0, 0.0, math.nan])

        def loss(outputs, batch):
            return nn.functional.cross_entropy(outputs[:, 0], batch["target"]).unsqueeze(0) + next(said)

        ours, straight = learner(own_loss=loss), learner()
        window = ours.advance(5)
        straight.advance(2)

        assert (window.healthy, window.count, ours.step) == (False, 2, 2)
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

    def test_has_the_statistics_of_its_own_weights(self):
        ours, plain = learner(WithStatistics(), ema=0.9), learner(WithStatistics())
        mean = plain.module.norm.running_mean.clone()
        for n in range(1, 21):
            plain.advance(1)
            ours.advance(1)
            decay = min(0.9, (1 + n) / (10 + n))
            mean = decay * mean + (1 - decay) * plain.module.norm.running_mean
        last = ours.module.norm.running_mean.clone()
        ours.evaluate()

        assert torch.equal(ours.module.norm.running_mean, last)
        ours.recall()
        assert torch.allclose(ours.module.norm.running_mean, mean, atol=1e-6)
        assert not torch.allclose(mean, last, atol=1e-3)

    def test_leaves_what_is_infinite_as_it_stands(self):
        """As the mask of a model that attends to what came before."""
        module = Net()
        mask = torch.full((3, 3), -math.inf).triu(1)
        module.register_buffer("mask", mask.clone())
        ours = learner(module, ema=0.9)
        ours.advance(5)
        ours.recall()

        assert torch.equal(ours.module.mask, mask)

    def test_takes_what_is_not_learnt_as_it_stands(self):
        module = Net()
        module.table = nn.Parameter(torch.arange(4), requires_grad=False)
        ours = learner(module, ema=0.9)
        ours.advance(5)
        ours.recall()

        assert ours.module.table.tolist() == [0, 1, 2, 3]

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

    def test_that_was_too_large_is_tried_again_as_the_same_step(self):
        """Attempts move on neither the step, nor its learning rate, nor its rows: P7 of the promises."""
        found, heard = learner(precision="float16", schedule="one-cycle"), []
        found.hear(lambda batch: heard.append(batch["target"].tolist()))
        found._scale.scale = 2.0**21
        window = found.advance(3)
        straight = learner(precision="float16", schedule="one-cycle")
        straight._scale.scale = found._scale.scale
        expected = straight.advance(3)
        moments = [float(v) for name, v in found._optimiser.state().items() if name.startswith("step")]

        assert found._scale.scale < 2.0**21
        assert (window.count, window.samples, window.healthy, found.step) == (3, 72, True, 3)
        assert moments == [3.0]
        assert window.learning_rate == expected.learning_rate
        assert torch.equal(weights(found.module), weights(straight.module))
        assert len(heard) == 3

    def test_for_which_no_scale_helps_ends_before_the_step(self):
        found = learner(Net(nan_from=3), precision="float16")
        window = found.advance(5)

        assert (window.healthy, window.count, found.step) == (False, 2, 2)

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
