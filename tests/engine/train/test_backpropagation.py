"""The plain network's own gradients are those that torch's autograd finds, from the same draws."""

from __future__ import annotations

import shutil
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from epochal.train.families.mlp import SmallNetwork
from epochal.train.make import make_learner, prepare
from epochal.train.network import Shape
from epochal.train.objective import Objective, Target, class_weights_of
from epochal.train.plan import draft_plan
from epochal.train.rows import read_training


WHATEVER = {
    "three classes": (Target(task="classification"), 3, 0.0),
    "two classes": (Target(task="classification"), 2, 0.0),
    "many classes": (Target(task="classification"), 40, 0.0),
    "weighted classes": (Target(task="classification", weights=class_weights_of(np.array([90, 8, 2]))), 3, 0.0),
    "smoothed labels": (Target(task="classification"), 5, 0.1),
    "a number": (Target(task="regression"), 1, 0.0),
    "a number, labels smoothed in vain": (Target(task="regression"), 1, 0.1),
}
"""The target, how many outputs it takes, and how its labels are smoothed."""

INPUTS = {"numbers": (9, ()), "categories": (0, (4, 7)), "both": (5, (3, 2, 11))}
"""How many numbers, and the codes of each category."""

DEVICE = torch.device("cpu")


def network(numbers: int, cardinalities: tuple[int, ...], outputs: int, *, depth: int, dropout: float) -> SmallNetwork:
    """One with room for gradients, as an optimiser lays them out."""
    torch.manual_seed(1)
    shape = Shape(numbers=numbers, cardinalities=cardinalities, outputs=outputs)
    found = SmallNetwork(shape, width=24, depth=depth, dropout=dropout)
    for parameter in found.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.zeros_like(parameter)
    return found.train()


def batch(
    numbers: int, cardinalities: tuple[int, ...], target: Target, outputs: int, rows: int
) -> dict[str, torch.Tensor]:
    """Rows of chance; some of their categories are not known."""
    generator = torch.Generator().manual_seed(2)
    codes = [torch.randint(0, c, (rows,), generator=generator) for c in cardinalities]
    classes = torch.randint(0, outputs, (rows,), generator=generator)
    return {
        "numbers": torch.randn(rows, numbers, generator=generator),
        "codes": torch.stack(codes, dim=1) if codes else torch.empty(rows, 0, dtype=torch.int64),
        "target": torch.randn(rows, generator=generator) if target.task == "regression" else classes,
    }


def gradients(module: SmallNetwork) -> dict[str, torch.Tensor]:
    """By name, and none any more in the module."""
    found = {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}
    for parameter in module.parameters():
        if parameter.grad is not None:
            parameter.grad.zero_()
    return found


class TestThePlainNetwork:
    @pytest.mark.parametrize("dropout", [0.0, 0.3])
    @pytest.mark.parametrize("depth", [1, 3])
    @pytest.mark.parametrize("inputs", INPUTS)
    @pytest.mark.parametrize("learnt", WHATEVER)
    def test_has_the_gradients_that_autograd_finds(self, learnt, inputs, depth, dropout):
        target, outputs, smoothing = WHATEVER[learnt]
        module = network(*INPUTS[inputs], outputs, depth=depth, dropout=dropout)
        rows = batch(*INPUTS[inputs], target, outputs, 600)
        objective = Objective(target, DEVICE, smoothing)
        torch.manual_seed(3)
        loss = objective.loss(module(rows), rows["target"], training=True)
        (loss.sum() * 0.25).backward()
        expected = gradients(module)

        torch.manual_seed(3)
        said = module.add_gradients(rows, lambda o: objective.with_gradient(o, rows["target"], 0.25))

        assert said.shape == (1,)
        assert torch.equal(said, loss.detach())
        found = gradients(module)
        assert found.keys() == expected.keys()
        for name, gradient in expected.items():
            assert gradient.abs().max() > 0
            torch.testing.assert_close(found[name], gradient, rtol=1e-5, atol=1e-6 * float(gradient.abs().max()))

    def test_draws_no_more_than_a_call_does(self):
        module = network(9, (), 3, depth=2, dropout=0.3)
        target = Target(task="classification")
        rows = batch(9, (), target, 3, 100)
        torch.manual_seed(3)
        module(rows)
        after_a_call = torch.rand(1)

        torch.manual_seed(3)
        module.add_gradients(rows, lambda o: Objective(target, DEVICE).with_gradient(o, rows["target"], 1.0))

        assert torch.equal(torch.rand(1), after_a_call)

    def test_adds_to_the_gradients_there_are(self):
        module = network(5, (3,), 3, depth=2, dropout=0.0)
        target = Target(task="classification")
        rows = batch(5, (3,), target, 3, 100)

        def added(times: int) -> dict[str, torch.Tensor]:
            for _ in range(times):
                module.add_gradients(rows, lambda o: Objective(target, DEVICE).with_gradient(o, rows["target"], 1.0))
            return gradients(module)

        once = added(1)
        for name, twice in added(2).items():
            torch.testing.assert_close(twice, 2 * once[name])

    def test_leaves_the_rows_as_they_are(self):
        module = network(5, (3,), 3, depth=2, dropout=0.3)
        target = Target(task="classification")
        rows = batch(5, (3,), target, 3, 100)
        before = {name: values.clone() for name, values in rows.items()}

        module.add_gradients(rows, lambda o: Objective(target, DEVICE).with_gradient(o, rows["target"], 1.0))

        assert all(torch.equal(rows[name], values) for name, values in before.items())

    def test_says_that_a_loss_is_no_number(self):
        module = network(5, (), 3, depth=2, dropout=0.3)
        target = Target(task="classification")
        rows = batch(5, (), target, 3, 100)
        rows["numbers"][7, 2] = float("nan")

        said = module.add_gradients(rows, lambda o: Objective(target, DEVICE).with_gradient(o, rows["target"], 1.0))

        assert torch.isnan(said).all()
        assert all(torch.isnan(gradient).any() for gradient in gradients(module).values())


@pytest.mark.parametrize("learnt", WHATEVER)
def test_the_loss_of_several_members_has_the_gradient_that_autograd_finds(learnt):
    target, outputs, smoothing = WHATEVER[learnt]
    torch.manual_seed(1)
    logits = torch.randn(50, 3, outputs)
    rows = batch(1, (), target, outputs, 50)
    objective = Objective(target, DEVICE, smoothing)
    said = logits.clone().requires_grad_()
    loss = objective.loss(said, rows["target"], training=True)
    (loss.sum() * 0.25).backward()
    found, gradient = objective.with_gradient(logits, rows["target"], 0.25)

    assert torch.equal(found, loss.detach())
    torch.testing.assert_close(gradient, said.grad)


class Held(TorchDispatchMode):
    """Takes note of the most bytes that tensors made within it held at once."""

    def __init__(self, *before: torch.Tensor) -> None:
        """What there was `before` is not counted."""
        super().__init__()
        self.most, self._now = 0, 0
        self._seen = weakref.WeakSet(tensor.untyped_storage() for tensor in before)

    def __torch_dispatch__(self, function, _types, args=(), kwargs=None):
        """Count what is made, until it is let go."""
        made = function(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, (tuple, list)) else (made,):
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage() not in self._seen:
                storage = tensor.untyped_storage()
                self._seen.add(storage)
                self._now += storage.nbytes()
                weakref.finalize(storage, self._let_go, storage.nbytes())
                self.most = max(self.most, self._now)
        return made

    def _let_go(self, size: int) -> None:
        self._now -= size


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("inputs", INPUTS)
def test_a_step_holds_hardly_more_than_with_autograd(inputs, dropout):
    target = Target(task="classification")
    module = network(*INPUTS[inputs], 3, depth=2, dropout=dropout)
    rows = batch(*INPUTS[inputs], target, 3, 5000)
    objective = Objective(target, DEVICE)
    before = (*rows.values(), *module.parameters(), *(p.grad for p in module.parameters() if p.grad is not None))
    with Held(*before) as by_autograd:
        objective.loss(module(rows), rows["target"], training=True).sum().backward()
    with Held(*before) as by_hand:
        module.add_gradients(rows, lambda o: objective.with_gradient(o, rows["target"], 1.0))

    assert by_autograd.most > 5000 * 24 * 4
    assert by_hand.most < 1.08 * by_autograd.most


class TestItsLearner:
    @pytest.fixture
    def filled(self, spec_of, one_thread):
        """The parameters whose gradients autograd filled in some steps, by name, and all that are learnt."""

        def train(table, target: str, task: str = "classification", **plan) -> tuple[set[str], set[str]]:
            spec = spec_of(table, target=target, task=task, family="mlp", options={"width": 16})
            prepared = prepare(read_training(spec))
            learner = make_learner(prepared, "mlp", replace(draft_plan(spec.project, "mlp", prepared), **plan)).learner
            learnt = {name: p for name, p in learner.module.named_parameters() if p.requires_grad}
            found = set()
            for name, parameter in learnt.items():
                parameter.register_post_accumulate_grad_hook(lambda _p, name=name: found.add(name))
            window = learner.advance(10)
            assert window.healthy
            assert window.count == 10
            return found, set(learnt)

        return train

    def test_lets_autograd_fill_no_gradient(self, filled, line):
        assert filled(line(), "y", "regression")[0] == set()

    def test_lets_autograd_fill_that_of_the_categories_alone(self, filled, blobs):
        assert filled(blobs(), "label")[0] == {"first.table.weight"}

    @pytest.mark.parametrize("pieces", [1, 3, 1000])
    def test_learns_what_it_would_with_autograd_in_pieces_of_weighted_classes_too(
        self, spec_of, blobs, one_thread, pieces
    ):
        settings = {"class_weights": "balanced", "accumulate": pieces, "batch_size": 50}
        spec = spec_of(blobs(), target="label", family="mlp", options={"width": 16, "dropout": 0.0}, train=settings)
        prepared = prepare(read_training(spec))
        plan = draft_plan(spec.project, "mlp", prepared)
        ours, torchs = (make_learner(prepared, "mlp", plan).learner for _ in range(2))
        found = ours.advance(12)
        with torchs.by_autograd():
            expected = torchs.advance(12)

        np.testing.assert_allclose(found.losses, expected.losses, rtol=1e-5)
        for name, values in torchs.module.state_dict().items():
            torch.testing.assert_close(ours.module.state_dict()[name], values, rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("precision", ["bfloat16", "float16"])
    def test_leaves_all_to_autograd_in_other_numbers(self, filled, blobs, precision):
        found, learnt = filled(blobs(), "label", precision=precision)

        assert found == learnt

    @pytest.mark.skipif(shutil.which("g++") is None, reason="torch compiles for a CPU with g++")
    def test_leaves_all_to_autograd_where_steps_are_compiled(self, filled, line):
        found, learnt = filled(line(), "y", "regression", compiled=True)

        assert found == learnt
