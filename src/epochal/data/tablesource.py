"""Reading what already has columns with types (Parquet, Arrow, scikit-learn, the Hub) into the raw table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from epochal.core.errors import SourceError
from epochal.data.dialect import usable_names
from epochal.data.encoding import check_regular
from epochal.data.lines import Counts


if TYPE_CHECKING:
    from epochal.data.rawtable import RawTable

_BATCH = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Batches:
    """A table as it comes: its columns and its rows, some thousands at a time."""

    schema: Any
    batches: Iterator[Any]
    rows: int
    """How many there are, where that is known beforehand; else 0."""


def open_parquet(path: Path) -> Batches:
    """A Parquet file's rows. Raises SourceError when it is not one or is damaged."""
    import pyarrow.parquet as pq

    check_regular(path)
    try:
        file = pq.ParquetFile(path, memory_map=False)
        schema, rows = file.schema_arrow, file.metadata.num_rows
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(path, error) from error
    return Batches(schema=schema, batches=_guarded(file.iter_batches(batch_size=_BATCH), path), rows=rows)


def open_arrow(path: Path) -> Batches:
    """An Arrow or Feather file's (or stream's) rows. Raises SourceError when it is not one or is damaged."""
    from pyarrow import feather

    check_regular(path)
    with path.open("rb") as file:
        magic = file.read(6)
    try:
        if magic[:4] == b"FEA1":
            table = feather.read_table(path, memory_map=False)
            return Batches(schema=table.schema, batches=iter(table.to_batches(_BATCH)), rows=table.num_rows)
        source = pa.OSFile(str(path))
        if magic == b"ARROW1":
            reader = pa.ipc.open_file(source)
            each = (reader.get_batch(i) for i in range(reader.num_record_batches))
            return Batches(schema=reader.schema, batches=_guarded(each, path), rows=0)
        stream = pa.ipc.open_stream(source)
        return Batches(schema=stream.schema, batches=_guarded(iter(stream), path), rows=0)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(path, error) from error


def _guarded(batches: Iterator[Any], path: Path) -> Iterator[Any]:
    try:
        for batch in batches:
            batch.validate(full=True)
            yield batch
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: BaseException) -> SourceError:
    return SourceError(
        f"it cannot be read: {str(error)[:300]}",
        where=str(path),
        fix="check that it is whole; fetch it again",
        code="damaged",
    )


def read_batches(table: Batches, name: str, raw: RawTable, progress: Callable[[float], None]) -> Counts:
    """Append all rows; a row counts as a line. Columns are turned into the few types that tables are learnt from.

    Whole numbers become BIGINT, others DOUBLE (not-a-number is missing), texts VARCHAR (an empty one is missing), dates
    DATE, moments TIMESTAMP (in UTC where they have a zone), everything nested VARCHAR.
    """
    fields = list(table.schema)
    names = usable_names([f.name for f in fields])
    kinds = [_kind(f.type) for f in fields]
    named = raw.declare(list(zip(names, kinds, strict=True)))
    values = [
        _value(f"c{i}", f.type, raw.columns[n.casefold()][1])
        for i, (f, n) in enumerate(zip(fields, named, strict=True))
    ]
    counts = Counts()
    for batch in table.batches:
        rows = batch.num_rows
        columns = [_plain(batch.column(i), f.type) for i, f in enumerate(fields)]
        numbers = {
            "_row": pa.array(range(raw.rows, raw.rows + rows), pa.int64()),
            "_line": pa.array(range(counts.lines + 1, counts.lines + rows + 1), pa.int64()),
        }
        raw.append(name, pa.table({**numbers, **{f"c{i}": c for i, c in enumerate(columns)}}), named, values)
        counts.lines += rows
        counts.read += rows
        progress(min(1.0, counts.lines / table.rows) if table.rows else 0.5)
    return counts


def _kind(kind: Any) -> str:
    """The DuckDB type an Arrow type becomes."""
    t = pa.types
    if t.is_dictionary(kind):
        return _kind(kind.value_type)
    if t.is_boolean(kind):
        return "BOOLEAN"
    if t.is_integer(kind):
        return "DOUBLE" if t.is_uint64(kind) else "BIGINT"
    if t.is_floating(kind) or t.is_decimal(kind):
        return "DOUBLE"
    if t.is_date(kind):
        return "DATE"
    return "TIMESTAMP" if t.is_timestamp(kind) else "VARCHAR"


def _plain(column: Any, kind: Any) -> Any:
    """A column without what DuckDB would need an extension or a nested type for."""
    t = pa.types
    if t.is_dictionary(kind):
        return _plain(column.cast(kind.value_type), kind.value_type)
    if t.is_timestamp(kind):
        return column.cast(pa.timestamp("us", kind.tz), safe=False).cast(pa.timestamp("us"))
    if t.is_float16(kind):
        return column.cast(pa.float32())
    if t.is_null(kind):
        return column.cast(pa.string())
    return column


def _value(column: str, kind: Any, wanted: str) -> str:
    t = pa.types
    if t.is_dictionary(kind):
        return _value(column, kind.value_type, wanted)
    if t.is_floating(kind):
        number = f"{column}::DOUBLE"
        return f"(CASE WHEN isnan({number}) THEN NULL ELSE {number} END)::{wanted}"
    if _kind(kind) == "VARCHAR":
        return f"nullif({column}::VARCHAR, '')"
    return f"{column}::{_kind(kind)}::{wanted}"
