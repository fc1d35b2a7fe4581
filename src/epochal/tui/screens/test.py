"""The test stage: sealed until asked, then what the rows never seen say."""

from __future__ import annotations

from dataclasses import replace

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content

from epochal.review.view import ReviewView
from epochal.show import cell_width
from epochal.tui.glyphs import glyphs
from epochal.tui.paint import beside, blank, cell, flowed, heading, toned, wrapped
from epochal.tui.screens.base import StageScreen
from epochal.tui.screens.overlays import TextOverlay
from epochal.tui.screens.verdict import (
    VERDICT_TONES,
    metrics_lines,
    per_class,
    per_class_or_none,
    residuals_lines,
    verdict_fits,
)
from epochal.tui.text import Part, content
from epochal.tui.widgets.chart import ChartView
from epochal.tui.widgets.lines import Lines
from epochal.workbench import flow
from epochal.workbench.evidence import changed_words, changes
from epochal.workbench.keys import Command
from epochal.workbench.views.ledger import ledger_line, ledger_words
from epochal.workbench.views.test import (
    Cursor,
    SealedView,
    confusions,
    headline,
    next_words,
    no_rows_words,
    rows_under,
    scatter,
    sealed_view,
    worst_words,
)


_MAX_CLASSES = 12
"""More classes than this do not fit as a matrix; what was most often taken for what is listed instead."""
_MOST_PAIRS = 8
"""So many of these."""

_FRAME = 3
"""Lines of the frame around a pane: top bar, next line, keys."""
_ROOM_FOR_ROWS = 4
"""Lines below which the worst rows cannot be walked through: their heading, three of them."""
_BESIDE = 14
"""Cells below which a row's inputs do not begin beside what was said of it."""
_NUMBER = 11
"""Cells that the cursor and a row's number take."""
_READABLE = 7
"""Cells of a column of the matrix in which most names can be told apart."""


def _classes(view: ReviewView) -> str:
    return f"{len(view.per_class)} classes"


class TestScreen(StageScreen):
    """The sealed test set and its verdict."""

    __test__ = False

    STAGE = "test"
    TEACHES = (
        "The test set is the exam: rows that no run has learnt from. The interval says how far chance alone could move "
        "the number; two models whose intervals overlap much may well be equal. 'Not shown' means that these rows "
        "cannot tell a difference from luck, not that there is none. In the matrix each line is what the rows truly "
        "are, each column what was predicted: the diagonal is right. Enter on a cell or a row shows those rows in the "
        "data pane."
    )

    def __init__(self) -> None:
        super().__init__()
        self._review: ReviewView | None = None
        self._cursor = Cursor()
        self._run = ""
        self._tested = False

    def compose_body(self) -> ComposeResult:
        """Figures, then for a number the scatter plot, then the worst rows."""
        yield Lines(id="test-top")
        with Horizontal(id="test-plots"):
            yield ChartView(id="scatter")
            yield Lines(id="residuals")
        yield Lines(id="test-worst")

    def refresh_view(self, topic: str) -> None:
        """Draw the seal or the verdict."""
        if topic not in {"all", "size", "runs", "review", "job", "project"} or self.session.file is None:
            return
        info = self.session.info
        opened = self.session.seen.tested and not self._tested  # by whoever, here or in another process
        self._tested = self.session.seen.tested
        if info is not None and (info.name != self._run or opened or topic in {"all", "review"}):
            if info.name != self._run:
                self._cursor = Cursor()
            self._run = info.name
            self._review = flow.review_of(self.session, info)
            self.refresh_shell()
        elif info is None:
            self._review = None
        self._draw()

    def _draw(self) -> None:
        plots, worst = self.query_one("#test-plots"), self.query_one("#test-worst", Lines)
        top = self.query_one("#test-top", Lines)
        view = self._review
        if view is None:
            plots.display = worst.display = False
            self._draw_sealed(top)
            return
        worst.display = True
        if self._cursor.part == "matrix" and not self._has_matrix:
            self._cursor = replace(self._cursor, part="worst")
        plots.display = view.residuals is not None
        top.show(self._verdict(view, top.size.width))
        worst.show(*self._worst(view, worst.size.width))
        if view.residuals is not None:
            self.query_one("#scatter", ChartView).show(scatter(view, ascii_only=glyphs().done == "+"))
            side = self.query_one("#residuals", Lines)
            side.show(residuals_lines(view, side.size.width))
        busy = self.session.job
        self.set_next(f"wait: {busy.text}." if busy is not None else next_words(view))
        self.refresh_footer()

    def _draw_sealed(self, top: Lines) -> None:
        sealed = self._sealed
        width = min(top.size.width, 84)
        lines = [blank(), blank()]
        for text, tone in sealed.lines:
            lines += wrapped(text, width, tone, 2) if text else [blank()]
        top.show(lines)
        self.set_next(sealed.next)
        self.refresh_footer()

    # ── painting ──

    def _verdict(self, view: ReviewView, width: int) -> list[Content]:
        info = self.session.info
        changed = changes(info.spec.project, self.session.project) if info is not None else ()
        parts = [*headline(view, changed_words(changed))]
        if not verdict_fits(view, width):
            strong = (c for c in view.comparisons if c.baseline == "strong")
            parts += [(c.words, VERDICT_TONES.get(c.verdict, "quiet")) for c in strong]
        air = [] if self.has_class("-short") else [blank()]
        lines = [*air, *flowed(parts, width, 3), *air, *metrics_lines(view, width)]
        if view.confusion is None:
            return lines
        room = self._lines_here - len(lines) - _ROOM_FOR_ROWS
        told = self._told(view, width)
        if len(view.per_class) > _MAX_CLASSES or (not self._has_matrix and len(told) > room):
            told = self._most_confused(view, width, room - 3)  # the row under the cursor takes two lines
        elif self._cursor.part == "worst" and len(told) > room:
            told = [content(toned(f"{_classes(view)}: Tab shows what was taken for what, c how each fared", "quiet"))]
        return [*lines, blank(), *told]

    @staticmethod
    def _most_confused(view: ReviewView, width: int, room: int) -> list[Content]:
        """Where no matrix can be shown: what was most often taken for what, as far as there is room."""
        lines = wrapped(f"{_classes(view)}: c shows how each fared", width, "quiet")
        return lines + [
            content(cell(f"{rows}×", 7, "bad", right=True), "  ", cell(words, width - 9))
            for words, rows in confusions(view, max(0, min(_MOST_PAIRS, room)))
        ]

    @property
    def _lines_here(self) -> int:
        """Lines the pane has for the verdict and the rows."""
        return self.app.size.height - _FRAME

    def _told(self, view: ReviewView, width: int) -> list[Content]:
        """What was taken for what, and how each class fared beside it where there is room."""
        classes = per_class(view)
        right = max((line.cell_length for line in classes), default=0)
        matrix = self._matrix(view, width - right - 4) or self._matrix(view, width)
        left = max((line.cell_length for line in matrix), default=0)
        if matrix and left + right + 4 <= width:
            return beside(matrix, classes, left, 4)
        return matrix or classes

    def _matrix(self, view: ReviewView, width: int) -> list[Content]:
        """The matrix in at most `width` cells; nothing when its names would not be readable in so few."""
        confusion = view.confusion
        if confusion is None or len(confusion.classes) > _MAX_CLASSES:
            return []
        widest = max(cell_width(c) for c in confusion.classes)
        names = max(4, min(18, widest))
        wanted = max(len(str(max(map(max, confusion.counts)))) + 2, 5, min(18, widest + 1))
        each = min(wanted, (width - names - 2) // len(confusion.classes))
        if each < min(wanted, _READABLE):
            return []
        head: list[Part] = [
            cell("", names + 2),
            *self._names(confusion.classes, each),
        ]
        lines = [content(cell("truth", names + 2, "head"), toned("  predicted", "head")), content(*head)]
        for i, row in enumerate(confusion.counts):
            parts: list[Part] = [cell(confusion.classes[i], names, "text"), "  "]
            for j, rows in enumerate(row):
                parts.append(self._count(rows, i, j, each))
            lines.append(content(*parts))
        return lines

    @staticmethod
    def _names(classes: tuple[str, ...], each: int) -> list[Part]:
        return [part for c in classes for part in (" ", cell(c, each - 1, "quiet", right=True))]

    def _count(self, rows: int, truth: int, prediction: int, width: int) -> Part:
        here = self._cursor.part == "matrix" and (self._cursor.truth, self._cursor.prediction) == (truth, prediction)
        tone = "quiet" if not rows else "good" if truth == prediction else "bad"
        text = str(rows) if rows else "·"
        if here:
            return content(
                " " * (width - len(text) - 2), (f"{glyphs().here}{text} ", "bold $ep-background on $ep-accent")
            )
        return content(cell(text, width - 1, tone, right=True), " ")

    def _worst(self, view: ReviewView, width: int) -> tuple[list[Content], int | None]:
        lines = [heading("Worst rows", width, ledger_line(view.ledger) if view.ledger else "")]
        here = self._cursor.part == "worst"
        words = worst_words(view.worst)
        room = min(max((cell_width(w) for w, _ in words), default=0), width - _NUMBER)
        at = None
        for n, (row, (said, inputs)) in enumerate(zip(view.worst, words, strict=True)):
            current = here and n == self._cursor.worst
            at = len(lines) if current else at
            head = content(
                (f"{glyphs().here} " if current else "  ", "$ep-accent"),
                cell(f"#{row.number}", 7, "quiet", right=True),
                "  ",
            )
            first, *rest = wrapped(said, _NUMBER + room, "bold" if current else "text", _NUMBER, first=head)
            beside_it = width - _NUMBER - room - 3
            if beside_it >= _BESIDE:
                first = content(first, " " * (_NUMBER + room + 3 - first.cell_length), toned(inputs, "quiet"))
            lines += [first, *rest]
            if current and cell_width(inputs) > (beside_it if beside_it >= _BESIDE else 0):
                whole = [(f"{title} {text}", "quiet") for title, text in row.inputs]
                lines += [content(" " * _NUMBER, line) for line in flowed(whole, width - _NUMBER, len(whole))]
        if not view.worst:
            lines.append(content(toned("  Every row was predicted right, and surely.", "quiet")))
        return lines, at

    # ── commands ──

    def holds(self, when: str) -> bool:
        """Whether a command's condition holds."""
        view = self._review
        return {
            "openable": view is None and self._sealed.can_open,
            "rows": view is not None and rows_under(view, self._cursor) is not None,
            "matrix": self._has_matrix,
            "classes": view is not None and bool(view.per_class),
            "several": len(self.session.seen.runs) > 1,
        }.get(when, True)

    def as_here(self, command: Command) -> Command:
        """Enter does what r does where there are rows under the cursor, and is shown for it."""
        if command.id != "test.rows":
            return command
        one = self._cursor.part == "worst"
        return replace(command, keys=("Enter", *command.keys), title="see the row" if one else "see its rows")

    @property
    def _sealed(self) -> SealedView:
        return sealed_view(self.session.info, busy=self.session.job.text if self.session.job is not None else "")

    def do_test_open(self) -> None:
        """Open the test set, or show the rows under the cursor."""
        info = self.session.info
        if self._review is not None:
            self.do_test_rows()
        elif info is not None and self._sealed.can_open:
            flow.open_test_set(self.session, info)
        else:
            self.refuse("the test set cannot be opened now", self._sealed.next)

    def do_test_rows(self) -> None:
        """Show the rows under the cursor in the data pane."""
        if self._review is None:
            self._refuse_sealed()
            return
        wanted = rows_under(self._review, self._cursor)
        if wanted is None:
            self.refuse(*no_rows_words(self._review, self._cursor))
        else:
            self.session.rows_wanted = wanted
            self.session.changed("rows")
            self.workbench.go("data")

    def _refuse_sealed(self) -> None:
        self.refuse("the test set is sealed", self._sealed.next)

    def do_test_down(self) -> None:
        """One down."""
        self._move(1, 0)

    def do_test_up(self) -> None:
        """One up."""
        self._move(-1, 0)

    def do_test_left(self) -> None:
        """One to the left."""
        self._move(0, -1)

    def do_test_right(self) -> None:
        """One to the right."""
        self._move(0, 1)

    def _move(self, down: int, right: int) -> None:
        view = self._review
        if view is None:
            self._refuse_sealed()
            return
        before = cursor = self._cursor
        if cursor.part == "matrix" and view.confusion is not None:
            last = len(view.confusion.classes) - 1
            if down > 0 and cursor.truth == last:
                self._cursor = replace(cursor, part="worst", worst=0)
            else:
                self._cursor = replace(
                    cursor,
                    truth=max(0, min(last, cursor.truth + down)),
                    prediction=max(0, min(last, cursor.prediction + right)),
                )
        elif down < 0 and cursor.worst == 0 and self._has_matrix:
            self._cursor = replace(
                cursor, part="matrix", truth=len(view.confusion.classes) - 1 if view.confusion else 0
            )
        else:
            self._cursor = replace(cursor, worst=max(0, min(len(view.worst) - 1, cursor.worst + down)))
        if self._cursor == before:
            walk = "Tab goes to the matrix" if cursor.part == "worst" and self._has_matrix else "j and k walk"
            self.refuse("there is nothing more that way", walk)
        self._draw()

    @property
    def _has_matrix(self) -> bool:
        """Whether there is a matrix that can be read."""
        view = self._review
        return view is not None and bool(self._matrix(view, self.query_one("#test-top", Lines).size.width))

    def do_test_other(self) -> None:
        """Between the matrix and the worst rows."""
        if self._review is None:
            self._refuse_sealed()
            return
        if not self._has_matrix:
            few = "c shows how each class fared" if self._review.per_class else "j and k walk through the worst rows"
            self.refuse("there is no matrix beside the worst rows", few)
        part = "matrix" if self._cursor.part == "worst" and self._has_matrix else "worst"
        self._cursor = replace(self._cursor, part=part)
        self._draw()

    def do_test_next_run(self) -> None:
        """The next run."""
        self._step(1)

    def do_test_run_before(self) -> None:
        """The run before."""
        self._step(-1)

    def _step(self, by: int) -> None:
        names = [r.name for r in self.session.seen.runs]
        place = names.index(self.session.seen.run) + by if self.session.seen.run in names else -1
        if 0 <= place < len(names):
            self.session.show_run(names[place])
        elif names:
            self.refuse(f"this is the {'oldest' if by > 0 else 'newest'} run", "5 Train trains another")
        else:
            self.refuse("there is no run yet", "5 Train trains one")

    def do_test_classes(self) -> None:
        """How each class fared."""
        self.workbench.push_screen(TextOverlay("Per class", lambda: per_class_or_none(self._review), live=False))

    def do_test_ledger(self) -> None:
        """The account of every line and row."""
        info = self.session.info
        ledger = self._review.ledger if self._review is not None else info.spec.ledger if info is not None else {}
        self.workbench.push_screen(TextOverlay("Ledger", lambda: ledger_words(ledger), live=False))
