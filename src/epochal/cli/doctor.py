"""Look at terminal, GPU, disk and versions; with a project, check every file of it independently."""

from __future__ import annotations

import argparse
from pathlib import Path

from epochal.cli.arguments import add_json
from epochal.cli.console import Console


SUMMARY = "check this machine, and a project's files"


def prepare(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument("dir", metavar="DIR", type=Path, nargs="?", help="a project to examine file by file")
    add_json(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Examine and say; 1 when something is broken."""
    from dataclasses import asdict

    from epochal.project.doctor import examine
    from epochal.workbench.machine import look_at_machine

    machine = look_at_machine(arguments.dir or Path())
    findings = examine(arguments.dir) if arguments.dir is not None else []
    if console.as_json:
        console.document({"machine": [asdict(m) for m in machine], "findings": [asdict(f) for f in findings]})
    else:
        console.table(("", "what", "is", "do"), [("ok" if m.ok else "!", m.what, m.found, m.fix) for m in machine])
        if arguments.dir is not None:
            console.say()
            if not findings:
                console.say(f"{arguments.dir}: every file is as it should be")
            else:
                console.table(("", "where", "what", "fix"), [(f.severity, f.where, f.what, f.fix) for f in findings])
    return 1 if any(f.severity == "error" for f in findings) else 0
