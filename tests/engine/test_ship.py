"""A finished model in use: the test set opened in a process of its own, and new rows predicted, all of them."""

import io
import json
import re
import subprocess
import sys
import tomllib
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from epochal import predict_host
from epochal.core.errors import Cancelled, EpochalError, RunError
from epochal.core.events import RunEnded
from epochal.core.ledger import Ledger, SourceLines
from epochal.core.settings import parse_project
from epochal.fsio.wire import Wire
from epochal.project.looks import read_looks
from epochal.project.paths import ProjectPaths
from epochal.project.runfile import RunSpec, read_run, write_run
from epochal.review.view import read_view
from epochal.ship import client
from epochal.ship.apply import predict_rows
from epochal.ship.columns import cell_text
from epochal.snapshot.manifest import (
    Snapshot,
    SnapshotColumn,
    SplitFile,
    write_snapshot_manifest,
    write_split_manifest,
)
from epochal.train.bundle import load_bundle
from epochal.train.fit import fit


HOSTILE = ("<script>alert(1)</script>", "a|b`*_[x](javascript:1)", "\x1b[31mred\u202e")
ROWS = 300


def quiet(_text: str, _fraction: float | None) -> None:
    pass


def test_here(spec: RunSpec) -> None:
    """Open the test set without a process of its own: what the process does, sooner."""
    predict_host.test(spec, predict_host.Speaker(Wire(io.StringIO())))


test_here.__test__ = False  # type: ignore[attr-defined]


def make_run(folder: Path, *, task: str, split_kind: str = "random", test_share: float = 0.3) -> RunSpec:
    """A project with a snapshot, a split and a run whose model is trained, without any host."""
    random = np.random.default_rng(0)
    x, colour = random.normal(size=ROWS), random.integers(0, 3, ROWS)
    names = np.array(HOSTILE, dtype=object)
    if task == "classification":
        target = names[np.where(random.random(ROWS) < 0.8, colour, 0)]
    else:
        target = 100 + 10 * x + colour
    table = pa.table(
        {
            "_eid": np.arange(ROWS),
            "_key": [f"key{i}" for i in range(ROWS)],
            "x": np.where(random.random(ROWS) < 0.1, np.nan, x),
            "<b>colour": np.array(["red", "green", "blue"], dtype=object)[colour],
            "farm": [f"farm{i // 10}" for i in range(ROWS)],
            "y": pa.array(target),
        }
    )
    paths = ProjectPaths(folder)
    snapshot_folder, split_folder = paths.snapshots / "s1", paths.splits / "p1"
    for made in (snapshot_folder, split_folder, paths.runs / "0001-trees"):
        made.mkdir(parents=True)
    pq.write_table(table, snapshot_folder / "rows-0.parquet")
    kinds = {
        "x": "number",
        "<b>colour": "category",
        "farm": "category",
        "y": "category" if task != "regression" else "number",
    }
    columns = tuple(
        SnapshotColumn(name=n, kind=k, type="DOUBLE" if k == "number" else "VARCHAR", missing=0, distinct=9)
        for n, k in kinds.items()
    )
    write_snapshot_manifest(
        snapshot_folder,
        Snapshot(folder=snapshot_folder, id="s1", rows=ROWS, columns=columns, files=("rows-0.parquet",)),
    )
    part = np.where(random.random(ROWS) < test_share, 2, np.where(random.random(ROWS) < 0.2, 1, 0))
    pq.write_table(pa.table({"_eid": np.arange(ROWS), "part": part.astype(np.int8)}), split_folder / "parts.parquet")
    train, validation, test = (int((part == p).sum()) for p in range(3))
    write_split_manifest(
        split_folder,
        SplitFile(
            folder=split_folder,
            id="p1",
            snapshot_id="s1",
            train=train,
            validation=validation,
            test=test,
            fingerprint="90:ab",
        ),
    )
    lines = SourceLines(
        name="rows", lines=ROWS, header=0, blank=0, continuation=0, rejected=0, read=ROWS, rejected_cells=0
    )
    project = parse_project(
        {
            "name": "farms & <i>fields</i>",
            "goal": {
                "task": task,
                "question": "1. Is it <b>bold</b>?",
                **({"at_least": 0.5} if task == "classification" else {"at_least": 50.0}),
            },
            "source": [{"name": "rows", "uri": "rows.csv", "licence": "CC0-1.0", "personal_data": "none"}],
            "columns": {"target": "y", "group": "farm"},
            "split": {"kind": split_kind},
            "model": {"family": "trees", "rounds": 20, "leaves": 7},
        }
    )
    spec = RunSpec(
        folder=paths.runs / "0001-trees",
        name="0001-trees",
        project=project,
        snapshot_id="s1",
        split_id="p1",
        created="2026-01-01T00:00:00+00:00",
        inputs=("x", "<b>colour"),
        classes=tuple(sorted(HOSTILE)) if task == "classification" else (),
        ledger=Ledger(sources=(lines,), steps=(), train=train, validation=validation, test=test).as_dict(),
    )
    write_run(spec)
    train_model(spec)
    return spec


def train_model(spec: RunSpec) -> None:
    last = list(fit(spec, list))[-1]
    assert isinstance(last, RunEnded)
    assert last.state == "done"


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunSpec, dict]:
    spec = make_run(tmp_path_factory.mktemp("classes"), task="classification", split_kind="group")
    return spec, client.test_run(spec, quiet)


@pytest.fixture(scope="module")
def regressor(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunSpec, dict]:
    spec = make_run(tmp_path_factory.mktemp("numbers"), task="regression")
    return spec, client.test_run(spec, quiet)


def test_the_document_is_the_one_scripts_rely_on(classifier: tuple[RunSpec, dict]) -> None:
    spec, document = classifier

    assert (document["run"], document["task"], document["looks"]) == ("0001-trees", "classification", 1)
    assert document["ledger"] == json.loads(json.dumps(dict(spec.ledger)))
    assert document["rows"] == document["ledger"]["test"]
    expected = {"accuracy", "balanced_accuracy", "f1", "roc_auc", "average_precision", "log_loss", "ece"}
    assert set(document["metrics"]) == set(document["intervals"]) == expected
    for name, value in document["metrics"].items():
        low, high = document["intervals"][name]
        assert low <= value <= high, name
    assert set(document["baselines"]) == {"trivial", "strong"}
    assert document["baselines"]["trivial"]["accuracy"] < document["metrics"]["accuracy"]


def test_predictions_are_kept_row_by_row_and_explain_the_accuracy(classifier: tuple[RunSpec, dict]) -> None:
    spec, document = classifier
    table = pq.read_table(spec.folder / "report" / "predictions.parquet")

    probabilities = [f"probability_{c}" for c in spec.classes]
    assert table.column_names == ["_key", "truth", "prediction", *probabilities, "trivial", "strong", "note"]
    right = [t == p for t, p in zip(table["truth"].to_pylist(), table["prediction"].to_pylist(), strict=True)]
    assert np.mean(right) == pytest.approx(document["metrics"]["accuracy"])
    assert np.sum([table[p].to_numpy() for p in probabilities], axis=0) == pytest.approx(np.ones(len(right)))


def test_the_view_holds_what_the_test_pane_shows(classifier: tuple[RunSpec, dict]) -> None:
    spec, document = classifier
    view = read_view(spec.folder)

    assert view is not None
    assert view.sums
    assert view.headline.name == "accuracy"
    assert view.headline.model.value == document["metrics"]["accuracy"]
    assert view.good.reached
    assert view.confusion is not None
    assert sum(map(sum, view.confusion.counts)) == view.rows
    keys = {r["_key"]: r for r in pq.read_table(spec.folder / "report" / "predictions.parquet").to_pylist()}
    wrong = [k for i in range(3) for j in range(3) if i != j for k in view.confusion.rows_of(i, j)]
    assert wrong
    assert all(keys[k]["truth"] != keys[k]["prediction"] for k in wrong)
    assert view.worst[0].wrong
    assert keys[view.worst[0].key]["truth"] != keys[view.worst[0].key]["prediction"]
    assert [title for title, _ in view.worst[0].inputs] == ["x", "<b>colour"]
    assert any("whole groups" in n for n in view.notices)


def test_what_comes_from_data_is_shown_and_never_acts(classifier: tuple[RunSpec, dict]) -> None:
    spec, _ = classifier
    view = read_view(spec.folder)
    page = (spec.folder / "report" / "report.html").read_text("utf-8")
    card = (spec.folder / "report" / "card.md").read_text("utf-8")

    assert view is not None
    assert "␛[31mred<U+202E>" in {c.name for c in view.per_class}
    for text in (page, card):
        assert "\x1b" not in text
        assert "\u202e" not in text
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert not re.search(r"(?<!\\)<(script|b|i)>", card)
    assert "](javascript" not in card.replace("\\]", "")
    assert "1\\. Is it" in card


class Tags(HTMLParser):
    """Every tag closes in order, and nothing is fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [str(v) for k, v in attrs if k in {"src", "href", "action", "data"}]
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("which", ["classifier", "regressor"])
def test_the_page_needs_nothing_else(which: str, request: pytest.FixtureRequest) -> None:
    spec, _ = request.getfixturevalue(which)
    tags = Tags()
    tags.feed((spec.folder / "report" / "report.html").read_text("utf-8"))

    assert (tags.open, tags.fetched) == ([], [])


def test_a_number_is_reviewed_with_residuals_and_honest_ranges(regressor: tuple[RunSpec, dict]) -> None:
    spec, document = regressor
    view = read_view(spec.folder)
    table = pq.read_table(spec.folder / "report" / "predictions.parquet")

    assert set(document["metrics"]) == set(document["intervals"]) == {"rmse", "mae", "r2"}
    assert table.column_names == ["_key", "truth", "prediction", "lower", "upper", "trivial", "strong", "note"]
    assert view is not None
    assert view.residuals is not None
    assert sum(view.residuals.counts) == view.rows
    assert view.residuals.level == 0.9
    inside = [r["lower"] <= r["truth"] <= r["upper"] for r in table.to_pylist()]
    assert view.residuals.covered is not None
    assert view.residuals.covered.value == pytest.approx(np.mean(inside))
    errors = sorted((abs(r["truth"] - r["prediction"]) for r in table.to_pylist()), reverse=True)
    assert [abs(w.score) for w in view.worst] == pytest.approx(errors[: len(view.worst)])
    against = {c.baseline: c.verdict for c in view.comparisons}
    assert against["trivial"] == "better"


def test_the_record_leads_from_the_figures_to_the_data(regressor: tuple[RunSpec, dict]) -> None:
    spec, document = regressor
    record = tomllib.loads((spec.folder / "report" / "report.toml").read_text("utf-8"))

    assert record["metrics"]["rmse"]["value"] == document["metrics"]["rmse"]
    assert record["provenance"]["snapshot"] == "s1"
    assert record["provenance"]["test_rows"] == "90:ab"
    assert len(record["provenance"]["bundle_sha256"]) == 64
    card = (spec.folder / "report" / "card.md").read_text("utf-8")
    assert record["provenance"]["bundle_sha256"] in card
    assert "licence CC0-1.0" in card
    assert "key1" not in card, "a card holds no rows"


def test_each_look_is_counted_and_the_next_one_says_so(regressor: tuple[RunSpec, dict]) -> None:
    spec, first = regressor
    for name in (".report.0123456789ab.tmp", ".trash.report.0123456789ab.tmp"):
        (spec.folder / name).mkdir()
        (spec.folder / name / "view.json").write_text("{")

    again = client.test_run(spec, quiet)

    assert (first["looks"], again["looks"]) == (1, 2)
    assert again["metrics"] == first["metrics"]
    assert again["intervals"] == first["intervals"]
    assert any("look 2" in n for n in again["notices"])
    assert [look.run for look in read_looks(spec.project_folder)] == ["0001-trees"] * 2
    assert not list(spec.folder.glob(".*")), "nothing half-written stays behind"


def test_a_run_without_a_model_says_so_and_no_look_is_counted(tmp_path: Path) -> None:
    spec = make_run(tmp_path, task="classification")
    (spec.folder / "bundle" / "bundle.toml").unlink()

    with pytest.raises(EpochalError) as caught:
        client.test_run(spec, quiet)

    assert caught.value.error_code == "bad-bundle"
    assert caught.value.fix
    assert read_looks(tmp_path) == ()
    assert read_view(spec.folder) is None


def test_a_split_that_holds_nothing_out_cannot_be_tested(tmp_path: Path) -> None:
    spec = make_run(tmp_path, task="regression", test_share=0.0)

    with pytest.raises(EpochalError, match="none were held out") as caught:
        test_here(spec)

    assert caught.value.error_code == "no-test-rows"
    assert read_looks(tmp_path) == ()


def test_rows_of_people_stay_out_of_the_page(tmp_path: Path) -> None:
    spec = make_run(tmp_path, task="regression")
    source = replace(spec.project.sources[0], personal_data="present")
    write_run(replace(spec, project=replace(spec.project, sources=(source,))))

    test_here(read_run(spec.folder))

    page = (spec.folder / "report" / "report.html").read_text("utf-8")
    assert "holds personal data" in page
    assert "predicted" not in page.split("Worst rows")[1].split("Where every row went")[0]


def new_rows(folder: Path, rows: list[dict]) -> None:
    schema = pa.schema([("_eid", pa.int64()), ("x", pa.float64()), ("<b>colour", pa.string()), ("_note", pa.string())])
    pq.write_table(
        pa.Table.from_pylist([{"_eid": i, **r} for i, r in enumerate(rows)], schema), folder / "rows.parquet"
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (7182150.0, "7182150"),
        (0.1 + 0.2, "0.3"),
        (1e300, "1e+300"),
        (None, "·"),
        (True, "true"),
        (np.datetime64("2021-05-06T00:00:00"), "2021-05-06"),
        (np.datetime64("2021-05-06T07:30:00"), "2021-05-06 07:30:00"),
    ],
)
def test_an_input_is_shown_as_people_write_it(value: object, shown: str) -> None:
    assert cell_text(pa.scalar(value)) == shown


def test_every_new_row_comes_back_in_order_with_its_notes(classifier: tuple[RunSpec, dict], tmp_path: Path) -> None:
    spec, _ = classifier
    new_rows(
        tmp_path,
        [
            {"x": 0.1, "<b>colour": "red", "_note": None},
            {"x": None, "<b>colour": None, "_note": None},
            {"x": 1.0, "<b>colour": "mauve\x1b[2J", "_note": "drop_missing would leave it out"},
        ],
    )

    result = client.predict(spec, tmp_path, quiet)

    table = pq.read_table(tmp_path / "predictions.parquet")
    assert result == {"rows": 3, "noted": 2}
    assert table.column_names == ["_eid", "prediction", *(f"probability_{c}" for c in spec.classes), "note"]
    assert table["_eid"].to_pylist() == [0, 1, 2]
    assert set(table["prediction"].to_pylist()) <= set(spec.classes)
    note = table["note"].to_pylist()
    assert note[:2] == [None, "no input is present"]
    assert note[2].startswith("drop_missing would leave it out; ")
    assert "mauve" in note[2]
    assert "\x1b" not in note[2]


def test_a_number_comes_with_its_range_also_for_no_rows_at_all(regressor: tuple[RunSpec, dict], tmp_path: Path) -> None:
    spec, _ = regressor
    new_rows(tmp_path, [{"x": 0.5, "<b>colour": "red", "_note": None}])
    predictor = load_bundle(spec.folder / "bundle")
    predict_rows(predictor, tmp_path, quiet)
    one = pq.read_table(tmp_path / "predictions.parquet")
    new_rows(tmp_path, [])

    assert predict_rows(predictor, tmp_path, quiet) == {"rows": 0, "noted": 0}
    none = pq.read_table(tmp_path / "predictions.parquet")

    assert one.column_names == none.column_names == ["_eid", "prediction", "lower", "upper", "note"]
    assert one["lower"][0].as_py() < one["prediction"][0].as_py() < one["upper"][0].as_py()


def test_new_rows_without_an_input_are_refused_by_name(classifier: tuple[RunSpec, dict], tmp_path: Path) -> None:
    spec, _ = classifier
    pq.write_table(
        pa.table({"_eid": [0], "x": [1.0], "_note": pa.array([None], pa.string())}), tmp_path / "rows.parquet"
    )

    with pytest.raises(EpochalError, match="colour"):
        predict_rows(load_bundle(spec.folder / "bundle"), tmp_path, quiet)


def test_giving_up_leaves_no_process(classifier: tuple[RunSpec, dict]) -> None:
    spec, _ = classifier
    looks = read_looks(spec.project_folder)

    def give_up(_text: str, _fraction: float | None) -> None:
        raise Cancelled("enough")

    with pytest.raises(Cancelled):
        client.test_run(spec, give_up)

    assert read_looks(spec.project_folder) == looks


def test_a_process_that_dies_is_told_with_its_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = make_run(tmp_path, task="regression")
    interpreter = tmp_path / "python"
    interpreter.write_text("#!/bin/sh\necho 'out of memory' >&2\nexit 137\n")
    interpreter.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(interpreter))

    with pytest.raises(RunError, match="ended with 137: out of memory"):
        client.test_run(spec, quiet)


def test_faces_that_start_it_import_nothing_heavy() -> None:
    script = (
        "import sys; import epochal.ship.client, epochal.review.view; "
        "heavy = {'torch', 'numpy', 'pyarrow', 'duckdb', 'textual', 'sklearn', 'lightgbm'} & set(sys.modules); "
        "assert not heavy, heavy"
    )

    subprocess.run([sys.executable, "-c", script], check=True)
