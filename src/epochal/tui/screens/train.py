"""The train stage: the live chart of a run, the list of runs, what the coach sees."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.events import Resize

from epochal.charts import draw
from epochal.charts.picture import Chart
from epochal.tui.glyphs import glyphs
from epochal.tui.paint import blank, cell, flowed, heading, toned, wrapped
from epochal.tui.screens.base import StageScreen
from epochal.tui.text import Part, content, spread
from epochal.tui.widgets.chart import ChartView
from epochal.tui.widgets.lines import Lines
from epochal.workbench import flow
from epochal.workbench.views.curves import SMOOTHING, ZOOM_WORDS, Curves, Options, next_kind, title_of
from epochal.workbench.views.train import TrainView, train_view, unit_of


_SIGNS = {
    "running": "busy",
    "starting": "busy",
    "stopping": "busy",
    "done": "done",
    "failed": "bad",
    "diverged": "bad",
    "interrupted": "bad",
    "stuck": "bad",
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
        width = self.query_one("#train-runs", Lines).size.width
        self.query_one("#train-runs", Lines).show(_runs(view, width))
        self.query_one("#train-coach", Lines).show(_coach(view, self.query_one("#train-coach", Lines).size.width))
        side = self.query_one("#train-side", Lines)
        side.show(self._side(view, side.size.width, side.size.height))
        busy = self.session.job is not None
        self.set_next(f"wait: {self.session.job.text}." if busy and self.session.job else view.next)
        self.refresh_footer()

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
        signs = glyphs()
        legend: list[Part] = []
        if self._options.kind == "loss":
            legend = [toned(f"{signs.train} train {self._view.loss}".rstrip(), "accent"), "   "]
            legend.append(toned(f"{signs.validation} validation {self._view.validation_loss}".rstrip(), "second"))
        if self.session.seen.overlay is not None:
            legend += ["   ", toned(f"{signs.validation} {self.session.overlay_wanted}", "blue")]
        return spread(
            content(toned(title_of(self._options, self.session.seen.state), "quiet")), content(*legend, " "), width
        )

    def _sentence(self, view: TrainView) -> list[Content]:
        if not view.run:
            return [content(toned("No run yet", "bold"))]
        width = self.query_one("#sentence", Lines).size.width
        parts = [(view.run, "bold"), (view.family, "bold"), (view.status, view.tone), *view.facts]
        if view.best:
            parts.append((view.best, "second"))
        if view.survives:
            parts.append((view.survives, "quiet"))
        return flowed(parts, width, 2)

    def _side(self, view: TrainView, width: int, height: int) -> list[Content]:
        if width < 10:
            return []
        runs = _runs(view, width)
        coach = _coach(view, width)
        system = [content(cell(word, 13, "quiet"), toned(value)) for word, value in view.system]
        lines = [*runs, blank(), *coach, blank(), heading("System", width), *system, blank(), heading("Log", width)]
        room = max(0, height - len(lines))
        log = self.session.seen.log[-room:] if room else ()
        said = log or (("nothing was written",) if view.run else ())
        return [*lines, *(content(toned(line, "quiet")) for line in said)]

    def on_resize(self, event: Resize) -> None:
        """What stands where depends on the room."""
        super().on_resize(event)
        self.session.log_wanted = event.size.width >= 160 or self._log

    # ── commands ──

    def holds(self, when: str) -> bool:
        """Whether a command's condition holds."""
        return {"running": self._view.running, "resumable": self._view.resumable}.get(when, True)

    def do_train_start(self) -> None:
        """Start a run."""
        flow.train(self.session)

    def do_train_stop(self) -> None:
        """Stop the run that is shown, with a checkpoint."""
        if self.session.info is not None and self._view.running:
            flow.steer(self.session, self.session.info, "stop")

    def do_train_checkpoint(self) -> None:
        """Write a checkpoint."""
        if self.session.info is not None and self._view.running:
            flow.steer(self.session, self.session.info, "checkpoint")

    def do_train_resume(self) -> None:
        """Go on from the last checkpoint."""
        if self.session.info is not None and self._view.resumable:
            flow.go_on(self.session, self.session.info)

    def do_train_down(self) -> None:
        """The run below in the list."""
        self._step(1)

    def do_train_up(self) -> None:
        """The run above in the list."""
        self._step(-1)

    def _step(self, by: int) -> None:
        names = [r.name for r in self.session.seen.runs]
        if self.session.seen.run in names:
            place = max(0, min(len(names) - 1, names.index(self.session.seen.run) + by))
            self.session.show_run(names[place])

    def do_train_overlay(self) -> None:
        """Lay the next other run over this one, then none."""
        names = ["", *(r.name for r in self.session.seen.runs if r.name != self.session.seen.run)]
        place = names.index(self.session.overlay_wanted) if self.session.overlay_wanted in names else 0
        self.session.overlay_wanted = names[(place + 1) % len(names)]
        self.session.look()

    def _set(self, options: Options) -> None:
        self._options = options
        self.refresh_view("all")

    def do_train_log_scale(self) -> None:
        """Loss on a logarithmic scale, and back."""
        self._set(replace(self._options, log=not self._options.log))

    def do_train_smooth(self) -> None:
        """Smooth more, then not."""
        self._set(replace(self._options, smooth=(self._options.smooth + 1) % len(SMOOTHING)))

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
        if info is not None:
            self.workbench.push_screen(
                TextOverlay(f"host.log of {info.name}", lambda: self.session.seen.log or ("nothing was written",))
            )

    def do_train_test(self) -> None:
        """Go to the test set with this run."""
        self.workbench.go("test")


def _runs(view: TrainView, width: int) -> list[Content]:
    signs = glyphs()
    lines = [heading("Runs", width, view.metric)]
    name = max(8, width - 25)
    for row in view.runs:
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
    return lines


def _coach(view: TrainView, width: int) -> list[Content]:
    lines = [heading("Coach", width)]
    for finding in view.coach:
        sign = {"bad": glyphs().bad, "warning": glyphs().problem, "good": glyphs().done}.get(
            finding.tone, glyphs().waiting
        )
        lines += wrapped(finding.text, width, "text", 2, first=content(toned(f"{sign} ", finding.tone)))
    if len(lines) == 1:
        lines.append(content(toned("Nothing to say: it goes as it should." if view.running else "–", "quiet")))
    return lines
