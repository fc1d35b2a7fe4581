"""The workbench's app: one mode for each stage, keys and themes from files, the session behind all of them."""

from __future__ import annotations

import importlib
import os
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding
from textual.screen import Screen
from textual.theme import Theme

from epochal.core.errors import EpochalError, SettingsError
from epochal.project.discover import shipped_themes
from epochal.tui.bridge import Call, Deliver
from epochal.tui.private import CalmApp
from epochal.tui.screens.base import StageScreen
from epochal.tui.themes import read_themes
from epochal.workbench.commands import STAGE_NAMES, STAGES, Keymap, read_keymap
from epochal.workbench.entry import Held
from epochal.workbench.session import Session
from epochal.workbench.views.rail import ShellView
from epochal.workbench.views.shell import shell_view


if TYPE_CHECKING:
    from epochal.runs.state import RunInfo


FRAME_SECONDS = 0.125
"""Between two looks at a run that has just begun: one of a second or two is seen moving."""
CALM_FRAMES = 4
"""A run that lasts, and everything else, is looked at once in so many frames."""
YOUNG_SECONDS = 10.0
"""Of training: a run has just begun."""


def config_folder() -> Path:
    """Where a person's own keys.toml, themes and choices stand."""
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "epochal"


def wanted_theme(themes: Mapping[str, Theme]) -> str:
    """The theme to start with: EPOCHAL_THEME, else the house's dark one."""
    wanted = os.environ.get("EPOCHAL_THEME", "")
    return wanted if wanted in themes else "dusk"


def _screen(module: str, name: str) -> Callable[[], Screen[None]]:
    """A screen's factory that imports its module only when the stage is first visited."""

    def make() -> Screen[None]:
        screen: Screen[None] = getattr(importlib.import_module(f"epochal.tui.screens.{module}"), name)()
        return screen

    return make


class Workbench(CalmApp[int], inherit_bindings=False):
    """The workbench on one project, or on none yet."""

    TITLE = "epochal"
    CSS_PATH = "styles/workbench.tcss"
    ENABLE_COMMAND_PALETTE = False
    MODES: ClassVar[dict[str, object]] = {  # type: ignore[assignment]
        "goal": _screen("goal", "GoalScreen"),
        "data": _screen("data", "DataScreen"),
        "label": _screen("label", "LabelScreen"),
        "model": _screen("model", "ModelScreen"),
        "train": _screen("train", "TrainScreen"),
        "test": _screen("test", "TestScreen"),
        "ship": _screen("ship", "ShipScreen"),
        "home": _screen("home", "HomeScreen"),
        "start": _screen("start", "StartScreen"),
    }
    BINDINGS: ClassVar[list[Binding]] = [  # type: ignore[assignment]
        Binding("ctrl+q", "leave", "quit", show=False, priority=True),
        Binding("ctrl+c", "interrupt", "cancel", show=False, priority=True),
    ]

    def __init__(self, session: Session | None = None, *, first: str = "home", config: Path | None = None) -> None:
        super().__init__()
        self.session = session or Session()
        self._held = self.session.deliver if isinstance(self.session.deliver, Held) else Held()
        self.session.deliver = self._held
        self._first = first
        self._config = config or config_folder()
        self._ticks = 0
        self.last_words: list[str] = []
        """What the terminal says after the screens are left."""
        self._before: list[str] = []
        """Stages visited, for `q`."""
        self.keymap = Keymap()
        complaints: list[EpochalError] = []
        try:
            self.keymap = read_keymap(self._config / "keys.toml")
        except SettingsError as error:
            complaints.append(error)
        themes, errors = read_themes(shipped_themes(), self._config / "themes")
        complaints += errors
        for theme in themes.values():
            self.register_theme(theme)
        self._themes = tuple(themes)
        self.theme = wanted_theme(themes)
        self.session.error = complaints[0] if complaints else None

    def on_mount(self) -> None:
        """Show the first stage, and look at runs and files at a calm pace."""
        self.session.subscribe(self._heard)
        self._held.release(Deliver(self))
        self.switch_mode(self._first)
        self.set_interval(FRAME_SECONDS, self._tick)

    def _heard(self, topic: str) -> None:
        """Ask when changed data would move the test set, or a resume would not be exact: neither is done silently."""
        error, refused = self.session.error, self.session.refused
        if topic == "error" and error is not None and error.error_code == "split-changed":
            self._ask_split(error)
        elif topic == "refused" and refused is not None:
            self._ask_resume(refused.error, refused.info)

    def _ask_split(self, error: EpochalError) -> None:
        from epochal.tui.screens.overlays import Item, Pick
        from epochal.workbench import flow

        items = [
            Item(value="", title="keep", note="go no further yet; look at the data first"),
            Item(value="accept", title="accept", note="hold out the new test rows from now on, and go on"),
        ]

        def took(value: str | None) -> None:
            if value == "accept":
                flow.accept_split(self.session)

        self.push_screen(Pick(error.what, items), took)

    def _ask_resume(self, error: EpochalError, info: RunInfo) -> None:
        from epochal.tui.screens.overlays import Item, Pick
        from epochal.workbench import flow, resuming

        other = resuming.REFUSALS[error.error_code]
        items = [Item(value="", title="leave it", note=error.what)]
        if other is not None:
            items.append(Item(value=other[0], title=other[1], note=other[2]))
        items.append(Item(value="anew", title="train anew", note="another run, with the settings and data as they are"))

        def took(value: str | None) -> None:
            if other is not None and value == other[0]:
                resuming.go_on(self.session, info, other[0])
            elif value == "anew":
                flow.train(self.session)

        self.push_screen(Pick(f"run {info.spec.number} cannot go on as it was", items), took)

    def _tick(self) -> None:
        self._ticks += 1
        seen = self.session.seen
        young = any(r.alive for r in seen.runs) and (seen.state is None or seen.state.seconds < YOUNG_SECONDS)
        if young or seen.behind or self._ticks % CALM_FRAMES == 0:
            self.session.look()
        self.session.fade()
        if self._ticks % (2 * CALM_FRAMES) == 0:
            self.session.refresh()

    # ── what every stage can do ──

    def on_call(self, message: Call) -> None:
        """Run what a thread asked for, here."""
        message.call()

    def shell_view(self) -> ShellView:
        """What the frame shows now."""
        return shell_view(self.session)

    def go(self, stage: str) -> None:
        """Show a stage. Without a project only the start screens are there."""
        if stage in STAGE_NAMES and self.session.file is None:
            self.session.failed(EpochalError("there is no project yet", fix="open one with Enter, or give a file"))
            return
        if stage != self.current_mode:
            self._before.append(self.current_mode)
            del self._before[:-20]
        self.switch_mode(stage)

    def do_stage_goal(self) -> None:
        """Show the goal."""
        self.go("goal")

    def do_stage_data(self) -> None:
        """Show the rows."""
        self.go("data")

    def do_stage_label(self) -> None:
        """Show labelling."""
        self.go("label")

    def do_stage_model(self) -> None:
        """Show the families."""
        self.go("model")

    def do_stage_train(self) -> None:
        """Show the live chart."""
        self.go("train")

    def do_stage_test(self) -> None:
        """Show the test set's verdict."""
        self.go("test")

    def do_stage_ship(self) -> None:
        """Show how to use the model."""
        self.go("ship")

    def do_app_home(self) -> None:
        """Show recent projects and samples."""
        self.go("home")

    def do_app_escape(self) -> None:
        """Cancel what is under way; where nothing is, back."""
        if not self.action_cancel():
            self.do_app_back()

    def action_cancel(self) -> bool:
        """Cancel what the pane has under way; False when nothing is."""
        cancel = getattr(self.screen, "cancel", None)
        return cancel is not None and bool(cancel())

    def do_app_back(self) -> None:
        """Close what is open, or go to the stage before."""
        go_back = getattr(self.screen, "go_back", None)
        if go_back is not None and go_back():
            return
        while self._before:
            stage = self._before.pop()
            if stage != self.current_mode and stage in self.MODES:
                self.switch_mode(stage)
                return
        self.session.failed(EpochalError("this is the first pane", fix="leave the workbench with gq"))

    def do_app_undo(self) -> None:
        """Take back the last decision."""
        self.session.undo()

    def do_app_redo(self) -> None:
        """Do again what was taken back."""
        self.session.redo()

    def do_app_theme(self) -> None:
        """Take the next theme."""
        place = self._themes.index(self.theme) if self.theme in self._themes else -1
        self.theme = self._themes[(place + 1) % len(self._themes)]

    def do_app_redraw(self) -> None:
        """Draw everything anew."""
        self.refresh(layout=True)

    def open_target(self, path: str) -> None:
        """Open a project folder or a data file by its path."""
        from epochal.workbench.entry import prepare

        try:
            stage = prepare(self.session, path)
        except EpochalError as error:
            self.session.failed(error)
            return
        self.go(stage)

    @property
    def _sheet_width(self) -> int:
        """Cells of a line in a sheet over the pane."""
        return min(104, int(self.size.width * 0.96) - 6)

    def do_app_help(self) -> None:
        """What this pane is for, and its keys."""
        from epochal.tui.screens.help import help_lines
        from epochal.tui.screens.overlays import TextOverlay

        screen = self.screen
        stage, teaches = getattr(screen, "STAGE", ""), getattr(screen, "TEACHES", "")
        width = self._sheet_width
        title = dict(STAGES).get(stage, "epochal")
        self.push_screen(TextOverlay(title, lambda: help_lines(self.keymap, stage, teaches, width), live=False))

    def do_app_messages(self) -> None:
        """What was said of late, in full."""
        from epochal.tui.screens.messages import message_lines
        from epochal.tui.screens.overlays import TextOverlay

        said = self.screen.next_said if isinstance(self.screen, StageScreen) else ""
        width = self._sheet_width
        self.push_screen(TextOverlay("Messages", lambda: message_lines(self.session.messages, said, width), live=False))

    def do_app_palette(self) -> None:
        """Every command by name."""
        from epochal.tui.screens.help import palette_items
        from epochal.tui.screens.overlays import Pick

        screen = self.screen
        if not isinstance(screen, StageScreen):
            return
        commands = self.keymap.of_stage(screen.STAGE)
        items = palette_items(self.keymap, screen.STAGE, [c.when for c in commands if screen.holds(c.when)])

        def took(identity: str | None) -> None:
            command = next((c for c in commands if c.id == identity), None)
            if command is not None:
                screen.perform(command)

        self.push_screen(Pick("Commands", items, search=True), took)

    def do_app_quit(self) -> None:
        """Leave after showing what goes on running; a run inside this process is stopped with a checkpoint."""
        from epochal.tui.screens.overlays import Item, Pick

        here = [r for r in self.session.seen.runs if r.alive]
        self.last_words = []
        if not here:
            self._leave()
            return
        words = [
            f"run {r.spec.number} ({r.spec.family}) goes on without this terminal"
            for r in here
            if not self.session.lives_here(r)
        ]
        words += [
            f"run {r.spec.number} ({r.spec.family}) lives here: it stops with a checkpoint"
            for r in here
            if self.session.lives_here(r)
        ]
        self.last_words = [
            f"{word}; `epochal watch {shlex.quote(str(self.session.folder))}` shows it again"
            if "goes on" in word
            else word
            for word in words
        ]
        items = [Item(value="leave", title="leave", note="; ".join(words)), Item(value="", title="stay")]
        pick = Pick("Leave the workbench?", items, current="leave")
        self.push_screen(pick, lambda value: self._leave() if value == "leave" else None)

    def _leave(self) -> None:
        self.session.close()
        self.exit(0)

    def action_leave(self) -> None:
        """ctrl+q, also where a text field has the focus."""
        self.do_app_quit()

    def action_interrupt(self) -> None:
        """ctrl+c cancels what is under way and otherwise only says how to quit."""
        if not self.action_cancel():
            self.session.failed(EpochalError("nothing is under way to cancel", fix="leave the workbench with gq"))
