"""The checkpoints in a run's folder, read by anyone without the heavy libraries: which there are, whole, pinned, best.

`checkpoints/step-00001234/` holds the learner's files and `manifest.json`, written last. A folder without a manifest
that agrees with its files does not exist for readers. A file `pinned` in it keeps it for ever.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from epochal import fsio
from epochal.core.errors import RunError
from epochal.core.tasks import METRICS
from epochal.show import grouped


FORMAT = 1
KEPT_HEALTHY = 2
"""So many of the newest healthy ones are kept, beside the best and the pinned."""
_NAME = re.compile(r"step-(\d{1,18})")
_MANIFEST_BYTES = 1 << 20
PIN = "pinned"
"""The file in a checkpoint's folder that keeps it for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """One checkpoint, as its manifest describes it. Whether its files agree is another question: `is_whole`."""

    folder: Path
    step: int
    epoch: float
    size: int
    """Bytes of its files."""
    value: float
    """Of the chosen metric at the newest evaluation before it was written; NaN before the first."""
    healthy: bool
    """Every figure was a number when it was written."""
    pinned: bool
    belongs: Mapping[str, str]
    """What it was made from: a resume must agree, whatever a person says."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """What going on to the bit depends on; see `epochal.project.exact`."""
    counters: Mapping[str, Any] = field(default_factory=dict)
    weights: str = ""
    """sha256 of the weights."""
    written: float = 0.0
    """When, in seconds since 1970, as the file system says."""

    @property
    def name(self) -> str:
        """Of its folder."""
        return self.folder.name


def checkpoints_of(run_folder: Path) -> list[Checkpoint]:
    """All with a manifest that can be read, the oldest first. Their files are not looked at."""
    found = (read_checkpoint(folder) for folder in folders_of(run_folder))
    return [checkpoint for checkpoint in found if checkpoint is not None]


def folders_of(run_folder: Path) -> list[Path]:
    """All that are called like one, by their steps: a number of nine digits comes after one of eight."""
    named = ((_NAME.fullmatch(p.name), p) for p in (run_folder / "checkpoints").glob("step-*"))
    return [path for _, path in sorted((int(match[1]), path) for match, path in named if match)]


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """What the folder's manifest says; None when there is none that can be read."""
    manifest, name = _manifest(folder), _NAME.fullmatch(folder.name)
    if manifest is None or name is None:
        return None
    try:
        written = (folder / "manifest.json").stat().st_mtime
    except OSError:  # deleted meanwhile
        return None
    files = manifest["files"]
    value = manifest.get("value")
    return Checkpoint(
        folder=folder,
        step=int(name[1]),
        epoch=float(manifest.get("epoch", 0.0)),
        size=sum(file["size"] for file in files.values()),
        value=float(value) if isinstance(value, (int, float)) else math.nan,
        healthy=manifest.get("healthy") is not False,
        pinned=(folder / PIN).exists(),
        belongs=manifest["belongs"],
        facts=manifest.get("facts") or {},
        counters=manifest["counters"],
        weights=str(next(file["sha256"] for name, file in sorted(files.items()) if name.startswith("model."))),
        written=written,
    )


def is_whole(folder: Path) -> bool:
    """Whether every file is there as the manifest says, by size and sha256."""
    manifest = _manifest(folder)
    if manifest is None:
        return False
    try:
        return all(
            (folder / name).stat().st_size == file["size"] and hash_of(folder / name) == file["sha256"]
            for name, file in manifest["files"].items()
        )
    except OSError:
        return False


def reason_of_early_stop(run_folder: Path) -> str:
    """In words, how a start ended that was stopped before it took a step; an earlier one may have left a checkpoint."""
    folder = newest_checkpoint(run_folder)
    stands = read_checkpoint(folder) if folder is not None else None
    if stands is None:
        return "stopped before the first step; there is nothing to keep"
    return f"stopped before it went on; the checkpoint of step {grouped(stands.step)} stands"


def newest_checkpoint(run_folder: Path) -> Path | None:
    """Where a run would go on: the whole checkpoint of the most steps, a healthy one if there is any; None without."""
    found = list(reversed(checkpoints_of(run_folder)))
    ordered = [c for c in found if c.healthy] + [c for c in found if not c.healthy]
    return next((c.folder for c in ordered if is_whole(c.folder)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where a run goes on."""

    checkpoint: Checkpoint | None
    """None: from its beginning."""
    passed_over: tuple[str, ...] = ()
    """In words, each newer checkpoint that is missing or damaged."""


def where_to_go_on(run_folder: Path, told: Iterable[int], *, from_start: bool = False, diverged: bool = False) -> Start:
    """The checkpoint a run goes on from. `told` are the steps of those its journal says were written.

    Raises RunError: no-checkpoint when there were some and none is whole, or there never was one and it `diverged`,
    unless it may begin `from_start`; has-checkpoint when it should and there is one.
    """
    told = set(told)
    there = {int(match[1]) for p in folders_of(run_folder) if (match := _NAME.fullmatch(p.name))}
    newest = newest_checkpoint(run_folder)
    checkpoint = read_checkpoint(newest) if newest is not None else None
    if checkpoint is None:
        if (told or there) and not from_start:
            raise RunError(
                f"none of the checkpoints of run {run_folder.name} is whole: {_lost(told, there)}",
                where=str(run_folder / "checkpoints"),
                fix="bring the folder back from a backup; or `epochal resume --from-start` begins the run again; "
                "or `epochal train` makes a new one",
                code="no-checkpoint",
            )
        if diverged and not from_start:
            raise RunError(
                f"run {run_folder.name} diverged before its first checkpoint: there is nothing healthy to go on from",
                where=str(run_folder),
                fix="`epochal train` makes a new one, once what it diverged by is mended; or "
                "`epochal resume --from-start` begins this one again, with the settings it diverged with",
                code="no-checkpoint",
            )
        return Start(checkpoint=None)
    if from_start:
        raise RunError(
            f"run {run_folder.name} has a whole checkpoint of step {checkpoint.step}",
            where=str(checkpoint.folder),
            fix="`epochal resume` goes on from it; `epochal train` makes a new run",
            code="has-checkpoint",
        )
    unhealthy = {c.step for c in checkpoints_of(run_folder) if not c.healthy}
    words = tuple(
        f"the checkpoint of step {step} is "
        f"{'missing' if step not in there else 'not healthy' if step in unhealthy else 'damaged'}: "
        f"the run goes on from step {checkpoint.step}"
        for step in sorted(told | there)
        if step > checkpoint.step
    )
    return Start(checkpoint=checkpoint, passed_over=words)


def _lost(told: set[int], there: set[int]) -> str:
    damaged, missing = sorted(there), sorted(told - there)
    parts = [f"{_steps(damaged)} damaged"] if damaged else []
    # Of those that are missing the newest counts: older ones had given way to newer ones.
    parts += [f"{_steps(missing[-1:])} missing"] if missing else []
    return ", ".join(parts)


def _steps(steps: list[int]) -> str:
    return f"step {steps[0]} is" if len(steps) == 1 else f"steps {', '.join(map(str, steps))} are"


def best_of(checkpoints: Iterable[Checkpoint], metric: str) -> Checkpoint | None:
    """The healthy one with the best value of the metric, of equals the newest; None where none was evaluated."""
    best: Checkpoint | None = None
    for checkpoint in checkpoints:
        if not checkpoint.healthy or math.isnan(checkpoint.value):
            continue
        if best is None or not METRICS[metric].better(best.value, checkpoint.value):
            best = checkpoint
    return best


def to_keep(checkpoints: Iterable[Checkpoint], metric: str, written: Path) -> set[Path]:
    """The folders that rotation leaves: the newest two healthy whole ones, the best whole one, the pinned.

    `written` was just read back: it stays, and its files are not read once more.
    """
    newest_first = sorted(checkpoints, key=lambda c: -c.step)
    kept = {written, *(c.folder for c in newest_first if c.pinned)}
    whole = {written: True}

    def stands(checkpoint: Checkpoint) -> bool:
        if checkpoint.folder not in whole:
            whole[checkpoint.folder] = is_whole(checkpoint.folder)
        return whole[checkpoint.folder]

    healthy = 0
    for checkpoint in newest_first:
        if healthy < KEPT_HEALTHY and checkpoint.healthy and stands(checkpoint):
            kept.add(checkpoint.folder)
            healthy += 1
    left = list(reversed(newest_first))
    while (best := best_of(left, metric)) is not None and not stands(best):
        left.remove(best)
    return kept | ({best.folder} if best is not None else set())


def last_healthy(run_folder: Path) -> Checkpoint | None:
    """The newest checkpoint that is whole and healthy."""
    found = (c for c in reversed(checkpoints_of(run_folder)) if c.healthy and is_whole(c.folder))
    return next(found, None)


def pin(folder: Path) -> None:
    """Keep a checkpoint for ever. Raises NotSaved when it is gone or the disk refuses."""
    if not (folder / PIN).exists():
        fsio.write_text(folder / PIN, "kept until it is unpinned\n")


def unpin(folder: Path) -> None:
    """Let a checkpoint be deleted when newer ones stand. Raises NotSaved."""
    fsio.remove_file(folder / PIN)


def turn(checkpoint: Checkpoint) -> bool:
    """Pin one that was not, unpin one that was; False when it is gone by now. Raises NotSaved."""
    try:
        (unpin if checkpoint.pinned else pin)(checkpoint.folder)
    except fsio.NotSaved:
        if read_checkpoint(checkpoint.folder) is not None:
            raise
    return read_checkpoint(checkpoint.folder) is not None


def hash_of(path: Path) -> str:
    """The sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _manifest(folder: Path) -> dict[str, Any] | None:
    path = folder / "manifest.json"
    try:
        if path.stat().st_size > _MANIFEST_BYTES:
            return None
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if _is_manifest(found) else None


def _is_manifest(found: Any) -> TypeGuard[dict[str, Any]]:
    """Whether a resume finds in it what it needs: the learner's files by their plain names, and where they belong."""
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        return False
    tables = [found.get(key) for key in ("files", "belongs", "counters")]
    if not all(isinstance(table, dict) for table in tables) or not isinstance(found.get("facts") or {}, dict):
        return False
    if not _is_number(found.get("epoch", 0.0)) or type(found.get("step", 0)) is not int:
        return False
    if found.get("value") is not None and not _is_number(found["value"]):
        return False
    files = found["files"]
    described = all(
        name == Path(name).name
        and isinstance(file, dict)
        and isinstance(file.get("size"), int)
        and isinstance(file.get("sha256"), str)
        for name, file in files.items()
    )
    return described and any(name.startswith("model.") for name in files)


def _is_number(value: Any) -> bool:
    """Whether it is one that a float can hold; true and false are none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        float(value)
    except OverflowError:
        return False
    return True
