"""What it costs to write a journal and to watch a run.

Writes a run of many windows, reads and reduces it anew, then follows it as a screen does. Times are those of the
processor, so that a busy machine changes them little; waiting for the disk is not in them. Run by hand:

    python tests/benchmarks/watching.py [--json] [--records N]
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import tempfile
import time
from pathlib import Path

from epochal.core.events import CheckpointSaved, EpochDone, HostStarted, RunEnded, StepsDone, TrainingStarted
from epochal.core.settings import Model, Project, Source
from epochal.journal.append import JournalWriter
from epochal.journal.reduce import RunState, reduce_all
from epochal.journal.tail import Tail
from epochal.runs.follow import Follower
from epochal.runs.launch import make_run
from epochal.runs.state import list_runs


RECORDS_PER_SECOND = 10
"""The most a training writes."""

BUILT = {"snapshot_id": "s", "split_id": "t", "inputs": ("a",)}
PROJECT = Project(name="p", sources=(Source(name="a", uri="a.csv"),), model=Model(family="mlp"))


def window(step: int) -> StepsDone:
    """A window of 20 steps, with figures as long as real ones."""
    return StepsDone(
        step=step * 20,
        epoch=step / 7,
        count=20,
        loss=1.2345678901 / step,
        loss_min=1.1345678901 / step,
        loss_max=1.3345678901 / step,
        learning_rate=0.001 / (1 + step),
        grad_norm=1 / 3 / step,
        samples_per_second=123_456.789 + step,
        seconds=step / RECORDS_PER_SECOND,
    )


def write(folder: Path, num_records: int) -> float:
    """Write a whole run; microseconds a record."""
    writer = JournalWriter(folder)
    writer.append(HostStarted(host="detached", pid=1, machine="m", device="cpu", survives="all"))
    writer.append(
        TrainingStarted(
            task="classification", metric="accuracy", epochs=100, steps_per_epoch=100, batch_size=512,
            learning_rate=0.001, precision="float32", device="cpu", threads=1, rows_train=100_000, rows_validation=1000,
            parameters=10_000,
        )
    )  # fmt: skip
    started = time.process_time()
    for step in range(1, num_records + 1):
        writer.append(window(step))
        if step % 1000 == 0:
            metrics = {"accuracy": 0.9, "log_loss": 0.3}
            writer.append(
                EpochDone(
                    step=step * 20, epoch=step / 7, train_loss=0.3, validation_loss=0.4, metrics=metrics, value=0.9,
                    best=True, seconds=step / 10,
                )
            )  # fmt: skip
            writer.append(
                CheckpointSaved(step=step, epoch=step / 7, folder=f"checkpoints/step-{step}", sha256="0" * 64)
            )
    seconds = time.process_time() - started
    writer.append(RunEnded(state="done", reason="finished", steps=num_records * 20))
    writer.close()
    return seconds / num_records * 1e6


def read(folder: Path) -> dict[str, float]:
    """Read and reduce it anew, as a workbench does that is opened on a long run."""
    tail, state = Tail(folder), RunState()
    looks: list[float] = []
    more = True
    while more:
        started = time.process_time()
        batch = tail.read()
        state = reduce_all(state, batch.records, damaged=batch.damaged)
        more = batch.more
        looks.append(time.process_time() - started)
    return {
        "records": state.records,
        "damaged": state.damaged,
        "bytes": tail.bytes_read,
        "bytes_per_record": tail.bytes_read / state.records,
        "events_per_second": state.records / sum(looks),
        "seconds": sum(looks),
        "longest_look_ms": max(looks) * 1e3,
    }


def follow(folder: Path) -> dict[str, float]:
    """Look again and again, as a screen does, at nothing new and at a second's worth of records."""
    follower = Follower(folder)
    follower.read_all()
    idle = [_timed(follower) for _ in range(300)]
    writer = JournalWriter(folder)
    busy = []
    for look in range(100):
        for part in range(RECORDS_PER_SECOND):
            writer.append(window(10_000_000 + look * RECORDS_PER_SECOND + part))
        busy.append(_timed(follower))
    writer.close()
    return {"idle_look_us": statistics.median(idle) * 1e6, "busy_look_us": statistics.median(busy) * 1e6}


def _timed(follower: Follower) -> float:
    started = time.process_time()
    follower.poll()
    return time.process_time() - started


def measure(num_records: int) -> dict[str, float]:
    """All figures."""
    with tempfile.TemporaryDirectory() as temporary:
        project = Path(temporary)
        runs = [make_run(project, PROJECT, BUILT) for _ in range(50)]
        folder = runs[0].folder
        append_us = write(folder, num_records)
        started = time.process_time()
        listed = len(list_runs(project))
        listing = time.process_time() - started
        started = time.process_time()
        list_runs(project)
        again = time.process_time() - started
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        figures = read(folder)
        memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
        figures |= follow(folder)
    return {
        "append_us": append_us,
        "share_of_training": append_us * RECORDS_PER_SECOND / 1e6,
        **figures,
        "reader_memory_bytes": memory,
        "runs_listed": listed,
        "list_runs_ms": listing * 1e3,
        "list_runs_again_ms": again * 1e3,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000, help="windows in the run (10 are a second)")
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    asked = parser.parse_args()
    figures = measure(asked.records)
    if asked.json:
        print(json.dumps({name: round(value, 4) for name, value in figures.items()}))
        return
    for name, value in figures.items():
        print(f"{name:>20}  {value:,.4g}" if value < 1 else f"{name:>20}  {value:,.1f}")


if __name__ == "__main__":
    main()
