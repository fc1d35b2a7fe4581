"""A person's class and the settings it is made with, before there is any data: what a run would be refused for."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from epochal.core.errors import SettingsError
from epochal.core.near import meant_by
from epochal.core.settings import Project
from epochal.core.tasks import MODULE
from epochal.core.useless import OWN_PARTS
from epochal.project.code import read_files
from epochal.project.trust import demand
from epochal.train.own.errors import guarded
from epochal.train.own.load import load_class


_WHERE = "project.toml [model], or --set"


def look(folder: Path, project: Project) -> tuple[str, ...]:
    """Read the class that a project names, as a run would, and make nothing of it; what it does itself beside `forward`.

    Raises Untrusted, OwnModelError, SettingsError for a setting that the class does not take.
    """
    code = demand(folder, project)
    if code is None:
        return ()
    cls, _settings = class_of(folder, read_files(folder, code.files), project.model.options)
    return brought_by(cls)


def class_of(
    root: Path, contents: Mapping[str, bytes], options: Mapping[str, Any]
) -> tuple[type[nn.Module], dict[str, Any]]:
    """The class that [model] names, from trusted files of `root`, and what is handed to its constructor.

    Raises OwnModelError, SettingsError for a setting that the class does not take.
    """
    cls = load_class(root, contents, str(options[MODULE]))
    settings = {k: list(v) if isinstance(v, tuple) else v for k, v in options.items() if k != MODULE}
    _check_settings(cls, settings, Path(root).resolve())
    return cls, settings


def brought_by(cls: type[nn.Module]) -> tuple[str, ...]:
    """Those of `OWN_PARTS` that the class has."""
    return tuple(name for name in OWN_PARTS if callable(getattr(cls, name, None)))


def _check_settings(cls: type[nn.Module], settings: Mapping[str, Any], root: Path) -> None:
    """Refuse settings that the constructor does not take, and the lack of one that it needs."""
    with guarded(root, f"the constructor of {cls.__name__}"):
        parameters = list(inspect.signature(cls).parameters.values())[1:]
    kinds = inspect.Parameter
    named = {p.name: p for p in parameters if p.kind in {kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY}}
    if not any(p.kind is kinds.VAR_KEYWORD for p in parameters):
        for key in settings:
            if key not in named:
                raise SettingsError(
                    f"{cls.__name__} takes no setting `{key}`",
                    path=("model", key),
                    where=_WHERE,
                    fix=meant_by(key, tuple(named), f"it takes {', '.join(named) or 'none'}"),
                    code="unknown-key",
                )
    missing = [n for n, p in named.items() if p.default is kinds.empty and n not in settings]
    if missing:
        raise SettingsError(
            f"{cls.__name__} needs the setting `{missing[0]}`",
            path=("model",),
            where=_WHERE,
            fix=f"write {missing[0]} = … in [model], or give it a default in the class",
            code="missing-key",
        )
