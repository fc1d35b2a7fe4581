"""The whole path by the command line alone: a dirty file becomes a tested model that predicts."""

import csv
import json
import os
import signal
import time
from pathlib import Path

import pytest

from epochal.cli.documents import KEYS, LEDGER, SOURCE
from epochal.core.split import DEALT_OTHERWISE
from epochal.runs.choose import last_choice
from epochal.runs.state import find_run
from shared import document, epochal


def write_flowers(path: Path) -> None:
    """300 rows of two classes that a line separates, with dirt: a blank line, a short line, missing sizes, an id."""
    lines = ["id,stalk,petal,colour,kind,remark"]
    for i in range(300):
        kind = "daisy" if i % 3 else "poppy"
        stalk = f"{(12 if kind == 'daisy' else 31) + (i * 7919 % 100) / 20:.2f}"
        petal = "" if i % 41 == 0 else f"{(3 if kind == 'daisy' else 7) + (i * 104729 % 100) / 60:.2f}"
        lines.append(f"f{i},{stalk},{petal},{'white' if i % 2 else 'red'},{kind},")
        if i == 100:
            lines.append("")
        if i == 200:
            lines.append("broken,1")
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A project that was made, trained and tested once; tests only look at it."""
    folder = tmp_path_factory.mktemp("path")
    write_flowers(folder / "flowers.csv")
    made = document("new", folder / "f", "--data", folder / "flowers.csv", "--set", "model.family=linear")
    trained = document("train", folder / "f")
    tested = document("test", folder / "f")
    return folder / "f", made, trained, tested


def test_suggestions_find_task_target_and_reasons(trained):
    _, made, _, _ = trained

    assert (made["task"], made["target"], made["family"]) == ("classification", "kind", "linear")
    assert made["reasons"]
    assert all(reason["why"] for reason in made["reasons"])


def test_train_says_what_scripts_rely_on(trained):
    folder, _, result, _ = trained

    assert result["state"] == "done"
    assert set(result) >= set(KEYS["train"])
    assert result["best"]["value"] > 0.9
    assert Path(result["path"]) == folder / "runs" / result["run"]


def test_the_test_document_has_intervals_baselines_looks_and_a_ledger_that_sums(trained):
    _, _, _, tested = trained

    assert tested["metrics"]["accuracy"] > tested["baselines"]["trivial"]["accuracy"]
    low, high = tested["intervals"]["accuracy"]
    assert low <= tested["metrics"]["accuracy"] <= high
    assert tested["looks"] == 1
    assert tested["ledger"]["sums"] is True
    assert tested["ledger"]["test"] == tested["rows"]


def test_the_ledger_accounts_for_every_line_of_the_file(trained):
    folder, _, _, _ = trained
    ledger = document("data", folder, "--ledger")
    (source,) = ledger["sources"]

    assert (source["lines"], source["header"], source["blank"], source["rejected"]) == (303, 1, 1, 1)
    assert source["read"] == 300
    assert ledger["sums"] is True
    (reject,) = document("data", folder, "--rejects")
    assert (reject["kind"], reject["line"], reject["text"]) == ("short", 204, "broken,1")


def test_a_second_look_is_counted(trained):
    folder, _, _, tested = trained
    written = [len((folder / "looks.jsonl").read_text().splitlines())]
    looks = []
    for _look in range(2):
        again = document("test", folder, tested["run"])
        looks.append(again["looks"])
        written.append(len((folder / "looks.jsonl").read_text().splitlines()))

    assert looks[1] == looks[0] + 1 > tested["looks"]
    assert written == [written[0], written[0] + 1, written[0] + 2]
    assert again["metrics"] == tested["metrics"]


def test_a_missed_target_exits_with_1(trained):
    folder, _, _, _ = trained

    assert epochal("test", folder, "--require", "1.1", check=False).returncode == 1


def test_a_required_metric_that_is_not_defined_is_missed_and_says_why(tmp_path):
    write_flowers(tmp_path / "flowers.csv")
    lines = (tmp_path / "flowers.csv").read_text().splitlines()
    # Every held-out row is a daisy, of which no ranking can be told.
    parts = ["test" if "daisy" in line and n % 5 == 0 else "train" for n, line in enumerate(lines)]
    rows = [f"{line},{part}" for line, part in zip(lines[1:], parts[1:], strict=True) if line.endswith(",")]
    (tmp_path / "flowers.csv").write_text("\n".join([f"{lines[0]},fold", *rows]) + "\n")
    settings = ("model.family=linear", "goal.metric=roc_auc", "split.kind=column", "split.column=fold")
    said = [word for setting in settings for word in ("--set", setting)]
    epochal("new", tmp_path / "f", "--data", tmp_path / "flowers.csv", "--target", "kind", *said)
    epochal("train", tmp_path / "f")

    done = epochal("test", tmp_path / "f", "--require", "0.5", check=False)

    assert done.returncode == 1
    assert "ROC AUC is not defined (the test rows hold only one class), which misses the required 0.5" in done.stderr


def test_every_row_of_a_new_file_comes_back_in_order_with_its_notes(trained, tmp_path):
    folder, _, _, _ = trained
    new = tmp_path / "new.csv"
    new.write_text("id,stalk,petal,colour,remark\nx1,12.5,3.5,white,\nx2,,,violet,\nx3,33,7.9,red,\n")

    result = document("predict", folder, new, "-o", tmp_path / "out.csv")

    rows = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    assert result["rows"] == 3
    assert [row["id"] for row in rows] == ["x1", "x2", "x3"]
    assert [rows[0]["prediction"], rows[2]["prediction"]] == ["daisy", "poppy"]
    for row in rows:
        total = float(row["probability_daisy"]) + float(row["probability_poppy"])
        assert total == pytest.approx(1, abs=1e-4)
    assert "violet" in rows[1]["note"]
    for words in ((), ("-o", "-")):
        assert epochal("predict", folder, new, *words).stdout == (tmp_path / "out.csv").read_text()


def test_a_file_set_apart_by_spaces_is_learnt_from_and_one_row_of_another_predicted(tmp_path):
    lines = ["  stalk     petal   kind"]
    for i in range(120):
        high = 20 * (i % 2)
        lines.append(f"{high + i * 7919 % 100 / 20:7.2f} {3 + high + i * 104729 % 100 / 60:9.3f}   {'abcd'[i % 2]}")
    (tmp_path / "t.txt").write_text("\n".join(lines) + "\n")
    settings = ("--set", "source.format=csv", "--set", "model.family=linear", "--set", "train.epochs=3")
    made = document("new", tmp_path / "p", "--data", tmp_path / "t.txt", "--target", "kind", *settings)
    assert "spaces" in [reason["value"] for reason in made["reasons"]]
    assert 'delimiter = " "' in (tmp_path / "p" / "project.toml").read_text()
    document("train", tmp_path / "p")

    (tmp_path / "one.csv").write_text("  stalk     petal\n   2.50     4.100\n")
    (one,) = document("predict", tmp_path / "p", tmp_path / "one.csv")["predictions"]
    assert (one["stalk"], one["petal"]) == ("2.50", "4.100")

    document("new", tmp_path / "q", "--data", tmp_path / "t.txt", *settings, "--set", 'columns.ignore=["petal"]')
    document("train", tmp_path / "q")
    (tmp_path / "few.csv").write_text("  stalk\n   2.50\n")
    (few,) = document("predict", tmp_path / "q", tmp_path / "few.csv")["predictions"]
    assert few["stalk"] == "2.50"


@pytest.mark.parametrize("words", ["check", "data", "data --sql", "data --profile", "data --ledger", "runs", "doctor"])
def test_every_document_has_the_keys_that_are_promised(trained, words):
    folder, _, _, _ = trained
    verb, *options = words.split()

    given = document(verb, folder, *options)

    for item in given if isinstance(given, list) else [given]:
        assert set(item) >= set(KEYS[words])


def test_the_documents_of_new_and_test_have_the_keys_that_are_promised(trained):
    _, made, _, tested = trained

    assert set(made) >= set(KEYS["new"])
    assert set(tested) >= set(KEYS["test"])
    assert set(tested["baselines"]) == {"trivial", "strong"}
    assert set(tested["ledger"]) >= set(LEDGER)
    assert all(set(source) >= set(SOURCE) for source in tested["ledger"]["sources"])
    assert {name for figures in tested["baselines"].values() for name in figures} <= set(tested["metrics"])


def test_predictions_are_one_json_document_when_no_file_is_named(trained, tmp_path):
    folder, _, _, _ = trained
    new = tmp_path / "new.csv"
    new.write_text("id,stalk,petal,colour\nx\u2028y,12.5,3.5,white\n", encoding="utf-8")

    result = document("predict", folder, new)

    assert (result["rows"], result["path"]) == (1, None)
    assert result["predictions"][0]["id"] == "x\u2028y"
    assert result["predictions"][0]["prediction"] == "daisy"


def test_no_slip_of_the_hand_writes_over_a_source_or_the_project(trained, tmp_path):
    folder, _, _, _ = trained
    source = folder.parent / "flowers.csv"
    new = tmp_path / "new.csv"
    new.write_text("id,stalk,petal,colour\nx1,12.5,3.5,white\n")
    (tmp_path / "link.csv").symlink_to(source)
    kept = [source, new, folder / "history.jsonl", folder / "runs" / "0001-linear" / "journal.jsonl"]
    before = [path.read_bytes() for path in kept]

    for words in (
        ("data", folder, "--export", source),
        ("data", folder, "--export", tmp_path / "link.csv"),
        ("data", folder, "--export", folder / "history.jsonl"),
        ("predict", folder, new, "-o", new),
        ("predict", folder, new, "-o", source),
        ("predict", folder, new, "-o", folder / "runs" / "0001-linear" / "journal.jsonl"),
    ):
        done = epochal(*words, check=False)
        assert done.returncode == 2, words
        assert "[would-overwrite]" in done.stderr

    assert [path.read_bytes() for path in kept] == before


@pytest.mark.parametrize("there", [False, True])
def test_a_project_that_cannot_be_made_leaves_nothing_behind(tmp_path, there):
    write_flowers(tmp_path / "flowers.csv")
    folder = tmp_path / "f"
    if there:
        folder.mkdir()
        (folder / "mine.txt").write_text("stays")

    done = epochal("new", folder, "--data", tmp_path / "flowers.csv", "--target", "knd", check=False)

    assert done.returncode == 2
    assert "'kind'" in done.stderr
    assert folder.exists() == there
    assert not (folder / "project.toml").exists()
    assert not there or (folder / "mine.txt").read_text() == "stays"
    assert (
        document("new", folder, "--data", tmp_path / "flowers.csv", "--set", "model.family=linear")["target"] == "kind"
    )


def test_a_check_says_once_what_is_not_declared(trained):
    found = document("check", trained[0])["problems"]
    undeclared = [(p["code"], p["severity"]) for p in found if p["where"] == "source flowers"]

    assert undeclared[-3:] == [("licence", "hint"), ("origin", "hint"), ("personal-data", "hint")]
    assert "undeclared" not in {p["code"] for p in found}


def test_a_column_that_deals_the_rows_out_is_no_input_of_check_choice_and_run(tmp_path):
    """Two pairs of rows differ in that column and the target alone: no model can get both right, and check says so."""
    parts = ("train", "validation", "test")
    lines = ["size,weight,fold,kind"]
    lines += [f"{i * 31 % 53},{i * 7919 % 97},{parts[i % 3]},{'ab'[i * 31 % 53 + i % 7 > 28]}" for i in range(300)]
    lines += ["900,901,train,a", "900,901,validation,b", "902,903,train,a", "902,903,validation,b"]
    (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n")
    dealt = ("--set", "split.kind=column", "--set", "split.column=fold", "--set", "train.budget=10 s")
    made = document("new", "p", "--data", "rows.csv", "--target", "kind", *dealt, cwd=tmp_path)
    checked = document("check", tmp_path / "p")
    document("train", tmp_path / "p", "--set", "model.family=linear")

    spec = find_run(tmp_path / "p").spec
    assert spec.inputs == ("size", "weight")
    assert {p["code"]: p["rows"] for p in checked["problems"]}["disputed-target"] == 4
    assert checked["estimate"]["seconds"] > 0
    built = {"snapshot_id": spec.snapshot_id, "split_id": spec.split_id, "inputs": spec.inputs}
    told = last_choice(tmp_path / "p", spec.project, built)
    assert told == made["choice"]


def test_runs_are_listed_newest_first(trained):
    folder, _, first, _ = trained

    document("train", folder, "--set", "train.epochs=2")

    listed = document("runs", folder)
    assert [run["run"] for run in listed[-2:]] == [listed[-2]["run"], first["run"]]
    assert all(set(run) >= set(KEYS["runs"]) for run in listed)


def test_a_setting_of_one_run_is_not_saved(trained):
    folder, _, _, _ = trained
    before = (folder / "project.toml").read_text()

    result = document("train", folder, "--set", "train.epochs=3", "--set", "split.seed=7")

    assert (folder / "project.toml").read_text() == before
    assert "seed = 7" in (Path(result["path"]) / "run.toml").read_text()


def test_changed_data_never_move_the_test_set_unseen(tmp_path):
    """Not even when every run was started with settings of its own."""
    write_flowers(tmp_path / "flowers.csv")
    folder = tmp_path / "f"
    document("new", folder, "--data", tmp_path / "flowers.csv", "--set", "model.family=linear")
    text = (folder / "project.toml").read_text()
    held_out = [line for line in text.splitlines() if line.startswith("fingerprint")]
    (folder / "project.toml").write_text("".join(ln for ln in text.splitlines(True) if "fingerprint" not in ln))

    document("train", folder, "--set", "train.epochs=2")
    assert [ln for ln in (folder / "project.toml").read_text().splitlines() if ln.startswith("fingerprint")] == held_out

    lines = (tmp_path / "flowers.csv").read_text().splitlines(keepends=True)
    (tmp_path / "flowers.csv").write_text("".join(lines[:120] + lines[150:]))
    refused = epochal("train", folder, "--set", "train.epochs=2", "--json", check=False)
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert json.loads(refused.stderr.splitlines()[-1])["error"]["code"] == "split-changed"
    assert "--accept-split" in refused.stderr

    document("train", folder, "--set", "train.epochs=2", "--accept-split")
    assert document("train", folder, "--set", "train.epochs=2")["state"] == "done"


def test_a_changed_source_is_reported_with_the_new_hash_and_in_the_run(tmp_path):
    write_flowers(tmp_path / "flowers.csv")
    folder = tmp_path / "f"
    document("new", folder, "--data", tmp_path / "flowers.csv", "--set", "model.family=linear")
    before = (folder / "project.toml").read_text()
    with (tmp_path / "flowers.csv").open("a") as file:
        file.writelines(f"g{i},30,7,red,poppy,\n" for i in range(40))

    said = "source flowers has changed since it was last read"
    for looking in (("data", "--ledger"), ("data",), ("check",)):
        looked = epochal(looking[0], folder, *looking[1:], check=False)
        assert said in looked.stdout + looked.stderr
    refused = epochal("train", folder, check=False)
    assert (refused.returncode, said in refused.stderr) == (2, True)
    assert (folder / "project.toml").read_text() == before, "looking and refusing record nothing"

    run = epochal("train", folder, "--accept-split", "--set", "train.epochs=2", "--json")

    assert said in run.stderr
    assert (folder / "project.toml").read_text() != before
    assert said in (folder / "history.jsonl").read_text(), "the new hash stands beside the notice"
    path = Path(json.loads(run.stdout)["path"])
    assert said in (path / "run.toml").read_text()
    assert said in (path / "journal.jsonl").read_text()
    again = epochal("train", folder, "--set", "train.epochs=2")
    assert said not in again.stdout + again.stderr


def test_another_seed_for_one_run_says_that_its_rows_are_dealt_out_anew(trained):
    folder, _, _, _ = trained
    run = epochal("train", folder, "--set", "train.epochs=2", "--set", "split.seed=8", "--json")
    assert DEALT_OTHERWISE in run.stderr
    assert DEALT_OTHERWISE in (Path(json.loads(run.stdout)["path"]) / "run.toml").read_text()


def test_the_cache_may_be_deleted_at_any_time(trained):
    folder, _, _, tested = trained
    import shutil

    shutil.rmtree(folder / ".epochal")

    again = document("test", folder, tested["run"])
    assert again["metrics"] == tested["metrics"]


def test_a_stop_leaves_a_checkpoint_and_resume_goes_on(trained):
    folder, _, _, _ = trained
    started = document("train", folder, "--no-follow", "--set", "train.epochs=400000", "--set", "train.patience=400000")
    run = Path(started["path"])
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and '"k":"steps"' not in (run / "journal.jsonl").read_text().replace(": ", ":"):
        time.sleep(0.1)

    stopped = document("stop", folder, started["run"])

    assert stopped["state"] == "stopped"
    assert any((run / "checkpoints").iterdir())
    resumed = document("resume", folder, started["run"], "--no-follow")
    assert resumed["run"] == started["run"]
    os.kill(resumed["pid"], signal.SIGTERM)
    document("runs", folder)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        state = next(r["state"] for r in document("runs", folder) if r["run"] == started["run"])
        if state == "stopped":
            break
        time.sleep(0.2)
    assert state == "stopped"
