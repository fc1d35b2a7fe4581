"""From a file to a tested model in a terminal of 80×24 cells, by a handful of keys."""

import random
import re
import tomllib

import pytest

from epochal.workbench.operations import copy_sample


MOST_KEYS = 12
MOST_KEYS_TO_CORRECT = 4
TARGET = "edible"


@pytest.fixture
def plants(tmp_path):
    """4,000 rows whose target stands in the middle and follows the numbers only loosely, so that it takes a while."""
    chance = random.Random(7)
    lines = ["stem,leaf,habitat,edible,spots,height"]
    for _ in range(4000):
        edible = chance.random() < 0.5
        sizes = f"{chance.gauss(10 if edible else 11.2, 1.5):.2f},{chance.gauss(3 if edible else 2.5, 0.8):.2f}"
        place = f"{chance.choice(('wood', 'field', 'bog'))},{'yes' if edible else 'no'}"
        lines.append(f"{sizes},{place},{chance.randint(0, 9)},{chance.gauss(5, 1):.2f}")
    path = tmp_path / "plants.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def target_of(folder):
    return tomllib.loads((folder / "project.toml").read_text())["columns"]["target"]


def proposes(target):
    """Whether a screen proposes this target."""
    return re.compile(rf"predict +{target}\b").search


def losses(text):
    """The loss the legend of the chart names, and the one of validation."""
    found = re.search(r"train ([0-9.]+).*validation ([0-9.]*)", text)
    return found.groups() if found else None


def test_a_file_becomes_a_tested_model_in_a_dozen_keys(terminal, plants):
    face = terminal("plants.csv", folder=plants.parent)
    shown: set[tuple[str, str]] = set()
    charts: set[str] = set()

    def trained(text):
        if pair := losses(text):
            shown.add(pair)
            charts.add("\n".join(text.splitlines()[4:18]))
        return "sealed test set" in text

    face.wait_for(proposes(TARGET))
    face.wait_for("Enter makes the project")
    face.press("Enter")
    face.wait_for("is taken now", 120)
    face.press("Enter")
    face.wait_for(trained, 120)
    face.press("Enter")
    face.wait_for("The test set is sealed")
    face.press("Enter")
    verdict = face.wait_for("Worst rows")

    assert len(face.pressed) <= MOST_KEYS
    assert target_of(plants.with_suffix("")) == TARGET
    assert len({train for train, _ in shown}) >= 5
    assert len(charts) >= 5
    assert "800 rows never seen in training   look 1" in verdict
    accuracy, low, high = map(float, re.search(r"accuracy +([0-9.]+) +([0-9.]+) … ([0-9.]+)", verdict).groups())
    assert low <= accuracy <= high
    assert accuracy > 0.6
    face.press("g", "q")
    assert face.wait_exit() == 0
    assert not face.foreign


@pytest.mark.parametrize(
    ("right", "keys"),
    [("habitat", ["t", "h", "a", "Enter"]), ("stem", ["t", "s", "t", "Enter"]), ("height", ["t", "Down", "Enter"])],
)
def test_a_wrong_target_is_corrected_in_four_keys(terminal, plants, right, keys):
    face = terminal("plants.csv", folder=plants.parent)
    face.wait_for(proposes(TARGET))
    face.wait_for("Enter makes the project")
    face.press(*keys)
    face.wait_for(proposes(right))
    face.wait_for("Enter makes the project")
    assert len(face.pressed) <= MOST_KEYS_TO_CORRECT
    face.press("Enter")
    face.wait_for("Which model?")

    assert target_of(plants.with_suffix("")) == right


def test_every_sign_has_an_ascii_twin_for_consoles_that_draw_no_more(terminal, tmp_path):
    project = copy_sample("penguins", tmp_path / "p")
    face = terminal(str(project), TERM="linux", COLORTERM="", columns=120, lines=40)
    face.wait_for("Torgersen")
    face.wait_for("exact")
    for keys, shown in (
        ("1", "What is asked"),
        ("3", "Until then"),
        ("4", "Which model?"),
        ("6", "The test set is sealed"),
        ("?", "j k scroll"),
    ):
        face.press(*keys)
        text = face.wait_for(shown)
        assert not {sign for sign in text if not sign.isascii()}
