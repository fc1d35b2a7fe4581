"""Two changes of one project: both hold where they do not touch, and neither is lost where they do."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from epochal.core.errors import EpochalError
from epochal.core.settings import Columns, Goal, Model, Project, Source, SplitSettings, Train
from epochal.core.steps import Step
from epochal.project.merge import merge


def step(name: str, *, op: str = "trim", enabled: bool = True) -> Step:
    return Step(op=op, params={"columns": (name,)}, enabled=enabled)


BASE = Project(name="x", clean=tuple(step(c) for c in "abcd"), sources=(Source(name="s", uri="u"),))


def names(project: Project) -> str:
    return "".join(s.columns[0] for s in project.clean)


def with_steps(names: str) -> Project:
    known = {s.columns[0]: s for s in BASE.clean}
    return replace(BASE, clean=tuple(known.get(n) or step(n, op="lower") for n in names))


@pytest.mark.parametrize(
    ("ours", "theirs", "both"),
    [
        ("abcdx", "abcdy", "abcdyx"),
        ("xabcd", "yabcd", "yxabcd"),
        ("abcdx", "abcdx", "abcdx"),
        ("acd", "abcdy", "acdy"),
        ("acd", "abd", "ad"),
        ("acd", "acd", "acd"),
        ("bacd", "abcdy", "bacdy"),
        ("abcdy", "dcba", "dcbay"),
        ("axbcd", "bcd", "xbcd"),
        ("", "abcdy", "y"),
        ("dcba", "dcbay", "dcbay"),
    ],
)
def test_steps_changed_in_different_places_are_joined(ours, theirs, both):
    assert names(merge(BASE, with_steps(ours), with_steps(theirs))) == both


def test_steps_moved_differently_are_a_conflict():
    with pytest.raises(EpochalError, match="order of steps"):
        merge(BASE, with_steps("bacd"), with_steps("abdc"))


def test_a_step_edited_here_and_moved_there_is_both():
    ours = replace(BASE, clean=(step("a", enabled=False), *BASE.clean[1:]))
    merged = merge(BASE, ours, with_steps("bcda"))
    assert [(s.columns[0], s.enabled) for s in merged.clean] == [("b", True), ("c", True), ("d", True), ("a", False)]


@pytest.mark.parametrize("theirs", ["bcd", "edited"])
def test_a_step_edited_here_and_edited_or_deleted_there_is_a_conflict_that_names_it(theirs):
    ours = replace(BASE, clean=(step("a", enabled=False), *BASE.clean[1:]))
    other = with_steps(theirs) if theirs != "edited" else replace(BASE, clean=(step("z"), *BASE.clean[1:]))
    with pytest.raises(EpochalError, match="step 1") as conflict:
        merge(BASE, ours, other)
    assert conflict.value.error_code == "edit-conflict"


def test_keys_of_one_table_changed_apart_are_joined():
    ours = replace(BASE, goal=Goal(question="Why?"), columns=Columns(kinds={"a": "text"}))
    theirs = replace(BASE, goal=Goal(at_least=0.9), columns=Columns(target="t", kinds={"b": "text"}), name="y")
    merged = merge(BASE, ours, theirs)
    assert merged.goal == Goal(question="Why?", at_least=0.9)
    assert merged.columns == Columns(target="t", kinds={"a": "text", "b": "text"})
    assert merged.name == "y"


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"train": Train(epochs=3)}, {"train": Train(epochs=4)}),
        ({"columns": Columns(kinds={"a": "text"})}, {"columns": Columns(kinds={"a": "number"})}),
        ({"split": SplitSettings(seed=1)}, {"split": SplitSettings(fingerprint="f")}),
        ({"model": Model(family="mlp")}, {"model": Model(family="trees", options={"leaves": 9})}),
        ({"name": "y"}, {"name": "z"}),
        ({"sources": (Source(name="s", uri="v"),)}, {"sources": (Source(name="s", uri="w"),)}),
        ({"sources": (Source(name="s", uri="v"),)}, {"sources": ()}),
    ],
)
def test_one_thing_changed_twice_is_a_conflict(ours, theirs):
    with pytest.raises(EpochalError):
        merge(BASE, replace(BASE, **ours), replace(BASE, **theirs))


def test_two_that_cannot_stand_together_are_an_error():
    ours = replace(BASE, goal=Goal(metric="accuracy"))
    theirs = replace(BASE, goal=Goal(task="regression"))
    with pytest.raises(EpochalError):
        merge(BASE, ours, theirs)


SIDES = st.builds(
    lambda order, drop, fresh, epochs, seed: (order, drop, fresh, epochs, seed),
    st.permutations("abcd"),
    st.sets(st.sampled_from("abcd")),
    st.text("xyz", max_size=2),
    st.sampled_from(["auto", 3, 4]),
    st.sampled_from([0, 5]),
)


def side(order, drop, fresh, epochs, seed) -> Project:
    kept = "".join(c for c in order if c not in drop)
    return replace(with_steps(kept + fresh), train=Train(epochs=epochs, seed=seed))


@given(SIDES, SIDES)
def test_no_change_is_ever_lost(mine, others):
    ours, theirs = side(*mine), side(*others)
    try:
        merged = merge(BASE, ours, theirs)
    except EpochalError:
        assume(False)
        return
    gone = (mine[1] | others[1]) & set("abcd")
    assert set(names(merged)) & set("abcd") == set("abcd") - gone
    for fresh in (mine[2], others[2]):
        assert [c for c in names(merged) if c in fresh][: len(fresh)] or not fresh
        assert all(names(merged).count(c) >= fresh.count(c) for c in fresh)
    for value in ("epochs", "seed"):
        changed = {getattr(p.train, value) for p in (ours, theirs)} - {getattr(BASE.train, value)}
        assert {getattr(merged.train, value)} == (changed or {getattr(BASE.train, value)})


@given(SIDES)
def test_a_change_made_by_one_alone_is_what_comes_out(mine):
    ours = side(*mine)
    assert merge(BASE, ours, BASE) == merge(BASE, BASE, ours) == merge(BASE, ours, ours) == ours
