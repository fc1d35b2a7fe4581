"""Main of a run's process: `python -P -m epochal.host RUN_DIR`.

Signal handlers only note the signal. SIGTERM asks for a stop with a checkpoint, a second one for a stop at once;
SIGUSR1 asks for a checkpoint; SIGHUP and SIGINT are ignored, so neither a lost connection nor a ctrl-c in the terminal
it was started from reaches the training. Exit codes: 0 done, stopped or paused; 1 failed or diverged; 2 no such run;
75 another host has it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import signal
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args

from epochal.core.errors import EpochalError, RunError, unexpected
from epochal.core.events import RunEnded
from epochal.core.settings import parse_project
from epochal.fsio.wire import Wire, take_stdout
from epochal.project.going import Way
from epochal.project.runfile import RunSpec, read_run
from epochal.runs.control import START_SECONDS, STOP_NOW_SECONDS
from epochal.runs.gang import Node, check_meet, gang_training
from epochal.runs.keeper import Keeper
from epochal.runs.launch import BUSY, host_of
from epochal.runs.patience import Patience
from epochal.runs.thread_host import Training, TrainingThread, fit_training, host_started


_LOOK_SECONDS = 0.1


Make = Callable[[RunSpec, Way], Training]
"""Makes of a run's settings, and of the way it may go on, what is driven."""


def main(arguments: list[str] | None = None, training: Make = fit_training) -> int:
    """Run the host; returns the process's exit code."""
    parser = argparse.ArgumentParser(prog="python -P -m epochal.host")
    parser.add_argument("folder", type=Path, help="the run's folder, absolute; with --choose the project's")
    parser.add_argument("--choose", action="store_true", help="the folder is a project: try its families instead")
    parser.add_argument("--try", action="store_true", dest="trial", help="the folder is a project: try a training")
    parser.add_argument("--look", action="store_true", help="the folder is a project: read its own model's class")
    parser.add_argument(
        "--unfit", action="store_true", help="the folder is a project: whether this machine can train it"
    )
    parser.add_argument("--detach", action="store_true", help="return as soon as a process of its own has the run")
    parser.add_argument("--token", default="", help="names this start, for whoever waits for it")
    parser.add_argument("--way", choices=get_args(Way), default="exactly", help="how a run that was begun may go on")
    parser.add_argument("--survives", default="", help="in words, what the run outlives")
    parser.add_argument("--host", choices=("detached", "torchrun"), help="torchrun: a process for each device trains")
    parser.add_argument("--meet", default="", help="for many nodes: HOST:PORT of the first, where all of them meet")
    parser.add_argument(
        "--segment", action="store_true", help="the folder is a project: train a part of a run that is verified"
    )
    asked = parser.parse_args(arguments)
    works = (
        (asked.choose, _choice),
        (asked.trial, _trial),
        (asked.look, _look),
        (asked.unfit, _unfit),
        (asked.segment, _segment),
    )
    for wanted, work in works:
        if wanted:
            return _answer(work)

    def begin(spec: RunSpec) -> tuple[str, Training]:
        chosen = host_of(spec, asked.host)
        if chosen != "torchrun":
            return "detached", training(spec, asked.way)
        if spec.nodes > 1:
            check_meet(asked.meet)
        return chosen, gang_training(spec, asked.way, Node(meet=asked.meet))

    if asked.detach:
        return _detached(asked.folder, asked.token, asked.survives, begin)
    return host(asked.folder, asked.token, asked.survives or "lives as long as this process", begin)


def host(
    folder: Path,
    token: str,
    survives: str,
    begin: Callable[[RunSpec], tuple[str, Training]],
    ready: Callable[[], None] = lambda: None,
) -> int:
    """Take the run, train it to its end, let it go. `begin` gives the host's name and what it drives.

    `ready` is called once the run is taken.
    """
    noted: list[int] = []
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, lambda received, _frame: noted.append(received))
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    try:
        spec = read_run(folder)
        name, training = begin(spec)
        keeper = Keeper(folder, "host", token=token)
    except EpochalError as error:
        print(f"{error.error_code}: {error.what} ({error.where})", file=sys.stderr, flush=True)  # noqa: T201 - host.log
        return BUSY if error.error_code == "run-busy" else error.exit_code
    keeper.record(host_started(name, survives))
    ready()
    thread = TrainingThread(training, keeper)
    thread.start()
    return _attend(thread, keeper, noted)


def _answer(work: Callable[[dict[str, Any], Wire], dict[str, Any]]) -> int:
    """Do what the one line on stdin asks, and answer in lines of JSON. Ends when stdin does."""
    wire = take_stdout()
    try:
        request = json.loads(sys.stdin.readline())
        threading.Thread(target=_die_with_input, name="epochal-input", daemon=True).start()
        answer = work(request, wire)
    except EpochalError as error:
        wire.say({"kind": "error", **error.as_dict()})
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - an edge: who asked must hear more than that this process ended
        fix = "`epochal doctor` shows memory and versions; a fault of epochal's is worth a report with this place"
        wire.say({"kind": "error", **unexpected(error, fix)})
        return 1
    wire.say({"kind": "result", **answer})
    return 0


def _choice(request: dict[str, Any], wire: Wire) -> dict[str, Any]:
    """Try the families for a short, equal time."""
    from epochal.train.choose import choose
    from epochal.train.mode import enter

    project = parse_project(tomllib.loads(request["project"]))
    enter(project.train.mode)  # for good: this process does nothing else
    choice = choose(
        project,
        Path(request["snapshot"]),
        Path(request["split"]),
        float(request["budget_seconds"]),
        lambda share, text: wire.say({"kind": "progress", "text": text, "share": share}),
        inputs=tuple(request["inputs"]),
        classes=tuple(request["classes"]),
    )
    return {"choice": plain(choice)}


def _patience(request: Mapping[str, Any], wire: Wire) -> Patience:
    """Ends this process, with an answer that says so, when a part of what it does for a project does not end."""

    def late(error: RunError) -> None:
        wire.say({"kind": "error", **error.as_dict()})
        os._exit(error.exit_code)

    return Patience(Path(request["folder"]), late)


def _trial(request: dict[str, Any], wire: Wire) -> dict[str, Any]:
    """Take one real step, measure, and where they are asked for make the short trainings that show faults."""
    from epochal.train.mode import enter
    from epochal.train.trial import READING, try_training

    def report(text: str, share: float) -> None:
        patience.begin(text, request["reading_seconds" if text == READING else "part_seconds"])
        wire.say({"kind": "progress", "text": text, "share": share})

    patience = _patience(request, wire)
    project = parse_project(tomllib.loads(request["project"]))
    enter(project.train.mode)
    trial = try_training(
        project,
        Path(request["snapshot"]),
        Path(request["split"]),
        inputs=tuple(request["inputs"]),
        classes=tuple(request["classes"]),
        folder=Path(request["folder"]),
        probes=bool(request["probes"]),
        report=report,
    )
    return {"trial": plain(trial)}


def _look(request: dict[str, Any], wire: Wire) -> dict[str, Any]:
    """Read the class of a person's own model."""
    from epochal.train.own.constructor import look

    _patience(request, wire).begin("importing the model's files", request["part_seconds"])
    return {"brings": look(Path(request["folder"]), parse_project(tomllib.loads(request["project"])))}


def _unfit(request: dict[str, Any], _wire: Wire) -> dict[str, Any]:
    """Refuse what a run would be refused for by this machine."""
    from epochal.train.unfit import refuse_unfit

    refuse_unfit(
        parse_project(tomllib.loads(request["project"])),
        Path(request["snapshot"]),
        Path(request["split"]),
        inputs=tuple(request["inputs"]),
        classes=tuple(request["classes"]),
    )
    return {}


def _segment(request: dict[str, Any], wire: Wire) -> dict[str, Any]:
    """Train a run that is to be verified from where it stands to a step."""
    from epochal.train.segment import train_segment

    segment = train_segment(
        Path(request["folder"]),
        Path(request["project"]),
        request["until"],
        begins=request["begins"],
        report=lambda text, share: wire.say({"kind": "progress", "text": text, "share": share}),
    )
    return {"segment": plain(segment), "pid": os.getpid()}


def _die_with_input() -> None:
    """Whoever asked is gone or has changed their mind: nothing here is worth finishing."""
    while os.read(0, 4096):
        pass
    os._exit(130)


def plain(value: Any) -> Any:
    """Any value as JSON data: dataclasses and mappings as objects, numbers that JSON does not have as null."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(v) for v in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int, bool)):
        return value
    return plain(value.item()) if hasattr(value, "item") else str(value)


def _attend(thread: TrainingThread, keeper: Keeper, noted: list[int]) -> int:
    """Wait for the training to end, handing on signals; then let the run go."""
    deadline = give_up = float("inf")
    while thread.is_alive() and time.monotonic() < deadline:
        thread.join(_LOOK_SECONDS)
        while noted:
            number = noted.pop(0)
            verb = "checkpoint" if number == signal.SIGUSR1 else "stop"
            with contextlib.suppress(EpochalError):
                keeper.ask(verb, by=signal.Signals(number).name)
        now = time.monotonic()
        if keeper.has_begun or not keeper.stop_asked:
            give_up = float("inf")
        elif give_up == float("inf"):
            give_up = now + START_SECONDS
        elif now >= give_up and not keeper.stop_now.is_set():
            with contextlib.suppress(EpochalError):
                keeper.ask("stop", by=f"its host: no answer for {START_SECONDS:.0f} s before the first step")
        if keeper.stop_now.is_set() and deadline == float("inf"):
            deadline = now + STOP_NOW_SECONDS
    ended = thread.ended
    if ended is None:
        what = "stopped at once, without a checkpoint" if keeper.has_begun else "stopped at once, before its first step"
        ended = RunEnded(state="stopped", reason=what)
        try:
            keeper.end(ended)
        except EpochalError:  # the training may have told its own end at that moment
            thread.join(_LOOK_SECONDS)
            ended = thread.ended or ended
    with contextlib.suppress(EpochalError):
        keeper.release()
    return 1 if ended.state in {"failed", "diverged"} else 0


def _detached(folder: Path, token: str, survives: str, begin: Callable[[RunSpec], tuple[str, Training]]) -> int:
    """Go on in a child that is nobody's, in a session of its own; return when it has the run, or with its exit code."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child:
        os.close(write_end)
        ready = os.read(read_end, 16) == b"READY"
        return 0 if ready else os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.close(read_end)
    os.setsid()

    def tell() -> None:
        with contextlib.suppress(BrokenPipeError):
            os.write(write_end, b"READY")
        os.close(write_end)

    code = 1
    try:
        code = host(folder, token, survives, begin, tell)
    except Exception:  # noqa: BLE001 - an edge: the child must not go on as its parent
        sys.excepthook(*sys.exc_info())
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
