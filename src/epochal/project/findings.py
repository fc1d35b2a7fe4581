"""What the doctor finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is not as it should be."""

    code: str
    """Stable, for scripts."""
    severity: Literal["error", "warning", "hint"]
    """error: something is lost or cannot be used; warning: it can be worked around; hint: good to know."""
    where: str
    """The file, relative to the project, with its line where there is one."""
    what: str
    fix: str


def error(code: str, where: str, what: str, fix: str) -> Finding:
    """Something is lost or cannot be used."""
    return Finding(code=code, severity="error", where=where, what=what, fix=fix)


def warning(code: str, where: str, what: str, fix: str) -> Finding:
    """Something is wrong that can be worked around."""
    return Finding(code=code, severity="warning", where=where, what=what, fix=fix)


def hint(code: str, where: str, what: str, fix: str) -> Finding:
    """Something good to know."""
    return Finding(code=code, severity="hint", where=where, what=what, fix=fix)
