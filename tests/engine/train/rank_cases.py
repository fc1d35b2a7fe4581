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

from epochal.train import seeds
from epochal.train.batch import piece
from epochal.train.families.networks import NETWORKS
from epochal.train.feed import MemoryFeed, MemoryRows, num_batches
from epochal.train.gradient import GradientLearner
from epochal.train.network import Shape
from epochal.train.objective import Target
from epochal.train.state import Plan
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
    broken: int | None = None
    """A row with a number that is none."""


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
    return GradientLearner(
        module=NETWORKS[case.family].build(shape, case.options, {}),
        plan=plan,
        target=Target(task="regression" if case.regression else "classification", weights=weights),
        feed=MemoryFeed(train, lambda epoch: seeds.order(0, epoch, ROWS), num_batches(ROWS, plan.batch_size)),
        validation=MemoryRows(piece(judged, *team.part(101))),
        device=torch.device("cpu"),
        team=team,
        judged_by_parts=team.size > 1,
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


if __name__ == "__main__":
    torch.set_num_threads(1)
    found = join()
    told = dict(outcomes(found))
    # Every rank must hold the same weights to the bit, or they drift apart.
    mine = np.concatenate([v for k, v in told.items() if k.endswith("weights")]).tobytes()
    assert set(found.said_by_all(mine)) == {mine}
    if found.first:
        np.savez(Path(sys.argv[1]), **told)
    leave()
