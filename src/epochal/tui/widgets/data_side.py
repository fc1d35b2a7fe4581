"""The panel beside the grid: what is known of a column, what is wrong, what the recipe does, the account."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from textual.content import Content
from textual.reactive import reactive

from epochal.data.protocol import Problem, Profile
from epochal.show import cell_width, counted, fit
from epochal.tui.glyphs import Glyphs, glyphs
from epochal.tui.text import Part, content, spread
from epochal.tui.widgets.lines import Lines
from epochal.workbench.views.data import RecipeLine, exactness, figure, ledger_line, number, tall_bars


FEW = 30
"""A number with more different values is told by its histogram, not by its most frequent values."""


FEW_PROBLEMS = 3
"""So many are told in full; of more, only the one under the cursor."""

TIGHT = 26
"""With fewer lines the list that has the keys takes the place of the profile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SideView:
    """All that the panel shows."""

    title: str = ""
    """The column's name, safe."""
    kind: str = ""
    role: str = ""
    profile: Profile | None = None
    problems: tuple[Problem, ...] | None = None
    recipe: tuple[RecipeLine, ...] = ()
    ledger: Mapping[str, Any] | None = field(default=None)
    reading: bool = True
    """False when the rows cannot be read, or reading was stopped: nothing more will be known."""
    area: str = ""
    """Which list has the keys: "problems", "recipe", or none."""
    index: int = 0


class DataSide(Lines):
    """The panel; it draws a view and knows nothing else. Only lines that changed are painted again."""

    DEFAULT_CSS = """
    DataSide { width: 38; height: 100%; background: $background; margin: 0 0 0 2; }
    """

    view: reactive[SideView] = reactive(SideView())

    def watch_view(self) -> None:
        """Draw another view."""
        self._draw()

    def on_resize(self) -> None:
        """Another width or height."""
        self._draw()

    def _draw(self) -> None:
        size = self.content_size
        if size.width and size.height:
            self.show(side_lines(self.view, size.width, size.height, glyphs()))


def side_lines(view: SideView, width: int, height: int, signs: Glyphs) -> list[Content]:
    """The panel's lines, exactly `height` of them, the account last."""
    account = _account(view, width, signs)
    room = max(0, height - len(account))
    problems, recipe = _problems(view, width, signs), _recipe(view, width, signs)
    wanted = len(problems[0]) + len(recipe[0]) + 4
    top = profile_lines(view, width, signs, tall=room - wanted >= 12, values=max(3, min(12, room - wanted - 9)))
    top = top[: max(6, room - min(wanted, 10))] if not view.area or height >= TIGHT else []
    left = room - len(top)
    share = min(len(problems[0]) + 2, max(left - len(recipe[0]) - 2, left // 2))
    lines = [*top, *_section("Problems", problems, share, width, signs)]
    lines += _section("Recipe", recipe, room - len(lines), width, signs)
    lines = lines[:room]
    return [*lines, *[Content("")] * (room - len(lines)), *account]


def _section(title: str, body: tuple[list[Content], int], room: int, width: int, signs: Glyphs) -> list[Content]:
    """A blank line, a heading with a rule, and as much of the body as fits, its cursor line among it."""
    if room < 3:
        return []
    lines, cursor = body
    head = content((title, "bold $ep-text"), " ", (signs.rule * (width - cell_width(title) - 1), "$ep-line"))
    space = room - 2
    first = max(0, min(cursor - space // 2, len(lines) - space)) if len(lines) > space else 0
    shown = lines[first : first + space]
    hidden = len(lines) - first - len(shown)
    if hidden > 0 and shown:
        shown[-1] = content((f"{signs.ellipsis} {hidden + 1} more lines", "$ep-quiet"))
    return [Content(""), head, *shown]


# ── the column ──


def profile_lines(view: SideView, width: int, signs: Glyphs, *, tall: bool, values: int) -> list[Content]:
    """What is known of the column under the cursor."""
    role = f"{view.role} {view.kind}".strip()
    style = "bold $ep-second" if view.role == "target" else "bold $ep-accent"
    name = content((fit(view.title, max(4, width - cell_width(role) - 2)), style))
    lines = [spread(name, content((role, "$ep-quiet")), width)]
    profile = view.profile
    if profile is None:
        waiting = view.title and view.reading
        return [*lines, content(("looking at its values …", "$ep-quiet")) if waiting else Content("")]
    lines += _counts(profile, width)
    if profile.histogram:
        lines += _histogram(profile, width, signs, 3 if tall else 1)
        lines += _figures(profile, width)
    if profile.top and (not profile.histogram or (tall and profile.distinct <= FEW)):
        lines += _values(profile, width, values, signs)
    return lines


def _counts(profile: Profile, width: int) -> list[Content]:
    dot: Part = (" · ", "$ep-line")
    rows = content(counted(profile.rows, "row"), dot, (exactness(profile), "$ep-quiet"))
    missing = (f"{number(profile.missing)} missing", "$ep-warning" if profile.missing else "$ep-quiet")
    values = content(missing, dot, f"{number(profile.distinct)} distinct")
    lines = [rows.truncate(width, ellipsis=True), values.truncate(width, ellipsis=True)]
    if profile.control_characters:
        lines.append(content((f"{signs_of_control(profile)}", "$ep-warning")))
    return lines


def signs_of_control(profile: Profile) -> str:
    """A warning about characters that could act on a terminal."""
    one = profile.control_characters == 1
    return f"! {counted(profile.control_characters, 'value')} {'holds' if one else 'hold'} invisible characters"


def _histogram(profile: Profile, width: int, signs: Glyphs, height: int) -> list[Content]:
    low, high = profile.min or "", profile.max or ""
    if height == 1:
        space = width - cell_width(low) - cell_width(high) - 2
        (line,) = tall_bars(profile.histogram, max(8, space), 1, signs.bars)
        return [content((low, "$ep-quiet"), " ", (line, "$ep-blue"), " ", (high, "$ep-quiet")).truncate(width)]
    drawn = tall_bars(profile.histogram, width, height, signs.bars)
    across = max(cell_width(drawn[-1]), cell_width(low) + cell_width(high) + 2)
    ends = spread(content((low, "$ep-quiet")), content((high, "$ep-quiet")), min(width, across))
    return [*(content((line, "$ep-blue")) for line in drawn), ends]


def _figures(profile: Profile, width: int) -> list[Content]:
    pairs: list[tuple[str, str]] = []
    if profile.median is not None:
        pairs.append(("median", figure(profile.median)))
    if profile.mean is not None:
        pairs.append(("mean", figure(profile.mean)))
    if profile.low_quartile is not None and profile.high_quartile is not None:
        pairs.append(("half within", f"{figure(profile.low_quartile)} … {figure(profile.high_quartile)}"))
    if profile.outliers is not None:
        pairs.append(("outliers", number(profile.outliers)))
    lines: list[Content] = []
    line = Content("")
    for label, value in pairs:
        item = content((f"{label} ", "$ep-quiet"), value)
        if line.cell_length and line.cell_length + item.cell_length + 3 > width:
            lines.append(line)
            line = Content("")
        line = content(line, "   ", item) if line.cell_length else item
    return [*lines, line] if line.cell_length else lines


def _values(profile: Profile, width: int, most: int, signs: Glyphs) -> list[Content]:
    """The most frequent values, each with a bar."""
    top = profile.top[:most]
    largest = max(count for _value, count in top)
    if largest == 1:
        examples = wrapped(", ".join(value for value, _count in top), width, 2)
        return [content(("every value is another one", "$ep-quiet")), *(content(line) for line in examples)]
    room = max(cell_width(number(largest)), 1)
    name = min(max(cell_width(v) for v, _c in top), max(6, width - room - 10))
    space = width - name - room - 2
    lines = []
    for value, count in top:
        eighths = max(1, round(count / largest * space * 8))
        full, rest = divmod(eighths, 8)
        bar = signs.blocks[8] * full + (signs.blocks[rest] if rest else "")
        shown = fit(value, name) or '""'
        lines.append(
            content(
                (shown + " " * (name - cell_width(shown)), "$ep-text"),
                " ",
                (f"{number(count):>{room}}", "$ep-quiet"),
                " ",
                (bar[:space], "$ep-blue"),
            )
        )
    more = profile.distinct - len(top)
    if more > 0:
        lines.append(content((f"and {counted(more, 'other value')}", "$ep-quiet")))
    return lines


# ── problems, recipe, account ──


def _problems(view: SideView, width: int, signs: Glyphs) -> tuple[list[Content], int]:
    if view.problems is None:
        said = "looking for problems …" if view.reading else "not known"
        return [content((said, "$ep-quiet"))], 0
    if not view.problems:
        return [content((f"{signs.done} ", "$ep-good"), ("none found", "$ep-quiet"))], 0
    lines: list[Content] = []
    cursor = 0
    whole = len(view.problems) <= FEW_PROBLEMS
    for n, problem in enumerate(view.problems):
        here = view.area == "problems" and n == view.index
        if here:
            cursor = len(lines)
        sign, style = {
            "error": (signs.bad, "$ep-bad"),
            "warning": (signs.problem, "$ep-warning"),
        }.get(problem.severity, (signs.waiting, "$ep-quiet"))
        edge = (signs.here if here else " ", "$ep-accent")
        for k, part in enumerate(wrapped(told(problem), width - 4, 4 if here or whole else 2)):
            mark = (sign if k == 0 else " ", style)
            lines.append(content(edge if k == 0 else " ", mark, " ", (part, "bold $ep-text" if here else "$ep-text")))
        if problem.fix:
            can = problem.step is not None or problem.setting is not None
            label = ("Enter ", "bold $ep-accent") if here and can else ("   ", "$ep-quiet")
            fixes = wrapped(problem.fix, width - 9 if here and can else width - 5, 3 if here or whole else 1)
            for k, part in enumerate(fixes):
                lines.append(
                    content("  ", label if k == 0 else " " * len(label[0]), (part, "$ep-blue" if can else "$ep-quiet"))
                )
    return lines, cursor


def column_of(problem: Problem) -> str:
    """The name of the column a problem is about, safe; nothing when it is about more, or about something else."""
    return problem.where.removeprefix("column ") if problem.where.startswith("column ") else ""


def told(problem: Problem) -> str:
    """What is wrong, after the column or source it is about."""
    about = column_of(problem) or (problem.where if problem.where.startswith("source ") else "")
    return f"{about}: {problem.what}" if about else problem.what


def wrapped(text: str, width: int, most: int) -> list[str]:
    """A text in at most `most` lines, broken at spaces, an ellipsis showing what is left out."""
    lines: list[str] = []
    line = ""
    words = text.split(" ")
    for n, word in enumerate(words):
        joined = f"{line} {word}" if line else word
        if cell_width(joined) <= width:
            line = joined
            continue
        if len(lines) == most - 1:
            return [*lines, fit(" ".join([*([line] if line else []), *words[n:]]), width)]
        if line:
            lines.append(line)
        line = word if cell_width(word) <= width else fit(word, width)
    return [*lines, line]


def _recipe(view: SideView, width: int, signs: Glyphs) -> tuple[list[Content], int]:
    if not view.recipe:
        return [content(("no steps yet: ", "$ep-quiet"), ("m", "bold $ep-text"), (" cleans", "$ep-quiet"))], 0
    lines = []
    for n, step in enumerate(view.recipe):
        here = view.area == "recipe" and n == view.index
        lines.append(recipe_line(step, width, signs, here=here, wide=max(len(s.op) for s in view.recipe)))
    return lines, view.index if view.area == "recipe" else len(lines) - 1


def recipe_line(step: RecipeLine, width: int, signs: Glyphs, *, here: bool, wide: int) -> Content:
    """One step: its number, name, what it works on, what it did."""
    style = "$ep-quiet" if not step.enabled else ("bold $ep-text" if here else "$ep-text")
    effect = content((step.effect, "$ep-quiet"), " ")
    edge = signs.here if here else " "
    room = width - effect.cell_length - min(wide, 14) - 6
    what = fit(step.what, room) if room > 3 else ""
    left = content(
        (edge, "$ep-accent"),
        (f"{step.n:>2} ", "$ep-quiet"),
        (f"{step.op:<{min(wide, 14)}} ", style),
        (what, "$ep-quiet"),
    )
    return spread(left, effect, width)


def _account(view: SideView, width: int, signs: Glyphs) -> list[Content]:
    text = ledger_line(view.ledger, width - 2)
    if not text:
        return []
    sums = bool(view.ledger and view.ledger["sums"])
    mark = (signs.done, "$ep-good") if sums else (signs.bad, "$ep-bad")
    return [content((signs.rule * width, "$ep-line")), content(mark, " ", (text, "$ep-text"))]


def lists_of(view: SideView) -> Sequence[str]:
    """The lists that can have the keys now."""
    return [name for name, items in (("problems", view.problems), ("recipe", view.recipe)) if items]
