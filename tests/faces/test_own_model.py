"""A project's own model on the command line: nothing of it runs before it is trusted, and then it does all that others do."""

from __future__ import annotations

import csv
import json
import os
import pty
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest


CANARY = "from pathlib import Path\n\nPath(__file__).with_name('ran').write_text('')\n"


@pytest.fixture
def epochal(tmp_path):
    """Runs the program with settings of its own; standard input is no terminal."""
    environment = {
        **os.environ,
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }

    def run(*words: str | Path, cwd: Path | None = None, **options) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "epochal", *map(str, words)],
            capture_output=True,
            text=True,
            check=False,
            env=environment,
            cwd=cwd,
            **{"stdin": subprocess.DEVNULL, **options},
        )

    return run


@pytest.fixture
def sample(tmp_path, epochal):
    folder = tmp_path / "p"
    done = epochal("demo", "own-model", "--into", folder)
    assert f"epochal trust {folder}" in done.stdout
    return folder


def plant(folder: Path) -> Path:
    """Let the model's file leave a mark when it runs; where that would be."""
    model = folder / "model.py"
    model.write_text(CANARY + model.read_text())
    return folder / "ran"


def test_nothing_runs_before_it_is_trusted(sample, epochal):
    mark = plant(sample)
    refused = {}
    for verb in ("train", "check", "data", "clean", "runs", "doctor"):
        words = (verb, sample, "--list") if verb == "clean" else (verb, sample)
        refused[verb] = epochal(*words, "--json")
    checked = json.loads(refused["check"].stdout)["problems"]

    assert (refused["train"].returncode, refused["check"].returncode) == (2, 1)
    error = json.loads(refused["train"].stderr)["error"]
    assert (error["code"], error["where"]) == ("untrusted", str(sample))
    assert f"epochal trust {sample}" in error["fix"]
    assert [(p["code"], p["severity"]) for p in checked if p["severity"] == "error"] == [("untrusted", "error")]
    assert [refused[verb].returncode for verb in ("data", "clean", "runs", "doctor")] == [0, 0, 0, 0]
    assert not mark.exists()
    assert not (sample / "runs").exists()


def test_a_file_called_like_a_library_is_not_taken_for_it_where_one_stands_in_the_project(sample, epochal):
    for name in ("tomlkit", "tomli_w", "torch", "json"):
        (sample / f"{name}.py").write_text(CANARY)

    done = epochal("runs", ".", cwd=sample)

    assert (done.returncode, (sample / "ran").exists()) == (0, False)


def test_the_sample_is_trusted_trained_stopped_resumed_tested_and_used(sample, epochal, tmp_path):
    trusted = epochal("trust", sample, "--yes")
    checked = epochal("check", sample)
    started = epochal(
        "train", sample, "--no-follow", "--json", "--set", "train.epochs=200000", "--set", "train.patience=200000"
    )
    assert started.returncode == 0, started.stderr
    run = sample / "runs" / "0001-own"
    for _look in range(600):
        if b'"k":"steps"' in (run / "journal.jsonl").read_bytes():
            break
        time.sleep(0.1)
    stopped = epochal("stop", sample, "--json")
    resumed = epochal("resume", sample, "--no-follow")
    again = epochal("stop", sample, "--json")
    trained = json.loads(epochal("train", sample, "--json").stdout)
    tested = json.loads(epochal("test", sample, "--json").stdout)
    rows = tmp_path / "new.csv"
    exported = epochal("data", sample, "--export", rows)
    predicted = epochal("predict", sample, rows, "-o", tmp_path / "out.csv")

    assert "model.py" in trusted.stdout
    assert checked.returncode == 0, checked.stdout
    assert json.loads(stopped.stdout)["state"] == "stopped"
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(again.stdout)["state"] == "stopped"
    assert (trained["state"], trained["family"]) == ("done", "own")
    assert tested["metrics"]["accuracy"] > tested["baselines"]["trivial"]["accuracy"] + 0.3
    assert exported.returncode == predicted.returncode == 0, predicted.stderr
    with (tmp_path / "out.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 178
    written = tomllib.loads((run / "run.toml").read_text())["code"]
    assert written["module"] == "model.py:Additive"
    assert list(written["files"]) == ["model.py"]
    assert written["digest"] in (sample / "runs" / "0002-own" / "report" / "card.md").read_text()


class TestTrusting:
    def test_asks_on_a_terminal_and_takes_a_yes(self, sample, epochal):
        answers = []
        for typed in ("n\n", "y\n"):
            ours, theirs = pty.openpty()
            os.write(ours, typed.encode())
            answers.append(epochal("trust", sample, stdin=theirs))
            os.close(ours)
            os.close(theirs)

        assert [a.returncode for a in answers] == [1, 0]
        assert "run as you" in answers[0].stdout
        assert "Trust these files? [y/N]" in answers[0].stderr
        assert "not trusted" in answers[0].stdout
        assert "trusted, code" in answers[1].stdout

    def test_does_not_take_silence_for_a_yes(self, sample, epochal):
        done = epochal("trust", sample)

        assert done.returncode == 2
        assert "add --yes" in done.stderr

    def test_ends_with_a_change_and_says_what_changed(self, sample, epochal):
        epochal("trust", sample, "--yes")
        (sample / "extra.py").write_text("")
        refused = epochal("train", sample)
        shown = epochal("trust", sample)

        assert (refused.returncode, "added extra.py" in refused.stderr) == (2, True)
        line = next(line for line in shown.stdout.splitlines() if line.startswith("extra.py"))
        assert line.split()[-1] == "added"

    def test_is_told_as_a_document_and_taken_back(self, sample, epochal):
        given = json.loads(epochal("trust", sample, "--yes", "--json").stdout)
        taken = json.loads(epochal("trust", sample, "--revoke", "--json").stdout)

        assert (given["trusted"], list(given["files"])) == (True, ["model.py"])
        assert taken == {"trusted": False, "revoked": 1}
        assert epochal("train", sample).returncode == 2

    def test_is_of_projects_that_have_code(self, tmp_path, epochal):
        epochal("demo", "penguins", "--into", tmp_path / "penguins")

        assert "no code here" in epochal("trust", tmp_path / "penguins", "--yes").stderr
        assert "there is no project here" in epochal("trust", tmp_path, "--yes").stderr


def test_a_model_that_raises_fails_its_run_with_its_own_line(sample, epochal):
    model = sample / "model.py"
    text = model.read_text().replace('hidden = torch.relu(batch["numbers"]', 'hidden = torch.relu(batch["nubmers"]')
    model.write_text(text)
    line = next(n for n, words in enumerate(text.splitlines(), 1) if "nubmers" in words)
    epochal("trust", sample, "--yes")
    checked = epochal("check", sample)
    trained = epochal("train", sample)

    assert (checked.returncode, trained.returncode) == (1, 1)
    for told in (checked.stdout, trained.stdout + trained.stderr):
        assert "KeyError: 'nubmers'" in told
        assert f"model.py:{line}" in told
    assert "Traceback" in (sample / "runs" / "0001-own" / "host.log").read_text()


def test_a_setting_the_class_does_not_take_is_named_before_a_run(sample, epochal):
    epochal("trust", sample, "--yes")
    project = sample / "project.toml"
    project.write_text(project.read_text().replace("width = 16", "widht = 16"))
    done = epochal("check", sample)

    assert done.returncode == 1
    assert "takes no setting `widht`" in done.stdout
    assert "did you mean `width`" in done.stdout


class TestWhatARunWouldBeRefusedFor:
    """It is told before a run has a number, and nothing of the project changes."""

    @pytest.mark.parametrize(
        ("sets", "said", "fix"),
        [
            (["model.widht=3"], "takes no setting `widht`", "did you mean `width`?"),
            (["model.epochs=3"], "takes no setting `epochs`", "did you mean `train.epochs`?"),
            (["epochs=3"], "`epochs` is not known", "did you mean `train.epochs`?"),
            (["model.module=model.py:Nett"], "model.py has no class Nett", "class Nett(torch.nn.Module)"),
            (["model.module=net.py:Additive"], "no file net.py", "model.py:CLASS"),
            (
                ["train.class_weights=balanced", "train.label_smoothing=0.1"],
                "label_smoothing = 0.1 means nothing: the model has a loss of its own",
                "leave out --set train.class_weights",
            ),
        ],
    )
    def test_in_its_settings(self, sample, epochal, sets, said, fix):
        epochal("trust", sample, "--yes")
        refused = epochal("train", sample, *(word for one in sets for word in ("--set", one)))

        assert refused.returncode == 2
        assert said in refused.stderr
        assert fix in refused.stderr
        assert not (sample / "runs").exists()

    @pytest.mark.parametrize(
        ("text", "said"),
        [("def f(:\n", "SyntaxError"), ("import no_such_library\n", "No module named 'no_such_library'")],
    )
    def test_in_its_file_with_the_line(self, sample, epochal, text, said):
        model = sample / "model.py"
        model.write_text(model.read_text() + text)
        epochal("trust", sample, "--yes")
        refused = epochal("train", sample)

        assert refused.returncode == 2
        assert said in refused.stderr
        assert f"where: model.py:{len(model.read_text().splitlines())}" in refused.stderr
        assert "`python model.py`" in refused.stderr
        assert not (sample / "runs").exists()

    def test_is_listed_by_the_check(self, sample, epochal):
        epochal("trust", sample, "--yes")
        project = sample / "project.toml"
        project.write_text(project.read_text().replace("[train]", "[train]\nlabel_smoothing = 0.1"))
        problems = json.loads(epochal("check", sample, "--quick", "--json").stdout)["problems"]

        (useless,) = (p for p in problems if p["code"] == "useless-setting")
        assert useless["where"] == "[train] label_smoothing"
        assert "loss of its own" in useless["what"]


def test_the_test_set_of_a_run_without_a_model_names_the_newest_that_has_one(sample, epochal):
    epochal("trust", sample, "--yes")
    alone = epochal("train", sample, "--set", "train.epochs=2")
    model = sample / "model.py"
    model.write_text(model.read_text().replace('hidden = torch.relu(batch["numbers"]', "hidden = torch.relu(None"))
    epochal("trust", sample, "--yes")
    failed = epochal("train", sample)
    refused = epochal("test", sample)

    assert (alone.returncode, failed.returncode, refused.returncode) == (0, 1, 2)
    assert "run 0002-own is failed and has no finished model  [no-model]" in refused.stderr
    assert "the newest run with a model is 1, 0001-own (done)" in refused.stderr


def test_a_model_is_named_for_one_run_alone(sample, epochal):
    epochal("trust", sample, "--yes")
    project = sample / "project.toml"
    text = project.read_text()
    project.write_text(text[: text.index("[model]")] + text[text.index("[train]") :])
    done = epochal("train", sample, "--json", "--set", "model.width=8", "--set", "model.module=model.py:Additive")

    assert json.loads(done.stdout)["family"] == "own", done.stderr


def test_without_a_class_the_line_is_named(sample, epochal):
    project = sample / "project.toml"
    lines = [line for line in project.read_text().splitlines() if not line.startswith("module")]
    project.write_text("\n".join(lines) + "\n")
    done = epochal("check", sample)

    assert done.returncode == 2
    number = next(n for n, line in enumerate(lines, 1) if line.startswith("family"))
    assert f"project.toml:{number}" in done.stderr
