"""The data pane without a screen: what is looked at, found, selected and decided, over the real data host."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from epochal.core.settings import Model, with_setting
from epochal.core.split import DEALT_ANEW, fingerprint_of
from epochal.core.steps import Step
from epochal.testing import tiny_project
from epochal.workbench import flow, operations
from epochal.workbench.data_session import DataSession
from epochal.workbench.session import Session
from epochal.workbench.views.train import train_view


class Desk:
    """A data session whose answers are taken when the test asks for them, on the test's own thread."""

    def __init__(self, session: Session) -> None:
        self.calls: queue.Queue[Callable[[], None]] = queue.Queue()
        session.deliver = self.calls.put
        self.topics: list[str] = []
        self.data = DataSession(session, self.topics.append)

    def until(self, condition: Callable[[], object]) -> None:
        while not condition():
            self.calls.get(timeout=30)()

    def opened(self) -> None:
        """Wait for the view that was asked for last."""
        self.until(lambda: not self.data.waits("view") and self.data.view is not None)


@pytest.fixture
def desk(tmp_path, monkeypatch) -> Iterator[Desk]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    tiny_project(tmp_path / "p")
    session = Session()
    session.open(tmp_path / "p")
    desk = Desk(session)
    desk.data.start()
    desk.opened()
    yield desk
    session.close()


def test_the_head_of_the_file_comes_before_the_rows(desk):
    assert desk.topics.index("head") < desk.topics.index("view")


def test_a_narrower_view_tells_what_it_is_and_leads_back(desk):
    desk.data.narrow("island", "equals", "Dream", "island is Dream")
    desk.opened()
    assert (desk.data.view.rows, desk.data.view.total, desk.data.query.title) == (30, 90, "island is Dream")
    desk.data.narrow("species", "equals", "Adelie", "species is Adelie")
    desk.opened()
    assert desk.data.query.title == "island is Dream and species is Adelie"
    assert desk.data.back()
    assert desk.data.back()
    assert not desk.data.back()
    desk.opened()
    assert desk.data.view.rows == 90


def test_only_the_newest_wish_of_a_kind_is_answered(desk):
    before = desk.topics.count("view")
    for column in ("bill", "mass", "island", "species"):
        desk.data.sort(column, descending=False)
    desk.opened()
    assert desk.topics.count("view") == before + 1
    assert desk.data.query.sort == (("species", False),)


def test_a_selection_holds_through_sorting_and_is_named_by_stable_keys(desk):
    desk.data.rows.select_where(((("island", "equals", "Dream"),), (("species", "equals", "Gentoo"),)), "wanted")
    desk.until(lambda: desk.data.selected)
    count = len(desk.data.selected)
    assert 30 < count < 60, "either of the two, each row once"
    desk.data.sort("mass", descending=True)
    desk.opened()
    assert len(desk.data.selected) == count
    keys: list[str] = []
    desk.data.rows.keys_of_selected(keys.extend)
    desk.until(lambda: keys)
    assert len(set(keys)) == count


def test_a_step_is_counted_without_being_applied(desk):
    counted = []
    step = Step(op="upper", params={"columns": ("island",)})
    desk.data.count(step, None, counted.append, pytest.fail)
    desk.until(lambda: counted)
    assert counted[0].changed == 90
    assert desk.data.recipe.steps == ()


def test_a_filter_says_how_many_rows_go_only_because_a_value_is_missing(desk):
    desk.data.recipe.put_step(Step(op="mark_missing", params={"columns": ("island",), "values": ("Dream",)}))
    desk.data.project_changed()
    counted = []
    step = Step(op="filter", params={"where": "island = 'Biscoe'"})
    desk.data.count(step, None, counted.append, pytest.fail)
    desk.until(lambda: counted)
    assert counted[0].removed == 60
    assert counted[0].sentence.endswith("30 of them because a value it looks at is missing")


def test_a_step_over_columns_says_what_becomes_of_them(desk):
    said = []
    for op, params in (
        ("rename", {"column": "island", "to": "isle"}),
        ("compute", {"column": "x", "as": "1"}),
        ("drop_columns", {"columns": ("island",)}),
    ):
        desk.data.count(Step(op=op, params=params), None, lambda c: said.append(c.sentence), pytest.fail)
        desk.until(lambda: not desk.data.waits("count"))
    assert said == [
        "island would be called isle",
        "the column x would be computed",
        "island would be left out; no row is lost",
    ]


def test_a_step_that_is_edited_is_counted_as_if_the_old_one_were_not_there(desk):
    desk.data.recipe.put_step(Step(op="upper", params={"columns": ("island",)}))
    counted = []
    desk.data.count(Step(op="upper", params={"columns": ("island",)}), 0, counted.append, pytest.fail)
    desk.until(lambda: counted)
    assert counted[0].changed == 90


def test_a_sort_by_a_column_that_a_step_takes_away_falls_back_to_all_rows(desk):
    desk.data.sort("mass", descending=True)
    desk.opened()
    desk.data.recipe.put_step(Step(op="drop_columns", params={"columns": ("mass",)}))
    desk.data.project_changed()
    desk.until(lambda: desk.data.view is not None and "mass" not in desk.data.column_names)
    assert desk.data.query.sort == ()
    assert "all rows are shown" in desk.data.said


def test_what_a_column_is_for_is_given_and_taken_back_by_the_same_key(desk):
    columns = lambda: desk.data.session.project.columns  # noqa: E731 - read anew each time
    desk.data.recipe.set_role("mass", "ignored")
    assert columns().ignore == ("mass",)
    desk.data.recipe.set_role("mass", "target")
    assert (columns().target, columns().ignore) == ("mass", ())
    desk.data.recipe.set_role("mass", "target")
    assert columns().target == ""


def test_a_decision_that_drops_what_was_recorded_of_the_split_is_told_at_once(desk):
    session = desk.data.session
    split, columns = session.project.split, session.project.columns
    recorded = replace(split, fingerprint=fingerprint_of("18-ab", split, columns))
    session.file.record(replace(session.project, split=recorded), "record the split")

    assert session.set("split.seed", split.seed + 1)
    assert DEALT_ANEW in session.notice
    session.notice = ""
    assert session.set("train.epochs", 2)
    assert session.notice == ""


def test_what_a_build_notices_is_shown_and_the_new_hash_is_kept_with_it(desk):
    session = desk.data.session
    source = session.project.sources[0]
    session.file.record(replace(session.project, sources=(replace(source, sha256="0" * 64),)), "first read")
    told: list[str] = []

    _project, built = operations.build(session.data, session.file, tell=told.append)

    assert told == list(built.notices)
    assert "has changed since it was last read" in told[0]
    assert session.project.sources[0].sha256 not in {"", "0" * 64}
    assert told[0] in (session.folder / "history.jsonl").read_text()


def test_what_is_not_told_is_not_recorded(desk):
    session = desk.data.session
    source = session.project.sources[0]
    session.file.record(replace(session.project, sources=(replace(source, sha256="0" * 64),)), "first read")

    def gone(_notice: str) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        operations.build(session.data, session.file, tell=gone)
    assert session.project.sources[0].sha256 == "0" * 64


def test_a_run_shows_what_its_build_noticed(desk):
    session = desk.data.session
    source = session.project.sources[0]
    project = replace(session.project, sources=(replace(source, sha256="0" * 64),), model=Model(family="linear"))
    session.file.change(with_setting(project, "train.epochs", 1), "first read")

    flow.train(session)
    desk.until(lambda: session.notice)
    assert "has changed since it was last read" in session.notice
    deadline = time.monotonic() + 120
    while session.info is None or session.info.status != "done":
        assert time.monotonic() < deadline
        session.look(fresh=True)
        desk.calls.get(timeout=30)()
        time.sleep(0.1)
    view = train_view(session.seen.runs, session.info.name, session.seen.state, datetime.now(UTC))
    assert any("has changed since it was last read" in finding.text for finding in view.coach)


def test_a_sort_that_is_called_off_leaves_the_rows_as_they_are(desk):
    desk.data.patience = 0
    before = desk.data.view
    desk.data.sort("island", descending=True)
    assert desk.data.cancel()
    assert desk.data.query.sort == ()
    assert "stay as they were" in desk.data.said
    desk.data.sort("species", descending=False)
    desk.opened()
    assert desk.data.view.token != before.token
    assert desk.data.query.sort == (("species", False),)


def test_nothing_is_called_off_before_a_person_can_see_it(desk):
    desk.data.patience = 60
    desk.data.sort("island", descending=True)
    assert not desk.data.cancel()
    desk.opened()
    assert desk.data.query.sort == (("island", True),)


def test_looking_at_other_rows_makes_no_new_account(desk):
    desk.until(lambda: desk.data.ledger is not None and desk.data.problems is not None)
    desk.data.sort("island", descending=True)
    desk.opened()
    assert not desk.data.waits("ledger")
    assert not desk.data.waits("problems")
    desk.data.recipe.put_step(Step(op="upper", params={"columns": ("island",)}))
    desk.data.project_changed()
    desk.opened()
    assert desk.data.waits("ledger")


def test_an_account_that_is_called_off_comes_with_the_next_look(desk):
    desk.until(lambda: desk.data.ledger is not None and desk.data.problems is not None)
    desk.data.patience = 0
    desk.data.recipe.put_step(Step(op="upper", params={"columns": ("island",)}))
    desk.data.project_changed()
    desk.opened()
    assert desk.data.cancel()
    assert desk.data.stopped
    desk.data.sort("island", descending=True)
    desk.opened()
    assert not desk.data.stopped
    desk.until(lambda: not desk.data.waits("problems"))
    assert desk.data.ledger is not None
