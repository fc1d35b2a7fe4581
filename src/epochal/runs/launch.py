"""Making a run and starting its host."""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from epochal import fsio
from epochal.core.errors import EpochalError, RunError
from epochal.core.events import RunEnded
from epochal.core.settings import Project, with_setting
from epochal.core.tasks import FAMILIES
from epochal.journal.tail import last_record
from epochal.project.code import read_files, write_files
from epochal.project.exact import environment
from epochal.project.going import Way
from epochal.project.paths import ProjectPaths
from epochal.project.runfile import RunSpec, write_run
from epochal.project.trust import run_code
from epochal.runs.control import Inbox
from epochal.runs.follow import log_lines
from epochal.runs.identity import is_alive, my_identity
from epochal.runs.keeper import Keeper, lock_run
from epochal.runs.signs import Sign, read_sign, write_sign
from epochal.runs.state import run_folders, run_info
from epochal.runs.survival import Survival, survival
from epochal.runs.thread_host import start_here


READY_SECONDS = 20.0
"""How long a host may take until it has the run. What is heavy it imports afterwards."""

_LETTING_GO_SECONDS = 10.0
"""How long an earlier host may take from its end in the journal until it lets go: its ranks may still be ending."""

_MOST_RANKS = 4
"""For each core: more would only take memory from each other, some 400 MB each."""

BUSY = 75
"""What a host exits with when another has the run."""

HOST_COMMAND = (sys.executable, "-P", "-m", "epochal.host")
"""What a detached host runs. `-P`: nothing in the folder it starts in is imported."""


def make_run(
    folder: Path,
    project: Project,
    built: Mapping[str, Any],
    overrides: Mapping[str, Any] | None = None,
    *,
    nodes: int = 1,
) -> RunSpec:
    """Make the next run's folder with its run.toml; nothing is started.

    `project` are the settings in force, `overrides` those that differ from project.toml for this run; `built` is what
    the data host answered (`Built` as a mapping): snapshot_id, split_id, inputs, classes, ledger, settings,
    notices. What it recorded of the split is frozen into the run, and so are the hashes of the project's own
    code where its model is made of it. Safe for two starters at once. Raises NotSaved, Untrusted, and RunError for a
    family or a host that cannot share its batches as `devices` and `nodes` ask.
    """
    if not project.model.family:
        raise RunError("no family is chosen", where="[model]", fix='write family = "…" in [model]', code="no-family")
    refuse_sharing(project, nodes)
    paths = ProjectPaths(folder)
    for key, value in built.get("settings", {}).items():
        if key.startswith("split."):
            project = with_setting(project, key, value)
    with fsio.locked(paths.locks / "runs.lock"):
        taken = [int(p.name.split("-", 1)[0]) for p in run_folders(folder)]
        name = f"{max(taken, default=0) + 1:04d}-{project.model.family}"
        spec = RunSpec(
            folder=paths.runs / name,
            name=name,
            project=project,
            snapshot_id=built["snapshot_id"],
            split_id=built["split_id"],
            created=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            inputs=tuple(built["inputs"]),
            classes=tuple(built.get("classes", ())),
            overrides=dict(overrides or {}),
            environment=environment(),
            ledger=dict(built.get("ledger", {})),
            notices=tuple(built.get("notices", ())),
            nodes=nodes,
            code=run_code(folder, project),
        )
        fsio.make_folder(paths.runs)
        with fsio.new_folder(spec.folder) as making:
            write_run(replace(spec, folder=making))
            if spec.code is not None:
                write_files(making / "code", read_files(folder, spec.code.files))
    return spec


def refuse_sharing(project: Project, nodes: int = 1) -> None:
    """Refuse what cannot be shared as [train] devices and the number of nodes ask. Raises RunError."""
    train, family = project.train, project.model.family
    ranks = nodes * train.num_ranks
    if ranks > 1 and family and "devices" in FAMILIES[family].idle:
        raise RunError(
            f"{family} computes on one device and {ranks} were asked for",
            where="[train] devices",
            fix='write devices = "auto", or take another family',
            code="one-device",
        )
    if ranks > 1 and train.host == "thread":
        raise RunError(
            f"the thread host is one process and {ranks} devices were asked for",
            where="[train] host",
            fix='write host = "torchrun", or devices = "auto"',
            code="one-device",
        )
    cores = os.cpu_count() or 1
    if nodes == 1 and train.num_ranks > _MOST_RANKS * cores:
        raise RunError(
            f"{train.num_ranks} ranks are asked for, and this machine has {cores} core{'s' * (cores != 1)}",
            where="[train] devices",
            fix="write as many devices as there are GPUs, or at most as many as cores",
            code="too-many-ranks",
        )
    if nodes > 1 and train.devices == "auto":
        raise RunError(
            "how many ranks each node has must be said when there are several nodes",
            where="[train] devices",
            fix="write devices = 4, or as many as each node has",
            code="no-devices",
        )


def host_of(spec: RunSpec, asked: str | None = None) -> str:
    """The host a run lives in: what is asked, else what its settings say; for several devices it is torchrun.

    Raises RunError where that cannot be.
    """
    project = spec.project
    if asked:
        project = replace(project, train=replace(project.train, host=asked))
    refuse_sharing(project, spec.nodes)
    return "torchrun" if spec.world_size > 1 else project.train.host


def start(
    spec: RunSpec, host: str | None = None, *, way: Way = "exactly", command: Sequence[str] = HOST_COMMAND
) -> int:
    """Start the run's host, or start it anew after it ended; returns its process number once it has the run.

    `host` is "detached", "thread" or "torchrun"; by default what the run's settings say. `way` is how it may go on.
    What the run will survive is known before by `survival.survival(host)`. `command` is the program that takes
    `epochal.host`'s arguments. Raises RunError: run-busy when another host has the run, start-failed when the host died
    before it had it (the journal then says failed, with the end of its log).
    """
    chosen = host_of(spec, host)
    refuse_nodes(spec)
    before = _num_told(spec)
    if run_info(spec.folder).alive:
        raise busy(spec)
    # Before anything is waited for: what is asked from now on is meant for the host to come.
    Inbox(spec.folder).clear()
    lock = _when_let_go(spec, before)
    if chosen == "thread":
        start_here(spec, way=way, token=secrets.token_hex(8), lock=lock)
        return os.getpid()
    with fsio.closing_lock(lock):
        token = _announced(spec)
    code = _spawn(spec, token, survival(chosen), (*command, "--way", way, "--host", chosen))
    if code == BUSY:
        raise busy(spec)
    pid = _host_pid(spec, token) if code == 0 else None
    if pid is None:
        pid = _not_started(spec, token, code)
    return pid


def refuse_nodes(spec: RunSpec) -> None:
    """Refuse to start a run for several nodes, of which this is one. Raises RunError (code many-nodes)."""
    if spec.nodes > 1:
        raise RunError(
            f"run {spec.name} is for {spec.nodes} nodes, which are not started from here",
            where=str(spec.folder),
            fix=f"`epochal resume {shlex.quote(str(spec.project_folder))} {spec.number} --print-launch` prints the line for each node",
            code="many-nodes",
        )


def _when_let_go(spec: RunSpec, before: int) -> int:
    """The run's lock, once the host that has told its end lets go of it. Raises RunError (code run-busy), NotSaved.

    A run whose journal by then holds more than the `before` records it had was taken by another start meanwhile, to its
    end even: it is not begun again with what was known of it before.
    """
    try:
        lock = lock_run(spec.folder, _LETTING_GO_SECONDS)
    except RunError as error:
        now = run_info(spec.folder)
        raise busy(spec) if now.alive else _held(spec, now.status) from error
    try:
        _refuse_taken(spec, before)
    except BaseException:
        os.close(lock)
        raise
    return lock


def _refuse_taken(spec: RunSpec, before: int) -> None:
    now = run_info(spec.folder)
    if now.alive:
        raise busy(spec)
    if _num_told(spec) != before:
        raise RunError(
            f"run {spec.name} was started from elsewhere meanwhile, and is {now.status}",
            where=str(spec.folder),
            fix=f"see it: `epochal watch {shlex.quote(str(spec.project_folder))} {spec.number}`",
            code="run-busy",
        )


def _num_told(spec: RunSpec) -> int:
    """How many records the run's journal holds."""
    newest = last_record(spec.folder)
    return 0 if newest is None else newest.n + 1


def _held(spec: RunSpec, status: str) -> RunError:
    """The refusal of a run that has ended and that a process holds all the same."""
    sign = read_sign(spec.folder)
    by_hand = sign is not None and sign.role == "host" and is_alive(sign.identity)
    return RunError(
        f"run {spec.name} is {status}, and a process still holds it",
        where=str(spec.folder),
        fix="try again in a while" + (f"; if it stays so, end process {sign.identity.pid}" if sign and by_hand else ""),
        code="run-busy",
    )


def _announced(spec: RunSpec) -> str:
    """Say that the run is being started; returns the token of this start. Only for who holds the lock.

    An earlier host that has told its end gives a last sign of life before it lets go of the lock: over this one's, the
    host that is started would take itself for given up.
    """
    token = secrets.token_hex(8)
    write_sign(spec.folder, Sign(identity=my_identity(), role="starter", token=token))
    return token


def _spawn(spec: RunSpec, token: str, how: Survival, program: Sequence[str]) -> int | None:
    """Run the host's command until its host process has the run; its exit code, None when it took too long."""
    command = [*how.prefix, *program, str(spec.folder), "--detach"]
    command += ["--token", token, "--survives", how.words]
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    log = os.open(spec.folder / "host.log", flags, 0o644)
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True, close_fds=True
        )
    except OSError as error:
        raise RunError(f"the host cannot be started: {error}", where=command[0], code="start-failed") from error
    finally:
        os.close(log)
    try:
        return process.wait(READY_SECONDS)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return None


def busy(spec: RunSpec) -> RunError:
    """The refusal of a run that a host has."""
    sign = read_sign(spec.folder)
    who = f"process {sign.identity.pid} on {sign.identity.machine_name}" if sign else "another host"
    return RunError(
        f"run {spec.name} is already being trained by {who}",
        where=str(spec.folder),
        fix=f"watch it: `epochal watch {shlex.quote(str(spec.project_folder))} {spec.number}`",
        code="run-busy",
    )


def _host_pid(spec: RunSpec, token: str) -> int | None:
    """The process of the host that took the run for this start."""
    sign = read_sign(spec.folder)
    return sign.identity.pid if sign is not None and sign.token == token and sign.role == "host" else None


def _not_started(spec: RunSpec, token: str, code: int | None) -> int:
    """Write into the journal that the host did not come up, and raise what says so.

    Without the sign of this start a host that comes up later leaves the run alone. One that took it in the last moment
    is not given up: its process is returned.
    """
    lines = log_lines(spec.folder, 50)
    what = f"its host gave no answer within {READY_SECONDS:.0f} s" if code is None else f"its host ended with {code}"
    last = next((line for line in reversed(lines) if line.strip()), "")
    error = RunError(
        f"run {spec.name} did not start: {what}" + (f": {last}" if last else ""),
        where=str(spec.folder / "host.log"),
        fix="the log's end tells more",
        code="start-failed",
    )
    with contextlib.suppress(EpochalError, OSError):
        keeper = Keeper(spec.folder, "starter", token=token)
        keeper.end(RunEnded(state="failed", reason=error.what, error=error.as_dict()))
        keeper.release()
        sign = read_sign(spec.folder)
        if sign is not None and sign.token == token:  # else another start stands there by now
            (spec.folder / "status.json").unlink()
    host = _host_pid(spec, token)
    if host is None:
        raise error
    return host
