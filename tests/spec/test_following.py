"""What a command that follows a run says of it meanwhile, on a terminal and where none is."""

from __future__ import annotations

import errno
import io
from dataclasses import replace
from pathlib import Path

import pytest

from epochal.cli.console import Console
from epochal.cli.following import Teller, progress_words
from epochal.core.events import EpochDone, HostStarted, Noticed, StepsDone
from epochal.core.settings import Goal, Model, Project
from epochal.project.runfile import RunSpec
from epochal.show import cell_width, fit
from epochal.testing import fold, training_started


SPEC = RunSpec(
    folder=Path("/p/runs/0001-mlp"),
    name="0001-mlp",
    project=Project(name="p", goal=Goal(metric="f1"), model=Model(family="mlp")),
    snapshot_id="s",
    split_id="t",
    created="2026-11-30T10:00:00Z",
    inputs=("a",),
)
HOST = HostStarted(host="detached", pid=1, machine="here", device="2 CPU cores", survives="outlives the terminal")
NO_ROOM = "the checkpoint of step 197 was not saved: No space left on device; it waits for room on the disk"


def warning(text, code="checkpoint-passed-over"):
    return Noticed(code=code, text=text, severity="warning")


@pytest.fixture
def err():
    return io.StringIO()


@pytest.fixture
def teller(err):
    return Teller(SPEC, Console(out=io.StringIO(), err=err))


class TestAFollowedRun:
    def test_says_each_of_its_warnings_once(self, teller, err):
        first = fold(HOST, warning("step 9 is damaged"), Noticed(code="plan", text="only a hint"))
        second = fold(Noticed(code="disk", text="not written", severity="error"), state=first)
        for state in (first, first, second):
            teller.tell(state)

        assert err.getvalue().splitlines() == ["run 1: step 9 is damaged", "run 1: not written"]

    def test_does_not_repeat_what_an_earlier_host_said(self, teller, err):
        teller.tell(fold(HOST, warning("of the first"), HOST, warning("of the second")))

        assert err.getvalue().splitlines() == ["run 1: of the second"]

    def test_says_all_of_more_than_are_kept_that_still_are(self, teller, err):
        teller.tell(fold(HOST, *(warning(f"number {n}") for n in range(500))))

        said = err.getvalue().splitlines()
        assert said == [f"run 1: number {n}" for n in range(500 - len(said), 500)]
        assert len(said) >= 100

    def test_does_not_repeat_what_was_said_of_the_data_as_it_was_made(self, teller, err):
        teller.tell(fold(HOST, warning("source a has changed", code="data")))

        assert err.getvalue() == ""

    def test_says_once_that_it_waits_and_once_that_it_goes_on(self, teller, err):
        going = fold(HOST, training(), steps(197))
        waits = replace(going, status="paused", status_note=NO_ROOM)
        for state in (going, waits, waits, going, going):
            teller.tell(state)

        assert err.getvalue().splitlines() == [f"run 1 is paused: {NO_ROOM}", "run 1 goes on"]


def training():
    return replace(training_started(epochs=2_000, steps_per_epoch=25), metric="f1")


def steps(step):
    return StepsDone(
        step=step,
        epoch=step / 25,
        count=1,
        loss=0.2368,
        loss_min=0.2,
        loss_max=0.3,
        learning_rate=0.01,
        samples_per_second=21_300,
        seconds=step / 100,
    )


def judged(step):
    metrics = {"f1": 0.436}
    return EpochDone(
        step=step,
        epoch=step / 25,
        train_loss=0.2,
        validation_loss=0.3,
        metrics=metrics,
        value=0.436,
        best=True,
        seconds=step / 100,
    )


class TestTheProgressLine:
    def test_shows_the_time_left_loss_and_best_in_eighty_columns(self):
        words = progress_words(SPEC, fold(HOST, training(), steps(197), judged(200)))

        shown = fit(words, 80 - cell_width("  12%"))
        assert shown.startswith("run 1  8:18 left  epoch 8 of 2")
        assert "loss 0.2368  best f1 0.436" in shown
        assert "21 300 rows/s  mlp" in words.replace("\u202f", " ")

    def test_says_why_a_run_waits_before_its_figures(self):
        state = replace(fold(HOST, training(), steps(197)), status="paused", status_note=NO_ROOM)

        assert progress_words(SPEC, state).startswith(f"run 1  paused: {NO_ROOM}  epoch 8 of")
        assert ":18 left" not in progress_words(SPEC, state)

    def test_says_that_it_stops(self):
        state = replace(fold(HOST, training(), steps(197)), status="stopping")

        assert progress_words(SPEC, state).startswith("run 1  stopping  epoch")


def test_a_notice_that_a_full_disk_does_not_take_ends_nothing():
    class Full(io.StringIO):
        def write(self, _text):
            raise OSError(errno.ENOSPC, "No space left on device")

    Console(out=io.StringIO(), err=Full()).notice("run 1 is paused")

    class Gone(io.StringIO):
        def write(self, _text):
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        Console(out=io.StringIO(), err=Gone()).notice("run 1 is paused")


def test_the_share_done_is_seen_however_narrow_the_terminal(monkeypatch):
    class Screen(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("COLUMNS", "40")
    screen = Screen()
    Console(out=io.StringIO(), err=screen).progress("a line that is far too long for this terminal", 0.12)

    assert screen.getvalue().endswith("…  12%")
