"""Small projects with a snapshot, a split and a run, written in the documented formats without the data engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch

from epochal.core.settings import Project, parse_project
from epochal.core.split import Part, fraction
from epochal.project.paths import ProjectPaths
from epochal.project.runfile import RunSpec, write_run
from epochal.snapshot.manifest import (
    Snapshot,
    SnapshotColumn,
    SplitFile,
    open_snapshot,
    write_snapshot_manifest,
    write_split_manifest,
)
from epochal.train.rows import Rows, read_part


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Computing with one, so that figures are equal; and on a busy machine several wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def kind_of(values: pa.ChunkedArray) -> tuple[str, str]:
    """A column's kind and DuckDB type, from its Arrow type alone."""
    if pa.types.is_null(values.type):
        return "text", "VARCHAR"
    if pa.types.is_boolean(values.type):
        return "boolean", "BOOLEAN"
    if pa.types.is_timestamp(values.type) or pa.types.is_date(values.type):
        return "date", "TIMESTAMP"
    if pa.types.is_integer(values.type):
        return "number", "BIGINT"
    if pa.types.is_floating(values.type):
        return "number", "DOUBLE"
    return "category", "VARCHAR"


def write_data(
    folder: Path,
    table: pa.Table,
    *,
    target: str,
    task: str = "classification",
    kinds: Mapping[str, str] | None = None,
    seed: int = 0,
    validation: float = 0.1,
    test: float = 0.2,
    row_group_size: int | None = None,
) -> None:
    """A snapshot "snap" and a split "split" of a table, split as product.md says (stratified for classes)."""
    paths = ProjectPaths(folder)
    num_rows = table.num_rows
    columns = []
    for name in table.column_names:
        kind, duck = kind_of(table[name])
        columns.append(
            SnapshotColumn(
                name=name,
                kind=(kinds or {}).get(name, kind),
                type=duck,
                missing=table[name].null_count,
                distinct=len(pc.unique(table[name].drop_null())),
            )
        )
    keys = [f"row {i}" for i in range(num_rows)]
    snapshot = paths.snapshots / "snap"
    snapshot.mkdir(parents=True)
    full = table.add_column(0, "_key", pa.array(keys)).add_column(0, "_eid", pa.array(range(num_rows), pa.int64()))
    pq.write_table(full, snapshot / "rows-0.parquet", row_group_size=row_group_size)
    write_snapshot_manifest(
        snapshot,
        Snapshot(folder=snapshot, id="snap", rows=num_rows, columns=tuple(columns), files=("rows-0.parquet",)),
    )
    u = np.array([fraction(seed, key) for key in keys])
    parts = np.zeros(num_rows, dtype=np.int8)
    groups = table[target].to_pylist() if task == "classification" else [0] * num_rows
    for group in dict.fromkeys(groups):
        rows = np.array([i for i, g in enumerate(groups) if g == group])
        ranked = rows[np.argsort(u[rows])]
        end_test, end_validation = round(test * len(rows)), round((test + validation) * len(rows))
        parts[ranked[:end_test]], parts[ranked[end_test:end_validation]] = 2, 1
    split = paths.splits / "split"
    split.mkdir(parents=True)
    pq.write_table(pa.table({"_eid": pa.array(range(num_rows), pa.int64()), "part": parts}), split / "parts.parquet")
    counts = np.bincount(parts, minlength=3).tolist()
    write_split_manifest(
        split,
        SplitFile(
            folder=split,
            id="split",
            snapshot_id="snap",
            train=counts[0],
            validation=counts[1],
            test=counts[2],
            fingerprint="x",
        ),
    )


def make_spec(
    folder: Path,
    table: pa.Table,
    *,
    target: str,
    task: str = "classification",
    family: str = "linear",
    metric: str = "",
    options: Mapping[str, Any] | None = None,
    train: Mapping[str, Any] | None = None,
    inputs: Sequence[str] | None = None,
    number: int = 1,
    **data: Any,
) -> RunSpec:
    """A run ready to be trained, its data written unless it is there."""
    if not (folder / ".epochal" / "snapshots" / "snap").exists():
        write_data(folder, table, target=target, task=task, **data)
    project: Project = parse_project(
        {
            "name": "trial",
            "goal": {"task": task, **({"metric": metric} if metric else {})},
            "columns": {"target": target},
            "model": {"family": family, **(options or {})},
            "train": dict(train or {}),
        }
    )
    classes = sorted({str(v) for v in table[target].to_pylist() if v is not None}) if task == "classification" else ()
    run = ProjectPaths(folder).runs / f"{number:04d}-{family}"
    run.mkdir(parents=True)
    spec = RunSpec(
        folder=run,
        name=run.name,
        project=project,
        snapshot_id="snap",
        split_id="split",
        created="2026-11-22T00:00:00Z",
        inputs=tuple(inputs) if inputs is not None else tuple(c for c in table.column_names if c != target),
        classes=tuple(classes),
    )
    write_run(spec)
    return spec


def make_blobs(num_rows: int = 300, seed: int = 0) -> pa.Table:
    """Three classes that two numbers, a category and a boolean tell apart, with some cells missing."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 3, num_rows)
    first = label + rng.normal(0, 0.4, num_rows)
    second = (label == 1) * 2.0 + rng.normal(0, 0.5, num_rows)
    first[rng.random(num_rows) < 0.05] = np.nan
    colour = np.where(rng.random(num_rows) < 0.8, np.array(["red", "green", "blue"])[label], "grey")
    return pa.table(
        {
            "first": pa.array(first, from_pandas=True),
            "second": second,
            "colour": pa.array([None if rng.random() < 0.03 else str(c) for c in colour]),
            "flag": pa.array([bool(f) for f in rng.random(num_rows) < 0.5]),
            "label": pa.array([f"class {v}" for v in label]),
        }
    )


def make_line(num_rows: int = 300, seed: int = 0) -> pa.Table:
    """A number that follows from two others, and noise."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=num_rows), rng.normal(size=num_rows)
    return pa.table(
        {"a": a, "b": b, "noise": rng.normal(size=num_rows), "y": 50 + 10 * a - 5 * b + rng.normal(size=num_rows)}
    )


@pytest.fixture
def spec_of(tmp_path: Path) -> Callable[..., RunSpec]:
    """Make runs in a fresh project folder."""

    def make(table: pa.Table, **settings: Any) -> RunSpec:
        return make_spec(tmp_path, table, **settings)

    return make


@pytest.fixture
def make_spec_in() -> Callable[..., RunSpec]:
    """Make runs in project folders that are named."""
    return make_spec


@pytest.fixture
def blobs() -> Callable[..., pa.Table]:
    """Make the table of three classes."""
    return make_blobs


@pytest.fixture
def line() -> Callable[..., pa.Table]:
    """Make the table of a number."""
    return make_line


@pytest.fixture
def held_out() -> Callable[..., Rows]:
    """The rows of one part of a run's split; the test part, unless another is named."""

    def read(spec: RunSpec, part: Part = "test") -> Rows:
        paths = ProjectPaths(spec.project_folder)
        return read_part(
            open_snapshot(paths.snapshots / "snap"),
            paths.splits / "split",
            part,
            inputs=spec.inputs,
            target=spec.project.columns.target,
            classes=spec.classes,
        )

    return read


@pytest.fixture(params=("linear", "mlp", "tabm", "trees"))
def family(request: pytest.FixtureRequest) -> str:
    """Each family in turn."""
    return str(request.param)


@pytest.fixture
def small(family: str) -> dict[str, Any]:
    """Settings that make the family quick."""
    return {"mlp": {"width": 16}, "tabm": {"members": 2, "width": 16}, "trees": {"rounds": 30}}.get(family, {})
