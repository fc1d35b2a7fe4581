"""What ranks and one process must compute alike: small learners, some steps of each, and what came of them.

torchrun --nproc-per-node 2 tests/engine/train/rank_cases.py OUT.npz
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from epochal.core.errors import RunError
from epochal.train import seeds
from epochal.train.batch import Batch, piece
from epochal.train.begin import demand_alike
from epochal.train.families.networks import NETWORKS
from epochal.train.feed import MemoryFeed, MemoryRows, num_batches
from epochal.train.gradient import GradientLearner
from epochal.train.network import Shape
from epochal.train.objective import Target
from epochal.train.own.model import OwnNetwork
from epochal.train.own.spec import Spec
from epochal.train.state import Plan, TrainState, advance, judge
from epochal.train.team import SOLO, Team, join, leave


ROWS, STEPS, CLASSES = 330, 24, 3
PLAN = Plan(
    epochs=10,
    batch_size=33,
    evaluate_every=10,
    learning_rate=0.02,
    schedule="cosine",
    weight_decay=0.01,
    patience=5,
    precision="float32",
    device="cpu",
    threads=1,
    seed=0,
    class_weights="none",
    optimiser="sgd",
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One learner."""

    family: str = "mlp"
    options: Mapping[str, Any] = field(default_factory=lambda: {"width": 16, "depth": 2, "dropout": 0.0})
    numbers: int = 5
    weights: tuple[float, ...] = ()
    regression: bool = False
    changes: Mapping[str, Any] = field(default_factory=dict)
    own: bool = False
    """Of a person's own model, with a loss of its own."""
    broken: int | None = None
    """A row with a number that is none."""


class Own(nn.Module):
    """A weight that takes part in the loss alone, and one that takes part in nothing."""

    def __init__(self, numbers: int) -> None:
        super().__init__()
        self.last = nn.Linear(numbers, CLASSES)
        self.temperature, self.idle = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(3))

    def forward(self, batch: Batch) -> Tensor:
        return self.last(batch["numbers"])

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        usual = functional.cross_entropy(output * self.temperature, batch["target"])
        return usual + 0.01 * self.last.weight.square().sum()


OWN_SPEC = Spec(
    task="classification",
    outputs=CLASSES,
    classes=("a", "b", "c"),
    inputs=(),
    numbers=5,
    cardinalities=(5, 5),
    folder=Path(),
)
TABM = {"width": 16, "depth": 1, "dropout": 0.0, "members": 3, "embeddings": "none"}
CASES = {
    "a network": Case(),
    "with adamw": Case(changes={"optimiser": "adamw", "learning_rate": 0.002}),
    "with uneven class weights": Case(weights=(0.2, 1.0, 3.0)),
    "with smoothed labels": Case(weights=(0.5, 1.0, 2.0), changes={"label_smoothing": 0.1}),
    "in pieces": Case(changes={"accumulate": 4}, weights=(0.2, 1.0, 3.0)),
    "with an averaged model": Case(changes={"ema": 0.9}),
    "with short gradients": Case(changes={"clip_norm": 0.05}),
    "of categories alone": Case(numbers=0),
    "of numbers to a number": Case(regression=True),
    "that meets what is no number": Case(broken=200),
    "a linear model": Case(family="linear", options={"l2": "auto"}),
    "a linear model of categories": Case(family="linear", options={"l2": "auto"}, numbers=0),
    "of one's own": Case(own=True),
    "of one's own, in pieces": Case(own=True, changes={"accumulate": 4, "ema": 0.9}),
    "an ensemble": Case(family="tabm", options=TABM),
    "an ensemble with class weights": Case(family="tabm", options=TABM, weights=(0.2, 1.0, 3.0)),
}


def rows(case: Case, count: int, seed: int) -> dict[str, torch.Tensor]:
    """Rows whose target follows from them."""
    generator = np.random.default_rng(seed)
    numbers = generator.normal(size=(count, case.numbers)).astype(np.float32)
    codes = generator.integers(1, 5, size=(count, 2))
    if case.broken is not None and count == ROWS:
        numbers[case.broken] = np.nan
    told = np.nan_to_num(numbers).sum(axis=1) + codes[:, 0] - 2.5 + generator.normal(size=count)
    target = told.astype(np.float32) if case.regression else np.digitize(told, (-1, 1))
    return {"numbers": torch.from_numpy(numbers), "codes": torch.from_numpy(codes), "target": torch.from_numpy(target)}


def make(case: Case, team: Team = SOLO) -> GradientLearner:
    """The learner of a case, or this rank's share of it."""
    plan = replace(PLAN, **case.changes)
    shape = Shape(numbers=case.numbers, cardinalities=(5, 5), outputs=1 if case.regression else CLASSES)
    seeds.seed_torch(0, "weights")
    train, judged = rows(case, ROWS, 1), rows(case, 101, 2)
    weights = torch.tensor(case.weights) if case.weights else None
    own = OwnNetwork(Own(case.numbers), OWN_SPEC, Path()) if case.own else None
    return GradientLearner(
        module=own or NETWORKS[case.family].build(shape, case.options, {}),
        plan=plan,
        target=Target(task="regression" if case.regression else "classification", weights=weights),
        feed=MemoryFeed(train, lambda epoch: seeds.order(0, epoch, ROWS), num_batches(ROWS, plan.batch_size)),
        validation=MemoryRows(judged if own else piece(judged, *team.part(101))),
        device=torch.device("cpu"),
        own_loss=None if own is None else own.own_loss,
        foreign=own is not None,
        team=team,
        judged_by_parts=team.size > 1 and own is None,
    )


def outcomes(team: Team = SOLO) -> Iterator[tuple[str, np.ndarray]]:
    """What came of every case: weights, figures of the steps, and answers, each by its name."""
    for name, case in CASES.items():
        learner = make(case, team)
        windows = [learner.advance(STEPS // 2) for _ in range(2)]
        evaluation = learner.evaluate()
        weights = [p.detach().numpy().ravel() for p in learner.module.parameters()]
        figures = [(w.loss, w.loss_min, w.loss_max, w.grad_norm, w.count, w.healthy) for w in windows]
        yield f"{name}: weights", np.concatenate(weights)
        yield f"{name}: figures", np.array(figures, dtype=np.float64).ravel()
        yield f"{name}: answers", np.append(evaluation.prediction.ravel(), evaluation.loss)


class Drawing(nn.Module):
    """Draws when it is judged, too."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(5, CLASSES)

    def forward(self, batch: Batch) -> Tensor:
        return self.last(functional.dropout(batch["numbers"], 0.3, training=True))

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        return functional.cross_entropy(output, batch["target"])


def judged_alike(team: Team) -> list[float]:
    """What this rank keeps of the judgements of so few rows that it is mostly the loss which tells better from worse."""
    plan = replace(PLAN, schedule="plateau", patience=9, epochs=30)
    seeds.seed_all(0, "weights")
    network = OwnNetwork(Drawing(), OWN_SPEC, Path())
    train, few = rows(Case(), ROWS, 1), rows(Case(), 3, 2)
    seeds.seed_all(0, "steps", team.rank)
    learner = GradientLearner(
        module=network,
        plan=plan,
        target=Target(task="classification"),
        feed=MemoryFeed(train, lambda epoch: seeds.order(0, epoch, ROWS), num_batches(ROWS, plan.batch_size)),
        validation=MemoryRows(few),
        device=torch.device("cpu"),
        own_loss=network.own_loss,
        foreign=True,
        team=team,
    )
    state = TrainState(learner=learner, plan=plan, metric="accuracy")
    while learner.step < learner.total_steps:
        advance(state, state.steps_to_evaluation)
        judge(state, "classification", few["target"].numpy(), 0, team)
    kept = state.counters
    return [
        float(kept.best_step),
        kept.best_loss,
        kept.without_better,
        learner.rate_factor,
        float(network.model.last.bias[0]),
    ]


class Keeping(nn.Module):
    """Keeps all sorts of things beside its weights, that each rank would see another part of the rows for."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(5, CLASSES)
        self.teacher, self.backbone = nn.Linear(5, CLASSES), nn.Linear(300, 300)
        self.teacher.requires_grad_(False)
        self.backbone.requires_grad_(False)
        self.register_buffer("left", torch.zeros(0), persistent=False)
        self.register_buffer("seen", torch.zeros(5))
        self.register_buffer("late", torch.zeros(5))
        self.norm = nn.BatchNorm1d(5)
        self.register_buffer("graph", torch.eye(5).to_sparse(), persistent=False)
        self.steps = 0

    def forward(self, batch: Batch) -> Tensor:
        if self.training:
            self.steps += 1
            self.left = batch["numbers"][:, 0].clone()  # of another length on each rank
            self.seen.mul_(0.9).add_(0.1 * batch["numbers"].mean(0))
            self.teacher.weight.data = 0.9 * self.teacher.weight.data + 0.1 * self.last.weight.data * float(
                self.seen[0]
            )
            self.norm.train(self.steps > STEPS // 2)
            if self.steps > STEPS // 2:
                self.late.add_(batch["numbers"].mean(0))
        self.norm(batch["numbers"])
        return self.last(torch.sparse.mm(self.graph, batch["numbers"].T).T) + self.teacher(batch["numbers"])


def kept_alike(team: Team) -> tuple[bytes, int]:
    """What a module keeps beside its weights after some steps, and how often its frozen backbone was written to."""
    seeds.seed_all(0, "weights")
    network = OwnNetwork(Keeping(), OWN_SPEC, Path())
    train = rows(Case(), ROWS, 1)
    learner = GradientLearner(
        module=network,
        plan=PLAN,
        target=Target(task="classification"),
        feed=MemoryFeed(train, lambda epoch: seeds.order(0, epoch, ROWS), num_batches(ROWS, PLAN.batch_size)),
        validation=None,
        device=torch.device("cpu"),
        foreign=True,
        team=team,
    )
    model = network.model
    before = model.backbone.weight._version
    learner.advance(STEPS)
    kept = [model.last.weight.detach(), model.teacher.weight, model.seen, model.late, model.norm.running_mean]
    return np.concatenate([v.numpy().ravel() for v in kept]).tobytes(), model.backbone.weight._version - before


def refused(team: Team) -> str:
    """By which code a batch is refused that has no row for each rank."""
    learner = make(Case(), team)
    learner._feed = MemoryFeed(rows(Case(), 3, 1), lambda _epoch: np.arange(3), 3)
    try:
        learner.advance(1)
    except RunError as error:
        return error.error_code
    return ""


def differing(team: Team) -> str:
    """By which code a rank is refused that would go on from another checkpoint than the first."""
    try:
        demand_alike(f"step-{team.rank}", team)
    except RunError as error:
        return error.error_code
    return ""


if __name__ == "__main__":
    torch.set_num_threads(1)
    found = join()
    told = dict(outcomes(found))
    # Every rank must hold the same weights to the bit, or they drift apart.
    mine = np.concatenate([v for k, v in told.items() if k.endswith("weights")]).tobytes()
    assert set(found.said_by_all(mine)) == {mine}
    kept = repr(judged_alike(found)).encode()
    assert set(found.said_by_all(kept)) == {kept}
    beside, writes = kept_alike(found)
    assert set(found.said_by_all(beside)) == {beside}
    assert writes == 0
    assert [code.decode() for code in found.said_by_all(differing(found).encode())] == ["", "ranks-differ"]
    refusal = refused(found)
    if found.first:
        np.savez(Path(sys.argv[1]), **told, refusal=np.array(refusal))
    leave()
