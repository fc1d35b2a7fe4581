"""The loss before the first step: what it is far from what it must be, target or inputs are not what they seem."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from epochal.train.checks.facts import Untrained
from epochal.train.checks.subject import Subject, spread_out


OWN_LOSS = "the model has a loss of its own, whose values say nothing here"
_ROWS = 8_192
"""So many rows tell a mean loss to about a percent."""


def untrained(subject: Subject) -> Untrained:
    """Judge a fresh learner on training rows.

    A model that knows nothing says every class alike, whose cross-entropy is the logarithm of their number, with class
    weights too as these are a weighted mean; of a standardised number it says 0, which is off by the spread, 1.
    """
    fewer = subject.rows(spread_out(subject.num_rows, _ROWS))
    data = fewer.prepared.data
    made = fewer.made(replace(subject.plan, ema=0.0))
    if data.task == "classification":
        expected = math.log(max(1, len(data.classes)))
    else:
        expected = float(np.square(made.target.tensor(data.train.target).double().numpy()).mean())
    return Untrained(
        loss=made.learner.evaluate().loss,
        expected=expected,
        exact=subject.family in {"linear", "trees"},
        rows=fewer.num_rows,
        why_not=OWN_LOSS if subject.own_loss else "",
    )
