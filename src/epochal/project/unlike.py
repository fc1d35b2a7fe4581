"""What project.toml says otherwise than a run that goes on: the run keeps its own settings, and that is said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from epochal.core.settings import Project, to_document
from epochal.core.tasks import FAMILIES
from epochal.project.runfile import RunSpec


_RECORDED = frozenset({"split.cuts", "split.fingerprint"})
"""What builds write: it follows from the others."""
_MOST = 6


def unlike(spec: RunSpec, project: Project) -> tuple[str, ...]:
    """The dotted paths of settings that are others in the project than in the run, but for what was set for the run alone."""
    here, there = dict(_settings(spec.project)), dict(_settings(project))
    paths = [path for path in dict.fromkeys((*here, *there)) if here.get(path) != there.get(path)]
    return tuple(path for path in paths if path not in _RECORDED and not _meant(path, spec, project))


def said_of_unlike(spec: RunSpec, project: Project) -> str:
    """What a person is told when the run goes on; empty where nothing differs."""
    paths = unlike(spec, project)
    if not paths:
        return ""
    named = [*paths[:_MOST], *([f"{len(paths) - _MOST} more"] if len(paths) > _MOST else [])]
    listed = f"{', '.join(named[:-1])} and {named[-1]}" if len(named) > 1 else named[0]
    return f"run {spec.name} goes on with its own settings; project.toml differs in {listed}"


def _meant(path: str, spec: RunSpec, project: Project) -> bool:
    """Whether the difference was asked for when the run was made, or follows from another that is told."""
    table, _, name = path.partition(".")
    if path in spec.overrides or any(o.startswith(f"{path}.") for o in spec.overrides):
        return True
    if table == "source":
        return any(o.startswith("source.") for o in spec.overrides)
    if path == "model.family" or spec.family == project.model.family:
        return False
    # Another family has other settings of its own, and no use for some of [train].
    family = FAMILIES.get(spec.family)
    return table == "model" or (family is not None and table == "train" and name in family.idle)


def _settings(project: Project) -> Iterator[tuple[str, Any]]:
    """Every setting that is not at its default, by its path; a source as a whole, the recipe as a whole."""
    for table, value in to_document(project).items():
        if table == "source":
            for source in value:
                yield f"source.{source['name']}", source
        elif isinstance(value, Mapping):
            for name, one in value.items():
                yield f"{table}.{name}", one
        elif table not in {"format", "name"}:
            yield table, value
