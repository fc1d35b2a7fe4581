"""A project's own model in the Model pane: last among the families, trusted by a key after its files were seen."""

from __future__ import annotations

import pytest

from epochal.core.settings import with_setting
from epochal.project.code import read_code
from epochal.project.trust import standing, trust
from epochal.testing import screen_text, tiny_project, until
from epochal.tui.app import Workbench
from epochal.workbench.flow import Choice
from epochal.workbench.session import Session


CANARY = "from pathlib import Path\n\nPath(__file__).with_name('ran').write_text('')\n"
SIZES = [(80, 24), (120, 40)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A project with a file of code that nobody trusts."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    folder = tiny_project(tmp_path / "p").folder
    (folder / "model.py").write_text(CANARY)
    return folder


@pytest.fixture
def opened(folder):
    """The project in the workbench, where families were measured already."""

    def at(*, own: bool) -> Session:
        session = Session(vitals=None)
        session.open(folder)
        if own:
            session.change(with_setting(session.project, "model.module", "model.py:Net"), "my own")
            session.change(with_setting(session.project, "model.width", 3), "narrow")
        session.choice = Choice(chosen="linear", reason="", candidates=())
        return session

    return at


@pytest.mark.parametrize("size", SIZES)
async def test_stands_last_and_is_named_by_its_file_and_class(opened, size):
    session = opened(own=False)
    app = Workbench(session, first="model")
    async with app.run_test(size=size) as pilot:
        await until(lambda: "your own torch module" in screen_text(app), pilot)
        names = [f.name for f in app.screen._view.families]
        await pilot.press(*["j"] * (len(names) - 1))
        await until(lambda: "write a class in a file of the project" in " ".join(screen_text(app).split()), pilot)
        await pilot.press("u")
        await until(lambda: "The file in the project's folder" in screen_text(app), pilot)
        await pilot.press("enter")
        await until(lambda: session.project.model.family == "own", pilot)

        assert names[-1] == "own"
        assert session.project.model.options == {"module": "model.py:Net"}
    session.close()


@pytest.mark.parametrize("size", SIZES)
async def test_shows_its_files_before_enter_lets_them_run(opened, folder, size):
    session = opened(own=True)
    app = Workbench(session, first="model")
    async with app.run_test(size=size) as pilot:
        await until(lambda: "model.py:Net, not trusted" in screen_text(app), pilot)
        assert "t shows the files of your own model" in screen_text(app)
        assert "t trust" in screen_text(app).splitlines()[-1]
        await pilot.press("t")
        await until(lambda: "run as you" in screen_text(app), pilot)
        digest = next(iter(read_code(folder).files.values()))
        assert f"{digest[:12]} model.py" in screen_text(app)
        await pilot.press("escape")
        assert not standing(folder).trusted
        await pilot.press("t")
        await until(lambda: "run as you" in screen_text(app), pilot)
        await pilot.press("enter")
        await until(lambda: "model.py:Net, trusted" in screen_text(app), pilot)

        assert standing(folder).trusted
        assert not (folder / "ran").exists()
    session.close()


async def test_is_checked_anew_once_it_is_trusted(opened, folder):
    """What was said of code that might not run says nothing of it."""
    session = opened(own=True)
    app = Workbench(session, first="model")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: "model.py:Net, not trusted" in screen_text(app), pilot)
        await pilot.press("C")
        await until(lambda: "✗ untrusted" in screen_text(app), pilot, seconds=60)
        assert "or t in the Model pane" in " ".join(screen_text(app).replace("█", " ").split())
        trust(folder, read_code(folder))
        await pilot.press("escape")
        await until(lambda: "Which model?" in screen_text(app), pilot)
        await pilot.press("C")
        await until((folder / "ran").exists, pilot, seconds=60)
        await pilot.press("escape")
    session.close()


async def test_is_not_trained_by_enter_before_it_is_trusted(opened, folder):
    session = opened(own=True)
    app = Workbench(session, first="model")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: "model.py:Net, not trusted" in screen_text(app), pilot)
        await pilot.press("enter")
        await until(lambda: "Let these files run?" in screen_text(app), pilot)

        assert not (folder / "runs").exists()
    session.close()


async def test_tells_what_changed_since_it_was_trusted_and_lets_only_what_was_seen_run(opened, folder):
    trust(folder, read_code(folder))
    (folder / "model.py").write_text(CANARY + "# changed\n")
    session = opened(own=True)
    app = Workbench(session, first="model")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: "model.py:Net, not trusted" in screen_text(app), pilot)
        await pilot.press("t")
        await until(lambda: "model.py (changed since you trusted it)" in screen_text(app), pilot)
        (folder / "model.py").write_text(CANARY + "# changed again\n")
        await pilot.press("enter")
        await until(lambda: "trusted: a change" in screen_text(app) or not standing(folder).trusted, pilot)
        await until(lambda: len(standing(folder).states) == 2, pilot)

        assert not standing(folder).trusted
    session.close()


async def test_has_its_settings_beside_the_training_s(opened):
    session = opened(own=True)
    app = Workbench(session, first="model")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: "Settings of own" in screen_text(app), pilot)
        text = screen_text(app)
        assert "module" in text
        assert any("width" in line and "* 3" in line and "Handed to your class" in line for line in text.splitlines())
        await pilot.press("tab", "d", "j", "d")
        await until(lambda: session.project.model.options == {"module": "model.py:Net"}, pilot)
    session.close()


async def test_says_once_that_the_list_of_trust_cannot_be_read_and_looks_no_more(opened, folder, tmp_path):
    """A look that failed is no reason for another: nothing happens until a person does something."""
    trust(folder, read_code(folder))
    (tmp_path / "config" / "epochal" / "trust.toml").chmod(0o666)
    errors = []
    session = opened(own=True)
    app = Workbench(session, first="model")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: session.error is not None, pilot)
        unsubscribe = session.subscribe(errors.append)
        await pilot.pause(1.0)
        unsubscribe()

        assert "others can write it" in screen_text(app)
        assert "error" not in errors
    session.close()
