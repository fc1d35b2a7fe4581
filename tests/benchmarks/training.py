"""How fast epochal trains, against a careful hand-written loop, a stock DataLoader and three libraries, in one run.

54 inputs, 7 classes, batches of 512, 100,000 rows; `mlp` is 128-128, `mlp_dropout` the same with the share of units left
out that it has by default. All contenders (see peers.py) take the same number of steps with the
same network, loss and optimiser; they take turns, and each figure is the median of the repetitions. Prints one JSON
object with --json: for each family `ratio_to_X`, above 1 where epochal is faster than X, at one thread and, as
`ratio_to_X_best_threads`, each at the thread count that suits it best; and samples a second of each. `load` is the
one-minute load average as the repetitions begin, their median; this program itself is about 1 of it. It takes some
nine minutes on two idle cores; `--threads 1` halves that.

On epochal's side a ratio is the whole of what a run does from its first step to its last: the host's keeper with lock,
signs of life and journal, windows, checkpoints (one after a second, one at the end), and the chart's feed: every record
is read back and reduced as the workbench does, in the same thread and so at epochal's cost. Evaluation is excluded on
both sides, but for `skorch`, which validates unless told otherwise: it is compared with `validating_run`, a run that also
learns from four fifths of the rows and is judged by the last fifth after every epoch; `skorch_bare` does without, as the
others, and has the fused AdamW, as they have. The hand-written loop trains an ensemble as the package makes it, and `loop_same_network` as epochal computes it.
`steps_ratio_to_loop` is the learner's steps alone, and `ratio_to_fused_loop` against the hand-written loop of
someone who knows of the fused AdamW.

On a GPU (--device cuda) threads make no difference: all is measured with one.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import peers
import pyarrow as pa
import torch
from torch import nn

from epochal.core.clock import SystemClock
from epochal.core.settings import parse_project
from epochal.project.runfile import RunSpec
from epochal.runs.follow import Follower
from epochal.runs.keeper import Keeper
from epochal.snapshot.manifest import SnapshotColumn
from epochal.train.device import usable_cores
from epochal.train.families import tabm
from epochal.train.loop import Loop
from epochal.train.make import DenseRows, Made, Prepared, dense_rows, make_learner, prepare
from epochal.train.plan import draft_plan
from epochal.train.rows import Rows, TrainingData
from epochal.train.state import Plan, TrainState


INPUTS, CLASSES, BATCH = 54, 7, 512
EPOCHS = {"mlp": 10, "mlp_dropout": 6, "tabm": 1}
"""Passes over the rows, as many as take some seconds."""

_NEVER = 1_000_000
"""Evaluations without a better one until a run ends early: here all take the same steps."""
OURS = ("run", "steps", "validating_run")

Contender = Callable[[int], float]
"""Trains for so many epochs; samples a second."""
Speeds = Mapping[tuple[str, int], list[float]]
"""Samples a second of a contender at a thread count, one for each repetition."""


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
        keys=pa.chunked_array([pa.array([str(i) for i in range(num_rows)], pa.string())]),
    )


def prepared_rows(num_rows: int, validated: int) -> Prepared:
    """The rows after preparation; so many of them for validation. With none nothing is evaluated."""
    columns = tuple(
        SnapshotColumn(name=f"x{i}", kind="number", type="DOUBLE", missing=0, distinct=num_rows) for i in range(INPUTS)
    )
    return prepare(
        TrainingData(
            task="classification",
            classes=tuple(f"class {c}" for c in range(CLASSES)),
            columns=columns,
            train=made_up_rows(num_rows - validated, 1),
            validation=made_up_rows(validated, 2),
        )
    )


class _Prepared(NamedTuple):
    """Rows that trainings start from."""

    rows: Prepared
    dense: DenseRows

    @classmethod
    def of(cls, num_rows: int, validated: int) -> Self:
        """So many rows, of which some are for validation."""
        rows = prepared_rows(num_rows, validated)
        return cls(rows, dense_rows(rows))

    def made(self, family: str, plan: Plan) -> Made:
        """A fresh learner."""
        return make_learner(self.rows, family, plan, self.dense)


class Bench:
    """One family's trainings, all from the same rows."""

    def __init__(self, name: str, rows: int, device: torch.device) -> None:
        self._family, _, dropout = name.partition("_")
        self._options = {"dropout": 0.1 if dropout else 0.0} if self._family == "mlp" else {}
        self._device = device
        self._bare = _Prepared.of(rows, 0)
        self._validated = _Prepared.of(rows, rows // 5)
        self._x = self._bare.dense.train.numbers.to(device)
        self._y = torch.from_numpy(self._bare.rows.data.train.target).to(device)

    def _plan(self, epochs: int) -> Plan:
        """The family's own defaults at the benchmark's batch size."""
        project = parse_project(
            {
                "name": "bench",
                "model": {"family": self._family, **self._options},
                "train": {
                    "epochs": epochs,
                    "batch_size": BATCH,
                    "devices": [0] if self._device.type == "cuda" else "cpu",
                },
            }
        )
        plan = draft_plan(project, self._family, self._bare.rows)
        return replace(plan, threads=torch.get_num_threads(), patience=_NEVER)

    def peer(self, train: peers.Peer, epochs: int) -> float:
        """Samples a second of another's loop."""
        return self._timed(train, epochs, self._their_network(self._plan(epochs)))

    def validating_peer(self, train: peers.Peer, epochs: int) -> float:
        """The same of one that keeps a fifth of the rows to validate."""
        return self._timed(train, epochs, self._their_network(self._plan(epochs)), validated=len(self._x) // 5)

    def with_our_network(self, train: peers.Peer, epochs: int) -> float:
        """Samples a second of another's loop over the network as epochal computes it."""
        made = self._bare.made(self._family, self._plan(epochs))
        return self._timed(train, epochs, peers.WithoutCodes(made.learner.module))  # type: ignore[attr-defined]

    def _timed(self, train: peers.Peer, epochs: int, module: nn.Module, validated: int = 0) -> float:
        plan = self._plan(epochs)
        job = peers.Job(
            module=module.to(self._device),
            x=self._x,
            y=self._y,
            batch_size=BATCH,
            epochs=epochs,
            learning_rate=plan.learning_rate,
            weight_decay=plan.weight_decay,
            device=self._device,
            validated=validated,
        )
        return job.steps * BATCH / train(job)

    def _their_network(self, plan: Plan) -> nn.Module:
        """As others build it, of the sizes that epochal takes."""
        sizes = dict(plan.options)
        if self._family == "mlp":
            return peers.plain_network(INPUTS, CLASSES, **sizes)
        fitted = tabm.fit(self._bare.dense.train.numbers, sizes)
        bins = list(torch.split(fitted["edges"], fitted["edge_counts"].tolist()))
        if sizes.pop("embeddings") != "piecewise" or len(bins) != INPUTS:
            raise RuntimeError("the ensemble of the comparison is one with all its numbers embedded")
        return peers.package_ensemble(CLASSES, bins, embedding_width=tabm.EMBEDDING_WIDTH, **sizes)

    def steps(self, epochs: int) -> float:
        """Samples a second of the learner alone, in windows as a run takes them."""
        learner = self._bare.made(self._family, self._plan(epochs)).learner
        samples = 0
        with peers.Timed(self._device) as timed:
            while learner.step < learner.total_steps:
                samples += learner.advance(peers.LOG_EVERY).samples
        return samples / timed.seconds

    def run(self, epochs: int) -> float:
        """Samples a second of a whole run that evaluates nothing."""
        return self._run(self._bare, epochs)

    def validating_run(self, epochs: int) -> float:
        """Samples a second of a whole run that is judged after every epoch."""
        return self._run(self._validated, epochs)

    def _run(self, prepared: _Prepared, epochs: int) -> float:
        plan = self._plan(epochs)
        state = TrainState(learner=prepared.made(self._family, plan).learner, plan=plan, metric="accuracy")
        data = prepared.rows.data
        with tempfile.TemporaryDirectory() as folder:
            spec = RunSpec(
                folder=Path(folder),
                name=f"0001-{self._family}",
                project=parse_project({"name": "bench", "train": {"first_checkpoint": "1 s"}}),
                snapshot_id="",
                split_id="",
                created="",
                inputs=(),
            )
            keeper = Keeper(spec.folder, "host")
            follower = Follower(spec.folder)
            loop = Loop(
                spec=spec,
                state=state,
                task=data.task,
                truth=data.validation.target,
                positive=0,
                belongs={},
                clock=SystemClock(),
                look=lambda: "stop" in keeper.poll(),
                take_checkpoint=lambda: "",
            )
            with peers.Timed(self._device) as timed:
                for event in loop.run():
                    keeper.record(event)
                    follower.poll()
            seen = follower.read_all()
            keeper.release()
        if not seen.checkpoints or seen.step != state.learner.total_steps:
            raise RuntimeError(f"the run ended at step {seen.step} with {len(seen.checkpoints)} checkpoints")
        return state.counters.samples / timed.seconds


def compare(
    bench: Bench, others: Mapping[str, Contender], *, epochs: int, repetitions: int, threads: list[int]
) -> dict[str, float]:
    """Median ratios over interleaved repetitions, and the samples a second they come from."""
    contenders: dict[str, Contender] = {"run": bench.run, "steps": bench.steps, **others}
    for contender in contenders.values():
        contender(1)
    speeds: dict[tuple[str, int], list[float]] = {(name, n): [] for n in threads for name in contenders}
    loads: list[float] = []
    for repetition in range(repetitions):
        loads.append(os.getloadavg()[0])
        for (name, n), found in speeds.items():
            torch.set_num_threads(n)
            found.append(contenders[name](epochs))
        told = ", ".join(f"{name} {n} thr. {found[-1]:,.0f}/s" for (name, n), found in speeds.items())
        print(f"repetition {repetition + 1} of {repetitions}, load {loads[-1]:.1f}: {told}", file=sys.stderr)
    torch.set_num_threads(1)
    return {"load": round(statistics.median(loads), 1), **figures(speeds, list(contenders), threads)}


def figures(speeds: Speeds, names: list[str], threads: list[int]) -> dict[str, float]:
    """The ratios and speeds as they are printed."""

    def best(name: str) -> int:
        return max(threads, key=lambda n: statistics.median(speeds[name, n]))

    def ratio(of: str, of_threads: int, to: str, to_threads: int) -> float:
        pairs = zip(speeds[of, of_threads], speeds[to, to_threads], strict=True)
        return round(statistics.median(ours / theirs for ours, theirs in pairs), 3)

    found: dict[str, float] = {}
    for name in names:
        if name in OURS:
            continue
        ours = "validating_run" if name == "skorch" else "run"
        found[f"ratio_to_{name}"] = ratio(ours, 1, name, 1)
        found[f"ratio_to_{name}_best_threads"] = ratio(ours, best(ours), name, best(name))
    found["steps_ratio_to_loop"] = ratio("steps", 1, "loop", 1)
    found["steps_ratio_to_loop_best_threads"] = ratio("steps", best("steps"), "loop", best("loop"))
    for name in names:
        prefix = "" if name == "run" else f"{name}_"
        found[f"{prefix}samples_per_second"] = round(statistics.median(speeds[name, 1]))
        found[f"{prefix}samples_per_second_best_threads"] = round(statistics.median(speeds[name, best(name)]))
        found[f"{prefix}best_threads"] = best(name)
    return found


def others_of(family: str, bench: Bench, libraries: Mapping[str, peers.Peer]) -> dict[str, Contender]:
    """What the family is compared with, and what of epochal's that takes beside a run."""
    found: dict[str, Contender] = {
        "loop": partial(bench.peer, peers.by_hand),
        "fused_loop": partial(bench.peer, peers.by_hand_fused),
    }
    if family == "tabm":
        found["loop_same_network"] = partial(bench.with_our_network, peers.by_hand)
    if family == "mlp":
        found |= {
            name: partial(bench.validating_peer if name == "skorch" else bench.peer, train)
            for name, train in libraries.items()
        }
        if "skorch" in libraries:
            found["validating_run"] = bench.validating_run
    return found


def thread_counts(device: torch.device, most: int) -> list[int]:
    """One, its doubles, and all up to `most` (0: the cores there are); on a GPU one alone."""
    most = 1 if device.type == "cuda" else most or usable_cores()
    return sorted({min(1 << power, most) for power in range(most.bit_length() + 1)})


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0, help="try up to so many (default: all cores)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no GPU here that this torch can use: run it without --device cuda")
    if arguments.rows < BATCH or arguments.repetitions < 1 or arguments.threads < 0:
        parser.error(f"at least {BATCH} rows, one repetition, and 0 threads or more")
    torch.set_num_threads(1)
    device = torch.device("cuda", 0) if arguments.device == "cuda" else torch.device("cpu")
    libraries, missing = peers.installed_peers()
    if missing:
        names = ", ".join(missing)
        print(f"not installed: {names}; pip install -c constraints.txt '.[bench]' to compare them", file=sys.stderr)
    results = {}
    for family, epochs in EPOCHS.items():
        print(f"{family}: at load {os.getloadavg()[0]:.1f}", file=sys.stderr)
        bench = Bench(family, arguments.rows, device)
        results[family] = compare(
            bench,
            others_of(family, bench, libraries),
            epochs=epochs,
            repetitions=arguments.repetitions,
            threads=thread_counts(device, arguments.threads),
        )
    if arguments.json:
        print(json.dumps(results))
    else:
        for family, found in results.items():
            print(family, *(f"  {name}: {value:,}" for name, value in found.items()), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
