"""Checking and verifying a model of one's own that prints, never comes back, or whose loss becomes no number."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

import shared
from epochal.core.errors import RunError
from epochal.data.protocol import body_of
from epochal.project.code import read_code
from epochal.project.file import ProjectFile
from epochal.project.trust import trust
from epochal.runs.own import look_at_class
from epochal.runs.trial import try_training
from epochal.workbench.data_client import DataClient
from epochal.workbench.operations import build, copy_sample


ANSWERS = (
    '{"kind": "result", "trial": {}, "segment": {}, "rows": 0}',
    '{"kind": "error", "code": "fooled", "what": "fooled", "where": "", "fix": ""}',
)
"""Lines that a host could answer."""

PRINTING = f"""
import os
import sys

for line in {ANSWERS!r}:
    print(line)
    sys.__stdout__.write(line + "\\n")
    os.write(1, line.encode() + b"\\n")
print("and no line end", end="", flush=True)
"""

MODEL = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, spec):
        super().__init__()
        self.last = nn.Linear(spec.numbers, spec.outputs)
        self.seen = 0
{making}
    def forward(self, batch):
{going}
        return self.last(batch["numbers"])

    def loss(self, output, batch):
        self.seen += 1
        return nn.functional.cross_entropy(output, batch["target"]) * {factor}
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Trust and settings of this test alone."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path


def project_of(home: Path, text: str) -> Path:
    """The sample with another model, trusted."""
    folder = copy_sample("own-model", home / "p")
    file = ProjectFile.open(folder)
    (folder / "model.py").write_text(text)
    (folder / "project.toml").write_text(
        "\n".join(
            line
            for line in file.text.replace("model.py:Additive", "model.py:Net").splitlines()
            if line.split(" ")[0] not in file.project.model.options or line.startswith("module")
        )
        + "\n"
    )
    trust(folder, read_code(folder))
    return folder


def model(making: str = "", going: str = "", factor: str = "1.0", first: str = "") -> str:
    """A small model that does this when it is made, in each call, and to its loss."""
    indented = [(" " * 8 + text + "\n") if text else "" for text in (making, going)]
    return first + MODEL.format(making=indented[0], going=indented[1], factor=factor)


epochal = partial(shared.epochal, check=False, seconds=300)


def test_what_a_model_prints_is_neither_an_answer_nor_in_its_way(home):
    """Its lines look like answers, and its last one has no end: check, verify-resume, test and predict go on as without."""
    folder = project_of(home, model(going='print(".", end="", flush=True)', first=PRINTING))
    checked = epochal("check", folder, "--json")
    verified = epochal("verify-resume", folder, "--steps", "6", "--at", "3")
    trained = epochal("train", folder, "--json", "--set", "train.epochs=2")
    tested = epochal("test", folder, "--json")
    rows = home / "new.csv"
    exported = epochal("data", folder, "--export", rows)
    predicted = epochal("predict", folder, rows, "-o", home / "out.csv", "--json")

    assert checked.returncode == 0, checked.stderr + checked.stdout
    assert set(json.loads(checked.stdout)["checks"]) >= {"overfit", "batch_size"}
    assert verified.stdout.splitlines()[-1] == "verdict: exact", verified.stderr
    assert json.loads(trained.stdout)["state"] == "done"
    assert json.loads(tested.stdout)["rows"] > 0
    assert exported.returncode == 0
    assert json.loads(predicted.stdout)["rows"] == 178


def test_a_loss_that_becomes_no_number_ends_the_check_and_is_told(home):
    folder = project_of(home, model(factor='(float("nan") if self.seen > 60 else 1.0)'))
    done = epochal("check", folder, "--json")
    found = json.loads(done.stdout)
    told = [p for p in found["problems"] if p["severity"] == "error"]

    assert done.returncode == 1
    assert "loss-not-finite" in {p["code"] for p in told}
    assert any("leaves the finite numbers after 60 steps" in p["what"] for p in told)
    assert found["checks"]["learning_rate"]["not_finite"] is not None


def test_a_loss_that_is_no_number_from_the_start_is_told_once(home):
    folder = project_of(home, model(factor='float("nan")'))
    done = epochal("check", folder, "--json")

    assert done.returncode == 1
    errors = [p for p in json.loads(done.stdout)["problems"] if p["severity"] == "error"]
    assert [(p["code"], p["where"]) for p in errors] == [("loss-not-finite", "[model] module")]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (model(making="while True: pass"), "in __init__"),
        (model(going="while True: pass"), "in forward"),
    ],
    ids=["made", "called"],
)
def test_a_model_that_does_not_come_back_ends_the_check_with_its_own_line(home, text, where):
    folder = project_of(home, text)
    file = ProjectFile.open(folder)
    line = next(n for n, words in enumerate(text.splitlines(), 1) if "while True" in words)
    with DataClient() as client:
        project, built = build(client, file, tell=lambda _notice: None, project=file.project)

    with pytest.raises(RunError) as failed:
        try_training(
            folder,
            project,
            body_of(built),
            part_seconds=6.0,
        )

    assert failed.value.error_code == "check-stuck"
    assert "has not ended after 6 s" in failed.value.what
    assert failed.value.where == f"model.py:{line}, {where}"


def test_a_file_whose_import_does_not_come_back_ends_with_its_line_before_there_is_a_run(home):
    folder = project_of(home, "while True: pass\n" + model())
    (home / "link").symlink_to(folder)

    with pytest.raises(RunError) as failed:
        look_at_class(
            home / "link", ProjectFile.open(folder).project, part_seconds=2.0, report=lambda _text, _share: None
        )

    assert failed.value.error_code == "check-stuck"
    assert failed.value.where == "model.py:1, in <module>"
