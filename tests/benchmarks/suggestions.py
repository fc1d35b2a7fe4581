"""How good what is suggested is: projects made without a word, five splits each, on the sealed test set.

Makes projects of the penguins sample and of `sklearn:` sets as `epochal demo` and `epochal new` suggest them, trains and
tests each with `split.seed` 0 to 4, and prints the means beside both baselines. Run by hand:
python tests/benchmarks/suggestions.py [--budget "30 s"] [--json] [penguins breast_cancer digits diabetes]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean
from typing import Any


METRICS = {"penguins": "accuracy", "breast_cancer": "accuracy", "digits": "accuracy", "diabetes": "rmse"}
SEEDS = range(5)


def epochal(*words: str) -> Any:
    """What a verb says as JSON."""
    command = [sys.executable, "-m", "epochal", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {done.returncode}: {done.stderr}")
    return json.loads(done.stdout) if "--json" in words else None


def measure(name: str, folder: Path, budget: str) -> dict[str, Any]:
    """Means over the five splits."""
    project = str(folder / name)
    limits = ("--set", f"train.budget={json.dumps(budget)}") if budget else ()
    started = time.monotonic()
    if name == "penguins":
        epochal("demo", name, "--into", project)
    else:
        epochal("new", project, "--data", f"sklearn:{name}", *limits, "--json")
    made = time.monotonic() - started
    metric, runs, tests, seconds = METRICS[name], [], [], []
    for seed in SEEDS:
        started = time.monotonic()
        runs.append(epochal("train", project, "--set", f"split.seed={seed}", *limits, "--json"))
        seconds.append(round(time.monotonic() - started, 1))
        tests.append(epochal("test", project, "--json"))
    values = [t["metrics"][metric] for t in tests]
    trivial = [t["baselines"]["trivial"][metric] for t in tests]
    return {
        "family": runs[0]["family"],
        "metric": metric,
        "mean": round(mean(values), 4),
        "values": [round(v, 4) for v in values],
        "trivial": round(mean(trivial), 4),
        "strong": round(mean(t["baselines"]["strong"][metric] for t in tests), 4),
        "below_trivial": round(mean(1 - v / t for v, t in zip(values, trivial, strict=True)), 4),
        "seconds_to_make": round(made, 1),
        "seconds_a_run": seconds,
        "ledgers_sum": all(t["ledger"]["sums"] for t in tests),
    }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"any of {', '.join(METRICS)}; all when none is named")
    parser.add_argument("--budget", default="")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    if strange := set(asked.names) - set(METRICS):
        parser.error(f"there is no {', '.join(sorted(strange))}")
    with tempfile.TemporaryDirectory() as folder:
        found = {name: measure(name, Path(folder), asked.budget) for name in asked.names or METRICS}
    if asked.json:
        print(json.dumps(found))
    else:
        for name, figures in found.items():
            print(name, *(f"  {key}: {value}" for key, value in figures.items()), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
