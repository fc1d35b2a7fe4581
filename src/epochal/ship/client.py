"""Starts the process that loads a model, and listens to it: standard library only, for faces.

The process (`epochal.predict_host`) writes JSON lines on its stdout: any number of {"kind": "progress", "text",
"fraction"}, then one {"kind": "result", …} or {"kind": "error", "code", "what", "where", "fix"}.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any

from epochal.core.errors import EpochalError, RunError
from epochal.show import safe


if TYPE_CHECKING:
    from pathlib import Path

    from epochal.project.runfile import RunSpec

Report = Callable[[str, float | None], None]
"""Told what is being done, in words, and how far it is in [0, 1] where that is known. May raise to give up."""

_MOST_STDERR = 4000


def test_run(spec: RunSpec, report: Report) -> dict[str, Any]:
    """Open the test set for a run and write its report; the document that `test --json` prints.

    The look is counted before anything of it is written. Snapshot and split must be there. Raises RunError.
    """
    return _ask(["test", str(spec.folder)], report)


# A name that begins like a test's: pytest must not take it for one where it is imported.
test_run.__test__ = False  # type: ignore[attr-defined]


def predict(spec: RunSpec, folder: Path, report: Report) -> dict[str, Any]:
    """Predict `folder`/rows.parquet into `folder`/predictions.parquet: {"rows": int, "noted": int}. Raises RunError."""
    return _ask(["predict", str(spec.folder), str(folder.absolute())], report)


def learnt_types(spec: RunSpec) -> dict[str, str]:
    """What the model's inputs were learnt as: the snapshot's types, by column. Raises RunError."""
    path = spec.folder / "bundle" / "bundle.toml"
    try:
        columns = tomllib.loads(path.read_text(encoding="utf-8"))["columns"]
        return {str(column["name"]): str(column["type"]) for column in columns}
    except FileNotFoundError as error:
        raise RunError(
            "this run has no finished model", where=str(path), fix="train it to its end", code="bad-bundle"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise RunError(
            f"the model cannot be read: {error}", where=str(path), fix="train again", code="bad-bundle"
        ) from error


def _ask(arguments: list[str], report: Report) -> dict[str, Any]:
    command = [sys.executable, "-P", "-m", "epochal.predict_host", *arguments]
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd="/",
            text=True,
            encoding="utf-8",
        ) as process,
    ):
        try:
            answer = _listen(process, report)
        except BaseException:
            # Whoever gave up (ctrl-c, a cancelled report) leaves no process behind.
            process.kill()
            raise
        code = process.wait()
        if answer is None:
            raise RunError(
                f"the process that loads the model ended with {code}" + _last_words(errors),
                where=arguments[1],
                fix="try again; `epochal doctor` tells what is missing",
                code="predict-host",
            )
    kind = answer.pop("kind")
    if kind == "error":
        raise EpochalError(answer["what"], where=answer["where"], fix=answer["fix"], code=answer["code"])
    return answer


def _listen(process: subprocess.Popen[str], report: Report) -> dict[str, Any] | None:
    """The result or the error; None when the process ended without either."""
    last = None
    for line in process.stdout or ():
        with contextlib.suppress(ValueError):
            message = json.loads(line)
            if message["kind"] == "progress":
                report(safe(message["text"]), message["fraction"])
            else:
                last = message
    return last


def _last_words(errors: IO[bytes]) -> str:
    size = errors.seek(0, 2)
    errors.seek(max(0, size - _MOST_STDERR))
    lines = errors.read().decode("utf-8", "replace").strip().splitlines()
    return f": {safe(lines[-1], 400)}" if lines else ""
