"""The registry of commands: one truth for keys, footer, palette and help."""

from __future__ import annotations

import pytest

from epochal.core.errors import SettingsError
from epochal.tui.screens.help import palette_items
from epochal.workbench.commands import BY_ID, COMMANDS, STAGE_NAMES, Keymap, moves, read_keymap
from epochal.workbench.keys import token, tokens_of, unreachable


PANES = (*STAGE_NAMES, "home", "start")


class TestTheRegistry:
    def test_names_each_command_once(self):
        assert len(BY_ID) == len(COMMANDS)

    @pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c.id)
    def test_says_what_each_command_does_in_a_sentence(self, command):
        assert command.help.endswith(".")
        assert command.title

    @pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c.id)
    def test_uses_only_keys_that_survive_ssh_tmux_and_screen(self, command):
        assert [unreachable(key) for key in command.keys] == [""] * len(command.keys)

    @pytest.mark.parametrize("stage", PANES)
    def test_no_key_means_two_things_in_one_pane(self, stage):
        own = [(tokens_of(k), c.id) for c in COMMANDS if stage in c.stages for k in c.keys]

        assert len({tokens for tokens, _ in own}) == len(own)

    @pytest.mark.parametrize("stage", PANES)
    def test_no_key_hides_a_longer_one(self, stage):
        keymap = Keymap()
        for command in keymap.of_stage(stage):
            for key in command.keys:
                tokens = tokens_of(key)
                for n in range(1, len(tokens)):
                    assert keymap.find(stage, tokens[:n]) is None, f"{key} of {command.id} can never be typed"

    @pytest.mark.parametrize("stage", PANES)
    def test_digits_and_g_digits_jump_everywhere(self, stage):
        for n, name in enumerate(STAGE_NAMES, 1):
            found = [Keymap().find(stage, t) for t in ((str(n),), ("g", str(n)))]
            assert [c.id for c in found if c] == [f"stage.{name}"] * 2

    @pytest.mark.parametrize("stage", PANES)
    def test_help_palette_back_and_quit_are_everywhere(self, stage):
        keys = {"?": "app.help", ":": "app.palette", "q": "app.back", "Esc": "app.escape", "gq": "app.quit"}

        assert {k: Keymap().find(stage, tokens_of(k)).id for k in keys} == keys


class TestKeys:
    @pytest.mark.parametrize(
        ("key", "character", "expected"),
        [
            ("enter", "\r", "Enter"),
            ("G", "G", "G"),
            ("question_mark", "?", "?"),
            ("ctrl+p", "\x10", "ctrl+p"),
            ("space", " ", "Space"),
        ],
    )
    def test_are_named_as_people_name_them(self, key, character, expected):
        assert token(key, character) == expected

    def test_sequences_are_written_plainly(self):
        assert [tokens_of(k) for k in ("gg", "z<", "z Enter", "shift+Tab", "PgUp")] == [
            ("g", "g"),
            ("z", "<"),
            ("z", "Enter"),
            ("shift+Tab",),
            ("PgUp",),
        ]

    @pytest.mark.parametrize("key", ["ctrl+b", "ctrl+s", "ctrl+a", "ctrl+z", "ctrl+i", "", "é"])
    def test_that_never_arrive_are_refused(self, key):
        assert unreachable(key)


class TestAPersonsKeys:
    def test_replace_the_default_ones(self, tmp_path):
        path = tmp_path / "keys.toml"
        path.write_text('"train.stop" = ["x", "zs"]\n', encoding="utf-8")
        keymap = read_keymap(path)

        assert keymap.find("train", ("x",)).id == keymap.find("train", ("z", "s")).id == "train.stop"
        assert keymap.find("train", ("s",)) is None

    def test_a_misspelt_command_is_named_with_the_nearest_one(self, tmp_path):
        path = tmp_path / "keys.toml"
        path.write_text('"train.stpo" = "x"\n', encoding="utf-8")
        with pytest.raises(SettingsError) as caught:
            read_keymap(path)

        assert (caught.value.where, caught.value.fix) == (str(path), "did you mean 'train.stop'?")

    def test_a_key_that_cannot_arrive_is_refused_with_the_reason(self, tmp_path):
        path = tmp_path / "keys.toml"
        path.write_text('"train.stop" = "ctrl+s"\n', encoding="utf-8")
        with pytest.raises(SettingsError, match="terminals, tmux or screen take it"):
            read_keymap(path)

    def test_no_file_changes_nothing(self, tmp_path):
        assert read_keymap(tmp_path / "keys.toml").commands == COMMANDS


@pytest.mark.parametrize("stage", PANES)
def test_the_palette_begins_with_what_does_something_here_and_ends_with_what_only_moves(stage):
    values = [item.value for item in palette_items(Keymap(), stage, [c.when for c in COMMANDS])]
    ways = [moves(BY_ID[value]) for value in values]

    assert ways == sorted(ways)
    assert values[0].startswith(f"{stage}.") or not any(c.stages == (stage,) and not moves(c) for c in COMMANDS)
