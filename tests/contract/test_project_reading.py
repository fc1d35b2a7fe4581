"""Reading project.toml: strict, with file and line and the way out, and never brought down by a file."""

from __future__ import annotations

import contextlib
import os
import random
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from epochal.core.errors import SettingsError
from epochal.core.settings import TABLES, parse_project, to_document
from epochal.core.steps import OPS
from epochal.project.outline import line_of, outline
from epochal.project.read import MAX_BYTES, parse_text, read_project


CORPUS = Path(__file__).parents[3] / "shared" / "data" / "bad" / "toml_test"
GOOD = """\
format = 1
name = "mail"

[goal]
task = "classification"
metric = "f1"

[[source]]
name = "messages"
uri = "data/messages.csv"
retrieved = 2026-11-22

[columns]
target = "label"
[columns.kinds]
zip = "category"

[[clean]]
op = "trim"
columns = ["text"]

[[clean]]
op = "map_values"
column = "label"
[clean.mapping]
"SPAM" = "spam"

[split]
kind = "stratified"
[split.cuts]
ham = [0.2013, 0.3011]

[model]
family = "trees"
leaves = 15

[train]
epochs = 10
"""


def error(text: str | bytes, tmp_path: Path) -> SettingsError:
    (tmp_path / "project.toml").write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(SettingsError) as raised:
        read_project(tmp_path)
    assert raised.value.what
    assert len(raised.value.what) < 400
    return raised.value


def named_if_wrong(read: Callable[[], object]) -> None:
    """Reading works, or ends in one of our errors that names the file."""
    where = "project.toml"
    try:
        read()
    except SettingsError as found:
        where = found.where
    assert where.startswith("project.toml")


def line(where: str, text: str = GOOD) -> int:
    return text.splitlines().index(where) + 1


class TestAMistake:
    @pytest.mark.parametrize(
        ("right", "wrong", "named", "code"),
        [
            ("[train]", "[trian]", "[train]", "unknown-key"),
            ("[goal]", "[gaol]", "[goal]", "unknown-key"),
            ('[[clean]]\nop = "trim"', '[[claen]]\nop = "trim"', "[clean]", "unknown-key"),
            ("epochs = 10", "epoch = 10", "epochs", "unknown-key"),
            ('op = "trim"', 'op = "trimm"', "trim", "unknown-step"),
            ('columns = ["text"]', 'colums = ["text"]', "columns", "unknown-key"),
            ('family = "trees"', 'family = "tree"', "trees", "unknown-value"),
            ("leaves = 15", "leafs = 15", "leaves", "unknown-key"),
            ('metric = "f1"', 'metric = "f"', "f1", "unknown-value"),
            ('kind = "stratified"', 'kind = "stratify"', "stratified", "unknown-value"),
            ('uri = "data/messages.csv"', 'url = "data/messages.csv"', "uri", "unknown-key"),
            ("epochs = 10", "metric = 10", "`goal.metric`", "unknown-key"),
            ("leaves = 15", "epochs = 15", "`train.epochs`", "unknown-key"),
            ("format = 1", "epochs = 1", "`train.epochs`", "unknown-key"),
            ("format = 1", "epoch = 1", "`train.epochs`", "unknown-key"),
            ("format = 1", "seed = 1", "`split.seed` or `train.seed`", "unknown-key"),
            ("format = 1", "widht = 1", "with its table", "unknown-key"),
        ],
    )
    def test_is_one_error_with_line_and_the_right_name(self, tmp_path, right, wrong, named, code):
        found = error(GOOD.replace(right, wrong), tmp_path)
        if "\n" in wrong:  # the second list of that name still stands: the misspelt one is found first
            wrong = wrong.splitlines()[0]
        assert found.where == f"project.toml:{line(wrong, GOOD.replace(right, wrong))}"
        assert named in found.fix
        assert (found.error_code, found.exit_code) == (code, 2)

    @pytest.mark.parametrize(
        ("text", "where"),
        [
            (GOOD.replace("epochs = 10", "epochs = 0"), "epochs = 0"),
            (GOOD.replace('zip = "category"', 'zip = "zip"'), "[columns.kinds]"),
            (GOOD.replace("ham = [0.2013, 0.3011]", "ham = [0.9, 0.3]"), "[split.cuts]"),
            (GOOD.replace("epochs = 10", "epochs = nan"), "epochs = nan"),
            (GOOD.replace("epochs = 10", "learning_rate = 1e400"), "learning_rate = 1e400"),
            (GOOD.replace("epochs = 10", "seed = 99999999999999999999"), "seed = 99999999999999999999"),
            (GOOD.replace('op = "trim"\n', ""), "[[clean]]"),
            (GOOD.replace('uri = "data/messages.csv"\n', ""), "[[source]]"),
            (GOOD.replace("epochs = 10", "epochs = = 10"), "epochs = = 10"),
            (GOOD.replace('name = "mail"', 'name = "mail"\nname = "x"'), 'name = "x"'),
            ('name = "x"\nclean = [\n  {op = "trim", columns = ["a"]},\n  {op = "nope"},\n]\n', "clean = ["),
        ],
    )
    def test_of_a_value_is_shown_where_it_stands(self, tmp_path, text, where):
        number = line(where, text)
        found = error(text, tmp_path)
        file, found_line = found.where.split(":")
        assert file == "project.toml"
        assert int(found_line) in {number, number + 1}
        assert found.fix

    def test_of_a_merge_is_called_by_its_name(self, tmp_path):
        text = GOOD.replace("epochs = 10", "<<<<<<< HEAD\nepochs = 10\n=======\nepochs = 20\n>>>>>>> other")
        found = error(text, tmp_path)
        assert (found.error_code, found.where) == ("merge-marks", f"project.toml:{line('<<<<<<< HEAD', text)}")

    @pytest.mark.parametrize(
        "data", [b"name = 'x'\nq = '\xff'", GOOD.encode("utf-16"), b"\x00" * 500, b"", b"name", b"["]
    )
    def test_in_the_bytes_is_an_error_too(self, tmp_path, data):
        assert error(data, tmp_path).where.startswith("project.toml")


class TestAFileThatReads:
    @pytest.mark.parametrize(
        "change", [("\n", "\r\n"), ("format", "\ufefformat"), ("format", "\ufeffformat"), (" = ", "\t=\t")]
    )
    def test_reads_with_other_line_ends_spaces_and_a_byte_order_mark(self, tmp_path, change):
        text = GOOD if "\ufeff" not in change[1] else "\ufeff" + GOOD
        text = text if "\ufeff" in change[1] else GOOD.replace(*change)
        (tmp_path / "project.toml").write_bytes(text.encode())
        assert read_project(tmp_path) == parse_text(GOOD)

    def test_comes_back_from_its_own_document(self):
        assert parse_project(to_document(parse_text(GOOD))) == parse_text(GOOD)


class TestWhatIsNoFile:
    def test_missing(self, tmp_path):
        with pytest.raises(SettingsError) as missing:
            read_project(tmp_path / "nowhere")
        assert missing.value.error_code == "no-project"

    @pytest.mark.parametrize(
        "make", [Path.mkdir, os.mkfifo, lambda p: p.symlink_to(p), lambda p: p.symlink_to("/dev/zero")]
    )
    def test_is_an_error_and_never_waited_for(self, tmp_path, make):
        make(tmp_path / "project.toml")
        with pytest.raises(SettingsError):
            read_project(tmp_path)

    def test_too_large(self, tmp_path):
        with (tmp_path / "project.toml").open("wb") as file:
            file.truncate(1 << 40)
        with pytest.raises(SettingsError) as large:
            read_project(tmp_path)
        assert large.value.error_code == "too-large"


BOMBS = {
    "nested arrays": "a = " + "[" * 5000 + "]" * 5000,
    "nested tables": "a = " + "{b=" * 3000 + "1" + "}" * 3000,
    "open brackets": "a = " + "[" * (MAX_BYTES - 10),
    "a dotted key": ".".join("a" * 10_000) + " = 1",
    "a spaced dotted key": " . ".join("a" * 10_000) + " = 1",
    "a quoted dotted key": ".".join(['"a"'] * 10_000) + " = 1",
    "a dotted table": "[" + ".".join("a" * 10_000) + "]",
    "an inline dotted key": "a = {" + ".".join("a" * 10_000) + " = 1}",
    "many keys": "".join(f"a{i}=1\n" for i in range(100_000)),
    "many digits": "a = " + "9" * 5000,
    "many hexadecimal digits": "a = 0x" + "f" * 100_000,
    "an open text": 'a = """' + '\\"""' * 200_000,
    "open texts": 'a = "' + '\\"' * 400_000,
    "open literals": "a = '''" + "''x" * 300_000,
    "many quotes": '"' * (MAX_BYTES - 10),
    "a long text": 'a = "' + "\\n" * 500_000 + '"',
    "a long comment": "#" * (MAX_BYTES - 10),
    "a long name": 'name = "' + "x" * 1_000_000 + '"\nepochs = 1',
    "many steps": 'name="x"\n' + '[[clean]]\nop="trim"\n' * 40_000,
    "backslashes": 'a = "' + "\\" * 1_000_000,
    "spaces": "a = " + " " * 1_000_000,
    "a zero": "\0" * 1000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_an_error(tmp_path, name):
    error(BOMBS[name], tmp_path)


needs_corpus = pytest.mark.skipif(not CORPUS.is_dir(), reason=f"the toml-test corpus is not at {CORPUS}")


@needs_corpus
def test_the_hostile_corpus_of_toml_gives_an_error_each_time(tmp_path):
    files = sorted((CORPUS / "invalid").rglob("*.toml"))
    assert files
    for path in files:
        error(path.read_bytes(), tmp_path)


@needs_corpus
def test_the_good_corpus_of_toml_reads_or_gives_an_error(tmp_path):
    for path in sorted(CORPUS.rglob("*.toml")):
        (tmp_path / "project.toml").write_bytes(b'name = "x"\n' + path.read_bytes())
        named_if_wrong(lambda: read_project(tmp_path))


@needs_corpus
def test_the_outline_agrees_with_the_parser_on_every_good_file():
    seen = 0
    for path in sorted((CORPUS / "valid").rglob("*.toml")):
        text = path.read_bytes().decode().removeprefix("\ufeff")
        try:
            document = tomllib.loads(text)
        except tomllib.TOMLDecodeError:
            continue  # of a later version of TOML than the parser's
        for entry in (e for b in outline(text) for e in b.entries):
            value = document
            for key in entry.path:
                value = value[key]
            written = tomllib.loads("x = " + text[entry.value_start : entry.value_end])["x"]
            assert repr(written) == repr(value), (path, entry)
            seen += 1
    assert seen > 300


def test_a_file_cut_at_any_byte_or_with_any_bit_turned_reads_or_is_an_error(tmp_path):
    data = GOOD.encode()
    chance = random.Random(5)
    broken = [data[:i] for i in range(len(data))]
    for _ in range(600):
        flipped = bytearray(data)
        flipped[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        broken.append(bytes(flipped))
    broken += [data[:i] + b"\0" * 64 + data[i + 64 :] for i in range(0, len(data), 37)]
    for text in broken:
        (tmp_path / "project.toml").write_bytes(text)
        named_if_wrong(lambda: read_project(tmp_path))


LEAVES = st.one_of(
    st.text(max_size=5), st.integers(), st.floats(), st.booleans(), st.dates(), st.datetimes(), st.times(), st.none()
)
VALUES = st.recursive(
    LEAVES, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=3), v, max_size=3), max_leaves=6
)
KEYS = sorted({f for cls in TABLES.values() for f in cls.__dataclass_fields__})


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_no_value_anywhere_brings_the_reader_down(data):
    document = {"name": "x", "source": [{"name": "a", "uri": "b"}]}
    table = data.draw(st.sampled_from([*TABLES, "clean", "name", "format"]))
    if table == "clean":
        op = OPS[data.draw(st.sampled_from(sorted(OPS)))]
        document["clean"] = [{"op": op.name, **{p.name: data.draw(VALUES) for p in op.params}, "enabled": True}]
    elif table in {"name", "format"}:
        document[table] = data.draw(VALUES)
    else:
        keys = sorted(TABLES[table].__dataclass_fields__)
        inner = data.draw(st.dictionaries(st.sampled_from(keys), VALUES, max_size=3))
        document[table] = [inner] if table == "source" else inner
    with contextlib.suppress(SettingsError):
        parse_project(document)


@given(st.text(max_size=300))
def test_any_text_is_a_project_or_an_error(text):
    named_if_wrong(lambda: parse_text(text))


def test_the_outline_finds_every_line_whatever_stands_in_texts():
    text = (
        'name = "x" # [goal]\n"odd.key" = """\n[train]\nepochs = 3 # no\n""" # yes\n'
        "a.b.'c d' = [ # one\n  '#', \"]\", # two\n]\n[[clean]] # [x]\nk = {a = '}', b = '''\n[y]\n'''}\n"
        "[clean.inner]\nx = 1\n[[clean]]\ny = 2"
    )
    tomllib.loads(text)
    assert [b.path for b in outline(text)] == [(), ("clean", 0), ("clean", 0, "inner"), ("clean", 1)]
    lines = {
        p: line_of(text, p) for p in [("odd.key",), ("a", "b", "c d"), ("clean", 0, "inner", "x"), ("clean", 1, "y")]
    }
    assert list(lines.values()) == [2, 6, 14, 16]
