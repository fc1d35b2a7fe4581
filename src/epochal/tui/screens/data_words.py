"""What the data pane says above the grid and on the next line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from textual.content import Content

from epochal.core.settings import Project
from epochal.data.protocol import Problem
from epochal.show import counted, safe
from epochal.tui.glyphs import glyphs
from epochal.tui.text import Part, content
from epochal.tui.widgets.data_side import told
from epochal.workbench.data_session import DataSession
from epochal.workbench.keys import Command
from epochal.workbench.views.data import SEPARATOR, headline, number
from epochal.workbench.views.goal import line_of


REJECTED = "rejected-lines"
"""The problem that the list of rejects explains."""


def headline_of(data: DataSession) -> Content:
    """The line above the grid, styled."""
    project = data.session.project
    uri = project.sources[0].uri.rsplit("/", 1)[-1] if project.sources else "no source"
    source = uri if len(project.sources) < 2 else f"{uri} and {len(project.sources) - 1} more"
    if data.failure is not None:
        where = safe(data.failure.where.rsplit("/", 1)[-1], 60)
        said = safe(data.failure.what, 300) + (f": {where}" if where else "")
        return content((f"{glyphs().bad} ", "bold $ep-bad"), (said, "$ep-text"))
    if data.view is None:
        count = f"first {number(len(data.head.rows))} rows, " if data.head else ""
        return content(
            (safe(source, 60), "bold $ep-text"), (SEPARATOR, "$ep-line"), (f"{count}reading …", "$ep-accent")
        )
    read = data.ledger["read"] if data.ledger else None
    parts = headline(source, data.query, data.view, read=read, hidden=len(data.hidden)).split(SEPARATOR)
    styled: list[Part] = [(parts[0], "bold $ep-text")]
    for n, part in enumerate(parts[1:]):
        style = "$ep-accent" if n == 1 and data.query.title else "$ep-quiet"
        styled += [(SEPARATOR, "$ep-line"), (part, style)]
    if data.ledger is not None and not data.query.title:
        rejects = rejected(data.ledger)
        styled += [
            (SEPARATOR, "$ep-line"),
            (counted(rejects, "reject"), "$ep-warning" if rejects else "$ep-quiet"),
        ]
    if data.selected:
        styled += [(SEPARATOR, "$ep-line"), (f"{number(len(data.selected))} selected", "bold $ep-blue")]
    return content(*styled)


def next_action(data: DataSession, area: str, index: int = 0) -> str:
    """What to do next and why; `area` is the list that has the keys, `index` the place of its cursor."""
    project = data.session.project
    if data.said:
        return data.said
    if area == "recipe":
        return "done from top to bottom · U takes a change back · Esc leaves the list"
    if area == "problems" and data.problems:
        return _at_problem(project, data.problems[min(index, len(data.problems) - 1)])
    if data.query.eids:
        return "these are the selected rows: gd leaves them out, q goes back to all"
    if data.selected:
        return f'{counted(len(data.selected), "row")} selected: " looks at them, gd leaves them out, gu unselects'
    if data.depth:
        return "these are some of the rows; q goes back to the others"
    if not project.columns.target:
        return "go to the column that should be predicted and press zt."
    return _of_all(data.problems or ())


def enter_does(project: Project, problem: Problem) -> str:
    """What Enter does to a problem, in a word: mend it, open what explains it, or nothing (empty)."""
    if problem.step is not None or problem.setting is not None:
        return "mend"
    return "open" if line_of(project, problem) or problem.code == REJECTED else ""


def _at_problem(project: Project, problem: Problem) -> str:
    if problem.step is not None or problem.setting is not None:
        return "Enter mends it · U takes that back · Esc leaves the list"
    if line_of(project, problem):
        return "Enter opens the line in 1 Goal that says it · Esc leaves the list"
    if problem.code == REJECTED:
        return "Enter shows the rejects: correct the file or how it is read · Esc leaves the list"
    return f"no key mends this one: {safe(problem.fix or 'look at the rows', 200)}"


def _of_all(problems: Sequence[Problem]) -> str:
    grave = [p for p in problems if p.severity != "hint"]
    if grave:
        return f"fix {counted(len(grave), 'problem')} (A), then 4 Model. {safe(_first(grave), 200)}"
    hints = f" {counted(len(problems), 'hint')}: A." if problems else ""
    return f"the rows look ready: 4 Model shows what can learn from them.{hints}"


_LISTS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "recipe": (
        ("Enter", "edit"),
        ("J K", "move"),
        ("x", "on/off"),
        ("d", "delete"),
        ("Esc", "back"),
        ("v", "rows after it"),
    ),
    "problems": (("j", "next"), ("Enter", "as told"), ("Esc", "back")),
}
"""Keys of the lists beside the grid, which are no commands of the pane."""


def footer_here(
    commands: Sequence[Command], area: str, ledger: Mapping[str, Any] | None, *, enter: str = ""
) -> tuple[Command, ...]:
    """The pane's commands as the footer shows them now: the keys of the list that has them; rejects early, if any.

    `enter`: what Enter does to the problem under the cursor.
    """
    if area:
        own = [
            Command(id=f"data.{area}.{title}", title=title, help="", keys=(key,), stages=("data",))
            for key, listed in _LISTS[area]
            if (title := listed if area != "problems" or key != "Enter" else enter)
        ]
        return (*own, *(c for c in commands if not c.stages))
    rejects = [c for c in commands if c.id == "data.rejects" and rejected(ledger)]
    others = [c for c in commands if c not in rejects]
    return (*others[:1], *rejects, *others[1:])


def rejected(ledger: Mapping[str, Any] | None) -> int:
    """Lines and cells that did not fit."""
    return sum(s["rejected"] + s["rejected_cells"] for s in ledger["sources"]) if ledger else 0


def _first(problems: Sequence[Problem]) -> str:
    """The first problem as a sentence of its own, where it does not begin with a name."""
    text = told(problems[0])
    return text if text != problems[0].what else text[:1].upper() + text[1:]
