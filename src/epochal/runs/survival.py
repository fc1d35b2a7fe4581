"""What a run will outlive on this machine, in words, and how it must be started for that.

Under logind with KillUserProcesses=yes everything of a person dies at logout, unless it stands in a scope of a user
manager that lingers. A scope without linger dies with the user manager at the last logout, so it is never used then.
"""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path


_ASK_SECONDS = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Logind:
    """What the login manager does with processes at logout."""

    kills: bool
    """KillUserProcesses, for this person."""
    lingers: bool
    """Whether this person's processes may stay without a login."""
    can_scope: bool
    """Whether a user manager is there to start a scope."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Survival:
    """How a run is started, and what to tell people before it is."""

    words: str
    safe: bool
    """False: closing the terminal or logging out ends the run."""
    prefix: tuple[str, ...] = ()
    """What the host's command is started by."""


THREAD = Survival(
    words="lives inside this workbench: quitting stops it with a checkpoint, and `epochal resume` continues it",
    safe=False,
)


def survival(host: str) -> Survival:
    """What a run in this host will outlive here; asks the login manager, which takes some milliseconds."""
    return THREAD if host == "thread" else judge(ask_logind())


def judge(logind: Logind | None) -> Survival:
    """What a detached run outlives, given what the login manager does; None where there is none."""
    if logind is None or not logind.kills:
        return Survival(words="outlives the workbench, the terminal and the connection; not a reboot", safe=True)
    if logind.lingers and logind.can_scope:
        return Survival(
            words="outlives the workbench, the terminal and the connection, in a scope of its own; not a reboot",
            safe=True,
            prefix=("systemd-run", "--user", "--scope", "--quiet", "--collect", "--"),
        )
    return Survival(
        words="outlives the workbench and the terminal, but this machine ends everything at logout; "
        "`loginctl enable-linger` allows it to stay",
        safe=False,
    )


def ask_logind() -> Logind | None:
    """Ask the login manager; None where systemd does not run or does not answer."""
    loginctl = shutil.which("loginctl")
    if loginctl is None or not Path("/run/systemd/system").is_dir():
        return None
    killing = _property(loginctl, "show-session", "KillUserProcesses")
    if killing is None:
        return None
    person = getpass.getuser()
    lingers = Path("/var/lib/systemd/linger", person).exists()
    runtime = os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")
    can_scope = shutil.which("systemd-run") is not None and Path(runtime, "systemd").is_dir()
    return Logind(kills=killing == "yes", lingers=lingers, can_scope=can_scope)


def _property(loginctl: str, *asked: str) -> str | None:
    """One property of the manager itself."""
    verb, name = asked
    try:
        answer = subprocess.run(
            [loginctl, verb, "-p", name, "--value"], capture_output=True, text=True, timeout=_ASK_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
