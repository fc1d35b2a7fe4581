"""Errors that carry their remedy: what happened, where, and how to fix it.

Every error a person can cause or meet is an `EpochalError`. Its `code` is stable: scripts and tests match on it.
Rendering belongs to the faces (command line, screens); this module imports nothing of ours.
"""

from __future__ import annotations

import traceback
from typing import ClassVar


class EpochalError(Exception):
    """Base of every error we expect."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 2
    """What the command line exits with: 2 for wrong usage or bad input, 1 for a failed check or run."""

    def __init__(self, what: str, *, where: str = "", fix: str = "", code: str = "") -> None:
        super().__init__(what)
        self.what, self.where, self.fix = what, where, fix
        self.error_code = code or self.code
        """The code of this very error: the class's, unless the raiser knew a narrower one."""

    def as_dict(self) -> dict[str, str]:
        """The error as plain data, for JSON output and for the wire between processes."""
        return {"code": self.error_code, "what": self.what, "where": self.where, "fix": self.fix}


def unexpected(error: BaseException, fix: str) -> dict[str, str]:
    """As plain data, an error that is none of ours: its type and words, and where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    return {
        "code": "unexpected",
        "what": f"{type(error).__name__}: {error}",
        "where": f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "",
        "fix": fix,
    }


class SettingsError(EpochalError):
    """A value or key of project.toml that cannot be."""

    code = "settings"

    def __init__(
        self, what: str, *, path: tuple[str | int, ...] = (), where: str = "", fix: str = "", code: str = ""
    ) -> None:
        super().__init__(what, where=where, fix=fix, code=code)
        self.path = path
        """Where in the document: keys and array positions from the top, such as ("clean", 0, "op")."""


class SourceError(EpochalError):
    """A source that cannot be read, or not as it is declared."""

    code = "source"


class StepError(EpochalError):
    """A cleaning step that cannot be applied."""

    code = "step"


class SplitChanged(EpochalError):
    """The rows held out would not be the ones recorded."""

    code = "split-changed"


class DataHostError(EpochalError):
    """The data process died, ran out of memory or of time."""

    code = "data-host"


class RunError(EpochalError):
    """A run that cannot be started, found, steered or resumed."""

    code = "run"


class Cancelled(EpochalError):
    """The person cancelled it."""

    code = "cancelled"
    exit_code = 130
