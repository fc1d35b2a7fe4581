"""Which rows are held out: a fraction in [0, 1) per key that any language computes alike.

`u` is the first 15 hexadecimal digits of `md5("{seed}:{key}")` (UTF-8) as an integer, divided by 16**15. Rows below
the test cut are tested on, the next slice validates, the rest is trained on. New rows move nobody.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import date
from typing import Any, Literal

from epochal.core.tables import Columns, Project, SplitSettings


Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")
"""In the order of their numbers in a split file: 0 train, 1 validation, 2 test."""


def fraction(seed: int, key: str) -> float:
    """The key's place in [0, 1), the same on any machine and for ever."""
    digest = hashlib.md5(f"{seed}:{key}".encode(), usedforsecurity=False).hexdigest()
    return int(digest[:15], 16) / 16**15


def part_of(u: float, *, test: float, validation_end: float) -> Part:
    """The part a fraction falls in: [0, test) test, [test, validation_end) validation, the rest train."""
    if u < test:
        return "test"
    return "validation" if u < validation_end else "train"


# ── what was recorded belongs to one rule ──
#
# `[split] fingerprint` is ROWS-SUM-RULE, for `time` ROWS-SUM-RULE-DATES: which rows are tested on, then short hashes of
# what dealt them out. Cuts and dates recorded beside it are followed only while the rule is the same one.


DEALT_ANEW = "the split changed: rows are dealt out anew, the recorded cuts and fingerprint are dropped"
DEALT_OTHERWISE = "the split is another than the recorded one: rows are dealt out anew"
"""Where nothing is recorded, and so nothing dropped."""


def rule_of(split: SplitSettings, columns: Columns) -> str:
    """A short hash of all that decides where a row falls, but for what was recorded. Other settings move nobody."""
    shares = [split.validation, split.test]
    told: dict[str, list[Any]] = {
        "random": [split.seed, shares],
        "stratified": [split.seed, shares, columns.target],
        "group": [split.seed, shares, columns.group],
        "time": [shares, columns.time],
        "column": [split.column, sorted(split.values.items())],
    }
    return _short([split.kind, *told[split.kind]])


def fingerprint_of(rows: str, split: SplitSettings, columns: Columns) -> str:
    """What [split] records: the fingerprint of the test rows, and the rule it belongs to."""
    return "-".join([rows, rule_of(split, columns), *([_dates(split)] if split.kind == "time" else [])])


def rows_of(fingerprint: str) -> str:
    """The part of a fingerprint that is of the test rows alone."""
    return "-".join(fingerprint.split("-")[:2])


def is_dealt_anew(split: SplitSettings, columns: Columns) -> bool:
    """Whether what [split] records belongs to another rule than the one that now stands there."""
    rule, dates = _recorded(split)
    return bool(rule) and (rule != rule_of(split, columns) or (split.kind == "time" and dates != _dates(split)))


def followed(split: SplitSettings, columns: Columns) -> SplitSettings:
    """The split without what was recorded under another rule. Dates that a person wrote since are kept."""
    if not is_dealt_anew(split, columns):
        return split
    rule, dates = _recorded(split)
    if rule != rule_of(split, columns):
        split = replace(split, cuts={})
        if dates == _dates(split):
            split = replace(split, validation_from=None, test_from=None)
    return replace(split, fingerprint="")


def said_of_change(before: Project, after: Project) -> str:
    """What a person is told when a decision drops what was recorded of the split; empty when it does not."""
    dropped = is_dealt_anew(after.split, after.columns) and not is_dealt_anew(before.split, before.columns)
    return DEALT_ANEW if dropped else ""


def _recorded(split: SplitSettings) -> tuple[str, str]:
    """The hashes of rule and dates in a fingerprint; empty where it says nothing of them."""
    parts = split.fingerprint.split("-")
    return (parts[2] if len(parts) > 2 else "", parts[3] if len(parts) > 3 else "")


def _dates(split: SplitSettings) -> str:
    return _short([d.isoformat() if isinstance(d, date) else d or "" for d in (split.validation_from, split.test_from)])


def _short(told: list[Any]) -> str:
    text = json.dumps(told, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
