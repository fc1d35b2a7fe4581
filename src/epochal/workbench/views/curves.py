"""A run's charts: which curves, on which scales; the work for a frame does not grow with the run."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from epochal.charts.picture import Chart, Curve
from epochal.charts.scale import Scale, growing, round_step, stepped
from epochal.charts.thin import Points, Thinner
from epochal.core.tasks import METRICS


if TYPE_CHECKING:
    from epochal.journal.reduce import RunState
    from epochal.journal.series import Series


ChartKind = Literal["loss", "metric", "rate", "gradient"]
KINDS: tuple[ChartKind, ...] = ("loss", "metric", "rate", "gradient")
BENDABLE: frozenset[ChartKind] = frozenset({"loss", "gradient"})
"""Charts that can be smoothed and drawn on a logarithmic scale."""
OVERLAID: frozenset[ChartKind] = frozenset({"loss", "metric"})
"""Charts over which another run's curve can be laid."""
SMOOTHING = (0.0, 0.6, 0.95)
SMOOTHING_WORDS = ("off", "a little", "much")
ZOOM_WORDS = ("whole run", "last half", "last tenth")
_ZOOM = (1.0, 0.5, 0.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the person set of the charts."""

    kind: ChartKind = "loss"
    log: bool = False
    smooth: int = 0
    zoom: int = 0


@dataclass
class _Grown:
    """One column of a series, thinned as it grows."""

    key: tuple[object, ...]
    thinner: Thinner
    y: Scale | None = None


@dataclass
class Curves:
    """Remembers what was drawn, so that axes stand still and only new points are looked at."""

    _grown: dict[str, _Grown] = field(default_factory=dict)
    _scales: dict[tuple[object, ...], Scale] = field(default_factory=dict)
    _run: object = None

    def chart(
        self, run: str, state: RunState, options: Options, overlay: RunState | None = None, *, unit: str = "epoch"
    ) -> Chart:
        """The chart of one kind; `unit` is what one pass is called."""
        if run != self._run:
            self._run, self._grown, self._scales = run, {}, {}
        x_column, x_title = self._x_axis(state, unit)
        curves, values = self._curves(state, options, x_column, overlay)
        levels = _levels(state) if options.kind == "metric" else ()
        x = self._x_scale(state, options, x_column)
        shown = [v for xs, ys in values for a, v in zip(xs, ys, strict=True) if x.low <= a <= x.high] or [
            v for _, ys in values for v in ys
        ]
        y = self._y_scale(options, shown, levels)
        return Chart(
            x=x,
            y=y,
            curves=curves,
            levels=levels,
            seams=_seams(state, x_column),
            stages=_stages(state, x_column),
            marks=_best(state, options, x_column),
            x_title=x_title,
        )

    def _x_axis(self, state: RunState, unit: str) -> tuple[str, str]:
        training = state.training
        if training is not None and training.epochs <= 1:
            return "step", "step"
        return "epoch", unit

    def _curves(
        self, state: RunState, options: Options, x: str, overlay: RunState | None
    ) -> tuple[tuple[Curve, ...], list[Points]]:
        smooth = SMOOTHING[options.smooth]
        if options.kind == "rate":
            wanted = [("rate", "rate", state.steps, "learning_rate", 0.0)]
        elif options.kind == "gradient":
            wanted = [("train", "gradient", state.steps, "grad_norm", smooth)]
        elif options.kind == "metric":
            wanted = [("metric", "metric", state.evaluations, "value", 0.0)]
            if overlay is not None:
                wanted.insert(0, ("old", "overlay-metric", overlay.evaluations, "value", 0.0))
        else:
            wanted = [
                *(("void", f"void{i}", b.steps, "loss", smooth) for i, b in enumerate(state.superseded)),
                ("train", "loss", state.steps, "loss", smooth),
                ("validation", "validation", state.evaluations, "validation_loss", 0.0),
            ]
            if overlay is not None:
                wanted.insert(0, ("old", "overlay", overlay.evaluations, "validation_loss", 0.0))
        curves: list[Curve] = []
        values: list[Points] = []
        for role, name, series, column, strength in wanted:
            xs, ys = self._points(name, series, x, column, strength)
            if xs:
                curves.append(Curve(role=role, xs=xs, ys=ys, dashed=role == "validation", dotted=role == "old"))
                if role != "void":
                    values.append((xs, ys))
        return tuple(curves), values

    def _points(self, name: str, series: Series, x: str, column: str, strength: float) -> Points:
        key = (x, strength)
        grown = self._grown.get(name)
        if grown is None or grown.key != key or grown.thinner.taken > len(series):
            grown = self._grown[name] = _Grown(key, Thinner(strength=strength))
        start = grown.thinner.taken
        if len(series) > start:
            grown.thinner.extend(series.column(x, start), series.column(column, start))
        return grown.thinner.points()

    def _x_scale(self, state: RunState, options: Options, x: str) -> Scale:
        done = state.epoch if x == "epoch" else float(state.step)
        total = 0.0
        if state.training is not None:
            total = float(state.training.epochs if x == "epoch" else state.total_steps)
        high = growing(done, total) if state.ended is None else max(done, 1e-9)
        high = max(high, 1.0)
        low = 0.0
        if options.zoom:
            span = max(done, 1e-9) * _ZOOM[options.zoom]
            step = 2.0 ** math.floor(math.log2(max(span / 8, 2.0**-8)))
            low = max(0.0, math.floor((done - span) / step) * step)
            high = min(high, math.ceil(done / step) * step) or high
            high = max(high, low + step)
        step = round_step(high - low, 6)
        if high - low >= 2:
            step = max(1.0, math.ceil(step))
        first = math.ceil(low / step - 1e-9)
        return Scale(low, high, tuple(n * step for n in range(first, math.floor(high / step + 1e-9) + 1)))

    def _y_scale(self, options: Options, values: list[float], levels: tuple[tuple[float, str], ...]) -> Scale:
        log = options.log and options.kind in BENDABLE
        key = (options.kind, log, options.zoom, options.smooth)
        finite = [v for v in values if math.isfinite(v)]
        if options.kind == "metric":
            finite += [value for value, _ in levels]
        scale = stepped(finite, 5, log=log, before=self._scales.get(key))
        self._scales[key] = scale
        return scale


def _levels(state: RunState) -> tuple[tuple[float, str], ...]:
    metric = state.training.metric if state.training else ""
    return tuple(
        (float(b.metrics[metric]), f"{name} {b.metrics[metric]:.3f}")
        for name, b in state.baselines.items()
        if metric in b.metrics and math.isfinite(b.metrics[metric])
    )


def _seams(state: RunState, x: str) -> tuple[float, ...]:
    """Where the run went on although it could not go on exactly."""
    per_epoch = state.training.steps_per_epoch if state.training and x == "epoch" else 1
    return tuple(step / per_epoch for step in state.seams)


def _stages(state: RunState, x: str) -> tuple[tuple[float, str], ...]:
    """Where more rows were fed: from the second stage on, as the first begins with the run."""
    per_epoch = state.training.steps_per_epoch if state.training and x == "epoch" else 1
    rows = state.training.rows_train if state.training else 0
    return tuple(
        (stage.step / per_epoch, f"{stage.rows / rows:.0%}" if rows else f"{stage.number}/{stage.of}")
        for stage in state.stages
        if stage.number > 1
    )


def _best(state: RunState, options: Options, x: str) -> tuple[tuple[float, float, str], ...]:
    if options.kind not in {"loss", "metric"} or not len(state.evaluations):
        return ()
    flags = state.evaluations.column("best")
    at = max((i for i, flag in enumerate(flags) if flag), default=None)
    if at is None:
        return ()
    column = "validation_loss" if options.kind == "loss" else "value"
    value = state.evaluations.column(column)[at]
    return ((state.evaluations.column(x)[at], value, "●"),) if math.isfinite(value) else ()


def title_of(options: Options, state: RunState | None) -> str:
    """What the chart shows, in words."""
    metric = METRICS.get(state.training.metric) if state is not None and state.training else None
    words = {
        "loss": "loss",
        "metric": f"{metric.title if metric else 'metric'} (validation)",
        "rate": "learning rate",
        "gradient": "gradient norm",
    }[options.kind]
    notes = [ZOOM_WORDS[options.zoom]] if options.zoom else []
    notes += ["log scale"] if options.log and options.kind in BENDABLE else []
    notes += [f"smoothed {SMOOTHING_WORDS[options.smooth]}"] if options.smooth and options.kind in BENDABLE else []
    return f"{words} · {', '.join(notes)}" if notes else words


def next_kind(options: Options, state: RunState | None) -> Options:
    """The options for the next chart that has anything to show."""
    place = KINDS.index(options.kind)
    for n in range(1, len(KINDS) + 1):
        kind = KINDS[(place + n) % len(KINDS)]
        if kind != "gradient" or state is None or not math.isnan(state.steps.last("grad_norm")):
            return replace(options, kind=kind)
    return options
