"""How fast training is against a careful hand-written loop over tensors in memory, in one run, interleaved.

54 inputs, 7 classes, batch 512, one thread. Prints one JSON object with --json: ratios above 1 mean epochal is faster.
`mlp` is the learner's steps alone; `mlp_fit` is the whole loop with events, evaluation and checkpoints on.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from epochal.core.clock import SystemClock
from epochal.core.settings import parse_project
from epochal.project.runfile import RunSpec
from epochal.snapshot.manifest import SnapshotColumn
from epochal.train.loop import Loop
from epochal.train.make import DenseRows, Prepared, dense_rows, make_learner, prepare
from epochal.train.plan import draft_plan
from epochal.train.rows import Rows, TrainingData
from epochal.train.state import Plan, TrainState


INPUTS, CLASSES, BATCH = 54, 7, 512


def made_up_rows(num_rows: int, seed: int) -> Rows:
    """Classes that a small network can learn."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(num_rows, INPUTS))
    weights = np.random.default_rng(0).normal(size=(INPUTS, CLASSES))
    target = (x @ weights + rng.normal(size=(num_rows, CLASSES))).argmax(axis=1)
    return Rows(
        inputs=pa.table({f"x{i}": x[:, i] for i in range(INPUTS)}),
        target=target,
        eids=np.arange(num_rows),
        keys=pa.chunked_array([pa.array([str(i) for i in range(num_rows)])]),
    )


def prepared_rows(num_rows: int) -> Prepared:
    """The rows after preparation."""
    columns = tuple(
        SnapshotColumn(name=f"x{i}", kind="number", type="DOUBLE", missing=0, distinct=num_rows) for i in range(INPUTS)
    )
    return prepare(
        TrainingData(
            task="classification",
            classes=tuple(f"class {c}" for c in range(CLASSES)),
            columns=columns,
            train=made_up_rows(num_rows, 1),
            validation=made_up_rows(num_rows // 10, 2),
        )
    )


def plan_for(prepared: Prepared, family: str, epochs: int) -> Plan:
    """The family's own defaults, at the benchmark's batch size."""
    project = parse_project(
        {
            "name": "bench",
            "model": {"family": family},
            "train": {"epochs": epochs, "batch_size": BATCH, "devices": "cpu"},
        }
    )
    return replace(draft_plan(project, family, prepared), patience=10**6)


def hand_written(module: nn.Module, x: torch.Tensor, y: torch.Tensor, steps: int) -> float:
    """Samples a second of the loop people write: index a batch, forward, loss, backward, AdamW."""
    optimiser = torch.optim.AdamW(module.parameters(), lr=1e-3)
    codes = torch.empty(len(x), 0, dtype=torch.int64)
    module.train()
    start, done = time.perf_counter(), 0
    while done < steps:
        order = torch.randperm(len(x))
        for i in range(0, len(x) - BATCH + 1, BATCH):
            rows = order[i : i + BATCH]
            outputs = module(x[rows], codes[rows])
            members = outputs.shape[1]
            loss = nn.functional.cross_entropy(outputs.flatten(0, 1), y[rows].repeat_interleave(members))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            loss.item()
            done += 1
            if done == steps:
                break
    return steps * BATCH / (time.perf_counter() - start)


def own_steps(prepared: Prepared, dense: DenseRows, family: str, steps: int) -> float:
    """Samples a second of the learner, read in windows as `fit` reads them."""
    learner = make_learner(prepared, family, plan_for(prepared, family, 1000), dense).learner
    start, samples = time.perf_counter(), 0
    while learner.step < steps:
        samples += learner.advance(min(64, steps - learner.step)).samples
    return samples / (time.perf_counter() - start)


def own_fit(prepared: Prepared, dense: DenseRows, family: str, epochs: int) -> float:
    """Samples a second of the whole loop: windows, evaluations, events as JSON, checkpoints."""
    plan = plan_for(prepared, family, epochs)
    learner = make_learner(prepared, family, plan, dense).learner
    data = prepared.data
    with tempfile.TemporaryDirectory() as folder:
        project = parse_project({"name": "bench", "train": {"first_checkpoint": "1 s"}})
        spec = RunSpec(
            folder=Path(folder), name="0001-mlp", project=project, snapshot_id="", split_id="", created="", inputs=()
        )
        state = TrainState(learner=learner, plan=plan, metric="accuracy")
        loop = Loop(
            spec=spec,
            state=state,
            task=data.task,
            truth=data.validation.target,
            positive=0,
            belongs={},
            clock=SystemClock(),
            look=lambda: False,
            take_checkpoint=lambda: False,
        )
        start = time.perf_counter()
        for event in loop.run():
            json.dumps(str(event))
        return state.counters.samples / (time.perf_counter() - start)


def compare(family: str, rows: int, steps: int, repetitions: int) -> dict[str, float]:
    """Median ratios over interleaved repetitions, and the samples a second they come from."""
    prepared = prepared_rows(rows)
    dense = dense_rows(prepared)
    x, y = dense.train.numbers, torch.from_numpy(prepared.data.train.target)
    epochs = max(1, steps * BATCH // rows)

    def module() -> nn.Module:
        return make_learner(prepared, family, plan_for(prepared, family, 1), dense).learner.module  # type: ignore[attr-defined, no-any-return]

    runs: dict[str, Callable[[], float]] = {
        "loop": lambda: hand_written(module(), x, y, steps),
        "own": lambda: own_steps(prepared, dense, family, steps),
        "fit": lambda: own_fit(prepared, dense, family, epochs),
    }
    for run in runs.values():
        run()
    found: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repetitions):
        for name, run in runs.items():
            found[name].append(run())
    middle = {name: statistics.median(values) for name, values in found.items()}
    return {
        "ratio_to_loop": round(statistics.median(o / h for o, h in zip(found["own"], found["loop"], strict=True)), 3),
        "fit_ratio_to_loop": round(
            statistics.median(f / h for f, h in zip(found["fit"], found["loop"], strict=True)), 3
        ),
        "samples_per_second": round(middle["own"]),
        "loop_samples_per_second": round(middle["loop"]),
    }


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--repetitions", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    results = {
        "mlp": compare("mlp", arguments.rows, 400, arguments.repetitions),
        "tabm": compare("tabm", min(arguments.rows, 20_000), 40, arguments.repetitions),
    }
    if arguments.json:
        print(json.dumps(results))
    else:
        for family, figures in results.items():
            print(family, ", ".join(f"{name} {value:,}" for name, value in figures.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
