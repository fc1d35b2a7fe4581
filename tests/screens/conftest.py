"""Text pictures, and reviews of the test set as the report writes them.

A text picture is what a screen shows, compared with a file that a reviewer can read.
`EPOCHAL_PICTURES=write pytest tests/screens` writes them anew; look at the difference before you keep it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest


if TYPE_CHECKING:
    from textual.pilot import Pilot


FOLDER = Path(__file__).parent / "pictures"

_CLOCKS = (
    (re.compile(r"saved \d\d:\d\d:\d\d"), "saved 14:02:31"),
    (re.compile(r"\(done (?:[A-Z][a-z]{2} )?\d\d:\d\d\)"), "(done 14:03)"),
)


async def _same_picture(name: str, shown: Callable[[], str], pilot: Pilot[object]) -> None:
    """Wait until the screen is its picture; times of day are set to one moment first."""

    def text() -> list[str]:
        now = shown()
        for pattern, moment in _CLOCKS:
            now = pattern.sub(moment, now)
        return now.splitlines()

    path = FOLDER / f"{name}.txt"
    if os.environ.get("EPOCHAL_PICTURES") == "write":
        await pilot.pause(1.0)
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(text()) + "\n", encoding="utf-8")
        return
    expected = path.read_text(encoding="utf-8").splitlines()
    for _look in range(100):
        if text() == expected:
            break
        await pilot.pause(0.05)
    assert expected == text()


def _estimate(value: float, low: float | None = None, high: float | None = None) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "why": ""}


def _metric(name: str, model: dict[str, Any], trivial: float, strong: float) -> dict[str, Any]:
    return {"name": name, "model": model, "baselines": {"trivial": _estimate(trivial), "strong": _estimate(strong)}}


LEDGER = {
    "sources": [
        {
            "name": "penguins",
            "lines": 345,
            "header": 1,
            "blank": 0,
            "continuation": 0,
            "rejected": 0,
            "read": 344,
            "rejected_cells": 0,
        }
    ],
    "read": 344,
    "steps": [
        {"n": 1, "op": "mark_missing", "removed": 0, "changed": 336},
        {"n": 2, "op": "drop_missing", "removed": 2, "changed": 0},
    ],
    "removed": 2,
    "kept": 342,
    "train": 239,
    "validation": 34,
    "test": 69,
    "sums": True,
}


def classification(
    run: str = "0003-tabm", *, names: tuple[str, str, str] = ("Adelie", "Chinstrap", "Gentoo")
) -> dict[str, Any]:
    """69 penguins, one taken for another."""
    number, family = run.split("-", 1)
    rows = [
        ("k0", 73, names[0], names[1], True, f"{names[0]} taken for {names[1]} (0.91)"),
        ("k1", 112, names[2], names[2], False, f"{names[2]}, right but unsure (0.62)"),
        ("k2", 9, names[1], names[1], False, f"{names[1]}, right but unsure (0.71)"),
    ]
    return {
        "format": 1,
        "run": run,
        "number": int(number),
        "family": family,
        "task": "classification",
        "target": "species",
        "metric": "accuracy",
        "created": "2026-11-22T13:05:00Z",
        "rows": 69,
        "looks": 1,
        "fingerprint": "69:abc",
        "good": {"at_least": 0.95, "reached": True, "words": "good: 0.95 reached"},
        "baselines": {
            "trivial": {"title": "most frequent class", "note": ""},
            "strong": {"title": "LightGBM", "note": ""},
        },
        "metrics": [
            _metric("accuracy", _estimate(0.986, 0.957, 1.0), 0.435, 0.971),
            _metric("balanced_accuracy", _estimate(0.989, 0.960, 1.0), 0.333, 0.966),
            _metric("f1", _estimate(0.983, 0.950, 1.0), 0.202, 0.963),
            _metric("log_loss", _estimate(0.05, 0.02, 0.11), 1.04, 0.11),
        ],
        "comparisons": [
            {
                "baseline": "strong",
                "metric": "accuracy",
                "difference": _estimate(0.015, -0.01, 0.04),
                "p": 0.32,
                "verdict": "not shown",
                "words": "better than strong: not shown (p = 0.32)",
            }
        ],
        "confusion": {
            "classes": list(names),
            "counts": [[29, 1, 0], [0, 14, 0], [0, 0, 25]],
            "rest": False,
            "cap": 100,
            "keys": [[0, 1, ["k0"]], [1, 1, ["k2"]], [2, 2, ["k1"]]],
        },
        "per_class": [
            {
                "name": name,
                "rows": n,
                "predicted": n,
                "precision": _estimate(p),
                "recall": _estimate(r),
                "f1": _estimate(f),
            }
            for name, n, p, r, f in zip(
                names, (30, 14, 25), (1, 0.933, 1), (0.967, 1, 1), (0.983, 0.966, 1), strict=True
            )
        ],
        "worst": [
            {
                "key": key,
                "number": n,
                "truth": truth,
                "prediction": predicted,
                "wrong": wrong,
                "score": 0.91,
                "words": words,
                "inputs": [["bill", "44.1"], ["mass", "3800"], ["island", "Dream"]],
                "note": "",
            }
            for key, n, truth, predicted, wrong, words in rows
        ],
        "residuals": None,
        "calibration": [],
        "curves": [],
        "ledger": LEDGER,
        "notices": [],
    }


def regression(run: str = "0003-tabm") -> dict[str, Any]:
    """88 patients, a number predicted for each."""
    points = [[30 + n * 3.5, 60 + n * 2.4 + (n * 37 % 61) - 30] for n in range(88)]
    return {
        **classification(run),
        "task": "regression",
        "metric": "rmse",
        "metrics": [
            _metric("rmse", _estimate(54.2, 47.1, 61.8), 77.9, 58.8),
            _metric("mae", _estimate(43.1, 37.0, 49.9), 66.2, 47.1),
            _metric("r2", _estimate(0.512, 0.38, 0.63), -0.01, 0.43),
        ],
        "good": {"at_least": 50, "reached": False, "words": "good: 50 not reached"},
        "confusion": None,
        "per_class": [],
        "residuals": {
            "edges": [-150, -100, -50, 0, 50, 100, 150],
            "counts": [3, 14, 29, 27, 12, 3],
            "points": points,
            "point_keys": [f"k{n}" for n in range(88)],
            "bias": _estimate(-2.1, -12.0, 8.0),
            "covered": _estimate(0.91),
            "level": 0.9,
        },
    }


@pytest.fixture(scope="session")
def same_picture():
    """Compares a screen's text with its picture by name."""
    return _same_picture


@pytest.fixture(scope="session")
def reviews():
    """Documents as `report/view.json` holds them."""
    return SimpleNamespace(LEDGER=LEDGER, classification=classification, regression=regression)
