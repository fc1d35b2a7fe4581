"""The label stage: what it will do, and what to use meanwhile."""

from __future__ import annotations

from textual.app import ComposeResult

from epochal.tui.paint import blank, heading, toned, wrapped
from epochal.tui.screens.base import StageScreen
from epochal.tui.text import content
from epochal.tui.widgets.lines import Lines


_WILL = (
    "One item, one key, the next one: digits are classes, Enter accepts what the model suggests, Space skips.",
    (
        "Queues that pay: where the model is unsure, where a label looks wrong, where two people disagree, "
        "duplicates with different labels, and a random share that keeps the rest honest."
    ),
    "Every decision is one line in labels/, with who and when; undo works across restarts.",
)
_MEANWHILE = (
    ("2 Data", "e changes a value wherever it stands in its column, as a step of the recipe; U takes it back."),
    ("2 Data", "map_values (m, v) turns old labels into new ones, F shows how often each stands there."),
    ("6 Test", "the worst rows are where labels are wrong most often: Enter shows them in the data pane."),
)


class LabelScreen(StageScreen):
    """Labelling, which is not here yet."""

    STAGE = "label"
    TEACHES = (
        "Labels decided by hand, one key each. This stage comes with a later version; it says what to use meanwhile."
    )

    def compose_body(self) -> ComposeResult:
        """One text."""
        yield Lines(id="label-lines")

    def refresh_view(self, topic: str) -> None:
        """Draw the text."""
        if topic not in {"all", "size"}:
            return
        body = self.query_one(Lines)
        width = min(body.size.width, 92)
        lines = [
            blank(),
            content(toned("Labels by hand come with a later version.", "bold")),
            blank(),
            heading("What it will do", width),
        ]
        for text in _WILL:
            lines += wrapped(text, width, "text", 2, first=content(toned("· ", "quiet")))
        lines += [blank(), heading("Until then", width)]
        for key, text in _MEANWHILE:
            lines += wrapped(text, width, "text", 10, first=content(toned(f"{key:<10}", "accent")))
        body.show(lines)
        self.set_next("2 Data changes labels that are wrong; 4 Model trains.")
