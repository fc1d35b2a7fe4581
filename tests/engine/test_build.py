"""Snapshot and split: every row accounted for, the test set guarded, equal settings give equal ids."""

from dataclasses import replace

import duckdb
import pyarrow.parquet as pq
import pytest

from epochal.core.errors import EpochalError, SettingsError, SourceError, SplitChanged
from epochal.core.ledger import Ledger
from epochal.core.settings import parse_project, with_setting
from epochal.core.split import DEALT_ANEW
from epochal.data import sources
from epochal.data.build import build
from epochal.project.paths import ProjectPaths
from epochal.snapshot.manifest import open_snapshot, open_split


DIRT = [{"op": "set_kind", "columns": ["size"], "kind": "number"}]


def write(folder, rows=200, extra=""):
    lines = ["id,size,label,city,notes"]
    lines += [f"{i},{i}.5,{'yes' if i % 4 else 'no'},{['Oslo', 'Bergen', ''][i % 3]},n{i}" for i in range(rows)]
    (folder / "data.csv").write_text("\n".join(lines) + "\n" + extra, encoding="utf-8")


def make(folder, clean=DIRT, split=None, **columns):
    return parse_project(
        {
            "name": "p",
            "goal": {"task": "classification"},
            "source": [{"name": "s", "uri": "data.csv"}],
            "columns": {"target": "label", "ignore": ["notes"], "key": "id", **columns},
            "clean": clean,
            "split": split or {"kind": "stratified"},
        }
    )


def built(project, folder, accept=False):
    with duckdb.connect() as con:
        sources.load(con, project, folder, sources.silent)
        return build(con, project, folder, accept, sources.silent)


def recorded(project, settings):
    for dotted, value in settings.items():
        if dotted.startswith("source."):
            project = replace(project, sources=(replace(project.sources[0], sha256=value),))
        else:
            project = with_setting(project, dotted, value)
    return project


def test_the_ledger_explains_every_line(tmp_path):
    write(tmp_path, extra='forty,forty,yes,Oslo,n\nshort\n\n900,1,yes,Oslo,"a\nb"\n')
    clean = [*DIRT, {"op": "drop_missing", "columns": ["city"]}, {"op": "upper", "columns": ["city"]}]
    clean.insert(0, {"op": "trim", "columns": ["city"], "enabled": False})
    answer = built(make(tmp_path, clean), tmp_path)
    ledger = answer.ledger
    (source,) = ledger["sources"]
    assert ledger["sums"] is True
    assert Ledger.from_dict(ledger).as_dict() == ledger
    assert source == {
        "name": "s",
        "lines": 206,
        "header": 1,
        "blank": 1,
        "continuation": 1,
        "rejected": 1,
        "read": 202,
        "rejected_cells": 1,
    }
    assert [(s["n"], s["op"], s["removed"]) for s in ledger["steps"]] == [
        (2, "set_kind", 0),
        (3, "drop_missing", 66),
        (4, "upper", 0),
    ]
    assert ledger["steps"][2]["changed"] == ledger["kept"] == 136
    assert ledger["train"] + ledger["validation"] + ledger["test"] == 136


def test_snapshot_and_split_are_what_training_reads(tmp_path):
    write(tmp_path)
    answer = built(make(tmp_path), tmp_path)
    paths = ProjectPaths(tmp_path)
    snapshot = open_snapshot(paths.snapshots / answer.snapshot_id)
    split = open_split(paths.splits / answer.split_id)
    rows = pq.read_table(snapshot.folder / snapshot.files[0])
    parts = pq.read_table(split.folder / "parts.parquet")
    assert rows.column_names == ["_eid", "_key", "id", "size", "label", "city", "notes"]
    assert rows["_key"].to_pylist() == [str(i) for i in range(200)]
    assert rows["_eid"].equals(parts["_eid"])
    assert {n: parts["part"].to_pylist().count(i) for i, n in enumerate(("train", "validation", "test"))} == {
        "train": split.train,
        "validation": split.validation,
        "test": split.test,
    }
    assert (split.test, split.validation) == (40, 20)
    size = snapshot.column("size")
    assert (size.kind, size.type, size.missing, size.distinct) == ("number", "DOUBLE", 0, 200)
    assert snapshot.column("city").missing == 66
    assert answer.inputs == ("size", "city")
    assert answer.classes == ("no", "yes")


def test_recorded_settings_give_the_same_ids_and_nothing_more_to_record(tmp_path):
    write(tmp_path)
    project = make(tmp_path)
    first = built(project, tmp_path)
    assert set(first.settings) == {"split.cuts", "split.fingerprint", "source.s.sha256"}
    again = built(recorded(project, first.settings), tmp_path)
    assert (again.snapshot_id, again.split_id, again.fingerprint) == (
        first.snapshot_id,
        first.split_id,
        first.fingerprint,
    )
    assert again.settings == {}


def test_another_seed_writes_no_data_and_another_recipe_does(tmp_path):
    write(tmp_path)
    project = make(tmp_path)
    first = built(project, tmp_path)
    seed = built(with_setting(project, "split.seed", 1), tmp_path)
    recipe = built(make(tmp_path, [*DIRT, {"op": "lower", "columns": ["city"]}]), tmp_path)
    assert seed.snapshot_id == first.snapshot_id
    assert seed.split_id != first.split_id
    assert recipe.snapshot_id != first.snapshot_id


def test_a_deleted_cache_is_made_again_with_the_same_ids(tmp_path):
    import shutil

    write(tmp_path)
    project = make(tmp_path)
    first = built(project, tmp_path)
    shutil.rmtree(tmp_path / ".epochal")
    assert built(project, tmp_path) == first


def test_a_half_snapshot_is_replaced(tmp_path):
    write(tmp_path)
    project = make(tmp_path)
    first = built(project, tmp_path)
    (ProjectPaths(tmp_path).snapshots / first.snapshot_id / "manifest.toml").unlink()
    assert built(project, tmp_path) == first


def test_changed_data_that_moves_the_test_set_is_refused_until_accepted(tmp_path):
    write(tmp_path)
    project = make(tmp_path)
    project = recorded(project, built(project, tmp_path).settings)
    write(tmp_path, rows=260)
    with pytest.raises(SplitChanged) as caught:
        built(project, tmp_path)
    assert caught.value.exit_code == 2
    assert "40 rows were held out" in caught.value.what
    accepted = built(project, tmp_path, accept=True)
    assert accepted.fingerprint != project.split.fingerprint
    assert accepted.settings["split.fingerprint"] == accepted.fingerprint
    assert any("has changed since" in n for n in accepted.notices)
    assert built(recorded(project, accepted.settings), tmp_path).split_id == accepted.split_id


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"test": 0.3}, {"validation": 0.2}, {"kind": "random"}], ids=lambda c: next(iter(c))
)
def test_a_changed_split_drops_what_was_recorded_and_says_so(tmp_path, change):
    """However it was changed: by a command, or by hand in project.toml, where what was recorded stays in its place."""
    write(tmp_path)
    project = make(tmp_path)
    project = recorded(project, built(project, tmp_path).settings)
    changed = replace(project, split=replace(project.split, **change))

    answer = built(changed, tmp_path)

    assert answer.notices == (DEALT_ANEW,)
    kept = recorded(changed, answer.settings)
    fresh = built(make(tmp_path, split={"kind": "stratified", **change}), tmp_path)
    assert (answer.split_id, answer.fingerprint) == (fresh.split_id, fresh.fingerprint)
    assert bool(kept.split.cuts) == (kept.split.kind == "stratified")
    again = built(kept, tmp_path)
    assert (again.notices, again.settings, again.split_id) == ((), {}, answer.split_id)


def test_reordered_lines_change_nothing_about_the_split(tmp_path):
    write(tmp_path)
    project = make(tmp_path, key="")
    first = recorded(project, built(project, tmp_path).settings)
    head, *lines = (tmp_path / "data.csv").read_text(encoding="utf-8").splitlines()
    (tmp_path / "data.csv").write_text("\n".join([head, *lines[::-1]]) + "\n", encoding="utf-8")
    assert built(first, tmp_path).fingerprint == first.split.fingerprint


@pytest.mark.parametrize(
    ("columns", "clean", "code"),
    [
        ({"target": "lable"}, DIRT, "unknown-column"),
        ({"target": "city"}, DIRT, "target-missing"),
        ({"key": "nothing"}, DIRT, "unknown-column"),
        ({}, [{"op": "filter", "where": "label = 'yes'"}], "target-constant"),
        ({}, [{"op": "filter", "where": "label = 'maybe'"}], "no-rows"),
        ({}, [{"op": "lower", "columns": ["cty"]}], "unknown-column"),
        ({}, [{"op": "filter", "where": "read_text('/etc/passwd') IS NULL"}], "not-allowed"),
    ],
)
def test_what_does_not_fit_together_is_said(tmp_path, columns, clean, code):
    write(tmp_path)
    with pytest.raises(EpochalError) as caught:
        built(make(tmp_path, clean, **columns), tmp_path)
    assert caught.value.error_code == code
    assert caught.value.fix


def test_a_regression_needs_a_number(tmp_path):
    write(tmp_path)
    project = parse_project(
        {"name": "p", "goal": {"task": "regression"}, "source": [{"name": "s", "uri": "data.csv"}], "columns": {"target": "city"},
         "clean": [{"op": "drop_missing", "columns": ["city"]}]}
    )  # fmt: skip
    with pytest.raises(SettingsError, match="no number"):
        built(project, tmp_path)


def test_numbers_that_are_classes_are_names_in_their_order(tmp_path):
    (tmp_path / "data.csv").write_text("x,label\n" + "".join(f"{i},{i % 11}\n" for i in range(200)), encoding="utf-8")
    clean = [{"op": "set_kind", "columns": ["x", "label"], "kind": "number"}]
    project = parse_project(
        {"name": "p", "source": [{"name": "s", "uri": "data.csv"}], "columns": {"target": "label"}, "clean": clean}
    )
    answer = built(project, tmp_path)
    snapshot = open_snapshot(ProjectPaths(tmp_path).snapshots / answer.snapshot_id)
    assert answer.classes == tuple(str(i) for i in range(11))
    assert set(pq.read_table(snapshot.folder / snapshot.files[0])["label"].to_pylist()) == set(answer.classes)


def test_no_number_that_is_none_reaches_training(tmp_path):
    write(tmp_path)
    clean = [*DIRT, {"op": "compute", "column": "odd", "as": "size / (size - 0.5)"}]
    answer = built(make(tmp_path, clean), tmp_path)
    snapshot = open_snapshot(ProjectPaths(tmp_path).snapshots / answer.snapshot_id)
    assert snapshot.column("odd").missing == 1


def test_a_source_that_is_gone_is_named(tmp_path):
    with pytest.raises(SourceError, match="no such file"):
        built(make(tmp_path), tmp_path)


@pytest.mark.parametrize(
    "clean",
    [
        [{"op": "compute", "column": "number", "as": 'try(cast("city" as integer) + cast("city" as integer))'}],
        [
            {"op": "compute", "column": "number", "as": 'try(cast("city" as integer))'},
            {"op": "compute", "column": "again", "as": 'TRY (cast("city" as integer))'},
            {"op": "filter", "where": 'coalesce(try(cast("city" as integer)), try(cast("city" as integer)), 0) = 0'},
        ],
        [{"op": "compute", "column": "size", "as": 'try(cast("city" as double) / cast("city" as double))'}],
    ],
)
def test_what_is_tried_twice_still_fails_into_missing(tmp_path, clean):
    write(tmp_path)
    answer = built(make(tmp_path, clean), tmp_path)
    assert answer.ledger["kept"] == 200
    made = clean[0]["column"]
    rows = pq.read_table(next((ProjectPaths(tmp_path).snapshots / answer.snapshot_id).rglob("*.parquet")))
    assert rows[made].null_count == 200


def test_moving_a_step_that_is_off_renumbers_the_account_of_the_others(tmp_path):
    write(tmp_path)
    off, drop = {**DIRT[0], "enabled": False}, {"op": "drop_missing", "columns": ["city"]}
    before, after = (built(make(tmp_path, clean), tmp_path) for clean in ([off, drop], [drop, off]))
    assert before.snapshot_id == after.snapshot_id
    assert [(s["n"], s["removed"]) for s in before.ledger["steps"]] == [(2, 66)]
    assert [(s["n"], s["removed"]) for s in after.ledger["steps"]] == [(1, 66)]
