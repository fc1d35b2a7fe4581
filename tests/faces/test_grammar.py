"""The command line's grammar: help, usage errors, exit codes, one JSON document."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from epochal.cli.arguments import UsageError, apply_sets, parse_sets, parse_value
from epochal.cli.main import VERBS
from epochal.core.errors import SettingsError
from epochal.core.settings import parse_project


ROOT = Path(__file__).parents[2]
HEAVY = {"textual", "rich", "torch", "duckdb", "pyarrow", "numpy", "sklearn", "datasets", "plotext", "lightgbm"}


def epochal(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "epochal", *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
    )


def test_help_imports_nothing_heavy():
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "epochal", "--help"], capture_output=True, text=True, check=True
    )
    imported = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in done.stderr.splitlines()}

    assert imported & HEAVY == set()
    assert "train" in done.stdout


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_explains_itself(verb):
    done = epochal(verb, "--help")

    assert done.returncode == 0
    assert "usage: epochal " + verb in done.stdout


def test_wrong_usage_exits_with_2():
    assert epochal("train").returncode == 2
    assert epochal("--nonsense").returncode == 2


def test_the_workbench_without_a_terminal_says_what_to_use_instead(tmp_path):
    done = epochal(str(tmp_path))

    assert done.returncode == 2
    assert "needs a terminal" in done.stderr
    assert done.stdout == ""


def test_an_unknown_table_names_file_line_and_the_right_name(tmp_path):
    (tmp_path / "project.toml").write_text('format = 1\nname = "x"\n\n[trian]\nepochs = 3\n')

    done = epochal("train", str(tmp_path))

    assert done.returncode == 2
    assert "[trian]" in done.stderr
    assert "project.toml:4" in done.stderr
    assert "[train]" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_error_with_json_leaves_stdout_empty(tmp_path):
    done = epochal("runs", str(tmp_path / "nowhere"), "--json")

    assert done.returncode == 2
    assert done.stdout == ""
    assert set(json.loads(done.stderr)["error"]) == {"code", "what", "where", "fix"}


def test_demo_lists_the_samples_with_their_questions():
    listed = {entry["name"]: entry["question"] for entry in json.loads(epochal("demo", "--list", "--json").stdout)}

    assert set(listed) >= {"penguins", "titanic", "breast-cancer", "diabetes", "digits-table"}
    assert all(question.endswith("?") for question in listed.values())


def test_demo_into_copies_and_never_opens(tmp_path):
    done = epochal("demo", "penguins", "--into", str(tmp_path / "p"))

    assert done.returncode == 0
    assert (tmp_path / "p" / "data" / "penguins_raw.csv").is_file()
    assert tomllib.loads((tmp_path / "p" / "project.toml").read_text())["name"] == "penguins"


def test_demo_of_an_unknown_sample_names_the_nearest(tmp_path):
    done = epochal("demo", "pengiuns", cwd=tmp_path)

    assert done.returncode == 2
    assert "penguins" in done.stderr


class TestASetting:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("20", 20),
            ("0.1", 0.1),
            ("true", True),
            ("mlp", "mlp"),
            ("30 s", "30 s"),
            ('"auto"', "auto"),
            ("[0, 1]", [0, 1]),
            ("1\nformat = 2", "1\nformat = 2"),
        ],
    )
    def test_is_toml_or_else_a_text(self, text, value):
        assert parse_value(text) == value

    def test_without_an_equals_sign_is_refused(self):
        with pytest.raises(UsageError, match="no `=`"):
            parse_sets(["train.epochs"])

    def test_that_looks_like_a_number_may_name_a_column(self):
        project = apply_sets(parse_project({"name": "x"}), parse_sets(["columns.target=1985"]))

        assert project.columns.target == "1985"

    def test_that_is_not_known_names_the_nearest(self):
        with pytest.raises(SettingsError) as caught:
            apply_sets(parse_project({"name": "x"}), parse_sets(["train.epoch=3"]))

        assert "`epochs`" in caught.value.fix
        assert caught.value.where == "--set train.epoch"
