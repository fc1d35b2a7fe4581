"""Verifying a resume from the Model pane: its progress, Esc, and what was compared."""

from __future__ import annotations

from dataclasses import replace

import pytest

from epochal.core.errors import RunError
from epochal.core.events import RunEnded
from epochal.project.runfile import write_run
from epochal.runs.equality import Stop, Verification, compare, compared_of
from epochal.testing import kept_run, screen_text, tiny_project, tiny_run, until
from epochal.tui.app import Workbench
from epochal.workbench import resuming
from epochal.workbench.flow import Choice
from epochal.workbench.session import Session


@pytest.fixture
def session(tmp_path, monkeypatch):
    """A small project in the workbench, where families were measured already."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    session = Session(vitals=None)
    session.open(tiny_project(tmp_path / "p").folder)
    session.choice = Choice(chosen="linear", reason="", candidates=())
    yield session
    session.close()


async def test_is_cancelled_by_esc_and_leaves_nothing(session):
    app = Workbench(session, first="model")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(lambda: "Which model?" in screen_text(app), pilot)
        await pilot.press("v")
        await until(lambda: "1 of 3, without a stop" in screen_text(app), pilot, seconds=120)
        await pilot.press("escape")
        await until(lambda: "was cancelled" in screen_text(app), pilot)

        assert not list((session.folder / ".epochal").glob("verify-*"))


def verification(loss, weights):
    """What came out of two steps without a stop, and of two whose second loss and weights were these."""
    items = {"model.safetensors: a": "1", "optimiser.safetensors: mean:a": "1"}
    straight = {"start": 0, "losses": [0.5, 0.25], "batches": ["a", "b"], "items": items}
    part = {**straight, "losses": [0.5, loss], "items": {**items, "model.safetensors: a": weights}, "pid": 1}
    way = compare(straight, [part], (Stop(step=1, where="in the middle of epoch 1"),))
    return Verification(
        family="mlp",
        task="classification",
        mode="fast",
        device="cpu",
        threads=1,
        precision="float32",
        steps=2,
        begins=0,
        evaluate_every=2,
        steps_per_epoch=2,
        total_steps=20,
        pieces=1,
        losses=(0.5, 0.25),
        ways=(way,),
        compared=compared_of(straight, (way,)),
        notices=(),
        seconds=1.0,
    )


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (verification(0.25, "1"), "verdict: exact"),
        (verification(0.3, "2"), "verdict: differs: the losses and the weights, first at step 2"),
    ],
    ids=["exact", "differs"],
)
@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_shows_over_the_pane_what_was_compared_and_the_verdict(session, size, result, said):
    app = Workbench(session, first="model")
    async with app.run_test(size=size) as pilot:
        await until(lambda: "Which model?" in screen_text(app), pilot)
        app.screen._verified(result)
        await until(lambda: said in screen_text(app), pilot)
        shown = " ".join(screen_text(app).split())

        assert "fast mode promises no equality" in shown
        assert "optimiser's moments 1 tensors equal" in shown
        await pilot.press("escape")
        await until(lambda: "verdict" not in screen_text(app), pilot)


async def test_that_fails_says_so_and_asks_nothing_about_a_run_that_is_shown(session):
    """No device is a reason for a run not to go on too; here no run was asked to."""
    with kept_run(tiny_run(session.file), [RunEnded(state="stopped", reason="asked to")]):
        pass
    session.set("train.devices", [7])
    app = Workbench(session, first="model")
    async with app.run_test(size=(100, 30)) as pilot:
        await until(lambda: session.info is not None and session.info.status == "stopped", pilot)
        await pilot.press("v")
        await until(lambda: session.error is not None, pilot, seconds=120)
        await pilot.pause(0.3)

        assert session.error.error_code == "no-device"
        assert "cannot go on as it was" not in screen_text(app)


async def test_a_resume_whose_rows_are_gone_offers_nothing_but_a_new_run(session):
    with kept_run(tiny_run(session.file), [RunEnded(state="stopped", reason="asked to")]):
        pass
    app = Workbench(session, first="train")
    async with app.run_test(size=(100, 30)) as pilot:
        await until(lambda: session.info is not None and session.info.status == "stopped", pilot)
        error = RunError("the data of run 0001-linear is not what it was", code="data-changed")
        resuming.refuse_to_go_on(session, session.info, error)
        await until(lambda: "run 1 cannot go on as it was" in screen_text(app), pilot)

        assert "leave it" in screen_text(app)
        assert "train anew" in screen_text(app)
        assert "go on anyway" not in screen_text(app)


async def test_a_resume_that_is_refused_asks_about_its_own_run_whichever_is_shown_by_then(session):
    specs = [tiny_run(session.file, number=number) for number in (1, 2)]
    for spec in specs:
        with kept_run(spec, [RunEnded(state="stopped", reason="asked to")]):
            pass
    app = Workbench(session, first="train")
    async with app.run_test(size=(100, 30)) as pilot:
        await until(lambda: len(session.seen.runs) == 2 and session.info.spec.number == 2, pilot)
        error = RunError("none of its checkpoints is whole", code="no-checkpoint")
        resuming.refuse_to_go_on(session, session.seen.info(specs[0].name), error)
        await until(lambda: "run 1 cannot go on as it was" in screen_text(app), pilot)

        assert "from the start" in screen_text(app)


async def test_a_resume_asked_twice_in_a_moment_is_made_once(session):
    with kept_run(tiny_run(session.file), [RunEnded(state="stopped", reason="asked to")]):
        pass
    app = Workbench(session, first="train")
    async with app.run_test(size=(100, 30)) as pilot:
        await until(lambda: session.info is not None and session.info.status == "stopped", pilot)
        resuming.go_on(session, session.info)
        made = session.job
        resuming.go_on(session, session.info)

        assert session.job is made
        await until(lambda: session.job is None, pilot, seconds=60)
        assert session.error.error_code == "data-changed", "its rows are made up, so it does not come to a host"


async def test_a_run_for_several_nodes_is_refused_before_its_rows_are_looked_for(session):
    spec = replace(tiny_run(session.file), nodes=2)
    write_run(spec)
    with kept_run(spec, [RunEnded(state="stopped", reason="asked to")]):
        pass
    app = Workbench(session, first="train")
    async with app.run_test(size=(100, 30)) as pilot:
        await until(lambda: session.info is not None and session.info.status == "stopped", pilot)
        await pilot.press("r")
        await until(lambda: session.error is not None, pilot, seconds=60)

        assert session.error.error_code == "many-nodes"
