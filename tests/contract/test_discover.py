"""Samples and themes are found in an editable install and in a wheel; projects opened of late are remembered."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import epochal
from epochal.project.discover import (
    MAX_RECENT,
    recent_projects,
    remember_project,
    shipped_projects,
    shipped_themes,
    state_folder,
)
from epochal.project.read import read_project


ROOT = Path(epochal.__file__).resolve().parents[2]
SAMPLES = {"penguins", "breast-cancer", "diabetes", "digits-table"}
LIST = (
    "from epochal.project.discover import shipped_projects, shipped_themes\n"
    "import epochal, json\n"
    "print(json.dumps([epochal.__file__, {k: str(v) for k, v in shipped_projects().items()}, sorted(shipped_themes())]))"
)


def test_the_working_copy_finds_its_samples_and_themes():
    assert set(shipped_projects()) >= SAMPLES
    assert {"dusk", "dawn", "ansi"} <= set(shipped_themes())


def test_every_sample_reads_and_names_the_licence_of_each_source():
    for name, folder in shipped_projects().items():
        project = read_project(folder)
        assert project.name == name
        assert all(s.licence and s.personal_data for s in project.sources), name


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel, unpacked, of a working copy in which a sample was used in place."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("projects", "themes"):
        shutil.copytree(ROOT / name, source / name)
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, source)
    used = source / "projects" / "penguins"
    for left in ("history.jsonl", "looks.jsonl", ".epochal/scratch.db", "runs/0001-tabm/run.toml"):
        (used / left).parent.mkdir(parents=True, exist_ok=True)
        (used / left).write_text("made by use")
    _pip("wheel", "-w", str(folder), str(source))
    packed = next(folder.glob("*.whl"))
    shutil.unpack_archive(packed, folder / "installed", "zip")
    return packed, folder / "installed"


def _pip(verb: str, *words: str) -> None:
    """One pip command without a network; the test is skipped, and says so, where hatchling is not installed."""
    done = subprocess.run(
        [sys.executable, "-m", "pip", verb, "--no-deps", "--no-build-isolation", "-q", *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INDEX": "1"},
        timeout=300,
    )
    if done.returncode and "hatchling" in done.stderr:
        pytest.skip(f"NOT TESTED HERE: building without a network needs hatchling installed: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr


def _listed(path: Path, cwd: Path) -> tuple[Path, dict[str, Path], list[str]]:
    """Where an interpreter that imports from `path` alone finds the package, the samples and the themes."""
    listed = subprocess.run(
        [sys.executable, "-c", LIST],
        capture_output=True,
        text=True,
        check=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(path)},
    )
    package, projects, themes = json.loads(listed.stdout)
    return Path(package), {name: Path(folder) for name, folder in projects.items()}, themes


def test_a_wheel_brings_samples_and_themes_along(wheel, tmp_path):
    _, installed = wheel

    package, projects, themes = _listed(installed, tmp_path)

    assert package.is_relative_to(installed)
    assert set(projects) == set(shipped_projects())
    assert set(themes) == set(shipped_themes())
    for name, folder in projects.items():
        assert folder.is_relative_to(installed)
        here = shipped_projects()[name]
        tracked = {p.relative_to(here) for p in here.rglob("*") if p.is_file() and not _made(p.relative_to(here))}
        assert tracked == {p.relative_to(folder) for p in folder.rglob("*") if p.is_file()}


def test_a_wheel_is_small_and_holds_nothing_else(wheel):
    packed, installed = wheel

    assert packed.stat().st_size < 1 << 20
    assert {p.name for p in installed.iterdir() if p.suffix != ".dist-info"} == {"epochal"}
    assert "made by use" not in {p.read_text() for p in (installed / "epochal" / "_shipped").rglob("*.*")}


def test_an_editable_install_finds_them_in_the_working_copy(tmp_path):
    _pip("install", "-e", str(ROOT), "--target", str(tmp_path / "site"))
    (link,) = (tmp_path / "site").glob("*epochal*.pth")

    package, projects, themes = _listed(Path(link.read_text().strip()), tmp_path)

    assert package == ROOT / "src" / "epochal" / "__init__.py"
    assert projects == {name: ROOT / "projects" / name for name in projects}
    assert set(projects) >= SAMPLES
    assert {"dusk", "dawn", "ansi"} <= set(themes)


def _made(path: Path) -> bool:
    """Whether a file of a sample was made by using it in place."""
    return path.parts[0] in {".epochal", "runs", "history.jsonl", "looks.jsonl"}


class TestRecentProjects:
    @pytest.fixture(autouse=True)
    def state(self, tmp_path, monkeypatch) -> Path:
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
        return tmp_path / "state" / "epochal"

    def project(self, folder: Path) -> Path:
        folder.mkdir(parents=True)
        (folder / "project.toml").write_text('name = "x"\n')
        return folder

    def test_come_newest_first_and_once(self, tmp_path):
        one, two = self.project(tmp_path / "one"), self.project(tmp_path / "two")
        for folder in (one, two, one):
            remember_project(folder)
        assert recent_projects() == [one, two]

    def test_that_are_gone_are_left_out(self, tmp_path):
        one = self.project(tmp_path / "one")
        remember_project(one)
        shutil.rmtree(one)
        assert recent_projects() == []

    def test_are_not_kept_for_ever(self, tmp_path):
        for i in range(MAX_RECENT + 5):
            remember_project(self.project(tmp_path / str(i)))
        assert len(recent_projects()) == MAX_RECENT

    @pytest.mark.parametrize("text", ["", "{", "[1, null]", '"x"', "[" * 3000, '["relative"]'])
    def test_survive_a_damaged_list(self, tmp_path, state, text):
        state.mkdir(parents=True)
        (state / "recent.json").write_text(text)
        assert recent_projects() == []
        remember_project(one := self.project(tmp_path / "one"))
        assert recent_projects() == [one]

    def test_are_no_reason_to_stop_when_they_cannot_be_kept(self, tmp_path, state):
        state.parent.write_text("a file where the folder should be")
        remember_project(self.project(tmp_path / "one"))
        assert recent_projects() == []

    def test_stand_in_the_persons_home_by_default(self, monkeypatch):
        monkeypatch.setenv("XDG_STATE_HOME", "relative")
        assert state_folder() == Path.home() / ".local" / "state" / "epochal"
