"""The checkpoints of the run that is shown, over the Train pane: which there are, and one key to keep one for ever."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, cast

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.events import Key
from textual.screen import ModalScreen

from epochal.project.checkpoints import KEPT_HEALTHY
from epochal.tui.glyphs import glyphs
from epochal.tui.paint import blank, cell, toned, wrapped
from epochal.tui.screens.overlay import keys_line
from epochal.tui.text import content, spread
from epochal.tui.widgets.lines import Lines
from epochal.workbench import flow
from epochal.workbench.keys import token
from epochal.workbench.views.checkpoints import CheckpointRow, checkpoint_rows, instead_of_rows
from epochal.workbench.views.words import memory, some


if TYPE_CHECKING:
    from collections.abc import Callable

    from epochal.tui.app import Workbench
    from epochal.workbench.session import Session


_KEPT = f"The best, the newest {KEPT_HEALTHY} and pinned ones are kept; others give way to newer ones."
_MOVES = {"j": 1, "down": 1, "k": -1, "up": -1, "PgDn": 8, "PgUp": -8}


class CheckpointSheet(ModalScreen[None]):
    """A list that follows the run."""

    AUTO_FOCUS = ""

    def __init__(self) -> None:
        super().__init__()
        self._rows: tuple[CheckpointRow, ...] = ()
        self._step = -1
        """Of the checkpoint under the cursor: it stays on it while newer ones come."""
        self._unsubscribe: Callable[[], None] | None = None

    @property
    def session(self) -> Session:
        """The application behind the screen."""
        return cast("Workbench", self.app).session

    def compose(self) -> ComposeResult:
        """A title, the list under its head, what was said, keys."""
        with Vertical(id="sheet", classes="checkpoints"):
            yield Lines(id="sheet-title")
            yield Lines(id="checkpoints-head")
            yield Lines(id="checkpoints-rows")
            yield Lines(id="checkpoints-foot")

    def on_mount(self) -> None:
        """Have them looked for, as long as the sheet is open."""
        self._unsubscribe = self.session.subscribe(self._heard)
        self.session.checkpoints_wanted = True
        self.session.look()
        self.call_after_refresh(self._draw)

    def on_unmount(self) -> None:
        """Look no more."""
        self.session.checkpoints_wanted = False
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None

    def on_resize(self) -> None:
        """Draw for the new size."""
        self.call_after_refresh(self._draw)

    def _heard(self, topic: str) -> None:
        if self._stands and topic in {"runs", "job", "error", "notice"}:
            self._draw()

    # ── drawing ──

    @property
    def _stands(self) -> bool:
        """Whether the widgets are there: news may come while the sheet is being taken down."""
        return self.is_running and bool(self.query("#checkpoints-foot"))

    @property
    def _at(self) -> int:
        """The place of the checkpoint under the cursor; the newest where that one is gone."""
        return next((n for n, row in enumerate(self._rows) if row.checkpoint.step == self._step), 0)

    def _draw(self) -> None:
        info = self.session.info
        if not self._stands or info is None:
            return
        seen, metric = self.session.seen.checkpoints, info.spec.project.metric
        found = seen or ()
        self._rows = checkpoint_rows(found, metric, time.time())
        title = self.query_one("#sheet-title", Lines)
        there = f"{some(len(found), 'checkpoint')}, {memory(sum(c.size for c in found))}" if found else ""
        head = content(toned(f"Checkpoints of run {info.spec.number}", "bold"))
        title.show([spread(head, content(toned(there, "quiet")), title.size.width)])
        names = ("step", "epoch", metric, "size", "age", "")
        self.query_one("#checkpoints-head", Lines).show([_line(" ", names, "quiet")] if found else [])
        rows = self.query_one("#checkpoints-rows", Lines)
        if self._rows:
            at = self._at
            rows.show([_row(row, here=n == at) for n, row in enumerate(self._rows)], at)
        else:
            rows.show(wrapped(instead_of_rows(seen), rows.size.width, "quiet"))
        foot = self.query_one("#checkpoints-foot", Lines)
        foot.show(self._foot(foot.size.width))

    def _foot(self, width: int) -> list[Content]:
        error, notice, job = self.session.error, self.session.notice, self.session.job
        if error is not None:
            said = wrapped(f"{error.what}. {error.fix}".strip(), width, "bad")
        else:
            said = wrapped(job.text if job is not None else notice or _KEPT, width, "second" if notice else "quiet")
        pinned = bool(self._rows) and self._rows[self._at].checkpoint.pinned
        keys = [("p", "unpin" if pinned else "pin"), ("j k", "move")] if self._rows else []
        keys += [("c", "write one now")] if self._writes else []
        return [*said[:2], *([blank()] * (2 - len(said))), keys_line([*keys, ("Esc", "back")])]

    @property
    def _writes(self) -> bool:
        info = self.session.info
        return info is not None and info.alive

    # ── keys ──

    def on_key(self, event: Key) -> None:
        """Move, pin, have one written, leave."""
        event.stop()
        event.prevent_default()
        pressed = token(event.key, event.character)
        self.session.error = None
        if pressed in {"Esc", "q", "ctrl+c", "K"}:
            self.dismiss(None)
        elif pressed in _MOVES and self._rows:
            to = max(0, min(len(self._rows) - 1, self._at + _MOVES[pressed]))
            self._step = self._rows[to].checkpoint.step
            self._draw()
        elif pressed == "p" and self._rows:
            chosen = self._rows[self._at].checkpoint
            self._step = chosen.step
            flow.pin_checkpoint(self.session, chosen)
        elif pressed == "c" and self._writes and self.session.info is not None:
            flow.steer(self.session, self.session.info, "checkpoint")


def _row(row: CheckpointRow, *, here: bool) -> Content:
    cells = (row.step, row.epoch, row.value, row.size, row.age, row.marks)
    return _line(glyphs().here if here else " ", cells, "text")


def _line(sign: str, cells: tuple[str, ...], tone: str) -> Content:
    """Numbers right, words left."""
    *numbers, marks = cells
    widths = (9, 8, 13, 9, 8)
    return content(
        (sign, "$ep-accent"),
        *(cell(text, width, tone, right=True) for text, width in zip(numbers, widths, strict=True)),
        "   ",
        toned(marks, "second" if tone == "text" else tone),
    )
