"""The check before a run, over the Model pane: verdicts, the learning-rate picture, batch sizes, one key to take each."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.events import Key, Resize
from textual.screen import ModalScreen

from epochal.tui.glyphs import ASCII, bar, glyphs
from epochal.tui.paint import blank, cell, heading, toned, wrapped
from epochal.tui.screens.overlay import keys_line
from epochal.tui.text import Part, content, spread
from epochal.tui.widgets.chart import ChartView
from epochal.tui.widgets.lines import Lines
from epochal.workbench import flow
from epochal.workbench.keys import token
from epochal.workbench.views.check import TONES, CheckLine, CheckView, Offer, check_view, count_words


if TYPE_CHECKING:
    from collections.abc import Callable

    from epochal.tui.app import Workbench
    from epochal.workbench.session import Session


_TITLE = 20
"""Cells of a verdict's title, its sign apart."""
_WIDE = 104
"""Cells inside the sheet from which picture and batch sizes stand beside each other."""
_BAR = 10
_LEARNING_RATE, _BATCH_SIZE = "learning_rate", "batch_size"


class CheckSheet(ModalScreen[None]):
    """What the check says; it begins one when there is none of these settings."""

    AUTO_FOCUS = ""

    def __init__(self) -> None:
        super().__init__()
        self._view: CheckView | None = None
        self._sizes_shown = False
        """In a narrow sheet: batch sizes in the place of the picture."""
        self._said = ""
        self._unsubscribe: Callable[[], None] | None = None

    @property
    def session(self) -> Session:
        """The application behind the screen."""
        return cast("Workbench", self.app).session

    def compose(self) -> ComposeResult:
        """A title, the verdicts, the picture beside the sizes, keys."""
        with Vertical(id="sheet", classes="check"):
            yield Lines(id="sheet-title")
            yield Lines(id="check-lines")
            with Horizontal(id="check-main"):
                with Vertical(id="check-left"):
                    yield Lines(id="check-legend")
                    yield ChartView(id="check-chart")
                yield Lines(id="check-sizes")
            yield Lines(id="check-foot")

    def on_mount(self) -> None:
        """Show what is known, or find out."""
        self._unsubscribe = self.session.subscribe(self._heard)
        flow.recall_check(self.session)
        if not flow.check_holds(self.session):
            flow.check(self.session)
        self._look()

    def on_unmount(self) -> None:
        """Listen no more."""
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None

    def on_resize(self, _event: Resize) -> None:
        """What stands beside what depends on the room."""
        self.call_after_refresh(self._draw)

    def on_lines_resized(self, event: Lines.Resized) -> None:
        """Lay out anew what got more or less room."""
        event.stop()
        self.call_after_refresh(self._draw)

    def _heard(self, topic: str) -> None:
        if not self._stands:
            return
        if topic in {"check", "project"}:
            self._look()
        elif topic in {"job", "error", "notice"}:
            self._draw()

    def _look(self) -> None:
        checked = self.session.checked
        self._view = (
            check_view(checked.document, checked.project, ascii_only=glyphs() is ASCII) if checked is not None else None
        )
        self.call_after_refresh(self._draw)

    @property
    def checking(self) -> bool:
        """Whether a check is under way."""
        job = self.session.job
        return job is not None and job.name == "check"

    # ── drawing ──

    @property
    def _stands(self) -> bool:
        """Whether the widgets are there: news may come while the sheet is being taken down."""
        return self.is_running and bool(self.query("#check-foot"))

    def _draw(self) -> None:
        if not self._stands:
            return
        view = None if self.checking else self._view
        title, lines = self.query_one("#sheet-title", Lines), self.query_one("#check-lines", Lines)
        lines.show(self._lines(view, lines.size.width))
        note = content(self._note(view, lines.below))
        title.show([spread(content(toned(self._title(), "bold")), note, title.size.width)])
        wide = title.size.width >= _WIDE
        both = view is not None and view.chart is not None and bool(view.sizes)
        left, sizes = self.query_one("#check-left"), self.query_one("#check-sizes", Lines)
        shown = left.display, sizes.display
        left.display = view is not None and view.chart is not None and (wide or not self._sizes_shown)
        sizes.display = both and (wide or self._sizes_shown)
        if shown != (left.display, sizes.display):
            self.call_after_refresh(self._draw)  # what was hidden has no width yet
        sizes.set_class(wide, "-beside")
        main = self.query_one("#check-main")
        main.display = left.display or sizes.display
        lines.set_class(not main.display, "-alone")
        sizes.show(_sizes(view, sizes.size.width) if view is not None else [])
        legend, chart = self.query_one("#check-legend", Lines), self.query_one("#check-chart", ChartView)
        legend.show([_legend(view, legend.size.width)] if view is not None and view.chart is not None else [])
        chart.show(view.chart if view is not None else None)
        foot = self.query_one("#check-foot", Lines)
        foot.show(self._foot(view, foot.size.width, wide=wide, both=both))

    def _title(self) -> str:
        family = self.session.project.model.family
        return f"Check of {family}" if family else "Check"

    def _note(self, view: CheckView | None, below: int) -> Part:
        if self.checking or view is None:
            return toned("")
        if not flow.check_holds(self.session):
            return toned("of the settings before; C checks again", "warning")
        return toned(count_words(view) + (f"   j shows {below} more" if below else ""), "quiet")

    def _lines(self, view: CheckView | None, width: int) -> list[Content]:
        job = self.session.job
        if self.checking and job is not None:
            done = content(
                (bar(job.fraction or 0.0, 24, glyphs()), "$ep-accent on $ep-line"), "  ", toned(job.text, "text")
            )
            why = (
                "Throw-away models learn for some seconds each, in a process of their own; nothing of the project is "
                "changed and no test row is read."
            )
            return [done, blank(), *wrapped(why, width, "quiet")]
        if self.session.error is not None:
            return wrapped(f"{self.session.error.what}. {self.session.error.fix}", width, "bad")
        if view is None:
            return wrapped("The check was cancelled. C checks again, Esc goes back.", width, "quiet")
        return [line for verdict in (*view.lines, *view.others) for line in _verdict(verdict, width)]

    def _foot(self, view: CheckView | None, width: int, *, wide: bool, both: bool) -> list[Content]:
        cost = view.cost if view is not None else ""
        said = self._said or (f"{cost[:1].upper()}{cost[1:]}." if cost else "")
        keys: list[tuple[str, str]] = []
        if view is not None:
            keys += [(key, f"take {offer.words}") for key, offer in self._offers(view).items()]
            if both and not wide:
                keys.append(("Tab", "picture" if self._sizes_shown else "sizes"))
            keys.append(("C", "again"))
        keys.append(("Esc", "cancel" if self.checking else "back"))
        shown = keys_line(keys)
        return [*(wrapped(said, width, "second" if self._said else "quiet") or [blank()]), shown]

    def _offers(self, view: CheckView) -> dict[str, Offer]:
        """What can still be taken, by its key."""
        keys = {_LEARNING_RATE: "l", _BATCH_SIZE: "b"}
        train = self.session.project.train
        return {
            keys[name]: offer
            for name, offer in view.offers.items()
            if getattr(train, offer.setting.partition(".")[2]) != offer.value
        }

    # ── keys ──

    def on_key(self, event: Key) -> None:
        """Take, check again, scroll, leave."""
        event.stop()
        event.prevent_default()
        pressed = token(event.key, event.character)
        self.session.error = None
        scrolls = {"j": 1, "down": 1, "k": -1, "up": -1, "PgDn": 8, "PgUp": -8}
        if pressed in {"Esc", "q", "ctrl+c"}:
            self._leave()
        elif self.checking:
            return
        elif pressed in scrolls:
            self.query_one("#check-lines", Lines).scroll_lines(scrolls[pressed])
            self._draw()
        elif pressed == "Tab":
            self._sizes_shown = not self._sizes_shown
            self._draw()
        elif pressed == "C":
            self._said = ""
            flow.check(self.session)
        elif pressed == "U":
            self.session.undo()
            self._said = self.session.notice
            self._draw()
        elif self._view is not None:
            self._take(self._offers(self._view).get(pressed))

    def _leave(self) -> None:
        """Cancel what is under way; where nothing is, close."""
        if self.checking:
            self.session.cancel()
        else:
            self.dismiss(None)

    def _take(self, offer: Offer | None) -> None:
        if offer is None:
            return
        if self.session.set(offer.setting, offer.value, f"take {offer.setting} = {offer.value:g} from the check"):
            self._said = f"{offer.setting} = {offer.value:g} is set; U takes it back."
        self._draw()


def _signs() -> dict[str, str]:
    signs = glyphs()
    return {
        "ok": signs.done,
        "unsaid": signs.waiting,
        "hint": signs.here,
        "warning": signs.problem,
        "error": signs.bad,
    }


def _verdict(line: CheckLine, width: int) -> list[Content]:
    """A sign, what was looked at, what was found, and what to do about it under that."""
    tone = TONES[line.severity]
    head = content(toned(f"{_signs()[line.severity]} ", tone), cell(line.title, _TITLE, "text"))
    found = wrapped(line.what, width, "text" if line.severity != "unsaid" else "quiet", _TITLE + 2, first=head)
    return [*found, *(wrapped(line.fix, width, "quiet", _TITLE + 2) if line.fix else [])]


def _legend(view: CheckView, width: int) -> Content:
    parts: list[Part] = []
    for words, tone in view.legend:
        parts += ["   " if parts else "", toned(words, tone)]
    right = content(*parts)
    words = "loss while the learning rate rises"
    left = words if len(words) + right.cell_length + 3 <= width else "loss"
    return spread(content(toned(left, "quiet")), right, width)


def _sizes(view: CheckView, width: int) -> list[Content]:
    full = glyphs().blocks[8]
    lines = [
        heading("Batch sizes", width),
        content(
            cell("rows", 7, "quiet", right=True),
            cell("learnt from", 15, "quiet", right=True),
            cell("keeps", 9, "quiet", right=True),
        ),
    ]
    for row in view.sizes:
        chosen = bool(row.note)
        lines.append(
            content(
                cell(row.size, 7, "bold" if chosen else "text", right=True),
                cell(row.speed, 15, "text", right=True),
                cell(row.memory, 9, "quiet", right=True),
                "  ",
                (f"{full * max(1, round(row.share * _BAR)):<{_BAR}}", "$ep-accent" if chosen else "$ep-line"),
                "  ",
                toned(row.note, "quiet"),
            )
        )
    return lines
