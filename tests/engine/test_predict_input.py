"""New rows for a model: every row back, in order, with a note on what cleaning would have done."""

import csv

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from epochal.core.byhand import without_rows
from epochal.core.errors import SourceError
from epochal.core.settings import parse_project
from epochal.data import sources
from epochal.data.predict_input import prepare, write_predictions
from epochal.data.sql import TRY_APART


CLEAN = [
    {"op": "rename", "column": "y", "to": "label"},
    {"op": "mark_missing", "columns": ["c", "label"], "values": ["NA"]},
    {"op": "set_kind", "columns": ["b", "label"], "kind": "number"},
    {"op": "drop_missing", "columns": ["c", "label"]},
    {"op": "filter", "where": "label > 3"},
    {"op": "filter", "where": "b > 1"},
    {"op": "compute", "column": "twice", "as": "b * 2"},
    {"op": "drop_duplicates"},
]


@pytest.fixture
def read(tmp_path):
    into = tmp_path / "into"
    into.mkdir()

    def reading(text, inputs=("b", "twice", "c"), clean=CLEAN, types=None, **said):
        (tmp_path / "new.csv").write_bytes(text.encode() if isinstance(text, str) else text)
        document = {
            "name": "p",
            "source": [{"name": "s", "uri": "old.csv", **said}],
            "columns": {"target": "label"},
            "clean": clean,
        }
        with duckdb.connect() as con:
            con.execute("SET python_enable_replacements=false; SET enable_external_access=false")
            con.execute(TRY_APART)
            told = prepare(
                con,
                parse_project(document),
                tmp_path,
                uri="new.csv",
                inputs=inputs,
                into=into,
                report=sources.silent,
                types=types,
            )
        return told, pq.read_table(into / "rows.parquet"), into

    return reading


def test_no_row_is_dropped_and_each_is_noted_in_words(read):
    told, rows, _ = read("id,b,c\n1,2,x\n2,forty,x\n3,1,x\n4,5,NA\n5,9,y\n5,9,y\n")
    assert told == {"rows": 6, "columns": ["id", "b", "c"]}
    assert rows.column_names == ["_eid", "b", "twice", "c", "_note"]
    assert rows["_eid"].to_pylist() == list(range(6))
    assert rows["twice"].to_pylist() == [4.0, None, 2.0, 10.0, 18.0, 18.0]
    assert rows["_note"].to_pylist() == [
        None,
        "cleaning would leave it out (step 6): it is not b > 1; b: cannot be read: forty",
        "cleaning would leave it out (step 6): it is not b > 1",
        "cleaning would leave it out (step 4): c is missing",
        None,
        "cleaning would leave it out (step 8): it repeats an earlier row",
    ]


def test_a_file_of_a_row_is_read_as_the_projects_own(read):
    told, rows, _ = read("  b    c\n  2    x\n", inputs=("b", "c"), clean=[], delimiter=" ")
    assert (told["columns"], rows["b"].to_pylist(), rows["c"].to_pylist()) == (["b", "c"], ["2"], ["x"])
    told, rows, _ = read("b\n  2\n", inputs=("b",), clean=[], delimiter=" ")
    assert (told["rows"], rows["b"].to_pylist()) == (1, ["2"])
    told, rows, _ = read("b;c\n'2;3';x\n", inputs=("b", "c"), clean=[], delimiter=";", quote="'")
    assert rows["b"].to_pylist() == ["2;3"]
    told, _, _ = read("1;2\n", inputs=("column_1",), clean=[], delimiter=";", header=False)
    assert told["rows"] == 1


def test_a_file_written_otherwise_than_the_projects_own_is_read_as_it_is(read):
    told, rows, _ = read("first name,b,c\nAnn Lee,2,x y\n", inputs=("b", "c"), clean=[], delimiter=" ")
    assert told["columns"] == ["first name", "b", "c"]
    assert rows["c"].to_pylist() == ["x y"]


def test_a_target_that_is_there_changes_nothing(read):
    _, without, _ = read("b,c\n2,x\n5,z\n")
    _, beside, _ = read("b,c,y\n2,x,1\n5,z,NA\n")
    _, renamed, _ = read("b,c,label\n2,x,1\n5,z,\n")
    assert without.equals(beside)
    assert without.equals(renamed)


def test_a_row_that_was_left_out_by_hand_is_noted_in_words(read):
    left_out = {"op": "filter", "where": without_rows(["n2"], "id")}
    _, rows, _ = read("id,b\nn1,2\nn2,3\n", inputs=("b",), clean=[left_out])
    assert rows["_note"].to_pylist() == [None, "cleaning would leave it out (step 1): it was chosen by hand"]


def test_uneven_lines_are_predicted_and_noted(read):
    _, rows, into = read("b,c\n2,x\n5\n7,z,more\n")
    assert rows["b"].to_pylist() == [2.0, 5.0, 7.0]
    assert rows["_note"].to_pylist() == [
        None,
        "cleaning would leave it out (step 4): c is missing; the line has too few fields",
        "the line has too many fields",
    ]
    assert pq.read_table(into / "raw.parquet").to_pylist()[1] == {"_eid": 1, "b": "5", "c": None}


def test_a_line_that_cannot_be_read_at_all_is_an_error_and_not_a_hole(read):
    with pytest.raises(SourceError, match="line 3 cannot be read") as caught:
        read('b,c\n1,x\n"2,x\n3,x\n')
    assert caught.value.error_code == "unreadable-line"


def test_missing_columns_are_named(read):
    with pytest.raises(SourceError, match="1 of the 3 columns the model needs are not there: c") as caught:
        read("b,C c\n1,2\n")
    assert caught.value.error_code == "missing-columns"
    with pytest.raises(SourceError, match=r"b, twice"):
        read("c\nx\n")


def test_rows_without_any_are_no_error(read):
    told, rows, _ = read("b,c\n")
    assert (told["rows"], rows.num_rows) == (0, 0)


def predicted(into, count):
    said = {"prediction": [f"p{i}" for i in range(count)], "probability_a": [0.5] * count, "note": [None] * count}
    pq.write_table(pa.table({"_eid": pa.array(range(count), pa.int64()), **said}), into / "predictions.parquet")


def test_predictions_stand_beside_the_unchanged_rows(read, tmp_path):
    text = 'id,b,c,note\n007,2,"l1\nl2",mine\n008,, z ,\n'
    _, _, into = read(text)
    predicted(into, 2)
    assert write_predictions(into, tmp_path / "out.csv") == {"rows": 2}
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [
            ["id", "b", "c", "note", "prediction", "probability_a", "note_2"],
            ["007", "2", "l1\nl2", "mine", "p0", "0.5", ""],
            ["008", "", " z ", "", "p1", "0.5", ""],
        ]
    write_predictions(into, tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet")["prediction"].to_pylist() == ["p0", "p1"]
    write_predictions(into, tmp_path / "out.jsonl")
    assert len((tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()) == 2


def test_a_failure_leaves_the_old_file(read, tmp_path):
    _, _, into = read("b,c\n1,2\n3,4\n")
    predicted(into, 1)
    (tmp_path / "out.csv").write_text("old", encoding="utf-8")
    with pytest.raises(SourceError, match="2 rows were read and 1 predicted"):
        write_predictions(into, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text(encoding="utf-8") == "old"
    with pytest.raises(SourceError, match=r"cannot be written as \.xlsx"):
        write_predictions(into, tmp_path / "out.xlsx")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["into", "new.csv", "out.csv"]


HARD = [
    {"op": "compute", "column": "v", "as": "cast(substr(g, 2) as int) + cast(substr(g, 2) as int)"},
    {"op": "filter", "where": "cast(substr(g, 2) as int) < 9"},
    {"op": "set_kind", "columns": ["b"], "kind": "number"},
    {"op": "compute", "column": "w", "as": "v * 2"},
]


def test_a_value_that_a_step_fails_on_is_missing_and_noted_and_the_others_are_predicted(read):
    _, rows, _ = read("g,b\na1,1\nother,2\na9,x\na2,3\n", inputs=("v", "w", "b"), clean=HARD)
    assert rows["v"].to_pylist() == [2, None, 18, 4]
    assert rows["w"].to_pylist() == [4, None, 36, 8]
    assert rows["b"].to_pylist() == [1.0, 2.0, None, 3.0]
    assert rows["_note"].to_pylist() == [
        None,
        "v: cannot be computed (step 1); step 2 cannot be decided: cast(substr(g, 2) as int) < 9",
        "cleaning would leave it out (step 2): it is not cast(substr(g, 2) as int) < 9; b: cannot be read: x",
        None,
    ]


def test_inputs_come_as_the_types_they_were_learnt_as(read):
    types = {"n": "DOUBLE", "whole": "BIGINT", "flag": "BOOLEAN", "day": "TIMESTAMP", "t": "VARCHAR"}
    text = "n,whole,flag,day,t,note\n1.5,2.5,yes,2024-01-02,7,mine\nx,3,maybe,soon,,\n"
    _, rows, _ = read(text, inputs=tuple(types), clean=[], types=types)
    assert [str(t) for t in rows.schema.types[1:6]] == ["double", "double", "bool", "timestamp[us]", "string"]
    assert rows["whole"].to_pylist() == [2.5, 3.0]
    assert rows["_note"].to_pylist() == [
        None,
        "n: cannot be read: x; flag: cannot be read: maybe; day: cannot be read: soon",
    ]


def test_inputs_named_as_our_own_columns_of_notes_are_no_trouble(read):
    _, rows, _ = read("line,note\n1,a\n2\n", inputs=("line", "note"), clean=[])
    assert rows["note"].to_pylist() == ["a", None]
    assert rows["_note"].to_pylist() == [None, "the line has too few fields"]
