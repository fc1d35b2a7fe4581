"""Kill runs again and again, also while a checkpoint is being written, and compare how they end with a run left alone.

    python tests/faults/kill_runs.py --kills 200 --json

Real hosts, SIGKILL, real resumes. A run ends well when every file of its model and the weights of its last checkpoint are
the golden run's, byte for byte; after every kill the newest checkpoint that the journal told of must be whole.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import signal
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from epochal.core.settings import Columns, Goal, Model, Project, Source, Train
from epochal.journal.reduce import RunState, reduce_all
from epochal.journal.tail import read_journal
from epochal.journal.told import checkpoints_told
from epochal.project.checkpoints import checkpoints_of, is_whole
from epochal.project.paths import ProjectPaths
from epochal.project.runfile import RunSpec
from epochal.runs.follow import Follower, log_lines
from epochal.runs.identity import is_alive, kill
from epochal.runs.launch import make_run, start
from epochal.runs.resume import resume
from epochal.runs.signs import read_sign
from epochal.runs.state import run_info
from epochal.snapshot.manifest import Snapshot, SnapshotColumn, SplitFile, write_snapshot_manifest, write_split_manifest


NUM_ROWS = 600
PATIENCE_SECONDS = 600.0
FAMILIES = {
    "linear": ({}, 4000),
    "mlp": ({"width": 8}, 1500),
    "tabm": ({"width": 8, "members": 2}, 700),
    "trees": ({"leaves": 4, "row_share": 0.8}, 300),
}
"""Settings that make a family small, and passes that keep it busy for some seconds."""
MOMENTS = ("saving", "training", "saving", "anywhen")
"""When the host is killed, in turn: a temporary folder of a checkpoint is there; steps are taken; at any moment."""


@dataclass
class Report:
    """What happened."""

    kills: int = 0
    inside_a_checkpoint: int = 0
    """Kills that left a checkpoint half written."""
    before_training: int = 0
    runs: dict[str, int] = field(default_factory=dict)
    """By family, those that came to their end."""
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


def new_run(folder: Path, family: str) -> RunSpec:
    """A run of a family on those rows, which writes a checkpoint as often as it can."""
    options, epochs = FAMILIES[family]
    if family == "trees":
        options = {**options, "rounds": epochs}
    project = Project(
        name="p",
        goal=Goal(task="classification", metric="log_loss"),
        sources=(Source(name="a", uri="a.csv"),),
        columns=Columns(target="y"),
        model=Model(family=family, options=options),
        train=Train(
            epochs=epochs,
            batch_size=32,
            patience=1_000_000,
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
    time.sleep(chance.uniform(0, 0.5))
    while time.monotonic() < deadline and is_alive(read_sign(spec.folder).identity):
        if half_written(spec) - before:
            time.sleep(chance.uniform(0, 0.01))
            return


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
    report.before_training += state.phase != "training"
    told = checkpoints_told(spec.folder)
    if told and not is_whole(spec.folder / "checkpoints" / f"step-{max(told):08d}"):
        report.lost.append(f"{spec.name}: the checkpoint of step {max(told)}")
    if state.damaged:
        report.lost.append(f"{spec.name}: {state.damaged} records")
    return True


def kill_runs(folder: Path, kills: int, families: tuple[str, ...] = tuple(FAMILIES), seed: int = 0) -> Report:
    """Kill hosts so many times, each run being resumed until it ends, and compare the ends."""
    chance = random.Random(seed)
    report, began = Report(), time.monotonic()
    write_rows(folder)
    golden: dict[str, dict[str, str]] = {}
    while report.kills < kills:
        for family in families:
            if family not in golden:
                spec = new_run(folder, family)
                start(spec)
                wait_for_end(spec)
                golden[family] = ending_of(spec)
            spec = new_run(folder, family)
            start(spec)
            turn = chance.randrange(len(MOMENTS))
            while report.kills < kills and kill_once(spec, MOMENTS[turn % len(MOMENTS)], chance, report):
                turn += 1
                resume(spec.folder)
            wait_for_end(spec)
            report.runs[family] = report.runs.get(family, 0) + 1
            if ending_of(spec) != golden[family]:
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
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=tuple(FAMILIES))
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = kill_runs(Path(folder), asked.kills, tuple(asked.families), asked.seed)
    if asked.json:
        print(json.dumps(asdict(report)))
    else:
        print(
            f"{report.kills} kills in {report.seconds:.0f} s, {report.inside_a_checkpoint} inside a checkpoint, "
            f"{report.before_training} before training; {sum(report.runs.values())} runs came to their end, "
            f"{len(report.differ)} otherwise than the one left alone; {len(report.lost)} acknowledged things lost"
        )
    return 0 if report.good else 1


if __name__ == "__main__":
    sys.exit(main())
