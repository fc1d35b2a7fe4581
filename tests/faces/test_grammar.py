"""The command line's grammar: help, usage errors, exit codes, one JSON document."""

import json
import os
import subprocess
import sys
import tomllib
from functools import partial
from pathlib import Path

import pytest

import shared
from epochal.cli.arguments import UsageError, apply_sets, parse_sets, parse_value
from epochal.cli.console import wrap
from epochal.cli.main import VERBS, parser_of
from epochal.core.errors import SettingsError
from epochal.core.settings import parse_project
from epochal.core.steps import OPS
from epochal.testing import tiny_project, tiny_run
from epochal.workbench.commands import COMMANDS
from epochal.workbench.views.shell import error_line


ROOT = Path(__file__).parents[2]
HEAVY = {"textual", "rich", "torch", "duckdb", "pyarrow", "numpy", "sklearn", "datasets", "plotext", "lightgbm"}


epochal = partial(shared.epochal, check=False)


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


class TestAMistypedCommand:
    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["trian"], "`epochal train`"),
            (["trian", "p"], "`epochal train`"),
            (["prdict", "p", "new.csv", "--json"], "`epochal predict`"),
            (["--verzion"], "--version"),
            (["train", "p", "--no-folow"], "--no-follow"),
            (["train", "p", "--jso"], "--json"),  # no abbreviations: a later option may change what they mean
            (["test", "p", "1", "2"], "one word too many: 2"),
            (["data", "p", "--sql", "--ledger"], "not allowed with"),
            (["data", "p", "--rows", "many"], "no whole number"),
            (["train"], "DIR"),
            (["export", "p"], "not there yet"),
            (["demo", "pengiuns", "--into", "x"], "penguins"),
            (["surely-not-there.csv"], "no such file"),
        ],
    )
    def test_exits_with_2_and_one_error_that_names_the_right_word(self, tmp_path, words, said):
        done = epochal(*words, cwd=tmp_path)

        assert done.returncode == 2
        assert done.stdout == ""
        assert said in done.stderr
        assert "Traceback" not in done.stderr
        assert list(tmp_path.iterdir()) == []

    def test_is_one_document_where_json_is_asked_for(self, tmp_path):
        done = epochal("runs", "--jsn", "--json", cwd=tmp_path)

        assert json.loads(done.stderr)["error"]["fix"] == "did you mean --json?"

    def test_guesses_no_option_that_is_quite_another(self, tmp_path):
        assert "did you mean" not in epochal("data", "p", "--foo", cwd=tmp_path).stderr

    def test_says_how_to_open_what_reads_like_a_verb(self, tmp_path):
        (tmp_path / "train").mkdir()

        assert "./train" in epochal("train", cwd=tmp_path).stderr
        assert "no project here" in epochal("./train", cwd=tmp_path).stderr


@pytest.mark.parametrize("line", sorted({c.cli for c in COMMANDS if c.cli}))
def test_what_the_palette_names_as_a_command_is_one(line):
    """The registry tells people which command does what a key does; it must be there."""
    verb, *rest = line.split()
    options = {option for action in parser_of(verb)._actions for option in action.option_strings}

    assert verb in VERBS
    assert {word for word in rest if word.startswith("-")} <= options
    if verb == "clean" and rest and not rest[0].startswith("-"):
        assert rest[0] in OPS


def test_options_may_stand_anywhere(tmp_path):
    """`test DIR --json RUN` is what a hand types; a parser that gives RUN away at once would call it one word too many."""
    arguments = parser_of("test").read(["p", "--json", "3"])

    assert (str(arguments.dir), arguments.run, arguments.json) == ("p", "3", True)


def test_the_workbench_without_a_terminal_says_what_to_use_instead(tmp_path):
    (tmp_path / "flowers.csv").write_text("a,b\n1,2\n")

    done = epochal(str(tmp_path / "flowers.csv"))

    assert done.returncode == 2
    assert "needs a terminal" in done.stderr
    assert done.stdout == ""


class TestOutput:
    def test_whose_reader_goes_away_is_no_error(self):
        done = subprocess.run(
            ["bash", "-c", f"{sys.executable} -m epochal demo --list | true; echo ${{PIPESTATUS[0]}}"],
            capture_output=True,
            text=True,
            check=True,
        )

        assert done.stderr == ""
        assert done.stdout.strip() in {"0", "141"}

    def test_that_cannot_be_written_is_told_once(self):
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                [sys.executable, "-m", "epochal", "demo", "--list", "--json"],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )

        assert done.returncode == 1
        assert json.loads(done.stderr)["error"]["code"] == "output"

    def test_in_an_encoding_that_lacks_its_signs_still_comes(self):
        done = subprocess.run(
            [sys.executable, "-m", "epochal", "doctor"],
            capture_output=True,
            check=False,
            env={**os.environ, "PYTHONIOENCODING": "ascii"},
        )

        assert done.returncode == 0
        assert b"80 ? 24" in done.stdout

    @pytest.mark.parametrize("width", [40, 80])
    def test_on_a_terminal_is_wrapped_between_words(self, width):
        text = "one weight per input; explains itself, and is as good as any where little depends on much"

        lines = wrap(text, width)

        assert max(map(len, lines)) <= width
        assert " ".join(lines) == text

    def test_ctrl_c_while_modules_are_imported_is_no_traceback(self, tmp_path):
        (tmp_path / "sitecustomize.py").write_text(
            "import sys\n"
            "class Interrupts:\n"
            "    def find_spec(self, name, path=None, target=None):\n"
            "        if name == 'epochal.cli.main': raise KeyboardInterrupt\n"
            "sys.meta_path.insert(0, Interrupts())\n"
        )
        done = subprocess.run(
            [sys.executable, "-m", "epochal", "runs"],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
        )

        assert (done.returncode, done.stderr) == (130, "")


class TestAMistakeInTheProject:
    VERBS = (
        ("check",),
        ("data", "--ledger"),
        ("clean", "--list"),
        ("clean", "--undo"),
        ("train", "--no-follow"),
        ("runs",),
        ("watch",),
        ("stop",),
        ("resume",),
        ("checkpoint", "--list"),
        ("test",),
        ("predict", "new.csv"),
    )

    @pytest.mark.parametrize("words", [*VERBS, ()], ids=lambda words: " ".join(words) or "workbench")
    def test_is_one_error_with_file_line_and_the_right_name(self, tmp_path, words):
        (tmp_path / "project.toml").write_text('format = 1\nname = "x"\n\n[trian]\nepochs = 3\n')
        verb, options = words[:1], words[1:]

        done = epochal(*verb, str(tmp_path), *options)

        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr == (
            "error: [trian] is not known  [unknown-key]\nwhere: project.toml:4\n  fix: did you mean [train]?\n"
        )

    def test_is_what_the_doctor_finds(self, tmp_path):
        (tmp_path / "project.toml").write_text('format = 1\nname = "x"\n\n[trian]\nepochs = 3\n')

        done = epochal("doctor", str(tmp_path), "--json")

        assert done.returncode == 1
        assert {"project.toml:4"} <= {f["where"] for f in json.loads(done.stdout)["findings"]}

    @pytest.mark.parametrize("words", [*VERBS, ("doctor",), ()], ids=lambda words: " ".join(words) or "workbench")
    def test_that_it_is_not_there_is_told_as_such(self, tmp_path, words):
        done = epochal(*words[:1], str(tmp_path / "nowhere"), *words[1:])

        assert done.returncode == 2
        assert "[no-project]" in done.stderr or "[no-file]" in done.stderr


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

    def test_their_order_does_not_matter(self):
        for sets in (["split.kind=column", "split.column=fold"], ["split.column=fold", "split.kind=column"]):
            split = apply_sets(parse_project({"name": "x"}), parse_sets(sets)).split
            assert (split.kind, split.column) == ("column", "fold")

    def test_that_looks_like_a_number_may_name_a_column(self):
        project = apply_sets(parse_project({"name": "x"}), parse_sets(["columns.target=1985"]))

        assert project.columns.target == "1985"

    def test_that_is_not_known_names_the_nearest(self):
        with pytest.raises(SettingsError) as caught:
            apply_sets(parse_project({"name": "x"}), parse_sets(["train.epoch=3"]))

        assert "`epochs`" in caught.value.fix
        assert caught.value.where == "--set train.epoch"


class TestAStepThatIsNotThere:
    """A step that is only tried has no place in the recipe yet, and what cannot be names none."""

    @pytest.fixture
    def project(self, tmp_path):
        file = tiny_project(tmp_path / "p")
        return str(file.folder)

    def test_is_named_as_the_one_to_be_added(self, project):
        done = epochal("clean", project, "filter", "--set", "where=weight > 3", "--dry-run")

        assert done.returncode == 2
        assert "where: the filter step to be added\n" in done.stderr
        done = epochal("clean", project, "trim", "--columns", "weight", "--dry-run")
        assert done.stderr.startswith("error: the step names the column 'weight', which is not there")

    def test_says_in_words_which_rows_it_would_leave_out(self, project):
        done = epochal("clean", project, "filter", "--set", "where=species = 'Gentoo'", "--dry-run")

        assert "rows would be left out because this does not hold: species = 'Gentoo'\n" in done.stdout


def test_a_step_that_takes_the_target_away_is_warned_of(tmp_path):
    project = str(tiny_project(tmp_path / "p").folder)
    done = epochal("clean", project, "drop_columns", "--columns", "species", "--dry-run")

    assert (done.returncode, done.stderr) == (0, "warning: species is what is to be predicted\n")
    assert "nothing was changed" in done.stdout


def test_a_space_to_split_at_is_written_in_quotes(tmp_path):
    words = ("clean", str(tiny_project(tmp_path / "p").folder), "split_column", "--columns", "island", "--dry-run")
    refused = epochal(*words, "--set", "at= ", "--set", "into=['a', 'b']")
    assert "a space is written in quotes: --set 'at=\" \"'" in refused.stderr

    assert epochal(*words, "--set", 'at=" "', "--set", "into=['a', 'b']").returncode == 0


def test_a_run_that_is_not_there_is_answered_with_those_that_are(tmp_path):
    file = tiny_project(tmp_path / "p")
    tiny_run(file)

    done = epochal("test", str(file.folder), "77")

    assert done.returncode == 2
    assert "  fix: runs here: 0001-linear\n" in done.stderr


def test_a_table_without_a_target_is_named_where_none_is_found(tmp_path):
    (tmp_path / "notes.csv").write_text("written\n" + "".join(f"2020-01-{1 + n % 28:02}\n" for n in range(40)))

    done = epochal("new", "p", "--data", "notes.csv", cwd=tmp_path)

    assert "[no-target]\nwhere: notes.csv\n" in done.stderr
    assert not (tmp_path / "p").exists()


def test_suspects_of_a_new_project_come_with_the_line_that_leaves_them_out(tmp_path):
    rows = "".join(f"{i % 2},{(i % 2) * 1000 + i % 97},{i * 31 % 89}\n" for i in range(400))
    (tmp_path / "t.csv").write_text(f"label,told,other\n{rows}")

    done = epochal("new", "p", "--data", "t.csv", "--set", "model.family=linear", cwd=tmp_path)

    assert 'to leave suspects out, add ["told"] to ignore under [columns] in p/project.toml\n' in done.stdout


def test_an_error_on_a_screen_is_a_sentence_with_its_place_and_one_with_its_remedy():
    error = SettingsError("no column is called 'x'", where="project.toml:4", fix="did you mean 'y'?")

    assert error_line(error) == "No column is called 'x' (project.toml:4). Did you mean 'y'?"
