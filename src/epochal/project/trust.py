"""Whose code may run: a person's own list of projects, each with the states of its code that they have seen.

The list lies beside the person's other settings and never in a project, so that nobody can hand on trust with a folder.
A state is known by the hash of its files: any change makes another, which nobody trusts yet. Earlier states stay
trusted, as the models of older runs are made of them; of those only the hash is kept, and of the last one its files
too, so that what changed since can be said.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w

from epochal import fsio
from epochal.core.clock import Clock, SystemClock
from epochal.core.errors import RunError
from epochal.core.settings import Project
from epochal.core.tasks import MODULE, OWN
from epochal.project.code import Code, Difference, difference, read_code
from epochal.project.read import read_regular
from epochal.project.runfile import RunCode, RunSpec


FORMAT = 1
MAX_STATES = 100
"""States of one project's code that stay trusted; the oldest go first."""
_MAX_BYTES = 16 << 20
"""More is neither read nor written."""
_MAX_WITH_FILES = 2 << 20
"""Beyond this the files of the states trusted longest ago are no longer named: what is trusted stays so."""

TRUSTING = (
    "Trusting means that these files run as you, with all that you may do: read and change your files, use the network. "
    "Read them first. It holds for this folder and these very contents: a file that is changed or added asks again."
)
"""What a person must know before they answer."""


class Untrusted(RunError):
    """Code that nobody has allowed to run."""

    code = "untrusted"


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One trusted state of a project's code."""

    digest: str
    trusted: str
    """When: ISO 8601 in UTC."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Empty where only the digest is remembered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a project's code stands with the person."""

    code: Code
    trusted: bool
    """Whether it may run as it is."""
    states: tuple[State, ...]
    """All that were trusted, the last one last."""

    @property
    def since(self) -> Difference | None:
        """What differs from the state trusted last; None where there is none, or its files are not remembered."""
        if not self.states or not self.states[-1].files:
            return None
        return difference(self.states[-1].files, self.code.files)


def trust_file() -> Path:
    """Where the list lies: $XDG_CONFIG_HOME/epochal/trust.toml."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".config") / "epochal" / "trust.toml"


def standing(folder: Path) -> Standing:
    """The code of a project as it is, and whether it is trusted. Runs nothing of it.

    Raises RunError: code-too-large, or bad-trust-file when the person's list cannot be read.
    """
    code = read_code(folder)
    states = trusted_states(folder)
    return Standing(code=code, states=states, trusted=any(s.digest == code.digest for s in states))


def trusted_states(folder: Path) -> tuple[State, ...]:
    """The states of a project's code that are trusted, the last one last. Raises RunError (bad-trust-file)."""
    return _read().get(_name(folder), ())


def trust(folder: Path, code: Code, clock: Clock | None = None) -> None:
    """Let this state of a project's code run. Raises NotSaved, RunError (bad-trust-file)."""
    now = (clock or SystemClock()).now().isoformat(timespec="seconds")
    with _changing() as projects:
        before = [s for s in projects.get(_name(folder), ()) if s.digest != code.digest]
        state = State(digest=code.digest, trusted=now, files=dict(code.files))
        projects[_name(folder)] = tuple([*before, state][-MAX_STATES:])


def revoke(folder: Path) -> int:
    """Let no state of a project's code run any more; how many there were. Raises NotSaved, RunError (bad-trust-file)."""
    with _changing() as projects:
        return len(projects.pop(_name(folder), ()))


def demand(folder: Path, project: Project) -> Code | None:
    """The code of a project whose model is a person's own, when it is trusted; None for every other model.

    Raises Untrusted. Nothing is imported here, whatever the answer.
    """
    if project.model.family != OWN:
        return None
    found = standing(folder)
    if not found.trusted:
        raise untrusted(folder, found)
    return found.code


def demand_state(folder: Path, digest: str, run: str) -> None:
    """That this state of a project's code is trusted: a run's model needs the code it was trained with. Raises Untrusted."""
    if all(s.digest != digest for s in trusted_states(folder)):
        raise Untrusted(
            f"the model of run {run} is made of code that you have not trusted",
            where=f"{folder}, code {short(digest)}",
            fix=f"read runs/{run}/bundle/code/, then: epochal trust {shlex.quote(str(folder))} --run {run.partition('-')[0]}",
        )


def demand_same(spec: RunSpec) -> Code | None:
    """The project's code, trusted and the code the run began with: only so can it go on where it was.

    This is what is loaded, never what run.toml lists: run folders are handed on, and nobody looked at what stands there.
    None for a run whose model is none of a person's own. Raises Untrusted, RunError (code-changed).
    """
    code = demand(spec.project_folder, spec.project)
    if code is None:
        return None
    began = spec.code.files if spec.code is not None else {}
    if code.files == began:
        return code
    raise RunError(
        f"the project's code is not what run {spec.name} began with: {difference(began, code.files).words}",
        where=str(spec.project_folder),
        fix=f"bring the files back, a copy is in runs/{spec.name}/code/; or train anew: epochal train {shlex.quote(str(spec.project_folder))}",
        code="code-changed",
    )


def untrusted(folder: Path, found: Standing) -> Untrusted:
    """The refusal, with what changed since the code was last trusted."""
    what = "the project's own model is code that you have not trusted yet"
    if found.code.lacking:
        what = f"there is no code in the project that could be trusted: {found.code.lacking}"
        return Untrusted(what, where=str(folder), fix="copy the file into the project's folder")
    if found.states:
        words = found.since.words if found.since is not None else ""
        what = f"the project's code is not what you trusted: {words or 'it changed'}"
    place = os.path.normpath(folder)
    return Untrusted(
        what, where=place, fix=f"read it, then: epochal trust {shlex.quote(place)}, or t in the Model pane"
    )


def run_code(folder: Path, project: Project) -> RunCode | None:
    """What a run writes down of the code it is made of; None for a model that is none of a person's own. Raises Untrusted."""
    code = demand(folder, project)
    if code is None:
        return None
    return RunCode(module=str(project.model.options[MODULE]), digest=code.digest, files=code.files)


def short(digest: str) -> str:
    """A hash as people compare it."""
    return digest[:12]


def _name(folder: Path) -> str:
    return os.fsencode(Path(folder).resolve()).decode("utf-8", "backslashreplace")


def _read() -> dict[str, tuple[State, ...]]:
    path = trust_file()
    try:
        found = path.stat()
        if found.st_uid != os.getuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise _bad(path, "others can write it", f"chmod 600 {path}, after looking at what it says")
        document = tomllib.loads(read_regular(path, _MAX_BYTES).decode())
        if document.get("format") != FORMAT:
            raise _bad(path, f"its format {document.get('format')!r} is not known to this version")
        return {
            str(p["folder"]): tuple(
                State(digest=str(s["digest"]), trusted=str(s["trusted"]), files=dict(s.get("files", {})))
                for s in p["state"]
            )
            for p in document.get("project", ())
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _bad(path, str(error)) from error


def _bad(path: Path, why: str, fix: str = "mend or delete it: then nothing is trusted") -> RunError:
    return RunError(
        f"your list of trusted projects cannot be used: {why}", where=str(path), fix=fix, code="bad-trust-file"
    )


@contextlib.contextmanager
def _changing() -> Iterator[dict[str, tuple[State, ...]]]:
    """The list, to be changed and saved on leaving; one person's two terminals take turns."""
    path = trust_file()
    with fsio.locked(path.with_name("trust.lock")):
        projects = _read()
        yield projects
        fsio.write_text(path, _text(projects), mode=0o600)


def _text(projects: Mapping[str, tuple[State, ...]]) -> str:
    """The list as it is saved: files of each project's last state alone, and of as many projects as there is room for.

    Raises RunError (bad-trust-file) where even the digests are more than is read.
    """
    last = {folder: states[-1] for folder, states in projects.items() if states}
    named = sorted(last, key=lambda folder: last[folder].trusted)
    while len((text := _dumped(projects, named)).encode()) > _MAX_WITH_FILES and named:
        del named[: max(1, len(named) // 8)]
    if len(text.encode()) > _MAX_BYTES:
        raise _bad(
            trust_file(), "it has grown too long", "take away trust that is not needed: epochal trust DIR --revoke"
        )
    return text


def _dumped(projects: Mapping[str, tuple[State, ...]], named: Collection[str]) -> str:
    def table(state: State, *, files: bool) -> dict[str, Any]:
        return {
            "digest": state.digest,
            "trusted": state.trusted,
            **({"files": dict(state.files)} if files and state.files else {}),
        }

    tables = [
        {"folder": folder, "state": [table(s, files=s is states[-1] and folder in named) for s in states]}
        for folder, states in projects.items()
    ]
    return tomli_w.dumps({"format": FORMAT, "project": tables})
