"""The list of a run's checkpoints, over the Train pane: what stands there, and pinning by key."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from epochal.project.checkpoints import checkpoints_of
from epochal.testing import kept_run, run_events, screen_text, tiny_project, tiny_run, until
from epochal.tui.app import Workbench
from epochal.workbench import flow
from epochal.workbench.session import Session
from epochal.workbench.views.checkpoints import instead_of_rows
from epochal.workbench.views.words import age
from epochal.workbench.watcher import Watcher, Wish


SIZES = [(80, 24), (120, 40)]
PER_EPOCH = 60


def checkpoint(run: Path, step: int, value: float | None, *, hours_ago: float, healthy: bool = True) -> Path:
    """Write one as a run does, so long ago."""
    folder = run / "checkpoints" / f"step-{step:08}"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(bytes(416_000))
    manifest = {
        "format": 1,
        "step": step,
        "epoch": step / PER_EPOCH,
        "value": value,
        "healthy": healthy,
        "counters": {},
        "belongs": {},
        "files": {"model.safetensors": {"size": 416_000, "sha256": ""}},
    }
    path = folder / "manifest.json"
    path.write_text(json.dumps(manifest))
    when = time.time() - 3600 * hours_ago
    os.utime(path, (when, when))
    return folder


@pytest.fixture
def session(tmp_path, monkeypatch):
    """A run under way with four checkpoints: a pinned one, the best, and the two newest."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("EPOCHAL_THEME", raising=False)
    file = tiny_project(tmp_path / "penguins", family="tabm")
    spec = tiny_run(file)
    (checkpoint(spec.folder, 660, 0.971, hours_ago=60) / "pinned").write_text("")
    checkpoint(spec.folder, 1260, 0.985, hours_ago=36)
    checkpoint(spec.folder, 1680, 0.980, hours_ago=2.5)
    checkpoint(spec.folder, 1740, None, hours_ago=1.5, healthy=False)
    with kept_run(spec, run_events(end=False)):
        session = Session(vitals=None)
        session.open(file.folder)
        yield session
        session.close()


def sheet_of(app: Workbench) -> str:
    """What the sheet shows, without the pane around it."""
    width = min(84, app.size.width) - 1
    return "\n".join(
        line.partition("█")[2][:width].rstrip() for line in screen_text(app).splitlines() if line[:30].count("█") == 1
    )


def lines_of(app: Workbench) -> dict[str, str]:
    """Of each checkpoint that the sheet lists, its line, by its step."""
    told = (line.partition("█")[2].strip() for line in screen_text(app).splitlines())
    found = {}
    for line in told:
        step = line.replace("▸", "").strip()[:5].strip()
        if step in {"660", "1 260", "1 680", "1 740"} and "kB" in line:
            found[step] = line
    return found


async def opened(app: Workbench, pilot) -> None:
    """Press the key once the run is seen; wait for the list."""
    await until(lambda: "epoch 29 of 50" in screen_text(app), pilot, seconds=60)
    await pilot.press("K")
    await until(lambda: len(lines_of(app)) == 4, pilot, seconds=60)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "<1 min"), (59, "<1 min"), (60, "1 min"), (3599, "59 min"), (7200, "2 h"), (86_399, "23 h"), (200_000, "2 d")],
)
def test_an_age_is_told_as_people_tell_it(seconds, said):
    assert age(seconds) == said


@pytest.mark.parametrize("size", SIZES)
async def test_says_step_epoch_value_size_and_age_of_each_and_which_are_kept_for_what(session, size):
    app = Workbench(session, first="train")
    async with app.run_test(size=size) as pilot:
        await opened(app, pilot)
        shown = {step: line.replace("▸", "").split() for step, line in lines_of(app).items()}

        assert "Checkpoints of run 1" in screen_text(app)
        assert "4 checkpoints, 1.7 MB" in screen_text(app)
        assert list(shown) == ["1 740", "1 680", "1 260", "660"]
        assert " ".join(shown["1 740"]) == "1 740 29.0 – 416 kB 1 h last, not healthy"
        assert " ".join(shown["1 680"]) == "1 680 28.0 0.980 416 kB 2 h"
        assert " ".join(shown["1 260"]) == "1 260 21.0 0.985 416 kB 1 d best of these"
        assert " ".join(shown["660"]) == "660 11.0 0.971 416 kB 2 d pinned"


async def test_a_key_pins_the_one_under_the_cursor_and_lets_go_of_it_again(session):
    run = session.folder / "runs" / "0001-tabm"
    app = Workbench(session, first="train")
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot)
        await pilot.press("j", "j", "p")
        await until(lambda: "best of these, pinned" in lines_of(app)["1 260"], pilot, seconds=60)
        assert "the checkpoint of step 1 260 is pinned" in screen_text(app)
        assert [c.step for c in checkpoints_of(run) if c.pinned] == [660, 1260]

        await pilot.press("p")
        await until(lambda: "pinned" not in lines_of(app)["1 260"], pilot, seconds=60)
        assert [c.step for c in checkpoints_of(run) if c.pinned] == [660]


async def test_the_cursor_stays_on_its_checkpoint_while_a_newer_one_comes(session):
    app = Workbench(session, first="train")
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot)
        await pilot.press("j")
        checkpoint(session.folder / "runs" / "0001-tabm", 1800, 0.99, hours_ago=0)
        await until(lambda: "1 800" in screen_text(app), pilot, seconds=60)

        assert lines_of(app)["1 680"].startswith("▸")


async def test_one_that_is_gone_by_then_is_said_to_be(session):
    app = Workbench(session, first="train")
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot)
        newest = session.seen.checkpoints[-1]
        newest.folder.rename(newest.folder.with_name(".trash"))
        flow.pin_checkpoint(session, newest)  # as `p` does; by then the list itself may know better
        await until(lambda: "the checkpoint of step 1 740 is gone" in sheet_of(app), pilot, seconds=60)

        assert session.error is not None
        assert session.error.what == "the checkpoint of step 1 740 is gone"
        assert session.error.where == str(newest.folder)
        assert not newest.folder.exists()


async def test_c_asks_the_run_for_one(session):
    app = Workbench(session, first="train")
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot)
        await pilot.press("c")
        await until(lambda: "write a checkpoint" in screen_text(app), pilot, seconds=60)


def test_says_that_it_is_looked_until_the_first_look_and_only_then_that_there_is_none(tmp_path):
    file = tiny_project(tmp_path / "penguins")
    tiny_run(file)
    watcher = Watcher(lambda _seen: None)
    before = watcher.look(Wish(folder=file.folder)).checkpoints
    looked = watcher.look(Wish(folder=file.folder, checkpoints=True)).checkpoints

    assert (before, looked) == (None, ())
    assert instead_of_rows(before) == "Looking for them …"
    assert instead_of_rows(looked) == "There is none yet."


async def test_says_when_there_is_none(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    file = tiny_project(tmp_path / "penguins")
    with kept_run(tiny_run(file), run_events(end=True)):
        pass
    session = Session(vitals=None)
    session.open(file.folder)
    app = Workbench(session, first="train")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(lambda: session.info is not None, pilot, seconds=60)
        await pilot.press("K")
        await until(lambda: "There is none yet" in screen_text(app), pilot, seconds=60)
        await pilot.press("escape")
        await until(lambda: "There is none yet" not in screen_text(app), pilot)
    session.close()


@pytest.mark.parametrize("size", SIZES)
async def test_its_picture(session, size, same_picture):
    app = Workbench(session, first="train")
    async with app.run_test(size=size) as pilot:
        await opened(app, pilot)
        await same_picture(f"checkpoints-{size[0]}x{size[1]}", lambda: sheet_of(app), pilot)
