"""The workbench's app: one mode for each stage, keys and themes from files, the session behind all of them."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from textual.app import App
from textual.binding import Binding
from textual.screen import Screen

from epochal.core.errors import EpochalError, SettingsError
from epochal.project.discover import shipped_themes
from epochal.tui.bridge import Call, Deliver
from epochal.tui.themes import read_themes
from epochal.workbench.commands import STAGE_NAMES, Keymap, read_keymap
from epochal.workbench.session import Session
from epochal.workbench.views.rail import ShellView
from epochal.workbench.views.shell import shell_view


def config_folder() -> Path:
    """Where a person's own keys.toml, themes and choices stand."""
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "epochal"


def _screen(module: str, name: str) -> Callable[[], Screen[None]]:
    """A screen's factory that imports its module only when the stage is first visited."""

    def make() -> Screen[None]:
        screen: Screen[None] = getattr(importlib.import_module(f"epochal.tui.screens.{module}"), name)()
        return screen

    return make


class Workbench(App[int], inherit_bindings=False):
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
        self.session.deliver = Deliver(self)
        self._first = first
        self._config = config or config_folder()
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
        wanted = os.environ.get("EPOCHAL_THEME", "")
        self.theme = wanted if wanted in themes else "dusk"
        self.session.error = complaints[0] if complaints else None

    def on_mount(self) -> None:
        """Show the first stage."""
        self.switch_mode(self._first)

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
        self.session.failed(EpochalError("this is the first pane", fix="gq leaves the workbench"))

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

    def do_app_quit(self) -> None:
        """Leave."""
        self.session.close()
        self.exit(0)

    def action_leave(self) -> None:
        """ctrl+q, also where a text field has the focus."""
        self.do_app_quit()

    def action_interrupt(self) -> None:
        """ctrl+c cancels what is under way and otherwise only says how to quit."""
        cancel = getattr(self.screen, "cancel", None)
        if cancel is None or not cancel():
            self.session.failed(EpochalError("nothing is under way to cancel", fix="gq leaves the workbench"))
