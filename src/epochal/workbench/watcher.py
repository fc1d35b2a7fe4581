"""Follows a project's runs on a thread of its own, and only when asked: the screen's pace is the pace."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from epochal.project.checkpoints import Checkpoint, checkpoints_of
from epochal.runs.follow import Follower, baselines_of, log_lines
from epochal.runs.state import RunInfo, list_runs, run_folders


if TYPE_CHECKING:
    from epochal.core.events import BaselineDone
    from epochal.journal.reduce import RunState
    from epochal.workbench.vitals import Vitals


LIST_SECONDS = 2.0
"""The list of runs is read anew this often at most, while nobody starts one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the screen wants to see."""

    folder: Path
    run: str = ""
    """The run's name; the newest, if empty."""
    overlay: str = ""
    """Another run whose curve is laid over; none, if empty."""
    log: bool = False
    checkpoints: bool = False
    fresh: bool = False
    """Whether the list of runs is to be read even if it was just read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What there was to see."""

    runs: tuple[RunInfo, ...] = ()
    """Newest first."""
    run: str = ""
    state: RunState | None = None
    overlay: RunState | None = None
    behind: bool = False
    """Whether there is more to see at once of what is shown."""
    log: tuple[str, ...] = ()
    checkpoints: tuple[Checkpoint, ...] | None = None
    """Of the run shown, the oldest first; None where they are not wished for."""
    tested: bool = False
    """Whether the test set was opened for the run shown."""
    machine: str = ""
    """How busy this machine is, in a few words."""
    listed_at: float = field(default=0.0, compare=False)

    def info(self, name: str = "") -> RunInfo | None:
        """A run of the list by name; the one shown, if empty."""
        return next((r for r in self.runs if r.name == (name or self.run)), None)


class Watcher(threading.Thread):
    """Waits to be asked, reads once, hands over what it saw."""

    def __init__(self, seen: Callable[[Seen], None], vitals: Vitals | None = None) -> None:
        super().__init__(name="epochal-watcher", daemon=True)
        self._vitals = vitals
        self._tell = seen
        self._asked = threading.Event()
        self._wish: Wish | None = None
        self._ended = False
        self._followers: dict[Path, Follower] = {}
        self._told: dict[Path, Mapping[str, BaselineDone]] = {}
        """What other runs said is to be beaten, read once."""
        self._last = Seen()
        self._folder: Path | None = None

    def ask(self, wish: Wish) -> None:
        """Look once, soon. Asking again before it looked changes what it looks for. From any thread."""
        self._wish = wish
        self._asked.set()

    def end(self) -> None:
        """Look no more."""
        self._ended = True
        self._asked.set()

    def run(self) -> None:
        """Look whenever asked."""
        while True:
            self._asked.wait()
            self._asked.clear()
            wish = self._wish
            if self._ended:
                return
            if wish is not None:
                self._last = self.look(wish)
                self._tell(self._last)

    def look(self, wish: Wish) -> Seen:
        """What there is to see now."""
        if wish.folder != self._folder:
            self._folder, self._followers, self._told, self._last = wish.folder, {}, {}, Seen()
        runs, listed_at = self._runs(wish)
        name = wish.run if any(r.name == wish.run for r in runs) else (runs[0].name if runs else "")
        info = next((r for r in runs if r.name == name), None)
        state = self._follow(info) if info else None
        behind = info is not None and self._followers[info.folder].more
        if info is not None and state is not None and not behind and state.status != info.status:
            runs, listed_at = tuple(list_runs(wish.folder)), time.monotonic()
        if info is not None and state is not None:
            state = self._with_baselines(info, state, runs)
        overlay = next((r for r in runs if r.name == wish.overlay and r.name != name), None)
        overlaid = self._follow(overlay) if overlay else None
        behind = behind or (overlay is not None and self._followers[overlay.folder].more)
        return Seen(
            runs=runs,
            run=name,
            state=state,
            overlay=overlaid,
            behind=behind,
            log=tuple(log_lines(info.folder)) if info and wish.log else (),
            checkpoints=tuple(checkpoints_of(info.folder)) if info and wish.checkpoints else None,
            tested=info is not None and (info.folder / "report" / "view.json").exists(),
            machine=self._machine(listed_at),
            listed_at=listed_at,
        )

    def _with_baselines(self, info: RunInfo, state: RunState, runs: tuple[RunInfo, ...]) -> RunState:
        """What must be beaten is known from the run before on the same rows, until this one has said it itself."""
        if state.baselines or state.ended is not None:
            return state
        told = (self._told_by(r) for r in runs if r.name != info.name and _same_rows(r, info))
        return replace(state, baselines=next((known for known in told if known), {}))

    def _told_by(self, info: RunInfo) -> Mapping[str, BaselineDone]:
        known = self._told.get(info.folder)
        if known is None:
            known = baselines_of(info.folder)
            if known or not info.alive:
                self._told[info.folder] = known
        return known

    def _machine(self, listed_at: float) -> str:
        """As often as the list of runs is read."""
        if self._vitals is None:
            return ""
        return self._vitals.read() if listed_at != self._last.listed_at else self._last.machine

    def _runs(self, wish: Wish) -> tuple[tuple[RunInfo, ...], float]:
        now = time.monotonic()
        known = {r.folder.name for r in self._last.runs}
        same = known == {p.name for p in run_folders(wish.folder)}
        if same and not wish.fresh and now - self._last.listed_at < LIST_SECONDS:
            return self._last.runs, self._last.listed_at
        return tuple(list_runs(wish.folder)), now

    def _follow(self, info: RunInfo) -> RunState:
        """What a run said; all at once when it was over before it was first looked at."""
        follower = self._followers.get(info.folder)
        if follower is not None:
            return follower.ease()
        follower = self._followers[info.folder] = Follower(info.folder)
        return follower.ease() if info.alive else follower.read_all()


def _same_rows(one: RunInfo, other: RunInfo) -> bool:
    """Whether two runs learn from the same columns of the same rows and are judged alike, so that baselines agree."""
    a, b = one.spec, other.spec
    return (a.snapshot_id, a.split_id, a.inputs, a.project.metric) == (
        b.snapshot_id,
        b.split_id,
        b.inputs,
        b.project.metric,
    )
