"""What the inputs looked like in training, in a few figures: what later data is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from epochal.snapshot.manifest import SnapshotColumn
from epochal.train import encoders


_SHARES = tuple(i / 20 for i in range(21))
_TOP = 50


def reference_statistics(columns: Sequence[SnapshotColumn], table: pa.Table) -> dict[str, Any]:
    """For each input: rows, missing, and quantiles (numbers and dates) or the commonest values with counts."""
    return {
        "format": 1,
        "rows": table.num_rows,
        "columns": {c.name: _statistics(c, table.column(c.name)) for c in columns},
    }


def _statistics(column: SnapshotColumn, values: pa.ChunkedArray) -> dict[str, Any]:
    result: dict[str, Any] = {"kind": column.kind, "missing": values.null_count}
    if column.kind in {"number", "date"}:
        encoder = encoders.fit_encoder(column, values)
        if encoder is None:
            return result
        known = encoders.numbers(encoder, values)[:, 0]
        known = known[~np.isnan(known)]
        if len(known):
            result |= {
                "mean": float(known.mean()),
                "spread": float(known.std()),
                "quantiles": [float(q) for q in np.quantile(known, _SHARES)],
            }
    elif column.kind in {"category", "boolean", "id"} and not pa.types.is_nested(values.type):
        counted = pc.value_counts(pc.cast(values, pa.string()).drop_null().combine_chunks())
        pairs = sorted(
            zip(counted.field(1).to_pylist(), counted.field(0).to_pylist(), strict=True), key=lambda p: (-p[0], p[1])
        )
        result |= {"distinct": len(pairs), "top": [[text, count] for count, text in pairs[:_TOP]]}
    elif column.kind == "text":
        lengths = pc.utf8_length(pc.cast(values, pa.string()).drop_null())
        known = np.asarray(lengths.to_numpy(), dtype=np.float64)
        if len(known):
            result |= {"length_quantiles": [float(q) for q in np.quantile(known, _SHARES)]}
    return result
