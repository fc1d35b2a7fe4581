"""What every stage has in common: the frame, and keys that become commands of the registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.containers import Container, Horizontal
from textual.content import Content
from textual.events import Key, Resize, ScreenResume, ScreenSuspend
from textual.screen import Screen
from textual.widgets import Input, Static, TextArea

from epochal.core.errors import EpochalError
from epochal.tui.paint import toned
from epochal.tui.text import content, stacked
from epochal.tui.widgets.lines import Lines
from epochal.tui.widgets.shell import NARROW, KeyFooter, NextLine, Rail, TopBar
from epochal.workbench.keys import shown_key, token
from epochal.workbench.views.rail import ShellView


TINY_WIDTH, TINY_HEIGHT = 60, 16
"""Cells below which a pane cannot be laid out."""

MEDIUM = 116
"""Columns below which three parts do not fit beside each other."""

if TYPE_CHECKING:
    from collections.abc import Callable

    from epochal.tui.app import Workbench
    from epochal.workbench.keys import Command
    from epochal.workbench.session import Session


class StageScreen(Screen[None]):
    """One stage of the rail.

    A subclass gives STAGE, `compose_body`, `refresh_view` and a method `do_<stage>_<verb>` for each of its commands
    (id "train.log-scale" → `do_train_log_scale`). It reads `session` and sends it what the person wants.
    """

    STAGE: ClassVar[str] = ""
    TEACHES: ClassVar[str] = ""
    """For `?`: what this pane is for, in a few plain sentences."""

    AUTO_FOCUS = ""

    def __init__(self) -> None:
        super().__init__()
        self._typed: tuple[str, ...] = ()
        self._unsubscribe: Callable[[], None] | None = None
        self._laying_out = False
        self.shown = False
        """Whether this stage is the one on screen; timers and readers rest while it is not."""

    @property
    def workbench(self) -> Workbench:
        """The app, with its own type."""
        return cast("Workbench", self.app)

    @property
    def session(self) -> Session:
        """The application behind the screen."""
        return self.workbench.session

    # ── the frame ──

    def compose(self) -> ComposeResult:
        """The frame, and the pane's own body inside."""
        yield Static(id="tiny", markup=False)
        yield TopBar(id="top")
        with Horizontal(id="middle"):
            yield Rail(id="rail")
            with Container(id="body"):
                yield from self.compose_body()
        yield NextLine(id="next")
        yield KeyFooter(id="keys")

    def compose_body(self) -> ComposeResult:
        """The pane's own widgets."""
        yield from ()

    def on_mount(self) -> None:
        """Listen to the session from now on."""
        self._unsubscribe = self.session.subscribe(self._heard)
        self.query_one(Rail).current = self.STAGE
        self.query_one(NextLine).whole = self.key_of("app.messages")

    @property
    def stands(self) -> bool:
        """Whether the widgets are there: news may come while the screen is being taken down, its last widget first."""
        return self.is_running and bool(self.query(KeyFooter))

    def on_unmount(self) -> None:
        """Listen no more."""
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None

    def on_screen_resume(self, _event: ScreenResume) -> None:
        """The stage is on screen (again): draw what is true now."""
        self.shown = True
        if self.stands:
            self.refresh_shell()
            self.refresh_view("all")

    def on_screen_suspend(self, _event: ScreenSuspend) -> None:
        """Another stage is on screen."""
        self.shown = False

    def on_resize(self, event: Resize) -> None:
        """The rail gives way on narrow screens."""
        self.set_class(event.size.width < NARROW, "-small")
        self.set_class(event.size.width < MEDIUM, "-medium")
        self.set_class(event.size.width >= 160, "-large")
        self.set_class(event.size.height < 30, "-short")
        self.set_class(event.size.width < TINY_WIDTH or event.size.height < TINY_HEIGHT, "-tiny")

    def on_lines_resized(self, event: Lines.Resized) -> None:
        """Lay out anew, once for all that changed."""
        event.stop()
        if not self._laying_out:
            self._laying_out = True
            self.call_after_refresh(self._lay_out)

    def _lay_out(self) -> None:
        self._laying_out = False
        if self.shown and self.stands:
            self.refresh_view("size")

    def _heard(self, topic: str) -> None:
        if self.shown and self.stands:
            self.refresh_shell()
            self.refresh_view(topic)

    def refresh_shell(self) -> None:
        """Draw the frame from the session's state."""
        view = self.workbench.shell_view()
        self.query_one(TopBar).view = view
        self.query_one(Rail).view = view
        self.query_one(NextLine).view = view
        if self.has_class("-tiny"):
            self.query_one("#tiny", Static).update(stacked(self._tiny_lines(view)))
        self.refresh_footer()

    def _tiny_lines(self, view: ShellView) -> list[Content]:
        """One line that says what size is needed, and how the run stands all the same."""
        width, height = self.app.size
        share = f" {view.run_fraction:.0%}".replace("%", " %") if view.run_fraction is not None else ""
        run = [content(toned(f"{view.run} {view.run_state}{share}", "accent"))] if view.run else []
        need = f"epochal needs {TINY_WIDTH} × {TINY_HEIGHT} cells; here are {width} × {height}."
        return [content(toned(need)), *run]

    def refresh_footer(self) -> None:
        """Show the keys that work now."""
        works = [self.as_here(c) for c in self.workbench.keymap.of_stage(self.STAGE) if self.holds(c.when)]
        shown = [c for c in works if c.footer and c.keys]
        self.query_one(KeyFooter).commands = tuple(sorted(shown, key=lambda c: c.footer))

    def refresh_view(self, _topic: str) -> None:
        """Draw the pane from the session's state. The topic is what changed ("all" when it comes on screen, "size" when there is more or less room)."""

    @property
    def next_said(self) -> str:
        """What is suggested next, in full."""
        return self.query_one(NextLine).suggested

    def set_next(self, text: str) -> None:
        """Say the next best action and why."""
        self.query_one(NextLine).said = text

    def holds(self, when: str) -> bool:
        """Whether a command's condition holds now."""
        return not when

    def as_here(self, command: Command) -> Command:
        """A command as the footer shows it where the cursor is."""
        return command

    def key_of(self, identity: str) -> str:
        """The key of a command as it is shown: a person may have given it another one, or none but the palette's."""
        return next((shown_key(c.keys[0]) for c in self.workbench.keymap.commands if c.id == identity and c.keys), ":")

    # ── keys ──

    def on_key(self, event: Key) -> None:
        """Turn keys into commands; a text field that has the focus keeps its keys."""
        if isinstance(self.focused, (Input, TextArea)):
            return
        tokens = (*self._typed, token(event.key, event.character))
        keymap = self.workbench.keymap
        command = keymap.find(self.STAGE, tokens)
        if command is not None:
            self._set_typed(())
            event.stop()
            event.prevent_default()
            self.perform(command)
        elif keymap.begins(self.STAGE, tokens):
            self._set_typed(tokens)
            event.stop()
            event.prevent_default()
        else:
            self._set_typed(())
            event.stop()
            keys = "".join(shown_key(t) for t in tokens)
            self.refuse(
                f"{keys if len(keys) == 1 else f'the key {keys}'} does nothing here", "? lists the keys that do"
            )

    def _set_typed(self, tokens: tuple[str, ...]) -> None:
        self._typed = tokens
        self.query_one(NextLine).pending = "".join(tokens)

    def perform(self, command: Command) -> None:
        """Do a command: the screen's own method, else the app's."""
        name = "do_" + command.id.replace(".", "_").replace("-", "_")
        method = getattr(self, name, None) or getattr(self.app, name)
        self.session.hush()
        method()
        self.query_one(NextLine).view = self.workbench.shell_view()
        if self.stands:
            self.refresh_footer()

    def refuse(self, what: str, fix: str) -> None:
        """Say why a key does nothing here, and which one would."""
        self.session.failed(EpochalError(what, fix=fix))

    def go_back(self) -> bool:
        """Close what lies open in the pane; False when nothing does and back means the stage before."""
        return False

    def cancel(self) -> bool:
        """Cancel what is under way in this pane; False when nothing is."""
        return self.session.cancel()

    def on_rail_picked(self, event: Rail.Picked) -> None:
        """A stage was clicked in the rail."""
        self.workbench.go(event.stage)
