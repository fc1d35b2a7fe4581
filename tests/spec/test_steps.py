"""The cleaning steps as data: read strictly, written in one order, every one named once."""

from __future__ import annotations

import pytest

from epochal.core.byhand import rows_by_hand, without_rows
from epochal.core.errors import SettingsError
from epochal.core.steps import OPS, Step, nearest, parse_step


PRODUCT = [
    "select",
    "drop_columns",
    "rename",
    "set_kind",
    "trim",
    "lower",
    "upper",
    "collapse_spaces",
    "replace",
    "map_values",
    "mark_missing",
    "fill",
    "drop_missing",
    "drop_duplicates",
    "filter",
    "compute",
    "parse_date",
    "parse_number",
    "split_column",
    "clip",
]

GOOD = {
    "column": "a",
    "columns": ["a", "b"],
    "text": "x",
    "texts": ["x"],
    "number": 1.5,
    "integer": 2,
    "boolean": True,
    "expression": "a > 1",
    "mapping": {"a": "b"},
    "value": "x",
}
BAD = {
    "column": ["", 5, ["a"]],
    "columns": ["", [], [1], {}],
    "text": [1, None],
    "texts": [[], [1], 5],
    "number": ["1", True, float("inf"), float("nan")],
    "integer": [1.5, True, "1"],
    "boolean": [1, "true"],
    "expression": ["", 1],
    "mapping": [[], {"a": 1}],
    "value": [[], {}, float("nan")],
}


def table(op: str) -> dict:
    """A table of the step with every parameter that may stand together."""
    params = {p.name: p.choices[0] if p.choices else GOOD[p.type] for p in OPS[op].params}
    if op == "map_values":
        params.pop("file")
    return {"op": op, **params}


def test_every_step_the_product_names_is_there():
    assert list(OPS) == PRODUCT


def test_letters_and_keys_are_used_once():
    letters = [op.letter for op in OPS.values()]
    keys = [op.key for op in OPS.values() if op.key]
    assert len(set(letters)) == len(letters)
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("op", OPS)
class TestEachStep:
    def test_comes_back_from_its_table(self, op):
        step = parse_step(table(op))
        assert step.as_dict() == table(op)
        assert parse_step({**table(op), "enabled": False}).as_dict() == {**table(op), "enabled": False}

    def test_names_the_parameter_that_is_wrong(self, op):
        for param in OPS[op].params:
            for value in BAD[param.type] if param.name in table(op) else []:
                if param.type == "columns" and value == "":
                    continue
                with pytest.raises(SettingsError) as wrong:
                    parse_step({**table(op), param.name: value}, ("clean", 3))
                assert wrong.value.path == ("clean", 3, param.name)

    def test_names_the_parameter_that_is_missing_or_unknown(self, op):
        for param in (p for p in OPS[op].params if p.required):
            with pytest.raises(SettingsError, match=f"`{param.name}`"):
                parse_step({k: v for k, v in table(op).items() if k != param.name})
        with pytest.raises(SettingsError) as unknown:
            parse_step({**table(op), "enabeld": True})
        assert "enabled" in unknown.value.fix


def test_one_column_may_be_given_as_a_text():
    assert parse_step({"op": "trim", "columns": "a"}).columns == ("a",)


def test_a_step_that_could_do_nothing_is_refused():
    for empty in (
        {"op": "clip", "columns": ["a"]},
        {"op": "fill", "columns": ["a"]},
        {"op": "map_values", "column": "a"},
    ):
        with pytest.raises(SettingsError):
            parse_step(empty)


def test_a_range_that_ends_before_it_begins_is_refused():
    with pytest.raises(SettingsError) as refused:
        parse_step({"op": "clip", "columns": ["a"], "low": 10, "high": 2})
    assert (refused.value.what, refused.value.error_code) == (
        "step clip has a `low` of 10 above its `high` of 2",
        "wrong-range",
    )
    assert parse_step({"op": "clip", "columns": ["a"], "low": 2, "high": 2})


def test_what_is_missing_is_asked_for_with_an_example():
    with pytest.raises(SettingsError) as filled:
        parse_step({"op": "fill", "columns": ["a"]})
    assert "--set value=0" in filled.value.fix
    assert "median" in filled.value.fix
    with pytest.raises(SettingsError) as split:
        parse_step({"op": "split_column", "column": "a", "at": "", "into": ["b", "c"]})
    assert (split.value.error_code, split.value.fix) == (
        "missing-key",
        """a space is written in quotes: --set 'at=" "'""",
    )


def test_a_number_that_no_number_column_holds_is_refused():
    with pytest.raises(SettingsError) as refused:
        parse_step({"op": "clip", "columns": ["a"], "high": 10**400})
    assert "at most 1.8e308" in refused.value.fix
    assert parse_step({"op": "clip", "columns": ["a"], "high": 10**300})


@pytest.mark.parametrize("op", [None, 5, "", "trimm", ["trim"]])
def test_an_unknown_step_is_refused(op):
    with pytest.raises(SettingsError) as unknown:
        parse_step({"op": op})
    assert unknown.value.error_code == "unknown-step"


def test_a_step_cannot_be_changed_from_outside():
    params = {"columns": ("a",)}
    step = Step(op="trim", params=params)
    params["columns"] = ("b",)
    assert step.columns == ("a",)
    with pytest.raises(TypeError):
        step.params["columns"] = ("c",)


def test_the_nearest_word_is_one_that_is_like_it():
    assert (nearest("trian", ["train", "model"]), nearest("zzz", ["train"])) == ("train", "")


@pytest.mark.parametrize("keys", [["a"], ["it's", "b, 'c'", ""]])
@pytest.mark.parametrize("how", [{}, {"column": 'a"b'}, {"column": "a", "fraction": True}])
def test_rows_left_out_by_hand_are_recognised_by_their_condition(keys, how):
    assert rows_by_hand(without_rows(keys, **how)) == len(keys)


def test_other_conditions_leave_out_no_chosen_rows():
    chosen = without_rows(["a"])
    for other in (f"{chosen} AND true", f"NOT {chosen}", "a NOT IN ('b')", "CAST(\"a\" AS VARCHAR) NOT IN ('b')", None):
        assert not rows_by_hand(other)
