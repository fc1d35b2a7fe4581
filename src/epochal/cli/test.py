"""Open the sealed test set for a run: predict, judge against both baselines, write the report. Each look is counted."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from epochal.cli.arguments import add_json, add_project, add_run, run_of
from epochal.cli.console import Console, short


SUMMARY = "open the test set for a run"


def prepare(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    add_project(parser)
    add_run(parser)
    parser.add_argument(
        "--require",
        metavar="VALUE",
        type=float,
        help="exit with 1 unless the project's metric is at least (for errors: at most) this",
    )
    add_json(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Test, then show."""
    from epochal.core.tasks import METRICS
    from epochal.workbench import operations
    from epochal.workbench.data_client import DataClient

    info = run_of(arguments, started=True)
    with DataClient() as client:
        result = operations.open_test_set(client, info.folder, console.progress)
    if console.as_json:
        console.document(result)
    else:
        _show(result, console)
    if arguments.require is None:
        return 0
    metric = METRICS[info.spec.project.metric]
    value = result["metrics"].get(metric.name)
    if value is None:
        why = result["without_interval"].get(metric.name, "it does not apply here")
        console.notice(f"{metric.title} is not defined ({why}), which misses the required {arguments.require:g}")
        return 1
    reached = value >= arguments.require if metric.higher_is_better else value <= arguments.require
    console.notice(
        f"{metric.title} {value:.4g} {'reaches' if reached else 'misses'} the required {arguments.require:g}"
    )
    return 0 if reached else 1


def _show(result: Mapping[str, Any], console: Console) -> None:
    from epochal.core.ledger import Ledger
    from epochal.show import counted

    rows_said = counted(result["rows"], "row")
    console.say(f"run {result['run']}  {rows_said} never seen in training  look {result['looks']} at this test set")
    rows = []
    for name, value in result["metrics"].items():
        low, high = result["intervals"].get(name) or (None, None)
        rows.append(
            (
                name,
                f"{value:.4g}",
                f"{low:.4g} … {high:.4g}" if low is not None else "no interval",
                _number(result["baselines"]["trivial"].get(name)),
                _number(result["baselines"]["strong"].get(name)),
            )
        )
    console.table(("metric", "value", "95 % interval", "trivial", "strong"), rows, right=(1, 3, 4))
    for name, why in result.get("without_interval", {}).items():
        console.say(f"no interval for {name}: {why}")
    for comparison in result.get("comparisons", ()):
        console.say(comparison["words"])
    if result.get("good"):
        console.say(result["good"]["words"])
    for notice in result.get("notices", ()):
        console.notice(notice)
    ledger = Ledger.from_dict(result["ledger"])
    console.say(
        f"{ledger.read} read, {ledger.removed} removed, {ledger.kept} kept "
        f"= {ledger.train} train + {ledger.validation} validation + {ledger.test} test"
    )
    console.say(f"card.md, report.html, report.toml and predictions.parquet lie in {short(Path(result['path']))}")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"
