"""Whether what was set lets a run pass over its rows: a batch larger than all of them, or no time for a single pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from epochal.core.settings import Project, duration_seconds
from epochal.show import grouped
from epochal.workbench.verdicts import Verdict


def of_passes(estimate: Mapping[str, Any], project: Project) -> Iterator[Verdict]:
    """What is wrong with the sizes of batches and times; `estimate` as in the document of a check."""
    rows, steps, train = estimate["train_rows"], estimate["steps_per_epoch"], project.train
    if train.batch_size != "auto" and int(train.batch_size) > rows:
        yield Verdict(
            name="batch_size",
            title="batch size",
            severity="warning",
            code="batch-size-too-large",
            where="[train] batch_size",
            what=f"a batch of {grouped(int(train.batch_size))} holds all {grouped(rows)} training rows: "
            "every pass is a single step",
            fix="train.batch_size = auto",
        )
    seconds = steps * estimate["seconds_per_step"]
    for name, limit in (("budget", train.budget), ("time_limit", train.time_limit)):
        if limit and duration_seconds(limit) < seconds:
            yield Verdict(
                name=name,
                title=name.replace("_", " "),
                severity="warning",
                code="time-too-short",
                where=f"[train] {name}",
                what=f"{limit} are less than one pass over the rows takes (about {seconds:.2g} s)",
                fix="give it more time, train on fewer rows, or take a smaller model",
            )
