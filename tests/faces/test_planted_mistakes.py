"""`epochal check` finds what people do wrong, before a step is taken: one planted mistake each, in a project without any."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from epochal.core.settings import with_setting
from epochal.testing import PENGUINS, SPECIES, tiny_project, tiny_rows, write_csv


Table = list[tuple[str, ...]]
SOUND = tiny_rows()
HEADER, ROWS = SOUND[0], SOUND[1:]


def labelled(label: Callable[[int], str]) -> Table:
    """The sound table with another label for each row, by its number."""
    return [HEADER, *[(*row[:-1], label(n)) for n, row in enumerate(ROWS)]]


def with_column(name: str, value: Callable[[int], str]) -> Table:
    """The sound table with one more column."""
    return [(name, *HEADER), *[(value(n), *row) for n, row in enumerate(ROWS)]]


def told(folder: Path, *words: str) -> tuple[int, dict[str, dict]]:
    """The exit code of `epochal check`, and what it found by code."""
    command = [sys.executable, "-m", "epochal", "check", str(folder), "--json", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.stderr.startswith('{"error"'):
        error = json.loads(done.stderr)["error"]
        return done.returncode, {error["code"]: error}
    return done.returncode, {p["code"]: p for p in json.loads(done.stdout)["problems"]}


MISTAKES_IN_SETTINGS = {
    "a misspelt key": ("epochs = 50", "epoch = 50", "unknown-key", "epochs"),
    "a misspelt family": ('family = "linear"', 'family = "lineer"', "unknown-value", "linear"),
    "a misspelt target": ('target = "species"', 'target = "specis"', "no-target", "species"),
    "a number that is none": ("epochs = 50", 'epochs = "many"', "settings", "epochs"),
    "a number out of range": ("epochs = 50", "epochs = -3", "settings", "epochs"),
    "a setting that means nothing here": ("epochs = 50", "epochs = 50\nmomentum = 0.5", "useless-setting", "momentum"),
    "a metric of another task": ('metric = "accuracy"', 'metric = "rmse"', "settings", "rmse"),
    "rows fed by a column that is not there": (
        "epochs = 50",
        'epochs = 50\nfeed = "gradual"\nfeed_by = "trust"',
        "unknown-column",
        "trust",
    ),
    "a batch larger than the rows": ("epochs = 50", "epochs = 50\nbatch_size = 100000", "batch-size-too-large", "rows"),
    "less time than a pass takes": ("epochs = 50", 'epochs = 50\ntime_limit = "0.00001 s"', "time-too-short", "pass"),
    "a licence nobody named": ('licence = "CC0-1.0"\n', "", "licence", "licence"),
    "a file that is not there": ('uri = "penguins.csv"', 'uri = "pinguins.csv"', "not-found", "pinguins.csv"),
}
"""What stands in the sound project.toml, what in its place, the code that is found, and a word of what is said."""

MISTAKES_IN_DATA = {
    "labels that are all one class": (labelled(lambda n: "Adelie"), "target-constant", "species"),
    "rows without a label": (labelled(lambda n: "" if n % 5 == 0 else PENGUINS[n % 3]), "target-missing", "species"),
    "a class with a single row": (
        labelled(lambda n: "Emperor" if n == 7 else PENGUINS[n % 3]),
        "rare-class",
        "Emperor",
    ),
    "a class spelt in two ways": (
        labelled(lambda n: "ADELIE" if n in {3, 9, 30} else PENGUINS[n % 3]),
        "spelling",
        "species",
    ),
    "the answer among the inputs": (with_column("answer", lambda n: f"is {PENGUINS[n % 3]}"), "target-leak", "answer"),
    "a column that is always the same": (with_column("planet", lambda n: "Earth"), "useless-column", "planet"),
    "rows that stand there twice": ([HEADER, *ROWS, *ROWS[:30]], "duplicates", "30"),
    "the same rows with other labels": (
        [*SOUND, *[(*row[:-1], PENGUINS[(n + 1) % 3]) for n, row in enumerate(ROWS[:20])]],
        "disputed-target",
        "species",
    ),
    "marks for what is missing": (
        with_column("wing", lambda n: "?" if n % 9 == 0 else str(170 + n % 40)),
        "missing-marks",
        "wing",
    ),
    "hardly any rows": (SOUND[:13], "few-rows", "12"),
}


@pytest.mark.parametrize("mistake", MISTAKES_IN_SETTINGS)
def test_in_the_settings_is_found(tmp_path, mistake):
    stands, planted, code, word = MISTAKES_IN_SETTINGS[mistake]
    folder = tiny_project(tmp_path / "p").folder
    text = (folder / "project.toml").read_text()
    assert stands in text
    (folder / "project.toml").write_text(text.replace(stands, planted))
    _, found = told(folder, "--quick")

    assert code in found, found
    assert word in " ".join(map(str, found[code].values()))
    assert not (folder / "runs").exists()


TOLD_ONCE = {
    "labels that are all one class": (labelled(lambda n: "Adelie"), SPECIES, "target-constant"),
    "rows without a label": (labelled(lambda n: "" if n % 5 == 0 else PENGUINS[n % 3]), SPECIES, "target-missing"),
    "no target": (SOUND, "", "no-target"),
}


@pytest.mark.parametrize("mistake", TOLD_ONCE)
def test_that_also_ends_the_check_is_told_once(tmp_path, mistake):
    table, target, code = TOLD_ONCE[mistake]
    file = tiny_project(tmp_path / "p")
    file.change(with_setting(file.project, "columns.target", target), "target")
    write_csv(file.folder / "penguins.csv", table)
    command = [sys.executable, "-m", "epochal", "check", str(file.folder), "--json", "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)

    assert [p["code"] for p in json.loads(done.stdout)["problems"] if p["severity"] == "error"] == [code]


@pytest.mark.parametrize("mistake", MISTAKES_IN_DATA)
def test_in_the_data_is_found(tmp_path, mistake):
    table, code, word = MISTAKES_IN_DATA[mistake]
    folder = tiny_project(tmp_path / "p").folder
    write_csv(folder / "penguins.csv", table)
    _, found = told(folder, "--quick")

    assert code in found, found
    assert word in " ".join(map(str, found[code].values()))
    assert not (folder / "runs").exists()


def test_nothing_but_hints_about_so_small_a_table_is_said_where_there_is_none(tmp_path):
    code, found = told(tiny_project(tmp_path / "p").folder)

    assert code == 0
    assert set(found) <= {"few-rows", "origin", "kind"}


def test_a_rate_at_which_nothing_is_learnt_is_found(tmp_path):
    for rate, code in ((30.0, "learning-rate-too-high"), (1e-7, "learning-rate-too-low")):
        folder = tiny_project(tmp_path / code, family="mlp").folder
        text = (folder / "project.toml").read_text()
        (folder / "project.toml").write_text(text.replace("epochs = 50", f"epochs = 50\nlearning_rate = {rate:g}"))
        _, found = told(folder)

        assert code in found, found
