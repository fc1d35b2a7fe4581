"""One opened project: its decisions, changed only on disk first, with undo, redo and an eye on other writers."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from epochal import fsio
from epochal.core.clock import Clock, SystemClock
from epochal.core.errors import EpochalError, SettingsError
from epochal.core.settings import Project, parse_project, to_document
from epochal.project import history as past
from epochal.project.history import History
from epochal.project.merge import merge
from epochal.project.paths import ProjectPaths
from epochal.project.read import parse_text, read_text
from epochal.project.text import apply, render


OUTSIDE = "changed outside the workbench"
"""The reason of a state that an editor or another program saved."""

_GITIGNORE = (".epochal/", "runs/*/checkpoints/", "runs/*/status.json", "runs/*/run.lock", "runs/*/host.log")
_PATIENCE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was last read from the disk, or put there. Without a stamp, the next look reads again."""

    text: str
    project: Project
    history: History
    stamp: tuple[tuple[int, ...], ...]
    recorded: History = History()
    """What of the history was on the disk then; the rest was found by looking and no record tells of it yet."""


class ProjectFile:
    """project.toml with its history.

    A change is on disk before `change` returns. Opening and reading never write. Other workbenches and editors are
    seen by `refresh`; a change that meets theirs is merged key by key and step by step, or refused with the code
    edit-conflict, never laid over theirs unseen. May be used from several threads.
    """

    def __init__(self, folder: Path, *, clock: Clock | None = None) -> None:
        self.paths = ProjectPaths(folder)
        self._clock = clock or SystemClock()
        self._guard = threading.RLock()
        self._seen = self._read(None)

    @classmethod
    def open(cls, folder: Path, *, clock: Clock | None = None) -> ProjectFile:
        """Open the project in a folder. Raises SettingsError when there is none or it cannot be read."""
        return cls(folder, clock=clock)

    @property
    def folder(self) -> Path:
        """The project's folder, absolute."""
        return self.paths.folder

    @property
    def project(self) -> Project:
        """The decisions as last read or saved."""
        return self._seen.project

    @property
    def text(self) -> str:
        """project.toml as last read or saved."""
        return self._seen.text

    @property
    def can_undo(self) -> bool:
        """Whether there is a state to go back to."""
        return bool(self._seen.history.past)

    @property
    def can_redo(self) -> bool:
        """Whether something undone can be done again."""
        return bool(self._seen.history.future)

    @property
    def undo_why(self) -> str:
        """What `undo` would take back; empty when nothing."""
        history = self._seen.history
        return history.current.why if history.past and history.current else ""

    @property
    def redo_why(self) -> str:
        """What `redo` would do again; empty when nothing."""
        return self._seen.history.future[-1].why if self._seen.history.future else ""

    @property
    def saved_at(self) -> datetime | None:
        """When the decisions in force were saved, with its zone; None while no save is known."""
        current = self._seen.history.current
        with contextlib.suppress(ValueError):
            return datetime.fromisoformat(current.at) if current else None
        return None

    def change(self, new: Project, why: str, *, base: Project | None = None) -> None:
        """Save new decisions, with the reason a person will read beside undo.

        `base` is what `new` was made from; without it, what `project` says now. Where others changed the file since,
        both changes are merged. Raises SettingsError when `new` cannot be, NotSaved when the disk refuses, and
        EpochalError with code edit-conflict when both changed the same thing: theirs stands, `project` shows it,
        and `new` is kept in history.jsonl.
        """
        self._put(new, why, base, decided=True)

    def record(self, new: Project, why: str, *, base: Project | None = None) -> None:
        """Save what the program found and nobody decided: fingerprints, recorded cuts, hashes of sources.

        As `change`, but undo neither stops at it nor loses it, and what was undone can still be redone.
        """
        self._put(new, why, base, decided=False)

    def _put(self, new: Project, why: str, base: Project | None, *, decided: bool) -> None:
        base = self.project if base is None else base
        new = _checked(new)
        with self._writing():
            self._seen = self._read(self._seen)
            theirs = self._seen.project
            if theirs != base:
                new = self._merged(base, new, theirs, why)
            if new != theirs:
                text = _encodable(apply(self.text, theirs, new))
                before, now = self._seen.history, self._now()
                if decided:
                    after = before.with_state(why, now, text)
                    self._save(text, new, after, [past.newest_line(after)])
                else:
                    self._save(text, new, before.with_facts(text), [past.facts_line(why, now, text)])

    def undo(self) -> str | None:
        """Take the last change back, whoever made it; gives its reason, or None when there is none.

        Raises EpochalError with code edit-conflict when the last change had not been seen here yet: it is now shown
        and may be undone.
        """
        return self._move("undo")

    def redo(self) -> str | None:
        """Do again what was undone last; gives its reason, or None when there is nothing."""
        return self._move("redo")

    def refresh(self) -> bool:
        """Look at the disk; True when the decisions or their history are not what was seen before.

        Costs two `stat` calls while nothing changed. Raises SettingsError when someone saved a file that cannot
        be read: what was seen before stays in `project`.
        """
        with self._guard:
            if self._stamp() == self._seen.stamp:
                return False
            before, self._seen = self._seen, self._read(self._seen)
        return (before.text, _place(before.history)) != (self._seen.text, _place(self._seen.history))

    def _move(self, kind: str) -> str | None:
        with self._writing():
            before, self._seen = self._seen, self._read(self._seen)
            history = self._seen.history
            if _decision(history) != _decision(before.history):
                raise EpochalError(
                    "the project was changed elsewhere in the meantime",
                    where=str(self.paths.toml),
                    fix="look at what is there now, then ask again",
                    code="edit-conflict",
                )
            if not (history.past if kind == "undo" else history.future):
                return None
            now = self._now()
            after = (history.undone() if kind == "undo" else history.redone()).put_in_force(now)
            from_state, to_state = history.current, after.current
            if from_state is None or to_state is None:  # a history with a past or a future has a present
                return None
            text, project = self._with_facts(from_state, to_state)
            lines = [past.move_line(kind, to_state, now)]
            if text != to_state.text:
                lines.append(past.facts_line("kept what was recorded", now, text))
            self._save(text, project, after.with_facts(text), lines)
            return (from_state if kind == "undo" else to_state).why

    def _with_facts(self, left: past.State, wanted: past.State) -> tuple[str, Project]:
        """The state to go to, with the facts recorded since the one that is left; its own where both have some."""
        project = parse_text(wanted.text)
        if left.text == left.decided:
            return wanted.text, project
        try:
            merged = _checked(merge(parse_text(left.decided), project, self.project))
        except EpochalError:
            return wanted.text, project
        return apply(wanted.text, project, merged), merged

    def _merged(self, base: Project, ours: Project, theirs: Project, why: str) -> Project:
        try:
            return _checked(merge(base, ours, theirs))
        except EpochalError as error:
            line = past.conflict_line(why, self._now(), render(ours))
            past.write(self.paths.history, [line])
            raise EpochalError(
                f"another workbench or editor changed the same thing: {error.what}",
                where=str(self.paths.toml),
                fix="the other change stands; look at it and make yours again (it is kept in history.jsonl)",
                code="edit-conflict",
            ) from error

    def _save(self, text: str, project: Project, history: History, records: list[str]) -> None:
        """Put a state on the disk: what it replaces, itself, then its record.

        What was found and no record tells of yet (hand-written, or saved by an editor) is recorded first, so that it
        can be gone back to even when a crash follows. The file comes before its own record, so that a crash between
        the two loses nothing but the reason.
        """
        fsio.clear_leftovers(self.paths.toml)
        past.write(self.paths.history, self._unrecorded())
        fsio.write_text(self.paths.toml, text)
        self._seen = _Seen(text=text, project=project, history=history, stamp=(), recorded=history)
        try:
            past.write(self.paths.history, records)
        except fsio.NotSaved as error:
            raise fsio.NotSaved(
                f"the change is saved, but not the way back: {error.what}",
                where=error.where,
                fix="make room on the disk: the next change keeps its own way back",
                code="history-not-saved",
            ) from error

    def _unrecorded(self) -> list[str]:
        """The records of the states that were found, where there are none."""
        found, written = self._seen.history, past.read_history(self.paths.history)
        states = (*found.past, found.current) if found.current else ()
        return [] if _place(found) == _place(written) else [past.state_line(s) for s in states if s.n > written.count]

    def _read(self, known: _Seen | None) -> _Seen:
        """What is on the disk. A text that is known keeps its very steps: equal ones are told apart by that.

        States that were seen while nobody recorded them (hand-written ones) stay in the past of what is found now.
        """
        stamp = self._stamp()
        text = read_text(self.paths.toml)
        project = known.project if known and known.text == text else parse_text(text)
        recorded = past.read_history(self.paths.history)
        history = known.history if known and known.recorded == recorded else recorded
        if history.current is None or history.current.text != text:
            why = OUTSIDE if history.current else "opened"
            at = datetime.fromtimestamp(stamp[0][3] / 1e9, tz=self._clock.now().tzinfo)
            history = history.with_state(why, at.isoformat(timespec="seconds"), text)
        return _Seen(text=text, project=project, history=history, stamp=stamp, recorded=recorded)

    def _stamp(self) -> tuple[tuple[int, ...], ...]:
        """What tells cheaply that a file is not the one that was read."""
        found: list[tuple[int, ...]] = []
        for path in (self.paths.toml, self.paths.history):
            try:
                s = path.stat()
                found.append((s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns))
            except OSError:
                found.append((0, 0, 0, 0, 0))
        return tuple(found)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Be the only one that writes this project. The lock lies on the history, which is never replaced."""
        with self._guard, fsio.locked(self.paths.history, mode=0o644, patience_seconds=_PATIENCE_SECONDS):
            yield

    def _now(self) -> str:
        return self._clock.now().isoformat(timespec="seconds")


def _decision(history: History) -> int:
    """The decision a history stands at, whatever was recorded since."""
    return history.current.n if history.current else 0


def _place(history: History) -> tuple[int, str]:
    """Where a history stands, whenever that was written."""
    return (history.current.n, history.current.text) if history.current else (0, "")


def _checked(project: Project) -> Project:
    """The decisions as they would be read again, steps that are equal being the same objects. Raises SettingsError."""
    read = parse_project(to_document(project))
    pairs = zip(project.clean, read.clean, strict=True)
    return replace(read, clean=tuple(given if given == again else again for given, again in pairs))


def _encodable(text: str) -> str:
    """The text, if it can be a file. Raises SettingsError for half characters, as undecodable file names hold them."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        line = text.count("\n", 0, error.start) + 1
        raise SettingsError(
            "a text holds half a character that no file can keep",
            where=f"project.toml:{line}",
            fix="rename what it names",
            code="encoding",
        ) from error
    return text


def create_project(
    folder: Path, project: Project, comments: Mapping[str, str] | None = None, *, clock: Clock | None = None
) -> ProjectFile:
    """Make a project in a folder, which may hold other files, and open it.

    `comments` are texts to stand above tables, by their names (goal, source, columns, clean, split, model, train; the
    first of several; "" for the top of the file). Raises SettingsError (code project-exists) when the folder holds a
    project, NotSaved when the disk refuses.
    """
    project = _checked(project)
    paths = ProjectPaths(folder)
    try:
        paths.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise fsio.NotSaved(
            f"the folder cannot be made: {error.strerror}", where=str(paths.folder), fix="choose another folder"
        ) from error
    with fsio.locked(paths.history, mode=0o644, patience_seconds=_PATIENCE_SECONDS):
        if os.path.lexists(paths.toml):
            raise SettingsError(
                "this folder holds a project already",
                where=str(paths.toml),
                fix=f"open it with `epochal {paths.folder}`, or choose another folder",
                code="project-exists",
            )
        ignore_cache(paths.folder)
        text = _encodable(render(project, comments or {}))
        fsio.write_text(paths.toml, text)
        at = (clock or SystemClock()).now().isoformat(timespec="seconds")
        history = past.read_history(paths.history).with_state("made the project", at, text)
        past.write(paths.history, [past.newest_line(history)])
    return ProjectFile(paths.folder, clock=clock)


def ignore_cache(folder: Path) -> None:
    """Keep git away from what can be made again, leaving a person's own lines of .gitignore as they are."""
    path = folder / ".gitignore"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        text = ""
    except (OSError, UnicodeDecodeError):
        return
    missing = [line for line in _GITIGNORE if line not in text.splitlines()]
    if missing:
        fsio.write_text(path, text + ("\n" if text and not text.endswith("\n") else "") + "\n".join(missing) + "\n")
