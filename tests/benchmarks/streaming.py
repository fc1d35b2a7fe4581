"""How fast epochal trains on rows that do not fit into memory, against the same rows held in memory, in one run.

Made-up rows (numbers, 7 classes) in a snapshot as the data engine writes it. "Data" is what they take as prepared float32
tensors, which is less than any run needs to hold them. A first process trains on a few rows, read in blocks too:
what it takes at its peak is the footprint of libraries and model. The next trains on all rows without a limit, the last under RLIMIT_AS of the
footprint and a quarter of the data. With --json prints one JSON object: `ratio` (samples a second of training, read from
disk against held in memory), `ratio_whole` (of the whole runs, from their start to their end), and of each run its rate,
seconds, peak of address space and of resident memory; `limit_bytes` is what the last was held to.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from epochal.core.settings import parse_project
from epochal.project.paths import ProjectPaths
from epochal.project.runfile import RunSpec, write_run
from epochal.snapshot.manifest import (
    Snapshot,
    SnapshotColumn,
    SplitFile,
    write_snapshot_manifest,
    write_split_manifest,
)


CLASSES = 7
GROUP = 65_536
"""Rows of a row group, as the data engine writes them."""
SHARES = (0.8, 0.1, 0.1)

TRAIN = """
import json, resource, sys, time
limit, folder = int(sys.argv[1]), sys.argv[2]
if limit:
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
started = time.perf_counter()
from pathlib import Path
from epochal.core.events import Noticed, RunEnded
from epochal.project.runfile import read_run
from epochal.train.fit import fit
notices, ended = [], None
for event in fit(read_run(Path(folder)), lambda: ()):
    if isinstance(event, Noticed):
        notices.append(event.text)
    ended = event
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(json.dumps({
    "state": ended.state,
    "samples_per_second": ended.samples_per_second,
    "value": ended.best_value,
    "training_seconds": ended.seconds,
    "seconds": time.perf_counter() - started,
    "address_space_bytes": int(status["VmPeak"].split()[0]) * 1024,
    "resident_bytes": int(status["VmHWM"].split()[0]) * 1024,
    "notices": notices,
}))
"""
"""What each process does: one run, as its host drives it."""


def write_project(folder: Path, rows: int, columns: int) -> None:
    """A snapshot and a split of made-up rows, written a row group at a time."""
    paths = ProjectPaths(folder)
    snapshot, split = paths.snapshots / "snap", paths.splits / "split"
    snapshot.mkdir(parents=True)
    split.mkdir(parents=True)
    weights = np.random.default_rng(0).normal(size=(columns, CLASSES))
    names = [f"x{i}" for i in range(columns)]
    writers: list[pq.ParquetWriter] = []
    counts = np.zeros(3, dtype=np.int64)
    for start in range(0, rows, GROUP):
        rng = np.random.default_rng(start + 1)
        count = min(GROUP, rows - start)
        x = rng.normal(size=(count, columns))
        label = (x @ weights + rng.normal(size=(count, CLASSES))).argmax(axis=1)
        part = rng.choice(3, size=count, p=SHARES).astype(np.int8)
        counts += np.bincount(part, minlength=3)
        eids = np.arange(start, start + count)
        table = pa.table(
            {
                "_eid": eids,
                "_key": pa.array([f"{eid:032x}" for eid in eids]),
                **{name: x[:, i] for i, name in enumerate(names)},
                "label": pa.array([f"class {c}" for c in label]),
            }
        )
        parts = pa.table({"_eid": eids, "part": part})
        if not writers:
            writers = [
                pq.ParquetWriter(snapshot / "rows-0000.parquet", table.schema),
                pq.ParquetWriter(split / "parts.parquet", parts.schema),
            ]
        for writer, piece in zip(writers, (table, parts), strict=True):
            writer.write_table(piece)
    for writer in writers:
        writer.close()
    numbers = [SnapshotColumn(name=n, kind="number", type="DOUBLE", missing=0, distinct=rows) for n in names]
    label_column = SnapshotColumn(name="label", kind="category", type="VARCHAR", missing=0, distinct=CLASSES)
    write_snapshot_manifest(
        snapshot,
        Snapshot(folder=snapshot, id="snap", rows=rows, columns=(*numbers, label_column), files=("rows-0000.parquet",)),
    )
    train, validation, test = counts.tolist()
    write_split_manifest(
        split,
        SplitFile(
            folder=split,
            id="split",
            snapshot_id="snap",
            train=train,
            validation=validation,
            test=test,
            fingerprint="",
        ),
    )


def write_spec(folder: Path, number: int, columns: int, settings: dict[str, Any]) -> Path:
    """A run of a project, ready to be trained."""
    project = parse_project({"name": "bench", "columns": {"target": "label"}, **settings})
    run = ProjectPaths(folder).runs / f"{number:04d}-{project.model.family}"
    run.mkdir(parents=True)
    write_run(
        RunSpec(
            folder=run,
            name=run.name,
            project=project,
            snapshot_id="snap",
            split_id="split",
            created="",
            inputs=tuple(f"x{i}" for i in range(columns)),
            classes=tuple(f"class {c}" for c in range(CLASSES)),
        )
    )
    return run


def train(run: Path, limit: int = 0, pool: str = "") -> dict[str, Any]:
    """One run in a process of its own, its address space limited to so many bytes unless 0."""
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, str(limit), str(run)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "ARROW_DEFAULT_MEMORY_POOL": pool} if pool else None,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-4000:])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(folder: Path, rows: int, columns: int, settings: dict[str, Any], share: float) -> dict[str, Any]:
    """The three runs, and what they say of each other; the last may take `share` of the data."""
    data_bytes = int(rows * (SHARES[0] + SHARES[1]) * columns * 4)
    write_project(folder / "few", 4000, columns)
    write_project(folder / "all", rows, columns)
    tight = {**settings, "train": {**settings["train"], "memory": f"{100 * columns} kB"}}
    few = train(write_spec(folder / "few", 1, columns, tight), pool="system")
    limit = few["address_space_bytes"] + int(share * data_bytes)
    held = train(write_spec(folder / "all", 1, columns, settings))
    read = train(write_spec(folder / "all", 2, columns, settings), limit)
    return {
        "rows": rows,
        "columns": columns,
        "data_bytes": data_bytes,
        "allowed_bytes": int(share * data_bytes),
        "limit_bytes": limit,
        "ratio": round(read["samples_per_second"] / held["samples_per_second"], 3),
        "ratio_whole": round(held["seconds"] / read["seconds"], 3),
        "few": few,
        "held": held,
        "read": read,
    }


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--rows", type=int, default=1_500_000)
    parser.add_argument("--columns", type=int, default=54)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--family", default="mlp", choices=("linear", "mlp", "tabm", "trees"))
    parser.add_argument("--share", type=float, default=0.25, help="of the data, what the last run may take")
    arguments = parser.parse_args()
    settings = {
        "model": {"family": arguments.family},
        "train": {"epochs": arguments.epochs, "batch_size": 512, "devices": "cpu"},
    }
    with tempfile.TemporaryDirectory() as folder:
        found = compare(Path(folder), arguments.rows, arguments.columns, settings, arguments.share)
    if arguments.json:
        print(json.dumps(found))
    else:
        for name, value in found.items():
            print(f"{name}: {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
