"""The end of a run: the best model becomes a bundle, and what it says of the validation rows is kept."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from epochal.project.runfile import RunSpec
from epochal.train.baselines import Strong, Trivial
from epochal.train.bundle import interval_half_width, write_bundle
from epochal.train.make import Made, Prepared
from epochal.train.rows import Rows, TrainingData
from epochal.train.state import TrainState


def finish(
    spec: RunSpec,
    *,
    prepared: Prepared,
    made: Made,
    state: TrainState,
    trivial: Trivial,
    strong: Strong,
    prediction: np.ndarray | None,
) -> None:
    """Write `bundle/` of a learner that is the best it was. Raises NotSaved.

    `prediction` is what it says of the validation rows; None where there are none.
    """
    data = prepared.data
    half_width, validation = None, None
    if prediction is not None:
        validation = _validation_tables(prepared, prediction)
        if data.task == "regression":
            half_width = interval_half_width(prepared.truth - prediction)
    counters = state.counters
    facts = {
        "run": spec.name,
        "created": spec.created,
        "metric": state.metric,
        "snapshot": spec.snapshot_id,
        "split": spec.split_id,
        "target_column": spec.project.columns.target,
        "best_step": counters.best_step or state.learner.step,
        **({"best_value": counters.best_value} if np.isfinite(counters.best_value) else {}),
    }
    write_bundle(
        spec.folder / "bundle",
        facts=facts,
        family=spec.family,
        made=made,
        prepared=prepared,
        options=state.plan.options,
        half_width=half_width,
        trivial=trivial,
        strong=strong,
        validation=validation,
    )


def _validation_tables(prepared: Prepared, prediction: np.ndarray) -> Iterator[pa.Table]:
    """What was predicted of the validation rows, as many at a time as were read."""
    data, streamed = prepared.data, prepared.streamed
    start = 0
    for rows in [data.validation] if streamed is None else streamed.rows_of("validation", inputs=False):
        yield _validation_table(data, rows, prediction[start : start + len(rows)])
        start += len(rows)


def _validation_table(data: TrainingData, rows: Rows, prediction: np.ndarray) -> pa.Table:
    columns: dict[str, object] = {"_eid": rows.eids, "_key": rows.keys}
    if data.task == "classification":
        names = np.array(data.classes, dtype=object)
        columns["truth"] = pa.array(names[rows.target], pa.string())
        columns["prediction"] = pa.array(names[prediction.argmax(axis=1)], pa.string())
        for i, name in enumerate(data.classes):
            columns[f"probability_{name}"] = prediction[:, i]
    else:
        columns["truth"] = rows.target
        columns["prediction"] = prediction
    return pa.table(columns)
