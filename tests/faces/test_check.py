"""`epochal check`: its document, its words with a picture, its exit codes, and settings that are refused."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path

import pytest

import shared
from epochal.core.settings import with_setting
from epochal.project.paths import ProjectPaths
from epochal.show import cell_width
from epochal.testing import tiny_project
from epochal.workbench.operations import copy_sample


epochal = partial(shared.epochal, check=False)


def document(*words: str | Path) -> dict:
    return json.loads(epochal(*words, "--json").stdout)


def project_with(folder: Path, family: str = "mlp", **train: object) -> Path:
    """A tiny project whose [train] says so."""
    file = tiny_project(folder, family=family)
    project = file.project
    for name, value in train.items():
        project = with_setting(project, f"train.{name}", value)
    file.change(project, "settings")
    return file.folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A project whose rate is too high."""
    return project_with(tmp_path_factory.mktemp("check") / "p", learning_rate=8.0)


def files_of(folder: Path) -> dict[Path, bytes]:
    """Everything of a project but its cache."""
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and ".epochal" not in p.parts}


def test_the_document_holds_every_check_with_its_evidence_and_leaves_the_project_alone(folder):
    before = files_of(folder)
    found = document("check", folder)
    checks, estimate = found["checks"], found["estimate"]

    assert files_of(folder) == before
    assert set(checks) >= {"untrained_loss", "overfit", "learning_rate", "batch_size"}
    rates, sizes = checks["learning_rate"], checks["batch_size"]
    assert rates["in_force"] == 8.0
    assert 1e-4 < rates["suggested"] < 0.1
    assert all(len(point) == 2 and point[0] > 0 for point in rates["curve"])
    assert sizes["in_force"] in [size for size, _speed in sizes["throughput"]]
    assert sizes["suggested"] in [size for size, _speed in sizes["throughput"]]
    assert abs(checks["untrained_loss"]["loss"] / checks["untrained_loss"]["expected"] - 1) < 0.25
    assert checks["overfit"]["floor"] == 0
    assert estimate["disk_bytes"] > estimate["bundle_bytes"] + estimate["checkpoint_bytes"]
    assert estimate["disk_free_bytes"] > estimate["disk_bytes"]
    told = {p["code"]: p for p in found["problems"]}
    assert told["learning-rate-too-high"]["severity"] == "warning"
    assert told["learning-rate-too-high"]["fix"] == f"train.learning_rate = {rates['suggested']:g}"


@pytest.mark.parametrize("plain", ["", "1"])
def test_its_words_come_with_a_picture_that_a_pipe_can_take(folder, plain):
    done = epochal("check", folder, environment={"EPOCHAL_ASCII": plain, "COLUMNS": "70"})
    lines = done.stdout.splitlines()

    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    assert any(line.startswith("warning: 8 is too high") for line in lines)
    top = next(n for n, line in enumerate(lines) if line.startswith("loss while the learning rate rises"))
    picture = lines[top + 1 : top + 13]
    assert all(cell_width(line) <= 69 for line in picture)
    assert ("++--" if plain else "└┬─") in picture[-2]
    assert picture[-1].endswith("rate")
    assert ("O" if plain else "●") in "".join(picture)
    assert any(line.startswith("batch") for line in lines)
    assert any("a run takes" in line for line in lines)
    assert not plain or "".join(picture).isascii()


def test_quick_leaves_the_short_trainings_out(folder):
    found = document("check", folder, "--quick")

    assert found["checks"] == {}
    assert found["estimate"]["seconds"] > 0
    assert "learning-rate-too-high" not in {p["code"] for p in found["problems"]}


def test_settings_that_mean_nothing_are_errors_of_a_check_and_refused_by_a_run_all_at_once(tmp_path):
    folder = project_with(tmp_path / "p", family="trees", batch_size=64, momentum=0.5)
    checked = epochal("check", folder, "--quick", "--json")
    refused = epochal("train", folder)

    assert checked.returncode == 1
    useless = [p for p in json.loads(checked.stdout)["problems"] if p["code"] == "useless-setting"]
    assert [(p["severity"], p["where"], p["fix"]) for p in useless] == [
        ("error", "[train] batch_size", "take batch_size out of [train]"),
        ("error", "[train] momentum", "take momentum out of [train]"),
    ]
    assert refused.returncode == 2
    assert "[useless-setting]" in refused.stderr
    assert "train.batch_size = 64" in refused.stderr
    assert "train.momentum = 0.5" in refused.stderr
    assert not (folder / "runs").exists()


def test_another_setting_is_checked_before_it_is_written(folder):
    before, kept = files_of(folder), set(ProjectPaths(folder).checks.glob("*"))
    found = document("check", folder, "--set", "train.learning_rate=0.01")

    assert files_of(folder) == before
    assert set(ProjectPaths(folder).checks.glob("*")) == kept  # what it says is of `--set`, not of the project
    assert found["checks"]["learning_rate"]["in_force"] == 0.01
    assert "learning-rate-too-high" not in {p["code"] for p in found["problems"]}


def test_a_setting_for_a_check_alone_that_means_nothing_is_named_where_it_was_set(folder):
    done = epochal("check", folder, "--quick", "--json", "--set", "model.family=trees", "--set", "train.batch_size=64")
    found = [p for p in json.loads(done.stdout)["problems"] if p["code"] == "useless-setting"]

    assert done.returncode == 1
    assert [(p["where"], p["fix"]) for p in found] == [("--set train.batch_size", "leave out --set train.batch_size")]
    assert (
        "for this check train.epochs, train.learning_rate were set back to auto: mlp and trees count otherwise"
        in done.stderr
    )


def test_a_setting_of_a_whole_table_is_named_by_it(folder):
    done = epochal("check", folder, "--quick", "--json", "--set", "train={momentum=0.3}")
    found = [p for p in json.loads(done.stdout)["problems"] if p["code"] == "useless-setting"]

    assert [(p["where"], p["fix"]) for p in found] == [("--set train", "take momentum out of --set train")]


def test_what_means_nothing_is_not_refused_once_more_for_what_it_would_do(folder):
    found = document("check", folder, "--quick", "--set", "model.family=trees", "--set", "train.devices=2")

    assert [(p["code"], p["where"]) for p in found["problems"] if p["severity"] == "error"] == [
        ("useless-setting", "--set train.devices")
    ]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A project whose split is recorded."""
    folder = copy_sample("penguins", tmp_path_factory.mktemp("trained") / "p")
    assert epochal("train", folder, "--set", "train.epochs=1", "--set", "model.family=linear").returncode == 0
    return folder


@pytest.mark.parametrize("setting", ["split.seed=5", "columns.target=Island"])
def test_rows_dealt_out_otherwise_for_a_check_alone_are_said_and_not_recorded(setting, trained):
    before = files_of(trained)
    done = epochal("check", trained, "--quick", "--set", setting)

    assert done.returncode == 0
    assert "the split is another than the recorded one: rows are dealt out anew" in done.stderr
    assert "dropped" not in done.stderr
    assert files_of(trained) == before


def test_another_file_is_checked_before_it_is_taken(trained, tmp_path):
    other = tmp_path / "other.csv"
    lines = next(trained.glob("data/*.csv")).read_text().splitlines(keepends=True)
    other.write_text("".join(lines[:200]))
    before = files_of(trained)
    done = epochal("check", trained, "--quick", "--json", "--set", f"source.uri={other}")

    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout)["estimate"]["train_rows"] < 160
    assert files_of(trained) == before


def test_a_setting_for_a_check_alone_that_is_not_known_is_wrong_usage(folder):
    done = epochal("check", folder, "--set", "train.lerning_rate=0.1")

    assert done.returncode == 2
    assert "learning_rate" in done.stderr


def test_a_run_of_another_family_drops_what_it_has_no_use_for_and_says_so(tmp_path):
    folder = project_with(tmp_path / "p", batch_size=16)
    before = (folder / "project.toml").read_text()
    done = epochal(
        "train", folder, "--set", "model.family=trees", "--set", "model.rounds=5", "--set", "train.epochs=auto"
    )

    assert done.returncode == 0, done.stderr
    assert "for this run train.batch_size was dropped: trees has no use for it" in done.stderr
    assert (folder / "project.toml").read_text().count("batch_size = 16") == before.count("batch_size = 16") == 1


PARTS = (
    "starting the trial",
    "reading the rows",
    "timing steps",
    "judging the untrained model",
    "learning one batch by heart",
    "raising the learning rate step by step",
    "trying batches of 32 rows",
)


def test_a_terminal_sees_which_part_is_being_done(terminal, tmp_path):
    face = terminal("check", str(project_with(tmp_path / "p", batch_size=32)), columns=100)
    assert face.wait_exit(120) == 0

    places = [face.raw.find(part.encode()) for part in PARTS]
    assert -1 not in places, PARTS[places.index(-1)]
    assert places == sorted(places)


def test_nothing_but_the_document_is_said_where_one_is_asked_for(terminal, folder):
    face = terminal("check", str(folder), "--quick", "--json", columns=4000)
    face.wait_exit(120)

    assert json.loads(face.raw)["estimate"]["seconds"] > 0


def test_only_the_latest_results_are_kept(tmp_path):
    """Each change of a setting has a result of its own; old ones do not pile up in the cache."""
    folder = project_with(tmp_path / "p", epochs=1)
    old = folder / ".epochal" / "checks"
    old.mkdir(parents=True)
    for n in range(40):
        (old / f"{n:016d}.json").write_text("{}")
        os.utime(old / f"{n:016d}.json", (n, n))
    document("check", folder)

    kept = {p.name for p in old.iterdir()}
    assert len(kept) == 20
    assert f"{39:016d}.json" in kept
    assert f"{20:016d}.json" not in kept


def test_ctrl_c_ends_a_check_without_a_trace(terminal, folder):
    face = terminal("check", str(folder), columns=100)
    face.wait_for(lambda text: "learning rate step by step" in text or "by heart" in text or "timing steps" in text)
    face.press("\x03")

    assert face.wait_exit() == 130
    assert "cancelled" in face.text
    assert "Traceback" not in face.text


def test_a_model_of_one_s_own_is_tried_once_it_is_trusted_and_its_own_loss_is_not_compared(tmp_path):
    folder, home = copy_sample("own-model", tmp_path / "p"), {"XDG_STATE_HOME": str(tmp_path / "state")}
    refused = epochal("check", folder, "--json", environment=home)
    epochal("trust", folder, "--yes", environment=home)
    found = json.loads(epochal("check", folder, "--json", environment=home).stdout)

    assert refused.returncode == 1
    assert "untrusted" in {p["code"] for p in json.loads(refused.stdout)["problems"]}
    assert "loss of its own" in found["checks"]["untrained_loss"]["why_not"]
    assert 1e-4 < found["checks"]["learning_rate"]["suggested"] < 0.1
    assert [p for p in found["problems"] if p["severity"] != "hint"] == []
