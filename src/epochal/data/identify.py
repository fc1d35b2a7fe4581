"""Whether a column identifies rows, in words."""

from __future__ import annotations

from epochal.show import counted, grouped, safe


def why_no_key(name: str, *, rows: int, missing: int, values: int) -> str:
    """Why a column cannot be the key: values that repeat or are missing. Nothing when every row has its own."""
    if values == rows:
        return ""
    gaps = f", {grouped(missing)} missing" if missing else ""
    return f"{safe(name, 60)} does not identify rows: {counted(values, 'value')} in {counted(rows, 'row')}{gaps}"
