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


def test_a_wheel_brings_samples_and_themes_along(tmp_path):
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "-q",
        "-w",
        str(tmp_path),
        str(ROOT),
    ]
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INDEX": "1"}
    made = subprocess.run(build, capture_output=True, text=True, check=False, env=environment, timeout=300)
    if made.returncode and "hatchling" in made.stderr:
        pytest.skip(
            f"NOT TESTED HERE: building a wheel without a network needs hatchling installed: {made.stderr[-300:]}"
        )
    assert made.returncode == 0, made.stderr
    shutil.unpack_archive(next(tmp_path.glob("*.whl")), tmp_path / "installed", "zip")
    listed = subprocess.run(
        [sys.executable, "-c", LIST],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "installed")},
    )
    package, projects, themes = json.loads(listed.stdout)
    assert Path(package).is_relative_to(tmp_path)
    assert set(projects) == set(shipped_projects())
    assert set(themes) == set(shipped_themes())
    for name, folder in projects.items():
        assert Path(folder).is_relative_to(tmp_path)
        here = shipped_projects()[name]
        tracked = {p.relative_to(here) for p in here.rglob("*") if p.is_file() and not _made(p.relative_to(here))}
        assert tracked <= {p.relative_to(folder) for p in Path(folder).rglob("*")}


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
