"""Verifying that a run resumes to the bit: the data as for a run, the runs elsewhere, the project untouched."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from epochal.core.errors import RunError
from epochal.core.settings import Project
from epochal.core.useless import refuse_useless
from epochal.data.protocol import body_of
from epochal.project import trust
from epochal.project.file import ProjectFile
from epochal.runs.equality import Verification, refuse_stops
from epochal.runs.own import look_at_class
from epochal.runs.verify import verify_resume
from epochal.workbench import operations
from epochal.workbench.data_client import DataClient
from epochal.workbench.feeding import refuse_feed


if TYPE_CHECKING:
    from epochal.workbench.session import Session


def verify(
    client: DataClient,
    file: ProjectFile,
    *,
    tell: operations.Tell,
    adjust: Callable[[Project], Project] | None = None,
    overrides: Collection[str] = (),
    steps: int | None = None,
    at: Sequence[int] = (),
    report: operations.Report = operations.quiet,
    cancelled: threading.Event | None = None,
) -> Verification:
    """Build the data and compare runs that are stopped and resumed with one that is not.

    `adjust` are settings for this alone, `overrides` their dotted paths. Raises EpochalError as a run would, Cancelled
    once `cancelled` is set.
    """
    refuse_stops(at, steps)
    wanted = file.project if adjust is None else adjust(file.project)
    if wanted.train.num_ranks > 1:
        raise RunError(
            f"what is verified computes in one process, and {wanted.train.num_ranks} devices were asked for",
            where="[train] devices",
            fix="verify it with --set train.devices=auto; ranks go the same way, each with its own random state",
            code="one-device",
        )
    refuse_useless(wanted, overrides=overrides)
    trust.demand(file.folder, wanted)
    brings = look_at_class(file.folder, wanted, report=report, cancelled=cancelled)
    refuse_useless(wanted, brings, overrides=overrides)
    project, built = operations.build(client, file, tell=tell, project=wanted, report=report, cancelled=cancelled)
    refuse_feed(file.folder, project, built)
    return verify_resume(file.folder, project, body_of(built), steps=steps, at=at, report=report, cancelled=cancelled)


def verify_here(session: Session, done: Callable[[Verification], None]) -> None:
    """Verify the settings as they stand, in the background; `cancel` of the session ends it. `done` is told what came out."""
    file = session.file
    if file is None:
        return
    cancelled = threading.Event()

    def work(report: operations.Report) -> Verification:
        def tell(notice: str) -> None:
            session.deliver(lambda: session.warn(notice))

        return verify(session.data, file, tell=tell, report=report, cancelled=cancelled)

    session.background("verify", "preparing the rows", work, done, cancelled=cancelled)


def rows_of(result: Verification) -> list[tuple[str, str, str]]:
    """What was compared, kind by kind: what, how many, and whether it was equal."""
    return [(c.what, f"{c.number} {c.unit}", "equal" if c.same else "differs") for c in result.compared]


def said_of(result: Verification) -> list[str]:
    """What was done, in lines for a person."""
    unit = "rounds" if result.family == "trees" else "steps"
    threads = "1 thread" if result.threads == 1 else f"{result.threads} threads"
    far = f"{result.steps - result.begins} of {result.total_steps} {unit}"
    if result.steps_per_epoch > 1 and not result.begins:
        far += f" ({result.steps / result.steps_per_epoch:.3g} epochs)"
    device = "the CPU" if result.device == "cpu" else result.device
    how = f"{threads}, {result.precision}, {result.mode} mode"
    lines = [f"{result.family}, {result.task}: {far} on {device}, {how}, compared in {result.seconds:.0f} s"]
    if result.mode == "fast":
        lines.append("fast mode promises no equality")
    if result.begins:
        lines.append(
            f"an epoch has {result.steps_per_epoch} steps: to come to its end soon, each way begins after step "
            f"{result.begins}, with the weights of a beginning"
        )
    if not result.evaluations:
        lines.append("no evaluation lies within these steps: nothing is said of one, nor of the best weights")
    lines.append("1  without a stop")
    for number, way in enumerate(result.ways, 2):
        stops = ", then ".join(f"at step {stop.step} ({stop.where})" for stop in way.stops)
        lines.append(f"{number}  stopped {stops}; each part in a new process")
    return lines
