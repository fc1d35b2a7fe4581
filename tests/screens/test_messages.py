"""What was said can be read in full, also after the next key took it."""

from __future__ import annotations

import re
import threading

import pytest

from epochal.core.errors import Cancelled, EpochalError
from epochal.testing import kept_run, run_events, screen_text, tiny_project, tiny_run, until
from epochal.tui.app import Workbench
from epochal.workbench.messages import KEPT
from epochal.workbench.session import NOTICE_SECONDS, Session


PATH = "/data/" + "/".join(f"folder-{n:02}" for n in range(30)) + "/rows.csv"
LONG = EpochalError(
    "line 1 204 has 7 fields and the ones before have 5, so the file ends in another shape than it began",
    where=PATH,
    fix="quote the fields that hold commas, or say what stands between fields",
    code="ragged-rows",
)


@pytest.fixture
def app(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    session = Session(vitals=None)
    session.open(tiny_project(tmp_path / "birds").folder)
    yield Workbench(session, first="goal", config=tmp_path / "no-config")
    session.close()


def _unbroken(text: str) -> str:
    """Lines of a sheet put together again."""
    return re.sub(r"\W*\n\W*", "", text)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_an_error_that_has_no_room_names_the_key_that_shows_all_of_it(app, size):
    async with app.run_test(size=size) as pilot:
        await until(lambda: "Which species" in screen_text(app), pilot)
        app.session.failed(LONG)
        await until(lambda: " M all" in screen_text(app), pilot)
        assert "quote the fields" not in screen_text(app)
        await pilot.press("M")
        await until(lambda: "ragged-rows" in screen_text(app), pilot)

        shown = screen_text(app)
        assert "Quote the fields that hold" in re.sub(r"\W*\n\W*", " ", shown)
        assert "folder-29/rows.csv" in _unbroken(shown).replace(" ", "")
        await pilot.press("q")
        await until(lambda: "ragged-rows" not in screen_text(app), pilot)
        assert "line 1 204" not in screen_text(app)


async def test_what_is_said_of_a_stop_goes_when_the_run_has_stopped(app):
    run = tiny_run(app.session.file)
    async with app.run_test(size=(100, 30)) as pilot:
        with kept_run(run, run_events()) as record:
            await until(lambda: app.session.seen.runs and app.session.seen.runs[0].alive, pilot)
            app.session.tell("s again stops at once", of=run.name)
            await until(lambda: "s again stops at once" in screen_text(app), pilot)
            record(list(run_events(end=True))[-1])
            await until(lambda: "s again stops at once" not in screen_text(app), pilot, seconds=NOTICE_SECONDS / 2)


async def test_the_newest_message_stands_first_and_one_that_stands_is_said_once(app):
    async with app.run_test(size=(100, 30)) as pilot:
        app.session.tell("the first thing")
        app.session.changed("runs")
        app.session.warn("the second thing")
        await pilot.press("g", "j")  # says that it does nothing
        await pilot.press("M")
        await until(lambda: "Said of late" in screen_text(app), pilot)

        told = screen_text(app).partition("Said of late")[2]
        places = [
            told.index(words) for words in ("The key gj does nothing here", "the second thing", "the first thing")
        ]
        assert places == sorted(places)
        assert told.count("the first thing") == 1


def test_a_trial_that_gives_way_to_a_check_is_said_to():
    """It takes minutes, and would be missed without a word."""
    session, begun, ended, cancelled = Session(vitals=None), threading.Event(), threading.Event(), threading.Event()

    def until_called_off(_report):
        begun.set()
        assert cancelled.wait(10)
        raise Cancelled("called off")

    session.background("measure", "trying mlp", until_called_off, lambda _result: None, cancelled=cancelled)
    assert begun.wait(10)
    session.background("check", "checking", lambda _report: None, lambda _result: ended.set())

    assert ended.wait(10)
    assert [m.notice for m in session.messages] == ["the trial of the families gave way to this"]


def test_the_same_is_said_again_after_another_key():
    session = Session(vitals=None)
    session.tell("nothing is to be undone")
    session.hush()
    session.tell("nothing is to be undone")

    assert [m.notice for m in session.messages] == ["nothing is to be undone"] * 2


def test_a_long_session_keeps_the_newest():
    session = Session(vitals=None)
    for number in range(KEPT + 10):
        session.tell(f"message {number}")

    assert [m.notice for m in session.messages][:1] == [f"message {KEPT + 9}"]
    assert len(list(session.messages)) == KEPT
