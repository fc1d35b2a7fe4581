"""What the data pane says: columns, recipe, account, histograms; and forms read back what they show."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epochal.core.errors import SettingsError
from epochal.core.settings import Columns, Project
from epochal.core.steps import OPS, Param, Step, parse_step
from epochal.data.protocol import ColumnInfo, View
from epochal.show import safe
from epochal.workbench.views.choose import ranked
from epochal.workbench.views.data import (
    Query,
    column_views,
    figure,
    headline,
    ledger_line,
    number,
    recipe_lines,
    share,
    step_words,
    tall_bars,
)
from epochal.workbench.views.forms import (
    actual,
    field_text,
    field_value,
    keep_all_but,
    list_text,
    step_from_fields,
    suggested,
    text_list,
    ungrouped,
    visible,
)


def column(name: str, width: int = 5, **more: object) -> ColumnInfo:
    return ColumnInfo(
        **{"name": name, "title": name, "kind": "number", "type": "DOUBLE", "width": width, "right": True, **more}
    )


def columns_shown(project: Project, query: Query | None = None, **more: object):
    infos = [column("id"), column("a"), column("b"), column("y")]
    return column_views(infos, project, query or Query(), frozenset(more.get("hidden", ())), more.get("widths", {}))


class TestColumns:
    def test_ignored_ones_stand_at_the_end_and_say_so(self):
        shown = columns_shown(Project(name="p", columns=Columns(target="y", ignore=("id",))))
        assert [(c.name, c.role) for c in shown] == [("a", ""), ("b", ""), ("y", "target"), ("id", "ignored")]

    def test_hidden_ones_are_not_there(self):
        assert [c.name for c in columns_shown(Project(name="p"), hidden=("a", "y"))] == ["id", "b"]

    def test_a_sort_is_marked_with_its_place_when_there_are_several(self):
        one = columns_shown(Project(name="p"), Query(sort=(("a", False),)))
        two = columns_shown(Project(name="p"), Query(sort=(("a", False), ("b", True))))
        assert [c.sort for c in one] == ["", "↑", "", ""]
        assert [c.sort for c in two] == ["", "↑1", "↓2", ""]

    def test_a_long_name_does_not_make_a_narrow_column_wide(self):
        (shown,) = column_views([column("a very long name indeed")], Project(name="p"), Query(), frozenset(), {})
        assert shown.width == 12

    def test_long_values_take_the_room_that_is_left(self):
        infos = [column("a", 5), column("b", 40)]
        widths = [
            [c.width for c in column_views(infos, Project(name="p"), Query(), frozenset(), {}, room=room)]
            for room in (0, 46, 200)
        ]
        assert widths == [[6, 28], [6, 36], [6, 40]]


def view(rows: int, total: int) -> View:
    return View(token="", rows=rows, total=total, columns=(column("a"), column("b")))


class TestTheLineAboveTheGrid:
    def test_all_rows(self):
        assert headline("p.csv", Query(), view(344, 344), read=344, hidden=0) == "p.csv · 344 rows × 2"

    def test_rows_that_cleaning_left_out_are_told(self):
        text = headline("p.csv", Query(), view(342, 342), read=344, hidden=0)
        assert text == "p.csv · 344 rows × 2 · 342 after cleaning"

    def test_some_rows_say_of_how_many_and_which(self):
        text = headline("p.csv", Query(title="Sex is missing"), view(9, 342), read=344, hidden=2)
        assert text == "p.csv · 9 of 342 rows · Sex is missing · 2 columns hidden (gv shows them)"


class TestTheRecipe:
    STEPS = (
        Step(op="mark_missing", params={"values": ("NA",)}),
        Step(op="drop_missing", params={"columns": ("mass",)}),
        Step(op="trim", params={"columns": ("a", "b", "c")}, enabled=False),
    )

    def test_each_step_tells_what_it_did(self):
        ledger = {"steps": [{"n": 1, "removed": 0, "changed": 336}, {"n": 2, "removed": 2, "changed": 0}]}
        lines = recipe_lines(self.STEPS, ledger)
        assert [(line.what, line.effect) for line in lines] == [
            ('"NA"', "336 cells"),
            ("mass", "−2 rows"),
            ("3 columns", "off"),
        ]

    def test_nothing_is_claimed_before_it_is_counted(self):
        assert [line.effect for line in recipe_lines(self.STEPS, None)] == ["", "", "off"]

    @pytest.mark.parametrize(
        ("table", "words"),
        [
            ({"op": "rename", "column": "a", "to": "b"}, "a → b"),
            ({"op": "filter", "where": "x > 0"}, "x > 0"),
            ({"op": "compute", "column": "r", "as": "a / b"}, "r = a / b"),
            (
                {"op": "map_values", "column": "s", "mapping": {"m": "male", "f": "female", "w": "female"}},
                "s m → male, f → female and 1 more",
            ),
            ({"op": "clip", "columns": ["a"], "low": 0, "high": 1}, "a 0 … 1"),
            ({"op": "drop_duplicates"}, "all columns"),
        ],
    )
    def test_is_told_in_few_words(self, table, words):
        assert step_words(parse_step(table)) == words

    def test_a_step_of_a_hostile_project_cannot_reach_the_terminal(self):
        words = step_words(Step(op="filter", params={"where": "x = '\x1b]52;c;AAAA\x07'"}))
        assert words == safe(words)


def test_the_account_is_cut_to_what_fits():
    ledger = {"train": 239, "validation": 34, "test": 69, "kept": 342}
    assert ledger_line(ledger, 60) == "342 = 239 train + 34 validation + 69 test"
    assert ledger_line(ledger, 38) == "342 = 239 train + 34 val. + 69 test"
    assert ledger_line(ledger, 20) == "342 = 239 + 34 + 69"
    assert ledger_line(ledger, 14) == "239 + 34 + 69"
    assert ledger_line(None, 60) == ""


@pytest.mark.parametrize(
    ("table", "effect"),
    [
        ({"op": "compute", "column": "r", "as": "a / b"}, "+1 column"),
        ({"op": "split_column", "column": "a", "at": "-", "into": ["b", "c"]}, "+2 columns"),
        ({"op": "drop_columns", "columns": ["a", "b"]}, "−2 columns"),
        ({"op": "select", "columns": ["a"]}, "1 column kept"),
        ({"op": "rename", "column": "a", "to": "b"}, "1 name"),
        ({"op": "trim", "columns": ["a"]}, "0 cells"),
    ],
)
def test_a_step_that_touches_no_cell_says_what_it_does_to_columns(table, effect):
    ledger = {"steps": [{"n": 1, "op": table["op"], "removed": 0, "changed": 0}]}
    assert [line.effect for line in recipe_lines([parse_step(table)], ledger)] == [effect]


class TestAHistogram:
    SIGNS = "▁▂▃▄▅▆▇█"

    def test_is_as_wide_as_it_may_be_and_a_rare_value_still_shows(self):
        assert tall_bars((0, 1, 800), 6, 1, self.SIGNS) == ("  ▁▁██",)

    def test_several_lines_stack(self):
        assert tall_bars((1, 2, 4), 3, 2, self.SIGNS) == ("  █", "▄██")

    def test_more_bins_than_cells_are_joined(self):
        assert tall_bars((1, 1, 2, 2), 2, 1, self.SIGNS) == ("▄█",)

    def test_nothing_is_drawn_of_nothing(self):
        assert tall_bars((), 5, 2, self.SIGNS) == ("", "")


TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)


class TestForms:
    @given(st.lists(TEXTS, min_size=1, max_size=4))
    def test_a_list_is_read_back_as_it_was_shown(self, values):
        assert text_list(list_text(values)) == tuple(values)

    @given(TEXTS)
    def test_what_could_act_on_a_terminal_is_shown_and_read_back(self, text):
        shown = visible(text)
        assert safe(shown, 1000) == shown
        if "\\u{" not in text:
            assert actual(shown) == text

    @pytest.mark.parametrize(
        "table",
        [
            {"op": "mark_missing", "columns": ["a", "b, c"], "values": ["NA", "-", ""]},
            {"op": "fill", "columns": ["age"], "value": 28.5},
            {"op": "fill", "columns": ["sex"], "value": "unknown"},
            {"op": "replace", "columns": ["a"], "find": " +", "with": " ", "regex": True},
            {"op": "map_values", "column": "s", "mapping": {"m": "male", "f": "female"}},
            {"op": "clip", "columns": ["a"], "low": -1, "high": 0.5},
            {"op": "split_column", "column": "name", "at": ", ", "into": ["last", "first"]},
            {"op": "set_kind", "columns": ["a"], "kind": "category"},
        ],
    )
    def test_a_step_goes_through_the_form_unchanged(self, table):
        step = parse_step(table)
        texts = {p.name: field_text(p, step.params.get(p.name, p.default)) for p in OPS[step.op].params}
        assert step_from_fields(OPS[step.op], texts) == step

    def test_a_column_under_the_cursor_is_already_filled_in(self):
        assert suggested("set_kind", ["a, b"])["columns"] == '"a, b"'
        assert suggested("rename", ["a"])["column"] == "a"

    @pytest.mark.parametrize(
        ("value", "shown"), [(1_000_000, "1 000 000"), (-12_345.5, "-12 345.5"), (2024, "2024"), (1e20, "1e+20")]
    )
    def test_a_long_number_is_grouped_as_elsewhere_and_read_back(self, value, shown):
        bound = Param(name="low", type="number", meaning="")
        assert field_text(bound, value) == shown
        assert field_value(bound, shown) == value
        step = parse_step({"op": "clip", "columns": ["a"], "low": value})
        assert recipe_lines((step,), None)[0].what == f"a {shown} … "

    def test_a_number_in_other_groups_is_refused(self):
        with pytest.raises(SettingsError, match="no number"):
            field_value(Param(name="low", type="number", meaning=""), "1 00")

    @pytest.mark.parametrize(
        ("text", "plain"),
        [(" +1 000.5", "+1000.5"), ("1 000.", "1000."), ("12 00", "12 00"), ("30 s", "30 s"), ("١ ٠٠٠", "١ ٠٠٠")],
    )
    def test_thousands_apart_are_one_number_wherever_it_is_typed(self, text, plain):
        assert ungrouped(text) == plain

    def test_a_number_that_is_none_is_refused_with_what_was_expected(self):
        with pytest.raises(SettingsError, match="no number"):
            field_value(Param(name="low", type="number", meaning=""), "ten")

    def test_a_mapping_without_an_arrow_is_refused(self):
        with pytest.raises(SettingsError, match="no pair"):
            field_value(Param(name="mapping", type="mapping", meaning=""), "male")

    def test_leaving_values_out_keeps_missing_ones_unless_they_are_meant(self):
        assert keep_all_but('a"b', ["it's"]) == '("a""b" IS NULL OR CAST("a""b" AS VARCHAR) NOT IN (\'it\'\'s\'))'
        assert keep_all_but("a", [None]) == '"a" IS NOT NULL'
        assert keep_all_but("a", ["x", None]) == 'CAST("a" AS VARCHAR) NOT IN (\'x\') AND "a" IS NOT NULL'


class TestFindingAName:
    NAMES = ("Culmen Length (mm)", "Culmen Depth (mm)", "Flipper Length (mm)", "Sex", "Delta 15 N")

    def test_the_beginning_comes_before_the_middle_and_that_before_letters_apart(self):
        assert [self.NAMES[n] for n in ranked("de", self.NAMES)][:2] == ["Delta 15 N", "Culmen Depth (mm)"]

    def test_letters_apart_are_enough(self):
        assert self.NAMES[ranked("fll", self.NAMES)[0]] == "Flipper Length (mm)"

    def test_nothing_is_found_that_is_not_there(self):
        assert ranked("xyz", self.NAMES) == []


def test_numbers_are_grouped():
    assert number(1313) == "1 313"


def test_figures_are_short_and_never_in_powers_of_ten_that_people_do_not_read():
    assert [figure(v) for v in (44.45, 0.04712, 499999.5, 250000.0, 12345.678, 9999.6, None)] == [
        "44.45", "0.04712", "500 000", "250 000", "12 346", "10 000", "–",
    ]  # fmt: skip


def test_shares_are_never_nought_for_something():
    assert [share(*c) for c in ((151, 342), (1, 342), (1, 1_000_000), (0, 5), (5, 5))] == [
        "44 %", "0.3 %", "<0.1 %", "0 %", "100 %",
    ]  # fmt: skip
