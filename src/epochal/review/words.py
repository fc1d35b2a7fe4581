"""Numbers as people read them: standard library only."""

from __future__ import annotations

import math


def figure(value: float | None, *, digits: int = 3) -> str:
    """A number as tables show it: three decimals below ten, four significant digits above; "–" when there is none."""
    if value is None or math.isnan(value):
        return "–"
    if abs(value) < 10:
        return f"{value:.{digits}f}".replace("-", "−")
    places = max(0, digits - len(str(int(abs(value)))) + 1)
    return f"{value:,.{places}f}".replace(",", "\u202f").replace("-", "−") if abs(value) < 1e9 else f"{value:.3g}"


def chance(p: float | None) -> str:
    """A p-value as people read it: "p = 0.32", "p < 0.001"."""
    if p is None or math.isnan(p):
        return "no p-value"
    if p < 0.001:
        return "p < 0.001"
    return f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"
