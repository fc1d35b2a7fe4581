"""Recent projects and samples: where one lands without a project."""

from __future__ import annotations

from pathlib import Path

from textual.app import ComposeResult
from textual.content import Content

from epochal.core.errors import EpochalError
from epochal.project.discover import recent_projects, shipped_projects
from epochal.tui.glyphs import glyphs
from epochal.tui.paint import blank, cell, heading, toned, wrapped
from epochal.tui.screens.base import StageScreen
from epochal.tui.screens.overlays import Ask
from epochal.tui.text import content
from epochal.tui.widgets.lines import Lines
from epochal.workbench.views.home import HomeRow, home_rows


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
        self.set_next("Enter opens it. A sample is copied here first; o opens any path.")

    @staticmethod
    def _line(row: HomeRow, here: bool, width: int) -> Content:
        name = 18
        question = max(16, min(52, width - name - (30 if width >= 90 else 18)))
        note = row.state or (row.where if width >= 90 or not row.sample else "sample")
        return content(
            (f"{glyphs().here} " if here else "  ", "$ep-accent"),
            cell(row.name, name, "bold" if here else "text"),
            cell(row.question or row.where, question, "text"),
            "  ",
            cell(note, max(0, width - name - question - 4), "quiet"),
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
