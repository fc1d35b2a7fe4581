"""The pass of our own over a text table: every line accounted for, every field found, quotes respected.

Works on UTF-8 bytes, some megabytes at a time, with numpy: where line ends, delimiters and quotes stand, and which of
them lie inside quotes. Files whose quotes are regular (RFC 4180) need nothing else; where a quote stands oddly, only
the lines with quotes are read one by one. A record is a row of the table: one line, or several when a quoted field
holds line ends (then the further lines are *continuation* lines).

What does not fit is a reject with its line and its text, never an error and never lost:
`short` and `long` (other number of fields), `quote` (a quoted field that does not end, or goes on after its end; only
the line it begins in is rejected, reading goes on with the next one), `encoding` (bytes that are no text).
"""

from __future__ import annotations

import codecs
import re
from bisect import bisect_left
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from epochal.core.errors import SourceError
from epochal.core.ledger import RejectKind


Positions = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

MAX_RECORD = 64 * 1024 * 1024
"""Bytes of one record; a file with longer ones is refused."""
_OPEN_LIMIT = 16 * 1024 * 1024
"""A quoted field that has not ended after this many bytes is taken for one that never does."""

TEXT_LIMIT = 2_000
"""Characters of a rejected line that are kept."""

_LF, _CR = 10, 13


@dataclass(frozen=True, slots=True)
class LineReject:
    """A line that did not fit. `line` is 1-based."""

    line: int
    kind: RejectKind
    text: str


@dataclass(slots=True, kw_only=True)
class Counts:
    """What became of the lines so far; they always sum."""

    lines: int = 0
    header: int = 0
    blank: int = 0
    continuation: int = 0
    rejected: int = 0
    read: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The good records of one stretch. Field j of row i is `data[starts[i, j]:ends[i, j]]`, quotes taken off."""

    data: bytes
    starts: Positions
    ends: Positions
    lines: Positions
    """The 1-based line each record begins in."""
    rejects: list[LineReject]

    @property
    def rows(self) -> int:
        """Good records."""
        return len(self.lines)


@dataclass(slots=True, kw_only=True)
class LineReader:
    """Reads one file's records, stretch by stretch."""

    delimiter: str
    quote: str
    width: int
    """Columns: what a row is given, missing ones at its end."""
    fields: int
    """Fields of a good line; `width` is good as well."""
    header_fields: int | None
    """Fields of the line that names the columns; None: there is none."""
    where: str = ""
    open_limit: int = _OPEN_LIMIT
    keep_uneven: bool = False
    """Whether short and long lines become rows as well, filled up or cut; they are listed as rejects but not counted so."""
    counts: Counts = field(default_factory=Counts)
    _carry: bytes = b""

    def feed(self, chunk: bytes, *, final: bool = False) -> Block:
        """The records that end in what was carried over and this chunk; with `final` all that are left.

        Raises SourceError when one record is longer than `MAX_RECORD`.
        """
        data = self._carry + chunk if self._carry else chunk
        if final and data and data[-1] != _LF:
            data += b"\n"
        stretch = _Stretch(data, self.delimiter, self.quote)
        cut = stretch.find_records(0 if final else self.open_limit)
        self._carry = data[cut:]
        if len(self._carry) > MAX_RECORD:
            raise SourceError(
                f"line {self.counts.lines + stretch.line_ends_before(cut) + 1} is longer than {MAX_RECORD >> 20} MB",
                where=self.where,
                fix="check that it is a text table",
                code="long-line",
            )
        return self._account(stretch)

    def _account(self, s: _Stretch) -> Block:
        first = self.counts.lines + 1
        per_record = s.fields()
        blank = s.blanks(per_record, self.width)
        header = self._find_header(per_record, blank)
        kinds: dict[int, RejectKind] = dict.fromkeys(s.broken.tolist(), "quote")
        kinds.update(dict.fromkeys(s.undecodable().tolist(), "encoding"))
        wrong = ~blank & (per_record != self.fields) & (per_record != self.width)
        if header is not None:
            wrong[header] = False
            kinds.pop(header, None)
        for i in np.flatnonzero(wrong).tolist():
            kinds.setdefault(i, "short" if per_record[i] < self.fields else "long")
        good = ~blank
        left_out = [i for i, k in kinds.items() if not (self.keep_uneven and k in {"short", "long"})]
        good[left_out] = False
        if header is not None:
            good[header] = False
        chosen = np.flatnonzero(good)
        starts, ends = s.cells(chosen, per_record, self.width)
        data, starts, ends = s.unquote(starts, ends)
        rejects = [LineReject(first + int(s.line[i]), kinds[i], s.text(i)) for i in sorted(kinds)]
        c = self.counts
        c.lines += s.physical
        c.header += header is not None
        c.blank += int((blank & ~_picked(len(blank), kinds)).sum())
        c.continuation += s.physical - len(s.line)
        c.rejected += len(left_out)
        c.read += len(chosen)
        return Block(data=data, starts=starts, ends=ends, lines=s.line[chosen] + first, rejects=rejects)

    def _find_header(self, per_record: Positions, blank: Mask) -> int | None:
        """The record that names the columns, when it is still awaited."""
        if self.header_fields is None or self.counts.header:
            return None
        candidates = np.flatnonzero(~blank & (per_record == self.header_fields))
        return int(candidates[0]) if len(candidates) else None


def _picked(n: int, chosen: dict[int, RejectKind]) -> Mask:
    mask = np.zeros(n, np.bool_)
    mask[list(chosen)] = True
    return mask


class _Stretch:
    """Whole records of some bytes: their extents, the delimiters between their fields."""

    def __init__(self, data: bytes, delimiter: str, quote: str) -> None:
        self.data = data
        self.bytes = np.frombuffer(data, np.uint8)
        self.delimiter, self.quote = ord(delimiter), ord(quote) if quote else -1
        self.newlines = np.flatnonzero(self.bytes == _LF)
        has_quotes = bool(quote) and quote.encode() in data
        self.quotes = np.flatnonzero(self.bytes == self.quote) if has_quotes else np.empty(0, np.int64)
        self.broken = np.empty(0, np.int64)
        """Records that are rejected for their quotes."""

    def find_records(self, patience: int) -> int:
        """Find the records that are complete; the position after the last of them.

        `patience`: a record whose quoted field is still open after so many bytes at the end will never be complete.
        """
        end = int(self.newlines[-1]) + 1 if len(self.newlines) else 0
        self.quotes = self.quotes[self.quotes < end]
        inside = _between(self.quotes, self.newlines)
        open_at_end = len(self.quotes) % 2 == 1
        if len(self.quotes) and (not self._regular() or (open_at_end and end - int(self.quotes[-1]) > patience)):
            inside, end = self._careful(end, patience)
        elif open_at_end:
            outside = self.newlines[~inside]
            end = int(outside[-1]) + 1 if len(outside) else 0
        self._settle(inside, end)
        return end

    def _settle(self, inside: Mask, end: int) -> None:
        count = int(np.searchsorted(self.newlines, end))
        newlines, inside = self.newlines[:count], inside[:count]
        which = np.flatnonzero(~inside)
        self.physical = count
        """Lines, continuation lines included."""
        self.ends = newlines[which]
        self.starts = np.concatenate((np.zeros(min(1, len(which)), np.int64), self.ends[:-1] + 1))
        self.line = np.concatenate((np.zeros(min(1, len(which)), np.int64), which[:-1] + 1))
        """For each record the 0-based line it begins in, counted from this stretch's first."""
        carriage = (self.ends > self.starts) & (self.bytes[np.maximum(self.ends - 1, 0)] == _CR)
        self.ends = self.ends - carriage
        delimiters = np.flatnonzero(self.bytes[:end] == self.delimiter)
        if len(self.quotes):
            delimiters = delimiters[~_between(self.quotes[self.quotes < end], delimiters)]
        self.delimiters = delimiters

    def _regular(self) -> bool:
        """Whether quotes stand only around whole fields and, doubled, inside them."""
        opening, closing = self.quotes[0::2], self.quotes[1::2]
        doubled = np.zeros(len(opening), np.bool_)
        doubled[1:] = opening[1:] == closing[: len(opening) - 1] + 1
        before = self.bytes[np.maximum(opening - 1, 0)]
        starts_field = (before == self.delimiter) | (before == _LF) | (opening == 0)
        if not bool((starts_field | doubled).all()):
            return False
        after = self.bytes[closing + 1]
        ends_field = (after == self.delimiter) | (after == _LF) | (after == self.quote)
        carriage = np.flatnonzero(after == _CR)
        at = np.minimum(closing[carriage] + 2, len(self.bytes) - 1)
        ends_field[carriage] = self.bytes[at] == _LF
        return bool(ends_field.all())

    def _careful(self, end: int, patience: int) -> tuple[Mask, int]:
        """Read every record that holds a quote by itself, where quotes do not stand as they should.

        Keeps in `quotes` only those around quoted fields. What is open at the end is left for later while patience
        lasts, and broken then.
        """
        quote, delimiter = chr(self.quote), chr(self.delimiter)
        pattern, quoted = _record_pattern(quote, delimiter), _quoted_pattern(quote, delimiter)
        still_open = _open_pattern(quote, delimiter)
        kept: list[int] = []
        broken: list[int] = []
        several: list[tuple[int, int]] = []
        data, quotes = self.data, self.quotes.tolist()
        position = i = 0
        while i < len(quotes):
            start = data.rfind(b"\n", position, quotes[i]) + 1 or position
            match = pattern.match(data, start, end)
            if match is not None:
                position = match.end()
                several.append((start, position))
                for found in quoted.finditer(data, start, position):
                    if found.lastindex:
                        kept += (found.start(1), found.end(1) - 1)
            elif end - start <= patience and still_open.fullmatch(data, start, end):
                end = start
                break
            else:
                broken.append(start)
                position = data.find(b"\n", start) + 1
            i = bisect_left(quotes, position, i)
        self.quotes = np.array(kept, np.int64)
        spans = np.array(several, np.int64).reshape(-1, 2)
        inside = _within(self.newlines, spans[:, 0], spans[:, 1] - 1)
        records = self.newlines[~inside]
        self.broken = np.searchsorted(records, np.array(broken, np.int64))
        return inside, end

    def line_ends_before(self, position: int) -> int:
        """How many line ends stand before a position."""
        return int(np.searchsorted(self.newlines, position))

    def fields(self) -> Positions:
        """The number of fields of each record."""
        upto = np.searchsorted(self.delimiters, self.ends)
        self.first = np.concatenate((np.zeros(min(1, len(upto)), np.int64), upto[:-1]))
        """For each record the index of its first delimiter."""
        return upto - self.first + 1

    def blanks(self, per_record: Positions, width: int) -> Mask:
        """Records that are nothing but an empty line, or spaces where there should be several fields."""
        blank = np.asarray(self.ends == self.starts, np.bool_)
        lone = np.flatnonzero((per_record == 1) & ~blank & (self.ends - self.starts < 1000))
        if len(lone) and width > 1:
            first = self.bytes[self.starts[lone]]
            for i in lone[(first == 32) | (first == 9)].tolist():
                blank[i] = not self.data[self.starts[i] : self.ends[i]].strip()
        return blank

    def undecodable(self) -> Positions:
        """Records with bytes that are not UTF-8."""
        data = memoryview(self.data)
        at, end = 0, int(self.ends[-1]) if len(self.ends) else 0
        bad: list[int] = []
        while at < end:
            try:
                codecs.utf_8_decode(data[at:end], "strict", True)
                break
            except UnicodeDecodeError as error:
                record = int(np.searchsorted(self.starts, at + error.start, "right")) - 1
                bad.append(record)
                at = int(self.starts[record + 1]) if record + 1 < len(self.starts) else end
        return np.array(bad, np.int64)

    def cells(self, chosen: Positions, per_record: Positions, width: int) -> tuple[Positions, Positions]:
        """Where the fields of the chosen records begin and end: two arrays of (records, width)."""
        starts, ends = self.starts[chosen], self.ends[chosen]
        first, have = self.first[chosen], per_record[chosen]
        if width == 1 and not (len(have) and int(have.max()) > 1):
            return starts[:, None], ends[:, None]
        column = np.arange(width - 1)
        at = first[:, None] + column
        if len(have) and int(have.max()) > width:  # what is kept of a line with surplus fields ends before them
            surplus = have > width
            ends = ends.copy()
            ends[surplus] = self.delimiters[first[surplus] + width - 1]
        if len(have) and int(have.min()) < width:
            missing = column >= (have - 1)[:, None]
            at = np.where(missing, 0, at)
            padded = self.delimiters if len(self.delimiters) else np.zeros(1, np.int64)
            separators = np.where(missing, ends[:, None], padded[at])
            begin = np.minimum(separators + 1, ends[:, None])
        else:
            separators = self.delimiters[at]
            begin = separators + 1
        return np.hstack((starts[:, None], begin)), np.hstack((separators, ends[:, None]))

    def unquote(self, starts: Positions, ends: Positions) -> tuple[bytes, Positions, Positions]:
        """Take quotes off; fields with doubled quotes are written anew behind the data."""
        if not len(self.quotes) or not starts.size:
            return self.data, starts, ends
        last = np.maximum(ends - 1, 0)
        quoted = (ends - starts > 1) & (self.bytes[starts] == self.quote) & (self.bytes[last] == self.quote)
        starts, ends = starts + quoted, ends - quoted
        sign = bytes((self.quote,))
        if sign * 2 not in self.data:
            return self.data, starts, ends
        every = np.flatnonzero(self.bytes == self.quote)
        holds = np.searchsorted(every, ends) > np.searchsorted(every, starts)
        extra: list[bytes] = []
        behind = len(self.data)
        for i, j in np.argwhere(quoted & holds).tolist():
            text = self.data[starts[i, j] : ends[i, j]].replace(sign * 2, sign)
            extra.append(text)
            starts[i, j], ends[i, j] = behind, behind + len(text)
            behind += len(text)
        return self.data + b"".join(extra), starts, ends

    def text(self, record: int) -> str:
        """A record as it stands, cut, for a person."""
        raw = self.data[self.starts[record] : self.ends[record]]
        return raw[: TEXT_LIMIT * 4].decode("utf-8", "backslashreplace")[:TEXT_LIMIT]


def _between(quotes: Positions, positions: Positions) -> Mask:
    """Which positions lie after an odd number of quotes. Both arrays rise."""
    if not len(quotes) or not len(positions):
        return np.zeros(len(positions), np.bool_)
    before = np.bincount(np.searchsorted(positions, quotes), minlength=len(positions) + 1)
    return np.asarray(np.cumsum(before[: len(positions)]) & 1, np.bool_)


def _within(positions: Positions, begins: Positions, ends: Positions) -> Mask:
    """Which positions lie in one of the stretches [begin, end), which do not overlap. All arrays rise."""
    last = np.searchsorted(begins, positions, "right") - 1
    if not len(begins):
        return np.zeros(len(positions), np.bool_)
    return np.asarray((last >= 0) & (positions < ends[np.maximum(last, 0)]), np.bool_)


def _record_pattern(quote: str, delimiter: str) -> re.Pattern[bytes]:
    """One whole record. A field is quoted, or begins with something else than a quote; nothing backtracks."""
    q, d, body = _parts(quote, delimiter)
    one = rb"(?:" + q + body + q + rb"(?=" + d + rb"|\r?\n)|(?!" + q + rb")[^" + d + rb"\n]*+)"
    return re.compile(one + rb"(?:" + d + one + rb")*+\r?\n")


def _quoted_pattern(quote: str, delimiter: str) -> re.Pattern[bytes]:
    """The fields of a whole record, one by one; group 1 is there for quoted ones."""
    q, d, body = _parts(quote, delimiter)
    return re.compile(rb"(" + q + body + q + rb")(?:" + d + rb"|\r?\n)|[^" + d + rb"\n]*+(?:" + d + rb"|\n)")


def _open_pattern(quote: str, delimiter: str) -> re.Pattern[bytes]:
    """A record that stops inside a quoted field."""
    q, d, body = _parts(quote, delimiter)
    whole = rb"(?:" + q + body + q + rb"(?=" + d + rb")|(?!" + q + rb")[^" + d + rb"\n]*+)"
    return re.compile(rb"(?:" + whole + d + rb")*+" + q + body)


def _parts(quote: str, delimiter: str) -> tuple[bytes, bytes, bytes]:
    """Quote and delimiter as they stand in a pattern, and what may stand between quotes."""
    q, d = re.escape(quote.encode()), re.escape(delimiter.encode())
    return q, d, rb"[^" + q + rb"]*+(?:" + q + q + rb"[^" + q + rb"]*+)*+"
