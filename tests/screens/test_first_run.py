"""From a file to a tested model with suggested settings, over the real engine, in at most twelve keys."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from textual.events import Key

from epochal.testing import screen_text, tiny_project, tiny_rows, tiny_run, until, write_csv
from epochal.tui.app import Workbench
from epochal.workbench.entry import prepare
from epochal.workbench.evidence import asked_of
from epochal.workbench.session import Session


@pytest.fixture
def birds(tmp_path, monkeypatch):
    """A CSV whose target stands in the middle, in the folder one works in."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return write_csv(tmp_path / "birds.csv", [(a, b, species, c) for a, b, c, species in tiny_rows(240)])


class Keys:
    """Presses keys and counts them."""

    def __init__(self, pilot) -> None:
        self.pilot, self.count = pilot, 0

    async def press(self, *keys: str) -> None:
        self.count += len(keys)
        await self.pilot.press(*keys)


def _hurry(session: Session) -> None:
    """Fit the proposal to half a minute, so that trying the families takes seconds."""
    proposal = session.draft.proposal
    document = {**proposal.document, "train": {"budget": "30 s"}}
    session.draft = replace(session.draft, proposal=replace(proposal, document=document))


async def test_a_stranger_gets_from_a_file_to_a_tested_model_in_at_most_twelve_keys(birds):
    session = Session(vitals=None)
    app = Workbench(session, first=prepare(session, birds.name))
    losses: set[str] = set()

    def watched() -> bool:
        losses.update(re.findall(r"(?:train|validation) (\d\.\d+)", screen_text(app)))
        return session.seen.state is not None and session.seen.state.ended is not None

    async with app.run_test(size=(80, 24)) as pilot:
        keys = Keys(pilot)
        await until(lambda: session.draft.head is not None, pilot)
        assert "Torgersen" in screen_text(app)
        await until(lambda: "Enter makes the project" in screen_text(app), pilot, seconds=60)
        _hurry(session)
        await keys.press("enter")
        await until(lambda: session.choice is not None, pilot, seconds=180)
        await keys.press("enter")
        await until(watched, pilot, seconds=180)
        await until(lambda: "Enter goes to the sealed test set" in screen_text(app), pilot)
        await keys.press("enter")
        await until(lambda: "Enter opens it for this run" in screen_text(app), pilot)
        await keys.press("enter")
        await until(lambda: "rows never seen in training" in screen_text(app), pilot, seconds=60)
    session.close()

    assert session.project.columns.target == "species"
    assert session.reviews[session.info.name].headline.model.value > 0.9
    assert keys.count <= 12
    assert len(losses) >= 2


async def test_a_window_made_higher_says_no_more_that_lines_are_out_of_sight(birds):
    session = Session(vitals=None)
    app = Workbench(session, first=prepare(session, birds.name))
    async with app.run_test(size=(60, 16)) as pilot:
        await until(lambda: "more lines of what" in screen_text(app), pilot, seconds=60)
        await pilot.resize_terminal(60, 40)
        await until(lambda: "more lines of what" not in screen_text(app), pilot)
        await pilot.resize_terminal(60, 16)
        await until(lambda: "more lines of what" in screen_text(app), pilot)
    session.close()


async def test_a_wrong_target_is_corrected_with_four_keys_more(birds):
    session = Session(vitals=None)
    app = Workbench(session, first=prepare(session, birds.name))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(lambda: "Enter makes the project" in screen_text(app), pilot, seconds=60)
        keys = Keys(pilot)
        await keys.press("t")
        await until(lambda: "What is to be predicted?" in screen_text(app), pilot)
        await keys.press("m", "a", "enter")
        await until(lambda: session.draft.project.columns.target == "mass", pilot, seconds=60)
        await until(lambda: "regression" in screen_text(app), pilot)
    session.close()

    assert keys.count <= 4
    assert not (birds.parent / "birds").exists()


async def test_keys_that_come_before_a_list_has_opened_go_to_the_list(birds):
    session = Session(vitals=None)
    app = Workbench(session, first=prepare(session, birds.name))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(lambda: "Enter makes the project" in screen_text(app), pilot, seconds=60)
        for key, character in (("t", "t"), ("m", "m"), ("a", "a"), ("enter", "\r")):
            app.post_message(Key(key, character))  # none of them waits for the one before

        await until(lambda: session.draft.project.columns.target == "mass", pilot, seconds=60)
    session.close()


async def test_keys_that_come_before_a_field_has_the_focus_go_to_the_field(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    session = Session(vitals=None)
    session.open(tiny_project(tmp_path / "p").paths.folder)
    app = Workbench(session, first="goal")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: "What is asked" in screen_text(app), pilot)
        for key, character in (("enter", "\r"), *((c, c) for c in "jq2"), ("enter", "\r")):
            app.post_message(Key(key, character))

        await until(lambda: "jq2" in session.project.goal.question, pilot)
    session.close()


async def test_keys_that_come_before_a_field_has_closed_go_to_the_pane(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    file = tiny_project(tmp_path / "p", family="mlp")
    session = Session(vitals=None)
    session.open(file.folder)
    session.measured = asked_of(session.project)  # nothing is tried meanwhile
    app = Workbench(session, first="model")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: "Settings of mlp" in screen_text(app), pilot)
        for key in ("tab", "enter", "9", "6", "enter", "j", "enter", "5", "enter"):
            app.post_message(Key(key, key if len(key) == 1 else None))

        await until(lambda: session.project.model.options.get("depth") == 5, pilot)
    session.close()

    assert session.project.model.options == {"width": 96, "depth": 5}


async def test_keys_that_choose_a_run_count_and_those_after_them_are_meant_for_it(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    file = tiny_project(tmp_path / "p")
    for number in range(1, 5):
        tiny_run(file, number=number)
    session = Session(vitals=None)
    session.open(file.folder)
    app = Workbench(session, first="train")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: session.seen.run == "0004-linear", pilot)
        for key in ("j", "j", "K"):
            app.post_message(Key(key, key))

        await until(lambda: "Checkpoints of run 2" in screen_text(app), pilot)
    session.close()


async def test_how_a_file_is_read_is_corrected_before_and_after_the_project_is_made(birds):
    session = Session(vitals=None)
    app = Workbench(session, first=prepare(session, birds.name))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(lambda: "Enter makes the project" in screen_text(app), pilot, seconds=60)
        await pilot.press("r", *"line is a", "enter")
        await until(lambda: session.draft.head.columns[0].name == "column_1", pilot, seconds=60)
        await until(lambda: "Enter makes the project" in screen_text(app), pilot, seconds=60)
        _hurry(session)
        await pilot.press("enter")
        await until(lambda: session.file is not None, pilot, seconds=60)
        assert session.project.sources[0].header is False
        await pilot.press("1", "s")
        await until(lambda: "the first line is a row" in screen_text(app), pilot)
        await pilot.press("k", "k", "k", "enter")
        await until(lambda: "the first line names the columns" in screen_text(app), pilot)
        await pilot.press("k", "enter")
        await until(lambda: session.project.sources[0].header is True, pilot)
        await pilot.press("enter", "k", "enter")
        await until(lambda: session.project.sources[0].header is None, pilot)
    session.close()

    assert "header" not in (birds.parent / "birds" / "project.toml").read_text()


async def test_a_file_that_is_not_there_is_said_before_the_screen_is_taken(tmp_path):
    with pytest.raises(Exception, match="there is no such file or folder"):
        prepare(Session(vitals=None), str(tmp_path / "nothing.csv"))


async def test_families_are_tried_when_first_looked_at_and_the_answer_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    file = tiny_project(tmp_path / "penguins")
    for visit in ("tried", "recalled"):
        session = Session(vitals=None)
        session.open(file.folder)
        app = Workbench(session, first="model")
        started = []
        session.subscribe(
            lambda topic, s=session, seen=started: seen.append(s.job.text if topic == "job" and s.job else "")
        )
        async with app.run_test(size=(120, 40)) as pilot:
            await until(lambda s=session: s.choice is not None, pilot, seconds=120)
            first = " ".join(session.choice.reason.split()[:3])
            await until(lambda a=app, said=first: said in " ".join(screen_text(a).split()), pilot)
        session.close()

        assert any("trying each family" in text for text in started) == (visit == "tried")
        assert session.project.model.family == "linear"  # a family that was chosen stays chosen


async def test_training_ends_the_trial_of_families(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    file = tiny_project(tmp_path / "penguins")
    session = Session(vitals=None)
    session.open(file.folder)
    app = Workbench(session, first="model")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: session.job is not None and "trying each family" in session.job.text, pilot, seconds=60)
        await pilot.press("enter")
        await until(lambda: session.seen.runs and session.seen.runs[0].status == "done", pilot, seconds=120)
        await until(lambda: session.job is None, pilot)
    session.close()

    assert session.choice is None
    assert session.error is None


async def test_a_long_look_at_a_file_is_cancelled_and_begun_again(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    row = "".join(f"{n},{n % 97},{'yes' if n % 3 else 'no'}\n" for n in range(100_000))
    (tmp_path / "long.csv").write_text("a,b,label\n" + row * 8)
    session = Session(vitals=None)
    app = Workbench(session, first=prepare(session, "long.csv"))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(lambda: session.job is not None and session.job.text.startswith("reading"), pilot)
        await pilot.press("escape")
        await until(lambda: session.job is None, pilot)
        assert session.error is None
        assert session.draft.proposal is None
        await until(lambda: "cancelled" in screen_text(app), pilot)
        await pilot.press("enter")
        await until(lambda: "Enter makes the project" in screen_text(app), pilot, seconds=60)
    session.close()

    assert not (tmp_path / "long").exists()
