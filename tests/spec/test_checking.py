"""What a check tells: what was found in the data once, and what ended it beside."""

from __future__ import annotations

import pytest

from epochal.core.errors import EpochalError
from epochal.workbench import flow
from epochal.workbench.checking import Checked, code_of, is_told
from epochal.workbench.operations import copy_sample
from epochal.workbench.session import Session


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


def test_a_check_of_a_model_of_ones_own_holds_until_its_code_changes(tmp_path):
    folder = copy_sample("own-model", tmp_path / "p")
    session = Session(vitals=None)
    session.open(folder)
    session.checked = Checked(document={}, project=session.project, code=code_of(folder, session.project))
    assert flow.check_holds(session)

    with (folder / "model.py").open("a") as code:
        code.write("# another\n")

    assert not flow.check_holds(session)
    session.close()
