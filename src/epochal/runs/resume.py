"""Going on with a run in its own folder."""

from __future__ import annotations

import contextlib
import shlex
from pathlib import Path

from epochal import fsio
from epochal.core.errors import RunError
from epochal.journal.told import told_of
from epochal.project.going import Way, going_on
from epochal.runs.launch import busy, start
from epochal.runs.state import RunInfo, run_info


__all__ = ["Way", "refuse_resume", "resume"]


def resume(run_folder: Path, host: str | None = None, *, way: Way = "exactly") -> int:
    """Continue a paused, stopped, interrupted, failed or diverged run; returns its host's process number.

    It goes on from its newest whole and healthy checkpoint; one that never wrote any begins again, and its journal says
    so. Raises RunError: run-done for a run that is finished, run-busy for one that is being trained, resume-differs
    where it would not be the run it was (unless `way` is "anyway"), no-checkpoint where all were lost, or where it
    diverged before the first (unless it is "from-start").
    """
    info = run_info(run_folder)
    refuse_resume(info, way)
    return start(info.spec, host, way=way)


def refuse_resume(info: RunInfo, way: Way = "exactly") -> None:
    """Refuse a run that cannot go on in the `way` asked. Raises RunError, as `resume` does.

    A checkpoint that its host was killed in the middle of replacing is put back before.
    """
    if info.status == "done":
        raise RunError(
            f"run {info.name} is done",
            where=str(info.folder),
            fix=f"train a new one: `epochal train {shlex.quote(str(info.spec.project_folder))}`",
            code="run-done",
        )
    if info.alive:
        raise busy(info.spec)
    if info.spec.resolved:
        with contextlib.suppress(fsio.NotSaved):
            lock = fsio.try_lock(info.folder / "run.lock")
            if lock is not None:
                with fsio.closing_lock(lock):
                    fsio.clear_folders(info.folder / "checkpoints")
        told = told_of(info.folder)
        going_on(info.spec, told.checkpoints, way, diverged=told.diverged)
