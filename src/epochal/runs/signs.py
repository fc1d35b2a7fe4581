"""Signs of life: `status.json` in a run's folder, replaced every two seconds by whoever has the run.

It holds nothing that matters afterwards: what a run did stands in its journal.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from epochal.core.events import RunStatus
from epochal.fsio import NotSaved
from epochal.fsio.streams import overwrite_volatile, read_small, replace_volatile
from epochal.runs.identity import Identity, read_identity


BEAT_SECONDS = 2.0

_MAX_BYTES = 1 << 16

Role = Literal["starter", "host", "thread"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """What whoever has a run says of itself at one moment."""

    identity: Identity
    role: Role
    """starter: has made the run and is starting its host; host: a process of its own; thread: inside a workbench."""
    token: str
    """Another one for each start."""
    beat: int = 0
    """Counts the signs given."""
    monotonic: float = 0.0
    """The machine's clock that never jumps, when it was written; comparable within one boot."""
    wall: float = 0.0
    """Seconds since 1970 when it was written; a last resort for watchers on other machines."""
    quiet_seconds: float = 0.0
    """Since the training thread last said anything."""
    usual_seconds: float = 0.0
    """Between two things it says, lately; 0 before there were two."""
    said: RunStatus = "starting"
    """The run's state as its host knows it."""
    phase: str = ""
    step: int = 0
    epoch: float = 0.0
    seconds: float = 0.0
    value: float | None = None
    """The best of the chosen metric so far."""
    value_step: int | None = None
    waits: str = ""
    """What the run waits for and cannot go on without, in words; empty while it goes on."""
    killed: bool = False
    """A person had its process ended: written after it was gone."""
    memory: str = ""
    """The file in which the kernel counts processes it ended for want of memory …"""
    memory_kills: int = 0
    """… and what it said at this moment."""


def write_sign(run_folder: Path, sign: Sign) -> None:
    """Replace the sign; on a full disk, which has no room for a second one, write over it. Raises NotSaved."""
    document = {name: getattr(sign, name) for name in Sign.__slots__}
    document["identity"] = sign.identity.as_dict()
    document["monotonic"], document["wall"] = time.monotonic(), time.time()
    data = json.dumps(document).encode()
    try:
        replace_volatile(run_folder / "status.json", data)
    except NotSaved:
        if not sign.waits:
            raise
        overwrite_volatile(run_folder / "status.json", data)


def read_sign(run_folder: Path) -> Sign | None:
    """The newest sign; None when there is none, or none that can be read."""
    data = read_small(run_folder / "status.json", _MAX_BYTES)
    try:
        document = json.loads(data or b"null")
    except (ValueError, RecursionError):
        return None
    identity = read_identity(document.get("identity", {})) if _is_sign(document) else None
    if identity is None:
        return None
    known = {k: v for k, v in document.items() if k in Sign.__slots__}
    return Sign(**{**known, "identity": identity})


def _is_sign(document: Any) -> bool:
    if not isinstance(document, Mapping) or not isinstance(document.get("identity"), Mapping):
        return False
    numbers = ("beat", "monotonic", "wall", "quiet_seconds", "usual_seconds", "step", "epoch", "seconds")
    texts = ("role", "token", "phase", "said")
    return all(isinstance(document.get(k), (int, float)) for k in numbers) and all(
        isinstance(document.get(k), str) for k in texts
    )
