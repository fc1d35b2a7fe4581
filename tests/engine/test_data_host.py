"""The data process through its client: pages, cancel, limits, death and restart."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from epochal.core.errors import Cancelled, DataHostError, EpochalError, SourceError, StepError
from epochal.data.protocol import (
    Build,
    CountStep,
    Export,
    FindProblems,
    FindRow,
    OpenView,
    Page,
    Propose,
    ReadCell,
    ReadFacets,
    ReadHead,
    ReadLedger,
    ReadPage,
    ReadProfile,
    ReadRejects,
    ReadSql,
    View,
)
from epochal.workbench.data_client import DataClient


@pytest.fixture(scope="module")
def client() -> Iterator[DataClient]:
    with DataClient() as opened:
        yield opened


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("project")
    (made / "project.toml").write_text('name = "t"\n')
    rows = [
        f"{i},{'red' if i % 3 else ' blue '},{i * 10},{'NA' if i % 50 == 7 else i / 4},note {i}" for i in range(1000)
    ]
    rows[500] = "500,red,forty,1,note 500"
    (made / "t.csv").write_text("id,colour,size,weight,note\n" + "\n".join(rows) + "\n3,short\n")
    (made / "evil.csv").write_text(
        'name,"co\x1b]52;c;aGk=\x07l"\n"a\x1b[2Jb","\x9b31m [bold]x[/nope] \u202e"\nplain,x\n', encoding="utf-8"
    )
    return made


def document(*clean: dict[str, Any], uri: str = "t.csv", **tables: Any) -> dict[str, Any]:
    return {"format": 1, "name": "t", "source": [{"name": "t", "uri": uri}], "clean": list(clean), **tables}


NUMBERS = {"op": "set_kind", "columns": ["id", "size", "weight"], "kind": "number"}
MARKS = {"op": "mark_missing", "columns": ["weight"], "values": ["NA"]}


def opened(client: DataClient, folder: Path, *clean: dict[str, Any], **asked: Any) -> View:
    view: View = client.ask(OpenView(folder=str(folder), document=document(*clean), **asked))
    return view


def page(client: DataClient, view: View, first: int, count: int, *columns: str) -> Page:
    answer: Page = client.ask(ReadPage(token=view.token, first=first, count=count, columns=columns))
    return answer


def test_the_head_needs_no_import(client: DataClient, folder: Path) -> None:
    head = client.ask(ReadHead(folder=str(folder), source={"uri": "t.csv"}, rows=3))
    assert [c.name for c in head.columns] == ["id", "colour", "size", "weight", "note"]
    assert head.rows[0] == ("0", " blue ", "0", "0.0", "note 0")


def test_raw_rows_page_by_position(client: DataClient, folder: Path) -> None:
    view = opened(client, folder)
    assert (view.rows, view.total) == (1000, 1000)
    found = page(client, view, 998, 10, "id", "note")
    assert found.rows == (("998", "note 998"), ("999", "note 999"))
    assert found.eids == (998, 999)
    assert len(set(page(client, view, 0, 1000, "id").keys)) == 1000


def test_a_recipe_changes_kinds_and_values(client: DataClient, folder: Path) -> None:
    view = opened(client, folder, MARKS, NUMBERS)
    assert {c.name: c.kind for c in view.columns} == {
        "id": "number", "colour": "category", "size": "number", "weight": "number", "note": "text",
    }  # fmt: skip
    assert page(client, view, 7, 1, "weight").rows == ((None,),)
    assert page(client, view, 9, 1, "weight", "size").rows == (("2.25", "90"),)


def test_sorted_and_filtered_views_hold_positions_not_copies(client: DataClient, folder: Path) -> None:
    view = opened(
        client,
        folder,
        MARKS,
        NUMBERS,
        sort=(("size", True),),
        where=(("colour", "contains", "BLUE"), ("id", "below", 100)),
    )
    assert (view.rows, view.total) == (34, 1000)
    assert page(client, view, 0, 2, "id", "size").rows == (("99", "990"), ("96", "960"))
    last = opened(client, folder, MARKS, NUMBERS, sort=(("weight", False),))
    assert page(client, last, 999, 1, "weight").rows == ((None,),)


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        (("weight", "missing", True), 20),
        (("weight", "missing", False), 980),
        (("size", "equals", "90"), 1),
        (("colour", "among", [" blue ", None]), 334),
        (("note", "matches", "^NOTE 9.$"), 10),
        (("size", "above", 9980), 1),
    ],
)
def test_each_condition(client: DataClient, folder: Path, condition: tuple[str, str, Any], rows: int) -> None:
    assert opened(client, folder, MARKS, NUMBERS, where=(condition,)).rows == rows


def test_rows_are_found_again_by_their_stable_keys(client: DataClient, folder: Path) -> None:
    keys = page(client, opened(client, folder), 40, 2, "id").keys
    again = opened(client, folder, MARKS, keys=keys)
    assert page(client, again, 0, 9, "id").rows == (("40",), ("41",))


def test_the_next_match_is_found_in_both_directions(client: DataClient, folder: Path) -> None:
    view = opened(client, folder, MARKS)

    def find(**asked: Any) -> Any:
        return client.ask(FindRow(token=view.token, **asked))

    assert find(start=10, pattern="NOTE 2.$") == {"row": 20, "column": "note"}
    assert find(start=20, pattern="note 2.$", columns=("note",), backwards=True) == {"row": None, "column": None}
    assert find(start=0, seek="missing", columns=("weight",)) == {"row": 7, "column": "weight"}
    assert find(start=1, seek="different", columns=("colour",)) == {"row": 3, "column": "colour"}


def test_a_whole_cell(client: DataClient, folder: Path) -> None:
    view = opened(client, folder)
    assert client.ask(ReadCell(token=view.token, row=5, column="note")) == {"text": "note 5", "length": 6}


def test_profile_and_facets(client: DataClient, folder: Path) -> None:
    view = opened(client, folder, MARKS, NUMBERS)
    profile = client.ask(ReadProfile(token=view.token, column="id"))
    assert (profile.rows, profile.missing, profile.distinct, profile.exact) == (1000, 0, 1000, True)
    assert (profile.min, profile.max, profile.mean, profile.median) == ("0", "999", 499.5, 499.5)
    assert sum(profile.histogram) == 1000
    facets = client.ask(ReadFacets(token=view.token, column="colour"))
    assert facets == {"values": [["red", 666, "red"], [" blue ", 334, " blue "]], "distinct": 2}


def test_a_step_is_counted_before_it_is_applied(client: DataClient, folder: Path) -> None:
    def count(step: dict[str, Any], *clean: dict[str, Any]) -> Any:
        return client.ask(CountStep(folder=str(folder), document=document(*clean), step=step))

    trimmed = count({"op": "trim", "columns": ["colour"]})
    assert (trimmed.changed, trimmed.removed, trimmed.sample[0]) == (334, 0, (" blue ", "blue"))
    assert count({"op": "drop_missing", "columns": ["weight"]}, MARKS).rows_after == 980
    numbers = count({"op": "set_kind", "columns": ["size"], "kind": "number"})
    assert (numbers.changed, numbers.rejected_cells, numbers.sample) == (999, 1, (("forty", None),))
    assert "1 cell cannot be read" in numbers.sentence
    assert count({"op": "drop_duplicates", "columns": ["colour"]}).removed == 998


def test_a_key_that_rows_share_is_a_problem(client: DataClient, folder: Path) -> None:
    def found(key: str) -> list[tuple[str, Any]]:
        said = document(MARKS, columns={"key": key})
        answer = client.ask(FindProblems(folder=str(folder), document=said))
        return [(p["what"], p["setting"]) for p in answer["problems"] if p["code"] == "key-not-unique"]

    assert found("id") == []
    assert found("colour") == [("colour does not identify rows: 2 values in 1 000 rows", ["columns.key", ""])]
    assert "1 000 rows, 20 missing" in found("weight")[0][0]


@pytest.mark.parametrize(
    ("step", "warning"),
    [
        ({"op": "drop_columns", "columns": ["note", "weight"]}, "weight is what is to be predicted"),
        ({"op": "select", "columns": ["id"]}, "weight is what is to be predicted"),
        ({"op": "drop_columns", "columns": ["note"]}, ""),
        ({"op": "filter", "where": "id = 'none'"}, "no row would be left"),
        ({"op": "filter", "where": "id = '3'"}, ""),
    ],
)
def test_a_step_that_leaves_nothing_to_learn_from_is_warned_of(
    client: DataClient, folder: Path, step: dict[str, Any], warning: str
) -> None:
    said = document(columns={"target": "weight"})
    assert client.ask(CountStep(folder=str(folder), document=said, step=step)).warning == warning


def test_the_changes_shown_of_a_step_are_different_ones(client: DataClient, folder: Path) -> None:
    def count(**mapping: str) -> Any:
        step = {"op": "map_values", "column": "colour", "mapping": mapping}
        return client.ask(CountStep(folder=str(folder), document=document(), step=step))

    gone = count(red="")
    assert gone.sample == (("red", None),)
    assert gone.sentence == "666 cells would become missing"
    some = count(**{"red": "", " blue ": "blue"})
    assert set(some.sample) == {("red", None), (" blue ", "blue")}
    assert some.sentence == "1 000 cells would be changed; red would become missing"


@pytest.mark.parametrize(("kind", "kinds"), [("text", 1), ("id", 1), ("category", 0)])
def test_a_step_that_only_changes_a_kind_is_counted_as_more_than_nothing(
    client: DataClient, folder: Path, kind: str, kinds: int
) -> None:
    step = {"op": "set_kind", "columns": ["colour"], "kind": kind}
    found = client.ask(CountStep(folder=str(folder), document=document(), step=step))

    assert (found.changed, found.removed, found.kinds) == (0, 0, kinds)
    if kinds:
        assert found.sentence == f"colour would be read as {kind}, every cell as it stands"


def test_a_column_without_a_value_is_read_as_dates(client: DataClient, folder: Path) -> None:
    (folder / "empty.csv").write_text("a,b\n1,\n2,\n")
    said = {"format": 1, "name": "t", "source": [{"name": "t", "uri": "empty.csv"}]}
    step = {"op": "parse_date", "columns": ["b"], "format": "%Y"}
    found = client.ask(CountStep(folder=str(folder), document=said, step=step))

    assert (found.changed, found.kinds) == (0, 1)
    assert found.sentence == "b would be read as date, every cell as it stands"


def test_ledger_and_rejects_account_for_every_line(client: DataClient, folder: Path) -> None:
    asked = {"folder": str(folder), "document": document(MARKS, NUMBERS, {"op": "drop_missing", "columns": ["weight"]})}
    ledger = client.ask(ReadLedger(**asked))
    (source,) = ledger["sources"]
    assert {k: source[k] for k in ("lines", "header", "rejected", "read", "rejected_cells")} == {
        "lines": 1002, "header": 1, "rejected": 1, "read": 1000, "rejected_cells": 1,
    }  # fmt: skip
    assert ledger["sums"]
    how = 't: utf-8, comma between fields, quoted by ", the first line names the columns'
    assert ledger["reading"] == [how] == ledger["words"][:1]
    assert [s["removed"] for s in ledger["steps"]] == [0, 0, 20]
    assert "step 3, drop_missing: 20 rows were left out because weight is missing" in ledger["words"]
    rejects = client.ask(ReadRejects(**asked))
    assert rejects["total"] == 2
    assert [(r["line"], r["column"], r["kind"], r["text"]) for r in rejects["rejects"]] == [
        (502, "size", "cast", "forty"),
        (1002, None, "short", "3,short"),
    ]


def test_parts_of_the_split_are_views(client: DataClient, folder: Path) -> None:
    project = document(
        {"op": "trim", "columns": ["colour"]}, columns={"target": "colour"}, split={"kind": "stratified"}
    )
    built = client.ask(Build(folder=str(folder), document=project))
    for part in ("train", "validation", "test"):
        view = client.ask(OpenView(folder=str(folder), document=project, part=part))
        assert view.rows == built.ledger[part]


def test_the_recipe_is_shown_as_one_statement(client: DataClient, folder: Path) -> None:
    sql = client.ask(ReadSql(folder=str(folder), document=document(MARKS)))["sql"]
    assert sql.startswith("WITH step_1 AS (")


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".jsonl", ".tsv"])
def test_export_writes_the_cleaned_rows(client: DataClient, folder: Path, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"out{ending}"
    asked = {"folder": str(folder), "document": document(MARKS, NUMBERS)}
    assert client.ask(Export(**asked, path=str(path))) == {"rows": 1000}
    assert path.stat().st_size > 1000
    assert list((folder / ".epochal").glob("export-*")) == []


def test_an_unknown_ending_is_refused(client: DataClient, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(EpochalError, match="names no format"):
        client.ask(Export(folder=str(folder), document=document(), path=str(tmp_path / "x.xls")))


def test_hostile_texts_arrive_visible(client: DataClient, folder: Path) -> None:
    view = client.ask(OpenView(folder=str(folder), document=document(uri="evil.csv")))
    found = page(client, view, 0, 2, *(c.name for c in view.columns))
    shown = "".join(c.title for c in view.columns) + "".join(cell or "" for row in found.rows for cell in row)
    assert "␛[2J" in shown
    assert "<9B>31m [bold]x[/nope] <U+202E>" in shown
    assert not any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 for c in shown)


def test_a_reject_is_told_as_it_stands_in_the_source(client: DataClient, folder: Path) -> None:
    (folder / "tabs.tsv").write_text("a\tb\tc\n" + "1\t2\t3\n" * 9 + "4\tsho\x1brt\n")
    answer = client.ask(ReadRejects(folder=str(folder), document=document(uri="tabs.tsv")))
    assert answer["rejects"] == [{"source": "t", "line": 11, "column": None, "kind": "short", "text": "4\tsho\x1brt"}]


def test_a_source_without_rows_is_told_before_anything_is_proposed(client: DataClient, folder: Path) -> None:
    (folder / "names.csv").write_text("a,b,c\n")
    with pytest.raises(SourceError, match="holds no rows") as caught:
        client.ask(Propose(folder=str(folder), document=document(uri="names.csv")))
    assert (caught.value.error_code, caught.value.where) == ("no-rows", "names.csv")


def test_a_billion_rows_in_a_filter_end_with_an_error_and_a_living_host(client: DataClient, folder: Path) -> None:
    pid = client.pid
    with pytest.raises(StepError, match="`range` may not be used"):
        opened(client, folder, {"op": "filter", "where": "len(range(1000000000)) > 1"})
    with pytest.raises(StepError, match="may not be used"):
        opened(client, folder, expression="len(range(1000000000)) > 1")
    assert opened(client, folder).rows == 1000
    assert client.pid == pid


def test_a_value_too_large_for_memory_ends_with_an_error_and_a_living_host(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EPOCHAL_DATA_MEMORY", "256MB")
    put = "replace({}, 'x', rpad(note, 1000, 'x'))"  # a million characters, then a thousand times as many
    steps = (
        {"op": "compute", "column": "large", "as": put.format("rpad(note, 1000, 'x')")},
        {"op": "compute", "column": "huge", "as": f"length({put.format('large')})"},
    )
    with DataClient() as client:
        with pytest.raises(DataHostError) as error:
            opened(client, folder, *steps)
        assert error.value.error_code in {"out-of-memory", "data-host"}
        assert opened(client, folder).rows == 1000


def test_a_query_that_takes_too_long_is_ended(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EPOCHAL_DATA_SECONDS", "0.5")
    slow = "levenshtein(rpad(note, 1000, 'x'), rpad(colour, 1000, 'y'))"
    steps = [{"op": "compute", "column": f"c{i}", "as": f"{slow} + {i}"} for i in range(40)]
    with DataClient() as client:
        with pytest.raises(DataHostError) as error:
            opened(client, folder, *steps)
        assert error.value.error_code == "too-long"


def test_a_request_can_be_cancelled(client: DataClient, folder: Path) -> None:
    failed = threading.Event()
    errors: list[EpochalError] = []
    numbers = [
        client.submit(
            FindProblems(folder=str(folder), document=document(MARKS)),
            lambda _: None,
            lambda error: (errors.append(error), failed.set()),  # type: ignore[func-returns-value]
        )
        for _ in range(3)
    ]
    client.cancel(numbers[-1])  # still waiting for the two before it
    assert failed.wait(30)
    assert isinstance(errors[0], Cancelled)


def test_what_heeds_no_cancelling_ends_with_its_process_within_seconds(folder: Path) -> None:
    far = (f"levenshtein(rpad(note, {1000 - i}, 'a'), rpad(note, 1000, 'b'))" for i in range(100))
    endless = f"{' + '.join(far)} > 1"  # while it is at one stretch of rows DuckDB looks for nothing
    with DataClient() as client:
        assert opened(client, folder).rows == 1000
        ended = threading.Event()
        errors: list[EpochalError] = []
        request = OpenView(folder=str(folder), document=document({"op": "filter", "where": endless}))
        under_way = threading.Event()
        number = client.submit(
            request,
            lambda _: None,
            lambda error: (errors.append(error), ended.set()),  # type: ignore[func-returns-value]
            lambda _text, _share: under_way.set(),
        )
        under_way.wait(5)
        time.sleep(0.5)
        client.cancel(number)
        assert ended.wait(12)
        assert isinstance(errors[0], Cancelled)
        assert opened(client, folder).rows == 1000


def test_a_dead_host_is_said_once_and_started_again(folder: Path) -> None:
    with DataClient() as client:
        assert opened(client, folder).rows == 1000
        died = threading.Event()
        errors: list[EpochalError] = []
        first = client.pid
        assert first is not None
        os.kill(first, signal.SIGSTOP)
        client.submit(
            ReadSql(folder=str(folder), document=document()), lambda _: None, lambda e: (errors.append(e), died.set())
        )  # type: ignore[func-returns-value]
        os.kill(first, signal.SIGKILL)
        assert died.wait(30)
        assert isinstance(errors[0], DataHostError)
        assert "killed" in errors[0].what
        assert opened(client, folder).rows == 1000
        assert client.pid != first


def test_a_view_of_an_earlier_host_is_gone_and_says_so(folder: Path) -> None:
    gone = "0123456789abcdef-1"
    with DataClient() as client:
        with pytest.raises(EpochalError) as error:
            client.ask(ReadPage(token=gone, first=0, count=1, columns=("id",)))
        assert error.value.error_code == "view-gone"


def test_errors_arrive_as_they_were_raised(client: DataClient, folder: Path) -> None:
    with pytest.raises(SourceError):
        client.ask(OpenView(folder=str(folder), document=document(uri="nowhere.csv")))
    with pytest.raises(StepError) as error:
        opened(client, folder, {"op": "trim", "columns": ["colours"]})
    assert (error.value.error_code, error.value.where) == ("unknown-column", "clean step 1")
    with pytest.raises(StepError, match=r"[Cc]onver"):
        opened(client, folder, {"op": "filter", "where": "CAST(note AS INTEGER) > 1"})


def test_the_host_ends_with_its_face(folder: Path) -> None:
    client = DataClient()
    assert opened(client, folder).rows == 1000
    pid = client.pid
    client.close()
    assert pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_cache_that_cannot_be_read_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "project.toml").write_text('name = "t"\n')
    (tmp_path / "t.csv").write_text("id\n" + "".join(f"{i}\n" for i in range(1000)))
    with DataClient() as client:
        opened(client, tmp_path)
    for database in (tmp_path / ".epochal" / "scratch").glob("*.duckdb"):
        database.write_bytes(b"not a database" * 1000)
    with DataClient() as client:
        assert opened(client, tmp_path).rows == 1000


def test_the_host_ends_when_its_face_is_killed(folder: Path) -> None:
    code = (
        "import os, signal; from epochal.workbench.data_client import DataClient;"
        "c = DataClient(); print(c.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    face = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    pid = int(face.stdout)
    for _ in range(600):
        if not Path("/proc", str(pid)).exists() or "State:\tZ" in Path("/proc", str(pid), "status").read_text():
            return
        time.sleep(0.05)
    pytest.fail("the data process outlived its face")


def test_imports_under_way_elsewhere_are_never_tidied_away(tmp_path: Path) -> None:
    (tmp_path / "project.toml").write_text('name = "t"\n')
    scratch = tmp_path / ".epochal" / "scratch"
    scratch.mkdir(parents=True)
    long_ago = time.time() - 7200
    for n in range(8):
        (scratch / f"{n:016x}.duckdb").touch()
        os.utime(scratch / f"{n:016x}.duckdb", (long_ago + n, long_ago + n))
    under_way = scratch / f".import-{os.getpid()}-abcd.duckdb"
    fresh = scratch / "f000000000000000.duckdb"
    under_way.touch()
    os.utime(under_way, (0, 0))
    fresh.touch()
    (tmp_path / "t.csv").write_text("a\n1\n")
    with DataClient() as client:
        assert opened(client, tmp_path).rows == 1
    assert under_way.exists()
    assert fresh.exists()
    assert len(list(scratch.glob("0*.duckdb"))) < 8


def test_two_faces_import_the_same_source_at_once(tmp_path: Path) -> None:
    (tmp_path / "project.toml").write_text('name = "t"\n')
    (tmp_path / "t.csv").write_text("a,b\n" + "".join(f"{i},{i % 7}\n" for i in range(20_000)))
    with DataClient() as one, DataClient() as two:
        views: list[View] = []
        failures: list[EpochalError] = []
        done = threading.Semaphore(0)
        for client in (one, two):
            client.submit(
                OpenView(folder=str(tmp_path), document=document()),
                lambda view: (views.append(view), done.release()),  # type: ignore[func-returns-value]
                lambda error: (failures.append(error), done.release()),  # type: ignore[func-returns-value]
            )
        assert all(done.acquire(timeout=60) for _ in range(2))
        assert (failures, [v.rows for v in views]) == ([], [20_000, 20_000])
    left = sorted(p.name for p in (tmp_path / ".epochal" / "scratch").iterdir())
    assert [name for name in left if not name.endswith(".duckdb")] == []


def test_forty_thousand_ragged_lines_give_exactly_their_rejects(client: DataClient, tmp_path: Path) -> None:
    (tmp_path / "project.toml").write_text('name = "t"\n')
    lines = ["id,age,name,score,city", *(f"{i},{i % 90},n{i},{i / 8},c{i % 9}" for i in range(40_000))]
    lines[30_001] = "30000,forty,n30000,1,c3"
    lines[35_000] = "short,line"
    lines[36_000] = "35999,4,n,1,c1,surplus,more"
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    asked = {
        "folder": str(tmp_path),
        "document": document({"op": "set_kind", "columns": ["id", "age", "score"], "kind": "number"}),
    }
    rejects = client.ask(ReadRejects(**asked))
    assert [(r["line"], r["kind"], r["text"]) for r in rejects["rejects"]] == [
        (30_002, "cast", "forty"),
        (35_001, "short", "short,line"),
        (36_001, "long", "35999,4,n,1,c1,surplus,more"),
    ]
    ledger = client.ask(ReadLedger(**asked))
    assert ledger["sums"]
    assert (ledger["sources"][0]["lines"], ledger["read"]) == (40_001, 39_998)


@pytest.mark.parametrize(("to", "kind"), [("1905", "number"), ("about 1905", "category")])
def test_a_changed_value_keeps_its_columns_kind_or_changes_it_openly(
    client: DataClient, tmp_path: Path, to: str, kind: str
) -> None:
    (tmp_path / "project.toml").write_text('name = "t"\n')
    (tmp_path / "t.csv").write_text("year\n1904\n1906\n1908\n")
    number = {"op": "set_kind", "columns": ["year"], "kind": "number"}
    change = {"op": "map_values", "column": "year", "mapping": {"1904": to}}
    view = opened(client, tmp_path, number, change)

    assert view.columns[0].kind == kind
    assert page(client, view, 0, 3, "year").rows == ((to,), ("1906",), ("1908",))
    assert client.ask(ReadProfile(token=view.token, column="year", exact=True)).kind == kind


def test_two_projects_on_equal_data_keep_their_views_apart(client: DataClient, tmp_path: Path) -> None:
    views = {}
    for to in ("1", "2"):
        place = tmp_path / to
        place.mkdir()
        (place / "project.toml").write_text('name = "t"\n')
        (place / "t.csv").write_text("year\n1904\n")
        views[to] = opened(client, place, {"op": "map_values", "column": "year", "mapping": {"1904": to}})

    assert {to: page(client, view, 0, 1, "year").rows for to, view in views.items()} == {"1": (("1",),), "2": (("2",),)}


def test_an_import_whose_face_is_killed_leaves_no_file(tmp_path: Path) -> None:
    (tmp_path / "project.toml").write_text('name = "t"\n')
    (tmp_path / "t.csv").write_text("a,b\n" + "".join(f"{i},{i % 7}\n" for i in range(3_000_000)))
    code = (
        "import os, signal, sys; from epochal.data.protocol import OpenView;"
        "from epochal.workbench.data_client import DataClient;"
        "client = DataClient(); print(client.pid, flush=True);"
        "end = lambda text, share: share and share > 0.1 and os.kill(os.getpid(), signal.SIGKILL);"
        f"client.ask(OpenView(folder=sys.argv[1], document={document()!r}), progress=end)"
    )
    face = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False, timeout=120
    )
    assert face.returncode == -signal.SIGKILL, face.stderr
    host = Path("/proc", face.stdout.strip())
    deadline = time.monotonic() + 30
    while host.exists() and "State:\tZ" not in (host / "status").read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert list((tmp_path / ".epochal" / "scratch").iterdir()) == []
