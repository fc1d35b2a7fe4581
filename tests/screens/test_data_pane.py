"""The data pane over the real data host: looking, finding, cleaning, and never a byte that acts on the terminal."""

from __future__ import annotations

import os
import re
import shutil
import signal
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from epochal.core.settings import Columns, Goal, Project, Source
from epochal.core.steps import OPS, Step
from epochal.project.discover import shipped_projects
from epochal.project.file import ProjectFile, create_project
from epochal.testing import screen_text, until
from epochal.tui.app import Workbench
from epochal.tui.screens.data import DataScreen
from epochal.tui.screens.data_facets import Facets
from epochal.tui.screens.data_steps import _ORDER, StepForm
from epochal.tui.widgets.shell import KeyFooter, NextLine
from epochal.workbench.commands import COMMANDS
from epochal.workbench.intents import ShowRows
from epochal.workbench.session import Session
from epochal.workbench.views.data import share


ROWS = [
    ("id", "island", "mass", "sex", "species"),
    *[
        (
            f"b{n:03}",
            ("Torgersen", "Dream", "Biscoe")[n % 3],
            "NA" if n == 4 else str(3500 + 10 * n),
            ("MALE", "FEMALE", "")[n % 3],
            ("Adelie", "Gentoo")[n % 2],
        )
        for n in range(60)
    ],
]


def birds(folder: Path, rows: list[tuple[str, ...]] = ROWS, *, target: str = "species") -> Path:
    folder.mkdir(parents=True)
    text = "".join(",".join(f'"{cell}"' for cell in row) + "\n" for row in rows)
    (folder / "birds.csv").write_bytes(text.encode("utf-8", "surrogatepass"))
    project = Project(
        name="birds",
        goal=Goal(question="Which bird?", metric="accuracy"),
        sources=(Source(name="birds", uri="birds.csv", licence="CC0-1.0", origin="made up", personal_data="none"),),
        columns=Columns(target=target),
    )
    create_project(folder, project)
    return folder


class Pane:
    """What a test does with the pane."""

    def __init__(self, app: Workbench, pilot) -> None:
        self.app, self.pilot = app, pilot

    @property
    def text(self) -> str:
        return screen_text(self.app)

    @property
    def screen(self) -> DataScreen:
        return next(s for s in self.app.screen_stack if isinstance(s, DataScreen))

    @property
    def steps(self):
        return self.app.session.project.clean

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def type(self, text: str) -> None:
        await self.pilot.press(*("space" if c == " " else c for c in text))

    async def shows(self, wanted: str) -> None:
        await until(lambda: re.search(wanted, self.text, re.MULTILINE), self.pilot)

    async def until(self, condition) -> None:
        await until(condition, self.pilot)

    async def ready(self) -> None:
        """Rows, account and problems are there, and nothing is under way."""
        await self.until(
            lambda: (
                self.screen.data.view is not None
                and self.screen.data.ledger is not None
                and self.screen.data.problems is not None
                and self.screen.grid.pages.eid(self.screen.grid.cursor_row) is not None
            )
        )


@asynccontextmanager
async def pane(folder: Path, size: tuple[int, int] = (120, 40)):
    session = Session()
    session.open(folder)
    app = Workbench(session, first="data", config=folder / "no-config")
    try:
        async with app.run_test(size=size) as pilot:
            opened = Pane(app, pilot)
            await opened.until(lambda: any(isinstance(s, DataScreen) for s in app.screen_stack))
            await opened.ready()
            yield opened
    finally:
        session.close()


@asynccontextmanager
async def listed(folder: Path, count: int, distinct: int = 0):
    """So many values of a column as the host would list them, and what was wished of them."""
    wishes: list[object] = []
    async with pane(folder) as p:
        facets = Facets("letters")
        p.app.push_screen(facets, wishes.append)
        await p.shows("counting …")
        values = [[f"val {n:03}", 2 + (n < 20), f"val {n:03}"] for n in range(count)]
        facets.show({"values": values, "distinct": distinct or count}, rows=9_000)
        await p.shows("▸ +val 000")
        yield p, wishes


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """Nothing of the person who runs the tests reaches the screens."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("EPOCHAL_THEME", raising=False)


@pytest.fixture
def folder(tmp_path):
    return birds(tmp_path / "birds")


def test_every_command_of_the_pane_does_something():
    named = {c.id.removeprefix("data.") for c in COMMANDS if c.id.startswith("data.")}
    assert named == set(DataScreen.ACTIONS)


def test_every_cleaning_step_stands_in_the_menu_once():
    assert sorted(_ORDER) == sorted(OPS)


def test_every_cleaning_step_is_in_the_palette():
    named = {c.cli.removeprefix("clean ") for c in COMMANDS if c.id.startswith("data.") and c.cli.startswith("clean ")}
    assert named >= set(OPS)


async def test_rows_profile_problems_recipe_and_account_at_120_columns(folder):
    async with pane(folder) as p:
        await p.shows("60 rows × 5")
        await p.shows(r"60 distinct")
        await p.press("l", "l", "l")
        await p.shows(r"20 missing")
        assert re.search(r"MALE +20 ", p.text)
        assert "Problems ─" in p.text
        assert "Recipe ─" in p.text
        assert re.search(r"✓ 60 = \d+ train \+ \d+ val", p.text)
        assert re.search(r"^.* 1  b000 +Torgersen +3500 +MALE +Adelie", p.text, re.MULTILINE)


async def test_at_80_by_24_the_panel_comes_over_the_grid_and_goes_again(folder):
    async with pane(folder, (80, 24)) as p:
        assert "Recipe ─" not in p.text
        await p.press("A")
        await p.shows("▸")
        await p.press("escape")
        await p.until(lambda: "Problems ─" not in p.text)
        await p.press("I")
        await p.shows(r"distinct")
        await p.press("escape")
        await p.until(lambda: "distinct" not in p.text)
        assert all(len(line) <= 80 for line in p.text.splitlines())


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
class TestPictures:
    """The sample project as a person sees it."""

    @pytest.fixture
    def penguins(self, tmp_path):
        return shutil.copytree(shipped_projects()["penguins"], tmp_path / "penguins")

    async def compare(self, p: Pane, name: str, size: tuple[int, int], same_picture) -> None:
        # When it was saved and how busy the machine is stand at the end of the first line.
        await same_picture(f"{name}-{size[0]}x{size[1]}", lambda: re.sub(r" +saved .*", "", p.text, count=1), p.pilot)

    async def test_the_rows(self, penguins, size, same_picture):
        async with pane(penguins, size) as p:
            await p.press("l", "l")
            await p.until(lambda: p.screen.data.profile("Culmen Length (mm)") is not None)
            await self.compare(p, "data", size, same_picture)

    async def test_the_recipe(self, penguins, size, same_picture):
        async with pane(penguins, size) as p:
            await p.press("D", "k")
            await p.shows("▸ 3 map_values")
            await self.compare(p, "data-recipe", size, same_picture)

    async def test_a_step_before_it_is_applied(self, penguins, size, same_picture):
        async with pane(penguins, size) as p:
            await p.press("l", "asterisk")
            await p.type("Dream")
            await p.press("tab")
            await p.type("D.")
            await p.shows("Dream +→ +D")
            await self.compare(p, "data-step", size, same_picture)


class TestKeysSaySomething:
    """No key is silent, and the footer shows the keys that work where the cursor is."""

    @staticmethod
    def footer(p: Pane) -> str:
        return p.text.splitlines()[-1]

    async def test_at_an_edge_a_key_says_so(self, folder):
        async with pane(folder) as p:
            for key, said in (("k", "first row"), ("h", "first column"), ("G", ""), ("j", "last row")):
                await p.press(key)
                await p.shows(f"this is the {said}" if said else "60  b059")

    async def test_figures_asked_for_beside_the_rows_are_told_of(self, folder):
        async with pane(folder) as p:
            await p.until(lambda: p.screen.data.profile("id") is not None)
            await p.press("I")
            await p.shows("the figures of id are at the right, of all rows")

    async def test_the_footer_shows_the_keys_of_the_list_that_has_them(self, folder):
        async with pane(folder) as p:
            assert "F facets" in self.footer(p)
            await p.press("A")
            await p.until(lambda: re.search("j next +Esc back", self.footer(p)))
            await p.press("k")
            await p.shows("this is the first problem")
            await p.press("escape", "X", "enter")
            await p.shows("Enter once more")
            await p.press("enter")
            await p.until(lambda: len(p.steps) == 1)
            await p.press("D")
            await p.until(lambda: re.search("Enter edit +J K move +x on/off +d delete +Esc back", self.footer(p)))
            await p.press("J")
            await p.shows("this is the last step already")
            await p.press("escape")
            await p.until(lambda: "F facets" in self.footer(p))

    async def test_the_footer_says_what_enter_does_to_the_problem_under_the_cursor(self, folder):
        with (folder / "birds.csv").open("a", encoding="utf-8") as file:
            file.write("one,line,that,is,too,long,by,far\n")
        file = ProjectFile.open(folder)
        sources = (replace(file.project.sources[0], licence=""),)
        file.change(replace(file.project, sources=sources), "no licence")
        async with pane(folder) as p:
            await p.press("A")
            ways = set()
            for problem in p.screen.data.problems:
                mended = problem.step is not None or problem.setting is not None
                opened = problem.code in {"licence", "rejected-lines"}
                does = "Enter mend" if mended else "Enter open" if opened else "j next   Esc back"
                ways.add((does, problem.code))
                await p.until(lambda d=does: d in self.footer(p))
                await p.press("j")
            assert {("Enter open", "licence"), ("Enter open", "rejected-lines")} < ways

    async def test_under_a_box_the_pane_offers_no_keys(self, folder):
        async with pane(folder) as p:
            await p.press("r")
            await p.shows("nothing was rejected")
            assert re.search("j k move +h l column +Enter whole cell +Esc back", p.text)
            assert "m clean" not in p.text
            await p.press("escape")
            await p.shows("m clean")

    async def test_rejects_stand_early_in_the_footer_when_there_are_some(self, folder):
        with (folder / "birds.csv").open("a", encoding="utf-8") as file:
            file.write("one,line,that,is,too,long,by,far\n")
        async with pane(folder, (80, 24)) as p:
            await p.until(lambda: "m clean   r rejects   / search" in self.footer(p))

    async def test_hidden_columns_are_told_of_with_the_key_that_shows_them(self, folder):
        async with pane(folder) as p:
            await p.press("minus")
            await p.shows(r"1 column hidden \(gv shows it\)")


class TestFinding:
    async def test_search_goes_to_the_next_hit_and_goes_on_from_the_other_end(self, folder):
        async with pane(folder) as p:
            await p.press("l", "slash")
            await p.type("biscoe")
            await p.press("enter")
            await p.until(lambda: p.screen.grid.cursor_row == 2)
            await p.press("n")
            await p.until(lambda: p.screen.grid.cursor_row == 5)
            await p.press("N")
            await p.until(lambda: p.screen.grid.cursor_row == 2)
            await p.press("N")
            await p.until(lambda: p.screen.grid.cursor_row == 59)
            await p.shows("found from the last row on")
            await p.press("n")
            await p.until(lambda: p.screen.grid.cursor_row == 2)
            await p.shows("found from the first row on")

    async def test_search_says_when_nothing_matches_and_when_a_pattern_cannot_be_read(self, folder):
        async with pane(folder) as p:
            for pattern, said in (("zebra", "no row matches 'zebra' in id: g/ looks in all"), ("([", "cannot be read")):
                await p.press("slash", *(["ctrl+u"] if p.screen.data.rows.pattern else []))
                await p.type(pattern)
                await p.press("enter")
                await p.shows(re.escape(said))

    async def test_keys_of_visidata_that_mean_nothing_here_say_what_does(self, folder):
        async with pane(folder) as p:
            await p.press("W")
            await p.shows("F counts the values of a column")
            await p.press("g", "e")
            await p.shows("e changes a value wherever it stands")
            await p.press("greater_than_sign", "z", "greater_than_sign")
            await p.press("B")
            await p.shows("B means nothing here")
            await p.press("j")
            await p.until(lambda: "means nothing here" not in p.text)

    async def test_the_next_selected_row_is_found_in_a_sorted_view_too(self, folder):
        async with pane(folder) as p:
            await p.press("j", "s", "left_square_bracket", "right_square_bracket")
            await p.shows("1  b059")
            await p.press("g", "g", "right_curly_bracket")
            await p.until(lambda: p.screen.grid.cursor_row == 58)
            await p.press("G", "left_curly_bracket")
            await p.until(lambda: p.screen.grid.cursor_row == 58)

    async def test_the_next_missing_value_and_the_next_other_one(self, folder):
        async with pane(folder) as p:
            await p.press("l", "l", "l", "z", "greater_than_sign")
            await p.until(lambda: p.screen.grid.cursor_row == 2)
            await p.press("greater_than_sign")
            await p.until(lambda: p.screen.grid.cursor_row == 3)

    async def test_a_column_by_some_letters_and_a_row_by_its_number(self, folder):
        async with pane(folder) as p:
            await p.press("c")
            await p.type("spc")
            await p.press("enter")
            await p.until(lambda: p.screen.column.name == "species")
            await p.press("z", "r")
            await p.type("42")
            await p.press("enter")
            await p.until(lambda: p.screen.grid.cursor_row == 41)

    async def test_sorting_is_marked_and_taken_away_by_the_same_key(self, folder):
        async with pane(folder) as p:
            await p.press("right_square_bracket")
            await p.shows("1  b059")
            assert "id ↓" in p.text.splitlines()[2]
            await p.press("right_square_bracket")
            await p.shows("1  b000")


class TestSelecting:
    async def test_all_rows_with_a_value_are_selected_seen_or_not_and_looked_at_alone(self, folder):
        async with pane(folder, (120, 20)) as p:
            await p.press("l", "comma")
            await p.until(lambda: len(p.screen.data.selected) == 20)
            await p.press("quotation_mark")
            await p.shows("20 of 60 rows · selected")
            await p.press("q")
            await p.shows("60 rows × 5")

    async def test_matching_rows_are_selected_by_a_pattern_in_any_column(self, folder):
        async with pane(folder) as p:
            await p.press("g", "vertical_line")
            await p.type("^(b00[0-3]|Gentoo)$")
            await p.press("enter")
            await p.until(lambda: len(p.screen.data.selected) == 32)
            await p.press("g", "u")
            await p.until(lambda: not p.screen.data.selected)

    async def test_selected_rows_are_left_out_by_a_step_that_names_them(self, folder):
        async with pane(folder) as p:
            await p.press("s", "s", "g", "d")
            await p.shows("2 rows")
            await p.press("enter")
            await p.until(lambda: p.steps and p.screen.data.view.rows == 58)
            assert p.steps[0].op == "filter"
            await p.press("U")
            await p.until(lambda: p.screen.data.view.rows == 60)

    @pytest.mark.parametrize("key", ["", "id", "mass"])
    async def test_rows_left_out_by_hand_are_told_of_in_words(self, folder, key):
        async with pane(folder) as p:
            columns = Columns(target="species", key=key)
            recipe = [Step(op="set_kind", params={"columns": ("mass",), "kind": "number"})]
            p.app.session.change(replace(p.app.session.project, columns=columns, clean=tuple(recipe)), "test")
            await p.until(lambda: not p.screen.data.waits("view") and p.screen.data.view.columns[2].kind == "number")
            await p.press("j", "j", "j", "d")
            await p.shows("leave out 1 row chosen by hand")
            await p.shows("1 row chosen by hand would be left out")
            await p.press("enter")
            await p.until(lambda: len(p.steps) == 2 and p.screen.data.view.rows == 59)
            await p.shows("step 2 added: leave out 1 row chosen by hand")
            await p.press("D")
            await p.shows(r"2 filter +1 row chosen")
            await p.until(lambda: p.screen.data.ledger and len(p.screen.data.ledger["steps"]) == 2)
            assert "1 row chosen by hand was left out" in " ".join(p.screen.data.ledger["words"])


class TestCleaning:
    async def test_a_step_is_counted_before_it_is_applied_and_can_be_taken_back(self, folder):
        async with pane(folder) as p:
            await p.press("l", "l", "j", "j", "j", "j", "m", "m")
            await p.shows("NA")
            await p.shows("1 cell")
            assert p.steps == ()
            await p.press("enter")
            await p.until(lambda: len(p.steps) == 1)
            await p.shows(r"mark_missing")
            await p.ready()
            await p.shows(r"5  b004 +Dream +·")
            await p.press("U")
            await p.until(lambda: p.steps == ())
            await p.press("R")
            await p.until(lambda: len(p.steps) == 1)

    async def test_a_mistake_in_an_expression_is_told_while_it_is_typed_and_never_applied(self, folder):
        async with pane(folder) as p:
            await p.press("colon")
            await p.type("keep only rows")
            await p.press("enter")
            await p.type("range(1000000000)")
            await p.press("enter")
            await p.shows("range")
            await p.press("enter")
            await p.until(lambda: isinstance(p.app.screen, StepForm))
            assert p.steps == ()
            await p.press("escape")
            await p.shows("60 rows × 5")

    async def test_typing_replaces_what_a_field_was_filled_with_and_backspace_edits_it(self, folder):
        async with pane(folder) as p:
            await p.press("l", "l")
            await p.until(lambda: p.screen.data.profile("mass") is not None)
            await p.press("f")
            field = p.app.screen.query_one("#field-value")
            await p.until(lambda: field.value == "3500" and not field.selection.is_empty)
            await p.type("12")
            assert field.value == "12"
            await p.press("escape", "f")
            field = p.app.screen.query_one("#field-value")
            await p.until(lambda: not field.selection.is_empty)
            await p.press("backspace", "7")
            assert field.value == "3507"
            await p.press("escape", "e")
            field = p.app.screen.query_one("#field-mapping")
            await p.until(lambda: field.has_focus)
            await p.type("9")
            assert field.value == "3500 → 9"

    async def test_a_value_that_is_edited_starts_as_it_is_and_becomes_missing_only_on_purpose(self, folder):
        async with pane(folder) as p:
            await p.press("l", "e")
            field = p.app.screen.query_one("#field-mapping")
            assert field.value == "Torgersen → Torgersen"
            await p.press("enter")
            await p.shows("'Torgersen' would stay as it is")
            assert isinstance(p.app.screen, StepForm)
            await p.press(*["backspace"] * len("Torgersen"))
            assert field.value == "Torgersen → "
            await p.shows("20 cells would become missing")
            assert p.text.count("Torgersen  →  ·") == 1
            await p.press("enter")
            await p.until(lambda: p.steps)
            assert p.steps[0].params["mapping"] == {"Torgersen": ""}
            await p.shows("step 1 added: map values to others; U takes it back")

    async def test_a_step_that_changes_nothing_wants_a_second_enter(self, folder):
        async with pane(folder) as p:
            await p.press("l", "m", "t")
            await p.shows("0 cells")
            await p.press("enter")
            await p.shows("nothing would change: Enter once more keeps the step")
            assert p.steps == ()
            await p.press("enter")
            await p.until(lambda: [s.op for s in p.steps] == ["trim"])

    async def test_leaving_out_the_target_wants_a_second_enter(self, folder):
        async with pane(folder) as p:
            await p.press("l", "l", "l", "l", "m", "x")
            await p.shows("species would be left out")
            await p.shows("species is what is to be predicted")
            await p.press("enter")
            await p.shows("species is what is to be predicted: Enter once more keeps the step")
            assert p.steps == ()
            await p.press("enter")
            await p.until(lambda: [s.op for s in p.steps] == ["drop_columns"])

    async def test_words_read_as_yes_or_no_are_shown_before_and_after(self, tmp_path):
        rows = [("id", "ill", "y"), *[(str(n), ("yes", "no")[n % 2], "ab"[n % 2]) for n in range(20)]]
        async with pane(birds(tmp_path / "ill", rows, target="y")) as p:
            await p.press("c")
            await p.type("ill")
            await p.press("enter", "percent_sign", "left", "left", "left")
            p.app.screen.query_one("#field-kind").chosen = 4
            await p.shows("yes +→ +true")

    async def test_the_kind_of_a_column_by_one_key(self, folder):
        async with pane(folder) as p:
            await p.press("l", "l", "number_sign")
            await p.shows("set the kind")
            await p.shows(r"cell")
            await p.press("enter")
            await p.until(lambda: len(p.steps) == 1)
            assert dict(p.steps[0].params) == {"columns": ("mass",), "kind": "number"}

    async def test_steps_are_moved_switched_off_edited_and_deleted_in_the_recipe(self, folder):
        async with pane(folder) as p:
            for keys in (("l", "m", "l", "enter"), ("m", "u", "enter")):
                before = len(p.steps)
                for key in keys:
                    await p.press(key)
                    if key in {"l", "u"} and isinstance(p.app.screen, StepForm):
                        await p.shows("would|cell")
                await p.until(lambda before=before: len(p.steps) == before + 1)
            await p.ready()
            await p.press("D", "K")
            await p.until(lambda: [s.op for s in p.steps] == ["upper", "lower"])
            await p.press("x")
            await p.until(lambda: not p.steps[0].enabled)
            await p.press("j", "d")
            await p.until(lambda: [s.op for s in p.steps] == ["upper"])
            await p.press("enter")
            await p.until(lambda: isinstance(p.app.screen, StepForm))
            await p.shows("island")
            await p.press("escape", "escape")
            await p.until(lambda: not isinstance(p.app.screen, StepForm))

    async def test_what_undo_said_makes_way_for_what_the_next_key_says(self, folder):
        async with pane(folder) as p:
            await p.press("l", "z", "i", "U")
            await p.shows("✓ taken back")
            await p.press("y")
            await p.shows("copied: ")
            assert "taken back" not in p.text

    async def test_the_target_is_another_column_by_two_keys(self, folder):
        async with pane(folder) as p:
            await p.press("l", "z", "t")
            await p.until(lambda: p.app.session.project.columns.target == "island")
            await p.shows("target")

    async def test_a_column_with_repeated_or_missing_values_does_not_become_the_key(self, folder):
        async with pane(folder) as p:
            await p.press("l", "l", "l", "exclamation_mark")
            await p.shows("sex does not identify rows: 2 values in 60 rows, 20 missing")
            assert p.app.session.project.columns.key == ""
            await p.press("h", "h", "h", "exclamation_mark")
            await p.shows("id identifies rows; U takes it back")
            assert p.app.session.project.columns.key == "id"
            await p.press("exclamation_mark")
            await p.until(lambda: p.app.session.project.columns.key == "")


class TestLookingCloser:
    async def test_facets_count_values_and_look_at_one(self, folder):
        async with pane(folder) as p:
            await p.press("l", "l", "l", "F")
            await p.shows(r"2 values in 60 rows")
            assert re.search(r"missing +20 +33 %", p.text)
            await p.press("G", "enter")
            await p.shows("20 of 60 rows · sex is")

    async def test_values_are_found_by_their_letters(self, folder):
        async with pane(folder) as p:
            await p.press("l", "F")
            await p.shows("3 values in 60 rows")
            await p.press("slash")
            await p.type("rea")
            await p.until(lambda: re.search("▸ +Dream +20 +33 %", p.text))
            assert not re.search("Torgersen +20 +33 %", p.text)
            await p.press("enter", "enter")
            await p.shows("20 of 60 rows · island is Dream")

    async def test_values_of_which_each_stands_in_one_row_are_not_listed(self, folder):
        async with pane(folder) as p:
            await p.press("F")
            await p.shows("every value is different: 60 values, each in one row")
            await p.press("e")
            await p.shows("e means nothing here")

    async def test_marks_out_of_sight_are_told_of_and_left_alone(self, folder):
        async with listed(folder, 40) as (p, wishes):
            await p.press("s", "slash")
            await p.type("val 03")
            await p.shows("1 marked, out of sight")
            await p.press("enter", "j", "d")
            await p.until(lambda: wishes == [("drop", ("val 031",))])
        async with listed(folder, 40) as (p, wishes):
            await p.press("s", "slash")
            await p.type("val 03")
            await p.shows("1 marked, out of sight")
            await p.press("enter", "j", "s", "s", "comma")
            await p.until(lambda: wishes == [("select", ("val 031", "val 032"))])

    async def test_marks_come_back_in_sight_with_all_values(self, folder):
        async with listed(folder, 40) as (p, wishes):
            await p.press("s", "slash")
            await p.type("val 03")
            await p.shows("1 marked, out of sight")
            await p.press("escape")
            await p.shows("40 values in 9 000 rows")
            await p.press("j", "enter")
            await p.until(lambda: wishes == [("look", ("val 000",))])

    async def test_letters_that_no_listed_value_holds_may_be_in_one_that_is_not_listed(self, folder):
        for distinct, said in (
            (5_000, "no value among the first 1 000 holds"),
            (1_000, "no value holds these letters"),
        ):
            async with listed(folder, 1_000, distinct) as (p, _wishes):
                await p.press("slash")
                await p.type("xyz")
                await p.shows(said)

    async def test_a_key_draws_the_values_in_sight_only(self, folder, monkeypatch):
        drawn = []

        def counting(count, rows):
            drawn.append(count)
            return share(count, rows)

        async with listed(folder, 1_000) as (p, _wishes):
            monkeypatch.setattr("epochal.tui.screens.data_facets.share", counting)
            await p.press("j")
            await p.shows("▸ +val 001")
            assert 0 < len(drawn) < 100
            await p.press("G")
            await p.shows("▸ +val 999")

    async def test_a_reject_is_read_whole(self, folder):
        with (folder / "birds.csv").open("a", encoding="utf-8") as file:
            file.write("one,line,that,is,too,long,by,far\n")
        async with pane(folder) as p:
            await p.press("r")
            await p.shows("1 reject")
            await p.press("enter")
            await p.shows("Reject 1")
            await p.shows("one,line,that,is,too,long,by,far")

    async def test_a_row_as_a_form_and_the_row_after_it(self, folder):
        async with pane(folder) as p:
            await p.press("enter")
            await p.shows(r"Row 1")
            await p.shows(r"species +target +Adelie")
            await p.press("J")
            await p.shows(r"species +target +Gentoo")

    async def test_the_account_the_rejects_and_the_sql(self, folder):
        async with pane(folder) as p:
            await p.press("a")
            await p.shows("every line is accounted for")
            await p.press("escape", "r")
            await p.shows("nothing was rejected")
            await p.press("escape", "z", "s")
            await p.shows("SELECT")

    async def test_a_cell_longer_than_the_screen_is_scrolled_and_its_keys_stay_in_sight(self, tmp_path):
        rows = [("id", "note", "y"), *[(str(n), f"note {n} " + "word " * 800 + "end", "ab"[n % 2]) for n in range(20)]]
        async with pane(birds(tmp_path / "long", rows, target="y"), (80, 24)) as p:
            await p.press("c")
            await p.type("note")
            await p.press("enter", "v")
            await p.shows("note 0 word")
            await p.shows("j k scroll")
            await p.press("G")
            await p.shows("word end")

    async def test_the_whole_cell(self, folder):
        async with pane(folder) as p:
            await p.press("v")
            await p.shows(r"row 1 +·|4 characters")


HOSTILE = "\x1b]52;c;QUFB\x07\x1b[2J\x9b6n\u202e[bold]x[/nope]"


async def test_hostile_cells_and_names_stand_there_as_text(tmp_path):
    rows = [("id", HOSTILE, "y"), *[(str(n), HOSTILE, "ab"[n % 2]) for n in range(30)]]
    async with pane(birds(tmp_path / "evil", rows, target="y")) as p:
        await p.shows(r"␛\]52")
        for keys in (("l",), ("F",), ("escape", "enter"), ("escape", "v"), ("escape", "m"), ("k",), ("escape", "e")):
            await p.press(*keys)
            await p.pilot.pause(0.2)
            assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", p.text)
        assert "[bold]x[/nope]" in p.text or "[bo" in p.text


class TestTheUnusual:
    async def test_a_problem_is_mended_by_one_key_and_that_is_a_step(self, folder):
        async with pane(folder) as p:
            await p.press("A")
            problems = p.screen.data.problems
            place = next(n for n, one in enumerate(problems) if one.step and one.step["op"] == "mark_missing")
            await p.press(*["j"] * place)
            assert p.screen.column.name == "mass"
            await p.press("enter")
            await p.until(lambda: [s.op for s in p.steps] == ["mark_missing"])
            await p.shows('step 1 added: mark values as missing, "NA" in mass; U takes it back')

    async def test_an_answer_that_comes_while_the_pane_is_taken_down_is_for_nobody(self, folder):
        """Widgets go one by one, the last first, as when a person quits while rows are read."""
        async with pane(folder) as p:
            await p.screen.query_one(KeyFooter).remove()
            await p.screen.query_one(NextLine).remove()
            for topic in ("head", "view", "columns", "selection", "problems"):
                p.screen._heard_data(topic)

    async def test_what_was_done_about_a_problem_is_told_not_what_was_proposed(self, folder):
        async with pane(folder) as p:
            await p.press("A")
            problems = p.screen.data.problems
            place = next(n for n, one in enumerate(problems) if one.setting and one.setting[0] == "columns.ignore")
            await p.press(*["j"] * place, "enter")
            await p.shows(f"✓? ?{problems[place].setting[1][-1]} is ignored; U takes it back")

    async def test_rows_sent_by_another_pane_are_shown_alone_and_q_returns(self, folder):
        async with pane(folder) as p:
            keys = tuple(p.screen.grid.pages.key(row) for row in (3, 17))
            await p.press("l", "l")
            p.app.session.rows_wanted = ShowRows(title="Adelie taken for Gentoo", keys=keys)
            p.app.session.changed("rows")
            await p.shows("2 of 60 rows · Adelie taken for Gentoo")
            await p.until(lambda: p.screen.grid.pages.has(1, "id"))
            assert [p.screen.grid.pages.cell(row, "id") for row in (0, 1)] == ["b003", "b017"]
            # Each goes by its own number, the column that was mistaken stands first.
            await p.shows(r"#4 +Gentoo +b003 +Torgersen")
            assert re.search(r"#18 +Gentoo +b017 ", p.text)
            assert p.screen.column.name == "species"
            await p.press("enter")
            await p.shows(r"Row #4 +of 2")
            await p.press("escape", "q")
            await p.shows("60 rows × 5")
            await p.shows(r" 4  b003 +Torgersen")
            assert p.screen.column.name == "mass"

    async def test_a_title_longer_than_the_line_ends_in_an_ellipsis(self, folder):
        async with pane(folder, (80, 24)) as p:
            keys = (p.screen.grid.pages.key(3),)
            p.app.session.rows_wanted = ShowRows(title="#4 " + "Adelie taken for Gentoo " * 9, keys=keys)
            p.app.session.changed("rows")
            await p.shows(r"1 of 60 rows · #4 Adelie taken .*…$")

    async def test_a_data_host_that_dies_is_started_again_and_the_rows_are_there(self, folder):
        async with pane(folder, (120, 20)) as p:
            os.kill(p.app.session.data.pid, signal.SIGKILL)
            await p.press("right_square_bracket")
            await p.shows("1  b059")

    async def test_a_source_that_is_gone_is_told_and_the_pane_lives(self, folder):
        (folder / "birds.csv").unlink()
        session = Session()
        session.open(folder)
        app = Workbench(session, first="data", config=folder / "no-config")
        try:
            async with app.run_test(size=(100, 30)) as pilot:
                p = Pane(app, pilot)
                await p.shows("✗ .*birds.csv")
                for key in ("j", "F", "enter", "z", "t"):
                    await p.press(key)
                    if key != "z":
                        await p.shows("there are no rows")
                await p.press("m")
                await p.shows("Clean")
        finally:
            session.close()
