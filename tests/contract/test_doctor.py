"""The doctor: an independent look at every file, which finds what is broken and is brought down by nothing."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from epochal.core.events import PhaseStarted, RunEnded
from epochal.core.settings import Model, Project
from epochal.core.steps import Step
from epochal.journal.append import JournalWriter
from epochal.project.doctor import examine
from epochal.project.file import ProjectFile, create_project
from epochal.project.looks import record_look
from epochal.project.mappings import write_mapping
from epochal.project.runfile import RunSpec, write_run


RUN = "runs/0001-mlp"
STEP = f"{RUN}/checkpoints/step-00000010"


def tensors() -> bytes:
    header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    return struct.pack("<Q", len(header)) + header + b"\0" * 8


PARQUET = b"PAR1" + b"\0" * 20 + struct.pack("<I", 20) + b"PAR1"


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A project with one of everything, made by the code that makes it."""
    folder = tmp_path_factory.mktemp("doctor") / "p"
    steps = (Step(op="map_values", params={"column": "a", "file": "mappings/a.csv"}),)
    file = create_project(folder, Project(name="x", clean=steps, model=Model(family="mlp")))
    write_mapping(folder, "a", {"one": "1"})
    file.change(replace(file.project, clean=(*steps, Step(op="trim", params={"columns": ("a",)}))), "trim")
    file.undo()
    record_look(folder, "0001-mlp", "f")
    (folder / "labels").mkdir()
    (folder / "labels" / "me.jsonl").write_text('{"row": "a"}\n')
    run = folder / RUN
    run.mkdir(parents=True)
    write_run(
        RunSpec(
            folder=run,
            name="0001-mlp",
            project=file.project,
            snapshot_id="s",
            split_id="t",
            created="2026-11-22",
            inputs=(),
        )
    )
    journal = JournalWriter(run)
    for event in (
        PhaseStarted(name="reading"),
        PhaseStarted(name="training"),
        RunEnded(state="done", reason="finished"),
    ):
        journal.append(event)
    journal.close()
    for part in ("bundle", "report", "checkpoints/step-00000010"):
        (run / part).mkdir(parents=True)
    digest = hashlib.sha256(tensors()).hexdigest()
    (run / "bundle" / "model.safetensors").write_bytes(tensors())
    (run / "bundle" / "baselines").mkdir()
    (run / "bundle" / "baselines" / "strong.txt").write_text("tree\n")
    strong = hashlib.sha256(b"tree\n").hexdigest()
    (run / "bundle" / "bundle.toml").write_text(
        f'[files]\n"model.safetensors" = {{ size = {len(tensors())}, sha256 = "{digest}" }}\n'
        f'"baselines/strong.txt" = {{ size = 5, sha256 = "{strong}" }}\n'
    )
    (run / "report" / "predictions.parquet").write_bytes(PARQUET)
    (folder / STEP / "model.safetensors").write_bytes(tensors())
    files = {"model.safetensors": {"size": len(tensors()), "sha256": digest}}
    (folder / STEP / "manifest.json").write_text(json.dumps({"format": 1, "files": files}))
    snapshot = folder / ".epochal" / "snapshots" / "s"
    snapshot.mkdir(parents=True)
    (snapshot / "rows-0.parquet").write_bytes(PARQUET)
    (snapshot / "manifest.toml").write_text('id = "s"\nfiles = ["rows-0.parquet"]\n')
    return folder


@pytest.fixture
def folder(whole, tmp_path) -> Path:
    shutil.copytree(whole, tmp_path / "p")
    return tmp_path / "p"


def codes(folder: Path) -> list[str]:
    return [f.code for f in examine(folder)]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def swap(old: str, new: str):
    return lambda path: path.write_text(path.read_text().replace(old, new, 1))


def test_a_whole_project_has_no_findings(folder):
    assert examine(folder) == []


@pytest.mark.parametrize(
    ("file", "damage", "code", "severity"),
    [
        ("project.toml", swap("[model]", "[mdoel]"), "unknown-key", "error"),
        ("project.toml", Path.unlink, "no-project", "error"),
        ("project.toml", swap("mlp", "trees"), "changed-outside", "hint"),
        ("mappings/a.csv", Path.unlink, "mapping", "error"),
        ("mappings/a.csv", swap("from", "form"), "mapping", "error"),
        ("history.jsonl", cut, "torn", "hint"),
        ("history.jsonl", swap("mlp", "xxx"), "history-altered", "warning"),
        ("history.jsonl", swap('"k": "undo", "to": 1', '"k": "undo", "to": 9'), "history-gap", "warning"),
        ("history.jsonl", swap("{", "["), "damaged-line", "warning"),
        ("looks.jsonl", cut, "torn", "hint"),
        ("looks.jsonl", Path.unlink, "look-missing", "error"),
        ("looks.jsonl", swap('"f"', "1"), "damaged-line", "warning"),
        ("labels/me.jsonl", swap("{", "{{"), "damaged-line", "warning"),
        (f"{RUN}/run.toml", Path.unlink, "run-settings", "error"),
        (f"{RUN}/run.toml", swap("snapshot =", "snapshto ="), "run-settings", "error"),
        (f"{RUN}/run.toml", swap('family = "mlp"', 'family = "mpl"'), "run-settings", "error"),
        (f"{RUN}/run.toml", swap('run = "0001-mlp"', 'run = "0002-mlp"'), "run-renamed", "warning"),
        (f"{RUN}/journal.jsonl", swap("reading", "raeding"), "journal-damaged", "warning"),
        (f"{RUN}/journal.jsonl", cut, "torn", "hint"),
        (f"{RUN}/journal.jsonl", lambda p: p.write_bytes(p.read_bytes().split(b"\n", 1)[1]), "journal-gap", "warning"),
        (f"{RUN}/journal.jsonl", Path.unlink, "no-journal", "hint"),
        (f"{STEP}/model.safetensors", cut, "checkpoint", "error"),
        (f"{STEP}/model.safetensors", lambda p: p.write_bytes(p.read_bytes()[:-1] + b"\1"), "checkpoint", "error"),
        (f"{STEP}/manifest.json", cut, "checkpoint", "error"),
        (f"{STEP}/manifest.json", Path.unlink, "checkpoint", "error"),
        (f"{RUN}/bundle/model.safetensors", lambda p: p.write_bytes(p.read_bytes()[:-1] + b"\1"), "bundle", "error"),
        (f"{RUN}/bundle/baselines/strong.txt", swap("tree", "tray"), "bundle", "error"),
        (f"{RUN}/bundle/baselines/strong.txt", Path.unlink, "bundle", "error"),
        (f"{RUN}/bundle/bundle.toml", swap("baselines/", "../"), "bundle", "error"),
        (f"{RUN}/bundle/bundle.toml", swap("[files]", "[flies]"), "bundle", "error"),
        (f"{RUN}/bundle/bundle.toml", cut, "bundle", "error"),
        (f"{RUN}/report/predictions.parquet", cut, "damaged", "error"),
        (".epochal/snapshots/s/rows-0.parquet", Path.unlink, "cache", "warning"),
        (".epochal/snapshots/s/manifest.toml", swap('"s"', '"r"'), "cache", "warning"),
    ],
)
def test_each_kind_of_damage_is_found_and_named(folder, file, damage, code, severity):
    damage(folder / file)
    found = {(f.code, f.severity) for f in examine(folder)}
    assert (code, severity) in found
    assert all(f.fix and f.what and f.where for f in examine(folder))


def test_leftovers_and_links_that_lead_out_are_told(folder, tmp_path):
    (folder / ".project.toml.0123456789ab.tmp").write_text("")
    (folder / "runs" / "out").symlink_to(tmp_path.parent)
    (folder / "runs" / "0001-trees").mkdir()
    assert {"leftover", "link", "same-number", "stray-folder"} <= set(codes(folder))


def test_what_a_killed_process_was_replacing_is_told_to_be_put_back_never_to_be_deleted(folder):
    aside = folder / "runs" / ".old.0001-trees.0123456789ab.tmp"
    aside.mkdir()
    (found,) = (f for f in examine(folder) if f.code == "leftover")
    assert found.fix == "rename it to 0001-trees"


def test_a_cache_that_git_would_take_in_is_told(folder):
    (folder / ".git").mkdir()
    assert codes(folder) == []
    (folder / ".gitignore").write_text("*.csv\n")
    assert codes(folder) == ["cache-in-git"]


def test_deleting_the_cache_loses_no_decision(folder):
    before = ProjectFile.open(folder)
    shutil.rmtree(folder / ".epochal")
    after = ProjectFile.open(folder)
    assert (after.project, after.redo_why, codes(folder)) == (before.project, "trim", [])


def test_no_damage_to_any_file_brings_the_doctor_down(folder):
    chance = random.Random(3)
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    for path in files:
        data = path.read_bytes()
        broken = [b"", b"\0" * 100, b"\xff\xfe" + data, data[: len(data) // 2], b"[" * 3000, os.urandom(200)]
        for _ in range(6):
            flipped = bytearray(data)
            flipped[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            broken.append(bytes(flipped))
        for content in broken:
            path.write_bytes(content)
            examine(folder)
        path.unlink()
        for make in (Path.mkdir, os.mkfifo, lambda p: p.symlink_to(p)):
            make(path)
            assert codes(folder) or path.name == ".gitignore"
            path.rmdir() if path.is_dir() else path.unlink()
        path.write_bytes(data)
    assert codes(folder) == []


def test_examining_writes_nothing(folder):
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
    examine(folder)
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*")} == before
