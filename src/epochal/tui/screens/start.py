"""The first run: a file, its first rows at once, and what is proposed; Enter accepts."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.content import Content

from epochal.core.errors import EpochalError
from epochal.core.tasks import TASKS
from epochal.show import cell_width, safe
from epochal.tui.paint import beside, blank, cell, heading, toned, wrapped
from epochal.tui.screens.base import StageScreen
from epochal.tui.screens.overlays import Item, Pick
from epochal.tui.text import Part, content
from epochal.tui.widgets.lines import Lines
from epochal.workbench import flow
from epochal.workbench.readings import READINGS, is_now
from epochal.workbench.views.start import StartView, Suggestion, start_view
from epochal.workbench.views.words import some


_TITLE = 16
"""Cells of what is proposed, before its value."""


class StartScreen(StageScreen):
    """A source that is no project yet."""

    STAGE = "start"
    TEACHES = (
        "This is what epochal makes of your file, each suggestion with its reason. Enter takes all of it and makes a "
        "project folder of plain text files; nothing is written before. If another column is to be predicted, press "
        "t and choose it: the other suggestions follow. If the columns below look wrong, r corrects how the file is "
        "read. Everything can be changed later in the panes."
    )

    def __init__(self) -> None:
        super().__init__()
        self._view: StartView | None = None

    def compose_body(self) -> ComposeResult:
        """The suggestions, and the first rows."""
        yield Lines(id="start-lines")
        yield Lines(id="start-rows")

    def refresh_view(self, _topic: str) -> None:
        """Draw the proposal."""
        draft = self.session.draft
        if draft is None:
            return
        self._view = view = start_view(draft, busy=self.session.job.text if self.session.job else "")
        top = self.query_one("#start-lines", Lines)
        top.show(_proposal(view, top.size.width))
        self._show_rows()
        self.set_next(view.next)
        self.refresh_footer()

    def _show_rows(self) -> None:
        if self._view is None:
            return
        below = self.query_one("#start-lines", Lines).below  # of its size now: another one draws all of this again
        rows = self.query_one("#start-rows", Lines)
        more = f"{self.key_of('start.down')} shows {some(below, 'more line')} of what is proposed" if below else ""
        rows.show(_preview(self._view, rows.size.width, more))

    def holds(self, when: str) -> bool:
        """Whether a command's condition holds."""
        view = self._view
        if view is None:
            return not when
        return {"suspected": bool(view.suspects or view.ignored), "text": view.text}.get(when, True)

    # ── commands ──

    def do_start_accept(self) -> None:
        """Make the project."""
        if self._view is None or self.session.job is not None:
            return
        if not self._view.ready:
            flow.propose(self.session)
        elif flow.accept(self.session):
            self.workbench.go("model")

    def do_start_target(self) -> None:
        """Choose another target."""
        view, draft = self._view, self.session.draft
        if view is None or draft is None:
            return
        others = [c.name for c in draft.head.columns if c.name not in view.targets] if draft.head else []
        likely = list(view.targets)
        items = [
            Item(value=c, title=safe(c), note="likely" if n < 3 and c in likely else "")
            for n, c in enumerate([*likely, *others])
        ]

        def took(target: str | None) -> None:
            if target:
                flow.propose(self.session, target=target)

        current = draft.project.columns.target if draft.project else ""
        self.workbench.push_screen(Pick("What is to be predicted?", items, current=current, search=True), took)

    def do_start_task(self) -> None:
        """Classes or a number."""
        draft = self.session.draft
        if draft is None or draft.project is None:
            return
        items = [Item(value=t.name, title=t.title, note=t.question) for t in TASKS.values()]

        def took(task: str | None) -> None:
            if task and draft.project is not None:
                flow.propose(self.session, target=draft.project.columns.target, task=task)

        self.workbench.push_screen(Pick("What is learnt?", items, current=draft.project.goal.task), took)

    def do_start_leave_out(self) -> None:
        """Leave out the inputs that nearly tell the target alone; where none does any more, take them back in."""
        view = self._view
        if view is None or not (view.suspects or view.ignored):
            return
        if self.session.job is not None:
            self.refuse("what the rows suggest is being looked at", "wait, or Esc")
            return
        flow.propose(self.session, ignore=(*view.ignored, *view.suspects) if view.suspects else ())

    def do_start_reading(self) -> None:
        """Correct how the file is read."""
        draft = self.session.draft
        if draft is None or draft.head is None:
            return
        head = draft.head
        if not head.delimiter:
            self.session.failed(EpochalError(f"{head.format} says by itself how it is read", code="nothing-to-correct"))
            return
        items = [
            Item(value=str(n), title=r.title, note="as it is read now" if is_now(head, r) else "")
            for n, r in enumerate(READINGS)
        ]
        items.append(Item(value="guess", title="as it was guessed"))

        def took(value: str | None) -> None:
            if value == "guess":
                flow.read_otherwise(self.session, {})
            elif value is not None:
                reading = READINGS[int(value)]
                flow.read_otherwise(self.session, {**draft.reading, reading.key: reading.value})

        self.workbench.push_screen(Pick("How is it read?", items, search=True), took)

    def do_start_down(self) -> None:
        """Scroll the suggestions."""
        self.query_one("#start-lines", Lines).scroll_lines(1)
        self._show_rows()

    def do_start_up(self) -> None:
        """Scroll back."""
        self.query_one("#start-lines", Lines).scroll_lines(-1)
        self._show_rows()


def _proposal(view: StartView, width: int) -> list[Content]:
    name = cell_width(view.source) + 3
    if name + cell_width(view.facts) <= width:
        lines = [blank(), content(toned(view.source, "bold"), "   ", toned(view.facts, "quiet")), blank()]
    else:
        # A long name has a line of its own: beside it, neither could be read.
        lines = [blank(), *wrapped(view.source, width, "bold"), *wrapped(view.facts, width, "quiet"), blank()]
    lines.append(heading("What is proposed", width, f"for a new project in {view.folder}"))
    if not view.suggestions:
        lines.append(content(toned("…" if not view.ready else "nothing", "quiet")))
    value = max(
        16, min(44, max((cell_width(s.value) for s in view.suggestions), default=0) + 2, width // 2 - _TITLE + 2)
    )
    for suggestion in view.suggestions:
        lines += _suggestion(suggestion, value, width)
    return lines


def _suggestion(suggestion: Suggestion, value: int, width: int) -> list[Content]:
    """One thing that is proposed: its value and its reason beside each other, each over as many lines as it needs."""
    tone = {"predict": "accent", "suspect": "warning"}.get(suggestion.title, "text")
    left = wrapped(suggestion.value, value - 2, tone)
    right = wrapped(suggestion.why, width - _TITLE - value, "quiet")
    titles = [content(cell(suggestion.title, _TITLE, "quiet"))]
    return beside(beside(titles, left, _TITLE, 0), right, _TITLE + value, 0)


def _preview(view: StartView, width: int, more: str) -> list[Content]:
    fitting: list[tuple[int, tuple[str, int, bool]]] = []
    used = 0
    for n, (title, wanted, right) in enumerate(view.columns):
        size = max(wanted, min(cell_width(title), 14))
        if used + size + 2 > width:
            break
        fitting.append((n, (title, size, right)))
        used += size + 2
    beyond = len(view.columns) - len(fitting)
    names = (
        part
        for n, (title, size, right) in fitting
        for part in (cell(title, size, "accent" if n == 0 and view.target else "head", right=right), "  ")
    )
    notes = (some(beyond, "more column") if beyond else "", more)
    lines = [heading("First rows", width, "; ".join(note for note in notes if note)), content(*names)]
    for row in view.rows:
        parts: list[Part] = []
        for n, (_title, size, right) in fitting:
            text = row[n] if n < len(row) else "·"
            parts += [cell(text, size, "quiet" if text == "·" else "text", right=right), "  "]
        lines.append(content(*parts))
    return lines
