"""A bundle's files, each by its size and sha256: nothing of a model is read that is not the one saved."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from epochal.core.errors import RunError


NEEDED = ("preparation.json", "preparation.safetensors", "baselines/baselines.json", "baselines/strong.txt")
MAX_HEADER_BYTES = 8 << 20
MAX_TENSORS = 50_000
"""Entries of one safetensors file: its header is read whole before anything else is known of it."""


class BadBundle(RunError):
    """A model folder that is not whole, or not of this version."""

    code = "bad-bundle"


def listed_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Every file of a folder by its name in it, with size and sha256."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): {"size": p.stat().st_size, "sha256": _sha256(p)} for p in files}


def verify_files(folder: Path, facts: Mapping[str, Any]) -> None:
    """Compare the folder with the table `files` of its bundle.toml.

    Raises:
        BadBundle: A file is not the one saved, or not in the table although the model needs it.
        FileNotFoundError: A file of the table is not there.
    """
    table = facts.get("files")
    if not isinstance(table, dict):
        raise BadBundle(
            "the model does not say what its files are, and none can be verified", where=str(folder), fix="train again"
        )
    for name in (*NEEDED, str(facts["weights"]["file"])):
        if name not in table:
            raise BadBundle(f"the model does not list its file {name}", where=str(folder), fix="train again")
    for name, saved in table.items():
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise BadBundle(f"the model lists a file outside its folder: {name}", where=str(folder), fix="train again")
        _verify(folder / path, name, saved)


def _verify(path: Path, name: str, saved: Mapping[str, Any]) -> None:
    if path.exists() and not path.is_file():
        raise BadBundle(f"the model's {name} is no file", where=str(path), fix="train again")
    if path.stat().st_size != saved["size"] or _sha256(path) != saved["sha256"]:
        raise BadBundle(
            f"the model's {name} is not the one it was saved with",
            where=str(path),
            fix="bring it back from a backup, or train again",
        )
    if path.suffix == ".safetensors":
        _check_header(path, name)


def _check_header(path: Path, name: str) -> None:
    """Refuse a header that would fill the memory: readers take any length up to 100 MB."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > MAX_HEADER_BYTES:
            raise BadBundle(f"the model's {name} has a header larger than 8 MiB", where=str(path), fix="train again")
        header = json.loads(file.read(length))
    if not isinstance(header, dict) or len(header) > MAX_TENSORS:
        raise BadBundle(f"the model's {name} holds more than {MAX_TENSORS} tensors", where=str(path), fix="train again")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
