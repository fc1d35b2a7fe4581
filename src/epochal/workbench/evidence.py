"""What was measured holds for the project it was measured on: whether it still is that one, and what changed since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from epochal.core.settings import Project, Source

Asked = Mapping[str, Any]
"""What decides which rows and columns are learnt from and by what they are judged, in parts that a person knows."""


def asked_of(project: Project) -> Asked:
    """What a trial or a run of this project is asked; equal when what one measured holds for the other."""
    return {
        "the data": tuple(_read(s) for s in project.sources),
        "the target": project.columns.target,
        "the inputs": replace(project.columns, target=""),
        "the recipe": tuple(step.as_dict() for step in project.clean if step.enabled),
        "the split": project.split,
        "the goal": (project.goal.task, project.metric),
    }


def _read(source: Source) -> Source:
    """A source without what is only declared of it."""
    return replace(source, licence="", origin="", retrieved=None, personal_data="")


def changes(before: Project, now: Project) -> tuple[str, ...]:
    """What is another in the project now, in words: a training of it would not be the same again."""
    one = {**asked_of(before), "the settings": (before.model, before.train)}
    other = {**asked_of(now), "the settings": (now.model, now.train)}
    return tuple(part for part, value in one.items() if value != other[part])


def changed_words(parts: tuple[str, ...]) -> str:
    """That these changed since a run, as a sentence's beginning; empty when none did."""
    if not parts:
        return ""
    listed = f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else parts[0]
    return f"{listed} changed since this run"


def target_of(project: Project) -> str:
    """The column to predict; empty when none is chosen or the recipe takes it away."""
    target = project.columns.target
    there = bool(target)
    for step in project.clean:
        if not step.enabled:
            continue
        if step.op == "drop_columns":
            there = there and target not in step.columns
        elif step.op == "select":
            there = there and target in step.columns
        elif step.op == "rename":
            there = step.params["to"] == target or (there and step.params["column"] != target)
        elif (step.op == "compute" and step.params["column"] == target) or (
            step.op == "split_column" and target in step.params["into"]
        ):
            there = True
    return target if there else ""
