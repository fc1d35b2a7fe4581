"""The train stage: the live chart of a run, the list of runs, what the coach sees."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.events import Resize, ScreenSuspend

from epochal.charts import draw
from epochal.charts.picture import Chart
from epochal.tui.glyphs import glyphs
from epochal.tui.paint import blank, cell, clipped, flowed, heading, toned, wrapped
from epochal.tui.screens.base import StageScreen
from epochal.tui.text import content, spread
from epochal.tui.widgets.chart import ChartView, legend
from epochal.tui.widgets.lines import Lines
from epochal.workbench import flow, resuming
from epochal.workbench.views.curves import (
    BENDABLE,
    OVERLAID,
    SMOOTHING,
    ZOOM_WORDS,
    Curves,
    Options,
    next_kind,
    title_of,
)
from epochal.workbench.views.train import TrainView, train_view, unit_of


if TYPE_CHECKING:
    from collections.abc import Callable

    from epochal.workbench.keys import Command

_CHOOSES = ("train.up", "train.down", "train.start")
"""Commands that do not depend on the run that is shown."""
_SIGNS = {
    "running": "busy",
    "starting": "busy",
    "stopping": "busy",
    "done": "done",
    "failed": "bad",
    "diverged": "bad",
    "interrupted": "bad",
    "stuck": "bad",
    "paused": "problem",
    "ready": "waiting",
}


class TrainScreen(StageScreen):
    """A run as it goes."""

    STAGE = "train"
    TEACHES = (
        "Training goes over the rows again and again and corrects the model a little each time. The loss says how "
        "wrong it still is: lower is better. The solid curve is the loss on the rows it learns from, the dashed one "
        "on rows that are only looked at (validation). When the dashed curve turns up again while the solid one "
        "falls, the model learns rows by heart; the best moment is kept, and marked with ●. The run lives in its own "
        "process: you may close this terminal and come back."
    )

    def __init__(self) -> None:
        super().__init__()
        self._options = Options()
        self._curves, self._second_curves = Curves(), Curves()
        self._view = TrainView()
        self._log = False
        self._later: tuple[Command, str, Callable[[], None]] | None = None
        """What waits for the run that was chosen, and what lets keys go on."""

    def compose_body(self) -> ComposeResult:
        """A sentence, the chart, and under or beside it the rest."""
        yield Lines(id="sentence")
        with Horizontal(id="train-main"):
            with Vertical(id="train-left"):
                yield Lines(id="chart-title")
                yield ChartView(id="chart")
                with Horizontal(id="train-under"):
                    with Vertical(id="second"):
                        yield Lines(id="second-title")
                        yield ChartView(id="second-chart")
                    yield Lines(id="train-runs")
                    yield Lines(id="train-coach")
            yield Lines(id="train-side")

    def on_mount(self) -> None:
        """Have plotext ready before the first frame."""
        super().on_mount()
        self._ready = False
        deliver = self.session.deliver

        def warm() -> None:
            draw.warm()
            deliver(self._warmed)

        threading.Thread(target=warm, name="epochal-warm", daemon=True).start()

    def _warmed(self) -> None:
        self._ready = True
        if self.shown and self.stands:
            self.refresh_view("all")

    # ── drawing ──

    def refresh_view(self, topic: str) -> None:
        """Draw the run as last seen."""
        if topic not in {"all", "size", "runs", "project", "job"}:
            return
        seen = self.session.seen
        self._view = view = train_view(
            seen.runs, seen.run, seen.state, datetime.now(UTC), family=self.session.project.model.family
        )
        self.query_one("#sentence", Lines).show(self._sentence(view))
        self._draw_charts()
        runs, coach = self.query_one("#train-runs", Lines), self.query_one("#train-coach", Lines)
        runs.show(_runs(view, *runs.size, self._all_of_it))
        coach.show(clipped(_coach(view, coach.size.width), coach.size.height, self._all_of_it))
        side = self.query_one("#train-side", Lines)
        side.show(self._side(view, side.size.width, side.size.height))
        busy = self.session.job is not None
        self.set_next(f"wait: {self.session.job.text}." if busy and self.session.job else view.next)
        self.refresh_footer()
        self._do_what_waits()

    def _draw_charts(self) -> None:
        seen = self.session.seen
        title, chart = self.query_one("#chart-title", Lines), self.query_one("#chart", ChartView)
        second_title, second = self.query_one("#second-title", Lines), self.query_one("#second-chart", ChartView)
        if seen.state is None or not self._ready or not (len(seen.state.steps) or len(seen.state.evaluations)):
            title.show([])
            chart.show(None)
            second_title.show([])
            second.show(None)
            return
        title.show([self._chart_title(title.size.width)])
        chart.show(
            self._ascii(
                self._curves.chart(seen.run, seen.state, self._options, seen.overlay, unit=unit_of(self._view.family))
            )
        )
        if second.size.height:
            other = replace(self._options, kind="metric" if self._options.kind != "metric" else "loss")
            second_title.show([content(toned(title_of(other, seen.state), "quiet"))])
            second.show(
                self._ascii(self._second_curves.chart(seen.run, seen.state, other, unit=unit_of(self._view.family)))
            )

    @staticmethod
    def _ascii(chart: Chart) -> Chart:
        return (
            replace(chart, ascii=True, marks=tuple((x, y, "O") for x, y, _ in chart.marks))
            if glyphs().done == "+"
            else chart
        )

    def _chart_title(self, width: int) -> Content:
        seen = self.session.seen
        other = seen.info(self.session.overlay_wanted) if seen.overlay is not None else None
        title = content(toned(title_of(self._options, seen.state), "quiet"))
        room = width - title.cell_length - 1
        return spread(title, legend(self._view, self._options.kind, room, other), width)

    def _sentence(self, view: TrainView) -> list[Content]:
        if not view.run:
            return [content(toned("No run yet", "bold"))]
        width, height = self.query_one("#sentence", Lines).size
        return flowed(_said(view), width, max(2, height))

    def _side(self, view: TrainView, width: int, height: int) -> list[Content]:
        if width < 10:
            return []
        runs = _runs(view, width, max(6, height // 3), self._all_of_it)
        coach = clipped(_coach(view, width), max(4, height // 3), self._all_of_it)
        lines = [*runs, blank(), *coach, blank(), *_system(view, width), blank(), heading("Log", width)]
        room = max(0, height - len(lines))
        log = self.session.seen.log[-room:] if room else ()
        said = log or (("nothing was written",) if view.run else ())
        return [*lines, *(content(toned(line, "quiet")) for line in said)]

    @property
    def _all_of_it(self) -> str:
        """What stands where a list is longer than its place."""
        return f"{self.key_of('train.detail')} shows all"

    def on_resize(self, event: Resize) -> None:
        """What stands where depends on the room."""
        super().on_resize(event)
        self.session.log_wanted = event.size.width >= 160 or self._log

    # ── commands ──

    def holds(self, when: str) -> bool:
        """Whether a command's condition holds."""
        return {
            "running": self._view.running,
            "stoppable": self._view.stoppable,
            "resumable": self._view.resumable,
            "testable": self._view.testable,
            "begun": bool(self._view.run),
            "several": len(self.session.seen.runs) > 1,
            "overlaid": len(self.session.seen.runs) > 1 and self._options.kind in OVERLAID,
            "bendable": self._options.kind in BENDABLE,
        }.get(when, True)

    def _refuses(self, what: str, fix: str) -> None:
        """Say why a key does nothing; before the first run that is why, whatever the key."""
        self.refuse(*((what, fix) if self._view.run else ("there is no run yet", "n trains one")))

    def do_train_start(self) -> None:
        """Start a run."""
        flow.train(self.session)

    def do_train_stop(self) -> None:
        """Stop the run that is shown: with a checkpoint, at once, by ending its process."""
        if self.session.info is not None and self._view.stoppable:
            flow.stop(self.session, self.session.info, self.key_of("train.stop"))
        else:
            self._nothing_to("stop")

    def do_train_checkpoint(self) -> None:
        """Write a checkpoint."""
        self._steer("checkpoint")

    def do_train_pin(self) -> None:
        """Write a checkpoint that is never deleted."""
        self._steer("pin")

    def do_train_checkpoints(self) -> None:
        """The run's checkpoints, over the pane."""
        from epochal.tui.screens.checkpoints import CheckpointSheet

        if self._view.run:
            self.workbench.push_screen(CheckpointSheet())
        else:
            self._refuses("", "")

    def _steer(self, verb: str) -> None:
        if self.session.info is not None and self._view.running:
            flow.steer(self.session, self.session.info, verb)
        else:
            self._nothing_to("keep")

    def _nothing_to(self, word: str) -> None:
        self._refuses(f"{self._view.run} is {self._view.status}: there is nothing to {word}", "n trains anew")

    def do_train_resume(self) -> None:
        """Go on from the last checkpoint."""
        refusal = resuming.refusal_of(self.session.seen.state)
        info = self.session.info if self._view.resumable else None
        if info is not None and refusal is not None:
            resuming.refuse_to_go_on(self.session, info, refusal)
        elif info is not None:
            resuming.go_on(self.session, info)
        elif self._view.running:
            self._refuses(f"{self._view.run} is under way: there is nothing to resume", "s stops it")
        else:
            self._refuses(f"{self._view.run} is {self._view.status}: there is nothing to resume", "n trains anew")

    def do_train_down(self) -> None:
        """The run below in the list."""
        self._step(1)

    def do_train_up(self) -> None:
        """The run above in the list."""
        self._step(-1)

    def _step(self, by: int) -> None:
        names = [r.name for r in self.session.seen.runs]
        self._forget_what_waits()
        wanted = self._wanted
        place = names.index(wanted) + by if wanted in names else -1
        if 0 <= place < len(names):
            self.session.show_run(names[place])
        else:
            self._refuses(f"this is the {'oldest' if by > 0 else 'newest'} run", "n trains another")

    @property
    def _wanted(self) -> str:
        """The run that was chosen last, which is not on screen before it was looked at."""
        seen, wanted = self.session.seen, self.session.run_wanted
        return wanted if any(r.name == wanted for r in seen.runs) else seen.run

    def perform(self, command: Command) -> None:
        """Do a command; one that is meant for a run just chosen waits until that one is shown, and so do later keys."""
        of_the_run = command.id.startswith("train.") and command.id not in _CHOOSES
        if not of_the_run or self._wanted == self.session.seen.run:
            super().perform(command)
        else:
            self._forget_what_waits()
            self._later = (command, self._wanted, self.workbench.hold_keys())

    def _do_what_waits(self) -> None:
        """Do the command that waits for its run, once that one is shown; not when another was chosen since."""
        if self._later is None:
            return
        command, run, release = self._later
        if run not in (self._wanted, self.session.seen.run):
            self._forget_what_waits()
        elif self._wanted == run == self.session.seen.run:
            self._later = None  # before: what it begins draws this pane anew
            self.perform(command)
            release()

    def _forget_what_waits(self) -> None:
        if self._later is not None:
            (_, _, release), self._later = self._later, None
            release()

    def on_screen_suspend(self, event: ScreenSuspend) -> None:
        """What was to be done when a run is shown is not done minutes later."""
        super().on_screen_suspend(event)
        self._forget_what_waits()

    def do_train_overlay(self) -> None:
        """Lay the next other run over this one, then none."""
        names = ["", *(r.name for r in self.session.seen.runs if r.name != self.session.seen.run)]
        if len(names) == 1:
            self._refuses("there is no other run to lay over this one", "n trains another")
            return
        if self._options.kind not in OVERLAID:
            self._refuses("other runs are laid over the loss and the metric", "Tab goes there")
            return
        place = names.index(self.session.overlay_wanted) if self.session.overlay_wanted in names else 0
        self.session.overlay_wanted = names[(place + 1) % len(names)]
        self.session.look()

    def _set(self, options: Options) -> None:
        if not self._view.run:
            self._refuses("", "")
        self._options = options
        self.refresh_view("all")

    def do_train_log_scale(self) -> None:
        """Loss on a logarithmic scale, and back."""
        if self._bends("has no logarithmic scale"):
            self._set(replace(self._options, log=not self._options.log))

    def do_train_smooth(self) -> None:
        """Smooth more, then not."""
        if self._bends("is not smoothed"):
            self._set(replace(self._options, smooth=(self._options.smooth + 1) % len(SMOOTHING)))

    def _bends(self, why_not: str) -> bool:
        """Whether the chart shown is one that this means something for; says so where it is not."""
        if self._options.kind in BENDABLE:
            return True
        self._refuses(f"{title_of(self._options, self.session.seen.state)} {why_not}", "Tab goes on to the loss")
        return False

    def do_train_zoom(self) -> None:
        """Zoom in on the end, then out."""
        self._set(replace(self._options, zoom=(self._options.zoom + 1) % len(ZOOM_WORDS)))

    def do_train_chart(self) -> None:
        """The next chart."""
        self._set(next_kind(self._options, self.session.seen.state))

    def do_train_log(self) -> None:
        """The host's log, over the pane."""
        from epochal.tui.screens.overlays import TextOverlay

        self.session.log_wanted = True
        self.session.look()
        info = self.session.info
        if info is None:
            self._refuses("", "")
        else:
            self.workbench.push_screen(
                TextOverlay(f"host.log of {info.name}", lambda: self.session.seen.log or ("nothing was written",))
            )

    def do_train_detail(self) -> None:
        """All that is known of the run, over the pane."""
        from epochal.tui.screens.overlays import TextOverlay

        if not self._view.run:
            self._refuses("", "")
            return
        width = min(104, int(self.app.size.width * 0.96) - 6)
        self.workbench.push_screen(TextOverlay(self._view.run, lambda: _in_full(self._view, width), live=False))

    def do_train_test(self) -> None:
        """Go to the test set with this run."""
        if not self._view.run:
            self._refuses("", "")
            return
        self.workbench.go("test")


def _said(view: TrainView) -> list[tuple[str, str]]:
    """The sentence's parts with their tones."""
    parts: list[tuple[str, str]] = [(view.run, "bold"), (view.family, "bold"), (view.status, view.tone), *view.facts]
    return [*parts, *((text, tone) for text, tone in ((view.best, "second"), (view.survives, "quiet")) if text)]


def _in_full(view: TrainView, width: int) -> list[Content]:
    """What the pane says in short, whole."""
    lines = [line for text, tone in _said(view) for line in wrapped(text, width, tone)]
    return [*lines, blank(), *_coach(view, width), blank(), *_runs(view, width), blank(), *_system(view, width)]


def _system(view: TrainView, width: int) -> list[Content]:
    rows = (wrapped(value, width, "text", 13, first=cell(word, 13, "quiet")) for word, value in view.system)
    return [heading("System", width), *(line for row in rows for line in row)]


def _runs(view: TrainView, width: int, height: int = 0, all_of_it: str = "") -> list[Content]:
    """The runs and baselines; where `height` lines do not hold all of them, those around the one that is shown.

    `all_of_it` says which key shows the others.
    """
    signs = glyphs()
    lines = [heading("Runs", width, view.metric)]
    name = max(8, width - 25)
    rows = view.runs
    room = height - 1 if 1 < height <= len(rows) else len(rows)
    if room < len(rows):
        here = next((n for n, row in enumerate(rows) if row.here), 0)
        first = max(0, min(here - (room - 1) // 2, len(rows) - room + 1))
        rows = rows[first : first + room - 1]
    for row in rows:
        sign = getattr(signs, _SIGNS.get(row.status, "here"), " ") if row.name else " "
        sign = sign if row.status in _SIGNS else " "
        lines.append(
            content(
                (signs.here if row.here else " ", "$ep-accent"),
                cell(row.number, 3, "text" if row.here else "quiet", right=True),
                " ",
                cell(row.family, name, "text" if row.name else "quiet"),
                cell(row.status, 11, row.tone),
                cell(row.value, 7, "text" if row.name else "quiet", right=True),
                " ",
                (sign, f"$ep-{row.tone}" if row.tone != "quiet" else "$ep-quiet"),
            )
        )
    if len(rows) < len(view.runs):
        lines.append(content(toned(f"  {len(view.runs) - len(rows)} more: {all_of_it}", "quiet")))
    return lines


def _coach(view: TrainView, width: int) -> list[Content]:
    lines = [heading("Coach", width)]
    for finding in view.coach:
        sign = {"bad": glyphs().bad, "warning": glyphs().problem, "good": glyphs().done}.get(
            finding.tone, glyphs().waiting
        )
        lines += wrapped(finding.text, width, "text", 2, first=content(toned(f"{sign} ", finding.tone)))
    if len(lines) == 1:
        lines += wrapped("Nothing to say: it goes as it should." if view.running else "–", width, "quiet")
    return lines
