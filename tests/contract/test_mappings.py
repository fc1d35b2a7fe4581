"""Value mappings: a CSV a person can read and write, kept inside the project."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epochal.core.errors import StepError
from epochal.project.mappings import read_mapping, write_mapping


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


@settings(max_examples=50)
@given(st.dictionaries(TEXTS, TEXTS, max_size=5))
def test_what_is_written_is_read_back(tmp_path_factory, mapping):
    folder = tmp_path_factory.mktemp("m")
    file = write_mapping(folder, "colours", mapping)
    assert file == "mappings/colours.csv"
    assert read_mapping(folder, file) == read_mapping(folder, "colours.csv") == mapping


@pytest.mark.parametrize("file", ["../x.csv", "/etc/passwd", "mappings/../../x", "", "mappings", "mappings/", "a\0b"])
def test_a_path_that_leaves_the_mappings_is_refused(tmp_path, file):
    with pytest.raises(StepError) as refused:
        read_mapping(tmp_path, file)
    assert refused.value.error_code == "outside"


def test_a_link_that_leaves_the_project_is_refused(tmp_path):
    (tmp_path / "p" / "mappings").mkdir(parents=True)
    (tmp_path / "secret.csv").write_text("from,to\n")
    (tmp_path / "p" / "mappings" / "a.csv").symlink_to(tmp_path / "secret.csv")
    with pytest.raises(StepError):
        read_mapping(tmp_path / "p", "a.csv")


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("", 1, "missing"),
        ("a,b\n", 1, "a, b"),
        ("from,to\nx\n", 2, "1 fields"),
        ("from,to\n\nx,1\nx,2\n", 4, "twice"),
        ('from,to\n"x,1\n', 2, "end"),
        ("from,to\n\xff", 2, "UTF-8"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path, text, line, word):
    (tmp_path / "mappings").mkdir()
    (tmp_path / "mappings" / "a.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(StepError) as wrong:
        read_mapping(tmp_path, "a.csv")
    assert wrong.value.where.endswith(f"a.csv:{line}")
    assert word in wrong.value.what


def test_a_pipe_is_not_waited_for(tmp_path):
    (tmp_path / "mappings").mkdir()
    os.mkfifo(tmp_path / "mappings" / "a.csv")
    with pytest.raises(StepError):
        read_mapping(tmp_path, "a.csv")
