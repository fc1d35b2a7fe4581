"""The allow-list every expression of a person passes: columns, constants, operators and functions known to be harmless.

The text is parsed by DuckDB itself (`json_serialize_sql`) and the tree is walked: what is not known is refused. So an
expression reads no file, no setting and no other table, and cannot make a value out of nothing that fills the memory.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from epochal.core.errors import StepError
from epochal.core.steps import Step, nearest
from epochal.data.stages import plan
from epochal.show import grouped, safe


if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


MAX_LENGTH = 10_000
"""Characters of one expression."""
_MAX_PADDING = 1_000
"""Widest value that padding may make."""
_MAX_LAMBDAS = 2
_MAX_GROWTH = 1 << 16
"""How many times longer nested calls that put texts into texts may make one."""
_COLUMN_LENGTH = 100
"""Characters that a column's value is taken to have where its growth is estimated."""

_COMPARE = "= == != <> < > <= >= <=> ! || + - * / // % ** ^ & | << >> ~ @ ~~ !~~ ~~* !~~* ~~~ ^@ && @> <@"
_NUMBER = """
abs add subtract multiply divide fdiv fmod mod sign signbit ceil ceiling floor round round_even trunc even sqrt cbrt exp
ln log log2 log10 log1p pow power pi degrees radians sin cos tan cot asin acos atan atan2 sinh cosh tanh asinh acosh atanh
greatest least isnan isinf isfinite gcd lcm factorial gamma lgamma nextafter bit_count xor
"""
_TEXT = """
length len strlen lower lcase upper ucase trim ltrim rtrim strip_accents replace translate left right left_grapheme
right_grapheme substr substring substring_grapheme reverse concat concat_ws contains prefix suffix starts_with ends_with
instr position strpos split_part string_split str_split string_split_regex regexp_split_to_array regexp_matches
regexp_full_match regexp_extract regexp_extract_all regexp_replace like_escape not_like_escape ilike_escape
not_ilike_escape ascii chr unicode ord lpad rpad bit_length md5 sha256 url_encode url_decode unbin unhex
nfc_normalize levenshtein editdist3 damerau_levenshtein hamming mismatches jaccard jaro_similarity
jaro_winkler_similarity array_to_string
"""
_DATE = """
year month day hour minute second millisecond microsecond quarter week weekday dayofweek dayofmonth dayofyear isodow
isoyear weekofyear yearweek decade century era epoch epoch_ms epoch_us date_part datepart date_trunc datetrunc date_diff
datediff date_sub datesub date_add last_day dayname monthname make_date make_time make_timestamp strftime strptime
try_strptime to_days to_hours to_minutes to_seconds to_weeks to_months to_years age julian time_bucket
"""
_LIST = """
list_value list_contains list_has array_contains list_position list_indexof list_extract list_element array_extract
list_slice array_slice list_sort list_reverse_sort list_distinct list_unique list_sum list_avg list_min list_max
list_count list_median list_first list_last list_any_value list_concat list_append list_prepend list_transform
list_filter array_length cardinality map_extract element_at struct_extract struct_pack row flatten
"""
_OTHER = "coalesce ifnull nullif if typeof isnull not is_null try"
FUNCTIONS: frozenset[str] = frozenset(f"{_COMPARE} {_NUMBER} {_TEXT} {_DATE} {_LIST} {_OTHER}".split())

TYPES: frozenset[str] = frozenset(
    [
        "boolean",
        "bool",
        "tinyint",
        "smallint",
        "integer",
        "int",
        "int1",
        "int2",
        "int4",
        "int8",
        "bigint",
        "hugeint",
        "utinyint",
        "usmallint",
        "uinteger",
        "ubigint",
        "float",
        "real",
        "float4",
        "float8",
        "double",
        "decimal",
        "numeric",
        "varchar",
        "text",
        "string",
        "char",
        "bpchar",
        "date",
        "time",
        "timestamp",
        "datetime",
        "interval",
        "list",
        "struct",
        "signed",
        "short",
        "long",
    ]
)

_CLASSES = frozenset(
    {"CONJUNCTION", "COMPARISON", "FUNCTION", "COLUMN_REF", "CONSTANT", "OPERATOR", "BETWEEN", "CASE", "CAST", "LAMBDA"}
)
_REFUSED = {
    "SUBQUERY": "a query inside the expression",
    "WINDOW": "a window over other rows",
    "STAR": "`*` for all columns",
    "PARAMETER": "a parameter",
}
EXPRESSION_COLUMNS = ("_source", "_line", "_key")
"""Internal columns an expression may name: all but the import order, which changes when data is added."""


def check_expression(con: DuckDBPyConnection, text: str, columns: Iterable[str], where: str = "") -> None:
    """Refuse an expression that is none, or that does anything but compute with the columns.

    Raises StepError (codes expression, not-allowed, unknown-column).
    """
    if len(text) > MAX_LENGTH:
        raise StepError(f"an expression of {len(text)} characters", where=where, fix=f"use at most {MAX_LENGTH}")
    ((answer,),) = con.execute("SELECT json_serialize_sql($text)", {"text": f"SELECT {text}\n"}).fetchall()
    document = json.loads(answer)
    if document.get("error"):
        what = str(document.get("error_message", "")).split("\n")[0]
        raise StepError(
            f"the expression cannot be read: {safe(what, 200)}",
            where=where,
            fix="write it like  \"body mass\" > 3000 AND sex = 'male'",
            code="expression",
        )
    _walk(_only_expression(document, where), {c.lower(): c for c in (*columns, *EXPRESSION_COLUMNS)}, where)


def _only_expression(document: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """The one expression of `SELECT …`; anything more than that is refused."""
    statements = document["statements"]
    node = statements[0]["node"] if len(statements) == 1 else {}
    rest = ("where_clause", "having", "sample", "qualify", "group_expressions", "modifiers")
    plain = (
        node.get("type") == "SELECT_NODE"
        and len(node.get("select_list", ())) == 1
        and node.get("from_table", {}).get("type") == "EMPTY"
        and not node["cte_map"]["map"]
        and not any(node.get(key) for key in rest)
    )
    if not plain or node["select_list"][0].get("alias"):
        raise StepError(
            "this is more than one expression", where=where, fix="write only what stands after WHERE", code="expression"
        )
    expression: Mapping[str, Any] = node["select_list"][0]
    return expression


def _walk(root: Mapping[str, Any], columns: Mapping[str, str], where: str) -> None:
    """Look at every node; depth is bounded by DuckDB's parser, but no recursion is needed to find out."""
    stack: list[tuple[Any, frozenset[str], float]] = [(root, frozenset(), 1.0)]
    lambdas = 0
    while stack:
        node, bound, growth = stack.pop()
        if isinstance(node, list):
            stack.extend((child, bound, growth) for child in node)
            continue
        if not isinstance(node, Mapping):
            continue
        kind = node.get("class")
        if kind == "TYPE":
            _check_type(node, where)
        elif kind is not None:
            _check_node(node, kind, bound, columns, where)
            if kind == "CONSTANT":
                continue
            if kind == "LAMBDA":
                lambdas += 1
                if bound or lambdas > _MAX_LAMBDAS:
                    raise _not_allowed("a lambda inside another" if bound else "a third lambda", where)
                stack.append((node["expr"], _parameters(node["lhs"]), growth))
                continue
            growth *= _growth(node)
            if growth > _MAX_GROWTH:
                raise _not_allowed("a call inside another that makes texts this much longer", where)
        stack.extend((child, bound, growth) for key, child in node.items() if key not in _NO_CHILDREN)


_NO_CHILDREN = frozenset({"qualified_name", "column_names", "literal", "query_location", "query_location_length"})


def _growth(node: Mapping[str, Any]) -> float:
    """How many times longer a text may become by this node alone.

    Replacements multiply, and so does whatever is put between or in place of the items of a list: a text may have been
    cut into as many items as it has characters.
    """
    if node.get("class") != "FUNCTION":
        return 1.0
    name = str(node["function_name"]).lower()
    arguments = [a["expression"] for a in node["arguments"]]
    if name in {"replace", "regexp_replace"} and len(arguments) >= 3:
        found = arguments[1]
        exact = name == "replace" and found.get("class") == "CONSTANT"
        return max(1.0, _length(arguments[2]) / max(1, len(_text_of(found)) if exact else 1))
    if name in _SEPARATOR and len(arguments) > 1:
        return 1.0 + _length(arguments[_SEPARATOR[name]])
    if name == "list_transform":
        return max(1.0, *(_put_in(a["expr"], _parameters(a["lhs"])) for a in arguments if a.get("class") == "LAMBDA"))
    return 1.0


_SEPARATOR = {"array_to_string": 1, "concat_ws": 0}
"""Functions that put a text between others, and which of their arguments it is."""


def _length(node: Mapping[str, Any]) -> float:
    """Characters that an expression is taken to give."""
    lengths = {"COLUMN_REF": _COLUMN_LENGTH, "CONSTANT": len(_text_of(node))}
    return lengths.get(str(node.get("class")), _MAX_PADDING)


def _put_in(body: Any, items: frozenset[str]) -> float:
    """Characters that a lambda's body puts into each item besides the item itself; at least 1."""
    made, stack = 0.0, [body]
    while stack:
        node = stack.pop()
        if isinstance(node, Mapping):
            own = node.get("class") == "COLUMN_REF" and node["column_names"][0].lower() in items
            if node.get("class") in {"COLUMN_REF", "CONSTANT"}:
                made += 0 if own else _length(node)
            stack.extend(child for key, child in node.items() if key not in _NO_CHILDREN)
        elif isinstance(node, list):
            stack.extend(node)
    return max(1.0, made)


def _text_of(node: Mapping[str, Any]) -> str:
    """A constant's text; empty for anything else."""
    return str(node.get("literal", {}).get("text", ""))


def _parameters(lhs: Any) -> frozenset[str]:
    """The names a lambda binds."""
    names: set[str] = set()
    stack = [lhs]
    while stack:
        node = stack.pop()
        if isinstance(node, Mapping):
            if node.get("class") == "COLUMN_REF":
                names.update(n.lower() for n in node["column_names"])
            stack.extend(node.values())
        elif isinstance(node, list):
            stack.extend(node)
    return frozenset(names)


def _check_node(
    node: Mapping[str, Any], kind: str, bound: frozenset[str], columns: Mapping[str, str], where: str
) -> None:
    if kind not in _CLASSES:
        raise _not_allowed(_REFUSED.get(kind, kind.lower()), where)
    if kind == "COLUMN_REF":
        _check_column(node["column_names"], bound, columns, where)
    elif kind == "FUNCTION":
        _check_function(node, where)
    elif kind == "LAMBDA" and node.get("syntax_type") == "SINGLE_ARROW":
        raise StepError("`x -> …` is an old form", where=where, fix="write lambda x: …", code="expression")


def _check_column(names: list[str], bound: frozenset[str], columns: Mapping[str, str], where: str) -> None:
    first = names[0].lower()
    if first in bound or first in columns:
        return
    close = nearest(names[0], list(columns.values()))
    quoted = '"' + close.replace('"', '""') + '"'
    raise StepError(
        f"the expression names the column {safe(names[0], 80)!r}, which is not there",
        where=where,
        fix=f"did you mean {quoted}?" if close else "texts stand in 'single' quotes, columns in \"double\" ones",
        code="unknown-column",
    )


def _check_function(node: Mapping[str, Any], where: str) -> None:
    name = str(node["function_name"]).lower()
    path = node.get("qualified_name", {}).get("path", [name])
    if name not in FUNCTIONS or len(path) > 1 or node.get("schema") or node.get("catalog"):
        close = difflib.get_close_matches(name, sorted(FUNCTIONS - {name}), n=1, cutoff=0.8)
        raise _not_allowed(f"the function `{safe(name, 60)}`", where, close[0] if close else "")
    if node.get("filter") or node.get("distinct") or node.get("order_bys", {}).get("orders"):
        raise _not_allowed("an aggregate over rows", where)
    if name == "age" and len(node["arguments"]) != 2:
        # With one it counts to today: the same recipe would give other rows tomorrow, under the same snapshot id.
        raise StepError(
            "`age` of one date depends on the day it is asked",
            where=where,
            fix="give the day to count to: age(DATE '2024-12-31', \"born\")",
            code="not-allowed",
        )
    if name in {"lpad", "rpad"}:
        width = node["arguments"][1]["expression"] if len(node["arguments"]) > 1 else {}
        text = _text_of(width)
        if not text.isdecimal() or int(text) > _MAX_PADDING:
            raise _not_allowed(f"`{name}` to a width that is not a number up to {grouped(_MAX_PADDING)}", where)


def _check_type(node: Mapping[str, Any], where: str) -> None:
    name = str(node.get("type_name", "")).lower()
    if name not in TYPES:
        raise _not_allowed(f"the type `{safe(name, 60)}`", where)


def _not_allowed(what: str, where: str, close: str = "") -> StepError:
    return StepError(
        f"{what} may not be used in an expression",
        where=where,
        fix=f"did you mean `{close}`?" if close else "use columns, constants, operators and plain functions",
        code="not-allowed",
    )


def check_steps(con: DuckDBPyConnection, columns: Iterable[tuple[str, str]], steps: Iterable[Step]) -> None:
    """Check every enabled expression of a recipe against the columns it will see. Raises StepError as above."""
    for stage in plan(tuple(columns), tuple(steps)).stages:
        if stage.step.op in {"filter", "compute"}:
            text = str(stage.step.params["where" if stage.step.op == "filter" else "as"])
            check_expression(con, text, [c for c, _ in stage.before], f"clean step {stage.n}")
