"""Data sets that a library brings: scikit-learn's bundled ones, and Hugging Face's by name or from a folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from epochal.core.errors import SourceError
from epochal.data.tablesource import Batches


if TYPE_CHECKING:
    from epochal.core.settings import Source


def open_sklearn(name: str) -> Batches:
    """A set of scikit-learn: its own column names, and `target` (for classes, their names). Raises SourceError."""
    from sklearn import datasets

    fetched = name in {"california_housing", "covtype"}
    make = getattr(datasets, f"{'fetch' if fetched else 'load'}_{name}")
    try:
        loaded = make()
    except OSError as error:
        raise SourceError(
            f"scikit-learn could not fetch it: {error}",
            where=f"sklearn:{name}",
            fix="check the network, or use another set",
        ) from error
    values = loaded.data
    names = [str(n) for n in getattr(loaded, "feature_names", [f"x{i}" for i in range(values.shape[1])])]
    columns: dict[str, Any] = {n: pa.array(values[:, i]) for i, n in enumerate(names)}
    target = loaded.target
    named = getattr(loaded, "target_names", None)
    classes = [] if named is None else [str(n) for n in named]
    if target.ndim > 1:
        columns.update({n: pa.array(target[:, i]) for i, n in enumerate(classes)})
    elif target.dtype.kind in "iu" and len(classes) > int(target.max()):
        columns["target"] = pa.array([classes[t] for t in target])
    else:
        columns["target"] = pa.array([str(t) for t in target] if target.dtype.kind in "iu" else target)
    table = pa.table(columns)
    return Batches(schema=table.schema, batches=iter(table.to_batches()), rows=table.num_rows)


def open_hub(name: str, source: Source) -> Batches:
    """A data set by its name on the Hub, or from a folder; only its data is read, code in it is never run.

    Raises SourceError when it is not there, or has no such part.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import datasets

    datasets.disable_progress_bars()
    folder = Path(name)
    local = folder.is_absolute()
    try:
        if local and ((folder / "state.json").is_file() or (folder / "dataset_dict.json").is_file()):
            loaded = datasets.load_from_disk(name)
            if isinstance(loaded, datasets.DatasetDict):
                loaded = loaded[source.part]
        else:
            loaded = datasets.load_dataset(
                name, source.subset or None, split=source.part, revision=None if local else source.revision or None
            )
    except (OSError, ValueError, KeyError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise SourceError(
            f"the data set cannot be read: {str(error)[:300]}",
            where=name,
            fix="check its name, `part` and `subset` in [[source]], and the network",
            code="hub",
        ) from error
    schema, classes = loaded.features.arrow_schema, _class_names(loaded.features)
    for column in classes:
        schema = schema.set(schema.get_field_index(column), pa.field(column, pa.string()))
    table = loaded.with_format("arrow")
    batches = (_named(b, classes) for t in table.iter(batch_size=10_000) for b in t.to_batches())
    return Batches(schema=schema, batches=batches, rows=len(loaded))


def _class_names(features: Any) -> dict[str, list[str]]:
    """For each column of classes their names: the numbers they are stored as say nothing to a person."""
    return {name: list(f.names) for name, f in features.items() if type(f).__name__ == "ClassLabel"}


def _named(batch: Any, classes: dict[str, list[str]]) -> Any:
    """A batch with class names for class numbers; a number without a name (-1 where there is no label) is missing."""
    for name, names in classes.items():
        at = batch.schema.get_field_index(name)
        texts = [names[i] if i is not None and 0 <= i < len(names) else None for i in batch.column(at).to_pylist()]
        batch = batch.set_column(at, name, pa.array(texts, pa.string()))
    return batch
