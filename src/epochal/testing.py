"""For tests, ours and our users': what a screen shows as text, waiting for conditions, small projects and runs."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from epochal.core.clock import Clock
from epochal.core.events import (
    BaselineDone,
    CheckpointSaved,
    EpochDone,
    Event,
    HostStarted,
    PhaseStarted,
    RunEnded,
    StepsDone,
    TrainingStarted,
)
from epochal.core.settings import Columns, Goal, Model, Project, Source, SplitSettings, Train
from epochal.journal.record import Record
from epochal.journal.reduce import RunState, reduce_all
from epochal.project.file import ProjectFile, create_project
from epochal.project.runfile import RunSpec, write_run


if TYPE_CHECKING:
    from textual.app import App
    from textual.pilot import Pilot


@dataclass
class FakeClock:
    """A clock that a test moves."""

    seconds: float = 0.0
    start: datetime = datetime(2026, 11, 22, 13, 2, 31, tzinfo=UTC)

    def monotonic(self) -> float:
        """Seconds since the test began."""
        return self.seconds

    def now(self) -> datetime:
        """The wall clock at that moment."""
        return self.start + timedelta(seconds=self.seconds)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.seconds += seconds


def screen_text(app: App[object]) -> str:
    """What the app's screen shows, as plain text without trailing spaces."""
    from epochal.tui.private import screen_lines

    return "\n".join(screen_lines(app.screen)) + "\n"


async def until(condition: Callable[[], object], pilot: Pilot[object], *, seconds: float = 15.0) -> None:
    """Wait until something holds, letting the app work. Raises AssertionError with the screen when it never does."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not condition():
        if loop.time() > deadline:
            raise AssertionError(f"it never came to hold; the screen shows:\n{screen_text(pilot.app)}")
        await pilot.pause(0.02)


PENGUINS = ("Adelie", "Chinstrap", "Gentoo")

SPECIES = "species"


def tiny_rows(num_rows: int = 90) -> list[tuple[str, ...]]:
    """A small table with its header: island, bill, mass, species; the species follows from the numbers."""
    rows: list[tuple[str, ...]] = [("island", "bill", "mass", SPECIES)]
    for n in range(num_rows):
        kind = n % 3
        bill = 38 + 5 * kind + (n * 7 % 11) / 5
        mass = 3600 + 700 * (kind == 2) + (n * 13 % 17) * 20
        rows.append((("Torgersen", "Dream", "Biscoe")[n // 3 % 3], f"{bill:.1f}", f"{mass:.0f}", PENGUINS[kind]))
    return rows


def write_csv(path: Path, rows: Iterable[tuple[str, ...]]) -> Path:
    """Write rows of plain fields as a CSV file."""
    path.write_text("".join(",".join(row) + "\n" for row in rows), encoding="utf-8")
    return path


def tiny_project(folder: Path, *, family: str = "linear", name: str = "penguins") -> ProjectFile:
    """A project on `tiny_rows`, made in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(folder / "penguins.csv", tiny_rows())
    project = Project(
        name=name,
        goal=Goal(question="Which species is this penguin?", metric="accuracy", at_least=0.95),
        sources=(Source(name="penguins", uri="penguins.csv", licence="CC0-1.0", personal_data="none"),),
        columns=Columns(target=SPECIES),
        split=SplitSettings(kind="stratified"),
        model=Model(family=family),
        train=Train(epochs=50, budget="30 s"),
    )
    return create_project(folder, project)


def tiny_run(
    file: ProjectFile, *, number: int = 1, family: str = "", ledger: dict[str, object] | None = None
) -> RunSpec:
    """A run of a tiny project, with its run.toml and nothing else."""
    family = family or file.project.model.family
    folder = file.folder / "runs" / f"{number:04}-{family}"
    folder.mkdir(parents=True)
    spec = RunSpec(
        folder=folder,
        name=folder.name,
        project=replace(file.project, model=Model(family=family)),
        snapshot_id="0" * 16,
        split_id="1" * 16,
        created="2026-11-22T13:02:31Z",
        inputs=("island", "bill", "mass"),
        classes=PENGUINS,
        ledger=ledger or {},
    )
    write_run(spec)
    return spec


def training_started(*, epochs: int = 50, steps_per_epoch: int = 60) -> TrainingStarted:
    """What a small classification says before its first step."""
    return TrainingStarted(
        task="classification",
        metric="accuracy",
        epochs=epochs,
        steps_per_epoch=steps_per_epoch,
        batch_size=32,
        learning_rate=0.002,
        precision="float32",
        device="cpu",
        threads=1,
        rows_train=1920,
        rows_validation=270,
        parameters=212_000,
    )


def fold(*events: Event, state: RunState | None = None) -> RunState:
    """A run's state after these events."""
    state = state or RunState()
    first = state.last_n + 1
    return reduce_all(state, [Record(first + i, e.kind, 0, f"t{first + i}", e) for i, e in enumerate(events)])


def run_events(
    *, epochs: int = 50, until_epoch: int = 29, steps_per_epoch: int = 60, end: bool = False
) -> Iterator[Event]:
    """What a well-behaved run says: a falling loss, an accuracy that rises to 0.985, two baselines."""
    yield HostStarted(
        host="detached",
        pid=4242,
        machine="gpu-box",
        device="cpu",
        survives="outlives the workbench, the terminal and the connection; not a reboot",
    )
    yield PhaseStarted(name="reading")
    yield PhaseStarted(name="baselines")
    yield BaselineDone(name="trivial", title="most frequent class", metrics={"accuracy": 0.437}, seconds=0.01)
    yield BaselineDone(name="strong", title="LightGBM defaults", metrics={"accuracy": 0.971}, seconds=0.4)
    yield PhaseStarted(name="training")
    yield training_started(epochs=epochs, steps_per_epoch=steps_per_epoch)
    best = 0.0
    for epoch in range(until_epoch):
        for part in range(4):
            step = epoch * steps_per_epoch + (part + 1) * steps_per_epoch // 4
            loss = 1.08 * math.exp(-step / 420) + 0.06 + 0.02 * math.sin(step * 1.7)
            yield StepsDone(
                step=step,
                epoch=step / steps_per_epoch,
                count=steps_per_epoch // 4,
                loss=loss,
                loss_min=loss - 0.02,
                loss_max=loss + 0.02,
                learning_rate=0.002 * math.sin(math.pi * step / (epochs * steps_per_epoch)),
                grad_norm=0.4 + loss,
                samples_per_second=11_800,
                seconds=step * 0.01725,
            )
        step = (epoch + 1) * steps_per_epoch
        value = round(0.985 - 0.4 * math.exp(-epoch / 5), 3) if epoch <= 20 else 0.98
        better = value > best
        best = max(best, value)
        yield EpochDone(
            step=step,
            epoch=epoch + 1.0,
            train_loss=1.08 * math.exp(-step / 420) + 0.06,
            validation_loss=1.02 * math.exp(-step / 460) + 0.11 + max(0, epoch - 20) * 0.004,
            metrics={"accuracy": value},
            value=value,
            best=better,
            seconds=step * 0.01725,
        )
        if epoch == 10:
            yield CheckpointSaved(step=step, epoch=epoch + 1.0, folder="checkpoints/000660", sha256="0" * 64, best=True)
    if end:
        yield RunEnded(
            state="done",
            reason="finished",
            best_value=best,
            best_step=21 * steps_per_epoch,
            steps=until_epoch * steps_per_epoch,
            epochs=float(until_epoch),
            seconds=until_epoch * steps_per_epoch * 0.01725,
            samples_per_second=11_800,
        )


@contextmanager
def kept_run(spec: RunSpec, events: Iterable[Event], *, clock: Clock | None = None) -> Iterator[Callable[[Event], int]]:
    """A run whose host is this process: the events are in its journal; inside, more can be recorded by the yielded call."""
    from epochal.runs.keeper import Keeper

    keeper = Keeper(spec.folder, "host", clock=clock)
    try:
        for event in events:
            keeper.record(event)
        yield keeper.record
    finally:
        keeper.release()
