"""The goal stage: what is asked, when the answer is good, where the rows come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from textual.app import ComposeResult
from textual.content import Content

from epochal.core.errors import EpochalError
from epochal.core.settings import Project, parse_project, to_document, with_setting
from epochal.tui.glyphs import glyphs
from epochal.tui.paint import blank, cell, heading, toned, wrapped
from epochal.tui.screens.base import StageScreen
from epochal.tui.screens.overlays import Ask, Item, Pick
from epochal.tui.text import content, spread
from epochal.tui.widgets.lines import Lines
from epochal.workbench import flow
from epochal.workbench.readings import KEYS, READINGS
from epochal.workbench.views.goal import GoalRow, GoalView, goal_view


_DETAIL_LINES = 3
"""Of a value under the list; the style sheet gives the part these and two more."""


class GoalScreen(StageScreen):
    """The question and what judges the answer."""

    STAGE = "goal"
    TEACHES = (
        "A model answers one question: from the columns you know, what is the value of the target? The metric says "
        "how answers are judged, and the value at which you call it good is decided here, before anything is trained. "
        "Some rows are held out: validation rows choose the best moment, test rows stay sealed until the very end."
    )

    def __init__(self) -> None:
        super().__init__()
        self._view = GoalView(rows=(), next="")
        self._cursor = 0

    def compose_body(self) -> ComposeResult:
        """One list of lines, and the whole of what the cursor is on."""
        yield Lines(id="goal-lines")
        yield Lines(id="goal-detail")

    def refresh_view(self, topic: str) -> None:
        """Draw the goal."""
        if self.session.file is None:
            return
        if topic == "all":
            flow.learn_columns(self.session)
        if topic in {"all", "size", "project"}:
            self._view = goal_view(self.session.project)
            if self.session.goal_line:
                self._point(self.session.goal_line)
                self.session.goal_line = ""
            self._draw()

    def _draw(self) -> None:
        body, detail = self.query_one("#goal-lines", Lines), self.query_one("#goal-detail", Lines)
        width = body.size.width
        lines: list[Content] = []
        cursor = 0
        for n, row in enumerate(self._view.rows):
            if row.section:
                lines += [blank(), heading(row.section, width)]
            if n == self._cursor:
                cursor = len(lines)
            lines.append(self._line(row, n == self._cursor, width))
        body.show(lines, cursor)
        if self._view.rows:
            detail.show(_detail(self._view.rows[self._cursor], width))
        self.set_next(self._view.next)

    @staticmethod
    def _line(row: GoalRow, here: bool, width: int) -> Content:
        signs = glyphs()
        room = width - 18 if width < 96 else (width - 18) * 9 // 20
        value = row.value or ("not said yet" if row.needed or row.wanted else "–")
        tone = "warning" if row.needed else "text" if row.value else "quiet"
        left = content(
            (f"{signs.here} " if here else "  ", "$ep-accent"),
            cell(row.title, 14, "bold" if here else "quiet"),
            (f"{signs.problem} " if row.needed else "  ", "$ep-warning"),
            cell(value, room, "bold" if here and row.value else tone),
        )
        if width < 96:
            return left
        return spread(content(left, " ", toned(row.meaning, "quiet")), content(""), width)

    # ── commands ──

    def do_goal_down(self) -> None:
        """The next line."""
        self._cursor = min(len(self._view.rows) - 1, self._cursor + 1)
        self._draw()

    def do_goal_up(self) -> None:
        """The line before."""
        self._cursor = max(0, self._cursor - 1)
        self._draw()

    def do_goal_edit(self) -> None:
        """Change the line under the cursor."""
        if self._view.rows:
            self._edit(self._view.rows[self._cursor])

    def do_goal_target(self) -> None:
        """Choose the target."""
        self._edit_path("columns.target")

    def do_goal_metric(self) -> None:
        """Choose the metric."""
        self._edit_path("goal.metric")

    def do_goal_source(self) -> None:
        """Go to the first source's declarations."""
        lines = [r.path for r in self._view.rows if r.wanted]
        self._point(lines[0] if lines else "source.0.licence")
        self._draw()

    def _point(self, path: str) -> None:
        self._cursor = next((n for n, r in enumerate(self._view.rows) if r.path == path), self._cursor)

    def _edit_path(self, path: str) -> None:
        self._point(path)
        self._draw()
        self._edit(self._view.rows[self._cursor])

    def _edit(self, row: GoalRow) -> None:
        current = _raw(self.session.project, row.path)
        if row.editor == "choice":
            items = [Item(value=v, title=v or meaning, note=meaning if v else "") for v, meaning in row.choices]
            now = row.value if row.path.rpartition(".")[2] in KEYS else str(current)
            self.workbench.push_screen(Pick(row.title, items, current=now), lambda v: self._took(row, v))
        elif row.editor in {"column", "columns"}:
            self._pick_columns(row, current)
        else:
            text = "; ".join(current) if row.editor == "list" else "" if current is None else str(current)
            ask = Ask(row.title, text, meaning=row.meaning, check=lambda t: self._wrong(row, t))
            self.workbench.push_screen(ask, lambda v: self._took(row, v))

    def _pick_columns(self, row: GoalRow, current: Any) -> None:
        names = list(self.session.columns)
        chosen = set(current) if row.editor == "columns" else set()
        names += [c for c in ([current] if isinstance(current, str) and current else chosen) if c not in names]
        items = [Item(value=name, title=name) for name in names]
        if row.editor == "column" and row.path != "columns.target":
            items.insert(0, Item(value="", title="–", note="none"))
        many = row.editor == "columns"
        pick = Pick(
            row.title, items, current="" if many else str(current), search=True, chosen=chosen if many else None
        )
        self.workbench.push_screen(pick, lambda v: self._took(row, v))

    def _wrong(self, row: GoalRow, text: str) -> str:
        try:
            _changed(self.session.project, row.path, _value(row, text))
        except EpochalError as error:
            return f"{error.what}: {error.fix}"
        except ValueError:
            return "write a number, such as 0.95"
        return ""

    def _took(self, row: GoalRow, text: str | None) -> None:
        if text is None or self._wrong(row, text):
            return
        value = _value(row, text)
        if value == _raw(self.session.project, row.path):
            return
        self.session.change(_changed(self.session.project, row.path, value), f"{row.title}: {text[:60]}")


def _detail(row: GoalRow, width: int) -> list[Content]:
    """A line in full: what it means, and all of its value."""
    value = wrapped(row.value, width, "text", 2)
    if len(value) > _DETAIL_LINES:
        value = [*value[: _DETAIL_LINES - 1], content(toned(f"  {glyphs().ellipsis} (Enter shows the rest)", "quiet"))]
    return [
        heading(row.title, width),
        content(toned(f"  {row.meaning}", "quiet")).truncate(width, ellipsis=True),
        *value,
    ]


def _value(row: GoalRow, text: str) -> Any:
    """What a person typed or chose, as the setting's value. Raises ValueError for what is no number."""
    if row.path.rpartition(".")[2] in KEYS:
        return next((r.value for r in READINGS if r.title == text), None)
    if row.editor == "list":
        return [part.strip() for part in text.split(";") if part.strip()]
    if row.editor == "columns":
        return [part for part in text.split("\x1f") if part]
    if row.editor == "number":
        if not text.strip():
            return None
        if row.path == "split.seed":
            return int(text)
        share = text.strip().endswith("%")
        number = float(text.strip().rstrip("%").strip().replace(",", "."))
        return number / 100 if share else number
    return text.strip() if row.editor == "text" else text


def _raw(project: Project, path: str) -> Any:
    parts = path.split(".")
    if parts[0] == "source":
        return getattr(project.sources[int(parts[1])], parts[2])
    value = getattr(getattr(project, parts[0]), parts[1])
    return project.metric if path == "goal.metric" else value


def _changed(project: Project, path: str, value: Any) -> Project:
    """The project with one value changed. Raises SettingsError."""
    parts = path.split(".")
    if parts[0] == "source":
        sources = [dict(table) for table in to_document(project)["source"]]
        sources[int(parts[1])][parts[2]] = value
        if value is None:
            del sources[int(parts[1])][parts[2]]
        return parse_project({**to_document(project), "source": sources})
    if value is None:
        return _cleared(project, parts[0], parts[1])
    if path == "columns.target":
        project = replace(
            project, columns=replace(project.columns, ignore=tuple(c for c in project.columns.ignore if c != value))
        )
    if path == "goal.task" and value != project.goal.task:
        project = _cleared(
            _cleared(project, "goal", "metric", "at_least"), "model", *to_document(project).get("model", {})
        )
    return with_setting(project, path, value)


def _cleared(project: Project, table: str, *names: str) -> Project:
    document = dict(to_document(project))
    inner: Mapping[str, Any] = document.get(table, {})
    document[table] = {k: v for k, v in inner.items() if k not in names}
    return parse_project(document)
