"""A trial before a run: one real step on the longest rows, and what the whole run would cost.

It runs in a process of its own, touches nothing that lasts and never reads test rows.
"""

from __future__ import annotations

import resource
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
from epochal.train.make import dense_rows, make_learner, prepare, with_own
from epochal.train.plan import make_plan
from epochal.train.rows import Rows, training_data
from epochal.train.state import TrainState, advance


KEPT_CHECKPOINTS = 3
"""Best and newest ones that stand on disk at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What one step showed."""

    healthy: bool
    """False: the loss of the step was not finite."""
    loss: float
    seconds: float
    """Expected of the whole training, evaluations included."""
    memory_bytes: int
    """Most that this process held resident, libraries included: what a host would."""
    disk_bytes: int
    """Of checkpoints and bundle, measured by writing one."""
    notes: tuple[str, ...]
    """What the budget changed, in words."""


def try_one_step(
    project: Project,
    snapshot_folder: Path,
    split_folder: Path,
    *,
    inputs: Sequence[str],
    classes: Sequence[str],
    folder: Path | None = None,
) -> Trial:
    """Prepare, plan and take one step with the rows that hold most. `inputs` and `classes` are those of the build.

    `folder` is the project's, for a model that is its own code.

    Raises EpochalError for data or settings that cannot be trained, as a run would.
    """
    data = training_data(project, snapshot_folder, split_folder, inputs=inputs, classes=classes)
    family = project.model.family
    prepared = prepare(data)
    code = demand(folder, project) if folder is not None else None
    if folder is not None and code is not None:
        prepared = with_own(prepared, project, folder, code.files)
    dense = None if family == "trees" else dense_rows(prepared)
    planned = make_plan(project, family, prepared, dense)
    plan = planned.plan
    torch.set_num_threads(plan.threads)
    longest = replace(prepared, train=prepared.preparation.raw(_longest(data.train, plan.batch_size).inputs))
    longest = replace(longest, data=replace(data, train=_longest(data.train, plan.batch_size)))
    step_dense = None if family == "trees" else dense_rows(longest)
    state = TrainState(
        learner=make_learner(longest, family, plan, step_dense).learner, plan=plan, metric=project.metric
    )
    window = advance(state, 1)
    with tempfile.TemporaryDirectory() as scratch:
        state.learner.save(Path(scratch))
        size = sum(p.stat().st_size for p in Path(scratch).rglob("*") if p.is_file())
    return Trial(
        healthy=window.healthy,
        loss=window.loss,
        seconds=planned.seconds,
        memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        disk_bytes=size * (KEPT_CHECKPOINTS + 1),
        notes=planned.notes,
    )


def _longest(rows: Rows, count: int) -> Rows:
    """The `count` rows whose values hold most text, numbers counting alike."""
    lengths = np.zeros(len(rows), dtype=np.int64)
    for column in rows.inputs.columns:
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            lengths += pc.fill_null(pc.utf8_length(column), 0).to_numpy()
        else:
            lengths += pc.is_valid(column).to_numpy().astype(np.int64)
    return rows.take(np.sort(np.argsort(-lengths, kind="stable")[: max(2, count)]))
