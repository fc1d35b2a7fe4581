"""The data pane: rows of any number, what is known of a column, what is wrong, and the recipe that mends it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.events import Key, Resize, ScreenSuspend
from textual.timer import Timer
from textual.widgets import Static

from epochal.core.errors import DataHostError, EpochalError
from epochal.data import protocol
from epochal.show import safe
from epochal.tui.screens.base import StageScreen
from epochal.tui.screens.data_cleaning import CLEANING, recipe_key
from epochal.tui.screens.data_looks import LOOKS
from epochal.tui.screens.data_moves import MOVES, Action, lacking, nowhere
from epochal.tui.screens.data_pages import HostPages
from epochal.tui.screens.data_words import REJECTED, enter_does, footer_here, headline_of, next_action
from epochal.tui.text import cut
from epochal.tui.widgets.data_side import DataSide, SideView, column_of, lists_of
from epochal.tui.widgets.grid import Grid
from epochal.tui.widgets.grid_columns import GridColumn
from epochal.tui.widgets.pages import MemoryPages
from epochal.tui.widgets.shell import KeyFooter
from epochal.workbench.data_commands import ELSEWHERE
from epochal.workbench.data_session import DataSession
from epochal.workbench.keys import token
from epochal.workbench.views.data import Query, column_views, mended, recipe_lines
from epochal.workbench.views.goal import line_of


if TYPE_CHECKING:
    from epochal.workbench.keys import Command


PROFILE_SECONDS = 0.12
"""How long the cursor rests on a column before its profile is asked for."""

EXACT_SECONDS = 1.5
"""How long it rests before the whole column is read, where a sample was shown."""


class DataScreen(StageScreen):
    """Stage 2."""

    STAGE = "data"
    TEACHES = (
        "The rows of your data, as the recipe leaves them. Nothing is changed in your files: every cleaning step is a "
        "line of the recipe, counted before it is applied, and can be taken back (U), switched off, moved, edited or "
        "deleted (D). A quiet · is a missing value. The kind of each column stands under its name. Problems are listed "
        "with a fix each (A). The ledger (a) says where every line of the file went."
    )
    DEFAULT_CSS = """
    DataScreen #data { layers: base over; height: 100%; }
    DataScreen #data-main { width: 1fr; height: 100%; }
    DataScreen #data-head { height: 1; color: $ep-quiet; }
    DataScreen.-large DataSide { width: 48; }
    DataScreen.-small DataSide { display: none; }
    DataScreen.-small.-side DataSide {
        display: block; layer: over; dock: right; width: 42; max-width: 100%; background: $ep-surface; margin: 0;
        padding: 0 1 0 1; border-left: outer $ep-accent;
    }
    """
    ACTIONS: ClassVar[Mapping[str, Action]] = {
        **MOVES,
        **CLEANING,
        **LOOKS,
        "part": lambda screen: screen.next_area(1),
        "part-before": lambda screen: screen.next_area(-1),
        "recipe": lambda screen: screen.open_area("recipe"),
        "problems": lambda screen: screen.open_area("problems"),
        "profile": lambda screen: screen.open_profile(),
        "palette": lambda screen: screen.workbench.do_app_palette(),
    }
    """What each command of the registry does, by its name after `data.`."""

    def __init__(self) -> None:
        super().__init__()
        self._data: DataSession | None = None
        self._area = ""
        """The list of the side panel that has the keys; nothing: the grid."""
        self._index = 0
        self._timer: Timer | None = None
        self._cursors: list[tuple[int, str]] = []
        """Row and column of the cursor in the views under this one."""

    def compose_body(self) -> ComposeResult:
        """The grid and the panel beside it."""
        with Horizontal(id="data"):
            with Vertical(id="data-main"):
                yield Static(id="data-head")
                yield Grid(id="grid")
            yield DataSide(id="side")

    # ── what is there ──

    @property
    def data(self) -> DataSession:
        """The pane without the screen."""
        if self._data is None:
            self._data = DataSession(self.session, self._heard_data)
        return self._data

    @property
    def grid(self) -> Grid:
        """The rows."""
        return self.query_one("#grid", Grid)

    @property
    def column(self) -> GridColumn | None:
        """The column under the cursor."""
        return self.grid.column

    @property
    def all_columns(self) -> tuple[GridColumn, ...]:
        """All columns of the view, hidden ones too."""
        return self._columns(frozenset())

    def _columns(self, hidden: frozenset[str]) -> tuple[GridColumn, ...]:
        shown = self.data.view or self.data.head
        infos = shown.columns if shown is not None else ()
        room = self.grid.size.width - 8
        project, data = self.session.project, self.data
        views = column_views(infos, project, data.query, hidden, data.widths, room=room)
        if data.query.keys:
            # Rows of a model's mistake are looked at for their truth: it stands where it is seen at once.
            views = tuple(sorted(views, key=lambda v: v.role != "target"))
        return tuple(
            GridColumn(name=v.name, title=v.title, kind=v.kind, width=v.width, right=v.right, role=v.role, sort=v.sort)
            for v in views
        )

    def with_cell(self, then: Callable[[str | None], None]) -> None:
        """Hand on the whole cell under the cursor (None: missing), once it is read."""
        if self.data.view is None or self.column is None or not self.grid.rows:
            return
        request = protocol.ReadCell(token=self.data.view.token, row=self.grid.cursor_row, column=self.column.name)
        release = self.workbench.hold_keys()  # the next ones are meant for what opens

        def answered(body: Mapping[str, Any]) -> None:
            then(body["text"])
            release()

        self.data.ask("cell", request, answered)

    # ── what changed ──

    def refresh_view(self, topic: str) -> None:
        """The session changed, or the stage came on screen."""
        if self.session.file is None:
            return
        if self._data is None or self._data.opened_folder != self.session.folder:
            self._data = DataSession(self.session, self._heard_data)
            self._area, self._cursors = "", []
            self.grid.show(MemoryPages((), ()), 0, ())
            self.data.start()
        elif topic in {"all", "project"}:
            self.data.project_changed()
        wanted = self.session.rows_wanted
        if wanted is not None:
            self.session.rows_wanted = None
            self.data.look(Query(title=wanted.title, keys=wanted.keys, part=wanted.part))
        self._draw()

    def _heard_data(self, topic: str) -> None:
        if not self.stands:
            return
        if topic == "head" and self.data.head is not None:
            names = [c.name for c in self.data.head.columns]
            self.grid.show(
                MemoryPages(names, self.data.head.rows), len(self.data.head.rows), self._columns(frozenset())
            )
        elif topic == "view":
            self._show_view()
        elif topic == "columns":
            self.draw_columns()
        elif topic == "selection":
            self.grid.set_selected(self.data.selected)
        self._draw()

    def _show_view(self) -> None:
        view = self.data.view
        if view is None or self.data.failure is not None:
            return
        grid, here = self.grid, ""
        while len(self._cursors) > self.data.depth:
            grid.cursor_row, here = self._cursors.pop()
        while len(self._cursors) < self.data.depth:
            self._cursors.append((grid.cursor_row, grid.column.name if grid.column is not None else ""))
            grid.cursor_row = 0
            here = self.session.project.columns.target if self.data.query.keys else ""
        grid.own_numbers = bool(self.data.query.keys)
        grid.empty = "no rows here; q goes back" if self.data.depth else "no rows are left: U takes the last step back"
        pages = HostPages(self.data, view.token, self._page_failed)
        grid.show(pages, view.rows, self._columns(self.data.hidden), here)
        grid.set_selected(self.data.selected)
        self._rest()

    def _page_failed(self, error: EpochalError) -> None:
        self.grid.pages.failed()
        if error.error_code == "view-gone" or isinstance(error, DataHostError):
            # The host was started again, or forgot an old view: the same rows are opened anew.
            self.data.reopen()
        else:
            self.session.failed(error)

    def draw_columns(self) -> None:
        """Columns were hidden, widened, or are for something else now."""
        self.grid.set_columns(self._columns(self.data.hidden))
        self._draw()

    def on_resize(self, _event: Resize) -> None:
        """Names take the room there is."""
        if self._data is not None:
            self.call_after_refresh(self.draw_columns)

    def on_grid_moved(self, _event: Grid.Moved) -> None:
        """Another cell: forget what was said, look at the column once the cursor rests."""
        self._draw_side()
        self._rest()

    def on_grid_opened(self, _event: Grid.Opened) -> None:
        """Two clicks open the row."""
        LOOKS["form"](self)

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(PROFILE_SECONDS, self._want_profile)

    def _want_profile(self) -> None:
        if self.column is None or not self.stands:
            return
        known = self.data.profile(self.column.name)
        self.data.want_profile(self.column.name, exact=known is not None)
        if known is None or not known.exact:
            self._timer = self.set_timer(EXACT_SECONDS, self._want_profile)

    # ── drawing ──

    def _draw(self) -> None:
        head = self.query_one("#data-head", Static)
        head.update(cut(headline_of(self.data), head.content_size.width or self.size.width))
        self._draw_side()
        self.set_next(next_action(self.data, self._area, self._index))
        self.refresh_footer()

    def refresh_footer(self) -> None:
        """Show the keys that work where the cursor is."""
        super().refresh_footer()
        footer, ledger = self.query_one(KeyFooter), self._data.ledger if self._data is not None else None
        # Under a box these keys do nothing: its own stand in its last line.
        footer.commands = footer_here(footer.commands, self._area, ledger, enter=self._enter_does) if self.shown else ()

    @property
    def _enter_does(self) -> str:
        """What Enter does to the problem under the cursor."""
        problems = (self.data.problems or ()) if self._area == "problems" else ()
        return enter_does(self.session.project, problems[min(self._index, len(problems) - 1)]) if problems else ""

    def on_screen_suspend(self, _event: ScreenSuspend) -> None:
        """A box lies over the pane, or another stage is on screen."""
        self.shown = False
        self.refresh_footer()

    def _draw_side(self) -> None:
        column, data = self.column, self.data
        steps = data.recipe.steps if self.session.file is not None else ()
        view = SideView(
            title=column.title if column is not None else "",
            kind=column.kind if column is not None else "",
            role=column.role if column is not None else "",
            profile=data.profile(column.name) if column is not None else None,
            problems=data.problems,
            recipe=recipe_lines(steps, data.ledger),
            ledger=data.ledger,
            reading=data.failure is None and not data.stopped,
            area=self._area,
            index=self._index,
        )
        if self._area and self._area not in lists_of(view):
            self._leave_area()
            view = replace(view, area="")
        elif self._area:
            items = len(view.problems or ()) if self._area == "problems" else len(view.recipe)
            self._index = max(0, min(self._index, items - 1))
            view = replace(view, index=self._index)
        self.query_one(DataSide).view = view
        self.grid.set_active(not self._area)

    # ── the side panel's lists ──

    def open_area(self, area: str) -> None:
        """Give the keys to a list of the side panel; on a narrow screen the panel comes over the grid."""
        if area not in lists_of(self.query_one(DataSide).view):
            self.data.say("there are no steps yet: m cleans" if area == "recipe" else "no problems were found")
            return
        if area == self._area:
            return  # the cursor stays on what it is on
        self._area = area
        self.add_class("-side")
        self.point(0 if area == "problems" else len(self.data.recipe.steps) - 1)

    def open_profile(self) -> None:
        """The whole column's figures; on a narrow screen the panel comes over the grid, or goes."""
        if self.has_class("-side") and self.has_class("-small"):
            self._leave_area()
            return
        self.add_class("-side")
        if self.column is not None:
            known = self.data.profile(self.column.name)
            self.data.want_profile(self.column.name, exact=True)
            if not self.has_class("-small"):
                exact = known is not None and known.exact
                said = "at the right, of all rows" if exact else "being made exact at the right: all rows are read"
                self.data.say(f"the figures of {self.column.title} are {said}")

    def next_area(self, by: int) -> None:
        """From the grid to problems, to the recipe, and round."""
        areas = ["", *lists_of(self.query_one(DataSide).view)]
        at = areas.index(self._area) if self._area in areas else 0
        area = areas[(at + by) % len(areas)]
        if area:
            self.open_area(area)
        else:
            self._leave_area()

    def _leave_area(self) -> None:
        self._area = ""
        self.remove_class("-side")
        self.grid.set_active(True)

    def point(self, index: int) -> None:
        """Put the list's cursor on another line; a problem's column comes under the grid's."""
        self._index = index
        self._draw()
        if self._area == "problems" and self.data.problems:
            about = column_of(self.data.problems[self._index])
            places = [n for n, column in enumerate(self.grid.columns) if column.title == about]
            if places:
                self.grid.go(self.grid.cursor_row, places[0])

    def _area_key(self, pressed: str) -> bool:
        moves = {"j": 1, "down": 1, "k": -1, "up": -1}
        if pressed in moves:
            before = self._index
            self.point(before + moves[pressed])
            if self._index == before:
                end = "last" if moves[pressed] > 0 else "first"
                self.data.said = f"this is the {end} {'step' if self._area == 'recipe' else 'problem'}"
            return True
        if self._area == "recipe":
            return recipe_key(self, self._index, pressed)
        if pressed == "Enter" and self.data.problems:
            problem = self.data.problems[self._index]
            line = line_of(self.session.project, problem)
            if self.data.recipe.mend(problem):
                self.data.say(f"{mended(problem, len(self.data.recipe.steps))}; U takes it back")
            elif line:
                self.session.goal_line = line
                self.workbench.go("goal")
            elif problem.code == REJECTED:
                self.ACTIONS["rejects"](self)
            else:
                self.data.say(safe(problem.fix, 300) or "this one needs a look at the rows")
            return True
        return False

    # ── keys ──

    def on_key(self, event: Key) -> None:
        """A list of the side panel takes its keys first; everything else is a command of the registry."""
        self.data.said = ""
        if self._area and not self._typed and self._area_key(token(event.key, event.character)):
            event.stop()
            event.prevent_default()
            self._draw()
            return
        typed = (*self._typed, token(event.key, event.character))
        keymap = self.workbench.keymap
        unknown = keymap.find(self.STAGE, typed) is None and not keymap.begins(self.STAGE, typed)
        if unknown and len(typed[-1]) == 1:
            # A key that means nothing says so: silence reads as a program that hangs.
            keys = "".join(typed)
            self.session.hush()
            self.data.say(ELSEWHERE.get(keys, f"{keys} means nothing here: ? lists the keys, : finds a command"))
            self._set_typed(())
            event.stop()
            event.prevent_default()
            self.refresh_shell()

    def perform(self, command: Command) -> None:
        """Do a command: the pane's own table, else the app's."""
        action = self.ACTIONS.get(command.id.removeprefix("data.")) if command.id.startswith("data.") else None
        if action is None:
            super().perform(command)
            return
        self.session.hush()
        name, before = command.id.removeprefix("data."), (self.grid.cursor_row, self.grid.cursor_column)
        self.data.said = lack = lacking(self, name)
        if not lack:
            action(self)
            self.data.said = self.data.said or nowhere(self, name, before)
        self._draw()
        if self.stands:
            self.refresh_shell()

    def go_back(self) -> bool:
        """Close what lies open: the list, the panel over the grid, the view of some rows."""
        if self._area or (self.has_class("-side") and self.has_class("-small")):
            self._leave_area()
            self._draw()
            return True
        return self.data.back()

    def cancel(self) -> bool:
        """Esc, ctrl+c: interrupt the query under way; figures beside the rows only where Esc has nothing to close."""
        opened = bool(self._area) or (self.has_class("-side") and self.has_class("-small")) or bool(self.data.depth)
        return self.data.cancel(beside=not opened)
