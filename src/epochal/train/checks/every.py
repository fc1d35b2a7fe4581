"""All checks, each within its share of time, so that a person waits well under a minute."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from epochal.train.checks.facts import Checks
from epochal.train.checks.overfit import overfit
from epochal.train.checks.rates import range_test
from epochal.train.checks.sizes import size_test
from epochal.train.checks.subject import Subject
from epochal.train.checks.untrained import untrained
from epochal.train.gradient import GradientLearner
from epochal.train.make import DenseRows, Prepared, make_learner
from epochal.train.own.model import OwnNetwork
from epochal.train.state import Plan


Report = Callable[[str, float], None]
"""Told what is being tried and the share of the time that is spent."""

_OVERFIT_SECONDS, _RATES_SECONDS, _SIZES_SECONDS = 8.0, 12.0, 6.0
"""Most that each takes; on small data all take a second or two together."""


def every_check(prepared: Prepared, family: str, plan: Plan, dense: DenseRows | None, report: Report) -> Checks:
    """Train throw-away learners of this plan and say what they showed."""
    marks = [time.perf_counter()]

    def passed() -> float:
        marks.append(time.perf_counter())
        return marks[-1]

    report("judging the untrained model", 0.2)
    # Compiling would take longer than all checks, and which rows come first changes nothing in them.
    plan = replace(plan, feed="all", compiled=False)
    made = make_learner(prepared, family, plan, dense)
    module = made.learner.module if isinstance(made.learner, GradientLearner) else None
    subject = Subject(
        prepared=prepared,
        family=family,
        plan=plan,
        dense=dense,
        fitted=made.fitted,
        own_loss=isinstance(module, OwnNetwork) and module.own_loss is not None,
    )
    first = untrained(subject)
    report("learning one batch by heart", 0.3)
    second = overfit(subject, passed() + _OVERFIT_SECONDS)
    raising = "raising the learning rate step by step"
    report(raising, 0.5)
    third = range_test(subject, passed() + _RATES_SECONDS, lambda share: report(raising, 0.5 + 0.3 * share))
    report("trying batch sizes", 0.8)
    fourth = size_test(
        subject, passed() + _SIZES_SECONDS, lambda size, share: report(f"trying {size}", 0.8 + 0.2 * share)
    )
    passed()
    names = ("untrained_loss", "overfit", "learning_rate", "batch_size")
    return Checks(
        untrained_loss=first,
        overfit=second,
        learning_rate=third,
        batch_size=fourth,
        seconds={name: marks[n + 1] - marks[n] for n, name in enumerate(names)},
    )
