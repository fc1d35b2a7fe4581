"""Data sets that a library brings: scikit-learn's bundled ones, and Hugging Face's by name or from a folder."""

from __future__ import annotations

import http.client
import os
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from epochal.core.errors import SourceError
from epochal.data.tablesource import Batches


if TYPE_CHECKING:
    from epochal.core.settings import Source


_PATIENCE = 6.0
"""Seconds the Hub is given to answer."""


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
    folder = Path(name)
    local = folder.is_absolute()
    there = local or _hub_answers()
    import datasets

    datasets.disable_progress_bars()
    if not local:
        _go_offline(not there)
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
        raise _unread(name, error, local=local, there=there) from error
    schema, classes = loaded.features.arrow_schema, _class_names(loaded.features)
    for column in classes:
        schema = schema.set(schema.get_field_index(column), pa.field(column, pa.string()))
    table = loaded.with_format("arrow")
    batches = (_named(b, classes) for t in table.iter(batch_size=10_000) for b in t.to_batches())
    return Batches(schema=schema, batches=batches, rows=len(loaded))


def _unread(name: str, error: Exception, *, local: bool, there: bool) -> SourceError:
    if not there:
        return SourceError(
            "the Hub does not answer, and this data set was not fetched before",
            where=f"hf://{name}",
            fix="check the network, or fetch it elsewhere and name its folder",
            code="hub",
        )
    return SourceError(
        f"the data set cannot be read: {str(error)[:300]}",
        where=name if local else f"hf://{name}",
        fix=f"check {'what is in the folder' if local else 'its name'}, and `part` and `subset` in [[source]]",
        code="hub",
    )


def _hub_answers() -> bool:
    """Whether the Hub is there at all: its own library tries for half a minute before it gives up."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        return False
    address = os.environ.get("HF_ENDPOINT", "") or "https://huggingface.co"
    answers: list[bool] = []

    def ask() -> None:
        try:
            urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=_PATIENCE).close()  # noqa: S310 - a person's own endpoint
        except urllib.error.HTTPError:
            answers.append(True)
        except (OSError, ValueError, http.client.HTTPException):
            answers.append(False)
        else:
            answers.append(True)

    asking = threading.Thread(target=ask, daemon=True)  # a name server that is silent heeds no time limit
    asking.start()
    asking.join(_PATIENCE)
    return answers == [True]


def _go_offline(offline: bool) -> None:
    """Let the Hub's libraries look only at what they fetched before."""
    import datasets
    import huggingface_hub.constants

    huggingface_hub.constants.HF_HUB_OFFLINE = offline
    datasets.config.HF_HUB_OFFLINE = offline


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
