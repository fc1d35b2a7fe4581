"""Checkpoints: a folder that is complete or absent, every file of it accounted for by size and sha256. No pickle.

`checkpoints/step-00001234/` holds the learner's files and `manifest.json`, written last. A folder without a manifest
that agrees with its files does not exist for readers. Older ones are deleted only after the newer was read back.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeGuard

from epochal import fsio
from epochal.core.errors import RunError
from epochal.train.state import Counters, TrainState


FORMAT = 1
_NAME = re.compile(r"step-(\d{1,18})")
_MANIFEST_BYTES = 1 << 20


class BadCheckpoint(RunError):
    """A checkpoint that is not what it says, or belongs to something else."""

    code = "bad-checkpoint"


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """A checkpoint on disk."""

    folder: Path
    step: int
    sha256: str
    """Of the weights."""


def save_checkpoint(run_folder: Path, state: TrainState, belongs: Mapping[str, Any]) -> Saved:
    """Write the whole state. `belongs` says what the run is (data, settings): a resume compares it.

    Raises NotSaved when the disk refuses; what was there before is untouched.
    """
    step = state.learner.step
    target = run_folder / "checkpoints" / f"step-{step:08d}"
    if target.exists():
        found = _read(target)
        if found is not None:
            return Saved(folder=target, step=step, sha256=_weights_hash(found))
        fsio.remove_folder(target)
    with fsio.new_folder(target) as folder:
        state.learner.save(folder)
        files = {p.name: {"size": p.stat().st_size, "sha256": _hash(p)} for p in sorted(folder.iterdir())}
        manifest = {
            "format": FORMAT,
            "step": step,
            "epoch": state.epoch,
            "counters": {k: _as_json(v) for k, v in asdict(state.counters).items()},
            "belongs": dict(belongs),
            "files": files,
        }
        fsio.write_text(folder / "manifest.json", json.dumps(manifest, indent=1) + "\n")
    found = _read(target)
    if found is None:
        raise BadCheckpoint(
            "the checkpoint just written reads back differently", where=str(target), fix="check the disk"
        )
    _rotate(run_folder, target)
    return Saved(folder=target, step=step, sha256=_weights_hash(found))


def newest_checkpoint(run_folder: Path) -> Path | None:
    """The complete checkpoint of the most steps; None when there is none."""
    return next((folder for folder in reversed(_all(run_folder)) if _read(folder) is not None), None)


def load_checkpoint(folder: Path, state: TrainState, belongs: Mapping[str, Any]) -> None:
    """Go on from a checkpoint.

    Raises BadCheckpoint when it is damaged or was made from other data or settings.
    """
    manifest = _read(folder)
    if manifest is None:
        raise BadCheckpoint("the checkpoint is damaged", where=str(folder), fix="delete it to use an older one")
    differing = [k for k, v in belongs.items() if manifest["belongs"].get(k) != v]
    if differing:
        raise BadCheckpoint(
            f"the checkpoint belongs to another {' and '.join(differing)}",
            where=str(folder),
            fix="start a new run with `epochal train`",
        )
    state.learner.load(folder)
    counted = manifest["counters"]
    # What is absent or was no number stands at its default, which for figures is NaN.
    state.counters = Counters(**{f.name: counted[f.name] for f in fields(Counters) if counted.get(f.name) is not None})


def _all(run_folder: Path) -> list[Path]:
    """All that are called like one, by their steps: a number of nine digits comes after one of eight."""
    named = ((_NAME.fullmatch(p.name), p) for p in (run_folder / "checkpoints").glob("step-*"))
    return [path for _, path in sorted((int(match[1]), path) for match, path in named if match)]


def _read(folder: Path) -> dict[str, Any] | None:
    """The manifest, if it is one and every file is there as it says."""
    manifest = _read_json(folder / "manifest.json", _MANIFEST_BYTES)
    if not _is_manifest(manifest):
        return None
    try:
        whole = all(
            (folder / name).stat().st_size == file["size"] and _hash(folder / name) == file["sha256"]
            for name, file in manifest["files"].items()
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return manifest if whole else None


def _read_json(path: Path, limit_bytes: int) -> Any:
    """What a file of ours says, None when it is too large or no JSON."""
    try:
        if path.stat().st_size > limit_bytes:
            return None
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def _is_manifest(found: Any) -> TypeGuard[dict[str, Any]]:
    """Whether a resume finds in it what it needs: the learner's files by their plain names, and where they belong."""
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        return False
    tables = [found.get(key) for key in ("files", "belongs", "counters")]
    if not all(isinstance(table, dict) for table in tables):
        return False
    names = list(found["files"])
    return any(n.startswith("model.") for n in names) and all(n == Path(n).name for n in names)


def _rotate(run_folder: Path, newest: Path) -> None:
    """Keep the newest and the newest whole one before it; the best weights are in each."""
    older = [f for f in reversed(_all(run_folder)) if f != newest]
    kept = next((f for f in older if _read(f) is not None), None)
    for folder in older:
        if folder != kept:
            fsio.remove_folder(folder)


def _as_json(value: float | None) -> float | None:
    """The figure, or None for NaN, which JSON does not have."""
    return None if value is None or math.isnan(value) else value


def _weights_hash(manifest: Mapping[str, Any]) -> str:
    files = manifest["files"]
    return str(files[next(n for n in files if n.startswith("model."))]["sha256"])


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
