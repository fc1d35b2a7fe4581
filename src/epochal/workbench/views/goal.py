"""The Goal pane's view: the question, what judges the answer, what is declared of the sources."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from epochal.core.tasks import METRICS, TASKS
from epochal.show import safe
from epochal.workbench.readings import KEYS, is_text_table, readings_of, said


if TYPE_CHECKING:
    from epochal.core.settings import Project, Source
    from epochal.data.protocol import Problem


Editor = Literal["text", "number", "choice", "column", "columns", "list"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GoalRow:
    """One line that can be changed."""

    path: str
    """Dotted; a source's key is `source.N.key`."""
    title: str
    value: str
    meaning: str
    editor: Editor = "text"
    choices: tuple[tuple[str, str], ...] = ()
    """Value and what it means."""
    section: str = ""
    """A heading before this line."""
    needed: bool = False
    """Whether nothing works without it, and it is missing."""
    wanted: bool = False
    """Whether it is missing and readers of the report will ask for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoalView:
    """What the Goal pane shows."""

    rows: tuple[GoalRow, ...]
    next: str


_SPLITS = (
    ("random", "each row by chance"),
    ("stratified", "by chance, each class in its share"),
    ("group", "rows that agree in one column stay together"),
    ("time", "the newest rows are held out"),
    ("column", "a column says it"),
)
_PERSONAL = (
    ("none", "it is not about people"),
    ("pseudonymised", "names were replaced, people could be found"),
    ("present", "people can be told from it"),
)


def goal_view(project: Project) -> GoalView:
    """The view of a project's goal, columns, split and sources."""
    goal, columns, split = project.goal, project.columns, project.split
    metric = METRICS[project.metric]
    bound = "at least" if metric.higher_is_better else "at most"
    rows = [
        GoalRow(
            path="goal.question",
            title="question",
            value=goal.question,
            meaning="What the model is to answer.",
            section="What is asked",
        ),
        GoalRow(
            path="columns.target",
            title="target",
            value=columns.target,
            meaning="The column that is predicted.",
            editor="column",
            needed=not columns.target,
        ),
        GoalRow(
            path="goal.task",
            title="task",
            value=goal.task,
            meaning=TASKS[goal.task].question,
            editor="choice",
            choices=tuple((t.name, t.question) for t in TASKS.values()),
        ),
        GoalRow(
            path="goal.metric",
            title="metric",
            value=project.metric,
            meaning=metric.meaning,
            editor="choice",
            choices=tuple((name, METRICS[name].meaning) for name in TASKS[goal.task].metrics),
        ),
        GoalRow(
            path="goal.at_least",
            title="good when",
            value=f"{bound} {goal.at_least:g}" if goal.at_least is not None else "",
            meaning="The value of the metric at which you call it good.",
            editor="number",
        ),
        GoalRow(
            path="goal.assumptions",
            title="assumptions",
            value=_sentences(goal.assumptions),
            meaning="What is taken for granted.",
            editor="list",
        ),
        GoalRow(
            path="goal.intended_use",
            title="intended use",
            value=goal.intended_use,
            meaning="What the model is for, and what not.",
        ),
        GoalRow(
            path="columns.ignore",
            title="ignored",
            value=", ".join(columns.ignore),
            meaning="Columns that are kept but not learnt from.",
            editor="columns",
            section="What it learns from",
        ),
        GoalRow(
            path="columns.key",
            title="key",
            value=columns.key,
            meaning="The column that names a row for ever.",
            editor="column",
        ),
        GoalRow(
            path="columns.group",
            title="group",
            value=columns.group,
            meaning="Rows that agree here stay on one side of a group split.",
            editor="column",
        ),
        GoalRow(path="columns.time", title="time", value=columns.time, meaning="When a row happened.", editor="column"),
        GoalRow(
            path="split.kind",
            title="split",
            value=split.kind,
            meaning=dict(_SPLITS)[split.kind] + ".",
            editor="choice",
            choices=_SPLITS,
            section="What is held out",
        ),
        GoalRow(
            path="split.validation",
            title="validation",
            value=f"{split.validation:.0%}".replace("%", " %"),
            meaning="Rows that choose the best moment and model.",
            editor="number",
        ),
        GoalRow(
            path="split.test",
            title="test",
            value=f"{split.test:.0%}".replace("%", " %"),
            meaning="Rows that stay sealed until the end.",
            editor="number",
        ),
        GoalRow(
            path="split.seed",
            title="seed",
            value=str(split.seed),
            meaning="Another number deals the rows out anew.",
            editor="number",
        ),
    ]
    for n, source in enumerate(project.sources):
        at = f"source.{n}"
        rows += [
            GoalRow(
                path=f"{at}.uri",
                title="from",
                value=source.uri,
                meaning="Where the rows come from.",
                section=f"Source {source.name}",
            ),
            *_readings(source, at),
            GoalRow(
                path=f"{at}.licence",
                title="licence",
                value=source.licence,
                meaning="The licence it may be used under.",
                wanted=not source.licence,
            ),
            GoalRow(
                path=f"{at}.origin",
                title="origin",
                value=source.origin,
                meaning="Who made it, where it was found.",
                wanted=not source.origin,
            ),
            GoalRow(
                path=f"{at}.personal_data",
                title="personal data",
                value=source.personal_data,
                meaning="Whether it is about people.",
                editor="choice",
                choices=_PERSONAL,
                wanted=not source.personal_data,
            ),
        ]
    shown = tuple(_safe(row) for row in rows)
    return GoalView(rows=shown, next=_next(shown))


_DECLARED = {"licence": "licence", "origin": "origin", "personal-data": "personal_data"}
"""Problems that are a line not filled in, with its key of the source."""


def line_of(project: Project, problem: Problem) -> str:
    """The path of the line that mends a problem; empty when this pane does not."""
    key = _DECLARED.get(problem.code)
    places = (n for n, s in enumerate(project.sources) if key and problem.where == f"source {safe(s.name, 60)}")
    place = next(places, None)
    return f"source.{place}.{key}" if place is not None else ""


def _sentences(texts: Iterable[str]) -> str:
    """Texts in a row: a sentence that has its own end needs no other."""
    said = ""
    for text in texts:
        said += (" " if said.endswith((".", "!", "?", "…")) else "; " if said else "") + text
    return said


def _readings(source: Source, at: str) -> list[GoalRow]:
    """How a text file is read; other formats say it themselves."""
    if not is_text_table(source):
        return []
    return [
        GoalRow(
            path=f"{at}.{key}",
            title="quotes" if key == "quote" else key,
            value=said(source, key) or "as it was guessed",
            meaning=meaning,
            editor="choice",
            choices=(("", "as it was guessed"), *((r.title, "") for r in readings_of(key))),
        )
        for key, meaning in KEYS.items()
    ]


def _safe(row: GoalRow) -> GoalRow:
    return GoalRow(
        path=row.path,
        title=row.title,
        value=safe(row.value),
        meaning=row.meaning,
        editor=row.editor,
        choices=row.choices,
        section=safe(row.section),
        needed=row.needed,
        wanted=row.wanted,
    )


def _next(rows: tuple[GoalRow, ...]) -> str:
    if any(r.needed for r in rows):
        return "t chooses the column to predict."
    names = ", ".join(dict.fromkeys(r.title for r in rows if r.wanted))
    if names:
        return f"2 Data shows the rows, 4 Model trains. Not declared (s): {names}."
    return "2 Data to look at the rows, or 4 Model to train."
