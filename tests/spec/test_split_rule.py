"""The split: the rule of `core.split` for all rows at once, shares exact at first, and nobody moved by new rows."""

from dataclasses import replace

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epochal.core.errors import SourceError, SplitChanged
from epochal.core.settings import Columns, SplitSettings
from epochal.core.split import DEALT_ANEW, PARTS, fraction, part_of, rows_of
from epochal.data.split import PARTS_TABLE, between, check_unchanged, fraction_sql, make_split


@pytest.fixture(scope="module")
def con():
    with duckdb.connect() as connection:
        yield connection


def deal(con, rows, types, split, **columns):
    """Split (key, values…) rows; parts by key, and what was settled."""
    names = ", ".join(f'"{n}" {t}' for n, t in types.items())
    con.execute(f"CREATE OR REPLACE TEMP TABLE rows_ (_eid BIGINT, _key VARCHAR{', ' * bool(names)}{names})")
    if rows:
        marks = ", ".join("?" * (2 + len(types)))
        con.executemany(f"INSERT INTO rows_ VALUES ({marks})", [[i, *row] for i, row in enumerate(rows)])  # noqa: S608 - our own text
    made = make_split(con, "rows_", types, split, Columns(**columns))
    found = con.execute(
        f"SELECT _key, {PARTS_TABLE}.part FROM rows_ JOIN {PARTS_TABLE} USING (_eid) ORDER BY _eid"  # noqa: S608 - likewise
    ).fetchall()
    return {key: PARTS[part] for key, part in found}, made


keys = st.lists(st.text(min_size=1, max_size=6).filter(lambda t: "\0" not in t), unique=True, min_size=1, max_size=30)


@given(keys=keys, seed=st.integers(0, 2**53))
@settings(max_examples=60, deadline=None)
def test_the_engine_computes_the_fraction_that_any_language_computes(con, keys, seed):
    keys = [k for k in keys if k.encode("utf-8", "replace").decode() == k]
    for key in keys:
        assert con.execute(f"SELECT {fraction_sql(seed, '$1::VARCHAR')}", [key]).fetchone()[0] == fraction(seed, key)


def test_random_rows_fall_where_the_rule_says(con):
    rows = [(f"k{i}",) for i in range(500)]
    parts, made = deal(con, rows, {}, SplitSettings(seed=7))
    assert parts == {k: part_of(fraction(7, k), test=0.2, validation_end=0.2 + 0.1) for (k,) in rows}
    assert (made.train, made.validation, made.test) == tuple(list(parts.values()).count(p) for p in PARTS)


@given(extra=st.sets(st.integers(1000, 2000), max_size=40), position=st.integers(0, 100))
@settings(max_examples=25, deadline=None)
def test_new_rows_anywhere_move_nobody(con, extra, position):
    old = [(f"k{i}", "ab"[i % 3 == 0]) for i in range(100)]
    split = SplitSettings(kind="stratified")
    before, made = deal(con, old, {"y": "VARCHAR"}, split, target="y")
    new = [*old[:position], *((f"k{i}", "abc"[i % 3]) for i in extra), *old[position:]]
    after, _ = deal(con, new, {"y": "VARCHAR"}, made.settings, target="y")
    assert {k: after[k] for k in before} == before


def test_stratified_shares_are_exact_at_first(con):
    rows = [(f"k{i}", "rare" if i % 10 == 0 else "common") for i in range(1000)]
    parts, made = deal(con, rows, {"y": "VARCHAR"}, SplitSettings(kind="stratified", seed=3), target="y")
    for name, n in (("rare", 100), ("common", 900)):
        own = [parts[k] for k, y in rows if y == name]
        assert (own.count("test"), own.count("validation")) == (0.2 * n, 0.1 * n)
    assert set(made.settings.cuts) == {"rare", "common"}
    assert all(0 <= a <= b <= 1 for a, b in made.settings.cuts.values())


def test_recorded_cuts_are_followed_and_a_new_class_gets_its_own(con):
    split = SplitSettings(kind="stratified", cuts={"a": (0.5, 0.5)})
    rows = [(f"k{i}", "ab"[i % 2]) for i in range(200)]
    parts, made = deal(con, rows, {"y": "VARCHAR"}, split, target="y")
    assert made.settings.cuts["a"] == (0.5, 0.5)
    assert all(parts[k] == ("test" if fraction(0, k) < 0.5 else "train") for k, y in rows if y == "a")
    assert [parts[k] for k, y in rows if y == "b"].count("test") == 20


def test_a_group_stays_on_one_side(con):
    rows = [(f"k{i}", f"g{i % 37}") for i in range(400)]
    parts, _ = deal(con, rows, {"who": "VARCHAR"}, SplitSettings(kind="group"), group="who")
    for group in {g for _, g in rows}:
        assert len({parts[k] for k, g in rows if g == group}) == 1
        assert parts[next(k for k, g in rows if g == group)] == part_of(
            fraction(0, group), test=0.2, validation_end=0.2 + 0.1
        )


def test_time_cuts_are_recorded_as_dates_and_later_rows_follow_them(con):
    rows = [(f"k{i}", f"2024-01-{i:02d}") for i in range(1, 31)]
    split = SplitSettings(kind="time")
    parts, made = deal(con, rows, {"at": "TIMESTAMP"}, split, time="at")
    assert (made.settings.validation_from, made.settings.test_from) == ("2024-01-22", "2024-01-25")
    assert [list(parts.values()).count(p) for p in PARTS] == [21, 3, 6]
    later, _ = deal(con, [*rows, ("new", "2025-05-05")], {"at": "TIMESTAMP"}, made.settings, time="at")
    assert later["new"] == "test"
    assert {k: later[k] for k in parts} == parts


def test_a_column_says_the_parts_and_other_words_are_mapped(con):
    split = SplitSettings(kind="column", column="fold", values={"dev": "validation"})
    rows = [("a", "train"), ("b", "dev"), ("c", "test")]
    assert deal(con, rows, {"fold": "VARCHAR"}, split)[0] == {"a": "train", "b": "validation", "c": "test"}
    with pytest.raises(SourceError, match="'x' for 1 rows") as caught:
        deal(con, [*rows, ("d", "x")], {"fold": "VARCHAR"}, split)
    assert caught.value.error_code == "unknown-part"


def test_a_column_that_is_not_there_is_named_with_the_nearest(con):
    with pytest.raises(SourceError, match="not there after cleaning") as caught:
        deal(con, [("a", "x")], {"sender": "VARCHAR"}, SplitSettings(kind="group"), group="sendr")
    assert "'sender'" in caught.value.fix


def test_the_fingerprint_tells_another_test_set_whatever_the_order(con):
    rows = [(f"k{i}",) for i in range(200)]
    _, made = deal(con, rows, {}, SplitSettings())
    _, turned = deal(con, rows[::-1], {}, SplitSettings())
    _, grown = deal(con, [*rows, *((f"n{i}",) for i in range(50))], {}, SplitSettings())
    assert made.settings.fingerprint == turned.settings.fingerprint != grown.settings.fingerprint
    assert made.settings.fingerprint.startswith(f"{made.test}-")
    check_unchanged("", made.settings.fingerprint)
    check_unchanged(made.settings.fingerprint, turned.settings.fingerprint)
    with pytest.raises(SplitChanged, match="rows were held out"):
        check_unchanged(made.settings.fingerprint, grown.settings.fingerprint)


def test_what_is_recorded_is_followed_only_while_the_rule_is_the_same(con):
    rows = [(f"k{i}", "rare" if i % 10 == 0 else "common") for i in range(1000)]
    _, made = deal(con, rows, {"y": "VARCHAR"}, SplitSettings(kind="stratified", seed=3), target="y")

    parts, other = deal(con, rows, {"y": "VARCHAR"}, replace(made.settings, seed=4), target="y")

    assert other.notices == (DEALT_ANEW,)
    check_unchanged(made.settings.fingerprint, other.settings.fingerprint)
    for name, n in (("rare", 100), ("common", 900)):
        own = [parts[k] for k, y in rows if y == name]
        assert (own.count("test"), own.count("validation")) == (0.2 * n, 0.1 * n)


def test_what_moves_nobody_drops_nothing(con):
    rows = [(f"k{i}", f"g{i % 37}") for i in range(400)]
    _, made = deal(con, rows, {"who": "VARCHAR"}, SplitSettings(kind="group"), group="who")
    _, again = deal(con, rows, {"who": "VARCHAR"}, replace(made.settings, column="x"), group="who", target="who")
    assert (again.notices, again.settings.fingerprint) == ((), made.settings.fingerprint)


def test_other_shares_choose_the_dates_anew_and_dates_of_a_person_stand(con):
    rows = [(f"k{i}", f"2024-01-{i:02d}") for i in range(1, 31)]
    _, made = deal(con, rows, {"at": "TIMESTAMP"}, SplitSettings(kind="time"), time="at")

    _, shares = deal(con, rows, {"at": "TIMESTAMP"}, replace(made.settings, test=0.1), time="at")
    _, dates = deal(con, rows, {"at": "TIMESTAMP"}, replace(made.settings, test=0.1, test_from="2024-01-30"), time="at")

    assert (shares.notices, shares.settings.test_from) == ((DEALT_ANEW,), "2024-01-28")
    assert (dates.notices, dates.settings.test_from) == ((DEALT_ANEW,), "2024-01-30")


def test_a_fingerprint_that_names_no_rule_still_guards_the_test_rows(con):
    rows = [(f"k{i}",) for i in range(200)]
    _, made = deal(con, rows, {}, SplitSettings())
    of_old = rows_of(made.settings.fingerprint)
    _, again = deal(con, rows, {}, SplitSettings(fingerprint=of_old))
    assert again.notices == ()
    check_unchanged(of_old, again.settings.fingerprint)
    _, other = deal(con, rows, {}, SplitSettings(fingerprint=of_old, seed=1))
    with pytest.raises(SplitChanged) as refused:
        check_unchanged(of_old, other.settings.fingerprint)
    assert "[split] changed on purpose" in refused.value.fix


@given(st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True))
@settings(deadline=None)
def test_a_cut_lies_between_and_is_short_where_it_can_be(a, b):
    low, high = sorted((a, b))
    cut = between(low, high)
    assert low < cut <= high or low == high == cut
    if high - low > 0.001:
        assert len(repr(cut)) <= 6


def test_a_column_may_be_called_like_what_a_split_is_made_of(con):
    rows = [(f"k{i}", str(i % 7), str(i % 5)) for i in range(60)]
    parts, made = deal(con, rows, {"part": "VARCHAR", "u": "VARCHAR"}, SplitSettings())

    assert parts == deal(con, rows, {"a": "VARCHAR", "b": "VARCHAR"}, SplitSettings())[0]
    assert made.train + made.validation + made.test == 60
