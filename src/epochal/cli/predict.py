"""Predict every row of a new file; every row comes back, in order."""

from __future__ import annotations

import argparse
from pathlib import Path

from epochal.cli.arguments import add_json, add_project
from epochal.cli.console import Console
from epochal.show import counted, grouped


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
        help="where to write: .csv, .parquet or .jsonl (default, and -: stdout as CSV)",
    )
    parser.add_argument("--run", metavar="RUN", help="which run's model (default: the newest that is done)")
    add_json(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Predict and write."""
    import json
    import tempfile

    from epochal.project.read import read_project
    from epochal.workbench import operations
    from epochal.workbench.data_client import DataClient

    read_project(arguments.dir)  # a mistake in it is told before a model is used
    info = operations.find_model(arguments.dir, arguments.run)
    wanted = None if arguments.output == Path("-") else arguments.output
    with DataClient() as client, tempfile.TemporaryDirectory() as folder:
        path = wanted or Path(folder) / f"predictions{'.jsonl' if console.as_json else '.csv'}"
        result = operations.predict(client, info.folder, arguments.data, path, console.progress)
        if wanted is None:
            if console.as_json:
                rows = [json.loads(line) for line in path.read_bytes().split(b"\n") if line]
                console.document({**result, "path": None, "predictions": rows})
            else:
                _print(path)
                console.notice(f"{counted(result['rows'], 'row')} predicted by run {result['run']}")
            return 0
    if console.as_json:
        console.document(result)
    else:
        console.say(f"{counted(result['rows'], 'row')} predicted by run {result['run']}, written to {wanted}")
        if result.get("noted"):
            console.say(f"{grouped(result['noted'])} of them with a note: see the column `note`")
    return 0


def _print(path: Path) -> None:
    """The file on stdout: byte for byte into a pipe, safe for the eye on a terminal, where data must not act."""
    import shutil
    import sys

    from epochal.cli.console import told_when_it_fails
    from epochal.show import safe

    with told_when_it_fails():
        if not sys.stdout.isatty():
            sys.stdout.flush()
            with path.open("rb") as data:
                shutil.copyfileobj(data, sys.stdout.buffer)
            return
        with path.open(encoding="utf-8", newline="") as lines:
            for line in lines:
                print(safe(line.rstrip("\r\n"), 100_000))
