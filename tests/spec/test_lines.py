"""Every line of a text table is accounted for: the pass over lines against a slow reader written from its description."""

import csv
import io
from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epochal.core.errors import SourceError
from epochal.data import lines
from epochal.data.lines import LineReader


def read(data: bytes, *, width=2, header=None, quote='"', pieces=(), **options):
    """Read bytes in the given pieces; rows as texts (None: missing), their lines, rejects, counts."""
    reader = LineReader(delimiter=",", quote=quote, width=width, fields=width, header_fields=header, **options)
    cuts = sorted({min(p, len(data)) for p in pieces})
    parts = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    rows, numbers, rejects = [], [], []
    for part, final in [*((p, False) for p in parts), (b"", True)]:
        block = reader.feed(part, final=final)
        for starts, ends in zip(block.starts.tolist(), block.ends.tolist(), strict=True):
            rows.append([block.data[a:b].decode() for a, b in zip(starts, ends, strict=True)])
        numbers += block.lines.tolist()
        rejects += [(r.line, r.kind) for r in block.rejects]
    return rows, numbers, rejects, asdict(reader.counts)


def oracle(text: str, width: int, quote='"'):
    """The same by hand, one character at a time."""
    text = text if text.endswith("\n") or not text else text + "\n"
    rows, numbers, rejects, at, line = [], [], [], 0, 1
    blank = continuation = 0
    while at < len(text):
        fields, end = _record(text, at, quote)
        if fields is None:
            rejects.append((line, "quote"))
            at, line = text.index("\n", at) + 1, line + 1
            continue
        extra = text.count("\n", at, end) - 1
        raw = text[at : end - 1].removesuffix("\r")
        if raw == "" or (width > 1 and len(fields) == 1 and raw[0] in " \t" and not raw.strip()):
            blank += 1
        elif len(fields) == width:
            rows.append(fields)
            numbers.append(line)
        else:
            rejects.append((line, "short" if len(fields) < width else "long"))
        continuation += extra
        at, line = end, line + 1 + extra
    return rows, numbers, rejects, blank, continuation


def _record(text, at, quote):  # noqa: C901 - a state machine reads best in one piece
    fields = []
    while True:
        if quote and text.startswith(quote, at):
            at += 1
            value = ""
            while True:
                end = text.find(quote, at)
                if end < 0:
                    return None, 0
                value += text[at:end]
                at = end + 1
                if not text.startswith(quote, at):
                    break
                value += quote
                at += 1
        else:
            end = at
            while text[end] not in ",\n":
                end += 1
            value = text[at:end]
            if text[end] == "\n":
                value = value.removesuffix("\r")
            at = end
        fields.append(value)
        if text.startswith("\r\n", at):
            return fields, at + 2
        if text[at] == "\n":
            return fields, at + 1
        if text[at] != ",":
            return None, 0
        at += 1


texts = st.text(alphabet='ab ,,"""\n\n\ré', max_size=60)
cells = st.text(alphabet='xy ,"\n;é0', max_size=8)


@given(text=texts, width=st.integers(1, 3), pieces=st.lists(st.integers(0, 130), max_size=4))
@settings(max_examples=600, deadline=None)
def test_any_text_in_any_pieces_is_read_as_the_description_says(text, width, pieces):
    rows, numbers, rejects, counts = read(text.encode(), width=width, pieces=pieces)
    expected_rows, expected_numbers, expected_rejects, blank, continuation = oracle(text, width)
    assert (rows, numbers, rejects) == (expected_rows, expected_numbers, expected_rejects)
    assert (counts["blank"], counts["continuation"]) == (blank, continuation)
    physical = text.count("\n") + bool(text and not text.endswith("\n"))
    assert counts["lines"] == physical
    assert counts["lines"] == sum(counts[k] for k in ("header", "blank", "continuation", "rejected", "read"))


@given(
    table=st.lists(st.lists(cells, min_size=2, max_size=2), max_size=12),
    pieces=st.lists(st.integers(0, 200), max_size=3),
)
@settings(max_examples=200, deadline=None)
def test_a_well_written_table_comes_back_cell_for_cell(table, pieces):
    table = [row for row in table if any(row)]
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows(table)
    rows, _numbers, rejects, counts = read(written.getvalue().encode(), pieces=pieces)
    assert (rows, rejects) == (table, [])
    assert counts["continuation"] == sum(cell.count("\n") for row in table for cell in row)


def test_a_quote_that_never_ends_costs_one_line_and_not_the_rest():
    data = b'a,b\n1,"x\n' + b"".join(b"%d,y\n" % i for i in range(1000))
    rows, _numbers, rejects, counts = read(data, header=2)
    assert rejects == [(2, "quote")]
    assert len(rows) == counts["read"] == 1000


def test_an_open_quote_is_given_up_after_a_bounded_stretch():
    data = b'1,"x\n' + b"2,y\n" * 100
    reader = LineReader(delimiter=",", quote='"', width=2, fields=2, header_fields=None, open_limit=64)
    block = reader.feed(data)
    assert block.rows == 100
    assert [(r.line, r.kind, r.text) for r in block.rejects] == [(1, "quote", '1,"x')]


def test_patience_is_counted_from_the_open_quote_and_not_from_the_stretch():
    text = '1,"' + "long\n" * 40 + '"\n2,"open\nstill"\n'
    rows, _numbers, rejects, _counts = read(text.encode(), open_limit=400, pieces=(100, len(text) - 8))
    assert [r[0] for r in rows] == ["1", "2"]
    assert rejects == []
    late = '1,"' + "long\n" * 40 + '"\n' + "3,4\n" * 60 + '2,"open\nstill"\n'
    rows, _numbers, rejects, _counts = read(late.encode(), open_limit=300, pieces=(100, len(late) - 8))
    assert (len(rows), rejects) == (62, [])


def test_quotes_inside_an_unquoted_field_are_text():
    rows, _numbers, rejects, _counts = read(b'5" pipe,6" pipe\n"a ""b""",c\n')
    assert rows == [['5" pipe', '6" pipe'], ['a "b"', "c"]]
    assert rejects == []


def test_lines_that_are_no_text_are_rejected_and_shown():
    data = b"a,b\n1,\xff\xfe\n2,\xc3\xa9\n3,\xe9\n"
    rows, numbers, rejects, counts = read(data, header=2)
    assert rows == [["2", "é"]]
    assert numbers == [3]
    assert rejects == [(2, "encoding"), (4, "encoding")]
    assert counts["rejected"] == 2


def test_notes_before_the_line_with_the_names_are_rejects():
    rows, numbers, rejects, counts = read(b"a note\n\nx,y\n1,2\n", header=2)
    assert (rows, numbers, rejects) == ([["1", "2"]], [4], [(1, "short")])
    assert (counts["header"], counts["blank"]) == (1, 1)


def test_uneven_lines_are_kept_on_request():
    rows, _numbers, rejects, counts = read(b"1,2\n3\n4,5,6\n", keep_uneven=True)
    assert rows == [["1", "2"], ["3", ""], ["4", "5"]]
    assert rejects == [(2, "short"), (3, "long")]
    assert counts["read"] == 3


def test_without_quoting_a_quote_is_a_character():
    rows, *_ = read(b'"a,b"\n', quote="")
    assert rows == [['"a', 'b"']]


def test_a_line_beyond_all_bounds_is_an_error_and_not_the_end(monkeypatch):
    monkeypatch.setattr(lines, "MAX_RECORD", 1000)
    with pytest.raises(SourceError, match="longer than") as caught:
        read(b"1,2\n" + b"x" * 5000, pieces=(4000,))
    assert caught.value.error_code == "long-line"
