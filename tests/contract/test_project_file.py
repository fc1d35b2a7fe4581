"""A project's folder: decisions on disk before they count, undo across restarts, several writers, strict reading."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from epochal.core.errors import EpochalError, SettingsError
from epochal.core.settings import Goal, Project, Source, SplitSettings, Train
from epochal.core.steps import Step
from epochal.fsio import NotSaved
from epochal.project.file import OUTSIDE, ProjectFile, create_project
from epochal.project.history import read_history
from epochal.project.looks import count_looks, read_looks, record_look
from epochal.testing import FakeClock


HAND_WRITTEN = """\
format = 1
name = "mail"

# spaces come from the export
[[clean]]
op = "trim"
columns = ["text"]

# empty ones say nothing
[[clean]]
op = "filter"
where = "length(text) > 0"

# the marks of the old system
[[clean]]
op = "mark_missing"
values = ["?"]

# a fifth is held out
[split]
test = 0.2
"""


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "project.toml").write_text(HAND_WRITTEN)
    return tmp_path


def step(column: str) -> Step:
    return Step(op="lower", params={"columns": (column,)})


def add(file: ProjectFile, column: str) -> None:
    file.change(replace(file.project, clean=(*file.project.clean, step(column))), f"lower {column}")


def on_disk(folder: Path) -> str:
    return (folder / "project.toml").read_text()


def columns(file: ProjectFile) -> list[str]:
    return [s.columns[0] for s in file.project.clean if s.op == "lower"]


class TestMakingAProject:
    def test_writes_a_file_that_reads_well(self, tmp_path):
        project = Project(name="x", sources=(Source(name="a", uri="a.csv"),), goal=Goal(question="Which?"))
        create_project(tmp_path / "x", project, {"goal": "What is asked."}, clock=FakeClock())
        assert on_disk(tmp_path / "x") == (
            'format = 1\nname = "x"\n\n# What is asked.\n[goal]\nquestion = "Which?"\n\n'
            '[[source]]\nname = "a"\nuri = "a.csv"\n'
        )

    def test_keeps_the_cache_out_of_git_and_a_persons_own_lines_in(self, tmp_path):
        (tmp_path / ".gitignore").write_text("*.csv")
        create_project(tmp_path, Project(name="x"))
        lines = (tmp_path / ".gitignore").read_text().splitlines()

        assert lines[:3] == ["*.csv", ".epochal/", "runs/*/checkpoints/"]
        assert "runs/*/run.lock" in lines

    def test_is_refused_where_one_is(self, folder):
        with pytest.raises(SettingsError, match="already") as refused:
            create_project(folder, Project(name="x"))
        assert refused.value.error_code == "project-exists"
        assert on_disk(folder) == HAND_WRITTEN

    def test_is_refused_where_a_file_is_in_the_way(self, tmp_path):
        (tmp_path / "x").write_text("")
        with pytest.raises(NotSaved):
            create_project(tmp_path / "x", Project(name="x"))

    def test_starts_with_nothing_to_undo(self, tmp_path):
        file = create_project(tmp_path / "x", Project(name="x"), clock=FakeClock())
        assert (file.can_undo, file.can_redo, file.undo(), file.redo()) == (False, False, None, None)
        assert file.saved_at == FakeClock().now()


class TestAChange:
    def test_is_on_disk_before_it_returns(self, folder):
        file = ProjectFile.open(folder)
        add(file, "a")
        assert ProjectFile.open(folder).project == file.project
        assert on_disk(folder) == file.text

    def test_that_changes_nothing_leaves_no_trace(self, folder):
        file = ProjectFile.open(folder)
        file.change(replace(file.project), "nothing")
        assert not file.can_undo
        assert on_disk(folder) == HAND_WRITTEN

    def test_tells_equal_steps_apart_by_their_place(self, folder):
        twin = '[[clean]]\nop = "upper"\ncolumns = ["a"]\n'
        (folder / "project.toml").write_text(f'name = "x"\n\n# first\n{twin}\n# second\n{twin}\n# third\n{twin}')
        file = ProjectFile.open(folder)
        file.change(replace(file.project, train=Train(seed=1)), "seed")
        file.change(replace(file.project, clean=file.project.clean[:1] + file.project.clean[2:]), "take the second out")
        assert "# second" not in file.text
        assert "# first" in file.text
        assert "# third" in file.text

    def test_that_cannot_be_read_again_is_refused(self, folder):
        file = ProjectFile.open(folder)
        with pytest.raises(SettingsError):
            file.change(replace(file.project, train=Train(epochs=0)), "no epochs")
        assert on_disk(folder) == HAND_WRITTEN

    def test_takes_lists_as_well_as_tuples(self, folder):
        file = ProjectFile.open(folder)
        file.change(replace(file.project, clean=(Step(op="lower", params={"columns": ["a"]}),)), "by list")
        assert file.project == ProjectFile.open(folder).project
        assert "# a fifth is held out\n[split]" in file.text

    def test_is_refused_while_the_file_on_disk_cannot_be_read(self, folder):
        file = ProjectFile.open(folder)
        (folder / "project.toml").write_text("half = ")
        with pytest.raises(SettingsError):
            add(file, "a")
        assert on_disk(folder) == "half = "


class TestUndo:
    def test_brings_back_the_very_text_comments_and_all(self, folder):
        file = ProjectFile.open(folder)
        texts = [file.text]
        for clean in (file.project.clean[1:], file.project.clean[:0:-1], ()):
            file.change(replace(file.project, clean=clean), f"to {len(clean)}")
            texts.append(file.text)
        for text in reversed(texts[:-1]):
            file.undo()
            assert on_disk(folder) == text
        for text in texts[1:]:
            file.redo()
            assert on_disk(folder) == text

    def test_is_a_save_too_and_says_when(self, folder):
        add(ProjectFile.open(folder), "a")
        file = ProjectFile.open(folder, clock=FakeClock())
        file.undo()
        assert file.saved_at == FakeClock().now()
        assert ProjectFile.open(folder).saved_at == FakeClock().now()

    def test_works_after_a_restart_and_after_the_cache_was_deleted(self, folder):
        add(ProjectFile.open(folder), "a")
        add(ProjectFile.open(folder), "b")
        (folder / ".epochal").mkdir()
        shutil.rmtree(folder / ".epochal")
        file = ProjectFile.open(folder)
        assert (file.undo_why, file.undo(), file.undo_why) == ("lower b", "lower b", "lower a")
        file = ProjectFile.open(folder)
        assert (file.redo_why, file.redo(), columns(file)) == ("lower b", "lower b", ["a", "b"])
        assert (file.undo(), file.undo(), file.undo()) == ("lower b", "lower a", None)
        assert on_disk(folder) == HAND_WRITTEN

    def test_of_many_kinds_ends_where_it_began(self, folder):
        file = ProjectFile.open(folder)
        chance = random.Random(1)
        seen = {1: file.text}
        for i in range(60):
            match chance.choice("aadurr"):
                case "a":
                    add(file, f"c{i}")
                case "d" if file.project.clean:
                    file.change(replace(file.project, clean=file.project.clean[1:]), "take out")
                case "u":
                    file.undo()
                case "r":
                    file.redo()
            file = ProjectFile.open(folder) if i % 7 == 0 else file
            current = read_history(folder / "history.jsonl").current
            n = current.n if current else 1
            assert seen.setdefault(n, file.text) == file.text
        while file.can_undo:
            file.undo()
        assert on_disk(folder) == HAND_WRITTEN

    def test_then_a_change_ends_what_could_be_redone(self, folder):
        file = ProjectFile.open(folder)
        add(file, "a")
        file.undo()
        add(file, "b")
        assert (file.can_redo, columns(file)) == (False, ["b"])

    def test_takes_back_what_an_editor_saved(self, folder):
        file = ProjectFile.open(folder)
        add(file, "a")
        before = file.text
        (folder / "project.toml").write_text(before.replace("test = 0.2", "test = 0.3  # more"))
        assert file.refresh()
        assert file.project.split.test == 0.3
        assert (file.undo(), on_disk(folder)) == (OUTSIDE, before)
        assert (file.redo(), "# more" in on_disk(folder)) == (OUTSIDE, True)
        assert ProjectFile.open(folder).undo_why == OUTSIDE

    def test_survives_a_line_of_its_history_that_was_torn(self, folder):
        file = ProjectFile.open(folder)
        add(file, "a")
        history = folder / "history.jsonl"
        for cut in range(1, 40):
            copy = folder / f"copy{cut}"
            copy.mkdir()
            shutil.copy(folder / "project.toml", copy)
            (copy / "history.jsonl").write_bytes(history.read_bytes()[:-cut])
            again = ProjectFile.open(copy)
            assert columns(again) == ["a"]
            add(again, "b")
            again.undo()
            assert columns(ProjectFile.open(copy)) == ["a"]

    def test_never_follows_a_state_whose_text_was_altered(self, folder):
        file = ProjectFile.open(folder)
        add(file, "a")
        history = folder / "history.jsonl"
        history.write_text(history.read_text().replace("length(text) > 0", "length(text) > 9", 1))
        assert ProjectFile.open(folder).undo() is None


class TestRecordedFacts:
    """What the program found (a fingerprint, recorded cuts) is no decision: undo passes over it and keeps it."""

    def recorded(self, file: ProjectFile, fingerprint: str) -> None:
        file.record(
            replace(file.project, split=replace(file.project.split, fingerprint=fingerprint)), "record the split"
        )

    def test_are_kept_when_the_decision_before_them_is_undone(self, folder):
        file = ProjectFile.open(folder)
        add(file, "a")
        self.recorded(file, "f")
        assert (file.undo_why, file.undo(), columns(file)) == ("lower a", "lower a", [])
        assert file.text == HAND_WRITTEN + 'fingerprint = "f"\n'
        again = ProjectFile.open(folder)
        assert (again.project, again.can_undo) == (file.project, False)
        assert (again.redo(), columns(again), again.project.split.fingerprint) == ("lower a", ["a"], "f")
        assert (again.undo(), on_disk(folder)) == ("lower a", HAND_WRITTEN + 'fingerprint = "f"\n')

    def test_leave_what_can_be_redone(self, folder):
        file = ProjectFile.open(folder)
        add(file, "a")
        file.undo()
        self.recorded(file, "f")
        assert (file.redo(), columns(file), file.project.split.fingerprint) == ("lower a", ["a"], "f")

    def test_of_another_split_come_back_with_it(self, folder):
        file = ProjectFile.open(folder)
        self.recorded(file, "f")
        file.change(replace(file.project, split=SplitSettings(test=0.2, seed=1)), "seed 1")
        self.recorded(file, "g")
        file.undo()
        assert (file.project.split.seed, file.project.split.fingerprint) == (0, "f")

    def test_found_while_a_person_decided_something_else_are_joined(self, folder):
        file = ProjectFile.open(folder)
        wanted = file.project
        add(file, "a")
        file.record(replace(wanted, split=replace(wanted.split, fingerprint="f")), "record the split", base=wanted)
        assert (columns(file), file.project.split.fingerprint) == (["a"], "f")

    def test_do_not_stand_in_the_way_of_undo_elsewhere(self, folder):
        one, other = ProjectFile.open(folder), ProjectFile.open(folder)
        add(one, "a")
        other.refresh()
        self.recorded(one, "f")
        assert (other.undo(), columns(other), other.project.split.fingerprint) == ("lower a", [], "f")


class TestTwoWorkbenches:
    def test_see_each_others_changes(self, folder):
        one, other = ProjectFile.open(folder), ProjectFile.open(folder)
        add(one, "a")
        assert (one.refresh(), other.refresh(), other.refresh()) == (False, True, False)
        assert (columns(other), other.undo_why) == (["a"], "lower a")

    def test_that_both_add_a_step_keep_both(self, folder):
        one, other = ProjectFile.open(folder), ProjectFile.open(folder)
        add(one, "a")
        add(other, "b")
        assert columns(other) == ["a", "b"]
        assert one.refresh()
        assert columns(one) == ["a", "b"]

    def test_that_change_different_settings_keep_both(self, folder):
        one, other = ProjectFile.open(folder), ProjectFile.open(folder)
        one.change(replace(one.project, train=Train(epochs=3)), "epochs")
        other.change(replace(other.project, train=Train(seed=5), goal=Goal(question="Why?")), "seed")
        assert other.project.train == Train(epochs=3, seed=5)
        assert "# a fifth is held out" in on_disk(folder)

    def test_where_one_moves_a_step_and_the_other_edits_it_both_hold(self, folder):
        one, other = ProjectFile.open(folder), ProjectFile.open(folder)
        one.change(replace(one.project, clean=one.project.clean[::-1]), "turn around")
        trim, *rest = other.project.clean
        other.change(replace(other.project, clean=(replace(trim, enabled=False), *rest)), "off")
        assert [(s.op, s.enabled) for s in other.project.clean] == [
            ("mark_missing", True),
            ("filter", True),
            ("trim", False),
        ]
        assert '# spaces come from the export\n[[clean]]\nop = "trim"' in on_disk(folder)

    def test_that_change_the_same_thing_lose_neither(self, folder):
        one, other = ProjectFile.open(folder), ProjectFile.open(folder)
        one.change(replace(one.project, train=Train(epochs=3)), "three")
        with pytest.raises(EpochalError, match="epochs") as conflict:
            other.change(replace(other.project, train=Train(epochs=4)), "four")
        assert conflict.value.error_code == "edit-conflict"
        assert (on_disk(folder), other.project) == (one.text, one.project)
        kept = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
        assert [(r["why"], "epochs = 4" in r["text"]) for r in kept if r["k"] == "conflict"] == [("four", True)]

    @pytest.mark.parametrize("which", ["seed", "deleted"])
    def test_never_mix_what_belongs_together(self, folder, which):
        one, other = ProjectFile.open(folder), ProjectFile.open(folder)
        if which == "seed":
            one.change(replace(one.project, split=replace(one.project.split, fingerprint="f")), "first split")
            new = replace(other.project, split=replace(other.project.split, seed=9))
        else:
            one.change(replace(one.project, clean=one.project.clean[1:]), "take out")
            new = replace(
                other.project, clean=(replace(other.project.clean[0], enabled=False), *other.project.clean[1:])
            )
        with pytest.raises(EpochalError) as conflict:
            other.change(new, "late")
        assert conflict.value.error_code == "edit-conflict"

    def test_do_not_undo_what_they_have_not_seen(self, folder):
        one, other = ProjectFile.open(folder), ProjectFile.open(folder)
        add(one, "a")
        add(one, "b")
        with pytest.raises(EpochalError, match="meantime"):
            other.undo()
        assert (other.undo(), columns(other)) == ("lower b", ["a"])

    def test_a_change_made_from_an_older_state_says_so(self, folder):
        file, other = ProjectFile.open(folder), ProjectFile.open(folder)
        base = file.project
        add(other, "a")
        file.refresh()
        file.change(replace(base, clean=(*base.clean, step("b"))), "late", base=base)
        assert columns(file) == ["a", "b"]

    def test_hammering_one_project_lose_no_step(self, folder):
        code = (
            "import sys\nfrom dataclasses import replace\nfrom pathlib import Path\n"
            "from epochal.core.steps import Step\nfrom epochal.project.file import ProjectFile\n"
            "who, f = sys.argv[2], ProjectFile.open(Path(sys.argv[1]))\n"
            "for i in range(15):\n"
            "    s = Step(op='lower', params={'columns': (f'{who}{i}',)})\n"
            "    f.change(replace(f.project, clean=(*f.project.clean, s)), 'add')\n"
        )
        writers = [subprocess.Popen([sys.executable, "-c", code, str(folder), who]) for who in "ab"]
        assert [w.wait(timeout=120) for w in writers] == [0, 0]
        file = ProjectFile.open(folder)
        found = columns(file)
        assert sorted(found) == sorted(f"{who}{i}" for who in "ab" for i in range(15))
        assert [c for c in found if c[0] == "a"] == [f"a{i}" for i in range(15)]
        assert len(read_history(folder / "history.jsonl").past) == 30


class TestAFolderThatCannotBeWritten:
    def test_opens_and_says_so_when_something_is_changed(self, folder):
        code = (
            "import sys\nfrom dataclasses import replace\nfrom pathlib import Path\n"
            "from epochal.fsio import NotSaved\nfrom epochal.project.file import ProjectFile\n"
            "file = ProjectFile.open(Path(sys.argv[1]))\nprint(file.project.name, file.refresh(), flush=True)\n"
            "try:\n    file.change(replace(file.project, name='y'), 'rename')\n"
            "except NotSaved as error:\n    print(error.error_code, file.project.name)\n"
        )
        mount = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && exec "$2" -B -c "$3" "$1"'
        command = ["unshare", "-Umr", "sh", "-c", mount, "sh", str(folder), sys.executable, code]
        probe = ["unshare", "-Umr", "sh", "-c", 'mount --bind "$1" "$1"', "sh", str(folder)]
        if shutil.which("unshare") is None or subprocess.run(probe, capture_output=True, check=False).returncode:
            pytest.skip("NOT TESTED HERE: a read-only folder needs `unshare -Umr` to be allowed")
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert said == "mail False\nnot-saved mail\n"
        assert on_disk(folder) == HAND_WRITTEN

    def test_opening_and_looking_write_nothing(self, folder):
        file = ProjectFile.open(folder)
        (folder / "project.toml").write_text(HAND_WRITTEN.replace("0.2", "0.3"))
        file.refresh()
        assert [p.name for p in folder.iterdir()] == ["project.toml"]

    def test_a_planted_link_is_never_written_through(self, folder, tmp_path_factory):
        outside = tmp_path_factory.mktemp("outside")
        for name in ("project.toml", "history.jsonl"):
            (outside / name).write_text(HAND_WRITTEN if name == "project.toml" else "")
        (folder / "project.toml").unlink()
        (folder / "project.toml").symlink_to(outside / "project.toml")
        add(ProjectFile.open(folder), "a")
        assert (outside / "project.toml").read_text() == HAND_WRITTEN
        (folder / "history.jsonl").unlink()
        (folder / "history.jsonl").symlink_to(outside / "history.jsonl")
        with pytest.raises(NotSaved):
            add(ProjectFile.open(folder), "b")
        assert (outside / "history.jsonl").read_text() == ""


class TestAHistoryThatIsNone:
    @pytest.mark.parametrize(
        "make", [Path.mkdir, os.mkfifo, lambda p: p.symlink_to(p), lambda p: p.write_bytes(b"\xff\0{[" * 999)]
    )
    def test_does_not_keep_a_project_from_opening(self, folder, make):
        make(folder / "history.jsonl")
        file = ProjectFile.open(folder)
        assert not file.can_undo
        try:
            add(file, "a")
        except NotSaved:
            assert on_disk(folder) == HAND_WRITTEN
        else:
            assert columns(ProjectFile.open(folder)) == ["a"]


class TestLooksAtTheTestSet:
    def test_are_counted_for_each_test_set(self, folder):
        assert [record_look(folder, f"000{i}-mlp", f) for i, f in enumerate("aab")] == [1, 2, 1]
        assert (count_looks(folder, "a"), count_looks(folder, "z")) == (2, 0)
        assert [look.run for look in read_looks(folder)] == ["0000-mlp", "0001-mlp", "0002-mlp"]

    def test_survive_a_torn_line(self, folder):
        record_look(folder, "0001-mlp", "a")
        with (folder / "looks.jsonl").open("a") as file:
            file.write('{"at": "2026')
        assert record_look(folder, "0002-mlp", "a") == 2

    def test_are_none_in_a_new_project(self, folder):
        assert count_looks(folder, "a") == 0
