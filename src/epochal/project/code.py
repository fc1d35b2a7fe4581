"""The code of a person's own that stands in a project: every file Python could import from it, each by its hash.

Nothing here imports or runs any of it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from epochal import fsio
from epochal.core.errors import RunError
from epochal.project.read import read_regular


MAX_FILES = 2_000
MAX_BYTES = 256 << 20
"""Of all files together: a compiled extension may be large, data do not belong in code."""
MAX_ENTRIES = 1_000_000
"""Files and folders that are looked at to find the code among them."""
_SUFFIXES = (".py", ".pyc", *EXTENSION_SUFFIXES)
_NOT_OURS = ("runs",)
"""Folders at the top of a project that hold what the program itself wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """The importable files of a folder as they were when they were read."""

    files: Mapping[str, str] = field(default_factory=dict)
    """Path from the folder with `/`, and sha256."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """What looks like code and cannot be imported, and why."""

    @property
    def lacking(self) -> str:
        """Where there is no file of code: what was left out instead, in words; empty where nothing was."""
        if self.files:
            return ""
        return ", ".join(f"{name} is {why}" for name, why in list(self.left_out.items())[:3])

    @property
    def digest(self) -> str:
        """One hash over names and contents; of no files too."""
        return digest_of(self.files)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What another state of the code has otherwise."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """In a line; empty where nothing differs."""
        parts = (("added", self.added), ("changed", self.changed), ("removed", self.removed))
        return "; ".join(f"{verb} {', '.join(names)}" for verb, names in parts if names)


def difference(before: Mapping[str, str], after: Mapping[str, str]) -> Difference:
    """What became of the files from one state to another."""
    return Difference(
        added=tuple(sorted(set(after) - set(before))),
        changed=tuple(sorted(n for n in before if n in after and before[n] != after[n])),
        removed=tuple(sorted(set(before) - set(after))),
    )


def read_code(folder: Path) -> Code:
    """Every file that could be imported from a folder, with its sha256.

    Hidden folders, runs/, `__pycache__` and virtual environments are no code of the project, nor is what a link brings
    in from outside or what lies behind a link to a folder. Raises RunError (code code-too-large) when there is more than
    a model can be made of.
    """
    root = Path(folder).resolve()
    files: dict[str, str] = {}
    left_out: dict[str, str] = {}
    size = 0
    for path in _found(root):
        name = path.relative_to(root).as_posix()
        why = _refused(path, root, name)
        if why:
            left_out[name] = why
            continue
        try:
            data = read_regular(path, MAX_BYTES + 1)
        except OSError as error:
            left_out[name] = error.strerror or str(error)
            continue
        size += len(data)
        files[name] = hashlib.sha256(data).hexdigest()
        if len(files) > MAX_FILES or size > MAX_BYTES:
            raise _too_large(root, f"more than {MAX_FILES} files or {MAX_BYTES >> 20} MiB that Python could import")
    return Code(files=dict(sorted(files.items())), left_out=left_out)


def digest_of(files: Mapping[str, str]) -> str:
    """One hash over names and contents, given as path and sha256."""
    return hashlib.sha256(json.dumps(sorted(files.items())).encode()).hexdigest()


def is_code(path: Path, folder: Path) -> bool:
    """Whether a file counts as code of the folder, by where it lies: not in a virtual environment there, for one."""
    if not path.is_relative_to(folder):
        return False
    inside = path.relative_to(folder).parents
    return path.name.endswith(_SUFFIXES) and not any(_is_passed_over(folder / p, folder) for p in inside if p.name)


def read_files(folder: Path, files: Mapping[str, str]) -> dict[str, bytes]:
    """The contents of files that are known by their sha256. Raises RunError (code-changed) when one is another now."""
    contents: dict[str, bytes] = {}
    for name, sha256 in files.items():
        try:
            contents[name] = read_regular(Path(folder) / name, MAX_BYTES + 1)
        except OSError as error:
            raise _changed(f"cannot be read any more: {error.strerror}", folder, name) from error
        if hashlib.sha256(contents[name]).hexdigest() != sha256:
            raise _changed("changed a moment ago", folder, name)
    return contents


def write_files(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write files into a folder that is being made. Raises NotSaved."""
    for name, data in contents.items():
        fsio.make_folder((folder / name).parent)
        fsio.write_bytes(folder / name, data)


def _changed(what: str, folder: Path, name: str) -> RunError:
    return RunError(
        f"{name} {what}", where=str(Path(folder) / name), fix="try again when it stands still", code="code-changed"
    )


def _found(root: Path) -> Iterator[Path]:
    """Every file that is called like code, and every link to a folder, in no order; such a link is not followed."""
    looked_at = 0
    for place, folders, names in os.walk(root):
        looked_at += len(folders) + len(names)
        if looked_at > MAX_ENTRIES:
            raise _too_large(root, f"more than {MAX_ENTRIES} files and folders")
        here = Path(place)
        folders[:] = [f for f in folders if not _is_passed_over(here / f, root)]
        yield from (here / f for f in folders if (here / f).is_symlink())
        yield from (here / name for name in names if name.endswith(_SUFFIXES))


def _is_passed_over(folder: Path, root: Path) -> bool:
    """Whether a folder below `root` holds no code of its own: what tools and runs leave there, an environment."""
    name = folder.name
    if name.startswith(".") or name == "__pycache__" or (folder.parent == root and name in _NOT_OURS):
        return True
    return (folder / "pyvenv.cfg").exists()


def _refused(path: Path, root: Path, name: str) -> str:
    """Why a file is not taken; nothing when it is."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return "its name is no text"
    if path.is_dir():
        return "a link to a folder"
    if path.is_symlink() and not path.resolve().is_relative_to(root):
        return "a link that leads out of the project"
    return ""


def _too_large(root: Path, what: str) -> RunError:
    return RunError(
        f"the project holds {what}",
        where=str(root),
        fix="move data and other people's packages out of it, or into a folder whose name begins with a dot",
        code="code-too-large",
    )
