"""Numbers and times as people say them."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from pathlib import Path

from epochal.show import counted, grouped


def duration(seconds: float) -> str:
    """Minutes and seconds, or hours: "0:21", "12:05", "3:02:10", "2 d 4 h"; "<1 s" for less than one second."""
    if not math.isfinite(seconds):
        return "–"
    if 0 < seconds < 0.95:
        return "<1 s"
    whole = max(0, round(seconds))
    if whole >= 172_800:
        return f"{whole // 86_400} d {whole % 86_400 // 3600} h"
    if whole >= 3600:
        return f"{whole // 3600}:{whole % 3600 // 60:02}:{whole % 60:02}"
    return f"{whole // 60}:{whole % 60:02}"


def count(number: float) -> str:
    """A whole number with its thousands apart: "11 800"."""
    return grouped(f"{number:.0f}")


def about(number: float) -> str:
    """A large number in short: "212 k", "1.4 M"."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if number >= size:
            scaled = number / (1e3 if unit == "k" else size)
            return f"{scaled:.0f} {unit}" if scaled >= 10 else f"{scaled:.1f} {unit}"
    return count(number)


def memory(num_bytes: float) -> str:
    """Bytes in short: "416 kB", "180 MB", "1.2 GB"."""
    for size, unit in ((1e9, "GB"), (1e6, "MB")):
        if num_bytes >= size:
            return (
                f"{num_bytes / size:.1f} {unit}"
                if unit == "GB" or num_bytes < 10 * size
                else f"{num_bytes / size:.0f} {unit}"
            )
    return f"{num_bytes / 1e3:.0f} kB"


def rate(per_second: float) -> str:
    """Rows a second, to three digits: "11 800 rows/s"."""
    if per_second <= 0 or not math.isfinite(per_second):
        return ""
    places = max(0, math.floor(math.log10(per_second)) - 2)
    return f"{count(round(per_second, -places))} rows/s"


def figure(value: float | None) -> str:
    """A metric's or a loss's value: three places, fewer for large ones, a power of ten for what nobody could read; "–" when there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    size = abs(value)
    if size >= 1e12:
        return f"{value:.2e}"
    if size >= 10_000:
        return count(value)
    if size >= 100:
        return f"{value:.1f}"
    if size >= 10:
        return f"{value:.2f}"
    return f"{value:.3f}" if size >= 0.001 or value == 0 else f"{value:.1e}"


def loss_figure(value: float) -> str:
    """A loss while it falls: a place more than `figure`, for late in a training that is where it still moves."""
    return f"{value:.4f}" if 0.001 <= abs(value) < 10 else figure(value)


def clock(moment: datetime) -> str:
    """The time of day here: "14:03"."""
    return moment.astimezone().strftime("%H:%M")


def age(seconds: float) -> str:
    """How long ago something was, as people say it: "<1 min", "12 min", "3 h", "2 d"."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return "<1 min"


def done_at(now: datetime, seconds_left: float) -> str:
    """When it will be done: the time of day, with the day when that is not today."""
    then = now.astimezone() + timedelta(seconds=seconds_left)
    return then.strftime("%H:%M") if then.date() == now.astimezone().date() else then.strftime("%a %H:%M")


def place(path: Path) -> str:
    """A file or folder as one would type it here: from the current folder if it lies in it, else from the root."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path != here and path.is_relative_to(here) else str(path)


def some(number: int, one: str, many: str = "") -> str:
    """A count with its noun: "1 row", "2 rows", "no rows"."""
    return counted(number, one, many) if number else f"no {many or one + 's'}"
