"""Checkpoints: a folder that is complete or absent, every file of it accounted for by size and sha256. No pickle.

How they are read by everyone stands in `epochal.project.checkpoints`; here they are written, rotated and gone on from.
Older ones are deleted only after the newer was read back.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from safetensors import SafetensorError

from epochal import fsio
from epochal.core.errors import RunError
from epochal.fsio import NotSaved
from epochal.project import checkpoints
from epochal.project.checkpoints import FORMAT, hash_of, is_whole, read_checkpoint
from epochal.train.state import Counters, TrainState


ROOM = 1.2
"""So many times the size of the last checkpoint must be free before one is written."""


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
    healthy: bool
    left: tuple[NotSaved, ...] = ()
    """Why older ones that were to go are still there: of each, what the disk said."""


def save_checkpoint(
    run_folder: Path,
    state: TrainState,
    belongs: Mapping[str, str],
    *,
    facts: Mapping[str, str] | None = None,
    pinned: bool = False,
) -> Saved:
    """Write the whole state. `belongs` says what the run is (data, family): a resume demands it.

    One of the same step that is there already, as from before a resume, gives way to it and leaves it its pin. `facts`
    are what going on to the bit depends on; a pinned one is never rotated out. Raises NotSaved when the disk refuses or
    has too little room; what was there before is untouched.
    """
    step = state.learner.step
    target = run_folder / "checkpoints" / f"step-{step:08d}"
    pinned = pinned or (target / checkpoints.PIN).exists()
    fsio.clear_folders(target.parent)
    _demand_room(run_folder)
    _write(target, state, belongs, facts or {}, pinned=pinned)
    found = read_checkpoint(target)
    if found is None or not is_whole(target):
        raise BadCheckpoint(
            "the checkpoint just written reads back differently", where=str(target), fix="check the disk"
        )
    left = _rotate(run_folder, target, state.metric)
    return Saved(folder=target, step=step, sha256=found.weights, healthy=found.healthy, left=left)


def _write(
    target: Path, state: TrainState, belongs: Mapping[str, str], facts: Mapping[str, str], *, pinned: bool
) -> None:
    with fsio.new_folder(target, replace=True) as folder:
        state.learner.save(folder)
        files = {p.name: {"size": p.stat().st_size, "sha256": hash_of(p)} for p in sorted(folder.iterdir())}
        manifest = {
            "format": FORMAT,
            "step": state.learner.step,
            "epoch": state.epoch,
            "metric": state.metric,
            "value": _as_json(state.counters.last_value),
            "healthy": state.healthy,
            "counters": {k: _as_json(v) for k, v in asdict(state.counters).items()},
            "belongs": dict(belongs),
            "facts": dict(facts),
            "files": files,
        }
        fsio.write_text(folder / "manifest.json", json.dumps(manifest, indent=1) + "\n")
        if pinned:
            checkpoints.pin(folder)


def load_checkpoint(folder: Path, state: TrainState, belongs: Mapping[str, str]) -> None:
    """Go on from a checkpoint.

    Raises BadCheckpoint when it is damaged, was made from other data, or cannot be read by this version.
    """
    found = read_checkpoint(folder)
    if found is None or not is_whole(folder):
        raise BadCheckpoint("the checkpoint is damaged", where=str(folder), fix="delete it to use an older one")
    differing = [k for k, v in belongs.items() if found.belongs.get(k) != v]
    if differing:
        raise BadCheckpoint(
            f"the checkpoint belongs to another {' and '.join(differing)}",
            where=str(folder),
            fix="start a new run with `epochal train`",
        )
    counted = found.counters
    try:
        state.learner.load(folder)
        # What is absent or was no number stands at its default, which for figures is NaN.
        known = {f.name: counted[f.name] for f in fields(Counters) if counted.get(f.name) is not None}
        state.counters = Counters(**known)
    except (KeyError, ValueError, TypeError, RuntimeError, OSError, SafetensorError) as error:
        # Whole, and yet not what is looked for: another version wrote it, and a person goes on all the same.
        first = str(error).strip().splitlines()[0][:200] if str(error).strip() else "it says no more"
        raise BadCheckpoint(
            f"the checkpoint does not fit the model of this version: {type(error).__name__}: {first}",
            where=str(folder),
            fix="bring the version that wrote it back, or start a new run with `epochal train`",
        ) from error


def _demand_room(run_folder: Path) -> None:
    """Raise NotSaved where a checkpoint as large as the last one would leave the disk full."""
    there = checkpoints.checkpoints_of(run_folder)
    if there:
        fsio.demand_room(run_folder, int(ROOM * there[-1].size))


def _rotate(run_folder: Path, written: Path, metric: str) -> tuple[NotSaved, ...]:
    """Delete what is neither just written nor among the newest healthy ones nor the best nor pinned, and what is none.

    What cannot be deleted stays, and is no reason to end: returns what the disk said of each.
    """
    kept = checkpoints.to_keep(checkpoints.checkpoints_of(run_folder), metric, written)
    left: list[NotSaved] = []
    for folder in checkpoints.folders_of(run_folder):
        if folder not in kept and not (folder / checkpoints.PIN).exists():
            try:
                fsio.remove_folder(folder, unless=checkpoints.PIN)
            except NotSaved as error:
                left.append(error)
    return tuple(left)


def _as_json(value: float | None) -> float | None:
    """The figure, or None for NaN, which JSON does not have."""
    return None if value is None or math.isnan(value) else value
