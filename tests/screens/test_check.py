"""The check over the Model pane: what it shows, how it is called off, and how what it suggests is taken."""

from __future__ import annotations

import json
import math

import pytest

from epochal.core.settings import to_document, with_setting
from epochal.project.paths import ProjectPaths
from epochal.testing import screen_text, tiny_project, until
from epochal.tui.app import Workbench
from epochal.tui.screens.check import CheckSheet
from epochal.workbench.checking import Checked
from epochal.workbench.flow import Choice
from epochal.workbench.session import Session


SIZES = [(80, 24), (120, 40), (200, 50)]


def loss_at(rate: float) -> float:
    """A loss that falls around a rate of 0.003 and rises steeply from 0.3 on."""
    return 0.15 + 0.95 / (1 + (rate / 0.003) ** 1.2) + (rate / 0.5) ** 3


def document(**changed) -> dict:
    """What a check says where a rate of 0.5 and a batch of 16 are in force."""
    rates = [1e-6 * 10 ** (n / 40) for n in range(250)]
    smoothed = [[rate, loss_at(rate)] for rate in rates]
    return {
        "problems": [
            {
                "code": "learning-rate-too-high",
                "severity": "warning",
                "where": "[train] learning_rate",
                "what": "0.5 is too high",
                "fix": "train.learning_rate = 0.0025",
                "rows": 0,
            },
            {
                "code": "disputed-target",
                "severity": "hint",
                "where": "column species",
                "what": "2 rows have equal inputs but different targets: no model can get all right",
                "fix": "look whether labels are wrong or an input is missing",
                "rows": 2,
            },
        ],
        "estimate": {
            "seconds": 40.0,
            "memory_bytes": 180e6,
            "disk_bytes": 1.4e6,
            "disk_free_bytes": 9e9,
            "memory_available_bytes": 8e9,
        },
        "checks": {
            "untrained_loss": {"loss": 1.118, "expected": math.log(3), "exact": False, "rows": 62, "why_not": ""},
            "overfit": {
                "rows": 32,
                "steps": 40,
                "guess": 1.043,
                "floor": 0.0,
                "loss": 0.026,
                "learning_rate": 0.5,
                "otherwise": None,
                "cut_short": False,
                "why_not": "",
            },
            "learning_rate": {
                "in_force": 0.5,
                "suggested": 0.0025,
                "highest": 0.36,
                "curve": smoothed,
                "smoothed": smoothed,
                "rows": 16,
                "not_finite": None,
                "cut_short": False,
                "why_not": "",
            },
            "batch_size": {
                "in_force": 16,
                "suggested": 128,
                "throughput": [[16, 4000.0], [32, 9000.0], [64, 17000.0], [128, 31000.0], [256, 33000.0]],
                "memory": [[16, 468e3], [32, 995e3], [64, 1.9e6], [128, 3.9e6], [256, 7.8e6]],
                "largest": None,
                "not_finite": None,
                "cut_short": False,
                "why_not": "",
            },
        }
        | changed,
    }


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """Nothing of the person who runs the tests reaches the screens."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("EPOCHAL_THEME", raising=False)
    return tmp_path


@pytest.fixture
def session(alone):
    """A project whose settings a check would complain of; its families were tried."""
    file = tiny_project(alone / "penguins", family="mlp")
    project = with_setting(with_setting(file.project, "train.learning_rate", 0.5), "train.batch_size", 16)
    file.change(project, "a rate and a size")
    made = Session(vitals=None)
    made.open(file.folder)
    made.choice = Choice(chosen="mlp", reason="", candidates=())
    yield made
    made.close()


@pytest.fixture
def checked(session):
    """The same, checked."""
    session.checked = Checked(document=document(), project=session.project)
    return session


def _shown(app: Workbench) -> str:
    return screen_text(app)


@pytest.mark.parametrize("size", SIZES)
async def test_its_verdicts_picture_and_batch_sizes_at_every_size(checked, size, same_picture):
    app = Workbench(checked, first="model")
    async with app.run_test(size=size) as pilot:
        await until(lambda: "Which model?" in _shown(app), pilot)
        await pilot.press("C")
        await until(lambda: "Check of mlp" in _shown(app), pilot)
        await same_picture(f"check-{size[0]}x{size[1]}", lambda: _shown(app), pilot)


async def test_in_a_narrow_terminal_batch_sizes_take_the_place_of_the_picture(checked):
    app = Workbench(checked, first="model")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("C")
        await until(lambda: "loss while the learning rate rises" in _shown(app), pilot)
        await pilot.press("tab")
        await until(lambda: "Batch sizes" in _shown(app) and "31 000 rows/s" in _shown(app), pilot)
        assert "loss while" not in _shown(app)


async def test_a_key_takes_what_it_suggests_and_another_takes_it_back(checked):
    app = Workbench(checked, first="model")
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("C")
        await until(lambda: "l take rate 0.0025" in _shown(app) and "b take batch 128" in _shown(app), pilot)
        await pilot.press("l")
        await until(lambda: "train.learning_rate = 0.0025 is set" in _shown(app), pilot)
        assert checked.project.train.learning_rate == 0.0025
        assert "take rate" not in _shown(app)
        assert "of the settings before" in _shown(app)
        await pilot.press("b")
        await until(lambda: checked.project.train.batch_size == 128, pilot)
        await pilot.press("U", "U")
        await until(lambda: checked.project.train.learning_rate == 0.5, pilot)
        assert checked.project.train.batch_size == 16
        await until(lambda: "of the settings before" not in _shown(app), pilot)
        await pilot.press("escape")
        await until(lambda: "Which model?" in _shown(app), pilot)


async def test_it_is_called_off_with_esc_and_then_closed(session):
    before = to_document(session.project)
    app = Workbench(session, first="model")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: session.job is None, pilot)
        await pilot.press("C")
        await until(lambda: session.job is not None and session.job.name == "check", pilot)
        await until(lambda: "Throw-away models learn" in _shown(app), pilot)
        await pilot.press("escape")
        await until(lambda: "The check was cancelled" in _shown(app), pilot)
        assert session.job is None
        assert session.checked is None
        await pilot.press("escape")
        await until(lambda: not isinstance(app.screen, CheckSheet), pilot)
    assert to_document(session.project) == before


async def test_it_is_made_once_kept_and_shown_again(session):
    app = Workbench(session, first="model")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: session.job is None, pilot)
        await pilot.press("C")
        await until(lambda: session.checked is not None and session.job is None, pilot, seconds=120)
        await until(lambda: "one batch by heart" in _shown(app), pilot)
        await until(lambda: "Batch sizes ──" in _shown(app) and "● suggested" in _shown(app), pilot)
        kept = list(ProjectPaths(session.folder).checks.iterdir())
        assert [json.loads(path.read_text()) for path in kept] == [dict(session.checked.document)]
        await pilot.press("escape", "C")
        await until(lambda: "one batch by heart" in _shown(app), pilot)
        assert session.job is None


async def test_a_setting_that_means_nothing_is_listed_and_refused_by_a_run(session):
    project = with_setting(session.project, "train.momentum", 0.5)
    session.change(project, "a momentum")
    session.checked = Checked(
        document={
            **document(),
            "problems": [
                {
                    "code": "useless-setting",
                    "severity": "error",
                    "where": "[train] momentum",
                    "what": "train.momentum = 0.5 means nothing: only the optimiser sgd has a momentum",
                    "fix": "take momentum out of [train]",
                    "rows": 0,
                }
            ],
        },
        project=session.project,
    )
    app = Workbench(session, first="model")
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("C")
        await until(lambda: "only the optimiser sgd has a momentum" in _shown(app), pilot)
        assert "✗ useless setting" in _shown(app)
        await pilot.press("escape")
        await until(lambda: "Which model?" in _shown(app), pilot)
        await pilot.press("enter")
        await until(lambda: session.error is not None and session.error.error_code == "useless-setting", pilot)


async def test_another_family_says_what_it_dropped(session):
    app = Workbench(session, first="model")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: "Which model?" in _shown(app), pilot)
        row = next(n for n, family in enumerate(app.screen._view.families) if family.name == "trees")
        at = next(n for n, family in enumerate(app.screen._view.families) if family.taken)
        await pilot.press(*["j" if row > at else "k"] * abs(row - at), "u")
        await until(lambda: session.project.model.family == "trees", pilot)
        assert "train.batch_size was dropped: trees has no use for it" in session.notice
        assert session.project.train.batch_size == "auto"
        await pilot.press("U")
        await until(lambda: session.project.model.family == "mlp", pilot)
        assert session.project.train.batch_size == 16
