"""What data can be like: empty, constant, missing, of one class, of every kind. Right, or an error that says what to do."""

from __future__ import annotations

import hashlib
import json
import tomllib
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
import tomli_w

from epochal.core.errors import EpochalError, SettingsError
from epochal.train.bundle import BadBundle, load_bundle
from epochal.train.fit import fit
from epochal.train.rows import NoTarget


def run(spec):
    return list(fit(spec, lambda: ()))


class TestRefused:
    def test_a_target_of_one_class(self, spec_of):
        table = pa.table({"x": np.arange(50.0), "label": ["only"] * 50})
        with pytest.raises(NoTarget, match="every training row is of the class 'only'") as caught:
            run(spec_of(table, target="label"))

        assert caught.value.fix

    def test_a_constant_number_as_target(self, spec_of):
        with pytest.raises(NoTarget, match="the target is 3 in every training row"):
            run(spec_of(pa.table({"x": np.arange(50.0), "y": np.full(50, 3.0)}), target="y", task="regression"))

    def test_inputs_that_never_vary(self, spec_of):
        table = pa.table({"x": np.ones(60), "c": ["same"] * 60, "label": ["a", "b"] * 30})
        with pytest.raises(NoTarget, match="no input varies"):
            run(spec_of(table, target="label"))

    def test_no_inputs(self, spec_of):
        with pytest.raises(NoTarget, match="no column to learn from"):
            run(spec_of(pa.table({"label": ["a", "b"] * 30}), target="label", inputs=()))

    def test_no_training_rows(self, spec_of):
        table = pa.table({"x": [1.0, 2.0, 3.0], "label": pa.array([None, None, None], pa.string())})
        with pytest.raises(NoTarget, match="has 0 rows with a target"):
            run(spec_of(table, target="label"))

    def test_text_as_the_target_of_a_regression(self, spec_of):
        table = pa.table({"x": np.arange(30.0), "y": ["much"] * 30})
        with pytest.raises(NoTarget, match="holds text"):
            run(spec_of(table, target="y", task="regression"))

    def test_a_snapshot_that_is_gone(self, spec_of, blobs):
        spec = spec_of(blobs(), target="label")
        (spec.project_folder / ".epochal" / "snapshots" / "snap" / "rows-0.parquet").unlink()
        with pytest.raises(EpochalError, match="cannot be read"):
            run(spec)

    def test_a_precision_that_cannot_be(self, spec_of, blobs):
        with pytest.raises(SettingsError, match="float16"):
            run(spec_of(blobs(), target="label", train={"precision": "float16"}))


class TestTaken:
    def test_columns_of_every_kind_with_missing_values_everywhere(self, spec_of, family, small):
        rng = np.random.default_rng(0)
        num_rows = 240
        label = rng.integers(0, 2, num_rows)
        start = datetime(2024, 1, 1)  # noqa: DTZ001 - as a file without zones gives it
        words = np.array([["good fine sunny", "pleasant warm day"], ["bad poor rain", "awful cold wind"]])
        columns = {
            "number": rng.normal(label, 0.5),
            "long tailed": np.exp(rng.normal(label, 2.0)),
            "whole": rng.integers(0, 5, num_rows),
            "constant": np.ones(num_rows),
            "category": np.array(["a", "b"])[label],
            "flag": label == 1,
            "moment": [start + timedelta(days=int(d), hours=int(h)) for d, h in rng.integers(0, 20, (num_rows, 2))],
            "text": [f"{words[v][rng.integers(2)]} number {i}" for i, v in enumerate(label)],
            "never": [None] * num_rows,
        }
        holes = {n: rng.random(num_rows) < 0.1 for n in columns}
        table = pa.table(
            {
                **{
                    n: pa.array([None if holes[n][i] else v for i, v in enumerate(list(values))])
                    for n, values in columns.items()
                },
                "label": [f"class {v}" for v in label],
            }
        )
        spec = spec_of(table, target="label", family=family, options=small, train={"epochs": 6}, kinds={"text": "text"})
        events = run(spec)
        predictor = load_bundle(spec.folder / "bundle")
        emptied = pa.table({n: pa.nulls(3, table[n].type) for n in spec.inputs})

        assert events[-1].state == "done"
        assert any("never" in getattr(e, "text", "") for e in events)
        assert np.isfinite(predictor.predict(emptied).probabilities).all()
        assert predictor.predict(table.slice(0, 0)).probabilities.shape == (0, 2)

    def test_rows_without_a_target_are_left_out_and_said(self, spec_of, blobs):
        table = blobs()
        labels = [None if i % 10 == 0 else v for i, v in enumerate(table["label"].to_pylist())]
        spec = spec_of(table.set_column(4, "label", pa.array(labels)), target="label", train={"epochs": 2})
        events = run(spec)

        assert any(getattr(e, "code", "") == "target-missing" for e in events)
        assert events[-1].state == "done"

    def test_numbers_as_classes(self, spec_of):
        table = pa.table({"x": np.arange(80.0), "label": np.array([0.0, 1.0] * 40)})
        spec = spec_of(table, target="label", train={"epochs": 2})

        assert run(spec)[-1].state == "done"
        assert spec.classes == ("0.0", "1.0")

    def test_very_few_rows(self, spec_of, family, small):
        table = pa.table({"x": np.arange(12.0), "label": ["a", "b"] * 6})

        assert (
            run(spec_of(table, target="label", family=family, options=small, train={"epochs": 2}))[-1].state == "done"
        )


class TestPredicting:
    @pytest.fixture
    def predictor(self, spec_of, blobs):
        spec = spec_of(blobs(), target="label", train={"epochs": 10})
        run(spec)
        return load_bundle(spec.folder / "bundle")

    def test_takes_unseen_categories_and_notes_them(self, predictor, blobs):
        table = blobs(3).drop_columns(["label"]).set_column(2, "colour", pa.array(["red", "mauve\x1b[2J", None]))

        assert np.isfinite(predictor.predict(table).probabilities).all()
        notes = predictor.notes(table)
        assert notes[0] == ""
        assert "mauve␛[2J" in notes[1]

    def test_notes_rows_it_was_not_made_for(self, predictor, blobs):
        table = blobs(4).drop_columns(["label"])
        usual = table["second"].to_pylist()[0]
        odd = table.set_column(1, "second", pa.array([usual, 1e6, None, float("-inf")]))
        odd = pa.concat_tables([odd, pa.table({n: pa.nulls(1, odd[n].type) for n in odd.column_names})])

        notes = predictor.notes(odd)

        assert (notes[0], notes[2]) == ("", "")
        assert notes[1].startswith("second: 1e+06 is far outside ")
        assert notes[4] == "no input is present"

    def test_names_the_columns_that_are_not_there(self, predictor, blobs):
        with pytest.raises(EpochalError, match="colour") as caught:
            predictor.predict(blobs(3).drop_columns(["colour"]))

        assert caught.value.error_code == "missing-columns"

    def test_takes_numbers_that_come_as_text(self, predictor, blobs):
        table = blobs(20)
        as_text = table.set_column(1, "second", table["second"].cast(pa.string()))

        assert np.allclose(predictor.predict(as_text).probabilities, predictor.predict(table).probabilities)

    def test_is_the_same_for_each_row_alone(self, predictor, blobs):
        table = blobs(20)
        alone = np.concatenate([predictor.predict(table.slice(i, 1)).probabilities for i in range(20)])

        assert np.allclose(alone, predictor.predict(table).probabilities, atol=1e-6)

    def test_refuses_weights_that_are_not_its_own(self, spec_of, blobs):
        spec = spec_of(blobs(), target="label", family="mlp", train={"epochs": 1})
        run(spec)
        weights = spec.folder / "bundle" / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\0")
        with pytest.raises(BadBundle, match=r"model\.safetensors is not the one"):
            load_bundle(spec.folder / "bundle")
        with pytest.raises(BadBundle, match="no finished model"):
            load_bundle(spec.folder / "elsewhere")

    @pytest.fixture
    def bundle(self, spec_of, blobs):
        spec = spec_of(blobs(), target="label", family="mlp", train={"epochs": 1})
        run(spec)
        return spec.folder / "bundle"

    @pytest.mark.parametrize(
        "name", ["preparation.json", "preparation.safetensors", "baselines/baselines.json", "reference.json"]
    )
    def test_refuses_any_file_that_is_not_the_one_saved_and_names_it(self, bundle, name):
        content = bytearray((bundle / name).read_bytes())
        content[-3] ^= 1
        (bundle / name).write_bytes(content)

        with pytest.raises(BadBundle, match=f"{name} is not the one") as caught:
            load_bundle(bundle)
        assert (caught.value.error_code, caught.value.where) == ("bad-bundle", str(bundle / name))

    def test_refuses_a_model_that_does_not_say_what_its_files_are(self, bundle):
        rewrite(bundle, lambda facts: facts.pop("files"))

        with pytest.raises(BadBundle, match="none can be verified"):
            load_bundle(bundle)

    def test_reads_no_file_that_is_not_listed(self, bundle):
        rewrite(bundle, lambda facts: facts["files"].pop("preparation.json"))

        with pytest.raises(BadBundle, match=r"does not list its file preparation\.json"):
            load_bundle(bundle)

    @pytest.mark.parametrize(("length", "count"), [(200 << 20, 0), (None, 60_000)])
    def test_refuses_a_header_that_would_fill_the_memory(self, bundle, length, count):
        empty = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
        header = json.dumps({f"t{i}": empty for i in range(count)}).encode()
        hostile = (len(header) if length is None else length).to_bytes(8, "little") + header
        (bundle / "model.safetensors").write_bytes(hostile)
        said = {"size": len(hostile), "sha256": hashlib.sha256(hostile).hexdigest()}
        rewrite(bundle, lambda facts: facts["files"].update({"model.safetensors": said}))

        with pytest.raises(BadBundle, match=r"header larger than 8 MiB|more than 50000 tensors"):
            load_bundle(bundle)

    @pytest.mark.parametrize(
        "hostile", [{"shape": {"numbers": 1 << 60}}, {"options": {"width": 1 << 60}}, {"options": {"width": -1}}]
    )
    def test_refuses_shapes_that_cannot_be(self, bundle, hostile):
        ((table, values),) = hostile.items()
        rewrite(bundle, lambda facts: facts[table].update(values))

        with pytest.raises(BadBundle):
            load_bundle(bundle)


def rewrite(bundle, change):
    """Change what a bundle says of itself."""
    facts = tomllib.loads((bundle / "bundle.toml").read_text())
    change(facts)
    (bundle / "bundle.toml").write_text(tomli_w.dumps(facts))
