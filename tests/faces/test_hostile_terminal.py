"""Texts of strangers act on no terminal: in every pane and every verb's output they stand as visible text."""

import csv
import json
import random

import pytest


PAYLOADS = (
    "\x1b]52;c;aGk=\x07",
    "\x1b[2J",
    "\x9b31m",
    "\x9d0;t\x9c",
    "\u202egnp",
    "\u2066x",
    "\u200b\x7f",
    "[bold]x[/nope]",
    "[@click=app.quit]q[/]",
)
ALL = "".join(PAYLOADS)
CLASSES = (f"no{ALL}", f"yes{ALL}")
TARGET = f"kind{ALL}"
FILE = f"evil {ALL}.csv".replace("/", "")
BOMB = "len(range(1000000000)) > 1"


@pytest.fixture
def evil(tmp_path):
    """160 rows whose every name and text is hostile, a line that is too short, and one whose quote never ends."""
    chance = random.Random(3)
    path = tmp_path / FILE
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow((f"size{ALL}", f"word{ALL}", TARGET, PAYLOADS[1]))
        for i in range(160):
            kind = chance.random() < 0.5
            word = PAYLOADS[i % 9] + "w" + PAYLOADS[i // 9 % 9]
            table.writerow((f"{chance.gauss(3 + kind):.2f}", word, CLASSES[kind], chance.randint(0, 9)))
        file.write(f'short{ALL}\r\n9,open,"x{ALL},1\r\n')
    return path


def shows(text):
    """Whether the payloads stand there to be read."""
    return any(sign in text for sign in ("␛[2J", "␛]52;", "\\x1b[2J", "\\x1b]52;"))


def look_at_data(look):
    """Open and close what the data pane has to show."""
    for key, title in (
        ("F", "Esc back"),
        ("r", "Rejects"),
        ("a", "where every line"),
        ("A", "Problems"),
        ("v", "Esc back"),
    ):
        look(key, until=title)
        look("Esc", until="m clean")
    look("z", "s", until="SELECT")
    look("Esc", until="m clean")
    look("^", until="rename")
    look("Esc", until="m clean")
    look(":", until=">")
    look(*"ren", until="rename")
    look("Esc", until="m clean")
    look("?", until="Esc back")
    look("Esc", until="m clean")


def test_every_pane_shows_hostile_texts_and_obeys_none(terminal, evil):
    face = terminal(evil.name, folder=evil.parent, columns=120, lines=40)

    def look(*keys, until=shows):
        face.press(*keys)
        face.wait_for(until, 25)
        face.still(0.15)

    face.wait_for("Enter makes the project", 60)
    assert shows(face.text)
    look("t", until="What is to be predicted?")
    face.press(*"kind")
    look("Enter", until=lambda text: "predict         kind" in text and "Enter makes the project" in text)
    face.press("Enter")
    face.wait_for("is taken now", 120)
    assert shows(face.text)
    look("1", until="What is asked")
    look("t", until="type to search")
    look("Esc", until="Enter change")
    look("2", until="exact")
    assert shows(face.text)
    look_at_data(look)
    look("3")
    look("5", until="n train")
    look("n", until=lambda text: "sealed test set" in text)
    look("6", until="sealed")
    look("Enter", until="Worst rows")
    assert shows(face.text)
    look("c", until="precision")
    look("Esc", until="Worst rows")
    look("7", until="predict")
    face.press("g", "q")
    assert face.wait_exit() == 0
    assert face.foreign == []


def test_a_billion_rows_in_a_filter_end_with_an_error_and_a_living_workbench(terminal, evil):
    (evil.parent / "p").mkdir()
    (evil.parent / "p" / "t.csv").write_text("a,b\n" + "1,x\n2,y\n" * 50)
    (evil.parent / "p" / "project.toml").write_text(
        'format = 1\nname = "p"\n[[source]]\nname = "t"\nuri = "t.csv"\n[columns]\ntarget = "b"\n'
    )
    face = terminal(str(evil.parent / "p"), columns=120, lines=40)
    face.wait_for("exact")
    face.press("m")
    face.wait_for("keep only rows where")
    face.press("w")
    face.still()
    face.press(*BOMB, "Enter")
    face.wait_for("`range` may not be used", 10)
    face.press("Esc")
    face.still()
    face.press("Esc")
    face.wait_for("m clean")
    face.press("G")
    face.wait_for("100")
    face.press("g", "q")
    assert face.wait_exit() == 0


def test_every_verb_says_hostile_texts_and_obeys_none(terminal, evil):
    folder = evil.parent

    def run(*words, code=0, visible=True):
        face = terminal(*words, folder=folder, columns=200, lines=200)
        assert face.wait_exit(120) == code, face.text
        assert face.foreign == [], words
        assert shows(face.text) or not visible, face.text
        return face

    linear = ("--set", "model.family=linear", "--set", "train.epochs=2")
    run("new", "p", "--data", evil.name, "--target", TARGET, *linear)
    for what in ("--ledger", "--rejects", "--profile", "--sql"):
        run("data", "p", what, visible=what != "--ledger")
    run("data", "p")
    run("check", "p", visible=False)
    run("clean", "p", "trim", "--columns", f"word{ALL}", visible=False)
    run("clean", "p", "--list")
    run("train", "p", "--follow", visible=False)
    run("runs", "p", visible=False)
    run("test", "p", visible=False)
    run("predict", "p", evil.name, "-o", "out.csv", code=2)  # for the open quote: no row is left out
    run("clean", "p", "trim", "--columns", f"no such{ALL}", code=2)
    run("clean", "p", "filter", "--set", f'where="no{ALL}" > 1', code=2)
    run("data", f"nowhere{PAYLOADS[1]}", code=2)
    run("new", "q", "--data", f"nowhere{PAYLOADS[1]}", code=2)
    run("check", "p", f"--{ALL}", code=2)
    run("train", "p", "--set", f"train.{ALL}=1", code=2)


def test_json_escapes_what_it_repeats(terminal, evil, foreign):
    def run(*words, code=0):
        face = terminal(*words, "--json", folder=evil.parent, columns=2000, lines=50)
        assert face.wait_exit(120) == code, face.text
        assert face.foreign == [], words
        assert foreign(face.raw) == []
        said = face.raw.decode().split("\r")  # progress is written over itself on the same terminal
        return json.loads(next(line for line in said if line.strip()[:1] in {"{", "["} and '"' in line))

    made = run("new", "p", "--data", evil.name, "--target", TARGET, "--set", "model.family=linear")
    assert made["target"] == TARGET
    rejects = run("data", "p", "--rejects")
    assert [(r["kind"], r["text"]) for r in rejects] == [("short", f"short{ALL}"), ("quote", f'9,open,"x{ALL},1')]
    assert run("data", "p", "--profile")[2]["column"] == TARGET
    assert TARGET in run("data", "p", "--sql")["sql"]
    refused = run("clean", "p", "trim", "--columns", f"no such{ALL}", code=2)
    assert "no such" in refused["error"]["what"]
    assert "[bold]x[/nope]" in refused["error"]["what"]
