"""The workbench's own process while it is used: a file looked at, a run live, every pane visited."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from epochal.runs.control import send
from epochal.runs.follow import Follower


HEAVY = re.compile(
    r"/(torch|numpy|duckdb|_duckdb|pyarrow|sklearn|scipy|lightgbm|pandas|datasets|safetensors)[^\n]*\.so"
)
MOST_MIB = 100
PANES = (
    ("1", "What is held out"),
    ("2", "F facets"),
    ("3", "What it will do"),
    ("4", "Which model?"),
    ("6", "The test set is sealed"),
    ("7", "There is no finished model yet"),
    ("5", "running"),
)
"""The key of each, and what only it shows."""


def resident_mib(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024


def loaded(pid):
    """The heavy libraries that are mapped into a process."""
    return {found[1] for found in HEAVY.finditer(Path(f"/proc/{pid}/maps").read_text())}


@pytest.fixture
def goods(tmp_path):
    lines = ["size,weight,kind"]
    lines += [f"{i % 13},{i % 7 + (5 if i % 2 else 0)},{'odd' if i % 2 else 'even'}" for i in range(300)]
    (tmp_path / "goods.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_holds_no_heavy_library_and_little_memory_before_a_file(terminal, goods):
    face = terminal("goods.csv", columns=120, lines=40)
    face.wait_for("Enter makes the project")

    assert loaded(face.pid) == set()
    assert resident_mib(face.pid) <= MOST_MIB


def test_holds_no_heavy_library_and_little_memory_with_a_run_live_in_every_pane(terminal, goods):
    settings = ("model.family=linear", "train.epochs=1000000", "train.patience=1000000", 'train.time_limit="5 min"')
    words = ["new", "p", "--data", "goods.csv", "--target", "kind", *(w for s in settings for w in ("--set", s))]
    subprocess.run([sys.executable, "-m", "epochal", *words], cwd=goods, check=True, capture_output=True)
    face = terminal("p", columns=120, lines=40)
    face.wait_for("F facets")
    face.press("5")
    face.wait_for("No run yet")
    face.press("n")
    face.wait_for(lambda text: re.search(r"train [0-9.]+", text) and "running" in text)
    run = goods / "p" / "runs" / "0001-linear"

    for stage, only_there in PANES:
        face.press(stage)
        face.wait_for(only_there)
    face.press("?")
    heavy, mib, host = loaded(face.pid), resident_mib(face.pid), Follower(run).read_all().host.pid
    seen_in_host = loaded(host)
    send(run, "stop")

    assert heavy == set()
    assert mib <= MOST_MIB
    assert "torch" in seen_in_host  # the look is able to see them
