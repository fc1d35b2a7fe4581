"""What the data pane shows, as frozen values and plain words; pure functions, no screen and no host."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from epochal.core.byhand import rows_by_hand
from epochal.core.settings import Project
from epochal.core.steps import OPS, Step, parse_step
from epochal.data.protocol import ColumnInfo, Problem, Profile, View
from epochal.show import cell_width, counted, grouped, safe
from epochal.workbench.views.forms import typed_number


WIDEST = 28
"""Cells a column takes at most until the person widens it."""

TITLES = (WIDEST, 18, 12)
"""Cells that a name may claim beyond what the values need: the first with which all columns fit, else the last."""


SEPARATOR = " · "
"""Between the parts of the line above the grid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which rows are looked at: everything but the recipe itself."""

    title: str = ""
    """What the rows are, in words; nothing for all rows."""
    steps: int | None = None
    sort: tuple[tuple[str, bool], ...] = ()
    where: tuple[tuple[str, str, Any], ...] = ()
    eids: tuple[int, ...] = ()
    keys: tuple[str, ...] = ()
    part: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnView:
    """One column of the grid."""

    name: str
    title: str
    kind: str
    width: int
    right: bool
    role: str
    sort: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeLine:
    """One step in the recipe panel."""

    n: int
    op: str
    what: str
    """Its columns or its condition, short."""
    effect: str
    """"336 cells", "−2 rows", or nothing while it is not known."""
    enabled: bool


def number(value: int) -> str:
    """A whole number in groups: 20 640."""
    return grouped(value)


def figure(value: float | None) -> str:
    """A measured number, as short as it stays true to four digits."""
    if value is None:
        return "–"
    if abs(value) < 1e15 and (value == int(value) or abs(value) >= 9999.5):
        whole = round(value)  # four digits are read at a glance, and often are a year
        return number(whole) if abs(whole) >= 1e4 else str(whole)
    return f"{value:.4g}"


def share(part: int, whole: int) -> str:
    """A part of a whole: 44 %, 0.3 %, and never a nought for something."""
    percent = 100 * part / whole if whole else 0.0
    if part and percent < 0.1:
        return "<0.1 %"
    return f"{percent:.0f} %" if percent >= 10 or percent == int(percent) else f"{percent:.1f} %"


# ── the grid ──


def column_views(
    columns: Sequence[ColumnInfo],
    project: Project,
    query: Query,
    hidden: frozenset[str],
    widths: Mapping[str, int],
    *,
    room: int = 0,
) -> tuple[ColumnView, ...]:
    """The columns that are not hidden, with what the project says of them; ignored ones stand at the end.

    `room` is the grid's width in cells: where all columns fit into it, names are shown whole.
    """
    order = {name: n for n, (name, _down) in enumerate(query.sort, 1)}
    shown = [c for c in sorted(columns, key=lambda c: c.name in project.columns.ignore) if c.name not in hidden]
    fitted = [[_width(c, most, sorted_=c.name in order) for c in shown] for most in TITLES]
    chosen = next((ws for ws in fitted if sum(ws) + 2 * len(ws) <= room), fitted[-1])
    spare = max(0, room - sum(chosen) - 2 * len(chosen))
    views: list[ColumnView] = []
    for column, least in zip(shown, chosen, strict=True):
        # Where all columns fit, what is left shows more of long values.
        width = min(max(column.width, least), least + spare)
        spare -= width - least
        sort = ""
        if column.name in order:
            sort = ("↓" if dict(query.sort)[column.name] else "↑") + (str(order[column.name]) if len(order) > 1 else "")
        views.append(
            ColumnView(
                name=column.name,
                title=column.title,
                kind=column.kind,
                width=widths.get(column.name, width),
                right=column.right,
                role=role_of(column.name, project),
                sort=sort,
            )
        )
    return tuple(views)


def _width(column: ColumnInfo, most: int, *, sorted_: bool) -> int:
    name = min(cell_width(column.title) + (3 if sorted_ else 0), most)
    return min(max(column.width, name, cell_width(column.kind), 3), WIDEST)


def role_of(column: str, project: Project) -> str:
    """What a column is for: target, key, ignored, or nothing for an input."""
    if column == project.columns.target:
        return "target"
    if column == project.columns.key:
        return "key"
    return "ignored" if column in project.columns.ignore else ""


def headline(source: str, query: Query, view: View, *, read: int | None, hidden: int) -> str:
    """The line above the grid: what is looked at, and how much of all it is. `read` are the rows before the recipe."""
    parts = [safe(source, 60)]
    if query.title or view.rows != view.total:
        parts.append(f"{number(view.rows)} of {counted(view.total, 'row')}")
        if query.title:
            parts.append(safe(query.title, 120))
    elif read is not None and read != view.rows and query.steps is None:
        parts.append(f"{counted(read, 'row')} × {number(len(view.columns))}")
        parts.append(f"{number(view.rows)} after cleaning")
    else:
        parts.append(f"{counted(view.rows, 'row')} × {number(len(view.columns))}")
    if hidden:
        parts.append(f"{counted(hidden, 'column')} hidden (gv shows {'it' if hidden == 1 else 'them'})")
    if query.steps is not None:
        parts.append(f"after step {query.steps}" if query.steps else "raw, before any step")
    return SEPARATOR.join(parts)


# ── the recipe and the ledger ──


def step_title(op: str, params: Mapping[str, Any]) -> str:
    """What a step does, as a title."""
    by_hand = rows_by_hand(params.get("where"))
    return f"leave out {_by_hand(by_hand)}" if op == "filter" and by_hand else OPS[op].title


def _by_hand(rows: int) -> str:
    return f"{counted(rows, 'row')} chosen by hand"


def _condition(where: str) -> str:
    by_hand = rows_by_hand(where)
    return _by_hand(by_hand) if by_hand else where


def mended(problem: Problem, steps: int) -> str:
    """What was done about a problem; `steps` are those of the recipe since."""
    if problem.step is not None:
        step = parse_step(problem.step)
        return f"step {steps} added: {step_title(step.op, step.params)}, {step_words(step)}"
    if problem.setting is None:
        return ""
    dotted, value = problem.setting
    words = _SETTINGS.get(dotted)
    return safe(words(value) if words is not None else f"{dotted} is now {value}", 200)


_SETTINGS: Mapping[str, Callable[[Any], str]] = {
    "columns.ignore": lambda names: f"{names[-1]} is ignored",
    "columns.target": lambda name: f"{name} is what is predicted",
    "columns.key": lambda name: f"{name} identifies rows" if name else "rows are told apart by their content",
}
"""What settings that mend a problem come to."""


def step_words(step: Step) -> str:
    """What a step works on, short: its columns, its condition, its values."""
    p, columns = step.params, _columns(step.columns)
    words = _WORDS.get(step.op)
    return safe(words(p, columns) if words is not None else columns or "all columns", 200)


def _columns(columns: tuple[str, ...]) -> str:
    return ", ".join(columns) if len(columns) < 3 else counted(len(columns), "column")


def _mapping(params: Mapping[str, Any]) -> str:
    if "file" in params:
        return f"by {params['file']}"
    pairs = [f"{old} → {new}" for old, new in params["mapping"].items()]
    return ", ".join(pairs[:2]) + (f" and {len(pairs) - 2} more" if len(pairs) > 2 else "")


def _marks(params: Mapping[str, Any], columns: str) -> str:
    return " ".join(f'"{v}"' for v in params["values"]) + (f" in {columns}" if columns else "")


def _bound(params: Mapping[str, Any], name: str) -> str:
    return typed_number(params[name]) if name in params else ""


_WORDS: Mapping[str, Callable[[Mapping[str, Any], str], str]] = {
    "rename": lambda p, c: f"{c} → {p['to']}",
    "set_kind": lambda p, c: f"{c} → {p['kind']}",
    "replace": lambda p, c: f"{c}: {p['find']!r} → {p.get('with', '')!r}",
    "map_values": lambda p, c: f"{c} {_mapping(p)}",
    "mark_missing": _marks,
    "fill": lambda p, c: f"{c} with {p['value']}",
    "filter": lambda p, _c: _condition(p["where"]),
    "compute": lambda p, _c: f"{p['column']} = {p['as']}",
    "split_column": lambda p, c: f"{c} at {p['at']!r}",
    "clip": lambda p, c: f"{c} {_bound(p, 'low')} … {_bound(p, 'high')}",
}


def recipe_lines(steps: Sequence[Step], ledger: Mapping[str, Any] | None) -> tuple[RecipeLine, ...]:
    """The recipe with what each step did, as far as it is known."""
    counts = {c["n"]: c for c in (ledger or {}).get("steps", ())}
    return tuple(
        RecipeLine(n=n, op=s.op, what=step_words(s), effect=_effect(s, counts.get(n)), enabled=s.enabled)
        for n, s in enumerate(steps, 1)
    )


def _effect(step: Step, count: Mapping[str, Any] | None) -> str:
    if not step.enabled:
        return "off"
    if count is None:
        return ""
    if OPS[step.op].removes_rows:
        return f"−{counted(count['removed'], 'row')}" if count["removed"] else "0 rows"
    if OPS[step.op].changes_columns and not count["changed"]:
        return _COLUMN_EFFECTS[step.op](step)
    return counted(count["changed"], "cell")


_COLUMN_EFFECTS: Mapping[str, Callable[[Step], str]] = {
    "select": lambda step: f"{counted(len(step.columns), 'column')} kept",
    "drop_columns": lambda step: f"−{counted(len(step.columns), 'column')}",
    "rename": lambda _step: "1 name",
    "compute": lambda _step: "+1 column",
    "split_column": lambda step: f"+{counted(len(step.params['into']), 'column')}",
}
"""What steps that touch no cell do, for the recipe panel."""


def ledger_line(ledger: Mapping[str, Any] | None, width: int) -> str:
    """The account in one line, as much of it as fits."""
    if ledger is None:
        return ""
    train, validation, test, kept = (number(ledger[k]) for k in ("train", "validation", "test", "kept"))
    for text in (
        f"{kept} = {train} train + {validation} validation + {test} test",
        f"{kept} = {train} train + {validation} val. + {test} test",
        f"{kept} = {train} + {validation} + {test}",
        f"{train} + {validation} + {test}",
    ):
        if len(text) <= width:
            return text
    return kept


# ── the profile ──


def tall_bars(counts: Sequence[int], width: int, height: int, signs: str) -> tuple[str, ...]:
    """A histogram of `height` lines, the top one first, as wide as it may be.

    Neighbouring bins are joined until they fit, or each is drawn several cells wide; a bin that holds anything shows
    at least a sliver.
    """
    if not counts or width <= 0:
        return ("",) * height
    step = -(-len(counts) // width)
    joined = [sum(counts[i : i + step]) for i in range(0, len(counts), step)]
    most, levels = max(joined) or 1, len(signs)
    eighths = [max(1, round(c * height * levels / most)) if c else 0 for c in joined]
    drawn = [eighths[x * len(joined) // width] for x in range(width)]
    lines = []
    for line in range(height - 1, -1, -1):
        cells = [min(levels, max(0, e - line * levels)) for e in drawn]
        lines.append("".join(signs[c - 1] if c else " " for c in cells))
    return tuple(lines)


def exactness(profile: Profile) -> str:
    """Whether figures are of all rows."""
    return "exact" if profile.exact else f"sample of {number(profile.sampled)}"
