"""The doctor's look at one run: settings, journal, checkpoints, model and report, each judged by its own bytes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from epochal.core.errors import EpochalError
from epochal.project import shapes
from epochal.project.findings import Finding, error, hint, warning
from epochal.project.runfile import read_run


_NAME = re.compile(r"\d{4,}-.+")
_NEEDED = ("run", "created", "snapshot", "split", "inputs", "settings")


def examine_run(project: Path, folder: Path) -> Iterator[Finding]:
    """Everything of one run's folder that is not as it should be; places are named relative to `project`."""
    name = folder.relative_to(project).as_posix()
    if not _NAME.fullmatch(folder.name):
        yield warning("stray-folder", name, "no run's folder is named so", "move it out of runs/")
        return
    yield from _settings(name, folder)
    yield from _journal(name, folder)
    yield from _checkpoints(name, folder)
    yield from _bundle(name, folder)
    for part in ("bundle", "report"):
        yield from _shapes(f"{name}/{part}", folder / part)


def _settings(name: str, folder: Path) -> Iterator[Finding]:
    where = f"{name}/run.toml"
    try:
        document = shapes.toml(folder / "run.toml")
    except shapes.NotWhole as wrong:
        yield error("run-settings", where, f"run.toml {wrong}", "the run cannot be resumed or tested; train again")
        return
    missing = [key for key in _NEEDED if key not in document]
    if missing:
        yield error("run-settings", where, f"run.toml lacks {', '.join(missing)}", "train again")
        return
    if document["run"] != folder.name:
        yield warning("run-renamed", where, f"the run calls itself {str(document['run'])[:80]}", "name the folder so")
    try:
        read_run(folder)
    except EpochalError as found:
        yield error("run-settings", where, f"its settings cannot be: {found.what}", found.fix)


def _journal(name: str, folder: Path) -> Iterator[Finding]:
    """Checksums, numbers without gaps, and nothing but a last line unfinished."""
    files = [folder / "journal.jsonl", *sorted(folder.glob("journal.[0-9]*.jsonl"))]
    if not os.path.lexists(files[0]):
        yield hint("no-journal", name, "the run has not said anything yet", "start it, or delete the folder")
        return
    expected = 0
    for path in files:
        where = f"{name}/{path.name}"
        try:
            for number, record, last in shapes.journal_lines(path):
                if record is None and last and path == files[-1]:
                    yield hint("torn", f"{where}:{number}", "an unfinished last record", "nothing: it is passed over")
                elif record is None:
                    yield warning(
                        "journal-damaged", f"{where}:{number}", "a record is damaged", "its points are missing"
                    )
                    expected += 1
                else:
                    if record.get("n") != expected:
                        yield warning(
                            "journal-gap",
                            f"{where}:{number}",
                            f"record {expected} should stand here",
                            "the journal was edited, or part of it is missing",
                        )
                    expected = _next(record, expected)
        except shapes.NotWhole as wrong:
            yield error("unreadable", where, f"the journal {wrong}", "bring it back from a backup")


def _next(record: dict[str, Any], expected: int) -> int:
    n = record.get("n")
    return n + 1 if isinstance(n, int) else expected + 1


def _checkpoints(name: str, folder: Path) -> Iterator[Finding]:
    for path in sorted((folder / "checkpoints").glob("step-*")):
        where = f"{name}/checkpoints/{path.name}"
        try:
            manifest = shapes.json_document(shapes.content(path / "manifest.json"))
            for file, facts in _listed(manifest).items():
                _as_listed(path / Path(file).name, facts)
        except shapes.NotWhole as wrong:
            yield error("checkpoint", where, f"the checkpoint {wrong}", "delete it: an older one is used")


def _listed(manifest: object) -> dict[str, Any]:
    files = manifest.get("files") if isinstance(manifest, dict) else None
    if not isinstance(files, dict) or not files:
        raise shapes.NotWhole("does not list its files")
    return files


def _as_listed(path: Path, facts: object) -> None:
    """Compare a file with its line in a manifest. Raises NotWhole."""
    size, digest = (facts.get("size"), facts.get("sha256")) if isinstance(facts, dict) else (None, None)
    shapes.demand(shapes.regular(path).st_size == size, f"holds {path.name} in another size")
    shapes.demand(shapes.sha256(path) == digest, f"holds a {path.name} that is not the one saved")
    shapes.check(path)


def _bundle(name: str, folder: Path) -> Iterator[Finding]:
    """Every file is the one the bundle was made with."""
    path = folder / "bundle" / "bundle.toml"
    if not os.path.lexists(path):
        return
    where = f"{name}/bundle"
    try:
        for file, facts in _listed(shapes.toml(path)).items():
            inside = not Path(file).is_absolute() and ".." not in Path(file).parts
            shapes.demand(inside, "lists a file outside its folder")
            _as_listed(path.parent / file, facts)
    except shapes.NotWhole as wrong:
        yield error("bundle", where, f"the model {wrong}", "train again, or bring it back from a backup")


def _shapes(name: str, folder: Path) -> Iterator[Finding]:
    for path in sorted(p for p in folder.rglob("*") if p.suffix or not p.is_dir()):
        try:
            shapes.check(path)
        except shapes.NotWhole as wrong:
            where = f"{name}/{path.relative_to(folder).as_posix()}"
            yield error("damaged", where, f"{path.name} {wrong}", "make it again: test or train anew")
