"""report.toml: every figure of the review with the run, settings and data it belongs to, for programs and for git."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tomli_w


if TYPE_CHECKING:
    from epochal.project.runfile import RunSpec
    from epochal.review.view import Estimate, ReviewView

FORMAT = 1


def record_text(spec: RunSpec, view: ReviewView, *, bundle_sha256: str) -> str:
    """The text of report.toml. What is missing is left out with its reason beside it, as TOML has no null."""
    document: dict[str, Any] = {
        "format": FORMAT,
        "run": spec.name,
        "created": view.created,
        "task": view.task,
        "target": view.target,
        "family": view.family,
        "metric": view.metric,
        "rows": view.rows,
        "looks": view.looks,
        "good": _filled({"at_least": view.good.at_least, "reached": view.good.reached, "words": view.good.words}),
        "provenance": {
            "snapshot": spec.snapshot_id,
            "split": spec.split_id,
            "test_rows": view.fingerprint,
            "bundle_sha256": bundle_sha256,
            "sources": [
                {"name": s.name, "uri": s.uri, "licence": s.licence, "sha256": s.sha256} for s in spec.project.sources
            ],
            **(
                {"code": {"module": spec.code.module, "digest": spec.code.digest, "files": dict(spec.code.files)}}
                if spec.code is not None
                else {}
            ),
            "environment": dict(spec.environment),
        },
        "notices": list(view.notices),
        "metrics": {
            m.name: {**_of(m.model), **{name: _of(e) for name, e in m.baselines.items()}} for m in view.metrics
        },
        "comparison": [
            _filled(
                {
                    "baseline": c.baseline,
                    "metric": c.metric,
                    "difference": _of(c.difference),
                    "p": c.p,
                    "verdict": c.verdict,
                    "words": c.words,
                }
            )
            for c in view.comparisons
        ],
        "class": [
            {
                "name": c.name,
                "rows": c.rows,
                "predicted": c.predicted,
                "precision": _of(c.precision),
                "recall": _of(c.recall),
                "f1": _of(c.f1),
            }
            for c in view.per_class
        ],
        "ledger": dict(spec.ledger),
    }
    if view.residuals is not None:
        document["residuals"] = _filled(
            {
                "bias": _of(view.residuals.bias),
                "covered": _of(view.residuals.covered) if view.residuals.covered is not None else None,
                "level": view.residuals.level,
            }
        )
    return tomli_w.dumps(document)


def _of(estimate: Estimate) -> dict[str, Any]:
    return _filled({"value": estimate.value, "low": estimate.low, "high": estimate.high, "why": estimate.why or None})


def _filled(table: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in table.items() if v is not None}
