"""project.toml: the strict reader from plain data to frozen values, and back.

The reader knows keys, types, ranges and choices from the fields of the tables; a key it does not know is an error that
names the nearest one it does. Lines and files are added by `epochal.project`, which knows the text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields
from typing import Any, TypeVar

from epochal.core.errors import SettingsError
from epochal.core.fields import as_date, duration_seconds
from epochal.core.near import meant_by
from epochal.core.options import check_options, check_own
from epochal.core.steps import nearest, parse_step
from epochal.core.tables import FORMAT, TABLES, Columns, Goal, Model, Project, Source, SplitSettings, Train
from epochal.core.tasks import FAMILIES, MODULE, OWN, TASKS, families_for
from epochal.core.useless import for_its_family


__all__ = [
    "FORMAT",
    "TABLES",
    "Columns",
    "Goal",
    "Model",
    "Project",
    "Source",
    "SplitSettings",
    "Train",
    "check_options",
    "duration_seconds",
    "parse_project",
    "read_table",
    "table_of",
    "to_document",
    "with_setting",
]

Path = tuple[str | int, ...]

T = TypeVar("T")


def parse_project(document: Mapping[str, Any]) -> Project:
    """Read a whole project strictly.

    Raises SettingsError (with `path`, without file or line) at the first thing that cannot be.
    """
    if document.get("format", FORMAT) != FORMAT:
        raise SettingsError(
            f"format {document['format']!r} is not known to this version",
            path=("format",),
            fix=f"this version reads format {FORMAT}; install a newer epochal",
            code="format",
        )
    known = ("format", "name", "goal", "source", "columns", "clean", "split", "model", "train")
    for key in document:
        if key not in known:
            if isinstance(document[key], (Mapping, list)):
                close = nearest(key, known)
                shown, fix = f"[{key}]", f"did you mean [{close}]?" if close else "take it out"
            else:
                shown, fix = (
                    f"`{key}`",
                    meant_by(key, known, "write it with its table, such as train.epochs, or take it out"),
                )
            raise SettingsError(f"{shown} is not known", path=(key,), fix=fix, code="unknown-key")
    name = document.get("name")
    if not isinstance(name, str) or not name:
        raise SettingsError(
            "the project has no name", path=("name",) if "name" in document else (), fix='write name = "…" at the top'
        )
    project = Project(
        name=name,
        goal=read_table(Goal, document.get("goal", {}), ("goal",)),
        sources=tuple(read_table(Source, table, ("source", i)) for i, table in enumerate(_tables(document, "source"))),
        columns=read_table(Columns, document.get("columns", {}), ("columns",)),
        clean=tuple(parse_step(table, ("clean", i)) for i, table in enumerate(_tables(document, "clean"))),
        split=read_table(SplitSettings, document.get("split", {}), ("split",)),
        model=_read_model(document.get("model", {})),
        train=read_table(Train, document.get("train", {}), ("train",)),
    )
    _check_together(project)
    return project


def _tables(document: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    value = document.get(key, [])
    if not isinstance(value, list) or not all(isinstance(v, Mapping) for v in value):
        raise SettingsError(f"`{key}` is a list of tables", path=(key,), fix=f"write each as [[{key}]]")
    return value


def read_table(cls: type[T], table: Any, path: Path) -> T:
    """Read one table into its dataclass, strictly.

    Raises SettingsError for an unknown key or a value that cannot be.
    """
    if not isinstance(table, Mapping):
        raise SettingsError(f"{path[-1]!r} is a table", path=path, fix=f"write it as [{path[0]}]")
    known: dict[str, Field[Any]] = {f.name: f for f in fields(cls)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in known:
            raise SettingsError(
                f"`{key}` is not known in [{path[0]}]",
                path=(*path, key),
                fix=meant_by(key, tuple(known), f"known are {', '.join(known)}"),
                code="unknown-key",
            )
        values[key] = _checked(known[key], value, (*path, key))
    return cls(**values)


def _checked(declared: Field[Any], value: Any, path: Path) -> Any:
    rules = declared.metadata
    if not rules["check"](value):
        raise SettingsError(
            f"`{declared.name}` is {value!r}", path=path, fix=f"expected {rules['expected']}: {rules['meaning']}"
        )
    choices = tuple(c for c in rules["choices"] if c)
    if choices and value not in rules["choices"]:
        close = nearest(str(value), choices)
        raise SettingsError(
            f"`{declared.name}` is {value!r}",
            path=path,
            fix=f"did you mean {close!r}?" if close else f"use one of {', '.join(choices)}",
            code="unknown-value",
        )
    if "date" in str(declared.type):
        return as_date(value)
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, Mapping):
        return {k: tuple(v) if isinstance(v, list) else v for k, v in value.items()}
    return value


def _read_model(table: Any) -> Model:
    if not isinstance(table, Mapping):
        raise SettingsError("`model` is a table", path=("model",), fix="write it as [model]")
    head = read_table(Model, {k: v for k, v in table.items() if k == "family"}, ("model",))
    rest = {k: v for k, v in table.items() if k != "family"}
    if rest and not head.family:
        raise SettingsError(
            "settings of a model without a family",
            path=("model", next(iter(rest))),
            fix='write family = "…" in [model]',
        )
    if head.family and FAMILIES[head.family].open:
        rest = check_own(rest)
    elif head.family:
        check_options(FAMILIES[head.family], rest)
    return Model(family=head.family, options=rest)


def _check_together(project: Project) -> None:
    """What no single value shows."""
    task = TASKS[project.goal.task]
    if project.goal.metric and project.goal.metric not in task.metrics:
        raise SettingsError(
            f"`metric` {project.goal.metric} does not judge {task.name}",
            path=("goal", "metric"),
            fix=f"use one of {', '.join(task.metrics)}",
        )
    if project.model.family and task.name not in FAMILIES[project.model.family].tasks:
        fitting = ", ".join(f.name for f in families_for(task.name))
        raise SettingsError(
            f"family {project.model.family} cannot learn {task.name}",
            path=("model", "family"),
            fix=f"use one of {fitting}",
        )
    if project.split.validation + project.split.test >= 1:
        raise SettingsError(
            f"validation and test take {project.split.validation + project.split.test:.0%} of the rows",
            path=("split", "test"),
            fix="leave rows to train on: together they must be under 1",
        )
    if project.split.kind == "column" and not project.split.column:
        raise SettingsError(
            'kind = "column" needs a column', path=("split", "kind"), fix='write column = "…" in [split]'
        )
    names = [s.name for s in project.sources]
    for i, source in enumerate(project.sources):
        if not source.uri:
            raise SettingsError(
                "a source without `uri`", path=("source", i), fix='write uri = "data/…"', code="missing-key"
            )
        if not source.name or names.index(source.name) != i:
            raise SettingsError(
                f"the name {source.name!r} of a source is {'missing' if not source.name else 'used twice'}",
                path=("source", i),
                fix="give each source its own name",
            )
    if project.columns.target and project.columns.target in project.columns.ignore:
        raise SettingsError(
            f"the target {project.columns.target!r} is also ignored",
            path=("columns", "ignore"),
            fix="take it out of one",
        )


def to_document(project: Project) -> dict[str, Any]:
    """The project as plain data in the file's order, what stands at its default left out. Inverse of `parse_project`."""
    document: dict[str, Any] = {"format": project.format, "name": project.name}
    document["goal"] = table_of(project.goal)
    document["source"] = [table_of(s) for s in project.sources]
    document["columns"] = table_of(project.columns)
    document["clean"] = [s.as_dict() for s in project.clean]
    document["split"] = table_of(project.split)
    document["model"] = {
        **({"family": project.model.family} if project.model.family else {}),
        **{k: list(v) if isinstance(v, tuple) else v for k, v in project.model.options.items()},
    }
    document["train"] = table_of(project.train)
    return {k: v for k, v in document.items() if v not in ({}, [])}


def table_of(settings: Any, *, defaults: bool = False) -> dict[str, Any]:
    """One settings value as a plain table; values at their default only when asked for, and never those that are not set."""
    table: dict[str, Any] = {}
    for declared in fields(settings):
        value = getattr(settings, declared.name)
        default = declared.default if declared.default is not MISSING else None
        if declared.default_factory is not MISSING:
            default = declared.default_factory()
        if value is None or (value == default and not (defaults and value not in ("", (), {}))):
            continue
        if isinstance(value, tuple):
            value = list(value)
        elif isinstance(value, Mapping):
            value = {k: list(v) if isinstance(v, tuple) else v for k, v in value.items()}
        table[declared.name] = value
    return table


def with_setting(project: Project, dotted: str, value: Any) -> Project:
    """The project with one value set by its dotted path (`train.epochs`, `goal.metric`, `columns.kinds.zip`, `name`).

    `source.delimiter` is of the only source, `source.NAME.delimiter` of the one of that name.

    None takes a setting out. Raises SettingsError when there is no such setting or the value cannot be.

    Another family drops the settings of [train] that it has no use for or takes for something else, so that nobody is
    trapped between families; `epochal.core.useless.said_of_idle` says which.

    What was recorded of another split stays until the next build, which drops it and says so
    (`epochal.core.split.followed`): dropped here, nobody would hear of it.
    """
    parts = dotted.split(".", 2)
    document = to_document(project)
    if parts[0] == "clean" and len(parts) > 1:
        raise SettingsError(f"`{dotted}` stands in a list", fix="edit it by its own command")
    if parts[0] == "source" and len(parts) > 1:
        document["source"] = _with_source(document.get("source", ()), dotted, value)
    elif len(parts) == 1:
        document[parts[0]] = value
    else:
        table = dict(document.get(parts[0], {}))
        if len(parts) == 3:
            inner = dict(table.get(parts[1], {}))
            inner[parts[2]] = value
            table[parts[1]] = inner
        else:
            if parts[0] == "model" and parts[1] == "family" and value != table.get("family"):
                table = {}
            if dotted == f"model.{MODULE}" and value is not None and table.get("family") != OWN:
                table = {"family": OWN}  # only a model of one's own has a class
            table[parts[1]] = value
            if value is None:
                del table[parts[1]]
        document[parts[0]] = table
    return for_its_family(project, parse_project(document))


def _with_source(sources: Sequence[Mapping[str, Any]], dotted: str, value: Any) -> list[dict[str, Any]]:
    name, _, key = dotted.removeprefix("source.").rpartition(".")
    changed = [dict(source) for source in sources]
    wanted = [source for source in changed if not name or source.get("name") == name]
    if len(wanted) != 1:
        names = ", ".join(str(source.get("name")) for source in changed)
        raise SettingsError(
            f"`{dotted}` does not say which source" if wanted else f"no source is called {name!r}",
            fix=f"write source.NAME.{key}; the sources are: {names or 'none yet'}",
        )
    wanted[0][key] = value
    return changed
