"""Watch a run's live chart. ctrl-c leaves the run alone."""

from __future__ import annotations

import argparse
import sys

from epochal.cli.arguments import add_project, add_run, run_of
from epochal.cli.console import Console


SUMMARY = "watch a run's live chart"


def prepare(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    add_project(parser)
    add_run(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """The chart alone; without a terminal, a line of progress instead."""
    info = run_of(arguments, strict=False)
    if not sys.stdout.isatty():
        from epochal.cli.following import watch_lines

        return watch_lines(info.spec, console)
    from epochal.tui.start import run_watch

    return run_watch(info.folder)
