"""What a person wrote beside their decisions stays there, whichever face changes them; and no cache holds any of it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from epochal.core.steps import parse_step
from epochal.workbench.data_recipe import Recipe
from epochal.workbench.session import Session


DATA = "size,colour,kind\n" + "".join(f"{i},{'red ' if i % 3 else 'Blue'},{'ab'[i % 2]}\n" for i in range(60))
PROJECT = """\
# My flowers.
format = 1
name = "flowers"

[[source]]
name = "flowers"
uri = "flowers.csv"

[columns]
target = "kind"  # what the question is about

# Spaces came with the export.
# (Ask Ada.)
[[clean]]
op = "trim"  # both ends
columns = ["colour"]

# Blue and blue are one.
[[clean]]
op = "lower"
columns = ["colour"]
# No blank line above this one.
[[clean]]
op = "set_kind"
columns = [
    "size",  # in mm
]
kind = "number"

# A quarter is enough.
[split]
kind = "random"
test = 0.25  # of all rows
"""
BELONGS = {
    "trim": ["# Spaces came with the export.", "# (Ask Ada.)", "# both ends"],
    "lower": ["# Blue and blue are one."],
    "set_kind": ["# No blank line above this one.", "# in mm"],
    "[split]": ["# A quarter is enough.", "# of all rows"],
}
"""The comments of each step and of the table, in order."""


def comments_by_owner(text: str) -> dict[str, list[str]]:
    """Every comment, under the step or table it stands above or in: read from the lines, by no code of ours."""
    found: dict[str, list[str]] = {}
    waiting: list[str] = []
    header = ""
    owner = ""
    for line in text.splitlines():
        comment = re.search(r"#.*$", line)
        if not line.strip():
            found.setdefault("", []).extend(waiting)
            waiting = []
        elif line.startswith("#"):
            waiting.append(line)
        elif line.startswith("["):
            header, owner = line, line
        elif header == "[[clean]]" and (op := re.match(r'op = "(\w+)"', line)):
            owner = op[1]
        if line.strip() and not line.startswith(("#", "[[")):
            found.setdefault(owner, []).extend(waiting)
            waiting = []
        if comment and not line.startswith("#"):
            found.setdefault(owner, []).append(comment[0])
    return found


def assert_comments_stay(folder: Path, steps: list[str]) -> None:
    text = (folder / "project.toml").read_text()
    assert re.findall(r'^op = "(\w+)"', text, re.MULTILINE) == steps
    found = comments_by_owner(text)
    for owner, comments in BELONGS.items():
        if owner == "[split]" or owner in steps:
            assert found.get(owner) == comments, owner
        else:
            assert not set(comments) & set(text.splitlines()), f"{owner} is gone, its comments are not"
    assert text.startswith("# My flowers.\nformat = 1\n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "flowers.csv").write_text(DATA)
    (tmp_path / "project.toml").write_text(PROJECT)
    return tmp_path


def clean(folder: Path, *words: str) -> dict:
    done = subprocess.run(
        [sys.executable, "-m", "epochal", "clean", str(folder), *words, "--json"],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_on_the_command_line_comments_stay_with_their_steps(folder):
    steps = ["trim", "lower", "set_kind"]
    assert_comments_stay(folder, steps)

    clean(folder, "upper", "--columns", "colour")
    assert_comments_stay(folder, [*steps, "upper"])
    clean(folder, "--move", "3", "1")
    assert_comments_stay(folder, ["set_kind", "trim", "lower", "upper"])
    clean(folder, "--delete", "2")
    assert_comments_stay(folder, ["set_kind", "lower", "upper"])
    clean(folder, "--disable", "2")
    clean(folder, "lower", "--columns", "colour,kind", "--replace", "2")
    assert_comments_stay(folder, ["set_kind", "lower", "upper"])

    shutil.rmtree(folder / ".epochal")  # holds no decision
    for was in (
        ["set_kind", "lower", "upper"],
        ["set_kind", "lower", "upper"],
        ["set_kind", "trim", "lower", "upper"],
        [*steps, "upper"],
        steps,
    ):
        clean(folder, "--undo")
        assert_comments_stay(folder, was)
    assert (folder / "project.toml").read_text() == PROJECT
    assert clean(folder, "--undo")["undone"] is None

    for _ in range(5):
        clean(folder, "--redo")
    assert_comments_stay(folder, ["set_kind", "lower", "upper"])
    assert clean(folder, "--redo")["redone"] is None


def test_in_the_workbench_they_do_too_across_a_restart(folder):
    def opened() -> tuple[Session, Recipe]:
        session = Session(deliver=lambda _: None)
        session.open(folder)
        return session, Recipe(session)

    session, recipe = opened()
    assert recipe.put_step(parse_step({"op": "upper", "columns": ["colour"]}))
    assert recipe.move_step(0, 2)
    assert_comments_stay(folder, ["lower", "set_kind", "trim", "upper"])
    assert recipe.delete_step(1)
    assert_comments_stay(folder, ["lower", "trim", "upper"])
    assert session.set("split.test", 0.2)
    assert recipe.toggle_step(0)
    assert_comments_stay(folder, ["lower", "trim", "upper"])
    session.close()

    shutil.rmtree(folder / ".epochal", ignore_errors=True)
    session, recipe = opened()
    for was in (
        ["lower", "trim", "upper"],
        ["lower", "trim", "upper"],
        ["lower", "set_kind", "trim", "upper"],
        ["trim", "lower", "set_kind", "upper"],
        ["trim", "lower", "set_kind"],
    ):
        assert session.undo()
        assert_comments_stay(folder, was)
    assert (folder / "project.toml").read_text() == PROJECT
    for _ in range(5):
        assert session.redo()
    assert_comments_stay(folder, ["lower", "trim", "upper"])
    assert session.project.split.test == 0.2
    session.close()
