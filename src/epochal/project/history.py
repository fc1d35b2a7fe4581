"""Every saved state of a project's decisions: history.jsonl, from which undo and redo are read across restarts.

One JSON object a line. `state` records carry the whole text of project.toml as it was saved; `undo` and `redo` records
name the state that was gone back or forward to; `facts` records carry the text after the program wrote down what it
found (a fingerprint, recorded cuts), which is no decision and nothing to undo. Nothing is ever rewritten.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from epochal import fsio
from epochal.project.read import read_regular


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One saved state."""

    n: int
    """Its number, from 1."""
    why: str
    """What was done, as a person reads it."""
    at: str
    """When it was saved, or last gone back or forward to: ISO 8601 in UTC."""
    text: str
    """project.toml, whole, with the facts recorded since."""
    decided: str
    """project.toml as the decision left it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Where a project stands among its states: those undo goes back to, and those redo goes forward to."""

    past: tuple[State, ...] = ()
    current: State | None = None
    future: tuple[State, ...] = ()
    """The next to redo is the last."""
    count: int = 0
    """States written so far."""

    def with_state(self, why: str, at: str, text: str) -> History:
        """The history after a new state; what was undone before is no longer ahead."""
        return self.with_written(State(n=self.count + 1, why=why, at=at, text=text, decided=text))

    def with_written(self, state: State) -> History:
        """The history after a state that has its number already."""
        past = self.past if self.current is None else (*self.past, self.current)
        return History(past=past, current=state, count=state.n)

    def with_facts(self, text: str) -> History:
        """The history after facts were recorded: the same decision, another text."""
        return replace(self, current=replace(self.current, text=text)) if self.current else self

    def put_in_force(self, at: str) -> History:
        """The history with the state it stands at saved again at a later time."""
        return replace(self, current=replace(self.current, at=at)) if self.current else self

    def undone(self) -> History:
        """The history one state back. Raises IndexError when there is none."""
        future = self.future if self.current is None else (*self.future, self.current)
        return replace(self, past=self.past[:-1], current=self.past[-1], future=future)

    def redone(self) -> History:
        """The history one state forward again. Raises IndexError when there is none."""
        past = self.past if self.current is None else (*self.past, self.current)
        return replace(self, past=past, current=self.future[-1], future=self.future[:-1])


def digest(text: str) -> str:
    """What a state's text is known by."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def state_line(state: State) -> str:
    """The record of a state."""
    return _line(
        {
            "k": "state",
            "n": state.n,
            "at": state.at,
            "why": state.why,
            "sha256": digest(state.decided),
            "text": state.decided,
        }
    )


def newest_line(history: History) -> str:
    """The record of the state a history stands at; nothing for an empty one."""
    return state_line(history.current) if history.current else ""


def move_line(kind: str, to: State, at: str) -> str:
    """The record of an `undo` or `redo`."""
    return _line({"k": kind, "to": to.n, "at": at})


def facts_line(why: str, at: str, text: str) -> str:
    """The record of facts that were written down."""
    return _line({"k": "facts", "at": at, "why": why, "sha256": digest(text), "text": text})


def conflict_line(why: str, at: str, text: str) -> str:
    """The record of a change that met another one and was not saved: kept, so that it can be looked up."""
    return _line({"k": "conflict", "at": at, "why": why, "text": text})


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False)


def write(path: Path, lines: list[str]) -> None:
    """Append records durably. Raises NotSaved."""
    for line in lines:
        fsio.append_line(path, line)


def read_history(path: Path) -> History:
    """The history of a project; an empty one when there is none. Torn and foreign lines are passed over."""
    try:
        data = read_regular(path)
    except OSError:
        return History()
    history = History()
    for line in data.split(b"\n"):
        record = _record(line)
        if record is not None:
            history = _after(history, record)
    return history


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _after(history: History, record: dict[str, Any]) -> History:
    kind, to = record.get("k"), record.get("to")
    if kind == "state":
        state = _state(record)
        return history if state is None else history.with_written(state)
    if kind == "facts" and isinstance(text := record.get("text"), str) and record.get("sha256") == digest(text):
        return history.with_facts(text)
    if kind in {"undo", "redo"}:
        back = kind == "undo"
        if any(s.n == to for s in (history.past if back else history.future)):
            while history.current is None or history.current.n != to:
                history = history.undone() if back else history.redone()
            at = record.get("at")
            history = history.put_in_force(at) if isinstance(at, str) else history
    return history


def _state(record: dict[str, Any]) -> State | None:
    n, why, at, text = (record.get(key) for key in ("n", "why", "at", "text"))
    if not (isinstance(n, int) and isinstance(why, str) and isinstance(at, str) and isinstance(text, str)):
        return None
    return State(n=n, why=why, at=at, text=text, decided=text) if record.get("sha256") == digest(text) else None
