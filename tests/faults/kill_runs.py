"""Kill runs again and again, also while a checkpoint is being written, and compare how they end with a run left alone.

    python tests/faults/kill_runs.py --kills 200 --json

Real hosts, SIGKILL, real resumes. A run ends well when every file of its model and the weights of its last checkpoint are
the golden run's, byte for byte; after every kill the newest checkpoint that the journal told of must be whole.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from epochal.core.settings import Columns, Goal, Model, Project, Source, Train
from epochal.journal.reduce import RunState, reduce_all
from epochal.journal.tail import read_journal
from epochal.journal.told import told_of
from epochal.project.checkpoints import checkpoints_of, is_whole
from epochal.project.code import read_code
from epochal.project.paths import ProjectPaths
from epochal.project.runfile import RunSpec
from epochal.project.trust import trust
from epochal.runs.follow import Follower, log_lines
from epochal.runs.identity import is_alive, kill
from epochal.runs.launch import make_run, start
from epochal.runs.resume import resume
from epochal.runs.signs import read_sign
from epochal.runs.state import run_info
from epochal.snapshot.manifest import Snapshot, SnapshotColumn, SplitFile, write_snapshot_manifest, write_split_manifest


NUM_ROWS = 600
PATIENCE_SECONDS = 600.0
NEVER = 1_000_000


OWN = """
import random

import torch
from torch import nn
from torch.nn import functional


class Net(nn.Module):
    def __init__(self, spec):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(spec.numbers, 16), nn.BatchNorm1d(16), nn.Dropout(0.3), nn.ReLU())
        self.last, self.slope = nn.Linear(16, spec.outputs), nn.Parameter(torch.ones(1))
        self.register_buffer("met", torch.zeros(1))
        self.register_buffer("calls", torch.zeros(1, dtype=torch.int16))
        self.centre = nn.Parameter(torch.zeros(spec.numbers), requires_grad=False)

    def forward(self, batch):
        hidden = self.body(batch["numbers"] - self.centre)
        if self.training:
            self.calls += 1
            self.centre.lerp_(batch["numbers"].mean(dim=0), 0.1)
            hidden = hidden * (1 + 0.1 * random.gauss() + 0.1 * torch.tanh(self.met))
            self.met += 0.01 * hidden.detach().mean()
        return self.last(hidden)

    def loss(self, output, batch):
        return functional.cross_entropy(output * self.slope, batch["target"])
"""
"""Its steps change buffers and a frozen weight, draw from two generators, and have a weight in the loss alone."""


@dataclass(frozen=True)
class Kind:
    """A run that is small, and busy for some seconds."""

    family: str
    options: dict[str, float]
    epochs: int
    patience: int = NEVER


KINDS = {
    "linear": Kind("linear", {}, 4000),
    "mlp": Kind("mlp", {"width": 8}, 1500),
    "mlp-early": Kind("mlp", {"width": 8, "dropout": 0.0}, 3000, patience=600),
    "tabm": Kind("tabm", {"width": 8, "members": 2}, 700),
    "own": Kind("own", {}, 1000),
    "trees": Kind("trees", {"leaves": 4, "row_share": 0.8}, 300),
    "trees-whole": Kind("trees", {"leaves": 4}, 300),
}
"""`mlp-early` ends by itself before its last step; `trees` sample rows and are grown again, `trees-whole` are gone on from."""
MOMENTS = ("saving", "training", "saving", "anywhen", "ending")
"""When the host is killed, in turn: a temporary folder of a checkpoint is there; steps are taken; at any moment; all steps
are taken and the model is about to be kept."""


@dataclass
class Report:
    """What happened."""

    kills: int = 0
    inside_a_checkpoint: int = 0
    """Kills that left a checkpoint half written."""
    before_training: int = 0
    at_the_end: int = 0
    """Kills after the last step."""
    runs: dict[str, int] = field(default_factory=dict)
    """By kind, those that came to their end."""
    differ: list[str] = field(default_factory=list)
    """Runs that did not end as the golden one did."""
    lost: list[str] = field(default_factory=list)
    """Checkpoints or records that were acknowledged and not there after a kill."""
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        """Whether nothing was lost and every run ended as if it had been left alone."""
        return not self.differ and not self.lost


def write_rows(folder: Path) -> None:
    """A snapshot of two numbers and their class, split three, one and one fifth."""
    paths = ProjectPaths(folder)
    snapshot, split = paths.snapshots / "s", paths.splits / "t"
    snapshot.mkdir(parents=True)
    split.mkdir(parents=True)
    rng = np.random.default_rng(0)
    values = rng.normal(size=(NUM_ROWS, 2))
    names = np.where(values.sum(axis=1) + rng.normal(scale=0.6, size=NUM_ROWS) > 0, "up", "down")
    eid = pa.array(range(NUM_ROWS), pa.int64())
    rows = {"_eid": eid, "_key": [f"k{i}" for i in range(NUM_ROWS)], "a": values[:, 0], "b": values[:, 1], "y": names}
    pq.write_table(pa.table(rows), snapshot / "rows-0.parquet")
    columns = [SnapshotColumn(name=n, kind="number", type="DOUBLE", missing=0, distinct=NUM_ROWS) for n in "ab"]
    columns.append(SnapshotColumn(name="y", kind="category", type="VARCHAR", missing=0, distinct=2))
    whole = Snapshot(folder=snapshot, id="s", rows=NUM_ROWS, columns=tuple(columns), files=("rows-0.parquet",))
    write_snapshot_manifest(snapshot, whole)
    part = pa.array([(0, 0, 0, 1, 2)[i % 5] for i in range(NUM_ROWS)], pa.int8())
    pq.write_table(pa.table({"_eid": eid, "part": part}), split / "parts.parquet")
    parts = SplitFile(folder=split, id="t", snapshot_id="s", train=360, validation=120, test=120, fingerprint="f")
    write_split_manifest(split, parts)


def own_model(folder: Path) -> Model:
    """A model of one's own, written into the project's folder and trusted."""
    (folder / "net.py").write_text(OWN)
    trust(folder, read_code(folder))
    return Model(family="own", options={"module": "net.py:Net"})


def new_run(folder: Path, name: str) -> RunSpec:
    """A run of a kind on those rows, which writes a checkpoint as often as it can."""
    kind = KINDS[name]
    options = {**kind.options, "rounds": kind.epochs} if kind.family == "trees" else kind.options
    project = Project(
        name="p",
        goal=Goal(task="classification", metric="log_loss"),
        sources=(Source(name="a", uri="a.csv"),),
        columns=Columns(target="y"),
        model=own_model(folder) if kind.family == "own" else Model(family=kind.family, options=options),
        train=Train(
            epochs=kind.epochs,
            batch_size=32,
            patience=kind.patience,
            first_checkpoint="0.05 s",
            checkpoint_every="0.1 s",
            devices="cpu",
        ),
    )
    return make_run(
        folder, project, {"snapshot_id": "s", "split_id": "t", "inputs": ("a", "b"), "classes": ("down", "up")}
    )


def ending_of(spec: RunSpec) -> dict[str, str]:
    """What a run left: sha256 of every file of its model that does not name the run, and of its last weights."""
    found = {
        str(path.relative_to(spec.folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((spec.folder / "bundle").rglob("*"))
        if path.is_file() and path.suffix != ".toml"
    }
    last = checkpoints_of(spec.folder)[-1]
    return {**found, f"weights of step {last.step}": last.weights}


def state_of(spec: RunSpec) -> RunState:
    """The whole journal."""
    return reduce_all(RunState(), read_journal(spec.folder))


def wait_for_end(spec: RunSpec) -> None:
    """Follow a run to `done`."""
    follower = Follower(spec.folder)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (state := follower.read_all()).status != "done":
        if state.status in {"failed", "diverged", "interrupted"} or time.monotonic() > deadline:
            raise AssertionError(f"{state.status}: {state.status_note}\n" + "\n".join(log_lines(spec.folder, 20)))
        time.sleep(0.05)


def half_written(spec: RunSpec) -> set[str]:
    """The checkpoints of which only a temporary folder is there."""
    return {p.name for p in (spec.folder / "checkpoints").glob(".step-*.tmp")}


def wait_while_alive(spec: RunSpec, comes: Callable[[], object], deadline: float) -> None:
    """Return when it comes, or when the host is gone."""
    while time.monotonic() < deadline and is_alive(read_sign(spec.folder).identity) and not comes():
        time.sleep(0.002)


def wait_for(spec: RunSpec, moment: str, chance: random.Random) -> None:
    """Return at a moment to kill, or when the run is over."""
    if moment == "anywhen":
        time.sleep(chance.uniform(0, 3))
        return
    follower, before = Follower(spec.folder), half_written(spec)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        state = follower.read_all()
        if state.status not in {"starting", "running"}:
            return
        if state.training is not None and state.phase == "training" and state.hosts and state.ended is None:
            break
        time.sleep(0.01)
    if moment == "training":
        time.sleep(chance.uniform(0, 1.5))
        return
    comes: Callable[[], object]
    if moment == "ending":
        comes, late = lambda: follower.read_all().phase != "training", 0.05
    else:
        comes, late = lambda: half_written(spec) - before, 0.01
        time.sleep(chance.uniform(0, 0.5))
    wait_while_alive(spec, comes, deadline)
    time.sleep(chance.uniform(0, late))


def kill_once(spec: RunSpec, moment: str, chance: random.Random, report: Report) -> bool:
    """Kill the run's host at a moment; False when it was over before. Notes what was lost."""
    before = half_written(spec)
    wait_for(spec, moment, chance)
    identity = read_sign(spec.folder).identity
    if not kill(identity, signal.SIGKILL):
        return False
    while is_alive(identity):
        time.sleep(0.005)
    if run_info(spec.folder).status == "done":
        return False
    state = state_of(spec)
    report.kills += 1
    report.inside_a_checkpoint += bool(half_written(spec) - before)
    report.before_training += state.phase != "training" and moment != "ending"
    report.at_the_end += state.phase != "training" and moment == "ending"
    told = told_of(spec.folder).checkpoints
    if told and not is_whole(spec.folder / "checkpoints" / f"step-{max(told):08d}"):
        report.lost.append(f"{spec.name}: the checkpoint of step {max(told)}")
    if state.damaged:
        report.lost.append(f"{spec.name}: {state.damaged} records")
    return True


def kill_runs(folder: Path, kills: int, kinds: tuple[str, ...] = tuple(KINDS), seed: int = 0) -> Report:
    """Kill hosts so many times, each run being resumed until it ends, and compare the ends."""
    chance = random.Random(seed)
    report, began = Report(), time.monotonic()
    write_rows(folder)
    golden: dict[str, dict[str, str]] = {}
    while report.kills < kills:
        for kind in kinds:
            if kind not in golden:
                spec = new_run(folder, kind)
                start(spec)
                wait_for_end(spec)
                golden[kind] = ending_of(spec)
            spec = new_run(folder, kind)
            start(spec)
            turn = chance.randrange(len(MOMENTS))
            while report.kills < kills and kill_once(spec, MOMENTS[turn % len(MOMENTS)], chance, report):
                turn += 1
                resume(spec.folder)
            wait_for_end(spec)
            report.runs[kind] = report.runs.get(kind, 0) + 1
            if ending_of(spec) != golden[kind]:
                report.differ.append(spec.name)
            if report.kills >= kills:
                break
    report.seconds = time.monotonic() - began
    return report


def main() -> int:
    """Kill, and say what came of it; 1 when anything was lost or differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=tuple(KINDS))
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as config:
        os.environ["XDG_CONFIG_HOME"] = config  # for the list of what is trusted
        report = kill_runs(Path(folder), asked.kills, tuple(asked.kinds), asked.seed)
    if asked.json:
        print(json.dumps(asdict(report)))
    else:
        print(
            f"{report.kills} kills in {report.seconds:.0f} s, {report.inside_a_checkpoint} inside a checkpoint, "
            f"{report.before_training} before training, {report.at_the_end} after the last step; {sum(report.runs.values())} runs came to their end, "
            f"{len(report.differ)} otherwise than the one left alone; {len(report.lost)} acknowledged things lost"
        )
    return 0 if report.good else 1


if __name__ == "__main__":
    sys.exit(main())
