"""project.toml as frozen values, and the strict reader from plain data to them.

The reader knows keys, types, ranges and choices from the fields themselves; a key it does not know is an error that
names the nearest one it does. Lines and files are added by `epochal.project`, which knows the text.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from datetime import date
from typing import Any, TypeVar

from epochal.core.errors import SettingsError
from epochal.core.steps import KINDS, Step, nearest, parse_step
from epochal.core.tasks import FAMILIES, METRICS, TASKS, Family, families_for


FORMAT = 1

Path = tuple[str | int, ...]

T = TypeVar("T")


def _key(
    default: Any = MISSING,
    *,
    check: Callable[[Any], bool],
    expected: str,
    meaning: str,
    choices: tuple[str, ...] = (),
) -> Any:
    """A field of a settings table with what its value must be."""
    metadata = {"check": check, "expected": expected, "meaning": meaning, "choices": choices}
    if default is MISSING:
        return field(metadata=metadata)
    if isinstance(default, (dict, list)):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < float("inf")


def _texts(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(v, str) for v in value)


def _text_key(default: Any = "", *, meaning: str, choices: tuple[str, ...] = ()) -> Any:
    return _key(default, check=_is_text, expected="a text", meaning=meaning, choices=choices)


def _texts_key(meaning: str) -> Any:
    return _key((), check=_texts, expected="a list of texts", meaning=meaning)


def _int_key(default: int, low: int, high: int, *, meaning: str) -> Any:
    return _key(
        default,
        check=lambda v: _is_int(v) and low <= v <= high,
        expected=f"a whole number from {low} to {high}",
        meaning=meaning,
    )


def _number_key(default: Any, low: float, high: float, *, meaning: str, auto: bool = False) -> Any:
    return _key(
        default,
        check=lambda v: (auto and v == "auto") or (_is_number(v) and low <= v <= high),
        expected=f"a number from {low:g} to {high:g}" + (' or "auto"' if auto else ""),
        meaning=meaning,
    )


def _auto_int_key(default: Any, low: int, high: int, *, meaning: str) -> Any:
    return _key(
        default,
        check=lambda v: v == "auto" or (_is_int(v) and low <= v <= high),
        expected=f'a whole number from {low} to {high} or "auto"',
        meaning=meaning,
    )


_UNITS = {
    "s": 1.0,
    "sec": 1.0,
    "second": 1.0,
    "min": 60.0,
    "minute": 60.0,
    "h": 3600.0,
    "hour": 3600.0,
    "d": 86400.0,
    "day": 86400.0,
}
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?) ?([a-z]+)")


def duration_seconds(text: str) -> float:
    """Seconds in a duration as people write it: "30 s", "5 min", "8 h", "2 days".

    Raises SettingsError when it is not one, or not longer than nothing.
    """
    match = _DURATION.fullmatch(text.strip().lower())
    unit = match[2] if match else ""
    unit = unit if unit in _UNITS else unit.removesuffix("s")
    if match is None or unit not in _UNITS or float(match[1]) <= 0:
        raise SettingsError(f"{text!r} is no duration", fix='write it like "30 s", "5 min" or "8 h"')
    return float(match[1]) * _UNITS[unit]


def _is_duration(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        duration_seconds(value)
    except SettingsError:
        return False
    return True


_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _is_date(value: Any) -> bool:
    return isinstance(value, date) or isinstance(_as_date(value), date)


def _as_date(value: Any) -> Any:
    """A date that travelled as JSON, as a date again; anything else as it is."""
    if isinstance(value, str) and _ISO_DATE.fullmatch(value):
        with contextlib.suppress(ValueError):
            return date.fromisoformat(value)
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """[goal]: what is asked, and when the answer is good."""

    question: str = _text_key(meaning="The question the model answers.")
    task: str = _text_key("classification", meaning="What is learnt.", choices=tuple(TASKS))
    metric: str = _text_key("", meaning="What the best checkpoint and the comparison use.", choices=("", *METRICS))
    at_least: float | None = _key(
        None,
        check=_is_number,
        expected="a number",
        meaning="The metric's value at which the model is good (for errors: at most).",
    )
    assumptions: tuple[str, ...] = _texts_key("What is taken for granted.")
    intended_use: str = _text_key(meaning="What the model is for, and what not.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """[[source]]: a place rows come from."""

    name: str = _text_key(meaning="Its name in the ledger.")
    uri: str = _text_key(meaning="A path or glob, sklearn:NAME or hf://NAME.")
    licence: str = _text_key(meaning="The licence it may be used under (SPDX where there is one).")
    origin: str = _text_key(meaning="Where it came from.")
    retrieved: date | None = _key(
        None, check=_is_date, expected="a date like 2026-11-22", meaning="When it was fetched."
    )
    personal_data: str = _text_key(
        "", meaning="Whether it is about people.", choices=("", "none", "pseudonymised", "present")
    )
    sha256: str = _text_key(meaning="Fingerprint when first read; a change is reported.")
    format: str = _text_key(
        "", meaning="Its format, where the ending misleads.", choices=("", "csv", "json", "jsonl", "parquet", "arrow")
    )
    encoding: str = _text_key(
        "",
        meaning="Its text encoding, where the guess was corrected.",
        choices=("", "utf-8", "utf-16", "latin-1", "cp1252"),
    )
    delimiter: str = _key(
        "",
        check=lambda v: isinstance(v, str) and len(v) <= 1,
        expected="one character",
        meaning="What stands between fields, where the guess was corrected.",
    )
    quote: str | None = _key(
        None,
        check=lambda v: isinstance(v, str) and len(v) <= 1,
        expected="one character, or nothing for no quoting",
        meaning="The quote sign, where the guess was corrected.",
    )
    header: bool | None = _key(
        None,
        check=lambda v: isinstance(v, bool),
        expected="true or false",
        meaning="Whether the first line names the columns, where the guess was corrected.",
    )
    revision: str = _text_key(meaning="For a Hub data set: the commit that is read.")
    part: str = _text_key("train", meaning="For a Hub data set: which of its splits is read.")
    subset: str = _text_key("", meaning="For a Hub data set: which configuration is read.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """[columns]: what columns are for. What is not named is an input."""

    target: str = _text_key(meaning="What is predicted.")
    key: str = _text_key(meaning="What identifies a row for ever.")
    group: str = _text_key(meaning="Rows that agree here stay on one side of a group split.")
    time: str = _text_key(meaning="When a row happened.")
    ignore: tuple[str, ...] = _texts_key("Columns that are kept but not learnt from.")
    kinds: Mapping[str, str] = _key(
        {},
        check=lambda v: isinstance(v, Mapping) and all(k in KINDS for k in v.values()),
        expected=f"a table of column = kind, where kind is one of {', '.join(KINDS)}",
        meaning="Kinds where the guess was corrected.",
    )


_CUTS = "a table of class = [test cut, validation cut], each from 0 to 1, rising"


def _is_cuts(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(v, (list, tuple)) and len(v) == 2 and all(_is_number(x) for x in v) and 0 <= v[0] <= v[1] <= 1
        for v in value.values()
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitSettings:
    """[split]: which rows are held out."""

    kind: str = _text_key(
        "random", meaning="How rows are dealt out.", choices=("random", "stratified", "group", "time", "column")
    )
    validation: float = _number_key(0.1, 0, 0.9, meaning="Share of rows that choose the best model.")
    test: float = _number_key(0.2, 0, 0.9, meaning="Share of rows that are sealed until the end.")
    seed: int = _int_key(0, 0, 2**53, meaning="Another seed deals rows out anew.")
    fingerprint: str = _text_key(meaning="Of the test rows; a change is shown and asked for.")
    cuts: Mapping[str, tuple[float, float]] = _key(
        {}, check=_is_cuts, expected=_CUTS, meaning="stratified: chosen once so that shares are exact, then kept."
    )
    validation_from: date | str | None = _key(
        None,
        check=lambda v: isinstance(v, (date, str)),
        expected="a date",
        meaning="time: validation starts here.",
    )
    test_from: date | str | None = _key(
        None, check=lambda v: isinstance(v, (date, str)), expected="a date", meaning="time: the test part starts here."
    )
    column: str = _text_key(meaning="column: the column that says train, validation or test.")
    values: Mapping[str, str] = _key(
        {},
        check=lambda v: isinstance(v, Mapping) and all(x in ("train", "validation", "test") for x in v.values()),
        expected="a table of value = train, validation or test",
        meaning="column: what its other values mean.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """[model]: the family and its settings."""

    family: str = _text_key("", meaning="The kind of model.", choices=("", *FAMILIES))
    options: Mapping[str, int | float | str | bool] = field(default_factory=dict)
    """The family's settings that were changed, by name."""

    def option(self, name: str) -> Any:
        """A setting of the family: what was set, else its default."""
        if name in self.options:
            return self.options[name]
        return next(o.default for o in FAMILIES[self.family].options if o.name == name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Train:
    """[train]: how it is trained."""

    epochs: int | str = _auto_int_key("auto", 1, 1_000_000, meaning="Passes over the rows; auto fits the budget.")
    batch_size: int | str = _auto_int_key("auto", 1, 1_000_000, meaning="Rows in each step.")
    learning_rate: float | str = _number_key("auto", 1e-9, 100, meaning="How far each step goes.", auto=True)
    schedule: str = _text_key(
        "one-cycle", meaning="How the learning rate moves.", choices=("one-cycle", "cosine", "constant")
    )
    weight_decay: float | str = _number_key("auto", 0, 100, meaning="How strongly weights are held small.", auto=True)
    precision: str = _text_key(
        "auto", meaning="The numbers it computes with.", choices=("auto", "float32", "bfloat16", "float16")
    )
    patience: int | str = _auto_int_key(
        "auto", 1, 1_000_000, meaning="Evaluations without a better metric before it stops early."
    )
    class_weights: str = _text_key("none", meaning="balanced: rare classes count more.", choices=("none", "balanced"))
    budget: str = _key(
        "5 min",
        check=_is_duration,
        expected='a duration such as "5 min"',
        meaning="What suggested families and sizes are fitted to; not a limit.",
    )
    time_limit: str = _key(
        "",
        check=lambda v: v == "" or _is_duration(v),
        expected='a duration such as "8 h"',
        meaning="A hard limit: checkpoint, then done.",
    )
    first_checkpoint: str = _key(
        "30 s",
        check=_is_duration,
        expected='a duration such as "30 s"',
        meaning="The first checkpoint is written at the latest then.",
    )
    checkpoint_every: str = _key(
        "5 min",
        check=_is_duration,
        expected='a duration such as "5 min"',
        meaning="Then a checkpoint this often, or each epoch, whichever is later.",
    )
    feed: str = _text_key("all", meaning="Which rows come first.", choices=("all",))
    devices: str | int | tuple[int, ...] = _key(
        "auto",
        check=lambda v: v in {"auto", "cpu"} if isinstance(v, str) else _is_int(v) or _int_list(v),
        expected='"auto", "cpu", or a list of GPU numbers such as [0]',
        meaning="Where it computes.",
    )
    seed: int = _int_key(0, 0, 2**53, meaning="Of the weights, the order and everything random.")
    host: str = _text_key(
        "detached", meaning="The process the training thread lives in.", choices=("detached", "thread")
    )


def _int_list(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and all(_is_int(v) and v >= 0 for v in value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """The whole of project.toml."""

    name: str
    format: int = FORMAT
    goal: Goal = field(default_factory=Goal)
    sources: tuple[Source, ...] = ()
    columns: Columns = field(default_factory=Columns)
    clean: tuple[Step, ...] = ()
    split: SplitSettings = field(default_factory=SplitSettings)
    model: Model = field(default_factory=Model)
    train: Train = field(default_factory=Train)

    @property
    def metric(self) -> str:
        """The metric in force: the chosen one, else the task's first."""
        return self.goal.metric or TASKS[self.goal.task].metrics[0]


TABLES: dict[str, type] = {
    "goal": Goal,
    "source": Source,
    "columns": Columns,
    "split": SplitSettings,
    "model": Model,
    "train": Train,
}
"""The tables of project.toml by the name they have there, for help and documentation."""


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
            close = nearest(key, known)
            table = isinstance(document[key], (Mapping, list))
            shown = f"[{key}]" if table else f"`{key}`"
            fix = f"did you mean {'[' + close + ']' if table else '`' + close + '`'}?" if close else "take it out"
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
            close = nearest(key, tuple(known))
            raise SettingsError(
                f"`{key}` is not known in [{path[0]}]",
                path=(*path, key),
                fix=f"did you mean `{close}`?" if close else f"known are {', '.join(known)}",
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
        return _as_date(value)
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
    if head.family:
        check_options(FAMILIES[head.family], rest)
    return Model(family=head.family, options=rest)


def check_options(family: Family, options: Mapping[str, Any]) -> None:
    """Refuse a setting the family does not have, or a value it cannot take. Raises SettingsError."""
    known = {o.name: o for o in family.options}
    for key, value in options.items():
        path = ("model", key)
        if key not in known:
            close = nearest(key, ("family", *known))
            raise SettingsError(
                f"family {family.name} has no setting `{key}`",
                path=path,
                fix=f"did you mean `{close}`?" if close else f"it has {', '.join(known) or 'none'}",
                code="unknown-key",
            )
        option = known[key]
        if option.choices:
            ok, expected = value in option.choices, f"one of {', '.join(option.choices)}"
        elif isinstance(option.default, bool):
            ok, expected = isinstance(value, bool), "true or false"
        else:
            whole = isinstance(option.default, int)
            low = -float("inf") if option.low is None else option.low
            high = float("inf") if option.high is None else option.high
            ok = (_is_int(value) if whole else _is_number(value)) and low <= value <= high
            ok = ok or (option.default == "auto" and value == "auto")
            expected = f"a {'whole ' if whole else ''}number from {low:g} to {high:g}"
        if not ok:
            raise SettingsError(f"`{key}` is {value!r}", path=path, fix=f"expected {expected}: {option.meaning}")


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
        **project.model.options,
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

    Raises SettingsError when there is no such setting or the value cannot be. Changing what a split is drops
    what was recorded of the old one.
    """
    parts = dotted.split(".", 2)
    document = to_document(project)
    if parts[0] in {"clean", "source"} and len(parts) > 1:
        raise SettingsError(f"`{dotted}` stands in a list", fix="edit it by its own command")
    if len(parts) == 1:
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
            table[parts[1]] = value
        if parts[0] == "split" and parts[1] in {"kind", "validation", "test", "seed", "column"}:
            for recorded in ("cuts", "fingerprint", "validation_from", "test_from"):
                table.pop(recorded, None)
        document[parts[0]] = table
    return parse_project(document)
