"""What a run needs where its rows are read from disk in blocks: all that is otherwise taken from tensors in memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from epochal import fsio
from epochal.core.events import Event, PhaseStarted, Waiting
from epochal.core.split import Part
from epochal.project.paths import ProjectPaths
from epochal.show import grouped
from epochal.train.blocks import Source, read_blocks
from epochal.train.feed import num_batches
from epochal.train.holding import Sizes
from epochal.train.objective import Target, class_weights_of
from epochal.train.order import balanced_rows
from epochal.train.prepare import Preparation, Raw
from epochal.train.rows import Rows, TrainingData
from epochal.train.scratch import PreparedRows, key_of, layout_of, open_prepared, write_prepared
from epochal.train.state import Plan
from epochal.train.stream import StreamedFeed, StreamedRows
from epochal.train.survey import TargetSeen, survey_of
from epochal.train.windows import Windows


Look = Callable[[], bool]
"""Whether the run was asked to stop."""

_TELL_SECONDS = 2.0
_WAIT_SECONDS = 0.2
_JUDGED_AT_ONCE = 1024
"""Rows that are judged at once, unless a batch is larger: training had to have room for a batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Streamed:
    """Rows that are not in memory, and what is known of all of them."""

    source: Source
    sizes: Sizes
    seen: TargetSeen
    gaps: frozenset[str]
    """Columns that were missing in some training row."""
    truth: np.ndarray
    """The target of every validation row."""
    files: PreparedRows | None = None
    """The prepared rows, once they are written: networks learn from them."""

    def rows_of(self, part: Part, *, inputs: bool = True) -> Iterator[Rows]:
        """All rows of a part, block by block; without inputs where only targets and keys are wanted."""
        sizes = self.sizes
        if inputs:
            blocks = read_blocks(self.source, sizes.rows_decoded, sizes.rows_at_once)
        else:
            blocks = read_blocks(replace(self.source, inputs=()), sizes.rows_without_inputs)
        for block in blocks:
            if len(block[part]):
                yield block[part]

    def raw_validation(self, preparation: Preparation) -> Iterator[Raw]:
        """The validation rows as trees take them, block by block."""
        return (preparation.raw(rows.inputs) for rows in self.rows_of("validation"))

    def targets(self, part: Part) -> np.ndarray:
        """Every target of a part."""
        return np.concatenate([rows.target for rows in self.rows_of(part, inputs=False)])

    def target(self, class_weights: str) -> Target:
        """How the target stands for a network."""
        if not self.seen.num_classes:
            return Target(task=self.source.task, mean=self.seen.mean, spread=self.seen.spread)
        weights = class_weights_of(self.seen.counts) if class_weights == "balanced" else None
        return Target(task=self.source.task, weights=weights)

    def planned(self, plan: Plan, preparation: Preparation) -> Plan:
        """The plan with how the rows are read, so that a resume reads them alike. Raises RunError for too little room."""
        plan = replace(plan, sample_rows=self.sizes.sample_rows)
        if self.files is None:
            return plan
        layout = layout_of(preparation, self.seen.num_classes)
        window, block = self.sizes.window(layout.row_bytes + 8, plan.batch_size, self.seen.rows)
        return replace(plan, window_rows=window, block_rows=block)

    def feed(self, plan: Plan, target: Target, device: torch.device) -> tuple[StreamedFeed, StreamedRows | None]:
        """What a network learns from and is judged by. The files must be there."""
        if self.files is None:
            raise ValueError("the prepared rows were not written")
        windows = Windows(rows=self.seen.rows, window_rows=plan.window_rows, block_rows=plan.block_rows, seed=plan.seed)

        def within(epoch: int, window: int, found: np.ndarray) -> np.ndarray:
            if plan.sampling == "balanced":
                return balanced_rows(windows.draws(epoch, window), epoch, found)
            return windows.within(epoch, window, len(found))

        feed = StreamedFeed(
            self.files.train,
            windows,
            within=within,
            as_target=target.tensor,
            batches=num_batches(self.seen.rows, plan.batch_size),
            device=device,
            even=plan.compiled,
        )
        at_once = max(_JUDGED_AT_ONCE, plan.batch_size)
        validation = self.files.validation
        return feed, StreamedRows(validation, target.tensor, at_once, device) if len(validation) else None


Found = tuple[TrainingData, Streamed]


def looked_over(source: Source, sizes: Sizes, look: Look) -> Generator[Event, None, Found | None]:
    """Look at all rows once: a sample of them, and what is known of all; None when asked to stop.

    Raises SourceError or NoTarget as reading for training does.
    """
    survey = survey_of(source, sizes)
    for event in _told("reading", "read", survey.blocks(), source.rows, look):
        if event is None:
            return None
        yield event
    truth = survey.truth
    streamed = Streamed(source=source, sizes=sizes, seen=survey.seen, gaps=frozenset(survey.gaps), truth=truth)
    return survey.sample(), streamed


def written(
    streamed: Streamed, preparation: Preparation, project_folder: Path, look: Look
) -> Generator[Event, None, Streamed | None]:
    """With the prepared rows in files of the project's cache, written unless they are there; None when asked to stop.

    Raises NotSaved when there is no room for them.
    """
    paths = ProjectPaths(project_folder)
    folder = paths.prepared / key_of(streamed.source, preparation)
    fsio.make_folder(paths.locks)
    while (lock := fsio.try_lock(paths.locks / "prepared")) is None:
        if look():
            return None
        yield Waiting(why="another run writes its prepared rows; this one goes on by itself when it is done")
        time.sleep(_WAIT_SECONDS)
    with fsio.closing_lock(lock):
        files = open_prepared(folder)
        if files is None:
            blocks = write_prepared(folder, streamed.source, preparation, streamed.sizes)
            for event in _told("preparing", "prepared", blocks, streamed.source.rows, look):
                if event is None:
                    return None
                yield event
            files = open_prepared(folder)
        if files is None:
            raise fsio.NotSaved("not saved: the prepared rows are not whole", where=str(folder), fix="train again")
        return replace(streamed, files=files)


def _told(
    phase: str, word: str, blocks: Generator[int, None, None], rows: int, look: Look
) -> Iterator[PhaseStarted | None]:
    """How far it has come, every few seconds; None at last when it was asked to stop."""
    told = time.monotonic()
    for count in blocks:
        if look():
            blocks.close()
            yield None
            return
        now = time.monotonic()
        if now - told >= _TELL_SECONDS:
            told = now
            yield PhaseStarted(name=phase, detail=f"{word} {grouped(count)} of {grouped(rows)} rows")
