"""Home, Start, Goal and Model: what is told where a person decides, and which keys are offered for it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from epochal.core.errors import Cancelled, EpochalError
from epochal.core.settings import with_setting
from epochal.project.discover import remember_project
from epochal.testing import screen_text, tiny_project, until, write_csv
from epochal.tui.app import Workbench
from epochal.tui.screens.model import typed_value
from epochal.workbench import operations
from epochal.workbench.entry import prepare
from epochal.workbench.flow import Choice
from epochal.workbench.session import Session


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The folder one works in; nothing of the person who runs the tests reaches the screens."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _footer(app: Workbench) -> str:
    return screen_text(app).splitlines()[-1]


def _next(app: Workbench) -> str:
    return next(line for line in screen_text(app).splitlines() if line.startswith(" Next"))


async def _started(session: Session, app: Workbench, pilot) -> None:
    await until(lambda: session.job is None and "Enter makes the project" in screen_text(app), pilot, seconds=60)


class TestAProposal:
    @pytest.fixture
    def days(self, here):
        rows, close = [("open", "high", "volume", "close")], 100.0
        for i in range(300):
            opened, close = close, close + (i * 7919 % 41 - 15) / 10
            rows.append((f"{opened:.2f}", f"{max(opened, close) + 0.3:.2f}", f"{i * 104729 % 997}", f"{close:.2f}"))
        return write_csv(here / "days.csv", rows)

    async def test_offers_to_leave_out_what_nearly_tells_the_target_and_to_take_it_back_in(self, days):
        session = Session(vitals=None)
        app = Workbench(session, first=prepare(session, days.name))
        async with app.run_test(size=(80, 24)) as pilot:
            await _started(session, app, pilot)
            await until(lambda: "suspect         open, high" in screen_text(app), pilot)
            assert "i leaves out the suspects" in _next(app)
            assert "i leave out" in _footer(app)
            await pilot.press("i")
            await until(lambda: session.draft.project.columns.ignore == ("open", "high"), pilot, seconds=60)
            await _started(session, app, pilot)
            await until(lambda: "leave out       open, high" in screen_text(app), pilot)
            assert "suspect" not in screen_text(app)
            await pilot.press("i")
            await until(lambda: session.draft.project.columns.ignore == (), pilot, seconds=60)
        session.close()

    @pytest.mark.parametrize("end", ["called off", "failed"])
    async def test_that_did_not_come_leaves_the_draft_as_it_is_shown(self, days, monkeypatch, end):
        def waits(_data, _folder, _document, _report, cancelled):
            if end == "failed":
                raise EpochalError("the rows went away")
            cancelled.wait(60)
            raise Cancelled("cancelled: nothing was written")

        session = Session(vitals=None)
        app = Workbench(session, first=prepare(session, days.name))
        async with app.run_test(size=(80, 24)) as pilot:
            await _started(session, app, pilot)
            with monkeypatch.context() as patched:
                patched.setattr(operations, "propose", waits)
                await pilot.press("i")
                if end == "called off":
                    await until(lambda: "wait: looking at all rows" in _next(app), pilot)
                    await pilot.press("i")
                    await until(lambda: "What the rows suggest is being looked at" in screen_text(app), pilot)
                    await pilot.press("escape")
                said = "cancelled: nothing" if end == "called off" else "the rows went away"
                await until(lambda: session.job is None and said in screen_text(app).lower(), pilot)
            await pilot.press("i")
            await until(lambda: session.draft.project.columns.ignore == ("open", "high"), pilot, seconds=60)
        session.close()

    async def test_leaves_out_what_is_suspected_only_without_the_first_suspects(self, days, monkeypatch):
        propose = operations.propose

        def suspicious(data, folder, document, report, cancelled):
            proposal = propose(data, folder, document, report, cancelled)
            again = document.get("columns", {}).get("ignore") == ["open", "high"]
            return replace(proposal, suspects=("volume",)) if again else proposal

        monkeypatch.setattr(operations, "propose", suspicious)
        session = Session(vitals=None)
        app = Workbench(session, first=prepare(session, days.name))
        async with app.run_test(size=(80, 24)) as pilot:
            for ignored in (("open", "high"), ("open", "high", "volume"), ()):
                await _started(session, app, pilot)
                await pilot.press("i")
                await until(lambda i=ignored: session.draft.project.columns.ignore == i, pilot, seconds=60)
        session.close()

    async def test_says_how_much_of_it_is_out_of_sight_until_it_was_read(self, days):
        session = Session(vitals=None)
        app = Workbench(session, first=prepare(session, days.name))
        async with app.run_test(size=(80, 24)) as pilot:
            await _started(session, app, pilot)
            await until(lambda: "of what is proposed" in screen_text(app), pilot)
            more = int(screen_text(app).partition("j shows ")[2].split()[0])
            assert "hold out" not in screen_text(app)
            await pilot.press(*["j"] * more)
            await until(lambda: "of what is proposed" not in screen_text(app), pilot)
            assert "hold out" in screen_text(app)
        session.close()

    async def test_of_another_target_forgets_what_was_left_out_for_the_first(self, days):
        session = Session(vitals=None)
        app = Workbench(session, first=prepare(session, days.name))
        async with app.run_test(size=(80, 24)) as pilot:
            await _started(session, app, pilot)
            await pilot.press("i")
            await until(lambda: session.draft.project.columns.ignore == ("open", "high"), pilot, seconds=60)
            await _started(session, app, pilot)
            await pilot.press("t", *"vol", "enter")
            await until(lambda: session.draft.project.columns.target == "volume", pilot, seconds=60)
            assert session.draft.project.columns.ignore == ()
        session.close()

    async def test_names_the_whole_file_and_counts_the_columns_that_have_no_room(self, here):
        names = [*(f"measure_{n}" for n in range(20)), "label"]
        rows = [(*(f"{i * (n + 7) % 91}" for n in range(20)), "xy"[i % 2]) for i in range(60)]
        path = write_csv(here / "a_name_that_says_all_there_is_to_say_of_its_measurements.csv", [tuple(names), *rows])
        session = Session(vitals=None)
        app = Workbench(session, first=prepare(session, path.name))
        async with app.run_test(size=(80, 24)) as pilot:
            await _started(session, app, pilot)
            await until(lambda: path.name in screen_text(app) and "more columns" in screen_text(app), pilot)
            shown = screen_text(app)
            head = next(line for line in shown.splitlines() if line.lstrip("│ ").strip().startswith("label"))
            assert f" {21 - len(head.split())} more columns" in shown
        session.close()

    async def test_of_json_offers_no_correction_of_how_it_is_read(self, here):
        (here / "rows.jsonl").write_text(
            "".join(json.dumps({"size": n, "label": "xy"[n % 2]}) + "\n" for n in range(60))
        )
        session = Session(vitals=None)
        app = Workbench(session, first=prepare(session, "rows.jsonl"))
        async with app.run_test(size=(80, 24)) as pilot:
            await _started(session, app, pilot)
            assert "reading" not in _footer(app)
        session.close()


class TestTheGoal:
    async def test_is_no_problem_where_only_hints_are_left(self, here):
        session = Session(vitals=None)
        session.open(tiny_project(here / "p").folder)
        app = Workbench(session, first="data")
        async with app.run_test(size=(120, 40)) as pilot:
            await until(lambda: session.problems is not None, pilot, seconds=60)
            hints = [p for p in app.screen.data.problems if p.severity == "hint"]
            assert "origin" in {p.code for p in hints}
            assert session.problems == len(app.screen.data.problems) - len(hints)
            assert "where it comes from" not in _next(app)
            await pilot.press("1")
            await until(lambda: "What is asked" in screen_text(app), pilot)
            assert not any("origin" in line and "!" in line for line in screen_text(app).splitlines())
            assert "2 Data shows the rows, 4 Model trains." in _next(app)
        session.close()

    async def test_opens_at_the_line_that_a_hint_asks_for(self, here):
        session = Session(vitals=None)
        session.open(tiny_project(here / "p").folder)
        app = Workbench(session, first="data")
        async with app.run_test(size=(80, 24)) as pilot:
            await until(lambda: session.problems is not None, pilot, seconds=60)
            place = [p.code for p in app.screen.data.problems].index("origin")
            await pilot.press("A", *["j"] * place)
            await until(lambda: "Enter opens the line in 1 Goal" in screen_text(app), pilot)
            await pilot.press("enter")
            await until(lambda: "▸ origin" in screen_text(app), pilot)
        session.close()

    async def test_joins_assumptions_that_are_sentences_without_another_sign(self, here):
        file = tiny_project(here / "p")
        goal = replace(file.project.goal, assumptions=("Birds are adult.", "scales are right", "Islands stay."))
        file.change(replace(file.project, goal=goal), "say what is assumed")
        session = Session(vitals=None)
        session.open(file.folder)
        app = Workbench(session, first="goal")
        async with app.run_test(size=(120, 40)) as pilot:
            await until(lambda: "What is asked" in screen_text(app), pilot)
            await pilot.press(*["j"] * 5)
            await until(lambda: "Birds are adult. scales are right; Islands stay." in screen_text(app), pilot)
        session.close()


async def test_enter_on_rejected_lines_shows_the_rejects(here):
    file = tiny_project(here / "p")
    path = file.folder / "penguins.csv"
    path.write_text(path.read_text() + "broken,1\n")
    session = Session(vitals=None)
    session.open(file.folder)
    app = Workbench(session, first="data")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(lambda: session.problems is not None, pilot, seconds=60)
        place = [p.code for p in app.screen.data.problems].index("rejected-lines")
        await pilot.press("A", *["j"] * place)
        await until(lambda: "Enter shows the rejects" in screen_text(app), pilot)
        await pilot.press("enter")
        await until(lambda: "broken,1" in screen_text(app), pilot)
    session.close()


class TestSettings:
    async def test_have_keys_of_their_own_in_the_footer(self, here):
        session = Session(vitals=None)
        session.open(tiny_project(here / "p").folder)
        session.choice = Choice(chosen="linear", reason="", candidates=())
        app = Workbench(session, first="model")
        async with app.run_test(size=(120, 40)) as pilot:
            await until(lambda: "Enter train it" in _footer(app), pilot)
            assert "u use only" in _footer(app)
            await pilot.press("tab")
            await until(lambda: "Enter change" in _footer(app), pilot)
            assert "d as suggested" in _footer(app)
            assert "use only" not in _footer(app)
        session.close()

    async def test_are_marked_where_a_person_changed_them_and_not_where_the_trial_did(self, here):
        file = tiny_project(here / "p", family="mlp")
        project = with_setting(with_setting(file.project, "model.width", 64), "train.seed", 7)
        file.change(project, "choose mlp")
        session = Session(vitals=None)
        session.open(file.folder)
        session.choice = Choice(chosen="mlp", reason="", candidates=(), options={"width": 64})
        app = Workbench(session, first="model")
        async with app.run_test(size=(120, 60)) as pilot:
            await until(lambda: "Settings of mlp" in screen_text(app), pilot)
            marked = [line for line in screen_text(app).splitlines() if "  * " in line]
            assert any("* 7" in line and "seed" in line for line in marked)
            assert not any("width" in line for line in marked)
            session.change(with_setting(session.project, "model.width", 32), "a narrow one")
            await until(lambda: any("  width" in li and "* 32" in li for li in screen_text(app).splitlines()), pilot)
            row = next(n for n, line in enumerate(app.screen._view.settings) if line.path == "model.width")
            await pilot.press("tab", *["j"] * row, "d")
            await until(lambda: session.project.model.options == {"width": 64}, pilot)
        session.close()

    async def test_show_large_numbers_as_they_may_be_typed(self, here):
        file = tiny_project(here / "p")
        file.change(with_setting(file.project, "train.seed", 1_000_000), "another seed")
        session = Session(vitals=None)
        session.open(file.folder)
        session.choice = Choice(chosen="linear", reason="", candidates=())
        app = Workbench(session, first="model")
        async with app.run_test(size=(120, 60)) as pilot:
            await until(lambda: "1 000 000" in screen_text(app), pilot)
            await pilot.press("tab")
            await until(lambda: "Expected:" in _next(app), pilot)
        session.close()

        assert typed_value("1 000 000") == 1_000_000
        assert typed_value("30 s") == "30 s"
        assert typed_value("0.5") == 0.5


async def test_home_says_where_a_recent_project_lies(here):
    file = tiny_project(here / "somewhere" / "p")
    remember_project(file.folder)
    for size in ((80, 24), (120, 40)):
        app = Workbench(Session(vitals=None), first="home")
        async with app.run_test(size=size) as pilot:
            await until(lambda a=app: "somewhere/p" in _next(a), pilot)
            row = next(line for line in screen_text(app).splitlines() if "▸ penguins" in line)
            assert "no run yet" in row
            assert ("somewhere/p" in row) == (size[0] > 80)
            await pilot.press("j")
            await until(lambda a=app: "copies the sample here" in _next(a), pilot)


async def test_enter_before_the_first_run_says_what_trains_one(here):
    session = Session(vitals=None)
    session.open(tiny_project(here / "p").folder)
    app = Workbench(session, first="train")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(lambda: "n trains" in screen_text(app), pilot)
        await pilot.press("enter")

        await until(lambda: "There is no run yet. n trains one" in screen_text(app), pilot)
    session.close()


async def test_accepting_a_test_set_that_moved_goes_on_with_what_was_asked_and_trains_nothing_else(here):
    file = tiny_project(here / "p", family="linear")
    source = file.folder / "penguins.csv"
    session = Session(vitals=None)
    session.open(file.folder)
    operations.build(session.data, session.file, tell=str)
    held_out = session.project.split.fingerprint
    lines = source.read_text().splitlines(keepends=True)
    source.write_text("".join([*lines[:40], *lines[50:]]))
    app = Workbench(session, first="model")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: "hold out the new test rows" in screen_text(app), pilot, seconds=60)
        assert session.choice is None

        await pilot.press("down", "enter")
        await until(lambda: session.choice_here is not None, pilot, seconds=120)
    session.close()

    assert session.project.split.fingerprint not in {"", held_out}
    assert not list(file.folder.glob("runs/*"))
