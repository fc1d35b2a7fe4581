"""Verifying a resume from the Model pane: its progress, Esc, and what was compared."""

from __future__ import annotations

import pytest

from epochal.runs.equality import Stop, Verification, compare, compared_of
from epochal.testing import screen_text, tiny_project, until
from epochal.tui.app import Workbench
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
    straight = {"losses": [0.5, 0.25], "batches": ["a", "b"], "items": items}
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
