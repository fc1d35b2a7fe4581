"""The bundle: a finished model as plain files, and what reads it back to predict.

`bundle/` holds bundle.toml (what it is), model.safetensors or model.txt (what was learnt), fitted.safetensors (what a
network took from the training rows beside its weights), preparation.json and .safetensors, reference.json (what the
inputs looked like), validation.parquet (what it said of the validation rows) and baselines/; of a person's own model
code/ (its files), and maker.safetensors (the model as it was made) where it makes tensors or batches of its own. No
pickle: bundle.toml has size and sha256 of every other file, and sizes are checked against the architecture before
weights are taken.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tomli_w
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from epochal import fsio
from epochal.core.tasks import OWN
from epochal.project.code import read_code, read_files, write_files
from epochal.project.trust import demand_state
from epochal.show import safe
from epochal.train.baselines import Strong, Trivial, load_baselines, save_baselines
from epochal.train.bundle_files import BadBundle, listed_files, verify_files
from epochal.train.families.networks import NETWORKS
from epochal.train.families.trees import TreeTarget, predict_trees
from epochal.train.judging import outputs_of, prediction
from epochal.train.lean import lgb
from epochal.train.make import Made, Prepared
from epochal.train.network import Shape
from epochal.train.objective import Target
from epochal.train.own.make import Own, new_rows, open_own
from epochal.train.own.rows import Reader
from epochal.train.prepare import Preparation, Raw, load_preparation, save_preparation
from epochal.train.reference import reference_statistics


FORMAT = 1
INTERVAL = 0.9
"""Share of true numbers that lie between lower and upper, as far as validation rows speak for others."""
_GROUP_ROWS = 16_384
"""Of the validation rows, at least so many are written as one group."""


# RuntimeError is torch's word for sizes and shapes that cannot be; RecursionError is one too.
_UNREADABLE = (
    OSError,
    ArithmeticError,
    KeyError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
    SafetensorError,
    lgb.basic.LightGBMError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """What a model says of some rows."""

    task: str
    classes: tuple[str, ...] = ()
    probabilities: np.ndarray | None = None
    """float64 (rows, classes); None for regression."""
    values: np.ndarray | None = None
    """float64 (rows,), in the target's unit; None for classification."""
    lower: np.ndarray | None = None
    """float64 (rows,): the true number lies below in 5 of 100 rows; None for classification or without validation."""
    upper: np.ndarray | None = None

    @property
    def scores(self) -> np.ndarray:
        """What `scoring.score` takes: probabilities, or numbers."""
        found = self.values if self.probabilities is None else self.probabilities
        return np.empty(0) if found is None else found

    @property
    def indices(self) -> np.ndarray:
        """The likeliest class of each row, int64."""
        return np.asarray(self.scores.argmax(axis=1))

    @property
    def names(self) -> list[str]:
        """The likeliest class of each row by name."""
        return [self.classes[i] for i in self.indices]


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictor:
    """A model read from its bundle."""

    family: str
    task: str
    classes: tuple[str, ...]
    positive: int
    """The class f1_positive looks for, by index."""
    columns: tuple[str, ...]
    """The columns a table must have."""
    facts: Mapping[str, Any]
    """bundle.toml whole."""
    preparation: Preparation
    half_width: float | None
    """Of the interval around a number."""
    trivial: Trivial
    strong: Strong
    model: nn.Module | lgb.Booster
    target: Target
    options: Mapping[str, Any] = field(default_factory=dict)
    reader: Reader | None = None
    """For a person's own model that makes tensors or batches of its own."""

    def predict(self, table: pa.Table) -> Predictions:
        """Predict every row, in order. Raises RunError (missing-columns) when the table lacks an input."""
        raw = self.preparation.raw(table)
        return self._as_predictions(self._scores(raw, table), half_width=self.half_width)

    def baselines(self, table: pa.Table) -> dict[str, Predictions]:
        """What the baselines say: "trivial" and "strong"."""
        raw = self.preparation.raw(table)
        return {
            "trivial": self._as_predictions(self.trivial.predict(table.num_rows)),
            "strong": self._as_predictions(self.strong.predict(raw)),
        }

    def notes(self, table: pa.Table) -> list[str]:
        """For each row what the model was not made for: what it never met, or no input at all; empty where nothing."""
        unknown, far = self.preparation.unknown(table), self.preparation.far(table)
        empty = self.preparation.empty(table)
        notes: list[str] = []
        for row, texts in enumerate(unknown):
            said = ["no input is present"] if empty[row] else []
            said += [f"{safe(column)}: {safe(text, 60)!r} was not seen in training" for column, text in texts.items()]
            said += [
                f"{safe(column)}: {value:.6g} is far outside {low:.6g} … {high:.6g}, what it was trained on"
                for column, (value, low, high) in far.get(row, {}).items()
            ]
            notes.append("; ".join(said))
        return notes

    def _scores(self, raw: Raw, table: pa.Table) -> np.ndarray:
        if isinstance(self.model, lgb.Booster):
            return predict_trees(self.model, _tree_target(self.target, len(self.classes)), raw)
        dense = self.preparation.dense(raw)
        if not len(dense.codes):
            return np.empty((0, len(self.classes)) if self.classes else 0)
        rows = new_rows(self.reader, table, {"numbers": dense.numbers, "codes": dense.codes})
        outputs, _targets = outputs_of(self.model, rows)
        return prediction(self.model, self.target, outputs)

    def _as_predictions(self, scores: np.ndarray, half_width: float | None = None) -> Predictions:
        if self.task == "classification":
            return Predictions(task=self.task, classes=self.classes, probabilities=scores)
        return Predictions(
            task=self.task,
            values=scores,
            lower=None if half_width is None else scores - half_width,
            upper=None if half_width is None else scores + half_width,
        )


def _tree_target(target: Target, num_classes: int) -> TreeTarget:
    return TreeTarget(task=target.task, num_classes=num_classes, mean=target.mean, spread=target.spread)


def interval_half_width(residuals: np.ndarray) -> float | None:
    """Half the width of an interval that holds INTERVAL of the truth: split conformal prediction on validation rows.

    The (n + 1)-corrected quantile of absolute residuals; None when there are too few rows to say.
    Source: Lei et al. 2018, "Distribution-Free Predictive Inference for Regression", section 2.2.
    """
    rank = int(np.ceil((len(residuals) + 1) * INTERVAL))
    return float(np.sort(np.abs(residuals))[rank - 1]) if rank <= len(residuals) else None


def write_bundle(
    folder: Path,
    *,
    facts: Mapping[str, Any],
    family: str,
    made: Made,
    prepared: Prepared,
    options: Mapping[str, Any],
    half_width: float | None,
    trivial: Trivial,
    strong: Strong,
    validation: Iterator[pa.Table] | None,
) -> None:
    """Write the finished model, for who holds the run: whole, in the place of an earlier one, which stays until then.

    Raises NotSaved.
    """
    fsio.clear_folders(folder.parent, folder.name)
    data = prepared.data
    with fsio.new_folder(folder, replace=True) as temporary:
        made.learner.save_model(temporary)
        if made.fitted:
            fsio.write_bytes(temporary / "fitted.safetensors", save_tensors(dict(made.fitted)))
        save_preparation(prepared.preparation, temporary)
        reference = reference_statistics(data.columns, data.train.inputs)
        fsio.write_text(temporary / "reference.json", json.dumps(reference, ensure_ascii=False, indent=1) + "\n")
        if validation is not None:
            _write_tables(temporary / "validation.parquet", validation)
        if prepared.own is not None:
            write_files(temporary / "code", prepared.own.contents)
            prepared.own.save(temporary)
        (temporary / "baselines").mkdir()
        save_baselines(temporary / "baselines", trivial, strong)
        weights = next(p for p in sorted(temporary.iterdir()) if p.name in {"model.safetensors", "model.txt"})
        document = {
            "format": FORMAT,
            **facts,
            "family": family,
            "task": data.task,
            "classes": list(data.classes),
            "positive": data.positive if data.task == "classification" else 0,
            "columns": [{"name": c.name, "kind": c.kind, "type": c.type} for c in data.columns],
            "weights": {"file": weights.name},
            "shape": {
                "numbers": prepared.shape.numbers,
                "cardinalities": list(prepared.shape.cardinalities),
                "outputs": prepared.shape.outputs,
            },
            "target": {"mean": made.target.mean, "spread": made.target.spread},
            "options": {k: list(v) if isinstance(v, tuple) else v for k, v in options.items()},
            **(_facts_of_own(temporary, prepared.own) if prepared.own is not None else {}),
            **({"interval": {"share": INTERVAL, "half_width": half_width}} if half_width is not None else {}),
            "files": listed_files(temporary),
        }
        fsio.write_text(temporary / "bundle.toml", tomli_w.dumps(document))


def _facts_of_own(folder: Path, own: Own) -> dict[str, Any]:
    return {"code": read_code(folder / "code").digest, "seed": own.seed}


def _write_tables(path: Path, tables: Iterator[pa.Table]) -> None:
    """Tables of the same columns as one file of a folder that is being made. There must be one.

    Small ones are joined: what the file's end says of each group of rows is held until it is written.
    """
    first = next(tables)
    with pq.ParquetWriter(path, first.schema, compression="zstd") as writer:
        held, rows = [first], first.num_rows
        for table in tables:
            if rows >= _GROUP_ROWS:
                writer.write_table(pa.concat_tables(held))
                held, rows = [], 0
            held.append(table)
            rows += table.num_rows
        writer.write_table(pa.concat_tables(held))


def load_bundle(folder: Path) -> Predictor:
    """Read a finished model.

    Raises BadBundle when it is not there, damaged, or of another format; Untrusted and OwnModelError for one that is
    made of a project's own code.
    """
    folder = Path(folder)
    try:
        facts = tomllib.loads((folder / "bundle.toml").read_text(encoding="utf-8"))
        if facts.get("format") != FORMAT:
            raise BadBundle(f"model format {facts.get('format')!r} is not known to this version", where=str(folder))
        verify_files(folder, facts)
        preparation = load_preparation(folder)
        trivial, strong = load_baselines(folder / "baselines")
        own = _own(folder, facts, preparation) if facts["family"] == OWN else None
        return Predictor(
            family=facts["family"],
            task=facts["task"],
            classes=tuple(facts["classes"]),
            positive=facts["positive"],
            columns=preparation.columns,
            facts=facts,
            preparation=preparation,
            half_width=facts.get("interval", {}).get("half_width"),
            trivial=trivial,
            strong=strong,
            model=_load_model(folder, facts, preparation, own),
            target=Target(task=facts["task"], mean=facts["target"]["mean"], spread=facts["target"]["spread"]),
            options=facts["options"],
            reader=None if own is None else own.reader,
        )
    except FileNotFoundError as error:
        raise BadBundle(
            "this run has no finished model",
            where=str(error.filename or folder),
            fix="train it to its end, or resume it",
        ) from error
    except _UNREADABLE as error:
        raise BadBundle(f"the model cannot be read: {error}", where=str(folder), fix="train again") from error


def _load_model(
    folder: Path, facts: Mapping[str, Any], preparation: Preparation, own: Own | None
) -> nn.Module | lgb.Booster:
    path = folder / facts["weights"]["file"]
    if path.parent != folder:
        raise BadBundle("the model's weights are named outside its folder", where=str(folder))
    if facts["family"] == "trees":
        return lgb.Booster(model_str=path.read_text(encoding="utf-8"))
    shape = Shape(
        numbers=facts["shape"]["numbers"],
        cardinalities=tuple(facts["shape"]["cardinalities"]),
        outputs=facts["shape"]["outputs"],
    )
    # A network is made before its weights are read: of a shape that is not the data's it could fill the memory.
    fits = Shape(
        numbers=preparation.num_dense,
        cardinalities=preparation.cardinalities,
        outputs=max(1, len(facts["classes"])),
    )
    if shape != fits:
        raise BadBundle("the model does not fit its preparation", where=str(folder), fix="train again")
    extra = "fitted.safetensors"
    fitted: dict[str, Tensor] = load_tensors((folder / extra).read_bytes()) if extra in facts["files"] else {}
    module = own.build() if own is not None else NETWORKS[facts["family"]].build(shape, facts["options"], fitted)
    state = module.state_dict()
    with safe_open(path, framework="pt") as stored:
        found = {name: tuple(stored.get_slice(name).get_shape()) for name in stored.keys()}  # noqa: SIM118 - no mapping
    if found != {name: tuple(value.shape) for name, value in state.items()}:
        raise BadBundle("the weights do not fit the model they are said to be of", where=str(path), fix="train again")
    module.load_state_dict(load_tensors(path.read_bytes()))
    return module.eval()


def _own(folder: Path, facts: Mapping[str, Any], preparation: Preparation) -> Own:
    """A person's class from the bundle's copy of its code, once that is trusted. Raises Untrusted, OwnModelError."""
    code = read_code(folder / "code")
    if code.digest != facts["code"]:
        raise BadBundle(
            "the model's code is not the one it was saved with", where=str(folder / "code"), fix="train again"
        )
    project = folder.absolute().parents[2]
    demand_state(project, code.digest, str(facts["run"]))
    own = open_own(
        folder / "code",
        read_files(folder / "code", code.files),
        facts["options"],
        folder=project,
        preparation=preparation,
        task=facts["task"],
        classes=tuple(facts["classes"]),
        kinds={column["name"]: column["kind"] for column in facts["columns"]},
        seed=int(facts["seed"]),
    )
    own.load(folder)
    return own


__all__ = [
    "INTERVAL",
    "BadBundle",
    "Predictions",
    "Predictor",
    "interval_half_width",
    "load_bundle",
    "write_bundle",
]
