"""Which rows are held out: a fraction in [0, 1) per key that any language computes alike.

`u` is the first 15 hexadecimal digits of `md5("{seed}:{key}")` (UTF-8) as an integer, divided by 16**15. Rows below
the test cut are tested on, the next slice validates, the rest is trained on. New rows move nobody.
"""

from __future__ import annotations

import hashlib
from typing import Literal


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
