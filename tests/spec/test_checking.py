"""What a check tells: what was found in the data once, and what ended it beside."""

from __future__ import annotations

import pytest

from epochal.core.errors import EpochalError
from epochal.workbench.checking import is_told


FOUND = [
    {"code": "target-missing", "severity": "error", "where": "column species"},
    {"code": "licence", "severity": "hint", "where": "source penguins"},
]


@pytest.mark.parametrize(
    ("code", "where", "told"),
    [
        ("target-missing", "column species", True),
        ("target-missing", "column island", False),
        ("licence", "source penguins", False),
    ],
    ids=["the same", "the same of another place", "what was no error"],
)
def test_what_ended_a_check_is_told_unless_it_was_found_already(code, where, told):
    assert is_told(EpochalError("it cannot be", where=where, code=code), FOUND) is told
