"""An independent look at every file of a project: what is broken, and what to do. It reads and never repairs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from epochal.core.errors import EpochalError
from epochal.core.settings import Project
from epochal.fsio import place_of
from epochal.project import shapes
from epochal.project.doctor_runs import examine_run
from epochal.project.findings import Finding, error, hint, warning
from epochal.project.mappings import read_mapping
from epochal.project.paths import ProjectPaths
from epochal.project.read import read_project, read_text
from epochal.project.verified import left_behind


__all__ = ["Finding", "examine"]


def examine(folder: Path) -> list[Finding]:
    """Everything that is not as it should be in a project's folder, the worst first. Writes nothing."""
    paths = ProjectPaths(folder)
    findings = list(_project(paths))
    if findings and findings[0].code == "no-project":
        return findings
    findings += _history(paths)
    findings += _looks(paths)
    findings += _label_files(paths)
    findings += _all_runs(paths)
    findings += _cache(paths)
    findings += _verifications(paths)
    findings += _strays(paths)
    order = {"error": 0, "warning": 1, "hint": 2}
    return sorted(findings, key=lambda f: order[f.severity])


def _project(paths: ProjectPaths) -> Iterator[Finding]:
    try:
        project = read_project(paths.folder)
    except EpochalError as found:
        yield error(found.error_code, found.where, found.what, found.fix)
        return
    yield from _mappings(paths, project)
    if not _kept_out_of_git(paths.folder):
        yield hint("cache-in-git", ".gitignore", "the cache is not kept out of git", "add the line .epochal/")


def _kept_out_of_git(folder: Path) -> bool:
    """Whether no git would take the cache in: a .gitignore names it, or there is no git."""
    for place in (folder, *folder.parents):
        try:
            lines = shapes.content(place / ".gitignore").decode("utf-8", "replace").splitlines()
        except shapes.NotWhole:
            lines = []
        if ".epochal/" in lines:
            return True
        if (place / ".git").exists():
            return False
    return True


def _mappings(paths: ProjectPaths, project: Project) -> Iterator[Finding]:
    used = [str(s.params["file"]) for s in project.clean if s.op == "map_values" and "file" in s.params]
    there = [f"mappings/{p.name}" for p in sorted(paths.mappings.glob("*.csv"))]
    for name in dict.fromkeys([*used, *there]):
        try:
            read_mapping(paths.folder, name)
        except EpochalError as found:
            tell = error if name in used else warning
            yield tell("mapping", found.where, found.what, found.fix)


def _history(paths: ProjectPaths) -> Iterator[Finding]:
    """The record of saved states, read line by line without the code that folds it."""
    name = paths.history.name
    if not os.path.lexists(paths.history):
        return
    texts: dict[object, str] = {}
    current: object = None
    try:
        for number, record, last in shapes.json_lines(paths.history):
            finding, current = _saved(f"{name}:{number}", record, last, texts, current)
            if finding is not None:
                yield finding
        text = read_text(paths.toml)
    except shapes.NotWhole as wrong:
        yield error("unreadable", name, f"{name} {wrong}", "move it away: undo starts anew")
        return
    except EpochalError:
        return  # said already
    if current is not None and texts[current] != text:
        yield hint(
            "changed-outside",
            paths.toml.name,
            "project.toml was changed outside the workbench since it was last saved",
            "nothing: it counts, and undo can take it back",
        )


def _saved(
    where: str, record: dict[str, Any] | None, last: bool, texts: dict[object, str], current: object
) -> tuple[Finding | None, object]:
    """What is wrong with one record, and the state the project is at after it. Whole states are put into `texts`."""
    kind = record.get("k") if record else None
    if record is None:
        return _damaged(where, last, "the states before and after it can still be gone back to"), current
    if kind in {"state", "facts"}:
        text = record.get("text")
        if not isinstance(text, str) or _digest(text) != record.get("sha256"):
            return warning(
                "history-altered", where, "a saved state is not what was saved", "it is passed over"
            ), current
        n = record.get("n") if kind == "state" else current
        texts[n] = text
        return None, n
    if kind in {"undo", "redo"}:
        if record.get("to") not in texts:
            return warning("history-gap", where, "undo went to a state that is not there", "it is passed over"), current
        return None, record.get("to")
    return None, current


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _damaged(where: str, last: bool, comfort: str) -> Finding:
    if last:
        return hint("torn", where, "an unfinished last line, as a crash leaves it", "nothing: it is passed over")
    return warning("damaged-line", where, "a line is damaged", comfort)


def _looks(paths: ProjectPaths) -> Iterator[Finding]:
    if not os.path.lexists(paths.looks):
        return
    try:
        for number, record, last in shapes.json_lines(paths.looks):
            where = f"{paths.looks.name}:{number}"
            if record is None:
                yield _damaged(where, last, "a look at the test set may not be counted")
            elif not all(isinstance(record.get(key), str) for key in ("at", "run", "fingerprint")):
                yield warning("damaged-line", where, "a look without run or test set", "it is not counted")
    except shapes.NotWhole as wrong:
        yield error("unreadable", paths.looks.name, f"{paths.looks.name} {wrong}", "bring it back from git or a backup")


def _label_files(paths: ProjectPaths) -> Iterator[Finding]:
    for path in sorted(paths.labels.glob("*.jsonl")):
        name = f"labels/{path.name}"
        try:
            for number, record, last in shapes.json_lines(path):
                if record is None:
                    yield _damaged(f"{name}:{number}", last, "the decisions before and after it count")
        except shapes.NotWhole as wrong:
            yield error("unreadable", name, f"{name} {wrong}", "bring it back from git or a backup")


def _all_runs(paths: ProjectPaths) -> Iterator[Finding]:
    if not paths.runs.is_dir():
        return
    looked = _runs_looked_at(paths)
    numbers: dict[str, str] = {}
    for folder in sorted(p for p in paths.runs.iterdir() if p.is_dir() and not p.name.startswith(".")):
        number = folder.name.split("-", 1)[0]
        if number in numbers:
            yield warning(
                "same-number", f"runs/{folder.name}", f"{numbers[number]} has the same number", "rename one of the two"
            )
        numbers[number] = folder.name
        yield from examine_run(paths.folder, folder)
        if (folder / "report").is_dir() and folder.name not in looked:
            yield error(
                "look-missing",
                f"runs/{folder.name}/report",
                "the test set was opened for this run, and looks.jsonl does not say so",
                "bring looks.jsonl back from git or a backup; until then the count is too low",
            )


def _runs_looked_at(paths: ProjectPaths) -> set[object]:
    try:
        return (
            {r.get("run") for _, r, _ in shapes.json_lines(paths.looks) if r} if os.path.lexists(paths.looks) else set()
        )
    except shapes.NotWhole:
        return set()


def _cache(paths: ProjectPaths) -> Iterator[Finding]:
    """Snapshots and splits: a folder with a manifest must hold what it says."""
    for folder in sorted([*paths.snapshots.glob("[!.]*"), *paths.splits.glob("[!.]*")]):
        # The cache of a project that cannot be written lies elsewhere.
        name = (folder.relative_to(paths.folder) if folder.is_relative_to(paths.folder) else folder).as_posix()
        try:
            manifest = shapes.toml(folder / "manifest.toml")
            files = manifest.get("files", ["parts.parquet"])
            for file in files if isinstance(files, list) else [""]:
                shapes.check(folder / str(file))
            shapes.demand(manifest.get("id") == folder.name, "says it is another")
        except shapes.NotWhole as wrong:
            yield warning("cache", name, f"prepared data {wrong}", f"delete {name}: it is made again when needed")


def _verifications(paths: ProjectPaths) -> Iterator[Finding]:
    """Runs of verifications that were killed."""
    for folder in left_behind(paths):
        name = (folder.relative_to(paths.folder) if folder.is_relative_to(paths.folder) else folder).as_posix()
        what = "a verification that was killed left its runs"
        yield hint("leftover", name, what, f"delete {name}, or let the next `epochal verify-resume` do it")


def _strays(paths: ProjectPaths) -> Iterator[Finding]:
    """What killed writers left, and links that lead out."""
    root = os.path.realpath(paths.folder)
    for path in _walk(paths.folder):
        name = path.relative_to(paths.folder).as_posix()
        if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(root) and name.split("/")[0] != "data":
            yield warning("link", name, "a link leads out of the project", "put the file itself there")
        elif (place := place_of(path)) is not None and not place.exists():
            what = f"{place.name}, which a killed process was replacing, is set aside"
            yield hint("leftover", name, what, f"rename it to {place.name}")
        elif path.name.startswith(".") and (path.suffix == ".tmp" or path.name.startswith(".trash")):
            yield hint("leftover", name, "a file that a killed process left half written", f"delete {name}")


def _walk(folder: Path) -> Iterator[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return
    for path in entries:
        yield path
        if path.is_dir() and not path.is_symlink() and path.name not in {".git", "data"}:
            yield from _walk(path)
