"""Every pane of the shell as a text picture at 80×24 and 120×40, and what its keys do."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from epochal.core.settings import Columns, Project, with_setting
from epochal.core.steps import Step
from epochal.data.protocol import Built
from epochal.project.runfile import write_run
from epochal.report.card import card_text
from epochal.report.page import page_text
from epochal.review.view import view_from
from epochal.runs.state import list_runs
from epochal.show import fit
from epochal.testing import kept_run, run_events, screen_text, tiny_project, tiny_rows, tiny_run, until, write_csv
from epochal.tui.app import Workbench
from epochal.tui.screens.data_looks import account
from epochal.tui.screens.overlays import TextOverlay
from epochal.tui.text import content, cut
from epochal.tui.watch import WatchApp
from epochal.workbench.commands import BY_ID
from epochal.workbench.entry import prepare
from epochal.workbench.evidence import asked_of, target_of
from epochal.workbench.flow import Choice
from epochal.workbench.operations import copy_sample
from epochal.workbench.session import Job, Session
from epochal.workbench.views.test import headline, sealed_view


SIZES = [(80, 24), (120, 40)]

CHOICE = Choice(
    chosen="tabm",
    reason="tabm was best on validation: 0.985 against 0.976 of trees, each tried for 7 s",
    candidates=(
        {
            "family": "tabm",
            "value": 0.985,
            "spread": 0.006,
            "seconds": 40.0,
            "parameters": 212_000,
            "memory_bytes": 180e6,
        },
        {"family": "trees", "value": 0.976, "spread": 0.008, "seconds": 3.0, "memory_bytes": 60e6},
        {"family": "mlp", "value": 0.971, "spread": 0.010, "seconds": 8.0, "parameters": 19_000, "memory_bytes": 90e6},
        {"family": "linear", "value": 0.971, "spread": 0.007, "seconds": 2.0, "parameters": 100, "memory_bytes": 60e6},
    ),
)


@dataclass
class World:
    """A project with three runs; the newest is under way or done."""

    session: Session
    folder: Path

    def app(self, stage: str) -> Workbench:
        return Workbench(self.session, first=stage, config=self.folder / "no-config")


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """Nothing of the person who runs the tests reaches the screens."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("EPOCHAL_THEME", raising=False)
    return tmp_path


@pytest.fixture
def world(alone, reviews):
    """A running third run."""
    yield from _world(alone, reviews.LEDGER, end=False)


@pytest.fixture
def finished(alone, reviews):
    """A third run that is done."""
    yield from _world(alone, reviews.LEDGER, end=True)


def _world(folder: Path, ledger: dict, *, end: bool):
    file = tiny_project(folder / "penguins", family="tabm")
    for number, family in ((1, "linear"), (2, "mlp")):
        with kept_run(tiny_run(file, number=number, family=family), run_events(epochs=20, until_epoch=20, end=True)):
            pass
    with kept_run(tiny_run(file, number=3, ledger=ledger), run_events(end=end)):
        session = Session(vitals=None)
        session.open(file.folder)
        session.choice = CHOICE
        session.built = Built(
            snapshot_id="0" * 16,
            split_id="1" * 16,
            ledger=ledger,
            inputs=("island", "bill", "mass"),
            classes=("Adelie", "Chinstrap", "Gentoo"),
            fingerprint="69:abc",
        )
        yield World(session, file.folder)
        session.close()


async def _seen(world: World, pilot) -> None:
    await until(lambda: world.session.seen.state is not None and world.session.seen.state.step == 1740, pilot)


@pytest.fixture
def picture(same_picture):
    async def compare(name: str, size: tuple[int, int], app: Workbench, pilot) -> None:
        await same_picture(f"{name}-{size[0]}x{size[1]}", lambda: screen_text(app), pilot)

    return compare


@pytest.mark.parametrize("size", SIZES)
class TestPictures:
    async def test_of_the_goal(self, world, size, picture):
        app = world.app("goal")
        async with app.run_test(size=size) as pilot:
            await _seen(world, pilot)
            await until(lambda: "Which species" in screen_text(app), pilot)
            await picture("goal", size, app, pilot)

    async def test_of_the_families(self, world, size, picture):
        app = world.app("model")
        async with app.run_test(size=size) as pilot:
            await _seen(world, pilot)
            await until(lambda: "0.985 ± 0.006" in screen_text(app) and "58 %" in screen_text(app), pilot)
            await until(lambda: "baseline: LightGBM" in screen_text(app), pilot)
            await until(lambda: "0.980" in screen_text(app), pilot)
            await picture("model", size, app, pilot)

    async def test_of_a_run_under_way(self, world, size, picture):
        app = world.app("train")
        async with app.run_test(size=size) as pilot:
            await _seen(world, pilot)
            await until(lambda: "epoch 29 of 50" in screen_text(app) and "●" in screen_text(app), pilot)
            await picture("train", size, app, pilot)

    async def test_of_a_run_that_is_done(self, finished, size, picture):
        app = finished.app("train")
        async with app.run_test(size=size) as pilot:
            await _seen(finished, pilot)
            await until(lambda: "done" in screen_text(app) and "●" in screen_text(app), pilot)
            await picture("train-done", size, app, pilot)

    async def test_of_the_sealed_test_set(self, finished, size, picture):
        app = finished.app("test")
        async with app.run_test(size=size) as pilot:
            await _seen(finished, pilot)
            await until(lambda: "Enter opens it" in screen_text(app), pilot)
            await picture("test-sealed", size, app, pilot)

    async def test_of_the_verdict_on_classes(self, finished, size, picture, reviews):
        _write_review(finished, reviews.classification())
        app = finished.app("test")
        async with app.run_test(size=size) as pilot:
            await _seen(finished, pilot)
            await until(lambda: "taken for" in screen_text(app), pilot)
            await picture("test", size, app, pilot)

    async def test_of_the_verdict_on_a_number(self, finished, size, picture, reviews):
        _write_review(finished, reviews.regression())
        app = finished.app("test")
        async with app.run_test(size=size) as pilot:
            await _seen(finished, pilot)
            await until(lambda: "Truth − prediction" in screen_text(app), pilot)
            await until(lambda: "┬" in screen_text(app) and "Worst rows" in screen_text(app), pilot)
            await picture("test-number", size, app, pilot)

    async def test_of_labels_to_come(self, world, size, picture):
        app = world.app("label")
        async with app.run_test(size=size) as pilot:
            await _seen(world, pilot)
            await until(lambda: "Until then" in screen_text(app) and "58 %" in screen_text(app), pilot)
            await picture("label", size, app, pilot)

    async def test_of_the_samples(self, alone, size, picture):
        app = Workbench(Session(vitals=None), first="home", config=alone / "no-config")
        async with app.run_test(size=size) as pilot:
            await until(lambda: "titanic" in screen_text(app), pilot)
            await picture("home", size, app, pilot)

    async def test_of_a_model_to_use(self, finished, size, picture, monkeypatch):
        monkeypatch.chdir(finished.folder.parent)
        bundle = finished.folder / "runs" / "0003-tabm" / "bundle"
        bundle.mkdir()
        (bundle / "bundle.toml").write_text("")
        app = finished.app("ship")
        async with app.run_test(size=size) as pilot:
            await until(lambda: "epochal predict penguins new.csv" in screen_text(app), pilot)
            await picture("ship", size, app, pilot)

    async def test_of_what_is_made_of_a_file(self, alone, size, picture, monkeypatch):
        monkeypatch.chdir(alone)
        write_csv(alone / "birds.csv", tiny_rows(300))
        session = Session(vitals=None)
        app = Workbench(session, first=prepare(session, "birds.csv"), config=alone / "no-config")
        async with app.run_test(size=size) as pilot:
            await until(lambda: "Enter makes the project" in screen_text(app), pilot, seconds=60)
            await picture("start", size, app, pilot)
        session.close()

    async def test_of_help(self, world, size):
        app = world.app("train")
        async with app.run_test(size=size) as pilot:
            await _seen(world, pilot)
            await pilot.press("question_mark")
            await until(lambda: "by heart" in screen_text(app), pilot)

            assert "Stop the run with a checkpoint" in screen_text(app)

    async def test_of_the_palette(self, world, size):
        app = world.app("train")
        async with app.run_test(size=size) as pilot:
            await _seen(world, pilot)
            await pilot.press("colon", *"smoo")
            await until(lambda: "Smooth the training loss" in screen_text(app), pilot)

            assert "Write a checkpoint now" not in screen_text(app)


def _write_review(world: World, document: dict) -> None:
    folder = world.folder / "runs" / "0003-tabm" / "report"
    folder.mkdir()
    (folder / "view.json").write_text(json.dumps(document), encoding="utf-8")


class TestKeys:
    async def test_digits_and_g_digits_jump_and_q_goes_back(self, world):
        app = world.app("goal")
        async with app.run_test(size=(80, 24)) as pilot:
            for keys, stage in ((["5"], "train"), (["g", "4"], "model"), (["q"], "train"), (["escape"], "goal")):
                await pilot.press(*keys)
                await until(lambda stage=stage: app.current_mode == stage, pilot)

    async def test_every_command_has_its_method(self, world):
        app = world.app("goal")
        async with app.run_test(size=(80, 24)):
            missing = []
            for command in app.keymap.commands:
                name = "do_" + command.id.replace(".", "_").replace("-", "_")
                for stage in command.stages or ("goal",):
                    if stage == "data":
                        continue
                    screen = app.MODES[stage]()
                    if not hasattr(screen, name) and not hasattr(app, name):
                        missing.append((stage, command.id))

        assert missing == []

    async def test_a_change_is_on_disk_before_the_screen_says_saved_and_u_takes_it_back(self, world):
        app = world.app("goal")
        async with app.run_test(size=(120, 40)) as pilot:
            await until(lambda: "good when" in screen_text(app), pilot)
            await pilot.press("m")
            await until(lambda: "Enter takes" in screen_text(app), pilot)
            await pilot.press("j", "enter")
            await until(lambda: world.session.project.goal.metric == "balanced_accuracy", pilot)
            assert 'metric = "balanced_accuracy"' in (world.folder / "project.toml").read_text()
            await pilot.press("U")
            await until(lambda: "taken back: metric" in screen_text(app), pilot)

        assert world.session.project.goal.metric == "accuracy"

    async def test_a_setting_that_cannot_be_says_why_and_is_not_taken(self, world):
        app = world.app("model")
        async with app.run_test(size=(120, 40)) as pilot:
            await until(lambda: "0.985 ± 0.006" in screen_text(app), pilot)
            await pilot.press("tab", "enter")
            await until(lambda: "Networks that share their weights. Expected: from 2 to 64" in screen_text(app), pilot)
            await pilot.press("backspace", *"900", "enter")
            await until(lambda: "expected a whole number from 2 to 64" in screen_text(app), pilot)
            await pilot.press("backspace", "backspace", "backspace", *"16", "enter")
            await until(lambda: world.session.project.model.options == {"members": 16}, pilot)
            await pilot.press("d")
            await until(lambda: world.session.project.model.options == {}, pilot)

    async def test_stop_asks_the_run_and_only_a_running_one(self, world):
        app = world.app("train")
        commands = world.folder / "runs" / "0003-tabm" / "commands"
        async with app.run_test(size=(80, 24)) as pilot:
            await _seen(world, pilot)
            await until(lambda: "s stop" in screen_text(app), pilot)
            await pilot.press("s")
            await until(lambda: world.session.seen.state.commands, pilot)

        assert [c.verb for c in world.session.seen.state.commands] == ["stop"]
        assert commands.exists()

    async def test_the_list_of_runs_walks_and_the_chart_follows(self, world):
        app = world.app("train")
        async with app.run_test(size=(120, 40)) as pilot:
            await _seen(world, pilot)
            await pilot.press("j")
            await until(lambda: "run 2   mlp   done" in screen_text(app), pilot)
            await pilot.press("j")
            await until(lambda: "run 1   linear   done" in screen_text(app), pilot)

    @pytest.mark.parametrize(
        ("there", "title"),
        [(1, "Adelie taken for Chinstrap"), (1360, "first 1 of 1 360: Adelie taken for Chinstrap")],
    )
    async def test_a_cell_of_the_matrix_sends_its_rows_to_the_data_pane(self, finished, reviews, there, title):
        document = reviews.classification()
        document["confusion"]["counts"][0][1] = there
        _write_review(finished, document)
        app = finished.app("test")
        async with app.run_test(size=(120, 40)) as pilot:
            await until(lambda: "taken for" in screen_text(app), pilot)
            await pilot.press("tab", "l")
            await until(lambda: f"▸{there}" in screen_text(app), pilot)
            wanted = []
            finished.session.subscribe(
                lambda topic: wanted.append(finished.session.rows_wanted) if topic == "rows" else None
            )
            await pilot.press("enter")
            await until(lambda: wanted, pilot)

        assert (wanted[0].title, wanted[0].keys) == (title, ("k0",))

    async def test_leaving_tells_what_goes_on_and_asks(self, world):
        app = world.app("train")
        async with app.run_test(size=(120, 40)) as pilot:
            await _seen(world, pilot)
            await pilot.press("g", "q")
            await until(lambda: "Leave the workbench?" in screen_text(app), pilot)
            await pilot.press("enter")
            await until(lambda: app.return_code is not None, pilot)

        assert "run 3 (tabm)" in app.last_words[0]

    async def test_a_small_terminal_says_what_it_needs_and_still_shows_the_run(self, world):
        app = world.app("train")
        async with app.run_test(size=(50, 12)) as pilot:
            await _seen(world, pilot)
            await until(lambda: "60 × 16" in screen_text(app), pilot)

            assert "58 %" in screen_text(app)


class TestStrangeNames:
    HOSTILE = "\x1b]52;c;aGk=\x07\x1b[2J\x9b31m\u202e[bold]x[/nope]"

    async def test_of_projects_and_classes_are_text_on_every_pane(self, finished, reviews):
        session = finished.session
        session.set("goal.question", self.HOSTILE)
        _write_review(finished, reviews.classification(names=(self.HOSTILE, "b", "c")))
        for stage in ("goal", "model", "train", "test", "label", "ship"):
            app = finished.app(stage)
            async with app.run_test(size=(200, 50)) as pilot:
                await until(lambda app=app: len(screen_text(app)) > 400, pilot)
                await pilot.pause(0.1)
                text = screen_text(app)
                if stage in {"goal", "test"}:
                    await until(lambda app=app: "[bold]x[/nope]" in screen_text(app), pilot)
            assert not {c for c in text if c != "\n" and (ord(c) < 32 or 127 <= ord(c) < 160 or c == "\u202e")}


@pytest.mark.parametrize("size", SIZES)
async def test_the_worst_rows_of_many_classes_can_be_walked_through(alone, reviews, size):
    file = tiny_project(alone / "penguins")
    spec = tiny_run(file, ledger=reviews.LEDGER)
    review = reviews.classification(spec.name)
    names = [f"class {n}" for n in range(9)]
    review["confusion"] |= {"classes": names, "counts": [[9] * 9] * 9, "keys": [[0, 0, ["k0"]]]}
    review["per_class"] = [{**review["per_class"][0], "name": name} for name in names]
    with kept_run(spec, run_events(epochs=20, until_epoch=20, end=True)):
        pass
    (spec.folder / "report").mkdir()
    (spec.folder / "report" / "view.json").write_text(json.dumps(review))
    session = Session(vitals=None)
    session.open(file.folder)
    app = Workbench(session, first="test", config=alone / "no-config")
    async with app.run_test(size=size) as pilot:
        for row in ("#73", "#112", "#9"):
            await until(lambda row=row: f"▸ {row:>7}" in screen_text(app), pilot)
            await pilot.press("j")
        await pilot.press("tab")
        await until(lambda: "predicted" in screen_text(app) and "class 8" in screen_text(app), pilot)
    session.close()


async def test_a_log_keeps_what_is_set_in_and_a_key_that_means_nothing_there_says_so(finished):
    """A trace is read by its indents; and the keys of the pane below do nothing there."""
    trace = (
        "Traceback (most recent call last):",
        '  File "model.py", line 7',
        "    return self.m(x)",
        "           ^^^^^^",
    )
    app = finished.app("train")
    async with app.run_test(size=(80, 24)) as pilot:
        await _seen(finished, pilot)
        app.push_screen(TextOverlay("host.log", lambda: trace, live=False))
        await until(lambda: "Traceback" in screen_text(app), pilot)
        drawn = [line for line in screen_text(app).splitlines() if any(t.strip() in line for t in trace)]
        starts = [line.index(t.strip()) for line, t in zip(drawn, trace, strict=True)]
        assert [start - starts[0] for start in starts] == [0, 2, 4, 11]

        await pilot.press("s")
        await until(lambda: "s means nothing here" in screen_text(app), pilot)


class TestEveryKeySays:
    @pytest.mark.parametrize(
        ("keys", "words"),
        [
            ("s", "Run 3 is done: there is nothing to stop"),
            ("c", "Run 3 is done: there is nothing to keep"),
            ("r", "Run 3 is done: there is nothing to resume"),
            ("k", "This is the newest run"),
            ("mml", "Learning rate has no logarithmic scale"),
            ("mmo", "Other runs are laid over the loss and the metric"),
            ("y", "y does nothing here"),
        ],
    )
    async def test_why_it_does_nothing_to_a_run_that_is_done(self, finished, keys, words):
        app = finished.app("train")
        async with app.run_test(size=(80, 24)) as pilot:
            await _seen(finished, pilot)
            await until(lambda: "run 3   tabm   done" in screen_text(app), pilot)
            await pilot.press(*keys)
            await until(lambda: words.lower() in screen_text(app).lower(), pilot)

    async def test_why_a_cell_without_rows_shows_none(self, finished, reviews):
        _write_review(finished, reviews.classification())
        app = finished.app("test")
        async with app.run_test(size=(80, 24)) as pilot:
            await until(lambda: "taken for" in screen_text(app), pilot)
            await pilot.press("tab", "l", "l", "enter")
            await until(lambda: "No Adelie was taken for Gentoo" in screen_text(app), pilot)


async def test_what_is_cut_short_of_a_run_is_whole_on_a_key(world):
    app = world.app("train")
    async with app.run_test(size=(80, 24)) as pilot:
        await _seen(world, pilot)
        await until(lambda: "i shows all" in screen_text(app), pilot)
        await pilot.press("i")
        await until(lambda: "accuracy 0.980 on validation, better than the strong baseline" in screen_text(app), pilot)
        await pilot.press("G")
        await until(lambda: "1 920 train, 270 validation" in screen_text(app), pilot)


async def test_what_shows_all_is_named_by_the_key_that_a_person_gave_it(world):
    (world.folder / "no-config").mkdir()
    (world.folder / "no-config" / "keys.toml").write_text('"train.detail" = "I"\n')
    app = world.app("train")
    async with app.run_test(size=(80, 24)) as pilot:
        await _seen(world, pilot)
        await until(lambda: "I shows all" in screen_text(app), pilot)


@pytest.mark.parametrize("size", [*SIZES, (120, 24), (170, 45)])
async def test_what_a_run_outlives_is_said_whole(world, size):
    app = world.app("train")
    async with app.run_test(size=size) as pilot:
        await _seen(world, pilot)
        await until(lambda: "not a reboot" in screen_text(app), pilot)


async def test_a_run_under_way_is_told_while_another_one_is_shown(world):
    app = world.app("train")
    async with app.run_test(size=(80, 24)) as pilot:
        await _seen(world, pilot)
        await pilot.press("j")
        await until(lambda: "run 2   mlp   done" in screen_text(app), pilot)
        await until(lambda: screen_text(app).splitlines()[0].endswith("run 3 running"), pilot)


async def test_a_key_for_a_run_that_was_chosen_is_for_no_other_one(world):
    """It waits until that run is shown; who chooses another meanwhile does not mean it any more."""
    app = world.app("train")
    async with app.run_test(size=(80, 24)) as pilot:
        await _seen(world, pilot)
        session, running = world.session, world.session.seen.run
        for command in ("train.down", "train.stop", "train.up"):  # sooner than a run can be shown
            app.screen.perform(BY_ID[command])
        await until(lambda: session.run_wanted == session.seen.run == running, pilot)
        app.screen.refresh_view("all")
        await pilot.pause(0.2)

        assert session.notice == ""
        assert not list((session.seen.info(running).folder / "commands").rglob("*.json"))


async def test_a_key_for_a_run_that_was_chosen_does_its_work_once_when_that_one_is_shown(world):
    app = world.app("train")
    async with app.run_test(size=(80, 24)) as pilot:
        await _seen(world, pilot)
        session, running = world.session, world.session.seen.run
        app.screen.perform(BY_ID["train.down"])
        await until(lambda: session.run_wanted == session.seen.run != running, pilot)
        for command in ("train.up", "train.stop"):  # sooner than the run can be shown
            app.screen.perform(BY_ID[command])
        folder = session.seen.info(running).folder / "commands"
        await until(lambda: list(folder.rglob("*.json")), pilot)
        await pilot.pause(0.3)

        assert len(list(folder.rglob("*.json"))) == 1


async def test_a_run_laid_over_another_has_its_name_and_its_own_sign(finished):
    app = finished.app("train")
    async with app.run_test(size=(80, 24)) as pilot:
        await _seen(finished, pilot)
        await until(lambda: "┅┅ validation" in screen_text(app), pilot)
        await pilot.press("o")
        await until(lambda: "·· run 2 mlp" in screen_text(app), pilot)


async def test_what_must_be_beaten_stays_known_when_the_next_run_begins(finished):
    spec = tiny_run(finished.session.file, number=4, family="trees")
    with kept_run(spec, list(run_events())[:1]):
        app = finished.app("train")
        async with app.run_test(size=(120, 40)) as pilot:
            await until(lambda: "run 4   trees" in screen_text(app), pilot)
            await until(lambda: "strong   baseline     0.971" in screen_text(app), pilot)
            assert "0.976 ✓" in screen_text(app)


@pytest.mark.parametrize("size", SIZES)
async def test_all_of_a_worst_row_can_be_read(finished, reviews, size):
    review = reviews.classification()
    long = "Adelie Penguin (Pygoscelis adeliae) taken for Chinstrap penguin (Pygoscelis antarctica) (0.91)"
    review["worst"][0]["words"] = long
    review["worst"][0]["inputs"] = [[f"column {n}", f"value {n}"] for n in range(6)]
    _write_review(finished, review)
    app = finished.app("test")
    async with app.run_test(size=size) as pilot:
        await until(lambda: "#73" in screen_text(app), pilot)
        await until(lambda: all(word in screen_text(app) for word in long.split()), pilot)
        await until(lambda: "column 5 value 5" in screen_text(app), pilot)


async def test_a_copied_sample_was_saved_when_it_was_copied(alone):
    before = datetime.now(UTC).replace(microsecond=0)
    session = Session(vitals=None)
    session.open(copy_sample("penguins", alone / "penguins"))

    assert before <= session.file.saved_at <= datetime.now(UTC)
    session.close()


async def test_the_rail_has_room_for_problems(world):
    world.session.problems = 4
    app = world.app("goal")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: "4 problems" in screen_text(app), pilot)


@pytest.mark.parametrize("size", SIZES)
async def test_the_palette_shows_what_every_command_does_whole(world, size):
    app = world.app("train")
    async with app.run_test(size=size) as pilot:
        await _seen(world, pilot)
        await pilot.press("colon", *"in full")
        wanted = BY_ID["train.detail"].help.split()
        await until(lambda: all(word in screen_text(app) for word in wanted), pilot)


def test_what_ends_in_an_ellipsis_gets_no_second_one():
    assert cut(content("a long nam…   and more"), 12).plain == "a long nam…"
    assert cut(content("short…"), 6).plain == "short…"
    assert fit("a long nam…es and more", 12) == "a long nam…"


class TestEvidence:
    """What was measured of families, and what runs gave, is shown only of what the project asks now."""

    @pytest.fixture
    def unmeasured(self, finished, monkeypatch):
        monkeypatch.setattr("epochal.workbench.flow.measure", lambda *_a, **_k: None)
        session = finished.session
        session.choice_of = session.built_of = asked_of(session.project)
        return finished

    @pytest.mark.parametrize(
        ("dotted", "value"),
        [("columns.ignore", ["island"]), ("columns.target", "island"), ("split.seed", 3), ("goal.metric", "f1")],
    )
    async def test_goes_when_something_else_is_asked_and_comes_back_with_it(self, unmeasured, dotted, value):
        session = unmeasured.session
        app = unmeasured.app("model")
        async with app.run_test(size=(120, 40)) as pilot:
            await until(lambda: "0.985 ± 0.006" in screen_text(app) and "run 1" in screen_text(app), pilot)
            await until(lambda: "baseline: LightGBM" in screen_text(app), pilot)
            session.set(dotted, value)
            await until(lambda: "0.985 ± 0.006" not in screen_text(app), pilot)
            for stale in ("tabm was best", "3 inputs", "run 1", "baseline: LightGBM"):
                assert stale not in screen_text(app)
            session.undo()
            await until(lambda: "0.985 ± 0.006" in screen_text(app) and "run 1" in screen_text(app), pilot)

    async def test_is_gathered_anew_for_what_is_asked_now(self, finished, monkeypatch):
        asked = []
        monkeypatch.setattr("epochal.workbench.flow.measure", lambda *_a, **k: asked.append(k))
        session = finished.session
        session.choice_of = session.built_of = asked_of(session.project)
        app = finished.app("model")
        async with app.run_test(size=(120, 40)) as pilot:
            await _seen(finished, pilot)
            assert asked == []
            session.set("columns.ignore", ["island"])
            await until(lambda: asked == [{"again": False}], pilot)

    async def test_of_a_target_that_the_recipe_takes_away_offers_no_training(self, finished):
        session = finished.session
        app = finished.app("model")
        async with app.run_test(size=(120, 40)) as pilot:
            await until(lambda: "Enter trains the family" in screen_text(app), pilot)
            session.add_step(Step(op="drop_columns", params={"columns": [session.project.columns.target]}))
            await until(lambda: "1 Goal: say which column is to be predicted" in screen_text(app), pilot)
            await pilot.press("enter")
            await until(lambda: "takes the target" in screen_text(app) and "t chooses one" in screen_text(app), pilot)
            assert session.job is None

    async def test_of_auto_is_that_of_a_run_with_the_same_settings(self, finished):
        spec = tiny_run(finished.session.file, number=4, family="tabm")
        other = with_setting(spec.project, "model.members", 7)
        write_run(replace(spec, project=other, resolved={"train": {"batch_size": 96}}))
        with kept_run(spec, run_events(end=True)):
            pass
        app = finished.app("model")
        async with app.run_test(size=(120, 40)) as pilot:
            await until(lambda: "run 4" in screen_text(app) and "batch size" in screen_text(app), pilot)
            assert "auto (96)" not in screen_text(app)
            finished.session.set("model.members", 7)
            await until(lambda: "auto (96)" in screen_text(app), pilot)


@pytest.mark.parametrize(
    ("steps", "there"),
    [
        ([], True),
        ([("drop_columns", {"columns": ["y"]})], False),
        ([("select", {"columns": ["x"]})], False),
        ([("select", {"columns": ["x", "y"]})], True),
        ([("rename", {"column": "y", "to": "z"})], False),
        ([("rename", {"column": "x", "to": "y"})], True),
        ([("drop_columns", {"columns": ["y"]}), ("compute", {"column": "y", "as": "x"})], True),
    ],
)
def test_a_target_is_there_unless_the_recipe_takes_it_away(steps, there):
    clean = tuple(Step(op=op, params=params) for op, params in steps)
    project = Project(name="p", columns=Columns(target="y"), clean=clean)

    assert (target_of(project) == "y") == there
    assert target_of(replace(project, clean=tuple(replace(s, enabled=False) for s in clean))) == "y"


async def test_a_test_set_that_another_process_opened_is_no_longer_sealed(finished, reviews):
    app = finished.app("test")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: "Enter opens it" in screen_text(app), pilot)
        _write_review(finished, reviews.classification())
        finished.session.look(fresh=True)
        await until(lambda: "taken for" in screen_text(app) and "Enter opens it" not in screen_text(app), pilot)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("classes", "drawn"), [(60, 24), (14, 14)])
async def test_of_many_classes_what_was_most_often_taken_for_what_is_listed(finished, reviews, size, classes, drawn):
    review = reviews.classification()
    names = [f"class {n}" for n in range(drawn)]
    counts = [[9 if i == j else 0 for j in range(drawn)] for i in range(drawn)]
    counts[3][7], counts[5][1] = 2, 5
    review["confusion"] |= {"classes": names, "counts": counts, "keys": [[3, 7, ["k0"]]], "rest": classes > drawn}
    review["per_class"] = [{**review["per_class"][0], "name": f"class {n}"} for n in range(classes)]
    _write_review(finished, review)
    app = finished.app("test")
    async with app.run_test(size=size) as pilot:
        await until(lambda: f"{classes} classes: c shows how each fared" in screen_text(app), pilot)
        shown = screen_text(app)
        assert shown.index("5×  class 5 taken for class 1") < shown.index("2×  class 3 taken for class 7")
        assert "Tab shows" not in shown
        await until(lambda: all(row in screen_text(app) for row in ("#73", "#112", "#9")), pilot)


@pytest.mark.parametrize("stage", ["ship", "test"])
async def test_what_changed_since_a_run_is_told_where_its_model_is_judged_and_used(finished, reviews, stage):
    _write_review(finished, reviews.classification())
    bundle = finished.folder / "runs" / "0003-tabm" / "bundle"
    bundle.mkdir()
    (bundle / "bundle.toml").write_text("")
    app = finished.app(stage)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: "the same training again" in screen_text(app) or stage == "test", pilot)
        assert "changed since this run" not in screen_text(app)
        finished.session.set("columns.ignore", ["island"])
        await until(lambda: "he inputs changed since this run" in screen_text(app), pilot)
        if stage == "ship":
            assert "a training of the project as it is now" in screen_text(app)
            assert "the same training again" not in screen_text(app)


@pytest.mark.parametrize("kind", ["world", "finished"])
async def test_watching_says_that_a_run_goes_on_only_while_it_does(kind, request):
    watched = request.getfixturevalue(kind)
    app = WatchApp(watched.folder / "runs" / "0003-tabm")
    async with app.run_test(size=(100, 30)) as pilot:
        await until(lambda: "q leaves" in screen_text(app), pilot)
        assert ("the run goes on" in screen_text(app)) == (kind == "world")


@pytest.mark.parametrize(("rows", "words"), [(1, "1 row was put aside"), (69, "69 rows were put aside")])
def test_rows_put_aside_are_counted_as_people_count(finished, rows, words):
    info = list_runs(finished.folder)[0]
    info = replace(info, spec=replace(info.spec, ledger={**info.spec.ledger, "test": rows}))

    assert any(text.startswith(words) for text, _tone in sealed_view(info).lines)


def test_the_account_calls_the_test_set_sealed_only_until_it_was_opened(reviews):
    assert "sealed until the end (test)" in account(reviews.LEDGER).plain
    assert "sealed" not in account(reviews.LEDGER, opened=True).plain


def test_one_row_is_counted_as_one_wherever_a_verdict_is_told(finished, reviews):
    view = view_from({**reviews.classification(), "rows": 1})
    spec = list_runs(finished.folder)[0].spec
    card, page = card_text(spec, view, bundle_sha256=""), page_text(spec, view)

    assert ("1 row never seen in training", "text") in headline(view)
    for text in (card, page):
        assert "1 row never seen in training" in text
        assert "look 1 at this test set" in text


async def test_bad_news_has_its_own_sign_and_yields_after_a_while_or_a_key(finished, monkeypatch):
    def line() -> str:
        return screen_text(app).splitlines()[-2]

    session = finished.session
    app = finished.app("train")
    async with app.run_test(size=(120, 40)) as pilot:
        await _seen(finished, pilot)
        for ended in ("key", "time"):
            session.warn("the validation part is empty")
            await until(lambda: line().startswith(" ! the validation part is empty"), pilot)
            if ended == "key":
                await pilot.press("l")
            else:
                monkeypatch.setattr("epochal.workbench.session.NOTICE_SECONDS", 0.1)
            await until(lambda: line().startswith(" Next"), pilot)
        session.tell("asked")
        await until(lambda: line().startswith(" ✓ asked"), pilot)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_what_is_under_way_gives_way_to_the_project_the_run_and_how_far_it_is(world, size):
    session, app = world.session, world.app("goal")
    async with app.run_test(size=size) as pilot:
        await _seen(world, pilot)
        session.job = Job(
            name="verify", text="verifying that a run resumes to the bit: stopped at step 20 of 40", fraction=0.5
        )
        session.changed("job")

        await until(lambda: "50 %" in screen_text(app).splitlines()[0], pilot)
        top = screen_text(app).splitlines()[0]
    assert "epochal ▸ penguins" in top
    assert "verifying" in top
