"""The split's rule and the ledger's sum."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epochal.core.ledger import Ledger, SourceLines, StepCount
from epochal.core.split import fraction, part_of


class TestTheFraction:
    @pytest.mark.parametrize(
        ("seed", "key", "digits"),
        # From coreutils: printf '0:a' | md5sum
        [(0, "a", "02766c67dacc416"), (7, "Straße", "a3d30bf3d99fce5"), (0, "", "9a1c7ee2c7ce38d")],
    )
    def test_is_the_one_any_language_computes(self, seed, key, digits):
        assert fraction(seed, key) == int(digits, 16) / 16**15

    @given(st.integers(0, 2**53), st.text())
    def test_lies_between_nothing_and_all(self, seed, key):
        assert 0 <= fraction(seed, key.encode("utf-8", "replace").decode()) < 1

    def test_deals_evenly(self):
        tenths = [0] * 10
        for i in range(20_000):
            tenths[int(fraction(3, str(i)) * 10)] += 1
        assert all(1800 < n < 2200 for n in tenths)


class TestAPart:
    @pytest.mark.parametrize(
        ("u", "part"),
        [(0.0, "test"), (0.1999, "test"), (0.2, "validation"), (0.2999, "validation"), (0.3, "train"), (0.99, "train")],
    )
    def test_is_cut_at_the_shares(self, u, part):
        assert part_of(u, test=0.2, validation_end=0.3) == part

    def test_may_be_empty(self):
        assert part_of(0.0, test=0.0, validation_end=0.0) == "train"


LINES = SourceLines(name="a", lines=12, header=1, blank=1, continuation=2, rejected=3, read=5, rejected_cells=4)
LEDGER = Ledger(
    sources=(LINES,),
    steps=(StepCount(n=1, op="trim", removed=0, changed=7), StepCount(n=2, op="filter", removed=2, changed=0)),
    train=1,
    validation=1,
    test=1,
)


class TestTheLedger:
    def test_sums_when_nothing_is_lost(self):
        assert (LEDGER.read, LEDGER.removed, LEDGER.kept, LEDGER.sums) == (5, 2, 3, True)

    @pytest.mark.parametrize("key", ["lines", "header", "blank", "continuation", "rejected", "read"])
    def test_does_not_sum_when_a_line_is_lost(self, key):
        lost = replace(LINES, **{key: getattr(LINES, key) + 1})
        assert not replace(LEDGER, sources=(lost,)).sums

    @pytest.mark.parametrize("key", ["train", "validation", "test"])
    def test_does_not_sum_when_a_row_is_lost(self, key):
        assert not replace(LEDGER, **{key: 2}).sums

    def test_counts_rejected_cells_outside_the_sum(self):
        assert replace(LEDGER, sources=(replace(LINES, rejected_cells=99),)).sums

    def test_comes_back_from_its_json_with_the_keys_scripts_rely_on(self):
        document = json.loads(json.dumps(LEDGER.as_dict()))
        assert list(document) == ["sources", "read", "steps", "removed", "kept", "train", "validation", "test", "sums"]
        assert list(document["sources"][0]) == [
            "name",
            "lines",
            "header",
            "blank",
            "continuation",
            "rejected",
            "read",
            "rejected_cells",
        ]
        assert list(document["steps"][0]) == ["n", "op", "removed", "changed"]
        assert Ledger.from_dict(document) == LEDGER
