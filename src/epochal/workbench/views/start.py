"""What is proposed for a source, before a project is made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from epochal.core.settings import Project
from epochal.show import safe
from epochal.workbench.views.words import memory, place, some


if TYPE_CHECKING:
    from epochal.data.protocol import Head
    from epochal.workbench.flow import Draft


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """One thing that is proposed, with its reason."""

    title: str
    value: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StartView:
    """What the start screen shows."""

    source: str
    facts: str
    """Format, size, columns: what is known at once."""
    folder: str
    suggestions: tuple[Suggestion, ...]
    columns: tuple[tuple[str, int, bool], ...]
    """Title, width and whether to the right, of the preview's columns; the target first in sight."""
    rows: tuple[tuple[str, ...], ...]
    target: str
    targets: tuple[str, ...]
    suspects: tuple[str, ...]
    """Inputs that nearly tell the target alone."""
    ignored: tuple[str, ...]
    """Columns the person left out."""
    text: bool
    """Whether how the file is read can be corrected; so while nothing is known of it."""
    ready: bool
    next: str


_TITLES = {
    "columns.target": "predict",
    "goal.task": "task",
    "goal.metric": "judged by",
    "columns.ignore": "leave out",
    "split.kind": "hold out",
    "split": "hold out",
    "columns.key": "key",
    "columns.group": "group",
    "columns.time": "time",
    "goal.question": "question",
}


def start_view(draft: Draft, *, busy: str = "") -> StartView:
    """The view of a draft."""
    head, proposal, project = draft.head, draft.proposal, draft.project
    target = project.columns.target if project is not None else ""
    return StartView(
        source=safe(draft.uri),
        facts=_facts(head),
        folder=safe(place(draft.folder)),
        suggestions=_suggestions(draft, project) if proposal is not None else (),
        columns=_columns(head, target),
        rows=_rows(head, target),
        target=safe(target),
        targets=tuple(proposal.targets) if proposal is not None else (),
        suspects=tuple(proposal.suspects) if proposal is not None else (),
        ignored=draft.ignore,
        text=head is None or bool(head.delimiter),
        ready=project is not None and not busy,
        next=_next(draft, project, busy),
    )


def _facts(head: Head | None) -> str:
    if head is None:
        return "is being read"
    parts = [
        head.format,
        memory(head.bytes) if head.bytes >= 1e5 else some(head.bytes, "byte"),
        some(len(head.columns), "column"),
    ]
    if head.encoding:
        parts.append(head.encoding)
    if head.delimiter:
        parts.append(
            {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar", " ": "space"}.get(
                head.delimiter, safe(head.delimiter)
            )
            + " between fields"
        )
    return ", ".join(p for p in parts if p) + (f". {safe(head.note)}" if head.note else "")


def _suggestions(draft: Draft, project: Project | None) -> tuple[Suggestion, ...]:
    if draft.proposal is None:
        return ()
    rows = [
        Suggestion(title=_title(path), value=safe(value), why=safe(why)) for path, value, why in draft.proposal.reasons
    ]
    if project is not None and not project.columns.target:
        rows.insert(0, Suggestion(title="predict", value="?", why="no column looks like it: t chooses one"))
    return tuple(rows)


def _title(path: str) -> str:
    return _TITLES.get(path, safe(path.rpartition(".")[2].replace("_", " ")))


def _order(head: Head, target: str) -> list[int]:
    """The columns in their order, the target first so that it is in sight."""
    places = list(range(len(head.columns)))
    at = next((n for n, c in enumerate(head.columns) if c.name == target), None)
    return places if at is None else [at, *(n for n in places if n != at)]


def _columns(head: Head | None, target: str) -> tuple[tuple[str, int, bool], ...]:
    if head is None:
        return ()
    return tuple(
        (head.columns[n].title, max(4, min(18, head.columns[n].width)), head.columns[n].right)
        for n in _order(head, target)
    )


def _rows(head: Head | None, target: str) -> tuple[tuple[str, ...], ...]:
    if head is None:
        return ()
    order = _order(head, target)
    return tuple(tuple("·" if row[n] is None or row[n] == "" else str(row[n]) for n in order) for row in head.rows)


def _next(draft: Draft, project: Project | None, busy: str) -> str:
    if busy:
        return "wait: looking at all rows, or Esc; nothing is written yet."
    if project is None or draft.proposal is None:
        return "Enter looks at all rows and proposes; nothing is written yet."
    if not project.columns.target:
        return "t chooses the column to predict."
    if draft.proposal.suspects:
        return "Enter makes the project; i leaves out the suspects; t takes another target."
    return "Enter makes the project as proposed; t takes another target."
