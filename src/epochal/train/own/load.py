"""Bringing a person's class into the process: what runs is byte for byte what was trusted.

Files were read and compared with the trusted state before, and are compiled from these very bytes: no cached bytecode is
looked at or written, and what changes on the disk meanwhile changes nothing. Only these files can be imported from the
folder, from its packages as from its top, and whatever Python's path says; names of the standard library stay the
standard library's. Libraries in an environment that lies in the folder are libraries as everywhere.
"""

from __future__ import annotations

import importlib
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    ExtensionFileLoader,
    ModuleSpec,
    SourceFileLoader,
    SourcelessFileLoader,
)
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from torch import nn

from epochal.core.steps import nearest
from epochal.project.trust import Untrusted
from epochal.train.lean import leave_to_others
from epochal.train.own.errors import OwnModelError, guarded


def load_class(root: Path, contents: Mapping[str, bytes], module: str) -> type[nn.Module]:
    """The class that `module` (FILE.py:CLASS) names, from trusted files of `root`, given as path and contents.

    What an earlier call brought in is let go of first, so that two states of a folder never mix. Raises OwnModelError when
    there is no such class or its file cannot be run.
    """
    root = Path(root).resolve()
    file, _, name = module.partition(":")
    if file not in contents:
        raise OwnModelError(
            f"the project has no file {file}",
            where=str(root),
            fix=f"write it there, or name another: module = {_example(contents)} in [model]",
        )
    dotted = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    _let_go()
    leave_to_others()
    top = dotted.partition(".")[0]
    if top in sys.modules or top in sys.stdlib_module_names:
        raise OwnModelError(
            f"{file} is called like a library, {top}, that is needed here",
            where=str(root / file),
            fix="give the file another name, and [model] module with it",
        )
    finder = _Finder(root, contents)
    sys.meta_path.insert(0, finder)
    with guarded(root, f"importing {file}", f"mend it there; `python {file}` in {root} shows the whole trace"):
        found: ModuleType = importlib.import_module(dotted)
    cls = getattr(found, name, None)
    if not isinstance(cls, type) or not issubclass(cls, nn.Module):
        close = nearest(name, [n for n, c in vars(found).items() if isinstance(c, type) and issubclass(c, nn.Module)])
        raise OwnModelError(
            f"{file} has no class {name}" if cls is None else f"{name} in {file} is no torch.nn.Module",
            where=str(root / file),
            fix=f"did you mean {close}?" if close else f"write: class {name}(torch.nn.Module)",
        )
    return cls


def _example(files: Mapping[str, bytes]) -> str:
    return f'"{next((f for f in files if f.endswith(".py")), "model.py")}:CLASS"'


def _let_go() -> None:
    """Forget the modules that came from a project before: those that a finder of ours brought in, and no others."""
    earlier = [finder for finder in sys.meta_path if isinstance(finder, _Finder)]
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _Finder)]
    for name in {name for finder in earlier for name in finder.names}:
        sys.modules.pop(name, None)


class _Finder(MetaPathFinder):
    """Finds modules among the files of a trusted state, and keeps the others from finding any in its folder.

    A package has no `__path__`: Python's own finder would look there for what is not among the files.
    """

    def __init__(self, root: Path, contents: Mapping[str, bytes]) -> None:
        self.root, self.files = root, contents
        self.names: set[str] = set()
        """Every module found so far."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module's file, packages before modules, as Python looks; None for what is not the project's.

        Raises ModuleNotFoundError for what is of the project and not among the files.
        """
        del path
        parent, _, _ = fullname.rpartition(".")
        if parent and parent not in self.names:
            return None
        if not parent and fullname in sys.stdlib_module_names:
            return self._of_others(fullname, target)
        base = fullname.replace(".", "/")
        for stem, is_package in ((f"{base}/__init__", True), (base, False)):
            for suffix, loader in _LOADERS:
                if f"{stem}{suffix}" in self.files:
                    return self._spec(fullname, f"{stem}{suffix}", loader, is_package=is_package)
        if any(name.startswith(f"{base}/") for name in self.files):
            self.names.add(fullname)
            return ModuleSpec(fullname, None, is_package=True)
        if parent:
            raise _not_there(fullname)
        return self._of_others(fullname, target)

    def _of_others(self, fullname: str, target: ModuleType | None) -> ModuleSpec | None:
        """What the other finders find, which is not to lie in the folder though Python's path may lead there."""
        for finder in sys.meta_path:
            find = None if isinstance(finder, _Finder) else getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = None if find is None else find(fullname, None, target)
            if spec is not None:
                places = [*(spec.submodule_search_locations or ()), *([spec.origin] if spec.has_location else ())]
                for place in places:
                    if place and self._holds(Path(place)):
                        raise _not_there(fullname, self._told(Path(place)))
                return spec
        return None

    def _holds(self, place: Path) -> bool:
        """Whether a place is of the project, and not of an environment that lies in its folder."""
        place = place.resolve()
        return place.is_relative_to(self.root) and not any(place.is_relative_to(p) for p in _LIBRARIES)

    def _told(self, place: Path) -> str:
        """How a module that Python would find there is imported; nothing where it is not among the files."""
        path = place.resolve().relative_to(self.root)
        names = [name for name in self.files if Path(name) == path or Path(name).parent == path]
        if not names:
            return ""
        dotted = ".".join((*path.parts[:-1], path.name.partition(".")[0])).removesuffix(".__init__")
        shown = next((n for n in names if Path(n) == path or Path(n).stem == "__init__"), f"{path}/")
        return f"; {shown} is imported as {dotted}"

    def _spec(self, fullname: str, name: str, loader: Any, *, is_package: bool) -> ModuleSpec | None:
        self.names.add(fullname)
        path = self.root / name
        spec = spec_from_file_location(fullname, path, loader=loader(fullname, str(path), self.files[name]))
        if spec is not None:
            spec.submodule_search_locations = [] if is_package else None
        return spec


def _not_there(fullname: str, told: str = "") -> ModuleNotFoundError:
    return ModuleNotFoundError(f"No module named {fullname!r} among the project's trusted files{told}", name=fullname)


_LIBRARIES = tuple(Path(sysconfig.get_path(kind)).resolve() for kind in ("stdlib", "platstdlib", "purelib", "platlib"))
"""Where this Python's own libraries lie; so it is in an environment too."""


class _Source(SourceFileLoader):
    """Python text, compiled from the trusted bytes."""

    def __init__(self, fullname: str, path: str, data: bytes) -> None:
        super().__init__(fullname, path)
        self._data = data

    def get_code(self, fullname: str) -> CodeType:
        """Compiled anew: a cache beside the file is not part of what was trusted."""
        del fullname
        return compile(self._data, self.path, "exec", dont_inherit=True)


class _Bytecode(SourcelessFileLoader):
    """Bytecode without its text."""

    def __init__(self, fullname: str, path: str, data: bytes) -> None:
        super().__init__(fullname, path)
        self._data = data

    def get_data(self, path: str) -> bytes:
        """The trusted bytes."""
        del path
        return self._data


class _Extension(ExtensionFileLoader):
    """A compiled extension. The system loads it by its path, so it is compared right before and after."""

    def __init__(self, fullname: str, path: str, data: bytes) -> None:
        super().__init__(fullname, path)
        self._data = data

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Load it. Raises Untrusted when it changed."""
        self._compare()
        module = super().create_module(spec)
        self._compare()
        return module

    def _compare(self) -> None:
        if Path(self.path).read_bytes() != self._data:
            raise Untrusted("the file changed since it was trusted", where=self.path, fix="trust the project anew")


_LOADERS: tuple[tuple[str, Any], ...] = (
    *((suffix, _Extension) for suffix in EXTENSION_SUFFIXES),
    (".py", _Source),
    (".pyc", _Bytecode),
)
