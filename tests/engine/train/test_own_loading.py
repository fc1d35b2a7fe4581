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
