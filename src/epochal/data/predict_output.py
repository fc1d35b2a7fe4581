"""Predictions written beside the rows they are for, in the format the file's ending says."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from epochal.core.errors import SourceError
from epochal.core.steps import nearest
from epochal.data.dialect import usable_names
from epochal.fsio.files import new_file
from epochal.show import grouped


RAW, PREDICTIONS = "raw.parquet", "predictions.parquet"
_BATCH = 50_000


def write_predictions(folder: Path, path: Path) -> dict[str, Any]:
    """Join `folder`/raw.parquet and `folder`/predictions.parquet by `_eid`, both in its order, and write them to `path`.

    The file's own columns come first, unchanged; a prediction's column whose name is taken gets `_2`. The ending says
    the format: .csv, .tsv, .parquet, .jsonl.

    Returns {"rows": rows written}. Raises SourceError for another ending or files that do not match, NotSaved when the
    disk refuses.
    """
    ending = path.suffix.lower()
    if ending not in _WRITERS:
        close = nearest(ending, tuple(_WRITERS)) or ".csv"
        raise SourceError(
            f"predictions cannot be written as {ending or 'a file without ending'}",
            where=str(path),
            fix=f"name it {path.stem}{close}",
            code="format",
        )
    if not path.parent.is_dir():
        raise SourceError("the folder is not there", where=str(path.parent), fix="make it first", code="not-found")
    with pq.ParquetFile(folder / RAW) as raw, pq.ParquetFile(folder / PREDICTIONS) as said, new_file(path) as temporary:
        own = [n for n in raw.schema_arrow.names if n != "_eid"]
        new = [n for n in said.schema_arrow.names if n != "_eid"]
        if raw.metadata.num_rows != said.metadata.num_rows:
            raise SourceError(
                f"{grouped(raw.metadata.num_rows)} rows were read and {grouped(said.metadata.num_rows)} predicted",
                where=str(folder),
            )
        names = [*own, *usable_names(new, taken=own)]
        schema = pa.schema(
            [
                (name, field.type)
                for name, field in zip(
                    names,
                    [raw.schema_arrow.field(n) for n in own] + [said.schema_arrow.field(n) for n in new],
                    strict=True,
                )
            ]
        )
        _WRITERS[ending](temporary, schema, _joined(raw, said, own, new, schema))
        return {"rows": raw.metadata.num_rows}


def _joined(raw: Any, said: Any, own: Sequence[str], new: Sequence[str], schema: Any) -> Iterator[Any]:
    """Both files side by side, some thousands of rows at a time. Raises SourceError when their rows differ."""
    predicted = _rows_of(said)
    for batch in raw.iter_batches(batch_size=_BATCH):
        other = next(predicted)(batch.num_rows)
        if not batch.column("_eid").equals(other.column("_eid").combine_chunks()):
            raise SourceError("rows and predictions are not in the same order", code="internal")
        columns = [pa.chunked_array([batch.column(n)]) for n in own] + [other.column(n) for n in new]
        yield pa.Table.from_arrays(columns, schema=schema)


def _rows_of(file: Any) -> Iterator[Callable[[int], Any]]:
    """Gives tables of exactly as many rows as are asked for, whatever the file's own blocks are."""
    blocks = file.iter_batches(batch_size=_BATCH)
    held = pa.table({n: pa.array([], t) for n, t in zip(file.schema_arrow.names, file.schema_arrow.types, strict=True)})

    def take(count: int) -> Any:
        nonlocal held
        parts = [held]
        have = held.num_rows
        while have < count:
            block = pa.Table.from_batches([next(blocks)])
            parts.append(block)
            have += block.num_rows
        every = pa.concat_tables(parts)
        held = every.slice(count)
        return every.slice(0, count).combine_chunks()

    while True:
        yield take


def _write_parquet(path: Path, schema: Any, tables: Iterator[Any]) -> None:
    with pq.ParquetWriter(path, schema) as writer:
        for table in tables:
            writer.write_table(table)


def _write_text(path: Path, schema: Any, tables: Iterator[Any], delimiter: str) -> None:
    with path.open("x", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        writer.writerow(schema.names)
        for table in tables:
            writer.writerows(zip(*(c.to_pylist() for c in table.columns), strict=True))


def _write_csv(path: Path, schema: Any, tables: Iterator[Any]) -> None:
    _write_text(path, schema, tables, ",")


def _write_tsv(path: Path, schema: Any, tables: Iterator[Any]) -> None:
    _write_text(path, schema, tables, "\t")


def _write_jsonl(path: Path, _schema: Any, tables: Iterator[Any]) -> None:
    with path.open("x", encoding="utf-8") as file:
        for table in tables:
            file.writelines(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in table.to_pylist())


_WRITERS: dict[str, Callable[[Path, Any, Iterator[Any]], None]] = {
    ".csv": _write_csv,
    ".tsv": _write_tsv,
    ".parquet": _write_parquet,
    ".jsonl": _write_jsonl,
}
