"""What is suggested for a source: kinds, target, task, metric, what to ignore, how to split; and what is found wrong."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from epochal.core.settings import parse_project
from epochal.data.protocol import Build, FindProblems, Proposal, Propose
from epochal.workbench.data_client import DataClient


SHARED = Path(__file__).parents[3] / "shared" / "data"
PENGUINS = Path(__file__).parents[2] / "projects" / "penguins" / "data" / "penguins_raw.csv"


@pytest.fixture(scope="module")
def client() -> Iterator[DataClient]:
    with DataClient() as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "project.toml").write_text('name = "t"\n')
    return tmp_path


def proposal(client: DataClient, folder: Path, uri: str, **tables: Any) -> Proposal:
    document = {"format": 1, "name": "t", "source": [{"name": "t", "uri": uri}], **tables}
    answer: Proposal = client.ask(Propose(folder=str(folder), document=document))
    parse_project(answer.document)
    return answer


def written(folder: Path, header: str, rows: list[str]) -> str:
    (folder / "t.csv").write_text("\n".join([header, *rows]) + "\n")
    return "t.csv"


def settings_of(found: Proposal) -> dict[str, Any]:
    return {
        "target": found.document.get("columns", {}).get("target", ""),
        "task": found.document["goal"].get("task", "classification"),
        "metric": found.document["goal"]["metric"],
        "split": found.document.get("split", {}).get("kind", "random"),
    }


def problems(client: DataClient, folder: Path, document: Any) -> dict[str, dict[str, Any]]:
    answer = client.ask(FindProblems(folder=str(folder), document=document))
    return {p["code"]: p for p in answer["problems"]}


@pytest.mark.parametrize(("kind", "said"), [("time", "they are trained on"), ("group", "a group of its own")])
def test_rows_without_what_they_are_dealt_out_by_are_a_problem(
    client: DataClient, folder: Path, kind: str, said: str
) -> None:
    uri = written(folder, "who,y", [f"{i if i % 10 else ''},{i % 2}" for i in range(100)])
    document = {
        "name": "p",
        "source": [{"name": "s", "uri": uri}],
        "columns": {"target": "y", kind: "who"},
        "clean": [{"op": "set_kind", "columns": ["who"], "kind": "number"}],
        "split": {"kind": kind},
    }
    found = problems(client, folder, document)[f"{kind}-missing"]
    assert (found["severity"], found["rows"]) == ("warning", 10)
    assert said in found["what"]


def test_penguins_as_they_were_recorded(client: DataClient, folder: Path) -> None:
    found = proposal(client, folder, str(PENGUINS))
    assert settings_of(found) == {
        "target": "Species", "task": "classification", "metric": "accuracy", "split": "stratified",
    }  # fmt: skip
    assert set(found.document["columns"]["ignore"]) == {"Sample Number", "Region", "Stage", "Individual ID", "Comments"}
    ops = [step["op"] for step in found.document["clean"]]
    assert ops[0] == "mark_missing"
    assert found.document["clean"][0]["values"] == ["NA"]
    kinds = {c: s["kind"] for s in found.document["clean"] if s["op"] == "set_kind" for c in s["columns"]}
    assert kinds["Body Mass (g)"] == "number"
    assert kinds["Date Egg"] == "date"
    assert all(why for _, _, why in found.reasons)
    built = client.ask(Build(folder=str(folder), document=found.document))
    assert built.ledger["sums"]
    assert len(built.classes) == 3
    assert "Individual ID" not in built.inputs


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("breast_cancer", ("classification", "accuracy", "stratified")),
        ("digits", ("classification", "accuracy", "stratified")),
        ("wine", ("classification", "accuracy", "stratified")),
        ("diabetes", ("regression", "rmse", "random")),
    ],
)
def test_bundled_sets(client: DataClient, folder: Path, name: str, expected: tuple[str, str, str]) -> None:
    found = proposal(client, folder, f"sklearn:{name}")
    assert settings_of(found) == dict(zip(("target", "task", "metric", "split"), ("target", *expected), strict=True))
    built = client.ask(Build(folder=str(folder), document=found.document))
    assert built.ledger["removed"] == 0


@pytest.mark.skipif(not SHARED.exists(), reason="the shared data is not here")
@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (
            "wine_quality/winequality-red.csv",
            {"target": "column_12", "task": "regression", "metric": "rmse", "split": "random"},
        ),
        ("sms_spam/spam.csv", {"target": "v1", "task": "classification", "metric": "f1", "split": "stratified"}),
        ("vega_dirty/sp500-2000.csv", {"target": "close", "task": "regression", "metric": "rmse", "split": "time"}),
        (
            "vega_dirty/penguins.json",
            {"target": "Species", "task": "classification", "metric": "accuracy", "split": "stratified"},
        ),
    ],
)
def test_real_tables(client: DataClient, folder: Path, path: str, expected: dict[str, str]) -> None:
    found = proposal(client, folder, str(SHARED / path))
    assert settings_of(found) == expected
    if "spam" in path:
        assert set(found.document["columns"]["ignore"]) == {"column_3", "column_4", "column_5"}
        assert "drop_duplicates" in [s["op"] for s in found.document["clean"]]


def test_a_target_in_the_middle_is_found_by_its_name(client: DataClient, folder: Path) -> None:
    rows = [f"{i},{i % 7},{'yes' if i % 3 else 'no'},{(i * 37) % 101}" for i in range(200)]
    found = proposal(client, folder, written(folder, "id,visits,churn,spend", rows))
    assert found.targets[0] == "churn"
    assert settings_of(found)["task"] == "classification"
    assert found.document["columns"]["key"] == "id"


def test_what_is_given_stands(client: DataClient, folder: Path) -> None:
    rows = [f"{i % 5},{i % 7},{'yes' if i % 3 else 'no'}" for i in range(200)]
    uri = written(folder, "a,b,label", rows)
    found = proposal(
        client, folder, uri, columns={"target": "b"}, goal={"task": "regression"}, split={"kind": "random", "seed": 4}
    )
    assert settings_of(found) == {"target": "b", "task": "regression", "metric": "rmse", "split": "random"}
    assert found.document["split"]["seed"] == 4


def test_one_bad_number_among_many_is_a_reject_not_a_kind(client: DataClient, folder: Path) -> None:
    rows = [f"{i},{i % 2},x{i % 3}" for i in range(300)]
    rows[150] = "forty,1,x1"
    found = proposal(client, folder, written(folder, "amount,flag,label", rows))
    (why,) = [why for op, _, why in found.reasons if op == "set_kind"]
    assert why == "all but 1 in amount read as one; those become rejects"


def test_dates_of_other_countries_leading_zeros_and_values_called_none(client: DataClient, folder: Path) -> None:
    rows = [
        f"{1 + i % 28:02d}.{1 + i % 12:02d}.2020,{i % 90000:05d},{'None' if i % 2 else 'minor'},{'TRUE' if i % 5 else 'FALSE'}"
        for i in range(300)
    ]
    found = proposal(client, folder, written(folder, "day,zip,damage,insured", rows), columns={"target": "damage"})
    steps = found.document["clean"]
    assert {"op": "parse_date", "columns": ["day"], "format": "%d.%m.%Y"} in steps
    assert not any("zip" in s.get("columns", ()) for s in steps)
    assert not any(s["op"] == "mark_missing" for s in steps)
    assert {"op": "set_kind", "columns": ["insured"], "kind": "boolean"} in steps


def test_amounts_are_read_with_the_decimal_sign_their_file_uses(client: DataClient, folder: Path) -> None:
    rows = [f"{i},5;1.{i:03},20;${i},000;{i} %;{i},100;item {i};{'ab'[i % 2]}" for i in range(100, 160)]
    uri = written(folder, "short;grouped;dollars;share;unsure;name;label", rows)
    found = proposal(client, folder, uri)
    steps = {tuple(s["columns"]): s.get("decimal", ".") for s in found.document["clean"] if s["op"] == "parse_number"}

    assert steps == {("dollars", "share", "unsure"): ".", ("short", "grouped"): ","}
    assert "every value reads as one" in next(why for path, _, why in found.reasons if path == "parse_number")


def test_the_decimal_sign_is_the_one_that_reads_more_values(client: DataClient, folder: Path) -> None:
    """0,646 is no grouped number, and 0,65 is one with decimals, however few of them there are."""
    rows = [f"{'0,64' if i % 12 == 0 else f'{i},{i}'};0,{i};{'ab'[i % 2]}" for i in range(100, 400)]
    uri = written(folder, "few;none;label", rows)
    found = proposal(client, folder, uri)
    steps = {tuple(s["columns"]): s["decimal"] for s in found.document["clean"] if s["op"] == "parse_number"}

    assert steps == {("few", "none"): ","}


def test_classes_keep_the_names_they_have_in_the_file(client: DataClient, folder: Path) -> None:
    rows = [f"{i},{'yes' if i % 5 else 'no'}" for i in range(300)]
    found = proposal(client, folder, written(folder, "size,insured", rows), columns={"target": "insured"})
    assert not any("insured" in step.get("columns", ()) for step in found.document["clean"])


def test_the_answer_in_other_words_is_set_aside(client: DataClient, folder: Path) -> None:
    rows = [f"{i % 2},{'yes' if i % 2 else 'no'},{i % 11}" for i in range(300)]
    found = proposal(client, folder, written(folder, "survived,alive,deck", rows))
    assert found.document["columns"]["target"] == "survived"
    assert found.document["columns"]["ignore"] == ["alive"]


def test_prose_stays_when_it_is_all_there_is_and_names_do_not(client: DataClient, folder: Path) -> None:
    rows = [f"{'ham' if i % 3 else 'spam'},message {i} with several words of its own" for i in range(100)]
    found = proposal(client, folder, written(folder, "v1,v2", rows))
    assert found.document["columns"].get("ignore", []) == []
    rows = [f"{'a' if i % 3 else 'b'},Person Number {i},{i % 17}" for i in range(100)]
    found = proposal(client, folder, written(folder, "label,name,age", rows))
    assert found.document["columns"]["ignore"] == ["name"]


def test_problems_are_found_with_a_fix_of_one_key(client: DataClient, folder: Path) -> None:
    rows = [
        f"{i},{'' if i == 5 else 'yes' if i % 12 == 0 else 'no'},{'NA' if i % 9 == 0 else i * 7 % 100},same,"
        f"{'Paris' if i % 2 else 'paris' if i % 4 else ' Rome'},{1 if i % 12 == 0 else 0}"
        for i in range(300)
    ]
    uri = written(folder, "row_id,bought,amount,constant,city,copy", [*rows, "3,no,21,same,Paris,0", "x,y"])
    document = {
        "format": 1,
        "name": "t",
        "source": [{"name": "t", "uri": uri, "sha256": "0" * 64}],
        "goal": {"task": "classification", "metric": "accuracy"},
        "columns": {"target": "bought"},
    }
    found = problems(client, folder, document)
    assert found["target-missing"]["step"] == {"op": "drop_missing", "columns": ["bought"]}
    assert found["duplicates"]["step"] == {"op": "drop_duplicates"}
    assert found["missing-marks"]["step"] == {"op": "mark_missing", "columns": ["amount"], "values": ["NA"]}
    assert list(found["flattering-metric"]["setting"]) == ["goal.metric", "f1"]
    assert found["spelling"]["step"] == {"op": "map_values", "column": "city", "mapping": {"paris": "Paris"}}
    assert found["spaces"]["step"] == {"op": "trim", "columns": ["city"]}
    assert found["target-leak"]["where"] == "column copy"
    assert found["rejected-lines"]["rows"] == 1
    assert {"source-changed", "licence", "origin", "personal-data", "useless-column"} <= set(found)
    assert next(iter(found.values()))["severity"] == "error"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("New York", "new-york", True),
        ("U.S.", "US", False),
        ("  New   York", "new_york", True),
        ("State-of-the-art", "state of_the art", True),
        ("a-b-c-d", "A b c d", True),
        ("Inc.", "inc", True),
        ("Paris", "Paris !", True),
        ("1.5 mg", "15 mg", False),
        ("v1.2", "v12", False),
        ("A/B", "AB", False),
        ("Room 1-2", "Room 12", False),
        ("10-19 yrs", "1019 yrs", False),
        ("not-a", "nota", False),
        ("T -5", "T 5", False),
        ("rock & roll", "rock roll", False),
        ("(new)", "new", False),
        ("schon", "sch\u00f6n", False),
        ("Muller", "M\u00fcller", False),
        ("A+", "A-", False),
        ("grade A", "grade A-", False),
        ("<5 days", ">5 days", False),
        ("C", "C#", False),
        ("caf\u00e9", "Cafe\u0301", True),
    ],
)
def test_only_what_is_the_same_word_is_offered_as_one_spelling(
    client: DataClient, folder: Path, one: str, other: str, same: bool
) -> None:
    rows = [f"{i % 2},{other if i % 9 == 0 else one}" for i in range(300)]
    source = {"name": "t", "uri": written(folder, "label,word", rows)}
    document = {"format": 1, "name": "t", "source": [source], "columns": {"target": "label"}}
    found = problems(client, folder, document).get("spelling")
    if same:
        assert found["step"]["mapping"] == {other: one}
        assert found["what"].startswith("1 value looks like another written otherwise, such as ")
    else:
        assert found is None


def prices(folder: Path) -> str:
    """A market's days: the prices of one day nearly equal each other, how much was traded says little of them."""
    rows, close = [], 100.0
    for i in range(300):
        opened, close = close, close + (i * 7919 % 41 - 15) / 10
        high, low = max(opened, close) + 0.3, min(opened, close) - 0.3
        day = f"2020-{1 + i // 28:02}-{1 + i % 28:02}"
        rows.append(f"{day},{opened:.2f},{high:.2f},{low:.2f},{close:.2f},{1000 + i * 104729 % 997}")
    return written(folder, "date,open,high,low,close,volume", rows)


def test_inputs_that_nearly_tell_the_target_are_suspected_in_one_line_beside_it(
    client: DataClient, folder: Path
) -> None:
    found = proposal(client, folder, prices(folder))

    assert found.suspects == ("open", "high", "low")
    assert found.reasons[0][:2] == ("columns.target", "close")
    assert found.reasons[1] == (
        "suspect",
        "open, high, low",
        "each alone nearly tells close: leave out what is not known before it",
    )
    assert "ignore" not in found.document["columns"]


def test_suspects_that_a_person_ignores_are_suspected_no_more(client: DataClient, folder: Path) -> None:
    found = proposal(client, folder, prices(folder), columns={"ignore": ["open", "high", "low"]})

    assert found.suspects == ()
    assert found.reasons[1] == ("columns.ignore", "open, high, low", "as given")
    assert found.document["columns"]["ignore"] == ["open", "high", "low"]


def test_one_suspect_is_told_with_its_evidence(client: DataClient, folder: Path) -> None:
    rows = [f"{i % 2},{(i % 2) * 1000 + i % 97},{i * 31 % 89}" for i in range(400)]
    found = proposal(client, folder, written(folder, "label,told,other", rows))

    assert found.suspects == ("told",)
    assert found.reasons[1][:2] == ("suspect", "told")
    assert found.reasons[1][2] == (
        "alone it tells the classes apart almost without error (AUC 1.000): "
        "leave it out unless it is known before label is"
    )


def test_a_number_that_separates_the_classes_alone_is_suspected(client: DataClient, folder: Path) -> None:
    rows = [f"{i % 2},{(i % 2) * 1000 + i % 97},{i * 31 % 89}" for i in range(400)]
    found = problems(
        client,
        folder,
        {
            "format": 1,
            "name": "t",
            "source": [{"name": "t", "uri": written(folder, "label,told,fair", rows)}],
            "columns": {"target": "label"},
            "clean": [{"op": "set_kind", "columns": ["told", "fair"], "kind": "number"}],
        },
    )
    assert found["target-leak"]["where"] == "column told"
    assert "AUC 1.000" in found["target-leak"]["what"]


def test_a_wide_table_is_searched_for_leaks_with_progress_and_what_is_left_out_is_said(
    client: DataClient, folder: Path
) -> None:
    names = [f"n{i}" for i in range(310)]
    dice = random.Random(7)
    rows = [",".join([str(i % 2), *(str(dice.randrange(89)) for _ in names)]) for i in range(60)]
    uri = written(folder, ",".join(["label", *names]), rows)
    document = {
        "format": 1, "name": "t", "source": [{"name": "t", "uri": uri}], "columns": {"target": "label"},
        "goal": {"task": "classification", "metric": "accuracy"},
    }  # fmt: skip
    shares = []

    found = client.ask(
        Propose(folder=str(folder), document=document),
        progress=lambda text, share: shares.append(share) if text == "looking for leaks" else None,
    )

    assert len(shares) > 3
    assert shares == sorted(shares)
    assert ("looked_at", "the first 300 of 310 numbers") in [reason[:2] for reason in found.reasons]


def test_a_clean_project_has_no_problem(client: DataClient, folder: Path) -> None:
    rows = [f"{i % 2},{i * 31 % 89},{i * 17 % 101 / 7:.3f}" for i in range(400)]
    source = {"licence": "CC0-1.0", "origin": "made here", "personal_data": "none"}
    document = {
        "format": 1,
        "name": "t",
        "source": [{"name": "t", "uri": written(folder, "label,a,b", rows), **source}],
        "columns": {"target": "label"},
        "clean": [{"op": "set_kind", "columns": ["a", "b"], "kind": "number"}],
    }
    assert problems(client, folder, document) == {}
