"""The cleaning steps: what each is called, what it takes, what it may do to rows.

A recipe is a tuple of `Step`s. A step is data: an operation's name and its parameters, exactly as they stand in a
`[[clean]]` table. How a step becomes SQL is the data engine's business (`epochal.data.sql`).
"""

from __future__ import annotations

import difflib
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from epochal.core.errors import SettingsError


Kind = Literal["number", "category", "text", "date", "boolean", "image", "id"]
KINDS: tuple[Kind, ...] = ("number", "category", "text", "date", "boolean", "image", "id")

ParamType = Literal[
    "column", "columns", "text", "texts", "number", "integer", "boolean", "expression", "mapping", "value"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """One parameter of a step."""

    name: str
    type: ParamType
    meaning: str
    required: bool = False
    choices: tuple[str, ...] = ()
    default: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """One kind of step."""

    name: str
    title: str
    """What it does, as a menu entry."""
    params: tuple[Param, ...]
    letter: str
    """Its letter in the menu of cleaning steps."""
    key: str = ""
    """Its own key in the grid, if it has one."""
    removes_rows: bool = False
    changes_columns: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a recipe."""

    op: str
    params: Mapping[str, Any] = field(default_factory=dict)
    enabled: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "params", MappingProxyType(dict(self.params)))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it names, in order."""
        named = self.params.get("columns", ())
        if "column" in self.params:
            return (self.params["column"], *named)
        return tuple(named)

    def as_dict(self) -> dict[str, Any]:
        """The step as its `[[clean]]` table, keys in the order of the operation's parameters."""
        table: dict[str, Any] = {"op": self.op}
        order = [p.name for p in OPS[self.op].params] if self.op in OPS else []
        table.update({name: _plain(self.params[name]) for name in order if name in self.params})
        table.update({name: _plain(value) for name, value in self.params.items() if name not in table})
        if not self.enabled:
            table["enabled"] = False
        return table


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(v) for v in value]
    return value


def _columns(*, required: bool = True, meaning: str = "The columns it works on.") -> Param:
    return Param(name="columns", type="columns", meaning=meaning, required=required)


_COLUMN = Param(name="column", type="column", meaning="The column it works on.", required=True)

OPS: dict[str, Op] = {
    op.name: op
    for op in (
        Op(
            name="select",
            title="keep only these columns",
            letter="s",
            changes_columns=True,
            params=(_columns(meaning="The columns to keep, in this order."),),
        ),
        Op(
            name="drop_columns",
            title="leave out these columns",
            letter="x",
            changes_columns=True,
            params=(_columns(meaning="The columns to leave out."),),
        ),
        Op(
            name="rename",
            title="rename a column",
            letter="n",
            key="^",
            changes_columns=True,
            params=(_COLUMN, Param(name="to", type="text", meaning="Its new name.", required=True)),
        ),
        Op(
            name="set_kind",
            title="set the kind of these columns",
            letter="k",
            params=(
                _columns(),
                Param(
                    name="kind",
                    type="text",
                    meaning="What the values are.",
                    required=True,
                    choices=("number", "category", "text", "date", "boolean", "id"),
                ),
            ),
        ),
        Op(name="trim", title="trim spaces at both ends", letter="t", params=(_columns(),)),
        Op(name="lower", title="make lower case", letter="l", params=(_columns(),)),
        Op(name="upper", title="make upper case", letter="u", params=(_columns(),)),
        Op(name="collapse_spaces", title="make runs of spaces one space", letter="c", params=(_columns(),)),
        Op(
            name="replace",
            title="replace text",
            letter="r",
            key="*",
            params=(
                _columns(),
                Param(name="find", type="text", meaning="What to look for.", required=True),
                Param(name="with", type="text", meaning="What to put there.", default=""),
                Param(
                    name="regex",
                    type="boolean",
                    meaning="Whether `find` is a regular expression (RE2).",
                    default=False,
                ),
            ),
        ),
        Op(
            name="map_values",
            title="map values to others",
            letter="v",
            params=(
                _COLUMN,
                Param(name="mapping", type="mapping", meaning="Old value to new value."),
                Param(
                    name="file", type="text", meaning="A CSV under mappings/ with the columns `from` and `to` instead."
                ),
            ),
        ),
        Op(
            name="mark_missing",
            title="mark values as missing",
            letter="m",
            params=(
                _columns(required=False, meaning="The columns it works on; all, if left out."),
                Param(name="values", type="texts", meaning="The values that stand for missing.", required=True),
            ),
        ),
        Op(
            name="fill",
            title="fill missing values",
            letter="f",
            key="f",
            params=(
                _columns(),
                Param(name="value", type="value", meaning="The value to put there, frozen into the step."),
            ),
        ),
        Op(
            name="drop_missing",
            title="leave out rows with a missing value",
            letter="d",
            removes_rows=True,
            params=(_columns(meaning="The columns looked at."),),
        ),
        Op(
            name="drop_duplicates",
            title="leave out repeated rows",
            letter="2",
            key="X",
            removes_rows=True,
            params=(_columns(required=False, meaning="The columns compared; all, if left out."),),
        ),
        Op(
            name="filter",
            title="keep only rows where …",
            letter="w",
            removes_rows=True,
            params=(
                Param(
                    name="where",
                    type="expression",
                    meaning="An SQL expression; rows where it is true are kept.",
                    required=True,
                ),
            ),
        ),
        Op(
            name="compute",
            title="compute a column",
            letter="=",
            key="=",
            changes_columns=True,
            params=(
                Param(name="column", type="text", meaning="The new column's name.", required=True),
                Param(name="as", type="expression", meaning="An SQL expression over the columns.", required=True),
            ),
        ),
        Op(
            name="parse_date",
            title="read as a date",
            letter="a",
            key="@",
            params=(
                _columns(),
                Param(
                    name="format",
                    type="text",
                    meaning="A strptime format such as %d.%m.%Y; guessed from ISO if left out.",
                ),
            ),
        ),
        Op(
            name="parse_number",
            title="read as a number with unit or currency",
            letter="p",
            key="$",
            params=(
                _columns(),
                Param(
                    name="decimal",
                    type="text",
                    meaning="The decimal sign.",
                    choices=(".", ","),
                    default=".",
                ),
            ),
        ),
        Op(
            name="split_column",
            title="split a column at a separator",
            letter="z",
            key="z;",
            changes_columns=True,
            params=(
                _COLUMN,
                Param(name="at", type="text", meaning="The separator.", required=True),
                Param(name="into", type="texts", meaning="The new columns' names.", required=True),
            ),
        ),
        Op(
            name="clip",
            title="limit a number to a range",
            letter="b",
            params=(
                _columns(),
                Param(name="low", type="number", meaning="Smaller values become this."),
                Param(name="high", type="number", meaning="Larger values become this."),
            ),
        ),
    )
}


def nearest(word: str, known: list[str] | tuple[str, ...]) -> str:
    """The known word most like `word`, or nothing when none is like it."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return close[0] if close else ""


def parse_step(table: Mapping[str, Any], path: tuple[str | int, ...] = ()) -> Step:
    """Read one `[[clean]]` table strictly.

    Raises SettingsError when the operation or a parameter is unknown, missing or of the wrong type.
    """
    op = _op_of(table, path)
    known = {p.name: p for p in op.params}
    params: dict[str, Any] = {}
    enabled = table.get("enabled", True)
    if not isinstance(enabled, bool):
        raise SettingsError("`enabled` is true or false", path=(*path, "enabled"), fix="write enabled = false")
    for key, value in table.items():
        if key in {"op", "enabled"}:
            continue
        if key not in known:
            close = nearest(key, (*known, "enabled"))
            raise SettingsError(
                f"step {op.name} has no parameter {key!r}",
                path=(*path, key),
                fix=f"did you mean `{close}`?" if close else f"it takes {', '.join(known)}",
                code="unknown-key",
            )
        params[key] = _check(op.name, known[key], value, (*path, key))
    _check_complete(op, params, path)
    return Step(op=op.name, params=params, enabled=enabled)


def _op_of(table: Mapping[str, Any], path: tuple[str | int, ...]) -> Op:
    name = table.get("op")
    if isinstance(name, str) and name in OPS:
        return OPS[name]
    close = nearest(str(name), tuple(OPS)) if name else ""
    raise SettingsError(
        f"there is no step {name!r}" if name else "a step without `op`",
        path=(*path, "op") if name else path,
        fix=f'use op = "{close}"' if close else f"use one of {', '.join(OPS)}",
        code="unknown-step",
    )


def _check_complete(op: Op, params: Mapping[str, Any], path: tuple[str | int, ...]) -> None:
    """What a step cannot do without."""
    for param in op.params:
        if param.required and param.name not in params:
            raise SettingsError(
                f"step {op.name} needs `{param.name}`", path=path, fix=param.meaning, code="missing-key"
            )
    if op.name == "map_values" and ("mapping" in params) == ("file" in params):
        raise SettingsError("step map_values takes either `mapping` or `file`", path=path, fix="give one of the two")
    if op.name == "fill" and "value" not in params:
        raise SettingsError(
            "step fill needs `value`",
            path=path,
            fix="give the value itself, such as --set value=0: what a word such as median stands for is not looked up",
            code="missing-key",
        )
    if op.name == "split_column" and not params["at"]:
        raise SettingsError(
            "step split_column needs `at`",
            path=path,
            fix="""a space is written in quotes: --set 'at=" "'""",
            code="missing-key",
        )
    if op.name == "clip" and not params.keys() & {"low", "high"}:
        raise SettingsError("step clip needs `low` or `high`", path=path, fix="give at least one", code="missing-key")
    if op.name == "clip" and params.get("low", -math.inf) > params.get("high", math.inf):
        raise SettingsError(
            f"step clip has a `low` of {params['low']} above its `high` of {params['high']}",
            path=path,
            fix="exchange the two",
            code="wrong-range",
        )


def _check(op: str, param: Param, value: Any, path: tuple[str | int, ...]) -> Any:
    """The value as the parameter's type, or an error that says what was expected."""
    ok: bool
    match param.type:
        case "column" | "text" | "expression":
            ok = isinstance(value, str) and (param.type == "text" or bool(value))
        case "columns" | "texts":
            value = (value,) if isinstance(value, str) else value
            ok = isinstance(value, (list, tuple)) and bool(value) and all(isinstance(v, str) for v in value)
            value = tuple(value) if ok else value
        case "number":
            # A whole number beyond what a number column holds has no place there: 400 digits are no limit of anything.
            ok = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
        case "integer":
            ok = isinstance(value, int) and not isinstance(value, bool)
        case "boolean":
            ok = isinstance(value, bool)
        case "mapping":
            ok = isinstance(value, Mapping) and all(isinstance(v, str) for v in value.values())
        case "value":
            ok = isinstance(value, (str, int, bool)) or (isinstance(value, float) and math.isfinite(value))
    if not ok:
        raise SettingsError(
            f"`{param.name}` of step {op} is {value!r}",
            path=path,
            fix=f"expected: {_EXPECTED[param.type]}. {param.meaning}",
        )
    if param.choices and value not in param.choices:
        close = nearest(str(value), param.choices)
        raise SettingsError(
            f"`{param.name}` of step {op} is {value!r}",
            path=path,
            fix=f"did you mean {close!r}?" if close else f"use one of {', '.join(param.choices)}",
        )
    return value


_EXPECTED: dict[str, str] = {
    "column": "a column's name",
    "columns": "a list of column names",
    "text": "a text",
    "texts": "a list of texts",
    "number": "a finite number, at most 1.8e308",
    "integer": "a whole number",
    "boolean": "true or false",
    "expression": "an SQL expression",
    "mapping": "a table of texts",
    "value": "a text, a number or true/false",
}
