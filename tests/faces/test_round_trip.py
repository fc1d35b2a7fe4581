"""What a test said of its rows, `predict` says of the same rows: whatever types a recipe makes of them."""

import csv

import pyarrow.parquet as pq
import pytest

from shared import epochal


COMPUTED = {
    "hour": 'cast("when" as time)',
    "span": "to_hours(cast(i as int) % 3)",
    "day": 'cast("when" as date)',
    "parts": "string_split(s, 'b')",
    "pair": "struct_pack(a := s, b := cast(i as int) % 2)",
    "rate": "cast(cast(i as int) % 4 as decimal(9, 2)) / 4",
    "exact": "cast(cast(i as int) % 5 as decimal(9, 2))",
    "huge": "cast(cast(i as int) % 3 as hugeint)",
    "whole": "cast(cast(i as int) % 6 as utinyint)",
    "limit": "1.0 / (cast(i as int) % 2)",
    "empty": "replace(s, 'a', '')",
    "even": "cast(i as int) % 2 = 0",
    "ratio": "cast(cast(i as int) % 4 as float) / 2",
}
KINDS = {"hour": "category", "ratio": "category", "exact": "category", "huge": "category", "even": "category"}


def write_rows(path):
    """240 rows; what `label` is can be seen in the hour, and in whether anything is left of `s` without its a's."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["i", "when", "s", "label"])
        for i in range(240):
            yes = i * 7919 % 5 < 2
            when = f"2024-01-{1 + i % 28:02d} {'08' if yes else '17'}:30:00"
            rows.writerow([i, when, "aa" if yes else ["ab", "abba"][i % 2], "yes" if yes else "no"])


@pytest.mark.parametrize("family", ["trees", "linear"])
def test_predicting_the_rows_of_the_project_gives_what_the_test_said_of_them(tmp_path, family):
    write_rows(tmp_path / "rows.csv")
    folder = tmp_path / "p"
    epochal("new", folder, "--data", tmp_path / "rows.csv", "--set", f"model.family={family}", "--target", "label")
    lines = ['name = "p"', "[goal]", 'task = "classification"', "[[source]]", 'name = "rows"', 'uri = "../rows.csv"']
    lines += ["[columns]", 'target = "label"', 'key = "i"', 'ignore = ["when", "s"]', "[columns.kinds]"]
    lines += [f'{name} = "{kind}"' for name, kind in KINDS.items()]
    lines += ["[[clean]]", 'op = "set_kind"', 'columns = ["when"]', 'kind = "date"']
    for name, expression in COMPUTED.items():
        lines += ["[[clean]]", 'op = "compute"', f'column = "{name}"', f"as = '''{expression}'''"]
    lines += ["[model]", f'family = "{family}"']
    (folder / "project.toml").write_text("\n".join(lines) + "\n")
    epochal("train", folder)
    epochal("test", folder)
    (run,) = (folder / "runs").iterdir()
    said = {row["_key"]: row for row in pq.read_table(run / "report" / "predictions.parquet").to_pylist()}

    epochal("predict", folder, tmp_path / "rows.csv", "-o", tmp_path / "out.parquet")
    predicted = {row["i"]: row for row in pq.read_table(tmp_path / "out.parquet").to_pylist()}

    assert len(predicted) == 240
    assert len(said) > 20
    for key, row in said.items():
        again = predicted[key]
        assert again["prediction"] == row["prediction"]
        assert again["probability_yes"] == pytest.approx(row["probability_yes"], abs=1e-6)
        assert (again["note"] or "") == (row["note"] or "")
    assert sum(row["prediction"] == row["truth"] for row in said.values()) > 0.95 * len(said)
