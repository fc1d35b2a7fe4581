"""card.md: the model card. It holds figures and declarations, never rows: it is made to be handed on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from epochal.core.ledger import Ledger
from epochal.core.settings import to_document
from epochal.core.tasks import FAMILIES, METRICS
from epochal.show import counted, safe


if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from epochal.core.settings import Source
    from epochal.project.runfile import RunSpec
    from epochal.review.view import Estimate, ReviewView

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&])|^([-+=])|^(\d{1,9})(?=[.)](?:\s|$))")
_NOT_DECLARED = "not declared"


def card_text(spec: RunSpec, view: ReviewView, *, bundle_sha256: str) -> str:
    """The model card in Markdown. Texts of people are escaped: none of them can become markup."""
    return "\n".join(_lines(spec, view, bundle_sha256)).rstrip() + "\n"


def plain(text: str) -> str:
    """A text of a person or of data as Markdown that shows it literally, on one line."""
    return _SPECIAL.sub(_escaped, safe(text, 2000).strip())


def _escaped(match: re.Match[str]) -> str:
    """The sign with a backslash before it; a number that would begin a list with one after it."""
    return f"{match[0]}\\" if match[3] else f"\\{match[0]}"


def _lines(spec: RunSpec, view: ReviewView, bundle_sha256: str) -> Iterator[str]:
    project = spec.project
    yield f"# {plain(project.name)}"
    yield ""
    yield plain(project.goal.question) or f"Predicts {plain(view.target)} ({view.task})."
    yield ""
    yield from _headline(view)
    yield from _section("Intended use", [plain(project.goal.intended_use) or f"Intended use is {_NOT_DECLARED}."])
    assumptions = [f"- {plain(a)}" for a in project.goal.assumptions]
    yield from _section("Assumptions", assumptions or [f"Assumptions are {_NOT_DECLARED}."])
    yield from _section("Results", _results(view))
    if view.per_class:
        yield from _section("Per class", _per_class(view))
    if view.residuals is not None:
        yield from _section("Errors", _errors(view))
    yield from _section("Data", _data(spec))
    yield from _section("Model", _model(spec))
    yield from _section("Limits", _limits(spec, view))
    yield from _section("Provenance", _provenance(spec, view, bundle_sha256))


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    yield f"## {title}"
    yield ""
    yield from lines
    yield ""


def _headline(view: ReviewView) -> Iterator[str]:
    head = view.headline
    rows = counted(view.rows, "row")
    yield f"**{head.title} {head.model.text}** ({_between(head.model)}) on {rows} never seen in training."
    yield ""
    for compared in view.comparisons:
        yield f"- {plain(compared.words)}"
    yield f"- {plain(view.good.words)}"
    yield f"- look {view.looks} at this test set"
    yield ""


def _between(estimate: Estimate) -> str:
    if estimate.low is None:
        return plain(estimate.why) or "no interval"
    return f"95 % interval {estimate.interval}"


def _results(view: ReviewView) -> Iterator[str]:
    names = [n for n in ("trivial", "strong") if n in view.baselines]
    yield from _table(
        ("metric", "model", "95 % interval", *names),
        [
            (
                m.title,
                m.model.text,
                m.model.interval if m.model.low is not None else plain(m.model.why),
                *(m.baselines[n].text if n in m.baselines else "–" for n in names),
            )
            for m in view.metrics
        ],
    )
    yield ""
    for name, baseline in view.baselines.items():
        yield f"- {name}: {plain(baseline.title)}" + (f" ({plain(baseline.note)})" if baseline.note else "")
    for m in view.metrics:
        if m.model.why and m.model.low is not None:
            yield f"- {m.title}: {plain(m.model.why)}"


def _per_class(view: ReviewView) -> Iterator[str]:
    yield from _table(
        ("class", "rows", "precision", "", "recall", "", "f1", ""),
        [
            (
                plain(c.name),
                str(c.rows),
                c.precision.text,
                c.precision.interval,
                c.recall.text,
                c.recall.interval,
                c.f1.text,
                c.f1.interval,
            )
            for c in view.per_class
        ],
    )


def _errors(view: ReviewView) -> Iterator[str]:
    if view.residuals is None:
        return
    yield f"- mean of truth − prediction: {view.residuals.bias.text} ({_between(view.residuals.bias)})"
    covered, level = view.residuals.covered, view.residuals.level
    if covered is not None:
        ought = f"; it ought to be {level:.2f}" if level is not None else ""
        yield f"- lower … upper held the truth in a share of {covered.text} ({_between(covered)}){ought}"


def _data(spec: RunSpec) -> Iterator[str]:
    for source in spec.project.sources:
        yield from _source(source)
    if spec.ledger:
        ledger = Ledger.from_dict(spec.ledger)
        yield ""
        yield (
            f"{ledger.read} rows read, {ledger.removed} left out in cleaning, {ledger.kept} kept = "
            f"{ledger.train} training + {ledger.validation} validation + {ledger.test} test."
        )
        rejected = sum(s.rejected for s in ledger.sources)
        cells = sum(s.rejected_cells for s in ledger.sources)
        yield f"Lines that did not fit: {rejected}; cells that did not fit their kind: {cells}."
    yield ""
    split = spec.project.split
    yield f"Split: {split.kind}, {split.validation:g} validation, {split.test:g} test, seed {split.seed}."
    steps = [s for s in to_document(spec.project).get("clean", []) if s.get("enabled", True)]
    if steps:
        yield ""
        yield "Cleaning, in order:"
        yield ""
        for n, step in enumerate(steps, 1):
            shown = ", ".join(f"{k} = {v}" for k, v in step.items() if k not in {"op", "enabled"})
            yield f"{n}. {plain(step['op'])}{': ' if shown else ''}{plain(shown)}"


def _source(source: Source) -> Iterator[str]:
    declared = {
        "licence": source.licence,
        "origin": source.origin,
        "retrieved": source.retrieved.isoformat() if source.retrieved else "",
        "personal data": source.personal_data,
    }
    yield f"- {plain(source.name or source.uri)}: " + "; ".join(
        f"{name} {plain(value) or _NOT_DECLARED}" for name, value in declared.items()
    )


def _model(spec: RunSpec) -> Iterator[str]:
    title = FAMILIES[spec.family].title if spec.family in FAMILIES else spec.family
    yield f"{plain(title)} ({plain(spec.family)}), learnt from {len(spec.inputs)} columns:"
    yield ""
    yield ", ".join(plain(name) for name in spec.inputs[:200]) + (" …" if len(spec.inputs) > 200 else "")
    if spec.code is not None:
        yield ""
        yield f"The model is the project's own code: {plain(spec.code.module)}, sha256 of all its files {spec.code.digest}."
    options = spec.resolved.get("options")
    settings = {
        **spec.project.model.options,
        **{k: v for k, v in spec.resolved.items() if isinstance(v, (str, int, float))},
        **(options if isinstance(options, dict) else {}),
    }
    if settings:
        yield ""
        yield from _table(("setting", "value"), [(plain(str(k)), plain(str(v))) for k, v in sorted(settings.items())])


def _limits(spec: RunSpec, view: ReviewView) -> Iterator[str]:
    yield f"- {METRICS[view.metric].title}: {METRICS[view.metric].meaning}" if view.metric in METRICS else ""
    weakest = min(
        (c for c in view.per_class if c.recall.value is not None), key=lambda c: c.recall.value or 0, default=None
    )
    if weakest is not None:
        yield f"- weakest class: {plain(weakest.name)}, recall {weakest.recall.text} ({_between(weakest.recall)}, {weakest.rows} rows)"
    unseen = [c.name for c in view.per_class if not c.rows]
    if unseen:
        yield f"- not judged at all, as no test row holds them: {', '.join(plain(n) for n in unseen[:20])}"
    for notice in view.notices:
        yield f"- {plain(notice)}"
    present = [s.name or s.uri for s in spec.project.sources if s.personal_data in {"present", "pseudonymised"}]
    if present:
        yield f"- learnt from data about people: {', '.join(plain(n) for n in present)}"


def _provenance(spec: RunSpec, view: ReviewView, bundle_sha256: str) -> Iterator[str]:
    facts = {
        "run": spec.name,
        "tested": view.created,
        "data (snapshot)": spec.snapshot_id,
        "split": spec.split_id,
        "test rows": view.fingerprint,
        "model (bundle.toml, sha256)": bundle_sha256,
        **({f"code {name}": sha256 for name, sha256 in spec.code.files.items()} if spec.code is not None else {}),
        **{f"source {s.name or s.uri}": s.sha256 for s in spec.project.sources if s.sha256},
        **{str(k): str(v) for k, v in spec.environment.items()},
    }
    yield from _table(("what", "value"), [(plain(k), plain(v)) for k, v in facts.items()])


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(row) + " |"
