"""Recent projects and samples: where one lands without a project."""

from __future__ import annotations

from pathlib import Path

from textual.app import ComposeResult
from textual.content import Content

from epochal.core.errors import EpochalError
from epochal.project.discover import recent_projects, shipped_projects
from epochal.show import cell_width
from epochal.tui.glyphs import glyphs
from epochal.tui.paint import blank, cell, heading, toned, wrapped
from epochal.tui.screens.base import StageScreen
from epochal.tui.screens.overlays import Ask
from epochal.tui.text import content
from epochal.tui.widgets.lines import Lines
from epochal.workbench.views.home import HomeRow, home_rows


def _tail(path: str, width: int) -> str:
    """The end of a path, which tells one folder from another, in at most `width` cells."""
    if cell_width(path) <= width:
        return path
    kept = path
    while kept and cell_width(kept) >= width:
        kept = kept[1:]
    return glyphs().ellipsis + kept


class HomeScreen(StageScreen):
    """What can be opened."""

    STAGE = "home"
    TEACHES = (
        "A project is a folder of plain text files: one question, its data, its runs. Open one, or give epochal a data "
        "file: `epochal measurements.csv`. The samples train in under a minute and are copied into the current folder "
        "before they are opened, so nothing you do to them can break."
    )

    def __init__(self) -> None:
        super().__init__()
        self._rows: tuple[HomeRow, ...] = ()
        self._cursor = 0

    def compose_body(self) -> ComposeResult:
        """One list."""
        yield Lines(id="home-lines")

    def refresh_view(self, topic: str) -> None:
        """Draw the list."""
        if topic == "all":
            self._rows = home_rows(recent_projects(), shipped_projects())
        self._draw()

    def _draw(self) -> None:
        body = self.query_one(Lines)
        width = body.size.width
        lines: list[Content] = [blank()]
        lines += wrapped(
            "From a raw file to a model you can trust: look, clean, train, test, ship. Open a project or a sample.",
            width,
            "quiet",
        )
        cursor, section = 0, ""
        for n, row in enumerate(self._rows):
            title = "Samples" if row.sample else "Recent"
            if title != section:
                lines += [blank(), heading(title, width)]
                section = title
            if n == self._cursor:
                cursor = len(lines)
            lines.append(self._line(row, n == self._cursor, width))
        lines += [
            blank(),
            content(
                toned("or  ", "quiet"),
                toned("epochal FILE.csv", "accent"),
                toned("  makes a project from a file", "quiet"),
            ),
        ]
        body.show(lines, cursor)
        self.set_next(self._next(width))

    def _next(self, width: int) -> str:
        if not self._rows:
            return "o opens any path."
        row = self._rows[self._cursor]
        what = (
            "Enter copies the sample here and opens it"
            if row.sample
            else f"Enter opens {_tail(row.where, max(16, width - 38))}"
        )
        return f"{what}; o opens any path."

    @staticmethod
    def _line(row: HomeRow, here: bool, width: int) -> Content:
        name, wide = 18, width >= 90
        state = 0 if row.sample else 18
        question = max(16, min(52 if row.sample else 40, width - name - (30 if wide else 18 if row.sample else 24)))
        left = width - name - question - state - (4 if row.sample else 6)
        note = row.where if row.sample else _tail(row.where, left)
        last = note if wide else "sample" if row.sample else ""
        return content(
            (f"{glyphs().here} " if here else "  ", "$ep-accent"),
            cell(row.name, name, "bold" if here else "text"),
            cell(row.question or row.where, question, "text"),
            "  ",
            *((cell(row.state, state, "text"), "  ") if state else ()),
            cell(last, max(0, left), "quiet"),
        )

    # ── commands ──

    def do_home_down(self) -> None:
        """The next one."""
        self._cursor = min(len(self._rows) - 1, self._cursor + 1)
        self._draw()

    def do_home_up(self) -> None:
        """The one before."""
        self._cursor = max(0, self._cursor - 1)
        self._draw()

    def do_home_open(self) -> None:
        """Open what is under the cursor."""
        if not self._rows:
            return
        row = self._rows[self._cursor]
        if row.sample:
            self._copy(row)
        else:
            self.workbench.open_target(str(row.folder))

    def _copy(self, row: HomeRow) -> None:
        from epochal.workbench.operations import copy_sample

        target = Path.cwd() / row.folder.name
        try:
            if not (target / "project.toml").exists():
                copy_sample(row.folder.name, target)
        except EpochalError as error:
            self.session.failed(error)
            return
        self.workbench.open_target(str(target))

    def do_home_path(self) -> None:
        """Open a path."""

        def took(path: str | None) -> None:
            if path:
                self.workbench.open_target(path)

        self.workbench.push_screen(
            Ask("Open", meaning="A project folder, a data file, or a name such as sklearn:iris."), took
        )
