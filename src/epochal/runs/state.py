"""Which runs a project has, and how each stands.

The journal says what a run did; whether it still does is judged from who has it (see `identity`) and its signs of life.
No verdict depends on a wall clock, except of a host on another machine, and then it says so.
"""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from epochal.core.errors import EpochalError, RunError
from epochal.core.events import RunEnded, RunStatus
from epochal.core.steps import nearest
from epochal.journal.record import journal_file, last_index
from epochal.journal.reduce import EVALUATION_COLUMNS, RunState, reduce_all
from epochal.journal.series import Log, Series
from epochal.journal.tail import last_record, read_journal
from epochal.project.paths import ProjectPaths
from epochal.project.runfile import RunSpec, read_run
from epochal.runs.identity import is_alive, is_halted
from epochal.runs.memory import kills
from epochal.runs.signs import Sign, read_sign


RUN_NAME = re.compile(r"[0-9]{4,9}-[a-z0-9:_.-]+")

SILENT_SECONDS = 30.0
"""A living host gives a sign every two seconds; silent this long, it hangs."""

QUIET_SECONDS = 60.0
"""Training that says nothing for this long, or 20 times as long as usual, is stuck."""

QUIET_ELSEWHERE_SECONDS = 600.0
"""The same outside the steps: reading, baselines and probes may take their time."""

NOT_STARTED = "not started yet: `epochal resume` starts it, or the line that --print-launch printed"
"""What a run is told of that was made and never begun."""

FAR_SECONDS = 300.0
"""A host on another machine that gave no sign for this long is taken for dead."""

_LIVING: frozenset[RunStatus] = frozenset({"starting", "running", "stopping", "stuck"})
"""States in which a host has the run; a paused one has a host while it waits, as for room on the disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """One run of a project, as lists show it."""

    spec: RunSpec
    status: RunStatus
    note: str
    """What else there is to say of the status, in words."""
    value: float | None
    """The best of the chosen metric on validation; None where there is none, or it is not defined on these rows."""
    value_step: int | None
    step: int
    epochs: float
    seconds: float
    """Training time so far."""
    samples_per_second: float
    pid: int | None
    """Of the host that has it, while it has."""

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.spec.folder

    @property
    def name(self) -> str:
        """NNNN-family."""
        return self.spec.name

    @property
    def alive(self) -> bool:
        """Whether a host has it now."""
        return self.status in _LIVING or (self.status == "paused" and self.pid is not None)

    def as_row(self) -> dict[str, Any]:
        """As `epochal runs --json` lists it."""
        return {
            "run": self.name,
            "state": self.status,
            "family": self.spec.family,
            "metric": self.spec.project.metric,
            "value": self.value,
            "started": self.spec.created,
            "seconds": self.seconds,
            "world_size": self.spec.world_size,
            "path": str(self.folder),
        }

    def as_result(self) -> dict[str, Any]:
        """As `epochal train --json` ends."""
        return {
            "run": self.name,
            "state": self.status,
            "family": self.spec.family,
            "task": self.spec.project.goal.task,
            "metric": self.spec.project.metric,
            "best": {"value": self.value, "step": self.value_step},
            "steps": self.step,
            "epochs": self.epochs,
            "seconds": self.seconds,
            "samples_per_second": self.samples_per_second,
            "world_size": self.spec.world_size,
            "path": str(self.folder),
            **({"reason": self.note} if self.note else {}),
        }


def judge(
    said: RunStatus,
    note: str,
    sign: Sign | None,
    *,
    alive: bool | None,
    halted: bool,
    monotonic: float,
    wall: float,
    memory_kills: int | None = None,
) -> tuple[RunStatus, str]:
    """How a run stands, with words: from what its journal `said`, and from what is known of its host.

    `alive` is None when the host is on another machine. `monotonic` and `wall` are the clocks now, `memory_kills` how
    often the kernel ended a process of the host's group for want of memory.
    """
    if sign is not None and sign.role == "starter" and (alive or (alive is None and wall - sign.wall <= FAR_SECONDS)):
        return "starting", "its host is being started"
    if said in {"done", "stopped", "diverged", "failed", "paused"}:
        return said, note
    if sign is None:
        return ("ready", NOT_STARTED) if said == "ready" else ("interrupted", "nothing is known of its host")
    said = "starting" if said == "ready" else said  # its host has it, and has not said so yet
    if alive is False:
        return "interrupted", _how_it_ended(sign, memory_kills)
    if alive is None:
        return _far(said, sign, wall - sign.wall)
    age = max(0.0, monotonic - sign.monotonic)
    if halted:
        return (
            "stuck",
            f"its process {sign.identity.pid} was halted by a signal; `kill -CONT {sign.identity.pid}` continues it",
        )
    if age > SILENT_SECONDS:
        return "stuck", f"its process {sign.identity.pid} lives but gave no sign for {age:.0f} s"
    if sign.waits:
        return "paused", sign.waits
    quiet = sign.quiet_seconds + age
    limit = max(QUIET_SECONDS, 20 * sign.usual_seconds) if sign.phase == "training" else QUIET_ELSEWHERE_SECONDS
    if quiet > limit:
        return "stuck", f"its process {sign.identity.pid} lives but nothing happened for {quiet:.0f} s"
    return said, note


def _how_it_ended(sign: Sign, memory_kills: int | None) -> str:
    if sign.role == "starter":
        return "it was never started"
    if sign.killed:
        return "its process was ended as asked"
    if memory_kills is not None and memory_kills > sign.memory_kills:
        return "its process was killed, probably out of memory: the kernel ended a process of its group"
    return "its process ended without a word"


def _far(said: RunStatus, sign: Sign, age: float) -> tuple[RunStatus, str]:
    name = sign.identity.machine_name
    if age > FAR_SECONDS:
        return "interrupted", f"no sign of life for {age:.0f} s from {name}, which cannot be asked from here"
    if sign.waits:
        return "paused", f"{sign.waits}; on {name}"
    return said, f"on {name}, last sign of life {max(0.0, age):.0f} s ago"


def judge_now(run_folder: Path, said: RunStatus, note: str) -> tuple[RunStatus, str, Sign | None]:
    """`judge` with what this machine can see at this moment; also the sign it was judged by."""
    sign = read_sign(run_folder)
    alive = is_alive(sign.identity) if sign else False
    halted = sign is not None and alive is True and is_halted(sign.identity)
    status, words = judge(
        said,
        note,
        sign,
        alive=alive,
        halted=halted,
        monotonic=time.monotonic(),
        wall=time.time(),
        memory_kills=kills(sign.memory) if sign is not None and alive is False else None,
    )
    return status, words, sign


def run_info(run_folder: Path) -> RunInfo:
    """How one run stands. Cheap: the end of its journal and its sign of life. Raises RunError when there is no such run."""
    spec = _spec(run_folder)
    last = last_record(run_folder)
    ended = last.event if last and isinstance(last.event, RunEnded) else None
    sign = read_sign(run_folder)
    said: RunStatus = ended.state if ended else sign.said if sign else "running"
    # What earlier hosts did is not in a sign yet, and what one did last before it was killed may never be.
    short = sign is None or not sign.step or (sign.value is None and is_alive(sign.identity) is False)
    if ended is None and short:
        return info_of(spec, _read_whole(run_folder, *_journal_mark(run_folder)))
    status, note, sign = judge_now(run_folder, said, ended.reason if ended else "")
    best = ended if ended and ended.best_value is not None else None
    alive = status in _LIVING or (status == "paused" and ended is None)
    return RunInfo(
        spec=spec,
        status=status,
        note=note,
        value=_defined(best.best_value if best else sign.value if sign else None),
        value_step=best.best_step if best else sign.value_step if sign else None,
        step=ended.steps if ended else sign.step if sign else 0,
        epochs=ended.epochs if ended else sign.epoch if sign else 0.0,
        seconds=ended.seconds if ended else sign.seconds if sign else 0.0,
        samples_per_second=_defined(ended.samples_per_second if ended else None) or 0.0,
        pid=sign.identity.pid if alive and sign else None,
    )


def info_of(spec: RunSpec, state: RunState) -> RunInfo:
    """How a run stands, from its whole journal."""
    status, note, sign = judge_now(spec.folder, state.status, state.status_note)
    alive = status in _LIVING or (status == "paused" and state.ended is None)
    return RunInfo(
        spec=spec,
        status=status,
        note=note,
        value=_defined(state.best_value),
        value_step=state.best_step,
        step=state.step,
        epochs=state.epoch,
        seconds=state.seconds,
        samples_per_second=_defined(state.samples_per_second) or 0.0,
        pid=sign.identity.pid if alive and sign else None,
    )


def _defined(value: float | None) -> float | None:
    """The figure, or None where it is no finite number: the journal has such, a document cannot."""
    return value if value is not None and math.isfinite(value) else None


def run_folders(project_folder: Path) -> list[Path]:
    """The folders of all runs, newest first."""
    try:
        found = [p for p in ProjectPaths(project_folder).runs.iterdir() if RUN_NAME.fullmatch(p.name)]
    except OSError:
        return []
    return sorted(found, key=lambda p: (int(p.name.split("-", 1)[0]), p.name), reverse=True)


def list_runs(project_folder: Path) -> list[RunInfo]:
    """All runs, newest first. One that cannot be read is left out; `epochal doctor` names it."""
    infos: list[RunInfo] = []
    for folder in run_folders(project_folder):
        try:
            infos.append(run_info(folder))
        except (EpochalError, OSError):
            continue
    return infos


def find_run(project_folder: Path, which: str | None = None, *, started: bool = False) -> RunInfo:
    """A run by `3`, `0003` or its whole name; the newest when `which` is None, with `started` of those that were.

    Raises RunError (code no-run) when there is none, or more than one of that number.
    """
    folders = run_folders(project_folder)
    if not folders:
        raise RunError(
            "this project has no runs yet", where=str(project_folder), fix="train one: `epochal train`", code="no-run"
        )
    if which is None:
        newest = run_info(folders[0])
        if started and newest.status == "ready":
            return next((info for info in list_runs(project_folder) if info.status != "ready"), newest)
        return newest
    found = [p for p in folders if p.name == which]
    if not found and which.isascii() and which.isdigit() and len(which) < 10:
        found = [p for p in folders if int(p.name.split("-", 1)[0]) == int(which)]
    if len(found) == 1:
        return run_info(found[0])
    names = tuple(p.name for p in folders)
    close = nearest(which, names)
    raise RunError(
        f"{len(found) or 'no'} run is called {which!r}" if not found else f"{len(found)} runs are called {which!r}",
        where=str(ProjectPaths(project_folder).runs),
        fix=f"did you mean {close}?"
        if close
        else f"runs here: {', '.join(names[:5])}" + (" …" if len(names) > 5 else ""),
        code="no-run",
    )


def _spec(run_folder: Path) -> RunSpec:
    path = run_folder / "run.toml"
    try:
        found = path.stat()
    except OSError:
        return read_run(run_folder)
    return _read_once(run_folder.absolute(), found.st_mtime_ns, found.st_size, found.st_ino)


def _journal_mark(run_folder: Path) -> tuple[int, int, int]:
    """Changes whenever the journal does."""
    index = last_index(run_folder)
    try:
        found = journal_file(run_folder, index).stat()
    except OSError:
        return index, 0, 0
    return index, found.st_size, found.st_mtime_ns


@lru_cache(maxsize=512)
def _read_whole(run_folder: Path, _index: int, _size: int, _changed: int) -> RunState:
    """What the whole journal says, without its curves but for the newest row: long to read, small to keep."""
    state = reduce_all(RunState(), read_journal(run_folder))
    newest = state.steps.after(max(0, len(state.steps) - 1))
    return replace(state, steps=newest, evaluations=Series(EVALUATION_COLUMNS), metrics=Log(), superseded=())


@lru_cache(maxsize=512)
def _read_once(run_folder: Path, _changed: int, _size: int, _inode: int) -> RunSpec:
    return read_run(run_folder)
