"""Open the workbench: on a project folder, a data file or URI, or on recent and sample projects."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from epochal.cli.arguments import UsageError
from epochal.cli.console import Console
from epochal.core.errors import EpochalError


SUMMARY = "open the workbench"


def prepare(parser: argparse.ArgumentParser) -> None:
    """The one argument."""
    parser.add_argument("path", metavar="PATH", nargs="?", default="", help="a project folder, a data file or a URI")
    parser.add_argument("--theme", default="", help="a theme's name for this start: dusk, dawn, ansi or your own")


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Start the screens; returns when they are left."""
    del console
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        _name_what_is_wrong(arguments.path)
        raise UsageError(
            "the workbench needs a terminal",
            fix="run it in one, or use the verbs: see `epochal --help`",
            code="no-terminal",
        )
    _calm_remote_lines()
    from epochal.workbench import entry
    from epochal.workbench.session import Session

    # The data host reads the file while this process imports the screens: neither waits for the other.
    session = Session(deliver=entry.Held())
    try:
        first = entry.prepare(session, arguments.path)
        from epochal.tui.start import run_workbench

        return run_workbench(session, first, theme=arguments.theme)
    finally:
        session.close()


def _name_what_is_wrong(path: str) -> None:
    """A path that could not be opened on a terminal either is the mistake to name. Raises EpochalError."""
    from epochal.project.read import read_project

    place = Path(path).expanduser()
    if path and place.is_dir():
        read_project(place)
    elif path and not place.exists() and not any(c in path for c in ":*?["):
        raise EpochalError("there is no such file or folder", where=path, fix="check the path", code="no-file")


def _calm_remote_lines() -> None:
    """Over SSH fewer frames and no animations, unless the person chose: Textual reads these when it is imported."""
    if os.environ.get("SSH_CONNECTION"):
        os.environ.setdefault("TEXTUAL_FPS", "20")
        os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
        os.environ.setdefault("TEXTUAL_SMOOTH_SCROLL", "0")
