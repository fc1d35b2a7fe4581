"""Importing: the right columns from every format and encoding, the ledger sums to every line, nothing is lost."""

import gzip
import hashlib
import json
import os
import subprocess
import sys
import time
import zlib
from dataclasses import replace

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather

from epochal.core.errors import Cancelled, SourceError
from epochal.core.settings import Source, parse_project
from epochal.data import fingerprint, places, sources, textsource
from epochal.data.head import head


def project(*uris, **options):
    tables = [{"name": f"s{i or ''}", "uri": str(u), **options} for i, u in enumerate(uris)]
    return parse_project({"name": "p", "source": tables})


@pytest.fixture
def con():
    """A connection as the data host seals it: nothing but what Python hands over can be read."""
    with duckdb.connect() as connection:
        connection.execute("SET python_enable_replacements=false; SET enable_external_access=false")
        connection.execute("SET lock_configuration=true")
        yield connection


def load(con, folder, *uris, **options):
    return sources.load(con, project(*uris, **options), folder, sources.silent)


def rows(con, columns="*"):
    return con.execute(f"SELECT {columns} FROM raw ORDER BY _eid").fetchall()  # noqa: S608 - our own text


N = 40_000


def lines_of(delimiter=","):
    yield delimiter.join(("id", "value", "note", "city", "flag"))
    for i in range(1, N):
        yield delimiter.join((str(i), f"{i}.5", f"note {i}", "Zürich", "yes"))


TEXT = {
    "semicolon": lambda: "\n".join(lines_of(";")).encode(),
    "tab": lambda: "\n".join(lines_of("\t")).encode(),
    "latin-1": lambda: "\n".join(lines_of()).encode("latin-1"),
    "utf-16": lambda: "\n".join(lines_of()).encode("utf-16"),
    "utf-8 with mark": lambda: b"\xef\xbb\xbf" + "\r\n".join(lines_of()).encode() + b"\r\n",
    "gzip": lambda: gzip.compress("\n".join(lines_of()).encode(), 1),
    "zstd": lambda: pa.compress("\n".join(lines_of()).encode(), "zstd", asbytes=True),
    "carriage returns": lambda: "\r".join(lines_of()).encode(),
}


@pytest.mark.parametrize("kind", TEXT)
def test_each_way_of_writing_a_table_gives_the_same_rows(con, tmp_path, kind):
    (tmp_path / "t.csv").write_bytes(TEXT[kind]())
    imported = load(con, tmp_path, "t.csv")
    assert imported.columns == tuple((n, "VARCHAR") for n in ("id", "value", "note", "city", "flag"))
    (lines,) = imported.lines
    assert lines.sums
    assert (lines.lines, lines.header, lines.read, lines.rejected) == (N, 1, N - 1, 0)
    assert con.execute(
        "SELECT count(*), sum(id::INT), min(city), max(city), bool_and(_eid = rowid) FROM raw"
    ).fetchone() == (
        N - 1,
        N * (N - 1) // 2,
        "Zürich",
        "Zürich",
        True,
    )
    assert rows(con, "_line")[-1] == (N,)


def test_a_ragged_file_gives_exactly_its_rejects_with_line_and_text(con, tmp_path):
    text = list(lines_of())
    text[30_001] = "30001,forty,x,y,z"
    text[31_000] = "31000,short"
    text[32_000] = "32000,1,2,3,4,surplus,more"
    (tmp_path / "t.csv").write_text("\n".join(text) + "\n", encoding="utf-8")
    imported = load(con, tmp_path, "t.csv")
    (lines,) = imported.lines
    assert len(imported.columns) == 5
    assert lines.sums
    assert (lines.lines, lines.read, lines.rejected) == (N, N - 3, 2)
    assert con.execute("SELECT * FROM rejects ORDER BY line").fetchall() == [
        ("s", 31_001, None, "short", "31000,short"),
        ("s", 32_001, None, "long", "32000,1,2,3,4,surplus,more"),
    ]
    assert con.execute("SELECT value FROM raw WHERE _line = 30002").fetchone() == ("forty",)


def test_only_an_empty_field_is_missing(con, tmp_path):
    (tmp_path / "t.csv").write_text('a,b,c\n"",NA, \n1,2,3\n', encoding="utf-8")
    load(con, tmp_path, "t.csv")
    assert rows(con, "a, b, c") == [(None, "NA", " "), ("1", "2", "3")]


def test_quoted_fields_with_line_ends_are_continued_lines(con, tmp_path):
    (tmp_path / "t.csv").write_text('a,b\n1,"x\ny ""z"""\n\n2,w\n', encoding="utf-8")
    (lines,) = load(con, tmp_path, "t.csv").lines
    assert (lines.lines, lines.header, lines.blank, lines.continuation, lines.read) == (5, 1, 1, 1, 2)
    assert rows(con, "_line, a, b") == [(2, "1", 'x\ny "z"'), (5, "2", "w")]


def test_a_row_keeps_its_key_wherever_it_stands_and_equal_rows_are_told_apart(con, tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n1,2\n3,4\n1,2\n", encoding="utf-8")
    (tmp_path / "b.csv").write_text("x,y\nnew,\n1,2\n1,2\n3,4\n", encoding="utf-8")
    load(con, tmp_path, "a.csv")
    before = rows(con, "_key, x")
    load(con, tmp_path, "b.csv")
    after = rows(con, "_key, x")
    assert {k for k, _ in before} < {k for k, _ in after}
    assert len({k for k, _ in after}) == 4
    assert before[2][0] == f"{before[0][0]}-2"


def test_fields_are_joined_without_ambiguity(con, tmp_path):
    (tmp_path / "t.csv").write_text('a,b,c\n"1,2",3,\n1,"2,3",\n1,,23\n,1,23\n', encoding="utf-8")
    load(con, tmp_path, "t.csv")
    keys = [k for (k,) in rows(con, "_key")]
    assert len(set(keys)) == 4
    assert keys[0] == hashlib.md5(b'["1,2","3",null]', usedforsecurity=False).hexdigest()


def test_a_glob_is_one_source_and_joins_columns_by_name(con, tmp_path):
    (tmp_path / "p1.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    (tmp_path / "p2.csv").write_text("b,A,c\n3,4,5\nbad\n", encoding="utf-8")
    imported = load(con, tmp_path, "p*.csv")
    assert [n for n, _ in imported.columns] == ["a", "b", "c"]
    assert rows(con, "_source, _line, a, b, c") == [("s/p1.csv", 2, "1", "2", None), ("s/p2.csv", 2, "4", "3", "5")]
    (lines,) = imported.lines
    assert (lines.name, lines.lines, lines.header, lines.rejected, lines.sums) == ("s", 5, 2, 1, True)
    assert con.execute("SELECT source, line FROM rejects").fetchall() == [("s/p2.csv", 3)]


def test_two_sources_of_different_types_meet_in_text(con, tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n1,2\n", encoding="utf-8")
    pq.write_table(pa.table({"x": [1.5], "z": [True]}), tmp_path / "b.parquet")
    imported = load(con, tmp_path, "b.parquet", "a.csv")
    assert imported.columns == (("x", "VARCHAR"), ("z", "BOOLEAN"), ("y", "VARCHAR"))
    assert rows(con, "x, y, z") == [("1.5", None, True), ("1", "2", None)]


@pytest.mark.parametrize("kind", ["parquet", "feather", "arrow", "stream"])
def test_tables_with_types_keep_them(con, tmp_path, kind):
    import datetime as dt

    table = pa.table(
        {
            "i": pa.array([1, None, 3], pa.int16()),
            "f": pa.array([0.5, float("nan"), None], pa.float32()),
            "t": ["a", "", None],
            "d": pa.array(["x", "y", "x"]).dictionary_encode(),
            "when": pa.array([dt.datetime(2024, 1, 1, 12, tzinfo=dt.UTC)] * 3, pa.timestamp("ns", "Europe/Oslo")),
            "day": pa.array([dt.date(2024, 1, 1)] * 3),
            "n": [[1, 2], None, []],
            "z": pa.nulls(3),
        }
    )
    path = tmp_path / f"t.{'arrow' if kind == 'stream' else kind}"
    if kind == "parquet":
        pq.write_table(table, path)
    elif kind == "feather":
        feather.write_feather(table, path)
    else:
        with (pa.ipc.new_file if kind == "arrow" else pa.ipc.new_stream)(path, table.schema) as writer:
            writer.write_table(table)
    imported = load(con, tmp_path, path.name)
    assert dict(imported.columns) == {
        "i": "BIGINT",
        "f": "DOUBLE",
        "t": "VARCHAR",
        "d": "VARCHAR",
        "when": "TIMESTAMP",
        "day": "DATE",
        "n": "VARCHAR",
        "z": "VARCHAR",
    }
    assert rows(con, "i, f, t, d, n, z") == [
        (1, 0.5, "a", "x", "[1, 2]", None),
        (None, None, None, "y", None, None),
        (3, None, None, "x", "[]", None),
    ]
    assert rows(con, '"when"')[0][0] == dt.datetime(2024, 1, 1, 12)  # noqa: DTZ001 - in UTC, without its zone
    (lines,) = imported.lines
    assert (lines.lines, lines.read, lines.sums) == (3, 3, True)


def test_json_gives_the_narrowest_type_that_holds_all_values(con, tmp_path):
    data = [{"a": 1, "b": 1, "c": True, "d": "x", "e": {"k": [1]}}, {"a": 2.5, "b": "x", "c": None, "f": 2**70}]
    (tmp_path / "t.json").write_text(json.dumps(data), encoding="utf-8")
    imported = load(con, tmp_path, "t.json")
    assert dict(imported.columns) == {
        "a": "DOUBLE",
        "b": "VARCHAR",
        "c": "BOOLEAN",
        "d": "VARCHAR",
        "e": "VARCHAR",
        "f": "DOUBLE",
    }
    assert rows(con, "a, b, c, d, e") == [(1.0, "1", True, "x", '{"k": [1]}'), (2.5, "x", None, None, None)]


def test_json_lines_that_are_no_objects_are_rejects(con, tmp_path):
    (tmp_path / "t.jsonl").write_bytes(b'{"a": 1}\n\nnonsense\n[1]\n{"a": "\xff"}\n{"a": 2, "b": "\xc3\xa9\xc3\xa8"}')
    (lines,) = load(con, tmp_path, "t.jsonl").lines
    assert (lines.lines, lines.blank, lines.rejected, lines.read, lines.sums) == (6, 1, 3, 2, True)
    assert con.execute("SELECT line, kind FROM rejects ORDER BY line").fetchall() == [
        (3, "short"),
        (4, "short"),
        (5, "encoding"),
    ]
    assert rows(con, "_line, a") == [(1, 1), (6, 2)]


@pytest.mark.parametrize(("name", "target", "kind"), [("iris", "setosa", "VARCHAR"), ("diabetes", 151.0, "DOUBLE")])
def test_a_bundled_set_has_its_own_names_and_a_target(con, tmp_path, name, target, kind):
    imported = load(con, tmp_path, f"sklearn:{name}")
    assert imported.columns[-1] == ("target", kind)
    assert rows(con, "target")[0] == (target,)
    with pytest.raises(SourceError, match="no bundled set") as caught:
        load(con, tmp_path, "sklearn:irs")
    assert "sklearn:iris" in caught.value.fix


def test_a_local_hub_data_set_is_read_from_its_folder(con, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["ham", "spam"])}
    )
    saved = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [1, -1]}, features=features)
    saved.save_to_disk(str(tmp_path / "saved"))
    datasets.DatasetDict({"train": saved, "test": saved.select([0])}).save_to_disk(str(tmp_path / "both"))
    assert load(con, tmp_path, "saved").rows == 2
    assert rows(con, "text, label") == [("a", "spam"), ("b", None)]
    assert load(con, tmp_path, "hf://./both", part="test").rows == 1
    with pytest.raises(SourceError, match="cannot be read"):
        load(con, tmp_path, "both", part="nothing")


def test_a_folder_of_files_is_a_hub_data_set(con, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "train.csv").write_text("a,b\n1,x\n2,y\n", encoding="utf-8")
    (tmp_path / "files" / "test.csv").write_text("a,b\n3,z\n", encoding="utf-8")
    assert load(con, tmp_path, "files").rows == 2
    assert load(con, tmp_path, "hf://./files", part="test").rows == 1
    assert rows(con, "a, b") == [(3, "z")]


def test_a_hub_that_does_not_answer_is_told_at_once(con, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    pytest.importorskip("datasets")
    begun = time.monotonic()
    with pytest.raises(SourceError, match="does not answer") as caught:
        load(con, tmp_path, "hf://someone/something")
    assert time.monotonic() - begun < 10
    assert (caught.value.error_code, caught.value.where) == ("hub", "hf://someone/something")
    assert "folder" in caught.value.fix


def test_a_folder_with_a_loader_script_runs_none_of_it(con, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "evil"
    folder.mkdir()
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')", encoding="utf-8")
    with pytest.raises(SourceError):
        load(con, tmp_path, "evil")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("uri", ["rows.csv", "rows-*.csv", "hf://{folder}/set"])
def test_which_sources_changed_since_their_hash_was_taken_is_told_of_files_and_folders(tmp_path, uri):
    (tmp_path / "set").mkdir()
    for path in ("rows.csv", "rows-1.csv", "set/train.csv"):
        (tmp_path / path).write_text("a\n1\n", encoding="utf-8")
    source = Source(name="s", uri=uri.format(folder=tmp_path))
    source = replace(source, sha256=fingerprint.of_place(places.resolve(source, tmp_path)))
    assert fingerprint.changed((source,), tmp_path) == ()

    for path in ("rows.csv", "rows-1.csv", "set/train.csv"):
        (tmp_path / path).write_text("a\n2\n", encoding="utf-8")
    assert fingerprint.changed((source,), tmp_path) == ("s",)


def test_an_import_is_made_once_and_again_when_the_source_changes(con, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a\n1\n", encoding="utf-8")
    said = []
    sources.load(con, project("t.csv"), tmp_path, lambda share, text: said.append((share, text)))
    first = sources.opened(con)
    assert said[-1] == (1.0, "reading s")
    said.clear()
    assert sources.load(con, project("t.csv"), tmp_path, lambda *a: said.append(a)) == first
    assert said == []
    path.write_text("a\n2\n", encoding="utf-8")
    changed = load(con, tmp_path, "t.csv")
    assert changed.import_id != first.import_id
    assert changed.fingerprints["s"] != first.fingerprints["s"]
    assert rows(con, "a") == [("2",)]


def test_a_cancelled_import_leaves_what_was_there(con, tmp_path):
    (tmp_path / "a.csv").write_text("a\n1\n", encoding="utf-8")
    (tmp_path / "b.csv").write_text("a\n2\n", encoding="utf-8")
    before = load(con, tmp_path, "a.csv")

    def stop(*_):
        raise Cancelled("cancelled")

    with pytest.raises(Cancelled):
        sources.load(con, project("b.csv"), tmp_path, stop)
    assert sources.opened(con) == before
    assert rows(con, "a") == [("1",)]


def test_a_file_that_grows_while_it_is_read_is_told_and_leaves_nothing(con, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b\n" + "1,2\n" * 1000)

    def grow(*_):
        with path.open("a") as file:
            file.write("3,4\n")

    with pytest.raises(SourceError, match="while it was read") as caught:
        sources.load(con, project("t.csv"), tmp_path, grow)
    assert (caught.value.error_code, caught.value.where) == ("changing", str(path))
    assert sources.opened(con) is None
    assert load(con, tmp_path, "t.csv").rows > 1000


def test_what_is_no_file_is_refused_before_it_can_block(con, tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    for name, what in (
        ("pipe.csv", "pipe"),
        ("/dev/zero", "device"),
        ("no.csv", "no such file"),
        ("*.none", "no file matches"),
    ):
        with pytest.raises(SourceError, match=what):
            load(con, tmp_path, name)
    with pytest.raises(SourceError, match="databases cannot be read yet"):
        load(con, tmp_path, "postgres://x/y")


def test_a_bomb_of_good_rows_is_refused_before_they_are_stored(con, tmp_path):
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    rows = b"1,2,a\n" * 200_000
    parts = [packer.compress(b"id,x,y\n"), *(packer.compress(rows) for _ in range(45)), packer.flush()]
    (tmp_path / "bomb.csv.gz").write_bytes(b"".join(parts))
    with pytest.raises(SourceError, match="expands more than") as caught:
        load(con, tmp_path, "bomb.csv.gz")
    assert caught.value.error_code == "bomb"
    assert sources.opened(con) is None


def test_a_torn_archive_is_damaged_and_leaves_nothing(con, tmp_path):
    whole = gzip.compress(("a,b\n" + "1,2\n" * 100_000).encode())
    (tmp_path / "t.csv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match="damaged"):
        load(con, tmp_path, "t.csv.gz")
    assert sources.opened(con) is None


def test_hostile_names_stay_data(con, tmp_path):
    name = 'x"); DROP TABLE raw; --\x1b]52;c;AA\x07'
    (tmp_path / "t.csv").write_text(f'"{name.replace(chr(34), chr(34) * 2)}",b\n1,2\n', encoding="utf-8")
    imported = load(con, tmp_path, "t.csv")
    assert imported.columns[0][0] == name
    shown = head(tmp_path, {"uri": "t.csv"})
    assert "\x1b" not in shown.columns[0].title
    assert shown.columns[0].name == name


def test_lines_of_two_encodings_are_never_mixed_up_in_silence(con, tmp_path):
    lines = [f"{i},Zürich,a\n".encode("latin-1" if i % 2 else "utf-8") for i in range(400)]
    (tmp_path / "t.csv").write_bytes(b"id,x,y\n" + b"".join(lines))
    (counts,) = load(con, tmp_path, "t.csv").lines
    assert (counts.lines, counts.read, counts.rejected, counts.sums) == (401, 200, 200, True)
    assert {x for (x,) in rows(con, "x")} == {"Zürich"}
    assert con.execute("SELECT DISTINCT kind FROM rejects").fetchall() == [("encoding",)]


def test_a_line_of_words_and_spaces_without_an_end_is_refused_as_any_other(con, tmp_path):
    with (tmp_path / "t.txt").open("wb") as file:
        file.write(b"a b c\n" + b"1 2 x\n" * 300)
        for _ in range(70):
            file.write(b"word  " * 180_000)
    with pytest.raises(SourceError, match="longer than 64 MB"):
        load(con, tmp_path, "t.txt", format="csv")


def test_spaces_are_one_wherever_the_file_is_cut_into_pieces(tmp_path):
    text = b"  a   b\r\n" + b"  'x  y'    1  \r\n" * 3 + b"   z  2   "
    for size in range(1, len(text)):
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        assert b"".join(textsource._single_spaced(iter(pieces), "'")) == b"a b\r\n" + b"'x  y' 1\r\n" * 3 + b"z 2"


def test_many_columns_are_read_and_too_many_refused(con, tmp_path):
    wide = ",".join(f"c{i}" for i in range(3000))
    (tmp_path / "wide.csv").write_text(f"{wide}\n{','.join(['1'] * 3000)}\n", encoding="utf-8")
    assert len(load(con, tmp_path, "wide.csv").columns) == 3000
    (tmp_path / "wider.csv").write_text(",".join(f"c{i}" for i in range(20_000)) + "\n", encoding="utf-8")
    with pytest.raises(SourceError, match="columns"):
        load(con, tmp_path, "wider.csv")


def test_the_first_rows_need_the_standard_library_alone(tmp_path):
    (tmp_path / "t.csv").write_text("a;b\n1;x\n2;\n", encoding="utf-8")
    code = (
        "import sys; from pathlib import Path; from epochal.data.head import head\n"
        f"h = head(Path({str(tmp_path)!r}), {{'uri': 't.csv'}}, 1)\n"
        "assert h.delimiter == ';' and h.rows == (('1', 'x'),), h\n"
        "assert [c.kind for c in h.columns] == ['number', 'text'], h\n"
        "print([m for m in ('duckdb', 'numpy', 'pyarrow', 'tomlkit', 'textual') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_first_rows_of_json(tmp_path):
    (tmp_path / "t.json").write_text('[{"a": 1, "b": null}, {"a": "x\\u001b", "c": [1]}]', encoding="utf-8")
    shown = head(tmp_path, {"uri": "t.json"})
    assert [c.name for c in shown.columns] == ["a", "b", "c"]
    assert shown.rows == (("1", None, None), ("x␛", None, "[1]"))
