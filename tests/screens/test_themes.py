"""Themes: readable on every ground, strict when read, and every pane draws in each."""

from __future__ import annotations

from itertools import product

import pytest

from epochal.core.errors import SettingsError
from epochal.project.discover import shipped_themes
from epochal.testing import screen_text, tiny_project, until
from epochal.tui.app import Workbench
from epochal.tui.themes import COLOURS, read_theme, read_themes
from epochal.workbench.session import Session


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    """WCAG 2.1 contrast ratio of two colours."""
    low, high = sorted((_luminance(a), _luminance(b)))
    return (high + 0.05) / (low + 0.05)


HOUSE = ("dusk", "dawn")
GROUNDS = ("background", "surface", "raised")


class TestContrast:
    @pytest.mark.parametrize(("name", "ground"), list(product(HOUSE, GROUNDS)))
    def test_of_text_is_at_least_seven(self, name, ground):
        colours = read_theme(shipped_themes()[name]).variables

        assert contrast(colours["ep-text"], colours[f"ep-{ground}"]) >= 7

    @pytest.mark.parametrize(
        ("name", "ground", "colour"),
        list(product(HOUSE, GROUNDS, ("quiet", "accent", "second", "blue", "good", "warning", "bad"))),
    )
    def test_of_everything_else_that_is_read_is_at_least_four_and_a_half(self, name, ground, colour):
        colours = read_theme(shipped_themes()[name]).variables

        assert contrast(colours[f"ep-{colour}"], colours[f"ep-{ground}"]) >= 4.5


class TestAThemeFile:
    GOOD = 'name = "mine"\n[colors]\n' + "".join(f'{c} = "#112233"\n' for c in COLOURS)

    def test_of_ones_own_stands_beside_the_shipped_ones(self, tmp_path):
        (tmp_path / "mine.toml").write_text(self.GOOD, encoding="utf-8")
        themes, errors = read_themes(shipped_themes(), tmp_path)

        assert (list(themes), errors) == (["dusk", "dawn", "ansi", "mine"], [])

    @pytest.mark.parametrize(
        ("text", "fix"),
        [
            (GOOD.replace("accent", "accnt"), "did you mean `accent`?"),
            (
                GOOD.replace('accent = "#112233"', 'accent = "amber"'),
                'write it like "#11151c" or "ansi_yellow" under [colors]',
            ),
            (GOOD.replace("[colors]", "[colours]"), "did you mean `colors`?"),
        ],
    )
    def test_that_is_wrong_is_told_with_the_key_and_the_rest_is_read(self, tmp_path, text, fix):
        (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
        themes, errors = read_themes(shipped_themes(), tmp_path)

        assert "mine" not in themes
        assert [(e.where, e.fix) for e in errors] == [(str(tmp_path / "mine.toml"), fix)]

    def test_without_toml_is_an_error_that_names_it(self, tmp_path):
        (tmp_path / "x.toml").write_text("= 1", encoding="utf-8")
        with pytest.raises(SettingsError, match="cannot be read"):
            read_theme(tmp_path / "x.toml")


@pytest.mark.parametrize("name", ["dawn", "ansi"])
async def test_panes_stand_in_the_other_themes_too(tmp_path, monkeypatch, name):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("EPOCHAL_THEME", name)
    file = tiny_project(tmp_path / "p")
    session = Session(vitals=None)
    session.open(file.folder)
    app = Workbench(session, first="model", config=tmp_path)
    async with app.run_test(size=(100, 30)) as pilot:
        await until(lambda: "Which model?" in screen_text(app), pilot)
        assert app.theme == name
        await pilot.press("g", "t")
        await until(lambda: app.theme != name, pilot)
    session.close()
