"""What the documents say is so: the reference is made from the code, the README's command is what CI runs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from epochal.cli.main import VERBS
from epochal.project.read import read_project


ROOT = Path(__file__).parents[2]


def test_the_reference_is_up_to_date():
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "make_reference.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_readme_has_exactly_two_set_up_commands_of_one_line():
    commands = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("    ")]

    assert len(commands) == 2
    assert commands[0].endswith("epochal demo")
    assert commands[1].endswith("tests/everything.py")
    assert all("-c constraints.txt" in command for command in commands)


def test_the_readme_names_only_verbs_that_exist():
    text = (ROOT / "README.md").read_text()
    named = set(re.findall(r"^epochal ([\w-]+)|; epochal ([\w-]+)", text, re.MULTILINE))

    assert {a or b for a, b in named} <= set(VERBS)


def test_links_of_the_documents_lead_somewhere():
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_constraints_pin_every_package_exactly():
    lines = [ln for ln in (ROOT / "constraints.txt").read_text().splitlines() if ln and not ln.startswith("#")]

    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[^=+\s]+", line) for line in lines)
    assert "torch==2.13.0" in lines


@pytest.mark.parametrize("sample", sorted(p.name for p in (ROOT / "projects").iterdir() if p.is_dir()))
def test_every_sample_declares_where_its_data_come_from(sample):
    project = read_project(ROOT / "projects" / sample)

    assert project.goal.question
    assert project.goal.intended_use
    for source in project.sources:
        assert source.licence
        assert source.origin
        assert source.personal_data


def test_no_module_is_too_long_to_read_in_one_sitting():
    long = {
        str(path.relative_to(ROOT)): lines
        for path in (ROOT / "src").rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > 500
    }

    assert long == {}


def test_only_the_edges_catch_everything():
    """Anywhere else an `except Exception` hides a mistake from whoever could mend it.

    Where a person's own model is called is an edge: their code may raise anything, and is told by its own line.
    """
    edges = {
        "cli/main.py",
        "data_host.py",
        "host.py",
        "predict_host.py",
        "rank_host.py",
        "runs/thread_host.py",
        "train/own/errors.py",
        "workbench/session.py",
    }
    package = ROOT / "src" / "epochal"

    catching = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if re.search(r"except \(?(Exception|.*\bException\b)|except:", path.read_text())
    }

    assert catching == edges
