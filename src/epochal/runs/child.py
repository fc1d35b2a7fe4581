"""Asking a child process that does heavy work once: one JSON line in, JSON lines out, nothing left behind.

The child answers `{"kind": "progress", "text": …, "share": …}` as often as it likes, at the end `{"kind": "result", …}` or
`{"kind": "error", …}`. It ends by itself when its input closes, so it can never outlive who asked.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import tomli_w

from epochal.core.errors import Cancelled, EpochalError, RunError
from epochal.core.settings import Project, to_document
from epochal.project.paths import ProjectPaths


Report = Callable[[str, float | None], None]
"""Told what is being done, in words, and how far it is in [0, 1] where that is known."""

_LOG_CHARACTERS = 2000
_END_SECONDS = 5.0


def training_request(folder: Path, project: Project, built: Mapping[str, Any]) -> dict[str, Any]:
    """What a child is told of a training: `built` is what the data host answered for the project in `folder`."""
    paths = ProjectPaths(folder)
    return {
        "project": tomli_w.dumps(to_document(project)),
        "snapshot": str(paths.snapshots / built["snapshot_id"]),
        "split": str(paths.splits / built["split_id"]),
        "inputs": list(built["inputs"]),
        "classes": list(built["classes"]),
    }


def ask_child(
    command: Sequence[str],
    request: Mapping[str, Any],
    *,
    what: str,
    code: str,
    fix: str,
    report: Report | None = None,
    cancelled: threading.Event | None = None,
) -> dict[str, Any]:
    """The child's result, without its kind.

    Blocks; `report` is called on this thread. Setting `cancelled` ends it. `what`, `code` and `fix` say what failed when
    the child dies without a word. Raises Cancelled, RunError, or the error the child met.
    """
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen([*command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd="/")
        with child:
            watch = _cancel_with(child, cancelled)
            try:
                answer = _converse(child, request, report or (lambda _text, _share: None))
            finally:
                watch.set()
                _end(child)
        if cancelled is not None and cancelled.is_set():
            raise Cancelled(f"{what} was cancelled")
        if answer is None:
            raise _died(child.returncode, log, what=what, code=code, fix=fix)
    if answer["kind"] == "error":
        raise _error(answer, code)
    return {key: value for key, value in answer.items() if key != "kind"}


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
        threading.Thread(target=wait, name="epochal-child-cancel", daemon=True).start()
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


def _died(status: int, log: IO[bytes], *, what: str, code: str, fix: str) -> RunError:
    log.seek(0)
    text = log.read().decode("utf-8", "replace")[-_LOG_CHARACTERS:].strip()
    last = text.splitlines()[-1] if text else ""
    return RunError(f"{what} ended with {status}" + (f": {last}" if last else ""), fix=fix, code=code)


def _error(answer: Mapping[str, Any], code: str) -> EpochalError:
    texts = {key: str(answer.get(key, "")) for key in ("what", "where", "fix", "code")}
    return RunError(texts["what"], where=texts["where"], fix=texts["fix"], code=texts["code"] or code)
