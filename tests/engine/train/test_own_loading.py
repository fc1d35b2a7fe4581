"""Bringing a person's class in: what runs is byte for byte what was trusted, and nothing else of the folder."""

from __future__ import annotations

import importlib
import os
import py_compile
import sys
from pathlib import Path

import pytest
from torch import nn

from epochal.core.errors import EpochalError
from epochal.project.code import read_code, read_files
from epochal.train.own import load as load_module
from epochal.train.own.load import load_class


NET = "from torch import nn\n\n\nclass Net(nn.Module):\n    pass\n"


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "model.py").write_text(NET)
    return folder


def load(folder: Path, module: str = "model.py:Net") -> type[nn.Module]:
    return load_class(folder, read_files(folder, read_code(folder).files), module)


class TestAClass:
    def test_is_found_by_its_file_and_name(self, folder):
        assert issubclass(load(folder), nn.Module)

    def test_may_import_other_files_of_the_folder(self, folder):
        (folder / "nets" / "parts").mkdir(parents=True)
        (folder / "nets" / "__init__.py").write_text("")
        (folder / "nets" / "parts" / "block.py").write_text("WIDTH = 7\n")
        (folder / "nets" / "deep.py").write_text(
            NET + "    from nets.parts.block import WIDTH\n    from sizes import D\n"
        )
        (folder / "sizes.py").write_text("D = 3\n")

        cls = load(folder, "nets/deep.py:Net")

        assert (cls.WIDTH, cls.D, cls.__module__) == (7, 3, "nets.deep")

    def test_is_the_new_one_after_its_file_changed(self, folder):
        load(folder)
        (folder / "model.py").write_text(NET + "    size = 2\n")

        assert load(folder).size == 2

    def test_of_one_folder_is_never_mixed_with_that_of_another(self, folder, tmp_path):
        (folder / "sizes.py").write_text("D = 1\n")
        (folder / "model.py").write_text(NET + "    from sizes import D\n")
        other = tmp_path / "other"
        other.mkdir()
        (other / "model.py").write_text(NET + "    from sizes import D\n")
        (other / "sizes.py").write_text("D = 2\n")

        assert [load(f).D for f in (folder, other, folder)] == [1, 2, 1]

    @pytest.mark.parametrize(
        ("module", "said"),
        [
            ("other.py:Net", "no file other.py"),
            ("model.py:Nett", "no class Nett"),
            ("model.py:nn", "no torch.nn.Module"),
        ],
    )
    def test_that_is_not_there_is_named(self, folder, module, said):
        with pytest.raises(EpochalError, match=said) as refused:
            load(folder, module)

        assert refused.value.error_code == "own-model"

    @pytest.mark.parametrize("name", ["torch", "random"])
    def test_cannot_stand_in_a_file_called_like_a_library(self, folder, name):
        (folder / f"{name}.py").write_text(NET)

        with pytest.raises(EpochalError, match=f"like a library, {name}"):
            load(folder, f"{name}.py:Net")


class TestWhatRuns:
    def test_is_never_a_cache_beside_the_file(self, folder):
        """A planted __pycache__ would run in place of the text that was read and trusted."""
        (folder / "evil.py").write_text(NET + "    planted = True\n")
        times = (folder / "model.py").stat()
        os.utime(folder / "evil.py", ns=(times.st_atime_ns, times.st_mtime_ns))
        (folder / "model.py").write_text(NET + "    planted = 0000\n")
        os.utime(folder / "model.py", ns=(times.st_atime_ns, times.st_mtime_ns))
        cache = folder / "__pycache__" / f"model.{sys.implementation.cache_tag}.pyc"
        py_compile.compile(str(folder / "evil.py"), cfile=str(cache))
        (folder / "evil.py").unlink()

        assert load(folder).planted == 0

    def test_leaves_nothing_in_the_folder(self, folder):
        before = sorted(folder.rglob("*"))

        load(folder)

        assert sorted(folder.rglob("*")) == before

    def test_is_refused_when_a_file_changed_since_it_was_trusted(self, folder):
        files = read_code(folder).files
        (folder / "model.py").write_text(NET + "    import os\n")

        with pytest.raises(EpochalError, match=r"model\.py changed a moment ago"):
            read_files(folder, files)

    def test_is_not_what_a_file_became_while_the_model_trains(self, folder):
        (folder / "late.py").write_text("N = 1\n")
        (folder / "model.py").write_text(NET + "    def late(self):\n        import late\n        return late.N\n")
        cls = load(folder)
        (folder / "late.py").write_text("N = 2\n")

        assert cls().late() == 1

    def test_is_no_file_that_was_added_since(self, folder):
        (folder / "model.py").write_text(NET.replace("pass", "import added_since"))
        contents = read_files(folder, read_code(folder).files)
        (folder / "added_since.py").write_text("")

        with pytest.raises(EpochalError, match="No module named 'added_since'"):
            load_class(folder, contents, "model.py:Net")

    @pytest.mark.parametrize("place", ["runs", "__pycache__"])
    def test_is_nothing_of_the_folders_that_are_left_out(self, folder, place):
        (folder / place).mkdir()
        (folder / place / "x.py").write_text("")
        (folder / "model.py").write_text(f"import importlib\nimportlib.import_module('{place}.x')\n" + NET)

        with pytest.raises(EpochalError, match="No module named"):
            load(folder)

    @pytest.mark.parametrize("name", ["nets.env.x", "nets.__pycache__.x", "nets.link.x", "nets.added", "bare.added"])
    def test_is_nothing_else_that_lies_in_a_package(self, folder, tmp_path, name):
        """Python itself looks in a package's folder, for an environment, behind a link, and for what came since."""
        ran = tmp_path / "ran"
        (tmp_path / "away").mkdir()
        for place in ("nets/env", "nets/__pycache__", "bare"):
            (folder / place).mkdir(parents=True)
        (folder / "nets" / "__init__.py").write_text("")
        (folder / "bare" / "some.py").write_text("")
        (folder / "nets" / "env" / "pyvenv.cfg").write_text("")
        (folder / "nets" / "link").symlink_to(tmp_path / "away")
        (folder / "model.py").write_text(f"import nets, bare.some\nimport {name}\n" + NET)
        contents = read_files(folder, read_code(folder).files)
        (folder / f"{name.replace('.', '/')}.py").write_text(f"open({str(ran)!r}, 'w')\n")

        with pytest.raises(EpochalError, match="No module named"):
            load_class(folder, contents, "model.py:Net")

        assert set(contents) == {"model.py", "nets/__init__.py", "bare/some.py"}
        assert not ran.exists()

    @pytest.mark.parametrize("name", ["added_since", "colorsys"])
    def test_is_not_what_python_finds_there_by_its_path(self, folder, name, monkeypatch):
        (folder / "model.py").write_text(f"import {name}\n" + NET)
        contents = read_files(folder, read_code(folder).files)
        (folder / f"{name}.py").write_text("raise RuntimeError('it ran')\n")
        monkeypatch.syspath_prepend(folder)
        monkeypatch.delitem(sys.modules, name, raising=False)

        with pytest.raises(EpochalError, match=f"No module named '{name}'"):
            load_class(folder, contents, "model.py:Net")

    def test_that_lies_deeper_is_told_by_the_name_it_has_here(self, folder, monkeypatch):
        """As in a folder `src` that Python's path or an editable installation leads to."""
        (folder / "src" / "mylib").mkdir(parents=True)
        (folder / "src" / "mylib" / "__init__.py").write_text("N = 4\n")
        (folder / "src" / "mylib" / "Blocks.py").write_text("N = 5\n")
        (folder / "model.py").write_text("import mylib\n" + NET)
        monkeypatch.syspath_prepend(folder / "src")

        with pytest.raises(EpochalError, match=r"src/mylib/__init__\.py is imported as src\.mylib"):
            load(folder)

        (folder / "model.py").write_text("import src.mylib as mylib\n" + NET + "    N = mylib.N\n")
        assert load(folder).N == 4

    def test_may_ask_its_packages_for_what_is_there(self, folder):
        (folder / "nets").mkdir()
        (folder / "nets" / "__init__.py").write_text("from . import block\nWIDE = True\n")
        (folder / "nets" / "block.py").write_text("N = 4\n")
        (folder / "model.py").write_text(NET + "    from nets import WIDE, block\n")

        assert (load(folder).WIDE, load(folder).block.N) == (True, 4)

    def test_does_not_take_the_place_of_the_standard_library(self, folder):
        (folder / "colorsys.py").write_text("rgb_to_hls = None\n")
        sys.modules.pop("colorsys", None)
        load(folder)

        assert importlib.import_module("colorsys").rgb_to_hls is not None

    def test_is_bytecode_without_its_text_too(self, folder):
        (folder / "hidden.py").write_text("N = 5\n")
        py_compile.compile(str(folder / "hidden.py"), cfile=str(folder / "hidden.pyc"))
        (folder / "hidden.py").unlink()
        (folder / "model.py").write_text(NET + "    from hidden import N\n")

        assert load(folder).N == 5


class TestAnEnvironmentInTheFolder:
    """`p/.venv` is the commonest place for the libraries that a model needs, torch and epochal among them."""

    @pytest.fixture
    def libraries(self, folder, monkeypatch):
        place = folder / ".venv" / "lib"
        place.mkdir(parents=True)
        (place.parent / "pyvenv.cfg").write_text("")
        monkeypatch.syspath_prepend(place)
        monkeypatch.setattr(load_module, "_LIBRARIES", (place,))
        monkeypatch.setitem(sys.modules, "a_library", None)
        monkeypatch.delitem(sys.modules, "a_library")
        return place

    def test_keeps_the_libraries_that_are_in_use(self, folder, libraries):
        (libraries / "a_library.py").write_text("")
        used = importlib.import_module("a_library")
        load(folder)
        load(folder)

        assert sys.modules["a_library"] is used

    def test_is_where_the_model_finds_them(self, folder, libraries):
        (libraries / "a_library.py").write_text("N = 6\n")
        (folder / "model.py").write_text(NET + "    from a_library import N\n")

        assert load(folder).N == 6

    @pytest.mark.parametrize("text", ["\n\n1 / 0\n", "\n\ndef f(:\n"])
    def test_is_not_where_a_mistake_is_looked_for(self, folder, libraries, text):
        (libraries / "a_library.py").write_text(text)
        (folder / "model.py").write_text("\nimport a_library\n" + NET)

        with pytest.raises(EpochalError) as refused:
            load(folder)

        assert refused.value.where == "model.py:2"


class TestAnErrorInTheFile:
    @pytest.mark.parametrize(
        ("text", "said", "where"),
        [
            ("x = 1\n1 / 0\n", "ZeroDivisionError: division by zero", "model.py:2"),
            ("def f(:\n", "SyntaxError", "model.py:1"),
            ("import no_such_library\n", "No module named 'no_such_library'", "model.py:1"),
            ("import sys\nsys.exit(3)\n", "SystemExit", "model.py:2"),
            ("raise ValueError('\\x1b[2J')\n", "␛", "model.py:1"),
        ],
    )
    def test_is_told_with_its_line_and_cannot_act_on_a_terminal(self, folder, text, said, where, capsys):
        (folder / "model.py").write_text(text)

        with pytest.raises(EpochalError) as refused:
            load(folder)

        error = refused.value
        assert (error.error_code, error.where) == ("own-model", where)
        assert said in error.what
        assert "Traceback" in capsys.readouterr().err

    def test_in_a_file_it_imports_is_told_with_that_line(self, folder):
        (folder / "parts.py").write_text("\n\nraise KeyError('x')\n")
        (folder / "model.py").write_text("import parts\n" + NET)

        with pytest.raises(EpochalError) as refused:
            load(folder)

        assert refused.value.where == "parts.py:3"
