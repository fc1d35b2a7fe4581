"""New rows, predicted: what `epochal predict` does between reading a file and writing one. Only for the predict host."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from epochal.core.errors import EpochalError, SourceError
from epochal.ship.columns import as_columns
from epochal.show import grouped
from epochal.train.bundle import Predictor


BLOCK = 65_536
"""Rows predicted at a time: memory does not grow with the file."""


def predict_rows(predictor: Predictor, folder: Path, report: Callable[[str, float | None], None]) -> dict[str, int]:
    """Predict `folder`/rows.parquet into `folder`/predictions.parquet, row for row in the same order.

    rows.parquet holds `_eid`, the model's inputs after cleaning and `_note` (what cleaning would have removed).
    predictions.parquet holds `_eid`, the prediction's columns and `note`: that note, then what the model had not met
    in training; missing where there is nothing to note.

    Returns:
        {"rows": rows predicted, "noted": rows with a note}.

    Raises:
        SourceError: The prepared rows are not there or cannot be read.
        RunError: They lack an input of the model (code missing-columns).
    """
    rows = noted = 0
    try:
        with pq.ParquetFile(folder / "rows.parquet") as source:
            total = source.metadata.num_rows
            writer: pq.ParquetWriter | None = None
            try:
                for block in _blocks(source):
                    table = _predicted(predictor, block)
                    writer = writer or pq.ParquetWriter(folder / "predictions.parquet", table.schema)
                    writer.write_table(table)
                    rows += table.num_rows
                    noted += table.num_rows - table.column("note").null_count
                    report(f"{grouped(rows)} of {grouped(total)} rows", rows / total if total else None)
            finally:
                if writer is not None:
                    writer.close()
    except (OSError, pa.ArrowException) as error:
        raise SourceError(
            f"the prepared rows cannot be read or their predictions written: {error}",
            where=str(folder),
            fix="try again; check that the disk has room",
        ) from error
    return {"rows": rows, "noted": noted}


def _blocks(source: pq.ParquetFile) -> Iterator[pa.Table]:
    """Blocks of rows; one empty block when there are no rows, so that the file has its columns all the same."""
    if source.metadata.num_rows == 0:
        yield source.read()
        return
    for batch in source.iter_batches(BLOCK):
        yield pa.Table.from_batches([batch])


def _predicted(predictor: Predictor, block: pa.Table) -> pa.Table:
    missing = [c for c in ("_eid", "_note") if c not in block.column_names]
    if missing:
        raise EpochalError(f"the prepared rows lack {', '.join(missing)}", code="missing-columns")
    inputs = block.drop_columns(["_eid", "_note"])
    said = as_columns(predictor.predict(inputs))
    notes = [
        "; ".join(n for n in (cleaning, met) if n) or None
        for cleaning, met in zip(block.column("_note").to_pylist(), predictor.notes(inputs), strict=True)
    ]
    return pa.table({"_eid": block.column("_eid"), **said, "note": pa.array(notes, pa.string())})
