"""Predict every row of a new file; every row comes back, in order."""

from __future__ import annotations

import argparse
from pathlib import Path

from epochal.cli.arguments import add_json, add_project
from epochal.cli.console import Console


SUMMARY = "predict the rows of a new file"


def prepare(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    add_project(parser)
    parser.add_argument("data", metavar="DATA", help="a file like the one trained on, without the target if need be")
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        type=Path,
        help="where to write: .csv, .parquet or .jsonl (default: stdout as CSV)",
    )
    parser.add_argument("--run", metavar="RUN", help="which run's model (default: the newest that is done)")
    add_json(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Predict and write."""
    import tempfile

    from epochal.workbench import operations
    from epochal.workbench.data_client import DataClient

    info = operations.find_model(arguments.dir, arguments.run)
    with DataClient() as client, tempfile.TemporaryDirectory() as folder:
        path = arguments.output or Path(folder) / "predictions.csv"
        result = operations.predict(client, info.folder, arguments.data, path, console.progress)
        if arguments.output is None and not console.as_json:
            _print(path)
            console.notice(f"{result['rows']} rows predicted by run {result['run']}")
            return 0
    if console.as_json:
        console.document(result)
    else:
        console.say(f"{result['rows']} rows predicted by run {result['run']}, written to {arguments.output}")
    return 0


def _print(path: Path) -> None:
    """The file on stdout: as it is into a pipe, safe for the eye on a terminal, where data must not act."""
    import shutil
    import sys

    from epochal.show import safe

    with path.open(encoding="utf-8", newline="") as lines:
        if not sys.stdout.isatty():
            shutil.copyfileobj(lines, sys.stdout)
            return
        for line in lines:
            print(safe(line.rstrip("\r\n"), 100_000))
