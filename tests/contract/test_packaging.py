"""What an installation takes: every package pinned, every import declared, nothing shipped that was made by use."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[2]
PACKAGES = {"sklearn": "scikit-learn"}
"""Import names that differ from the package's name."""


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture(scope="module")
def pinned() -> dict[str, str]:
    """What is pinned, but for what benchmarks alone need: that is installed on no machine that only tests."""
    needed, _comment, _bench = (ROOT / "constraints.txt").read_text().partition("# What the extra `bench`")
    lines = [line for line in needed.splitlines() if line and line[0] != "#"]
    return {normal(name): version for name, version in (line.split("==") for line in lines)}


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def taken(requirements: list[str], extra: str = "") -> set[str]:
    """The packages these requirements bring along, by what is installed here, those of theirs included."""
    requirement = pytest.importorskip("packaging.requirements").Requirement
    found: set[str] = set()
    waiting = [(requirement(text), extra) for text in requirements]
    while waiting:
        wanted, of = waiting.pop()
        name = normal(wanted.name)
        if wanted.marker and not wanted.marker.evaluate({"extra": of}):
            continue
        new = name not in found
        found.add(name)
        inner = metadata.requires(name) or []
        if new:
            waiting += [(requirement(text), "") for text in inner]
        waiting += [(requirement(text), e) for e in wanted.extras for text in inner if f'"{e}"' in text]
    return found


def test_everything_that_an_installation_brings_along_is_pinned(pinned, project):
    brought = taken([*project["dependencies"], *project["optional-dependencies"]["test"]])

    assert brought <= set(pinned), "not pinned in constraints.txt"


def test_nothing_is_pinned_that_nothing_brings_along(pinned, project):
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]

    assert set(pinned) <= taken([*project["dependencies"], *project["optional-dependencies"]["test"], *build])


def test_what_is_installed_here_is_what_is_pinned(pinned):
    here: dict[str, str] = {}
    for found in metadata.distributions():
        # The first on the path is the installed one: others are copies that packages carry inside.
        here.setdefault(normal(found.metadata["Name"]), found.version.partition("+")[0])

    assert {name: here[name] for name in pinned if name in here} == {n: v for n, v in pinned.items() if n in here}


def test_what_is_imported_is_what_is_declared(project):
    """A package that is there only because another brings it along is gone when that one changes its mind."""
    declared = {normal(re.split(r"[<>=\[; ]", text)[0]) for text in project["dependencies"]}
    imported: set[str] = set()
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            imported |= {name.partition(".")[0] for name in names}
    outside = {normal(PACKAGES.get(n, n)) for n in imported - sys.stdlib_module_names - {"epochal"}}

    # Textual is made of rich and always brings it along.
    assert outside - {"rich"} == declared


def test_the_constraints_satisfy_what_is_declared(pinned, project):
    requirement = pytest.importorskip("packaging.requirements").Requirement
    for text in [*project["dependencies"], *project["optional-dependencies"]["test"]]:
        wanted = requirement(text)
        assert wanted.specifier.contains(pinned[normal(wanted.name)]), text
