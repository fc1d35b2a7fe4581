"""The journal on disk: what its lines are, and that nothing that happens to the file is misread."""

import errno
import json
import os
import random
import subprocess
import sys
import zlib
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epochal.core.errors import RunError
from epochal.core.events import EVENTS, CheckpointSaved, EpochDone, HostStarted, Noticed, RunEnded, StepsDone
from epochal.fsio import NotSaved
from epochal.journal.append import JournalWriter
from epochal.journal.record import RESERVED, decode, encode, journal_file
from epochal.journal.reduce import RunState, reduce_all
from epochal.journal.tail import Tail, last_record, read_journal
from epochal.testing import FakeClock


def steps(step):
    return StepsDone(step=step, epoch=step / 10, count=1, loss=1 / step, loss_min=0.0, loss_max=1.0, learning_rate=0.1)


def write(folder, num_records, **how):
    writer = JournalWriter(folder, **how)
    for step in range(1, num_records + 1):
        writer.append(steps(step))
    writer.close()


def test_a_record_is_one_line_of_json_with_the_checksum_last():
    event = Noticed(code="cap", text="ä \x1b]0;x\x07 \n", severity="warning")

    line = encode(event, n=7, milliseconds=1500, at="2026-11-22T10:00:00.123Z")

    assert (
        line
        == (
            '{"n":7,"k":"notice","m":1500,"t":"2026-11-22T10:00:00.123Z","code":"cap",'
            '"text":"ä \\u001b]0;x\\u0007 \\n","severity":"warning","crc":"569fd9a2"}\n'
        ).encode()
    )
    document = json.loads(line)
    assert list(document)[-1] == "crc"
    assert f"{zlib.crc32(line[: line.rindex(b',')] + b'}'):08x}" == document["crc"]
    assert decode(line[:-1]).event == event


def test_no_event_has_a_key_that_the_record_needs():
    for event in EVENTS.values():
        assert not RESERVED & set(event.__slots__)


def test_figures_that_json_does_not_have_come_back_as_they_were():
    event = EpochDone(
        step=1,
        epoch=1,
        train_loss=float("inf"),
        validation_loss=float("-inf"),
        metrics={"rmse": float("inf")},
        value=1.0,
        best=False,
        seconds=0,
    )

    assert decode(encode(event, n=0, milliseconds=0, at="")[:-1]).event == event


@pytest.mark.parametrize("where", [0, 3, 20, -3, -12, -20])
def test_one_changed_byte_makes_a_line_no_record(where):
    line = bytearray(encode(steps(3), n=0, milliseconds=0, at="2026")[:-1])
    line[where] ^= 1

    assert decode(bytes(line)) is None


def test_records_are_numbered_without_gaps_across_writers(tmp_path):
    for _ in range(3):
        write(tmp_path, 2)

    assert [record.n for record in read_journal(tmp_path)] == [0, 1, 2, 3, 4, 5]


def test_milliseconds_count_from_when_the_writer_opened_the_journal(tmp_path):
    clock = FakeClock(start=datetime(2026, 11, 22, 10, 0, 0, 123000, tzinfo=UTC))
    clock.advance(5000)
    writer = JournalWriter(tmp_path, clock=clock)
    clock.advance(1.25)
    writer.append(steps(1))
    writer.close()

    record = last_record(tmp_path)

    assert (record.milliseconds, record.at) == (1250, "2026-11-22T11:23:21.373Z")


def test_a_full_file_is_closed_for_ever_and_the_next_one_begun(tmp_path):
    write(tmp_path, 50, rotate_bytes=1000)
    write(tmp_path, 50, rotate_bytes=1000)

    files = sorted(path.name for path in tmp_path.iterdir())
    assert files[:2] == ["journal.0001.jsonl", "journal.0002.jsonl"]
    assert "journal.jsonl" in files
    assert [record.n for record in read_journal(tmp_path)] == list(range(100))
    assert last_record(tmp_path).n == 99


def test_a_reader_goes_over_to_the_next_file_while_the_run_goes_on(tmp_path):
    writer = JournalWriter(tmp_path, rotate_bytes=300)
    tail = Tail(tmp_path)
    seen = []
    for step in range(1, 31):
        writer.append(steps(step))
        seen += [record.n for record in tail.read().records]
    writer.close()

    assert seen == list(range(30))


def test_a_look_gives_about_as_much_as_was_asked_and_says_when_there_is_more(tmp_path):
    write(tmp_path, 20_000)
    tail = Tail(tmp_path)

    first = tail.read(limit_bytes=1)
    rest = list(first.records)
    while first.more:
        first = tail.read(limit_bytes=1)
        rest += first.records

    assert len(rest) == 20_000
    assert tail.bytes_read == journal_file(tmp_path, 0).stat().st_size


def test_there_is_nothing_to_read_before_there_is_a_journal(tmp_path):
    assert Tail(tmp_path).read().records == ()
    assert last_record(tmp_path) is None


def test_a_torn_tail_is_taken_away_by_the_next_writer_and_its_size_noted(tmp_path):
    write(tmp_path, 3)
    path = journal_file(tmp_path, 0)
    path.write_bytes(path.read_bytes() + b'{"n":3,"k":"ste')

    write(tmp_path, 1)

    records = list(read_journal(tmp_path))
    assert [record.n for record in records] == [0, 1, 2, 3]
    assert [record.torn for record in records] == [0, 0, 0, 15]


def test_a_whole_record_that_only_lacks_its_newline_is_kept(tmp_path):
    write(tmp_path, 3)
    path = journal_file(tmp_path, 0)
    path.write_bytes(path.read_bytes()[:-1])

    write(tmp_path, 1)

    assert [record.n for record in read_journal(tmp_path)] == [0, 1, 2, 3]


def test_a_reader_waits_for_the_rest_of_a_line_and_reads_it_once(tmp_path):
    line = encode(steps(1), n=0, milliseconds=0, at="2026")
    path = journal_file(tmp_path, 0)
    tail = Tail(tmp_path)
    seen = []
    for end in range(len(line) + 1):
        path.write_bytes(line[:end])
        seen += tail.read().records

    assert [record.n for record in seen] == [0]


def test_damage_in_the_middle_costs_only_the_lines_it_hit(tmp_path):
    write(tmp_path, 10)
    path = journal_file(tmp_path, 0)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[4] = b"\0" * 100 + b"\n"
    lines[7] = b"x" * (3 << 20) + b"\n"
    path.write_bytes(b"".join(lines))

    tail = Tail(tmp_path)
    batches = [tail.read()]
    while batches[-1].more:
        batches.append(tail.read())

    assert [record.n for batch in batches for record in batch.records] == [0, 1, 2, 3, 5, 6, 8, 9]
    assert sum(batch.damaged for batch in batches) == 2
    assert last_record(tmp_path).n == 9


def test_a_journal_that_was_replaced_by_a_shorter_one_is_read_anew(tmp_path):
    write(tmp_path, 10)
    tail = Tail(tmp_path)
    tail.read()
    journal_file(tmp_path, 0).unlink()
    write(tmp_path, 2)

    assert tail.read().restarted
    assert [record.n for record in tail.read().records] == [0, 1]


@pytest.fixture(scope="module")
def whole_journal(tmp_path_factory):
    """Every kind of record there is, as bytes."""
    folder = tmp_path_factory.mktemp("journal")
    writer = JournalWriter(folder)
    writer.append(HostStarted(host="detached", pid=1, machine="m", device="cpu", survives="all"))
    for step in range(1, 15):
        writer.append(steps(step))
        if step % 5 == 0:
            writer.append(CheckpointSaved(step=step, epoch=step / 10, folder=f"checkpoints/{step}", sha256="0"))
    writer.append(RunEnded(state="done", reason="finished", steps=14))
    writer.close()
    return journal_file(folder, 0).read_bytes()


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_cut_at_any_byte_every_whole_record_is_read_and_the_next_writer_goes_on(tmp_path_factory, whole_journal, data):
    end = data.draw(st.integers(0, len(whole_journal)))
    folder = tmp_path_factory.mktemp("cut")
    journal_file(folder, 0).write_bytes(whole_journal[:end])
    num_whole = whole_journal[:end].count(b"\n")

    state = reduce_all(RunState(), read_journal(folder))
    assert (state.records, state.damaged) == (num_whole, 0)

    write(folder, 1)
    again = list(read_journal(folder))
    assert [record.n for record in again] == list(range(len(again)))
    assert num_whole + 1 <= len(again) <= num_whole + 2


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_whatever_is_overwritten_no_wrong_record_is_read(tmp_path_factory, whole_journal, data):
    at = data.draw(st.integers(0, len(whole_journal) - 1))
    junk = data.draw(st.binary(min_size=1, max_size=300))
    folder = tmp_path_factory.mktemp("junk")
    journal_file(folder, 0).write_bytes(whole_journal[:at] + junk + whole_journal[at + len(junk) :])
    honest = [decode(line) for line in whole_journal.splitlines()]

    read = list(read_journal(folder))

    assert [record for record in read if record not in honest] == []
    reduce_all(RunState(), read)


def test_a_closed_journal_takes_nothing_more(tmp_path):
    writer = JournalWriter(tmp_path)
    writer.close()
    writer.close()

    with pytest.raises(RunError) as caught:
        writer.append(steps(1))
    assert caught.value.error_code == "journal-closed"


def test_a_journal_is_never_written_through_a_link(tmp_path):
    (tmp_path / "elsewhere").write_text("mine")
    journal_file(tmp_path, 0).symlink_to(tmp_path / "elsewhere")

    with pytest.raises(NotSaved):
        JournalWriter(tmp_path)
    assert (tmp_path / "elsewhere").read_text() == "mine"


@pytest.mark.parametrize("make", ["pipe", "folder", "link"])
def test_what_is_no_file_is_named_and_nobody_waits_for_it(tmp_path, make):
    path = journal_file(tmp_path, 0)
    {"pipe": lambda: os.mkfifo(path), "folder": path.mkdir, "link": lambda: path.symlink_to("/etc/passwd")}[make]()

    with pytest.raises(RunError) as caught:
        Tail(tmp_path).read()
    assert caught.value.error_code == "journal-unreadable"


ACKNOWLEDGING = """
import sys
from pathlib import Path
from epochal.core.events import CommandTaken, StepsDone
from epochal.journal.append import JournalWriter
writer = JournalWriter(Path(sys.argv[1]), rotate_bytes=20_000)
for step in range(1, 1_000_000):
    writer.append(StepsDone(step=step, epoch=1, count=1, loss=1, loss_min=1, loss_max=1, learning_rate=1))
    print(writer.append(CommandTaken(id="i", verb="checkpoint")), flush=True)
"""


def test_killed_at_any_moment_no_acknowledged_record_is_lost(tmp_path):
    rng = random.Random(0)
    acknowledged = -1
    for _ in range(8):
        child = subprocess.Popen([sys.executable, "-c", ACKNOWLEDGING, str(tmp_path)], stdout=subprocess.PIPE)
        for _ in range(rng.randint(1, 60)):
            acknowledged = int(child.stdout.readline())
        child.kill()
        for line in child.communicate()[0].splitlines(keepends=True):
            acknowledged = int(line) if line.endswith(b"\n") else acknowledged

        numbers = [record.n for record in read_journal(tmp_path)]
        assert numbers[-1] >= acknowledged
        assert numbers == list(range(len(numbers)))


FULL_DISK = """
import resource
import sys
from pathlib import Path
from epochal.core.events import Noticed
from epochal.fsio import NotSaved
from epochal.journal.append import JournalWriter
writer = JournalWriter(Path(sys.argv[1]))
num = 0
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    while True:
        writer.append(Noticed(code="n", text="x" * 30))
        num += 1
except NotSaved:
    pass
print(num)
"""


def test_a_record_that_finds_no_room_leaves_the_journal_as_it_was(tmp_path):
    out = subprocess.run([sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, check=True)

    assert len(list(read_journal(tmp_path))) == int(out.stdout) > 0
    assert journal_file(tmp_path, 0).read_bytes().endswith(b"\n")


def test_a_sync_that_failed_is_final(tmp_path, monkeypatch):
    writer = JournalWriter(tmp_path)
    writer.append(steps(1))
    with monkeypatch.context() as disk:
        disk.setattr(os, "fdatasync", _lost)
        with pytest.raises(NotSaved, match="the disk lost what was written"):
            writer.append(CheckpointSaved(step=1, epoch=0.1, folder="checkpoints/1", sha256="0"))

    for attempt in (writer.sync, lambda: writer.append(steps(2)), writer.close):
        with pytest.raises(NotSaved) as caught:
            attempt()
        assert caught.value.error_code == "sync-failed"
    assert [record.n for record in read_journal(tmp_path)] == [0, 1]


def _lost(_descriptor):
    raise OSError(errno.EIO, "Input/output error")
