"""Ranks share each batch and compute what one process would."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from epochal.train.team import SOLO, Team


def cases():
    """The module that ranks run as a program."""
    found = importlib.util.spec_from_file_location("rank_cases", Path(__file__).with_name("rank_cases.py"))
    module = importlib.util.module_from_spec(found)
    sys.modules[found.name] = module  # dataclasses look themselves up there
    found.loader.exec_module(module)
    return module


CASES = cases()


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """What two ranks on this machine make of every case."""
    path = tmp_path_factory.mktemp("ranks") / "told.npz"
    launcher = [sys.executable, "-P", "-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1"]
    command = [*launcher, "--nproc-per-node", "2", CASES.__file__, str(path)]
    done = subprocess.run(
        command,
        env={**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return np.load(path)


@pytest.fixture(scope="module")
def alone():
    """What one process makes of them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield dict(CASES.outcomes())
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", CASES.CASES)
@pytest.mark.parametrize("what", ["weights", "figures", "answers"])
def test_two_ranks_compute_what_one_process_does(together, alone, name, what):
    """To rounding: the same gradients of the same batches, whatever the parts weigh."""
    key = f"{name}: {what}"

    assert together[key] == pytest.approx(alone[key], rel=1e-5, abs=1e-5, nan_ok=True)


def test_what_is_no_number_on_one_rank_stops_both_before_that_step(together):
    """Each sees it in the sum."""
    first, second = together["that meets what is no number: figures"].reshape(2, -1)

    assert 0 < first[-2] + second[-2] < CASES.STEPS
    assert second[-1] == 0


def test_a_batch_without_a_row_for_each_rank_is_refused(together):
    """By all of them at once, with nobody left waiting."""
    assert str(together["refusal"]) == "too-many-ranks"


class TestAPart:
    @pytest.mark.parametrize("rows", [1, 2, 7, 33, 1000])
    @pytest.mark.parametrize("size", [1, 2, 3, 8])
    def test_of_a_batch_is_nobody_elses_and_nothing_is_left(self, rows, size):
        """Parts lie end to end and differ by a row at most."""
        parts = [Team(rank=rank, size=size).part(rows) for rank in range(size)]
        lengths = [end - start for start, end in parts]

        assert [row for start, end in parts for row in range(start, end)] == list(range(rows))
        assert max(lengths) - min(lengths) <= 1

    def test_of_one_process_is_everything_as_it_is(self):
        """Nothing is asked of others, so nothing is copied or written as JSON."""
        values, found = torch.zeros(3), object()

        assert SOLO.said(lambda: found) is found
        assert SOLO.joined(values) is values
        assert SOLO.summed(values) is values
        assert SOLO.exchange_seconds() == 0
