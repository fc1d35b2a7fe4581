"""A real training in a real host: killed, resumed, done."""

import os
import signal
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from epochal.core.settings import Columns, Goal, Model, Project, Source, Train
from epochal.project.paths import ProjectPaths
from epochal.runs.control import send
from epochal.runs.follow import Follower, log_lines
from epochal.runs.identity import is_alive, kill
from epochal.runs.launch import make_run, start
from epochal.runs.resume import resume
from epochal.runs.signs import read_sign
from epochal.snapshot.manifest import Snapshot, SnapshotColumn, SplitFile, write_snapshot_manifest, write_split_manifest


NUM_ROWS = 600
PATIENCE_SECONDS = 120.0


def until(follower, condition):
    """Follow until the state is as wanted; a run that failed instead is shown with its log."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        state = follower.read_all()
        if condition(state):
            return state
        if state.status == "failed":
            pytest.fail(f"{state.status_note}\n" + "\n".join(log_lines(follower.folder, 20)))
        time.sleep(0.05)
    return pytest.fail(f"still {state.status} in {state.phase} at step {state.step}")


@pytest.fixture
def spec(tmp_path):
    """A run on two numbers and their class; a checkpoint as often as possible."""
    paths = ProjectPaths(tmp_path)
    snapshot, split = paths.snapshots / "s", paths.splits / "t"
    snapshot.mkdir(parents=True)
    split.mkdir(parents=True)
    rng = np.random.default_rng(0)
    values = rng.normal(size=(NUM_ROWS, 2))
    names = np.where(values.sum(axis=1) + rng.normal(scale=0.3, size=NUM_ROWS) > 0, "up", "down")
    eid = pa.array(range(NUM_ROWS), pa.int64())
    rows = {"_eid": eid, "_key": [f"k{i}" for i in range(NUM_ROWS)], "a": values[:, 0], "b": values[:, 1], "y": names}
    pq.write_table(pa.table(rows), snapshot / "rows-0.parquet")
    columns = [SnapshotColumn(name=n, kind="number", type="DOUBLE", missing=0, distinct=NUM_ROWS) for n in "ab"]
    columns.append(SnapshotColumn(name="y", kind="category", type="VARCHAR", missing=0, distinct=2))
    write_snapshot_manifest(
        snapshot,
        Snapshot(folder=snapshot, id="s", rows=NUM_ROWS, columns=tuple(columns), files=("rows-0.parquet",)),
    )
    part = pa.array([(0, 0, 0, 1, 2)[i % 5] for i in range(NUM_ROWS)], pa.int8())
    pq.write_table(pa.table({"_eid": eid, "part": part}), split / "parts.parquet")
    write_split_manifest(
        split, SplitFile(folder=split, id="t", snapshot_id="s", train=360, validation=120, test=120, fingerprint="f")
    )
    project = Project(
        name="p",
        goal=Goal(task="classification", metric="log_loss"),
        sources=(Source(name="a", uri="a.csv"),),
        columns=Columns(target="y"),
        model=Model(family="mlp", options={"width": 8}),
        train=Train(
            epochs=400, batch_size=16, patience=1000, first_checkpoint="0.1 s", checkpoint_every="0.2 s", devices="cpu"
        ),
    )
    built = {"snapshot_id": "s", "split_id": "t", "inputs": ("a", "b"), "classes": ("down", "up")}
    made = make_run(tmp_path, project, built)
    yield made
    sign = read_sign(made.folder)
    if sign is not None:
        kill(sign.identity, signal.SIGKILL)


def test_a_killed_training_goes_on_from_its_checkpoint_to_the_end(spec):
    follower = Follower(spec.folder)
    start(spec)
    until(follower, lambda s: s.checkpoints and s.step > s.checkpoints[-1].step)
    identity = read_sign(spec.folder).identity
    os.kill(identity.pid, signal.SIGKILL)
    found = until(follower, lambda s: s.status == "interrupted")
    assert found.ended is None
    assert is_alive(identity) is False

    resume(spec.folder)

    ended = until(follower, lambda s: s.status == "done")
    (resumed,) = ended.resumes
    assert resumed.from_step in {c.step for c in found.checkpoints}
    assert ended.step == ended.total_steps
    shown = list(ended.steps.column("step"))
    assert shown == sorted(set(shown))
    assert (ended.damaged, ended.hosts) == (0, 2)
    assert (spec.folder / "bundle" / "bundle.toml").exists()
    assert Follower(spec.folder).read_all().steps.column("loss") == ended.steps.column("loss")


def test_a_stopped_training_has_a_checkpoint_of_its_last_step(spec):
    follower = Follower(spec.folder)
    start(spec)
    until(follower, lambda s: s.status == "running" and s.step)

    send(spec.folder, "stop")

    ended = until(follower, lambda s: s.status == "stopped")
    assert ended.checkpoints[-1].step == ended.step
