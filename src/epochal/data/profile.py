"""What is known of one column in one view, exactly or from a stated sample; and its values with their counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from epochal.data.pages import shown
from epochal.data.protocol import Profile
from epochal.data.sqltext import as_text, identifier, is_date_type, is_number_type
from epochal.data.views import OpenedView


if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SAMPLE = 200_000
"""Views with at most so many rows are profiled exactly at once; larger ones from about that many evenly spread rows."""
_BINS = 24
_TOP = 12
_CUT = 60
_FENCE = 3.0
"""Quartile distances beyond the quartiles where an outlier begins (Tukey's outer fence)."""


def read_profile(con: DuckDBPyConnection, view: OpenedView, column: str, *, exact: bool = False) -> Profile:
    """The profile of one column of a view. Raises StepError when it is not there."""
    kind = view.base.types[view.base.column(column)]
    step = 1 if exact or view.rows <= SAMPLE else view.rows // SAMPLE
    name = identifier(column)
    rows = f"(SELECT {name} AS v FROM {view.relation([name])} WHERE _pos % {step} = 0)"  # noqa: S608 - quoted names
    count, filled, distinct = con.execute(
        f"SELECT count(*), count(v), count(DISTINCT v) FROM {rows}"  # noqa: S608 - quoted names
    ).fetchall()[0]
    known: dict[str, Any] = {}
    if filled and (is_number_type(kind) or is_date_type(kind)):
        known = _spread(con, rows, kind)
    elif filled and kind != "BOOLEAN":
        known = _texts(con, rows, kind)
    top = con.execute(
        f"SELECT v, count(*) AS n FROM {rows} WHERE v IS NOT NULL GROUP BY v"  # noqa: S608 - quoted names
        f" ORDER BY n DESC, v LIMIT {_TOP}"
    ).fetchall()
    return Profile(
        column=column,
        kind=view.base.kinds.get(column, "text"),
        rows=view.rows,
        missing=count - filled,
        distinct=distinct,
        exact=step == 1,
        sampled=count,
        top=tuple((shown(value, _CUT) or "", n) for value, n in top),
        **known,
    )


def _spread(con: DuckDBPyConnection, rows: str, kind: str) -> dict[str, Any]:
    """Range, middle, histogram and outliers of numbers and points in time."""
    date = is_date_type(kind)
    number = "epoch(v)" if date else "CAST(v AS DOUBLE)"
    finite = f"(SELECT {number} AS x, v FROM {rows} WHERE v IS NOT NULL AND isfinite({number}))"  # noqa: S608 - ours
    low, high, mean, lower, middle, upper, least, most, count = con.execute(
        f"SELECT min(x), max(x), avg(x), quantile_cont(x, 0.25), median(x), quantile_cont(x, 0.75),"  # noqa: S608 - ours
        f" min(v), max(v), count(*) FROM {finite}"
    ).fetchall()[0]
    if not count:
        return {}
    width = (high - low) / _BINS
    bins = [0] * _BINS
    if width > 0:
        found = con.execute(
            f"SELECT least({_BINS - 1}, CAST(floor((x - {low!r}) / {width!r}) AS INTEGER)) AS b, count(*)"  # noqa: S608 - ours
            f" FROM {finite} GROUP BY b"
        ).fetchall()
        for position, n in found:
            bins[max(0, position)] = n
    else:
        bins[0] = count
    fence = _FENCE * (upper - lower)
    outliers: int = con.execute(
        f"SELECT count(*) FROM {finite} WHERE x < {lower - fence!r} OR x > {upper + fence!r}"  # noqa: S608 - ours
    ).fetchall()[0][0]
    known: dict[str, Any] = {"min": shown(least), "max": shown(most), "histogram": tuple(bins)}
    if not date:
        known |= {"mean": mean, "median": middle, "low_quartile": lower, "high_quartile": upper}
        known["outliers"] = outliers if fence > 0 else 0
    return known


def _texts(con: DuckDBPyConnection, rows: str, kind: str) -> dict[str, Any]:
    """First and last by the alphabet, and how many values hold control characters."""
    text = as_text("v", kind)
    least, most, control = con.execute(
        f"SELECT left(min({text}), {_CUT}), left(max({text}), {_CUT}),"  # noqa: S608 - ours
        f" count(*) FILTER (regexp_matches({text}, '[\\x00-\\x08\\x0b-\\x1f\\x7f]|\\pC')) FROM {rows}"
    ).fetchall()[0]
    return {"min": shown(least, _CUT), "max": shown(most, _CUT), "control_characters": control}


def read_facets(con: DuckDBPyConnection, view: OpenedView, column: str, limit: int) -> dict[str, Any]:
    """The column's values with counts, most frequent first: [shown, count, raw], missing as [None, count, None]."""
    kind = view.base.types[view.base.column(column)]
    name, text = identifier(column), as_text(column, kind)
    rows = view.relation([name])
    distinct: int = con.execute(f"SELECT count(DISTINCT {name}) FROM {rows}").fetchall()[0][0]  # noqa: S608 - quoted
    plain = is_number_type(kind) or is_date_type(kind)  # these are shown, and stand among equals, as in the grid
    value = f"any_value({name})" if plain else "t"
    found = con.execute(
        f"SELECT {text} AS t, count(*) AS n, {value} AS v FROM {rows} GROUP BY t"  # noqa: S608 - quoted names
        f" ORDER BY n DESC, v LIMIT {max(1, min(limit, 10_000))}"
    ).fetchall()
    values = [[shown(v, _CUT), n, None if t is None else t[:10_000]] for t, n, v in found]
    return {"values": values, "distinct": distinct}
