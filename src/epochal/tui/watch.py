"""`epochal watch`: one run's chart in a small app of its own, over the same views."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.events import Key
from textual.widgets import Static

from epochal.charts import draw
from epochal.project.discover import shipped_themes
from epochal.project.runfile import read_run
from epochal.runs.state import RunInfo
from epochal.tui.app import config_folder, wanted_theme
from epochal.tui.bridge import Call, Deliver
from epochal.tui.paint import flowed, toned
from epochal.tui.private import CalmApp
from epochal.tui.text import content, spread
from epochal.tui.themes import read_themes
from epochal.tui.widgets.chart import ChartView, legend
from epochal.tui.widgets.lines import Lines
from epochal.workbench.keys import token
from epochal.workbench.views.curves import BENDABLE, SMOOTHING, ZOOM_WORDS, Curves, Options, next_kind, title_of
from epochal.workbench.views.train import train_view, unit_of
from epochal.workbench.watcher import Seen, Watcher, Wish


FRAME_SECONDS = 0.5


class WatchApp(CalmApp[None], inherit_bindings=False):
    """One run, live."""

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    Screen { background: $background; color: $foreground; padding: 0 1; }
    #sentence { height: 2; }
    #title, #keys { height: 1; }
    """
    BINDINGS: ClassVar[list[tuple[str, str, str]]] = [("ctrl+c", "quit", "leave"), ("ctrl+q", "quit", "leave")]  # type: ignore[assignment]

    def __init__(self, run_folder: Path) -> None:
        super().__init__()
        self._spec = read_run(run_folder)
        self._options, self._curves = Options(), Curves()
        self._seen = Seen()
        self._watcher = Watcher(self._deliver)
        themes, _errors = read_themes(shipped_themes(), config_folder() / "themes")
        for theme in themes.values():
            self.register_theme(theme)
        self.theme = wanted_theme(themes)

    def compose(self) -> ComposeResult:
        """A sentence, the chart, the keys."""
        yield Lines(id="sentence")
        yield Lines(id="title")
        yield ChartView(id="chart")
        yield Static("", id="keys", markup=False)

    def on_mount(self) -> None:
        """Begin to look."""
        draw.warm()
        self._watcher.start()
        self._look()
        self.set_interval(FRAME_SECONDS, self._look)

    def on_unmount(self) -> None:
        """Look no more."""
        self._watcher.end()

    def _deliver(self, seen: Seen) -> None:
        Deliver(self)(lambda: self._saw(seen))

    def _look(self) -> None:
        self._watcher.ask(Wish(folder=self._spec.project_folder, run=self._spec.name))

    def on_call(self, message: Call) -> None:
        """What the watcher saw."""
        message.call()

    def _saw(self, seen: Seen) -> None:
        self._seen = seen
        self._draw()

    def on_lines_resized(self) -> None:
        """Lay out anew."""
        self.call_after_refresh(self._draw)

    @property
    def info(self) -> RunInfo | None:
        """The run."""
        return self._seen.info()

    def _draw(self) -> None:
        state = self._seen.state
        if state is None:
            return
        view = train_view(self._seen.runs, self._seen.run, state, datetime.now(UTC))
        sentence = self.query_one("#sentence", Lines)
        parts = [(view.run, "bold"), (view.family, "bold"), (view.status, view.tone), *view.facts]
        parts += [(view.best, "second")] if view.best else []
        sentence.show(flowed(parts, sentence.size.width, 2))
        title = self.query_one("#title", Lines)
        name = content(toned(title_of(self._options, state), "quiet"))
        width = title.size.width
        title.show([spread(name, legend(view, self._options.kind, width - name.cell_length - 1), width)])
        self.query_one(ChartView).show(
            self._curves.chart(self._seen.run, state, self._options, unit=unit_of(self._spec.family))
        )
        leaves = "q leaves, the run goes on" if self.info is not None and self.info.alive else "q leaves"
        bends = "   l log   e smooth" if self._options.kind in BENDABLE else ""
        self.query_one("#keys", Static).update(content(toned(f"{leaves}   Tab other chart{bends}   z zoom", "quiet")))

    def on_key(self, event: Key) -> None:
        """A few keys of the train pane, and q."""
        pressed = token(event.key, event.character)
        if pressed in {"q", "Esc"}:
            self.exit()
        elif pressed in {"Tab", "m"}:
            self._options = next_kind(self._options, self._seen.state)
        elif pressed == "l" and self._options.kind in BENDABLE:
            self._options = replace(self._options, log=not self._options.log)
        elif pressed == "e" and self._options.kind in BENDABLE:
            self._options = replace(self._options, smooth=(self._options.smooth + 1) % len(SMOOTHING))
        elif pressed == "z":
            self._options = replace(self._options, zoom=(self._options.zoom + 1) % len(ZOOM_WORDS))
        else:
            return
        event.stop()
        self._draw()
