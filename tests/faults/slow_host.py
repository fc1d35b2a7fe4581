"""A host whose training is small and slow: EPOCHAL_STEPS steps of EPOCHAL_PAUSE seconds, a checkpoint every ten.

The checkpoint is the number of the step; a resumed training goes on from it. With EPOCHAL_FAULT it breaks ("raise") or
never comes to its first step ("hang"), or never from its last step to its end ("never-ends"), or takes the run only
after four seconds ("late"). Everything else is the real host.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

from epochal import fsio, host
from epochal.core.events import (
    CheckpointSaved,
    EpochDone,
    Event,
    PhaseStarted,
    Resumed,
    RunEnded,
    StepsDone,
)
from epochal.project.runfile import RunSpec
from epochal.runs.thread_host import Poll, Training
from epochal.testing import training_started


def stay(fault: str) -> None:
    """For ever, when that fault is asked for."""
    while fault in os.environ.get("EPOCHAL_FAULT", ""):
        time.sleep(0.001)


def slow(spec: RunSpec, _way: str = "exactly") -> Training:
    num_steps = int(os.environ.get("EPOCHAL_STEPS", "40"))
    time.sleep(4.0 * ("late" in os.environ.get("EPOCHAL_FAULT", "")))
    pause = float(os.environ.get("EPOCHAL_PAUSE", "0.02"))
    folder = spec.folder / "checkpoints"

    def events(poll: Poll) -> Iterator[Event]:
        if "hang" in os.environ.get("EPOCHAL_FAULT", ""):
            yield PhaseStarted(name="preparing", detail="reading model.py:Net")
            stay("hang")
        yield PhaseStarted(name="training")
        started = sorted(folder.glob("step-*"))
        step = int(started[-1].read_text()) if started else 0
        if started:
            yield Resumed(from_step=step, folder=f"checkpoints/{started[-1].name}")
        yield replace(training_started(epochs=num_steps // 10, steps_per_epoch=10), resumed_from_step=step)
        while step < num_steps:
            asked = poll()
            if "raise" in os.environ.get("EPOCHAL_FAULT", ""):
                raise ZeroDivisionError("the training broke")
            time.sleep(pause)
            step += 1
            yield StepsDone(
                step=step,
                epoch=step / 10,
                count=1,
                loss=1 / step,
                loss_min=0,
                loss_max=1,
                learning_rate=0.1,
                samples_per_second=1 / max(pause, 1e-6),
                seconds=step * pause,
            )
            if step % 10 == 0 or {"stop", "checkpoint"} & set(asked):
                folder.mkdir(exist_ok=True)
                fsio.write_text(folder / f"step-{step:06d}", str(step))
                yield CheckpointSaved(step=step, epoch=step / 10, folder=f"checkpoints/step-{step:06d}", sha256="0")
            if step % 10 == 0:
                yield EpochDone(
                    step=step,
                    epoch=step / 10,
                    train_loss=1 / step,
                    validation_loss=1 / step,
                    metrics={"accuracy": step / 100},
                    value=step / 100,
                    best=True,
                    seconds=step * pause,
                )
            if "stop" in asked:
                yield RunEnded(
                    state="stopped", reason="asked to stop", steps=step, epochs=step / 10, seconds=step * pause
                )
                return
        stay("never-ends")
        yield RunEnded(
            state="done",
            reason="finished",
            best_value=num_steps / 100,
            best_step=num_steps,
            steps=num_steps,
            epochs=num_steps / 10,
            seconds=num_steps * pause,
            samples_per_second=1.0,
        )

    return events


if __name__ == "__main__":
    host.START_SECONDS = float(os.environ.get("EPOCHAL_START_SECONDS", host.START_SECONDS))
    sys.exit(host.main(training=slow))
