"""Showing that a run that is stopped and resumed equals one that is not: the same steps in several ways, compared.

Every part of every way is trained in a process of its own, from the files that the part before left behind, in a folder
of the project's cache that is gone at the end. The project is not touched.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from epochal.core.errors import RunError
from epochal.core.settings import Project
from epochal.fsio import not_saved
from epochal.project.exact import environment
from epochal.project.paths import ProjectPaths
from epochal.project.runfile import RunCode, RunSpec, write_run
from epochal.project.trust import run_code
from epochal.project.verified import verifying_in
from epochal.runs.child import Report, ask_child
from epochal.runs.equality import Verification, compare, compared_of, refuse_stops, stops_of
from epochal.show import grouped


SEGMENT_COMMAND = (sys.executable, "-P", "-m", "epochal.host", "--segment")


def verify_resume(
    folder: Path,
    project: Project,
    built: Mapping[str, Any],
    *,
    steps: int | None = None,
    at: Sequence[int] = (),
    report: Report | None = None,
    cancelled: threading.Event | None = None,
) -> Verification:
    """Train straight through and with stops, each part in a new process, and compare.

    `built` is what the data host answered. `steps` is where the comparison ends, `at` where it stops; by default as far
    as shows most in some seconds, stopped as `stops_of` says. Blocks; `report` is called on this thread; setting
    `cancelled` ends it. Raises Cancelled, RunError, or the error that a run would meet.
    """
    if not project.model.family:
        raise RunError("no family is chosen", where="[model]", fix='write family = "…" in [model]', code="no-family")
    refuse_stops(at, steps)
    code = run_code(folder, project)
    began = time.monotonic()
    paths = ProjectPaths(folder)
    with verifying_in(paths) as place:
        trained = _Trained(place, paths.folder, project, built, code, report or _nobody, cancelled)
        num_ways = 2 if at else 3
        run = trained.run("straight", {})
        begins = None if steps is None and not at else 0  # where nobody says, it begins where most is shown
        words = f"1 of {num_ways}, without a stop"
        straight = trained.part(run, steps, words, (0.0, 1 / num_ways), begins=begins)
        first, end, resolved = int(straight["start"]), int(straight["end"]), straight["resolved"]
        per_epoch, every = straight["steps_per_epoch"], straight["evaluate_every"]
        ways = []
        for number, stops in enumerate(stops_of(end, per_epoch, every, straight["pieces"], at, begins=first), 1):
            run = trained.run(f"stopped-{number}", resolved)
            named = " and ".join(grouped(stop.step) for stop in stops)
            words = f"{number + 1} of {num_ways}, stopped at step {named}"
            until = [*(stop.step for stop in stops), end]
            each = 1 / num_ways / len(until)
            parts = [
                trained.part(run, step, words, (number / num_ways + n * each, each), begins=first)
                for n, step in enumerate(until)
            ]
            ways.append(compare(straight, parts, stops))
    told = ("device", "threads", "precision", "steps_per_epoch", "evaluate_every", "total_steps", "pieces")
    return Verification(
        family=project.model.family,
        task=project.goal.task,
        mode=project.train.mode,
        begins=first,
        steps=end,
        losses=tuple(straight["losses"]),
        ways=tuple(ways),
        compared=compared_of(straight, ways),
        notices=tuple(straight["notices"]),
        seconds=round(time.monotonic() - began, 1),
        **{key: straight[key] for key in told},
    )


def _nobody(_text: str, _share: float | None) -> None:
    """A report to nobody."""


@dataclass(frozen=True, slots=True)
class _Trained:
    """What all parts of all ways have in common."""

    place: Path
    """Where their folders stand."""
    project_folder: Path
    project: Project
    built: Mapping[str, Any]
    code: RunCode | None
    report: Report
    cancelled: threading.Event | None

    def run(self, name: str, resolved: Mapping[str, Any]) -> Path:
        """The folder of a run of its own, its plan `resolved` already or not. Raises NotSaved."""
        folder = self.place / name
        try:
            folder.mkdir()
        except OSError as error:
            raise not_saved(folder, error) from error
        spec = RunSpec(
            folder=folder,
            name=f"0001-{self.project.model.family}",
            project=self.project,
            snapshot_id=self.built["snapshot_id"],
            split_id=self.built["split_id"],
            created=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            inputs=tuple(self.built["inputs"]),
            classes=tuple(self.built.get("classes", ())),
            resolved=dict(resolved),
            environment=environment(),
            code=self.code,
        )
        write_run(spec)
        return folder

    def part(
        self, run: Path, until: int | None, words: str, share: tuple[float, float], *, begins: int | None
    ) -> dict[str, Any]:
        """Train a run on to a step in a new process. `share` is where that begins in the whole, and how much of it it is.

        A run without a checkpoint takes its first step after step `begins`; None leaves that to it.
        """

        def report(text: str, done: float | None) -> None:
            self.report(f"{words}: {text}", None if done is None else share[0] + share[1] * done)

        answer = ask_child(
            [*SEGMENT_COMMAND, str(self.project_folder)],
            {"folder": str(run), "project": str(self.project_folder), "until": until, "begins": begins},
            what="the verification",
            code="verify-failed",
            fix="see `epochal doctor` for memory and versions",
            report=report,
            cancelled=self.cancelled,
        )
        return {**answer["segment"], "pid": answer["pid"]}
