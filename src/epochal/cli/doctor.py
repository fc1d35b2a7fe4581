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

    from epochal.core.errors import SettingsError
    from epochal.project.doctor import examine
    from epochal.workbench.machine import look_at_machine

    if arguments.dir is not None and not arguments.dir.is_dir():
        raise SettingsError(
            "there is no such folder", where=str(arguments.dir), fix="name the project's folder", code="no-project"
        )
    machine = look_at_machine(arguments.dir or Path())
    findings = examine(arguments.dir) if arguments.dir is not None else []
    broken = any(f.severity == "error" for f in findings)
    if console.as_json:
        console.document({"machine": [asdict(m) for m in machine], "findings": [asdict(f) for f in findings]})
        return 1 if broken else 0
    width = max(len(m.what) for m in machine)
    for m in machine:
        console.say(f"{'ok' if m.ok else '!':<4}{m.what:<{width}}  {m.found}")
        if m.fix:
            console.hint(m.fix, indent=width + 6)
    if arguments.dir is not None:
        console.say()
        for f in findings:
            console.say(f"{f.severity}: {f.where}: {f.what}")
            if f.fix:
                console.hint(f"fix: {f.fix}", indent=2)
        if not findings:
            console.say(f"{arguments.dir}: every file is as it should be")
    return 1 if broken else 0
