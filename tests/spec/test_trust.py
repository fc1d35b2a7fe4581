"""Whose code may run: which files count, how they are known by their hashes, and who remembers."""

from __future__ import annotations

import hashlib
import os
import tomllib
from dataclasses import replace
from importlib.machinery import EXTENSION_SUFFIXES

import pytest
import tomli_w

from epochal.core.errors import EpochalError
from epochal.core.settings import Model, Project
from epochal.project import code as code_module
from epochal.project import trust
from epochal.project.code import Code, difference, read_code
from epochal.project.doctor_runs import examine_run
from epochal.project.runfile import RunCode, read_run, write_run
from epochal.testing import tiny_project, tiny_run


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config"


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "model.py").write_text("class Net: ...\n")
    return folder


OWN = Project(name="p", model=Model(family="own", options={"module": "model.py:Net"}))


class TestWhatCountsAsCode:
    def test_every_file_that_could_be_imported_by_its_name_and_sha256(self, folder):
        extension = f"fast{EXTENSION_SUFFIXES[0]}"
        for name in ("layers/__init__.py", "layers/deep.py", extension, "old.pyc", "data.csv", "notes.md"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(name)

        found = read_code(folder)

        assert list(found.files) == sorted(["model.py", "layers/__init__.py", "layers/deep.py", extension, "old.pyc"])
        assert found.files["model.py"] == hashlib.sha256(b"class Net: ...\n").hexdigest()

    @pytest.mark.parametrize("place", [".git", ".venv", "__pycache__", "runs", "pkg/__pycache__"])
    def test_not_what_tools_and_runs_leave_behind(self, folder, place):
        (folder / place).mkdir(parents=True)
        (folder / place / "x.py").write_text("")

        assert list(read_code(folder).files) == ["model.py"]

    def test_not_a_virtual_environment_whatever_it_is_called(self, folder):
        (folder / "env" / "lib").mkdir(parents=True)
        (folder / "env" / "pyvenv.cfg").write_text("")
        (folder / "env" / "lib" / "x.py").write_text("")

        assert list(read_code(folder).files) == ["model.py"]

    def test_a_link_counts_within_the_project_and_is_named_when_it_leads_out(self, folder, tmp_path):
        (tmp_path / "elsewhere.py").write_text("")
        (folder / "alias.py").symlink_to("model.py")
        (folder / "away.py").symlink_to(tmp_path / "elsewhere.py")

        found = read_code(folder)

        assert set(found.files) == {"model.py", "alias.py"}
        assert found.left_out == {"away.py": "a link that leads out of the project"}

    def test_a_model_that_is_only_linked_from_elsewhere_is_refused_with_that_reason(self, folder, tmp_path):
        (folder / "model.py").rename(tmp_path / "model.py")
        (folder / "model.py").symlink_to(tmp_path / "model.py")

        with pytest.raises(trust.Untrusted, match=r"model\.py is a link that leads out of the project") as refused:
            trust.demand(folder, OWN)

        assert refused.value.fix == "copy the file into the project's folder"

    def test_a_link_to_a_folder_is_never_followed_and_always_named(self, folder, tmp_path):
        for place in (tmp_path / "elsewhere", folder / "nets"):
            place.mkdir()
            (place / "x.py").write_text("")
        (folder / "nets" / "away").symlink_to(tmp_path / "elsewhere")
        (folder / "alias").symlink_to("nets")
        (folder / ".venv").symlink_to(tmp_path / "elsewhere")

        found = read_code(folder)

        assert set(found.files) == {"model.py", "nets/x.py"}
        assert found.left_out == {"alias": "a link to a folder", "nets/away": "a link to a folder"}

    def test_more_than_a_model_is_made_of_is_refused_aloud(self, folder, monkeypatch):
        monkeypatch.setattr(code_module, "MAX_FILES", 3)
        for n in range(3):
            (folder / f"m{n}.py").write_text("")

        with pytest.raises(EpochalError, match="more than 3 files") as refused:
            read_code(folder)

        assert refused.value.error_code == "code-too-large"

    def test_a_pipe_is_passed_over_and_never_waited_for(self, folder):
        os.mkfifo(folder / "pipe.py")

        assert list(read_code(folder).files) == ["model.py"]

    def test_the_digest_says_names_and_contents(self, folder):
        before = read_code(folder)
        (folder / "model.py").rename(folder / "net.py")
        renamed = read_code(folder)

        assert before.digest == Code(files=dict(before.files)).digest
        assert renamed.digest != before.digest
        assert difference(before.files, renamed.files).words == "added net.py; removed model.py"


class TestTrust:
    def test_is_asked_for_before_a_persons_own_model_may_run(self, folder):
        with pytest.raises(trust.Untrusted) as refused:
            trust.demand(folder, OWN)

        error = refused.value
        assert (error.error_code, error.exit_code, error.where) == ("untrusted", 2, str(folder))
        assert f"epochal trust {folder}" in error.fix

    def test_is_not_asked_for_by_any_other_model(self, folder):
        assert trust.demand(folder, replace(OWN, model=Model(family="mlp"))) is None

    def test_holds_for_the_very_files_that_were_trusted(self, folder):
        code = read_code(folder)
        trust.trust(folder, code)

        assert trust.demand(folder, OWN) == code

    @pytest.mark.parametrize(
        ("name", "text", "said"),
        [("model.py", "import os\n", "changed model.py"), ("torch/__init__.py", "", "added torch/__init__.py")],
    )
    def test_ends_with_any_change_and_says_which(self, folder, name, text, said):
        trust.trust(folder, read_code(folder))
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)

        with pytest.raises(trust.Untrusted, match=said):
            trust.demand(folder, OWN)

    def test_stays_with_earlier_states_for_the_models_of_older_runs(self, folder):
        first = read_code(folder)
        trust.trust(folder, first)
        (folder / "model.py").write_text("class Net2: ...\n")
        trust.trust(folder, read_code(folder))

        trust.demand_state(folder, first.digest, "0001-own")
        with pytest.raises(trust.Untrusted, match="run 0001-own"):
            trust.demand_state(folder, "0" * 64, "0001-own")

    def test_is_of_one_folder_and_goes_with_no_copy(self, folder, tmp_path):
        trust.trust(folder, read_code(folder))
        copy = tmp_path / "copy"
        copy.mkdir()
        (copy / "model.py").write_text("class Net: ...\n")

        with pytest.raises(trust.Untrusted):
            trust.demand(copy, OWN)

    def test_is_one_and_the_same_by_every_path_to_the_folder(self, folder, tmp_path):
        trust.trust(folder, read_code(folder))
        (tmp_path / "link").symlink_to(folder)

        assert trust.demand(tmp_path / "link", OWN) is not None

    def test_is_taken_back_whole(self, folder):
        trust.trust(folder, read_code(folder))

        assert (trust.revoke(folder), trust.revoke(folder)) == (1, 0)
        with pytest.raises(trust.Untrusted):
            trust.demand(folder, OWN)


class TestTheList:
    def test_lies_beside_the_persons_settings_for_their_eyes_alone(self, folder, home):
        trust.trust(folder, read_code(folder))

        path = home / "epochal" / "trust.toml"
        assert path.stat().st_mode & 0o777 == 0o600
        assert tomllib.loads(path.read_text())["project"][0]["folder"] == str(folder)
        assert sorted(p.name for p in folder.iterdir()) == ["model.py"]

    @pytest.mark.parametrize("text", ["format = 2\n", "what", "format = 1\nproject = 3\n", "[[project]]\nformat = 1\n"])
    def test_trusts_nothing_when_it_cannot_be_read(self, folder, home, text):
        trust.trust(folder, read_code(folder))
        (home / "epochal" / "trust.toml").write_text(text)

        with pytest.raises(EpochalError) as refused:
            trust.demand(folder, OWN)

        assert refused.value.error_code == "bad-trust-file"

    def test_trusts_nothing_when_others_could_have_written_it(self, folder, home):
        trust.trust(folder, read_code(folder))
        (home / "epochal" / "trust.toml").chmod(0o666)

        with pytest.raises(EpochalError, match="others can write it"):
            trust.demand(folder, OWN)

    def test_forgets_the_oldest_states_first(self, folder, monkeypatch):
        monkeypatch.setattr(trust, "MAX_STATES", 2)
        digests = []
        for n in range(3):
            (folder / "model.py").write_text(f"n = {n}\n")
            digests.append(read_code(folder).digest)
            trust.trust(folder, read_code(folder))

        assert [s.digest for s in trust.trusted_states(folder)] == digests[1:]

    def test_stays_short_however_often_large_code_changes(self, folder, home):
        """Every one of many states of many files is remembered by its digest, in a list that can be read quickly."""
        names = [f"package/some_module/file_{n:04d}.py" for n in range(500)]
        states = [Code(files=dict.fromkeys(names, hashlib.sha256(str(n).encode()).hexdigest())) for n in range(20)]
        for code in states:
            trust.trust(folder, code)

        assert [s.digest for s in trust.trusted_states(folder)] == [code.digest for code in states]
        assert (home / "epochal" / "trust.toml").stat().st_size < 100_000
        assert dict(trust.trusted_states(folder)[-1].files) == dict(states[-1].files)

    def test_names_the_files_of_the_states_trusted_last_when_there_are_too_many(self, tmp_path, home, monkeypatch):
        """What was trusted longest ago stays trusted, but what changed in it can no longer be said."""
        monkeypatch.setattr(trust, "_MAX_WITH_FILES", 4_000)
        folders = [tmp_path / str(n) for n in range(3)]
        for n, folder in enumerate(folders):
            folder.mkdir()
            for name in range(20):
                (folder / f"m{name}.py").write_text(f"{n}\n")
            trust.trust(folder, read_code(folder))

        assert all(trust.standing(folder).trusted for folder in folders)
        assert trust.standing(folders[2]).since is not None
        (folders[0] / "m0.py").write_text("other\n")
        with pytest.raises(trust.Untrusted, match="not what you trusted: it changed"):
            trust.demand(folders[0], OWN)

    def test_never_grows_beyond_what_can_be_read_again(self, folder, home, monkeypatch):
        """A list that would is refused, and the one before stands."""
        monkeypatch.setattr(trust, "_MAX_BYTES", 420)
        trust.trust(folder, read_code(folder))
        (folder / "model.py").write_text("other\n")
        with pytest.raises(EpochalError, match="grown too long"):
            trust.trust(folder, read_code(folder))

        assert len(trust.trusted_states(folder)) == 1


class TestARunOfAPersonsOwnCode:
    def spec(self, tmp_path):
        file = tiny_project(tmp_path / "p")
        (file.folder / "model.py").write_text("class Net: ...\n")
        trust.trust(file.folder, read_code(file.folder))
        code = trust.run_code(file.folder, OWN)
        return replace(tiny_run(file), code=code, project=replace(file.project, model=OWN.model))

    def test_writes_down_class_and_files_and_reads_them_back(self, tmp_path):
        spec = self.spec(tmp_path)
        write_run(spec)

        assert read_run(spec.folder).code == spec.code
        assert isinstance(spec.code, RunCode)
        assert spec.code.module == "model.py:Net"

    def test_goes_on_with_the_code_it_began_with(self, tmp_path):
        spec = self.spec(tmp_path)

        assert trust.demand_same(spec) == read_code(spec.project_folder)

    @pytest.mark.parametrize(
        ("claimed", "said"),
        [
            ({"module": "runs/extra/evil.py:Net"}, r"\[model\] another"),
            ({"files": {"runs/extra/evil.py": "0" * 64}}, r"model\.py is not among its files"),
            ({"files": {"model.py": "0" * 64}}, "not that of its files"),
            ({"files": ["model.py"]}, "cannot be read"),
            ({"module": 3}, "cannot be read"),
        ],
    )
    def test_that_says_of_its_code_what_cannot_be_is_not_read(self, tmp_path, claimed, said):
        """A run folder may come from anyone: a trusted hash must not stand beside other files."""
        spec = self.spec(tmp_path)
        write_run(spec)
        path = spec.folder / "run.toml"
        document = tomllib.loads(path.read_text())
        document["code"] |= claimed
        path.write_text(tomli_w.dumps(document))

        with pytest.raises(EpochalError, match=said):
            read_run(spec.folder)
        (found,) = (f for f in examine_run(spec.project_folder, spec.folder) if f.code == "run-settings")
        assert found.severity == "error"

    def test_of_another_family_has_none(self, tmp_path):
        """Else its code would be loaded though nobody is asked whether it is trusted."""
        spec = self.spec(tmp_path)
        write_run(replace(spec, project=replace(spec.project, model=Model(family="mlp"))))

        with pytest.raises(EpochalError, match="its family is mlp"):
            read_run(spec.folder)

    def test_that_says_nothing_of_its_code_does_not_go_on(self, tmp_path):
        with pytest.raises(EpochalError, match=r"added model\.py"):
            trust.demand_same(replace(self.spec(tmp_path), code=None))

    def test_does_not_go_on_with_other_code_though_that_is_trusted(self, tmp_path):
        spec = self.spec(tmp_path)
        (spec.project_folder / "model.py").write_text("class Net:\n    other = True\n")
        trust.trust(spec.project_folder, read_code(spec.project_folder))

        with pytest.raises(EpochalError, match=r"changed model\.py") as refused:
            trust.demand_same(spec)

        assert refused.value.error_code == "code-changed"
        assert "epochal train" in refused.value.fix
