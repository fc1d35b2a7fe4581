"""How a text table is written: what stands between fields, what quotes them, whether its first line names columns.

Guessed from the first lines by trying each delimiter and judging how even the lines become and how much their fields
look like values (the idea of van den Burg et al. 2019); what a [[source]] table says is taken as it is.
Standard library only.
"""

from __future__ import annotations

import csv
import io
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from epochal.core.errors import SourceError
from epochal.core.settings import Source
from epochal.show import grouped


SAMPLE = 64 * 1024
"""Characters looked at."""

MAX_COLUMNS = 10_000

_DELIMITERS = (",", ";", "\t", "|")
_HARDLY = 0.1
"""Score below which a delimiter makes no table."""
_NUMBER = re.compile(r"\s*[+-]?(?:\d{1,3}(?:[ ,.']\d{3})+|\d+)?(?:[.,]\d+)?(?:[eE][+-]?\d+)?\s*[%€$£]?\s*")
_CLOCK = r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?"
_ZONE = r"(?:\s?[AaPp][Mm])?(?:\s?(?:Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?))?"
_DATE = re.compile(rf"\s*(?:\d{{1,4}}[-/.]\d{{1,2}}[-/.]\d{{1,4}}(?:[T ]{_CLOCK}{_ZONE})?|{_CLOCK})\s*")
_DIALLED = re.compile(r"[+0]\d")
"""How a number begins that is called, not counted."""
_QUOTED_AMONG_SPACES = re.compile(r'(?:^| )"[^"]*"(?= |$)')
_WORDS = re.compile(r"[^,;\t|\"]*")

csv.field_size_limit(sys.maxsize)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How one text table is written."""

    delimiter: str
    quote: str
    """Empty: no quoting."""
    header: bool
    names: tuple[str, ...]
    """The columns, every name usable and different."""
    fields: int
    """How many fields a good line has: as many as there are names, unless the header is uneven itself."""
    header_fields: int
    """How many fields the line with the names has."""
    newline: str
    """Line feed, also for carriage return + line feed; or carriage return, where most lines end in it alone."""
    runs: bool = False
    """Whether any number of spaces stands between fields, as in aligned columns."""


def sniff(text: str, source: Source, where: str) -> Dialect:
    """The dialect of a sample that ends with a whole line, corrected by what the source's table says.

    Raises SourceError when there is nothing to read or it has too many columns.
    """
    newline = "\r" if text.count("\r") - text.count("\r\n") > text.count("\n") else "\n"
    for given in (source.delimiter, source.quote or ""):
        if not given.isascii() or given in {"\n", "\r"}:
            raise SourceError(f"{given!r} cannot separate or quote fields", where=where, fix="use an ASCII character")
    quote = source.quote if source.quote is not None else _guess_quote(text)
    delimiter = source.delimiter or _guess_delimiter(text, quote)
    runs = delimiter == " "
    if runs:
        if source.quote is None:
            quote = '"' if any(_QUOTED_AMONG_SPACES.search(line) for line in _first_lines(text)) else ""
        text = single_spaced(text.encode(), quote).decode()
    records = read_records(text, delimiter, quote)
    widths = Counter(len(r) for r in records)
    if not records:
        raise SourceError("it is empty", where=where, fix="name a file with rows", code="empty")
    fields = _usual_width(widths)
    at = next((i for i, r in enumerate(records) if len(r) == fields), 0)
    at = 0 if len(records[0]) > 1 and at == 1 and _names_like(records[0]) else at
    head, body = records[at], records[at + 1 :]
    header = source.header if source.header is not None else _is_header(head, body)
    if not header:
        head = [""] * fields
    if len(head) > MAX_COLUMNS:
        raise SourceError(
            f"it has {grouped(len(head))} columns",
            where=where,
            fix=f"at most {grouped(MAX_COLUMNS)} can be read: cut it",
            code="too-wide",
        )
    header_fields = len(head)
    if len(head) > fields and not any(c.strip() for c in head[fields:]):
        head = head[:fields]
    padded = [*head, *[""] * (fields - len(head))]
    return Dialect(
        delimiter=delimiter,
        quote=quote,
        header=header,
        names=usable_names(padded),
        fields=fields,
        header_fields=header_fields,
        newline=newline,
        runs=runs,
    )


def read_records(text: str, delimiter: str, quote: str) -> list[list[str]]:
    """The records of a text by the standard reader, blank lines left out."""
    options: dict[str, Any] = {"quotechar": quote} if quote else {"quoting": csv.QUOTE_NONE}
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, **options)
    return [row for row in rows if row and not (len(row) == 1 and not row[0].strip())]


def single_spaced(text: bytes, quote: str) -> bytes:
    """Whole lines with one space for every run of spaces, and none where a line begins or ends.

    What is quoted stays as it is, unless it goes on in the next line.
    """
    if quote:
        q = re.escape(quote.encode())
        quoted = rb"(?m)((?:^|(?<= ))%b(?:[^%b\n]|%b%b)*%b)| {2,}" % (q, q, q, q, q)
        text = re.sub(quoted, lambda found: found[1] or b" ", text)
    else:
        text = re.sub(rb" {2,}", b" ", text)
    return re.sub(rb"(?m)(?:^|(?<=\r)) | (?=\r|$)", b"", text)


def _usual_width(widths: Counter[int]) -> int:
    """The commonest number of fields; of equally common ones the largest."""
    return max(widths, key=lambda w: (widths[w], w))


def _guess_quote(text: str) -> str:
    double = len(re.findall(r'(?:^|[,;\t|])"[^"\n]*"(?=[,;\t|\r\n]|$)', text, re.MULTILINE))
    if double:
        return '"'
    single = len(re.findall(r"(?:^|[,;\t|])'[^'\n]*'(?=[,;\t|\r\n]|$)", text, re.MULTILINE))
    return "'" if single > 1 else '"'


def _guess_delimiter(text: str, quote: str) -> str:
    sample = text[: SAMPLE // 2]
    best, best_score = ",", 0.0
    for delimiter in _DELIMITERS:
        if delimiter not in sample:
            continue
        records = read_records(sample, delimiter, quote)[:200]
        score = _score(records)
        if score > best_score + 1e-9:
            best, best_score = delimiter, score
    lines = _first_lines(text)
    # 6,87 14,00 under a line of names without a comma: decimals, not fields
    hardly = best_score < _HARDLY or (best == "," and "," not in lines[0])
    return " " if hardly and _is_spaced(lines) else best


def _first_lines(text: str) -> list[str]:
    """The first lines that hold anything, as many as decide on spaces between fields."""
    return [line.strip(" ") for line in re.split(r"\r\n|\n|\r", text) if line.strip()][:200]


def _is_spaced(lines: Sequence[str]) -> bool:
    """Whether spaces stand between fields: as many in every line, and numbers or dates in one of three columns or more.

    Of two columns both must hold nothing else. Prose is uneven; names and addresses of as many words each hold no such
    column; a name with a number (AB 123, 5 mg), a number to call, a date with its time, or a number with its thousands
    apart, is one value.
    """
    if len(lines) < 3 or any(sign in line for line in lines for sign in '"\t'):
        return False
    records = [re.split(" +", line) for line in lines]
    if len(records[0]) < 2 or len({len(r) for r in records}) > 1:
        return False
    if all(_NUMBER.fullmatch(line) or _DATE.fullmatch(line) for line in lines[1:]):
        return False
    figures = [all(map(_is_figure, column)) for column in zip(*records[1:], strict=True)]
    if len(figures) == 2:
        return all(figures) and not any(_DIALLED.match(cell) for record in records[1:] for cell in record)
    return any(figures)


def _is_figure(cell: str) -> bool:
    return (is_number(cell) and any(map(str.isdigit, cell))) or _DATE.fullmatch(cell) is not None


def _score(records: Sequence[Sequence[str]]) -> float:
    """How much these look like the rows of a table: evenness times how value-like the fields are."""
    if not records:
        return 0.0
    widths = Counter(len(r) for r in records)
    even = sum(n * n * (w - 1) / w for w, n in widths.items()) / len(records) ** 2
    cells = [c for r in records[:100] for c in r[:50]]
    values = sum(_value_like(c) for c in cells) / len(cells)
    return even * values


def _value_like(cell: str) -> float:
    if not cell or _NUMBER.fullmatch(cell) or _DATE.fullmatch(cell):
        return 1.0
    return 0.9 if len(cell) < 200 and _WORDS.fullmatch(cell) else 0.1  # what parts fields elsewhere, or prose


def is_number(cell: str) -> bool:
    """Whether a cell reads like a number, in whatever notation."""
    return bool(cell.strip()) and _NUMBER.fullmatch(cell) is not None


def _names_like(cells: Sequence[str]) -> bool:
    return all(c.strip() and not is_number(c) for c in cells)


def _is_header(head: Sequence[str], body: Sequence[Sequence[str]]) -> bool:
    """Whether the first line names the columns rather than being a row itself."""
    filled = [c.strip() for c in head if c.strip()]
    if not filled or len(set(filled)) < len(filled):
        return bool(filled) and not any(is_number(c) or _DATE.fullmatch(c) for c in filled)
    values = [i for i, c in enumerate(head) if is_number(c) or _DATE.fullmatch(c)]
    if not values:
        return True
    if len(values) == len(filled):
        return False
    years = [c.strip() for c in filled if re.fullmatch(r"\s*(1[89]|20|21)\d\d\s*", c)]
    if len(years) == len(values) and len(years) > 1:
        return years == sorted(years) or years == sorted(years, reverse=True)
    others = [i for i in range(len(head)) if i not in values and head[i].strip()]
    return any(_column_is_numeric(body, i) for i in others)


def _column_is_numeric(body: Sequence[Sequence[str]], column: int) -> bool:
    cells = [r[column] for r in body[:100] if len(r) > column and r[column].strip()]
    return len(cells) > 0 and sum(map(is_number, cells)) >= 0.9 * len(cells)


_RESERVED = ("_eid", "_source", "_line", "_key")


def usable_names(names: Sequence[str], taken: Sequence[str] = _RESERVED) -> tuple[str, ...]:
    """Column names as the engine can hold them: none empty, none equal to another without regard to case.

    An empty name becomes `column_N` (N counted from 1), a repeated one gets `_2`, `_3` …
    """
    used = {t.casefold() for t in taken}
    result: list[str] = []
    for i, raw in enumerate(names):
        plain = raw.encode("utf-8", "replace").decode().replace("\0", "").strip() or f"column_{i + 1}"
        name, n = plain, 1
        while name.casefold() in used:
            n += 1
            name = f"{plain}_{n}"
        used.add(name.casefold())
        result.append(name)
    return tuple(result)
