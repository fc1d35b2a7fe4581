"""What must be beaten: the commonest answer, and boosted trees as they come out of the box.

Trained on one thread, before the training and never beside it, each kept as JSON or text in the bundle.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from epochal import fsio
from epochal.core.errors import RunError
from epochal.show import grouped
from epochal.train.families.trees import (
    BoostingLearner,
    TreeTarget,
    fit_tree_target,
    predict_trees,
    text_bytes,
    tree_rows,
)
from epochal.train.lean import lgb
from epochal.train.make import Prepared
from epochal.train.prepare import Raw
from epochal.train.state import Plan


TITLES = {"classification": "always the commonest class", "regression": "always the mean"}
STRONG_TITLE = "boosted trees, LightGBM's defaults"
STRONG_ROWS = 100_000
"""More training rows than this are thinned out for the strong baseline, and it says so."""
_ROUNDS = 100
_OPTIONS = {"rounds": _ROUNDS, "leaves": 31, "rate": 0.1, "min_leaf": 20, "row_share": 1.0, "column_share": 1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trivial:
    """The answer that looks at no input: class shares, or the mean."""

    task: str
    answer: tuple[float, ...]

    def predict(self, num_rows: int) -> np.ndarray:
        """Probabilities (rows, classes), or numbers (rows,)."""
        if self.task == "regression":
            return np.full(num_rows, self.answer[0])
        return np.tile(np.array(self.answer), (num_rows, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Strong:
    """Boosted trees with default settings, on the same prepared inputs."""

    booster: lgb.Booster
    target: TreeTarget
    note: str
    """What was capped, if anything was."""

    def predict(self, raw: Raw) -> np.ndarray:
        """Probabilities (rows, classes), or numbers (rows,)."""
        return predict_trees(self.booster, self.target, raw)


def train_trivial(prepared: Prepared) -> Trivial:
    """From the training targets alone."""
    data = prepared.data
    seen = prepared.streamed.seen if prepared.streamed is not None else None
    if data.task == "regression":
        return Trivial(task=data.task, answer=(seen.mean if seen is not None else float(data.train.target.mean()),))
    counts = np.bincount(data.train.target, minlength=len(data.classes)) if seen is None else seen.counts
    return Trivial(task=data.task, answer=tuple(float(c) for c in counts / counts.sum()))


def train_strong(prepared: Prepared, seed: int, ask: Callable[[], bool]) -> Strong | None:
    """Boosted trees with LightGBM's defaults, on one thread. `ask` is called between rounds; None when it says stop."""
    data = prepared.data
    target = fit_tree_target(data.task, data.train.target, len(data.classes))
    step = -(-len(data.train) // STRONG_ROWS)
    thinned = Raw(numbers=prepared.train.numbers[::step], codes=prepared.train.codes[::step])
    plan = Plan(
        epochs=_ROUNDS,
        batch_size=len(data.train),
        evaluate_every=_ROUNDS,
        learning_rate=0.1,
        schedule="constant",
        weight_decay=0.0,
        patience=_ROUNDS,
        precision="float32",
        device="cpu",
        threads=1,
        seed=seed,
        class_weights="none",
        options=_OPTIONS,
    )
    learner = BoostingLearner(
        plan=plan,
        target=target,
        train=tree_rows(target, thinned, data.train.target[::step], None),
        validation=None,
    )
    for _ in _rounds(learner):
        if ask():
            return None
    drawn, total = len(thinned.codes), data.train.total
    note = f"trained on {grouped(drawn)} of {grouped(total)} rows" if drawn < total else ""
    return Strong(booster=learner.booster, target=target, note=note)


def _rounds(learner: BoostingLearner) -> Iterator[None]:
    while learner.step < learner.total_steps:
        learner.advance(1)
        yield


def strong_bytes(outputs: int, rows: int) -> int:
    """About what the strong baseline takes where it is kept; `outputs` trees are grown in each of its rounds."""
    return text_bytes(_OPTIONS, rounds=_ROUNDS, outputs=outputs, rows=rows)


def save_baselines(folder: Path, trivial: Trivial, strong: Strong) -> None:
    """Write both into a folder. Raises NotSaved."""
    document = {
        "format": 1,
        "trivial": {"title": TITLES[trivial.task], "task": trivial.task, "answer": list(trivial.answer)},
        "strong": {
            "title": STRONG_TITLE,
            "note": strong.note,
            "num_classes": strong.target.num_classes,
            "mean": strong.target.mean,
            "spread": strong.target.spread,
        },
    }
    fsio.write_text(folder / "baselines.json", json.dumps(document, indent=1) + "\n")
    fsio.write_text(folder / "strong.txt", strong.booster.model_to_string())


def keep_baselines(folder: Path, trivial: Trivial, strong: Strong) -> None:
    """As `save_baselines`, into a folder of its own that is complete or absent: a resumed run trains none anew."""
    with fsio.new_folder(folder) as temporary:
        save_baselines(temporary, trivial, strong)


def load_baselines(folder: Path) -> tuple[Trivial, Strong]:
    """Read what `save_baselines` wrote. Raises RunError when it is not there or damaged."""
    try:
        document = json.loads((folder / "baselines.json").read_text(encoding="utf-8"))
        trivial, strong = document["trivial"], document["strong"]
        return (
            Trivial(task=trivial["task"], answer=tuple(trivial["answer"])),
            Strong(
                booster=lgb.Booster(model_str=(folder / "strong.txt").read_text(encoding="utf-8")),
                target=TreeTarget(
                    task=trivial["task"],
                    num_classes=strong["num_classes"],
                    mean=strong["mean"],
                    spread=strong["spread"],
                ),
                note=strong["note"],
            ),
        )
    except (OSError, ValueError, KeyError, TypeError, lgb.basic.LightGBMError) as error:
        raise RunError(
            f"the baselines cannot be read: {error}", where=str(folder), fix="train again", code="bad-bundle"
        ) from error
