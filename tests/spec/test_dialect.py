"""What is guessed of a text table: delimiter, quote, header, encoding, and names that the engine can hold."""

import codecs

import pytest

from epochal.core.errors import SourceError
from epochal.core.settings import Source
from epochal.data.dialect import single_spaced, sniff, usable_names
from epochal.data.encoding import ByteReader, as_utf8, detect


def guess(text, **options):
    return sniff(text, Source(name="s", uri="s.csv", **options), "s.csv")


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("a,b,c\n1,2,3\n4,5,6\n", ","),
        ("a;b;c\n1;2;3\n4;5;6\n", ";"),
        ("a\tb\tc\n1\t2\t3\n", "\t"),
        ("a|b|c\n1|2|3\n", "|"),
        ("price;share\n1,5;2,3\n2,25;3,75\n", ";"),
        ('name,note\nAnn,"one; two; three"\nBob,"four; five; six"\n', ","),
        ("name;born\nDoe, Jane;1990-01-01\nRoe, Rick;1991-02-03\n", ";"),
        ("a;target\n" + "".join(f"{i},49;0,64{i}\n" for i in range(9)), ";"),
        ("".join(f"{i},49;0,64{i}\n" for i in range(9)), ";"),
        ("x y z\n" + "".join(f"{i} 6,8{i} 14,0{i}\n" for i in range(9)), " "),
        ("only\n1\n2\n", ","),
        ("a b c\n1 2 x\n4 5 y\n", " "),
        ("  a    b  c\n  1  2.5  x\n 10  3.5  y\n", " "),
        ("date time temp\n" + "".join(f"2020-01-0{i} 10:00 {i}\n" for i in range(1, 6)), " "),
        ("from to\n2020-01-01 2020-02-01\n2020-03-01 2020-04-01\n", " "),
        ("2020-01-01 3.5 Oslo\n2020-01-02 4.5 Bergen\n2020-01-03 1.5 Oslo\n", " "),
    ],
)
def test_the_delimiter_is_the_one_that_makes_an_even_table_of_values(text, delimiter):
    assert guess(text).delimiter == delimiter


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("a,b\n1,2\n", True),
        ("5.1,3.5,setosa\n4.9,3.0,setosa\n", False),
        ("name,city\nAnn,Oslo\n", True),
        ("country,2019,2020,2021\nNorway,1.5,1.6,1.7\n", True),
        ("1,2\n3,4\n", False),
        ("red,2\nblue,3\n", False),
    ],
)
def test_a_header_names_columns_and_is_no_row(text, header):
    assert guess(text).header is header


def test_what_the_source_says_wins_over_the_guess():
    told = guess("a;b\n1;2\n", delimiter=",", quote="", header=False)
    assert (told.delimiter, told.quote, told.header, told.names) == (",", "", False, ("column_1",))


def test_names_are_found_below_notes():
    told = guess("Report of 2024\n\nid,value,unit\n1,2,m\n3,4,m\n")
    assert told.names == ("id", "value", "unit")


def test_a_header_with_fewer_names_than_fields_is_filled_up():
    assert guess("a,b\n1,2,3\n4,5,6\n7,8,9\n").names == ("a", "b", "column_3")


def test_every_name_is_usable_and_different_without_regard_to_case():
    assert usable_names(["", "a", "A", " a ", "_eid", "b\0c"]) == ("column_1", "a", "A_2", "a_3", "_eid_2", "bc")


def test_single_quotes_are_seen():
    assert guess("a,b\n'x, y',1\n'z, w',2\n").quote == "'"


def test_nothing_to_read_is_an_error():
    with pytest.raises(SourceError, match="empty"):
        guess("\n \n")


def encoded(tmp_path, data):
    path = tmp_path / "x.csv"
    path.write_bytes(data)
    found = detect(path)
    return found.name, b"".join(as_utf8(ByteReader(path).chunks(7), found))


TEXT = "name,city\nJürgen,Zürich\nAndré,Orléans – “quoted”\n"


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (TEXT.encode(), "utf-8"),
        (codecs.BOM_UTF8 + TEXT.encode(), "utf-8"),
        (TEXT.encode("utf-16"), "utf-16"),
        (codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"), "utf-16"),
        (TEXT.encode("utf-16-le"), "utf-16"),
        (TEXT.encode("cp1252"), "cp1252"),
    ],
)
def test_each_encoding_is_recognised_and_its_mark_is_no_text(tmp_path, data, name):
    assert encoded(tmp_path, data) == (name, TEXT.encode())


def test_latin_1_is_told_from_utf_8_by_what_cannot_be(tmp_path):
    text = "a\nGrüße\n"
    assert encoded(tmp_path, text.encode("latin-1")) == ("latin-1", text.encode())


def test_one_late_odd_byte_does_not_turn_a_utf_8_file_into_something_else(tmp_path):
    name, _ = encoded(tmp_path, ("é,ü\n" * 1000).encode() + b"x,\xe9\n")
    assert name == "utf-8"


def test_a_late_latin_1_letter_is_seen_in_a_file_that_begins_plainly(tmp_path):
    name, data = encoded(tmp_path, b"a,b\n" * 200_000 + "x,é\n".encode("latin-1"))
    assert name == "latin-1"
    assert data.endswith("x,é\n".encode())


def test_a_file_that_is_no_text_is_named(tmp_path):
    for data, what in ((b"PK\x03\x04" + bytes(50), "zip"), (bytes(5000), "NUL"), (b"PAR1" + bytes(50), "Parquet")):
        with pytest.raises(SourceError, match=what):
            encoded(tmp_path, data)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (bytes(range(256)) * 40, "control characters"),
        ("id,x\n1,2\n".encode("utf-32"), "UTF-32"),
        (b"\x7fELF\x02\x01" + bytes(2000), "NUL"),
        (b"PK\x03\x04rest", "spreadsheet"),
    ],
)
def test_what_is_no_text_table_is_refused_with_what_it_is(tmp_path, data, what):
    (tmp_path / "t.csv").write_bytes(data)
    with pytest.raises(SourceError, match=what) as caught:
        detect(tmp_path / "t.csv")
    assert caught.value.error_code == "not-text"
    assert caught.value.fix


def test_a_control_character_between_the_fields_is_no_sign_of_a_binary_file(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"id\x01x\x01y\n" + b"1\x012\x013\n" * 100)
    assert detect(tmp_path / "t.csv").name == "utf-8"


@pytest.mark.parametrize(
    "text",
    [
        "name\nAda Lovelace\nAlan Turing\nKurt Gödel\n",
        "Ada Lovelace\nAlan Turing\nKurt Gödel\n",
        "review\nThis works well\nNot for me\nWould buy 2 of them again\n",
        "It was late. He slept.\nShe was up at 5 again.\nNobody said a word.\n",
        "when\n2020-01-01 10:00\n2020-01-01 11:00\n2020-01-01 12:00\n",
        "2020-01-01 10:00\n2020-01-01 11:00\n2020-01-01 12:00\n",
        "inhabitants\n1 200 000\n3 400 000\n5 600 000\n",
        "address\nStation Road 3\nMill Lane 12\nHigh Street 7\n",
        "product name\niPhone 12\nGalaxy 20\n",
        "phone number\n0151 234567\n0160 987654\n",
        "phone number\n+49 1512345\n+44 2012345\n",
        "dose given\n5 mg\n10 mg\n",
        "number plate\nAB 123\nCD 456\n",
        "model name\nBMW 320\nAudi 100\n",
        "price paid\n$ 5\n€ 7\n",
        "time stamp\n2020-01-01 10:00:00.5 +0100\n2020-01-01 11:00:00.5 +0100\n",
        'note\n"1 2"\n"3 4"\n"5 6"\n',
        "a b\n",
    ],
)
def test_a_column_of_words_dates_or_grouped_numbers_is_not_torn_at_its_spaces(text):
    told = guess(text)
    assert (told.delimiter, told.fields) == (",", 1)


def test_several_spaces_stand_between_fields_as_one_said_or_detected():
    text = " a   b\n 1  2.5\n10  3.5\n"
    assert guess(text) == guess(text, delimiter=" ")
    assert (guess(text).runs, guess(text).names, guess(text).quote) == (True, ("a", "b"), "")
    assert guess(text.replace("\n", "\r")).names == ("a", "b")


def test_said_spaces_part_fields_of_a_short_file_and_leave_quoted_ones_whole():
    assert guess("a  b\n", delimiter=" ").names == ("a", "b")
    quoted = 'city    size\n"New  York"   5\n'
    assert (guess(quoted, delimiter=" ").quote, guess(quoted, delimiter=" ").fields) == ('"', 2)
    single = quoted.replace('"', "'")
    assert guess(single, delimiter=" ", quote="'").fields == 2
    assert single_spaced(b" 'New  York''s  a'   5 \r\n a  'b\n", "'") == b"'New  York''s  a' 5\r\na 'b\n"
