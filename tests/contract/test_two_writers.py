"""A workbench beside other writers: an editor, the command line, a second workbench."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from epochal.core.steps import parse_step
from epochal.project.file import ProjectFile
from epochal.workbench.data_recipe import Recipe
from epochal.workbench.session import Session


TEXT = 'format = 1\nname = "x"\n\n[[source]]\nname = "d"\nuri = "d.csv"\n\n# how long\n[train]\nepochs = 3\n'
STEP = parse_step({"op": "trim", "columns": ["a"]})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "project.toml").write_text(TEXT)
    return tmp_path


@pytest.fixture
def workbench(folder):
    session = Session(deliver=lambda _: None)
    session.open(folder)
    yield session
    session.close()


def test_sees_what_an_editor_saved_and_can_take_it_back(folder, workbench):
    (folder / "project.toml").write_text(TEXT.replace("epochs = 3", "epochs = 4  # longer"))

    workbench.refresh()

    assert workbench.project.train.epochs == 4
    assert workbench.undo()
    assert (folder / "project.toml").read_text() == TEXT


def test_keeps_every_save_of_an_editor_that_it_saw_also_for_the_next_start(folder, workbench):
    texts = [TEXT] + [TEXT.replace("epochs = 3", f"epochs = {n}") for n in (4, 5)]
    for text in texts[1:]:
        (folder / "project.toml").write_text(text)
        workbench.refresh()
    assert workbench.add_step(STEP)

    again = ProjectFile.open(folder)
    for text in reversed(texts):
        assert again.undo()
        assert again.text == text
    assert again.undo() is None


def test_goes_on_with_what_it_knew_while_an_editor_has_it_broken(folder, workbench):
    (folder / "project.toml").write_text(TEXT.replace("[train]", "[trian]"))
    workbench.refresh()

    assert workbench.error.where == "project.toml:9"
    assert workbench.error.fix == "did you mean [train]?"
    assert workbench.project.train.epochs == 3
    assert not workbench.add_step(STEP), "nothing is laid over what an editor is at"
    assert "[trian]" in (folder / "project.toml").read_text()

    (folder / "project.toml").write_text(TEXT)
    workbench.refresh()
    assert workbench.error is None
    assert workbench.add_step(STEP)


def test_joins_its_change_to_one_it_has_not_seen(folder, workbench):
    other = ProjectFile.open(folder)
    other.change(replace(other.project, train=replace(other.project.train, epochs=9)), "longer")

    assert workbench.add_step(STEP)

    assert (workbench.project.train.epochs, len(workbench.project.clean)) == (9, 1)
    assert other.refresh()
    assert other.project == workbench.project


def test_never_lays_its_value_over_one_it_has_not_seen(folder, workbench):
    other = ProjectFile.open(folder)
    other.change(replace(other.project, train=replace(other.project.train, epochs=9)), "longer")

    assert not workbench.set("train.epochs", 5)

    assert workbench.error.error_code == "edit-conflict"
    assert workbench.project.train.epochs == 9, "what stands is shown"
    assert "epochs = 9" in (folder / "project.toml").read_text()
    assert workbench.set("train.epochs", 5), "asked again, having seen it"
    assert "epochs = 5" in (folder / "project.toml").read_text()


def test_a_step_that_is_being_edited_is_found_again_or_left_alone(folder, workbench):
    """Its form may stand open while another workbench moves or deletes steps."""
    lower, upper = (parse_step({"op": op, "columns": ["a"]}) for op in ("lower", "upper"))
    recipe, other = Recipe(workbench), ProjectFile.open(folder)
    workbench.change(replace(workbench.project, clean=(STEP, lower, upper)), "three steps")
    changed = replace(upper, params={"columns": ("b",)})

    other.refresh()
    other.change(replace(other.project, clean=other.project.clean[1:]), "delete step 1")
    workbench.refresh()
    assert recipe.put_step(changed, 2, upper)
    assert [(s.op, s.columns) for s in recipe.steps] == [("lower", ("a",)), ("upper", ("b",))]

    other.refresh()
    other.change(replace(other.project, clean=()), "delete all")
    workbench.refresh()
    assert not recipe.put_step(lower, 1, changed)
    assert workbench.error.error_code == "edit-conflict"
    assert recipe.steps == ()


def test_undo_does_not_take_back_what_it_has_not_shown(folder, workbench):
    other = ProjectFile.open(folder)
    other.change(replace(other.project, clean=(STEP,)), "trim")

    assert not workbench.undo()
    assert len(workbench.project.clean) == 1
    assert workbench.undo()
    assert (folder / "project.toml").read_text() == TEXT
