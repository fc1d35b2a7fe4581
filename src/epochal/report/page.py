"""report.html: the whole review on one page that needs nothing else: no script, no network, every text escaped."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from epochal.core.ledger import Ledger
from epochal.report import svg
from epochal.report.style import STYLE
from epochal.review.words import figure
from epochal.show import counted, safe


if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from epochal.project.runfile import RunSpec
    from epochal.review.view import Confusion, Estimate, MetricRow, ReviewView

_SHARES = {"accuracy", "balanced_accuracy", "f1", "f1_positive", "roc_auc", "average_precision", "ece"}
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def page_text(spec: RunSpec, view: ReviewView) -> str:
    """The page. Rows are left out when a source is declared to hold personal data."""
    title = f"{_e(spec.project.name)}: {_e(spec.name)}"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="referrer" content="no-referrer">'
        f"<style>{STYLE}</style></head><body><main>\n" + "\n".join(_body(spec, view)) + "\n</main></body></html>\n"
    )


def _e(text: object) -> str:
    return escape(safe(str(text), 2000))


def _body(spec: RunSpec, view: ReviewView) -> Iterator[str]:
    yield from _head(spec, view)
    yield _metrics(view)
    if view.confusion is not None:
        yield "<h2>Confusion</h2>" + _confusion(view.confusion)
        yield "<h2>Per class</h2>" + _per_class(view)
    pictures = list(_pictures(view))
    if pictures:
        yield f'<div class="pictures">{"".join(pictures)}</div>'
    if view.residuals is not None:
        yield from _ranges(view)
    yield from _worst(spec, view)
    yield from _ledger(view)
    yield from _provenance(spec, view)


def _head(spec: RunSpec, view: ReviewView) -> Iterator[str]:
    head = view.headline
    yield f"<h1>{_e(spec.project.name)}</h1>"
    if spec.project.goal.question:
        yield f"<p>{_e(spec.project.goal.question)}</p>"
    interval = f"95 % interval {head.model.interval}" if head.model.low is not None else _e(head.model.why)
    yield f'<p class="lead"><strong>{_e(head.title)} {head.model.text}</strong> {interval}</p>'
    facts = [
        f"run {_e(view.run)}",
        f"{counted(view.rows, 'row')} never seen in training",
        f"look {view.looks} at this test set",
        _e(view.good.words),
        *(_e(c.words) for c in view.comparisons),
    ]
    yield "<ul>" + "".join(f"<li>{f}</li>" for f in facts) + "</ul>"
    if view.notices:
        yield '<ul class="notices">' + "".join(f"<li>{_e(n)}</li>" for n in view.notices) + "</ul>"


def _metrics(view: ReviewView) -> str:
    names = [n for n in ("trivial", "strong") if n in view.baselines]
    rows = []
    for m in view.metrics:
        low, high = _scale(m)
        marks = [(e.value, f"mark-{n}") for n in names if (e := m.baselines.get(n)) and e.value is not None]
        interval = m.model.interval if m.model.low is not None else f'<span class="why">{_e(m.model.why)}</span>'
        rows.append(
            [
                f'<span title="{_e(m.meaning)}">{_e(m.title)}</span>',
                m.model.text,
                interval,
                svg.interval_bar(m.model, low, high, marks),
                *(m.baselines[n].text if n in m.baselines else "–" for n in names),
            ]
        )
    said = "; ".join(
        f"{_e(n)}: {_e(b.title)}{' (' + _e(b.note) + ')' if b.note else ''}" for n, b in view.baselines.items()
    )
    why = sorted({_e(m.model.why) for m in view.metrics if m.model.why and m.model.low is not None})
    notes = "".join(f'<p class="why">{text}</p>' for text in (said, *why) if text)
    return "<h2>Figures</h2>" + _table(("metric", "model", "95 % interval", "", *names), rows) + notes


def _scale(metric: MetricRow) -> tuple[float, float]:
    if metric.name in _SHARES:
        return 0.0, 1.0
    seen = [metric.model, *metric.baselines.values()]
    values = [v for e in seen for v in (e.value, e.low, e.high) if v is not None]
    return min(0.0, *values) if values else 0.0, max(values, default=1.0)


def _confusion(shown: Confusion) -> str:
    head = "".join(f"<th>{_e(c)}</th>" for c in shown.classes)
    lines = []
    for i, (name, row) in enumerate(zip(shown.classes, shown.counts, strict=True)):
        total = sum(row) or 1
        cells = "".join(
            f'<td class="{"hit" if i == j else "miss"}" style="--share:{n / total:.3f}">{n or "·"}</td>'
            for j, n in enumerate(row)
        )
        lines.append(f"<tr><th>{_e(name)}</th>{cells}</tr>")
    return (
        '<div class="wide"><table class="confusion"><caption>rows: truth, columns: prediction</caption>'
        f"<thead><tr><th></th>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _per_class(view: ReviewView) -> str:
    return _table(
        ("class", "rows", "precision", "", "recall", "", "f1", ""),
        [[_e(c.name), str(c.rows), *_both(c.precision), *_both(c.recall), *_both(c.f1)] for c in view.per_class],
    )


def _both(estimate: Estimate) -> tuple[str, str]:
    return (
        estimate.text,
        estimate.interval if estimate.low is not None else f'<span class="why">{_e(estimate.why)}</span>',
    )


def _pictures(view: ReviewView) -> Iterator[str]:
    if view.residuals is not None:
        yield svg.residual_histogram(view.residuals)
        yield svg.scatter(view.residuals)
    if view.calibration:
        yield svg.calibration(view.calibration)
    for curve in view.curves:
        yield svg.curve(curve)


def _ranges(view: ReviewView) -> Iterator[str]:
    if view.residuals is None:
        return
    bias, covered, level = view.residuals.bias, view.residuals.covered, view.residuals.level
    yield f"<p>Mean of truth − prediction: {bias.text} ({_e(bias.interval if bias.low is not None else bias.why)}).</p>"
    if covered is not None:
        ought = f"; it ought to be {figure(level)}" if level is not None else ""
        yield f"<p>Lower … upper held the truth in a share of {covered.text} ({covered.interval}){ought}.</p>"


def _worst(spec: RunSpec, view: ReviewView) -> Iterator[str]:
    yield "<h2>Worst rows</h2>"
    about_people = [s.name or s.uri for s in spec.project.sources if s.personal_data == "present"]
    if about_people:
        yield f"<p>Left out: {_e(', '.join(about_people))} holds personal data. See them in the workbench.</p>"
        return
    columns = [title for title, _ in view.worst[0].inputs] if view.worst else []
    yield _table(
        ("row", "what was said", *(_e(c) for c in columns), "note"),
        [[str(w.number), _e(w.words), *(_e(text) for _, text in w.inputs), _e(w.note)] for w in view.worst],
    )


def _ledger(view: ReviewView) -> Iterator[str]:
    if not view.ledger:
        return
    ledger = Ledger.from_dict(view.ledger)
    yield "<h2>Where every row went</h2>"
    yield (
        f"<p>{ledger.read} read − {ledger.removed} removed = {ledger.kept} kept = {ledger.train} training + "
        f"{ledger.validation} validation + {ledger.test} test{'' if ledger.sums else ' (this does not sum)'}</p>"
    )
    yield _table(
        ("source", "lines", "header", "blank", "continuation", "rejected", "read", "rejected cells"),
        [
            [
                _e(s.name),
                *(str(n) for n in (s.lines, s.header, s.blank, s.continuation, s.rejected, s.read, s.rejected_cells)),
            ]
            for s in ledger.sources
        ],
    )


def _provenance(spec: RunSpec, view: ReviewView) -> Iterator[str]:
    facts = {
        "run": spec.name,
        "tested": view.created,
        "data": spec.snapshot_id,
        "split": spec.split_id,
        "test rows": view.fingerprint,
        **{f"licence of {s.name or s.uri}": s.licence or "not declared" for s in spec.project.sources},
        **{str(k): str(v) for k, v in spec.environment.items()},
    }
    yield "<h2>Provenance</h2>" + _table(("what", "value"), [[_e(k), _e(v)] for k, v in facts.items()])


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are HTML already."""
    shown = "".join(f"<th>{h}</th>" for h in head)
    lines = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{shown}</tr></thead><tbody>{lines}</tbody></table></div>'
