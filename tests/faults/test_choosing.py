"""The trial of families runs in a child: what it says arrives, and it neither outlives nor takes down who asked."""

import json
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from epochal.core.errors import Cancelled, RunError
from epochal.core.settings import Columns, Model, Project, Source
from epochal.host import plain
from epochal.runs.choose import CHOOSE_COMMAND, choose, last_choice


PROJECT = Project(
    name="p", sources=(Source(name="a", uri="a.csv"),), columns=Columns(target="y"), model=Model(family="mlp")
)
DATA = {"snapshot_id": "s", "split_id": "t", "inputs": ("x", "z"), "classes": ("2", "10")}


def child(body):
    """A command that does `body` after it read its request."""
    start = "import json, os, sys, time\nrequest = json.loads(sys.stdin.readline())\n"
    start += "def say(**what): print(json.dumps(what), flush=True)\n"
    return (sys.executable, "-c", start + textwrap.dedent(body))


def test_progress_is_handed_on_and_the_answer_kept_as_evidence(tmp_path):
    said = []
    command = child("""
        say(kind="progress", text="linear", share=0.25)
        print("a library prints what it likes")
        say(kind="progress", text="mlp")
        say(kind="result", choice={"family": "mlp", "asked": request, "folder": sys.argv[1]})
    """)

    choice = choose(tmp_path, PROJECT, DATA, report=lambda *what: said.append(what), command=command)

    assert said == [("linear", 0.25), ("mlp", None)]
    assert (choice["family"], choice["folder"]) == ("mlp", str(tmp_path))
    assert choice["asked"]["budget_seconds"] == 300
    assert choice["asked"]["snapshot"] == str(tmp_path / ".epochal" / "snapshots" / "s")
    assert 'family = "mlp"' in choice["asked"]["project"]
    assert (choice["asked"]["inputs"], choice["asked"]["classes"]) == (["x", "z"], ["2", "10"])
    assert last_choice(tmp_path, PROJECT, DATA) == choice
    assert last_choice(tmp_path, PROJECT, {**DATA, "snapshot_id": "other"}) is None
    assert last_choice(tmp_path, PROJECT, {**DATA, "inputs": ("x",)}) is None, "other inputs make other evidence"


def test_a_child_that_dies_is_told_with_its_last_words(tmp_path):
    command = child("sys.exit('no such library')")

    with pytest.raises(RunError) as caught:
        choose(tmp_path, PROJECT, DATA, command=command)
    assert caught.value.error_code == "choose-failed"
    assert "no such library" in caught.value.what


def test_a_child_killed_from_outside_is_an_error_and_not_an_answer(tmp_path):
    with pytest.raises(RunError) as caught:
        choose(tmp_path, PROJECT, DATA, command=child("os.kill(os.getpid(), 9)"))
    assert "-9" in caught.value.what


def test_an_error_the_child_met_arrives_whole(tmp_path):
    command = child('say(kind="error", code="no-snapshot", what="w", where="x", fix="f")')

    with pytest.raises(RunError) as caught:
        choose(tmp_path, PROJECT, DATA, command=command)
    assert caught.value.as_dict() == {"code": "no-snapshot", "what": "w", "where": "x", "fix": "f"}


def test_cancelling_ends_it_at_once(tmp_path):
    cancelled = threading.Event()
    command = child('say(kind="progress", text="began"); time.sleep(1000)')

    with pytest.raises(Cancelled):
        choose(tmp_path, PROJECT, DATA, report=lambda _t, _s: cancelled.set(), cancelled=cancelled, command=command)


def test_without_data_the_real_child_says_what_is_missing(tmp_path):
    with pytest.raises(RunError) as caught:
        choose(tmp_path, PROJECT, DATA)
    assert caught.value.error_code == "no-snapshot"


def test_the_real_child_ends_when_whoever_asked_is_gone():
    process = subprocess.Popen(
        [*CHOOSE_COMMAND, "/nowhere"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    request = {
        "project": 'name = "p"',
        "snapshot": "/dev/fd",
        "split": "/",
        "budget_seconds": 1,
        "inputs": [],
        "classes": [],
    }
    process.stdin.write(json.dumps(request).encode() + b"\n")
    process.stdin.close()

    assert process.wait(60) != 0


def test_any_evidence_becomes_json():
    class Figure:
        def item(self):
            return float("nan")

    assert plain({1: (2.5, float("inf"), None, True), "a": Figure(), "p": Path("x")}) == {
        "1": [2.5, None, None, True], "a": None, "p": "x",
    }  # fmt: skip
    assert plain(Source(name="a", uri="b"))["uri"] == "b"


def test_an_asker_that_is_killed_takes_the_child_with_it(tmp_path):
    script = textwrap.dedent(f"""
        from pathlib import Path
        from epochal.core.settings import parse_project
        from epochal.runs.choose import choose
        project = parse_project({{"name": "p", "source": [{{"name": "a", "uri": "a.csv"}}]}})
        command = {child("say(kind='progress', text=str(os.getpid())); sys.stdin.read(); os._exit(0)")!r}
        choose(Path({str(tmp_path)!r}), project, {DATA!r}, command=command,
               report=lambda text, share: print(text, flush=True))
    """)
    asker = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    pid = int(asker.stdout.readline())
    asker.send_signal(signal.SIGKILL)
    asker.communicate()

    def gone():
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
        except OSError:
            return True

    deadline = time.monotonic() + 30
    while not gone() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert gone()
