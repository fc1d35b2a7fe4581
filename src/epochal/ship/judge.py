"""The sealed test rows of a run, predicted by its model and both baselines. Heavy: only for the predict host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from epochal.core.errors import RunError
from epochal.project.paths import ProjectPaths
from epochal.project.runfile import RunSpec
from epochal.review.build import TestedRows
from epochal.review.metrics import Judged, Measured, labelled
from epochal.ship.columns import as_columns, cell_text
from epochal.snapshot.manifest import open_snapshot, open_split
from epochal.train.baselines import STRONG_TITLE, TITLES
from epochal.train.bundle import INTERVAL, Predictions, Predictor, load_bundle
from epochal.train.rows import Rows, read_part


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A test set, opened: what was said of its rows, and what is true."""

    judged: Mapping[str, Judged]
    """Of "model", "trivial" and "strong"."""
    rows: TestedRows
    table: pa.Table
    """What report/predictions.parquet holds."""
    fingerprint: str
    baselines: Mapping[str, Mapping[str, str]]
    level: float | None
    """Share of rows whose truth lower … upper ought to hold; None for classification."""


def open_bundle(spec: RunSpec) -> Predictor:
    """The run's finished model. Raises RunError (bad-bundle) when there is none."""
    return load_bundle(spec.folder / "bundle")


def judge_test_rows(spec: RunSpec, predictor: Predictor) -> Opened:
    """Predict the test part by the model and both baselines.

    Raises:
        SourceError: Snapshot or split are not there (code no-snapshot).
        RunError: No test row can be judged (code no-test-rows), or what is said of one is no number (bad-prediction).
    """
    paths = ProjectPaths(spec.project_folder)
    snapshot, split_folder = open_snapshot(paths.snapshots / spec.snapshot_id), paths.splits / spec.split_id
    split = open_split(split_folder)
    group = spec.project.columns.group if spec.project.split.kind == "group" else ""
    part = read_part(
        snapshot,
        split_folder,
        "test",
        inputs=tuple(dict.fromkeys((*spec.inputs, *((group,) if group else ())))),
        target=spec.project.columns.target,
        classes=spec.classes,
    )
    if not len(part):
        raise RunError(
            "no test row can be judged" + (": their target is missing" if part.left_out else ": none were held out"),
            where="[split] test",
            fix="hold out more rows, and train again",
            code="no-test-rows",
        )
    inputs = part.inputs.select(list(spec.inputs))
    said = {"model": predictor.predict(inputs), **predictor.baselines(inputs)}
    notes = predictor.notes(inputs)
    keys = part.keys.to_pylist()
    return Opened(
        judged={name: _judged(part, one, predictor) for name, one in said.items()},
        rows=TestedRows(
            keys=keys,
            numbers=(part.eids + 1).tolist(),
            inputs=lambda i: _inputs_of(inputs, i),
            notes=notes,
            groups=_group_numbers(part.inputs.column(group)) if group else None,
            left_out=part.left_out,
        ),
        table=_table(spec, part, said, notes),
        fingerprint=split.fingerprint,
        baselines={
            "trivial": {"title": TITLES[predictor.task], "note": ""},
            "strong": {"title": STRONG_TITLE, "note": predictor.strong.note},
        },
        level=INTERVAL if predictor.half_width is not None else None,
    )


def _judged(part: Rows, said: Predictions, predictor: Predictor) -> Judged:
    strange = int((~np.isfinite(said.scores)).reshape(len(part), -1).any(axis=1).sum())
    if strange:
        raise RunError(
            f"the model gives no number for {strange} of {len(part)} test rows",
            fix="look for extreme values in the inputs, lower the learning rate, and train again",
            code="bad-prediction",
        )
    if said.probabilities is not None:
        return labelled(part.target, said.probabilities, positive=predictor.positive)
    return Measured(
        truth=part.target,
        prediction=np.asarray(said.values, dtype=np.float64),
        lower=said.lower,
        upper=said.upper,
    )


def _inputs_of(inputs: pa.Table, row: int) -> list[tuple[str, str]]:
    return [(name, cell_text(inputs.column(name)[row])) for name in inputs.column_names]


def _group_numbers(values: pa.ChunkedArray) -> np.ndarray:
    """A number from 0 for each group; rows without one are a group each, as the split has it."""
    codes = np.asarray(values.combine_chunks().dictionary_encode().indices.fill_null(-1).to_numpy(), dtype=np.int64)
    alone = codes < 0
    codes[alone] = codes.max(initial=-1) + 1 + np.arange(int(alone.sum()))
    return codes


def _table(spec: RunSpec, part: Rows, said: Mapping[str, Predictions], notes: Sequence[str]) -> pa.Table:
    truth: Any = [spec.classes[i] for i in part.target] if spec.classes else part.target
    columns: dict[str, Any] = {"_key": part.keys.cast(pa.string()), "truth": pa.array(truth)}
    columns |= as_columns(said["model"])
    for name in ("trivial", "strong"):
        columns[name] = as_columns(said[name])["prediction"]
    columns["note"] = pa.array(notes, pa.string())
    return pa.table(columns)


def bundle_file(spec: RunSpec) -> Path:
    """What stands for the whole bundle: it holds the sha256 of every other file."""
    return spec.folder / "bundle" / "bundle.toml"
