"""What is shown never acts on the terminal, and takes as many cells as it says."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from epochal.show import cell_width, fit, pad, safe


NAUGHTY = Path(__file__).parents[3] / "shared" / "data" / "bad" / "blns" / "blns.json"
ANY = st.text(st.characters(), max_size=60)
"""Every code point there is, lone surrogates included."""
PAYLOADS = [
    "\x1b]52;c;aGk=\x07",
    "\x1b[2J",
    "\x9b2J",
    "\x9d0;title\x9c",
    "\x1bP+q\x1b\\",
    "\x90q\x9c",
    "\u202egnp.exe",
    "\u2066x\u2069",
    "a\u200bb\ufeffc\u2060",
    "\r\n\t\x00\x7f\x08",
    "\ud800",
    "\U000e0041\U000e007f",
    "e" + "\u0301" * 500,
    "[bold]x[/nope]",
]


def assert_harmless(text: str) -> None:
    for character in text:
        category = unicodedata.category(character)
        assert category not in {"Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn"}, repr(character)
    text.encode("utf-8")


@pytest.mark.parametrize("payload", PAYLOADS)
def test_payloads_become_visible_text(payload):
    shown = safe(payload)
    assert_harmless(shown)
    assert shown


@given(ANY)
def test_any_text_is_harmless_once_shown(text):
    assert_harmless(safe(text))
    assert safe(safe(text)) == safe(text)


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E)))
def test_plain_text_stays_as_it_is(text):
    assert safe(text) == text


@pytest.mark.skipif(not NAUGHTY.is_file(), reason=f"the list of naughty strings is not at {NAUGHTY}")
def test_the_naughty_strings_are_harmless():
    for text in json.loads(NAUGHTY.read_text(encoding="utf-8")):
        assert_harmless(safe(text))
        assert cell_width(pad(safe(text), 20)) == 20


def test_every_character_takes_the_cells_the_screens_give_it():
    for code in (*range(0x20, 0x20000), *range(0xE0000, 0xE1000)):
        shown = safe(chr(code))
        assert cell_width(shown) == cell_len(shown), f"U+{code:04X}"


@given(ANY)
def test_a_text_takes_the_cells_the_screens_give_it(text):
    assert cell_width(safe(text)) == cell_len(safe(text))


def test_letters_of_any_script_and_their_marks_stay():
    for text in ("Straße", "日本語", "العربية", "ไทย", "é", "e\u0301", "🐧", "½ ² €", "a b"):
        assert safe(text) == text


def test_a_pile_of_marks_is_cut_and_a_long_text_is_not_read_to_its_end():
    assert len(safe("e" + "\u0301" * 500)) <= 10
    assert safe("x" * 50, limit=10) == "x" * 10 + "…"
    assert safe("é" * 50, limit=10) == "é" * 10 + "…"


@given(ANY, st.integers(0, 30))
def test_a_fitted_text_takes_no_more_cells_than_allowed(text, width):
    shown = fit(safe(text), width)
    assert cell_width(shown) <= width
    if cell_width(safe(text)) <= width:
        assert shown == safe(text)


@given(ANY, st.integers(0, 30), st.booleans())
def test_a_padded_text_takes_exactly_the_cells_it_should(text, width, right):
    assert cell_width(pad(safe(text), width, right=right)) == width


def test_a_mark_without_a_letter_does_not_sit_on_what_stands_before():
    assert safe("\u0301x") == "◌\u0301x"


def test_the_cut_is_shown():
    assert fit("penguins", 5) == "peng…"
    assert fit("日本語", 4) == "日…"
    assert (pad("a", 3), pad("a", 3, right=True)) == ("a  ", "  a")
