"""Where results may be written: anywhere but over what they were made from, and what a project keeps."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from epochal.core.errors import EpochalError
from epochal.core.settings import Project
from epochal.project.paths import ProjectPaths


def refuse_overwriting(path: Path, folder: Path, project: Project, *reads: str) -> None:
    """Raise EpochalError (code would-overwrite) when a result at `path` would replace what must stay.

    That is a source, one of the files in `reads`, and what the project in `folder` keeps: no slip of the hand may
    change them.
    """
    paths = ProjectPaths(folder)
    if any(_same(path, source) for source in _files((s.uri for s in project.sources), paths.folder)):
        raise _refused(path, "it is a source of the project")
    if any(_same(path, Path(read)) for read in reads):
        raise _refused(path, "it is the file that is read")
    real = Path(os.path.realpath(path))
    kept = (paths.toml, paths.history, paths.looks, paths.mappings, paths.labels, paths.runs, paths.cache)
    if any(real.is_relative_to(os.path.realpath(place)) for place in kept):
        raise _refused(path, "the project keeps its own there")


def _files(uris: Iterable[str], folder: Path) -> Iterator[Path]:
    """The files that URIs name; those of another scheme name none."""
    for uri in uris:
        whole = os.path.join(folder, os.path.expanduser(uri))  # noqa: PTH111, PTH118 -- a glob is no path
        yield Path(whole)
        if any(c in uri for c in "*?["):
            yield from map(Path, glob.iglob(whole, recursive=True))  # noqa: PTH207 -- absolute patterns


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except (OSError, ValueError):
        return False


def _refused(path: Path, why: str) -> EpochalError:
    return EpochalError(
        f"this file would be overwritten: {why}", where=str(path), fix="write to another file", code="would-overwrite"
    )
