"""What is imported to train: nothing that nothing here uses."""

from __future__ import annotations

import subprocess
import sys


def said_by(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_training_imports_neither_scikit_learn_nor_pandas_and_leaves_them_to_who_wants_them():
    code = """
import sys
import epochal.train.fit
print([name for name in ("sklearn", "pandas") if name in sys.modules])
import pandas
import sklearn.base
"""
    assert said_by(code) == "[]"


def test_a_model_of_ones_own_finds_lightgbm_and_the_embeddings_with_all_that_belongs_to_them(tmp_path):
    text = """
import lightgbm
import numpy as np
import rtdl_num_embeddings
import torch


class Net(torch.nn.Module):
    rounds = lightgbm.LGBMClassifier(n_estimators=2).n_estimators
    bins = rtdl_num_embeddings.compute_bins(
        torch.rand(50, 1), y=torch.rand(50), regression=True, tree_kwargs={"min_samples_leaf": 5}
    )
"""
    code = f"""
from pathlib import Path
import epochal.train.fit
from epochal.train.own.load import load_class
net = load_class(Path({str(tmp_path)!r}), {{"model.py": {text.encode()!r}}}, "model.py:Net")
print(net.rounds, len(net.bins))
"""
    assert said_by(code) == "2 1"
