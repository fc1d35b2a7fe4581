"""A trial before a run: one real step on the longest rows, short trainings that show faults, what the run would cost.

It runs in a process of its own, touches nothing that lasts and never reads test rows.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from epochal.core.settings import Project
from epochal.project.trust import demand
from epochal.train.allowed import peak_bytes
from epochal.train.baselines import strong_bytes
from epochal.train.blocks import source_of
from epochal.train.checks.every import Report, every_check
from epochal.train.checks.facts import Checks
from epochal.train.families.trees import text_bytes
from epochal.train.holding import refuse_in_blocks
from epochal.train.make import DenseRows, Prepared, dense_rows, make_learner, prepare, steps_in_epoch, with_own
from epochal.train.plan import Planned, make_plan
from epochal.train.prepare import save_preparation
from epochal.train.rows import Rows
from epochal.train.scratch import layout_of
from epochal.train.state import TrainState, Window, advance
from epochal.train.survey import data_that_fits


READING = "reading the rows"
"""What is reported first, and again after each block: it takes the longer the more data there is, and none of a person's own code has a part in it."""
_READ_SHARE = 0.05
"""Of the whole trial, as it is reported."""
KEPT_CHECKPOINTS = 3
"""Best and newest ones that stand on disk at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What one step showed, and what the run would cost."""

    healthy: bool
    """False: the loss of the step was not finite."""
    loss: float
    seconds: float
    """Expected of the whole training, evaluations included."""
    seconds_per_step: float
    seconds_per_evaluation: float
    train_rows: int
    steps_per_epoch: int
    memory_bytes: int
    """Most that this process held resident, libraries included: what a host would."""
    disk_bytes: int
    """Of all checkpoints that stand at once, the baselines, the bundle, and prepared rows that are read from disk."""
    checkpoint_bytes: int
    """Of one checkpoint, measured by writing it; of trees what they will have grown to."""
    bundle_bytes: int
    """Of model and preparation, measured likewise, of the baselines, and of what is said of the validation rows."""
    notes: tuple[str, ...]
    """What the budget changed, in words."""
    checks: Checks | None = None
    """None: they were not asked for."""
    brings: tuple[str, ...] = ()
    """What a person's own model does itself: those of `core.useless.OWN_PARTS` that it has."""


def try_training(
    project: Project,
    snapshot_folder: Path,
    split_folder: Path,
    *,
    inputs: Sequence[str],
    classes: Sequence[str],
    folder: Path | None = None,
    probes: bool = True,
    report: Report = lambda _text, _share: None,
) -> Trial:
    """Prepare, plan, take one step with the rows that hold most, and unless `probes` is off run every check.

    `inputs` and `classes` are those of the build; `folder` is the project's, for a model that is its own code. Raises
    EpochalError for data or settings that cannot be trained, as a run would.
    """
    report(READING, 0.0)
    source = source_of(project, snapshot_folder, split_folder, inputs=inputs, classes=classes)
    data = data_that_fits(project, source, lambda rows: report(READING, _READ_SHARE * min(1.0, rows / source.rows)))
    if data.train.sampled_from:
        refuse_in_blocks(project)
    family = project.model.family
    prepared = prepare(data)
    code = demand(folder, project) if folder is not None else None
    if folder is not None and code is not None:
        report("making the model", _READ_SHARE)
        prepared = with_own(prepared, project, folder, code.files)
    dense = None if family == "trees" else dense_rows(prepared)
    report("timing steps", 0.1)
    # Whether compiling pays takes longer to find out than all the rest; without it, the time told is at most too long.
    timed = replace(project, train=replace(project.train, compile="off"))
    planned = make_plan(timed if project.train.compile == "auto" else project, family, prepared, dense)
    torch.set_num_threads(planned.plan.threads)
    window, checkpoint, model = _one_step(project, prepared, planned, dense)
    memory = peak_bytes()
    outputs = len(data.classes) if len(data.classes) > 2 else 1
    rows = data.train.total
    if family == "trees":
        trees = text_bytes(planned.plan.options, rounds=planned.plan.epochs, outputs=outputs, rows=rows)
        checkpoint, model = checkpoint + trees, model + trees
    baselines = strong_bytes(outputs, rows)
    bundle = model + baselines + data.validation.total * 8 * (3 + len(data.classes))
    scratch = 0
    if data.train.sampled_from and family != "trees":
        scratch = layout_of(prepared.preparation, len(data.classes)).row_bytes * source.rows
    checks = every_check(prepared, family, planned.plan, dense, report) if probes else None
    return Trial(
        healthy=window.healthy,
        loss=window.loss,
        seconds=planned.seconds,
        seconds_per_step=planned.rate.seconds_per_step,
        seconds_per_evaluation=planned.rate.seconds_per_evaluation,
        train_rows=rows,
        steps_per_epoch=steps_in_epoch(prepared, family, planned.plan.batch_size),
        memory_bytes=memory,
        disk_bytes=checkpoint * (KEPT_CHECKPOINTS + 1) + baselines + bundle + scratch,
        checkpoint_bytes=checkpoint,
        bundle_bytes=bundle,
        notes=planned.notes,
        checks=checks,
        brings=() if prepared.own is None else prepared.own.brings,
    )


def _one_step(
    project: Project, prepared: Prepared, planned: Planned, dense: DenseRows | None
) -> tuple[Window, int, int]:
    """A step with the longest rows, and the bytes of a checkpoint and of model and preparation after it."""
    # Compiling takes its time, and steps that are compiled for other numbers of rows may fail where a run's would not.
    family, plan = project.model.family, replace(planned.plan, compiled=False)
    rows = _longest(prepared.data.train, plan.batch_size)
    raw = prepared.preparation.raw(rows.inputs)
    longest = replace(prepared, data=replace(prepared.data, train=rows), train=raw)
    step_dense = None if family == "trees" else dense_rows(longest)
    # What a network takes from the rows decides on its size: that of all rows.
    fitted = None if family == "trees" else make_learner(prepared, family, plan, dense).fitted
    learner = make_learner(longest, family, plan, step_dense, fitted=fitted).learner
    state = TrainState(learner=learner, plan=plan, metric=project.metric)
    window = advance(state, 1)
    state.learner.remember()
    with tempfile.TemporaryDirectory() as folder:
        checkpoint, bundle = Path(folder, "checkpoint"), Path(folder, "bundle")
        for place in (checkpoint, bundle):
            place.mkdir()
        state.learner.save(checkpoint)
        state.learner.save_model(bundle)
        if prepared.own is not None:
            prepared.own.save(bundle)
        save_preparation(prepared.preparation, bundle)
        return window, _size(checkpoint), _size(bundle)


def _size(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def _longest(rows: Rows, count: int) -> Rows:
    """The `count` rows whose values hold most text, numbers counting alike."""
    lengths = np.zeros(len(rows), dtype=np.int64)
    for column in rows.inputs.columns:
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            lengths += pc.fill_null(pc.utf8_length(column), 0).to_numpy()
        else:
            lengths += pc.is_valid(column).to_numpy().astype(np.int64)
    return rows.take(np.sort(np.argsort(-lengths, kind="stable")[: max(2, count)]))
