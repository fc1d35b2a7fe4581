"""The ship stage: how to use the model elsewhere, and what comes later."""

from __future__ import annotations

from textual.app import ComposeResult

from epochal.tui.paint import blank, heading, toned, wrapped
from epochal.tui.screens.base import StageScreen
from epochal.tui.text import content
from epochal.tui.widgets.lines import Lines
from epochal.workbench.views.ship import ship_view


class ShipScreen(StageScreen):
    """Commands and files."""

    STAGE = "ship"
    TEACHES = (
        "A finished model is a folder of plain files. The commands here predict new rows with exactly the cleaning and "
        "preparation the model was trained with; rows that cleaning would have removed come back marked, never missing."
    )

    def compose_body(self) -> ComposeResult:
        """One text."""
        yield Lines(id="ship-lines")

    def refresh_view(self, _topic: str) -> None:
        """Draw commands and files."""
        session = self.session
        if session.folder is None or session.file is None:
            return
        view = ship_view(session.folder, session.info, tested=session.seen.tested, project=session.project)
        body = self.query_one(Lines)
        width = min(body.size.width, 110)
        lines = [blank(), content(toned(view.headline, "bold"))]
        lines += wrapped(f"{view.changed[:1].upper()}{view.changed[1:]}.", width, "warning") if view.changed else []
        lines.append(blank())
        if view.commands:
            lines.append(heading("Use it", width))
            for command, words in view.commands:
                lines += wrapped(command, width, "accent")
                lines += wrapped(words, width, "quiet", 2)
            lines += [blank(), heading("Its files", width)]
            for path, words in view.files:
                lines += wrapped(path, width, "text")
                lines += wrapped(words, width, "quiet", 2)
            lines.append(blank())
        lines.append(heading("Comes later", width))
        for words in view.later:
            lines += wrapped(words, width, "text", 2, first=content(toned("· ", "quiet")))
        body.show(lines)
        self.set_next(view.next)

    def do_ship_down(self) -> None:
        """Scroll down."""
        self.query_one(Lines).scroll_lines(1)

    def do_ship_up(self) -> None:
        """Scroll up."""
        self.query_one(Lines).scroll_lines(-1)
