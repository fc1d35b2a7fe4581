"""Asking which family fits: a child process tries each for a short, equal time; this side reads what it says.

The child is given one JSON line and answers in JSON lines: `{"kind": "progress", …}` as often as it likes, at the end
`{"kind": "result", "choice": {…}}` or `{"kind": "error", …}`. It ends by itself when its input closes, so it can never
outlive who asked. The evidence is kept in the project's cache.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import tomli_w

from epochal import fsio
from epochal.core.errors import Cancelled, EpochalError, RunError
from epochal.core.settings import Project, duration_seconds, to_document
from epochal.project.paths import ProjectPaths


CHOOSE_COMMAND = (sys.executable, "-P", "-m", "epochal.host", "--choose")

Report = Callable[[str, float | None], None]
"""Told what is being tried, in words, and how far it is in [0, 1] where that is known."""

_LOG_CHARACTERS = 2000
_END_SECONDS = 5.0


def choose(
    folder: Path,
    project: Project,
    *,
    snapshot_id: str,
    split_id: str,
    report: Report | None = None,
    cancelled: threading.Event | None = None,
    command: Sequence[str] = CHOOSE_COMMAND,
) -> dict[str, Any]:
    """The families ranked, with evidence, and the settings of the best: what `epochal.train.choose` answers, as data.

    Blocks for about a fifth of the project's budget; `report` is called on this thread. Setting `cancelled` ends it.
    Raises Cancelled, RunError (code choose-failed), or the error the child met.
    """
    paths = ProjectPaths(folder)
    request = {
        "project": tomli_w.dumps(to_document(project)),
        "snapshot": str(paths.snapshots / snapshot_id),
        "split": str(paths.splits / split_id),
        "budget_seconds": duration_seconds(project.train.budget),
    }
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(
            [*command, str(paths.folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd="/"
        )
        with child:
            watch = _cancel_with(child, cancelled)
            try:
                answer = _converse(child, request, report or (lambda _text, _share: None))
            finally:
                watch.set()
                _end(child)
        if cancelled is not None and cancelled.is_set():
            raise Cancelled("the choice was cancelled")
        if answer is None:
            raise _died(child.returncode, log)
    if answer["kind"] == "error":
        raise _error(answer)
    choice: dict[str, Any] = answer["choice"]
    paths.choices.mkdir(parents=True, exist_ok=True)
    fsio.write_text(_evidence(paths, project, snapshot_id, split_id), json.dumps(choice, ensure_ascii=False) + "\n")
    return choice


def last_choice(folder: Path, project: Project, *, snapshot_id: str, split_id: str) -> dict[str, Any] | None:
    """The answer of an earlier `choose` on this data for this goal; None when there was none."""
    path = _evidence(ProjectPaths(folder), project, snapshot_id, split_id)
    try:
        choice = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return choice if isinstance(choice, dict) else None


def _evidence(paths: ProjectPaths, project: Project, snapshot_id: str, split_id: str) -> Path:
    asked = json.dumps(
        [snapshot_id, split_id, project.goal.task, project.metric, project.columns.target, project.train.budget]
    )
    return paths.choices / f"{hashlib.sha256(asked.encode()).hexdigest()[:16]}.json"


def _converse(child: subprocess.Popen[bytes], request: Mapping[str, Any], report: Report) -> dict[str, Any] | None:
    """Ask, hand on the progress, return the last word; None when the child died without one."""
    if child.stdin is None or child.stdout is None:
        return None
    with contextlib.suppress(BrokenPipeError):
        child.stdin.write(json.dumps(request).encode() + b"\n")
        child.stdin.flush()
    for line in _documents(child.stdout):
        kind = line.pop("kind", "")
        if kind in {"result", "error"}:
            return {"kind": kind, **line}
        if kind == "progress":
            share = line.get("share")
            report(str(line.get("text", "")), float(share) if isinstance(share, (int, float)) else None)
    return None


def _documents(lines: Iterable[bytes]) -> Iterable[dict[str, Any]]:
    """The JSON documents among the lines; anything else, such as a library's own prints, is passed over."""
    for line in lines:
        with contextlib.suppress(ValueError, RecursionError):
            document = json.loads(line)
            if isinstance(document, dict):
                yield document


def _cancel_with(child: subprocess.Popen[bytes], cancelled: threading.Event | None) -> threading.Event:
    """End the child when `cancelled` is set, until the returned event is."""
    over = threading.Event()

    def wait() -> None:
        while cancelled is not None and not over.is_set():
            if cancelled.wait(0.1):
                child.kill()
                return

    if cancelled is not None:
        threading.Thread(target=wait, name="epochal-choose-cancel", daemon=True).start()
    return over


def _end(child: subprocess.Popen[bytes]) -> None:
    """Close its input, which ends it; a child that does not is killed."""
    if child.stdin is not None:
        with contextlib.suppress(OSError):
            child.stdin.close()
    try:
        child.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()


def _died(code: int, log: IO[bytes]) -> RunError:
    log.seek(0)
    text = log.read().decode("utf-8", "replace")[-_LOG_CHARACTERS:].strip()
    last = text.splitlines()[-1] if text else ""
    return RunError(
        f"the trial of families ended with {code}" + (f": {last}" if last else ""),
        fix='choose one yourself: family = "…" in [model]',
        code="choose-failed",
    )


def _error(answer: Mapping[str, Any]) -> EpochalError:
    texts = {key: str(answer.get(key, "")) for key in ("what", "where", "fix", "code")}
    return RunError(texts["what"], where=texts["where"], fix=texts["fix"], code=texts["code"] or "choose-failed")
