"""Decisions about the recipe and the columns: each is another project, saved before it is shown."""

from __future__ import annotations

from dataclasses import dataclass, replace

from epochal.core.errors import EpochalError
from epochal.core.steps import Step, parse_step
from epochal.data import protocol
from epochal.workbench.session import Session
from epochal.workbench.views.data import role_of


@dataclass
class Recipe:
    """The steps of a session's project, and what its columns are for."""

    session: Session

    @property
    def steps(self) -> tuple[Step, ...]:
        """The recipe."""
        return self.session.project.clean

    def put_step(self, step: Step, at: int | None = None, was: Step | None = None) -> bool:
        """Append a step, or put it in the place of another.

        `was` is what stood there when the person began: where the recipe changed elsewhere since, the step is looked
        for, and nothing is done when it is not there any more.
        """
        steps = list(self.steps)
        if at is None:
            return self.session.add_step(step)
        if was is not None:
            places = [n for n, there in enumerate(steps) if there == was]
            if not places:
                self.session.failed(
                    EpochalError(
                        "this step was changed or taken out elsewhere in the meantime",
                        where=f"step {at + 1}",
                        fix="look at the recipe, then make your change again",
                        code="edit-conflict",
                    )
                )
                return False
            place = at
            at = min(places, key=lambda n: abs(n - place))
        steps[at] = step
        return self._recipe(tuple(steps), f"edit step {at + 1}")

    def delete_step(self, at: int) -> bool:
        """Take a step out."""
        return self._recipe(tuple(s for n, s in enumerate(self.steps) if n != at), f"delete step {at + 1}")

    def toggle_step(self, at: int) -> bool:
        """Switch a step off, or on again."""
        step = self.steps[at]
        steps = tuple(replace(s, enabled=not s.enabled) if n == at else s for n, s in enumerate(self.steps))
        return self._recipe(steps, f"{'disable' if step.enabled else 'enable'} step {at + 1}")

    def move_step(self, at: int, by: int) -> bool:
        """Move a step up or down. False when it stands at that end already."""
        to = at + by
        if not 0 <= to < len(self.steps):
            return False
        steps = list(self.steps)
        steps.insert(to, steps.pop(at))
        return self._recipe(tuple(steps), f"move step {at + 1} to {to + 1}")

    def _recipe(self, steps: tuple[Step, ...], why: str) -> bool:
        return self.session.change(replace(self.session.project, clean=steps), why)

    def set_role(self, column: str, role: str) -> bool:
        """Make a column the target or the key, or ignore it; what it is already is taken back."""
        project = self.session.project
        columns = project.columns
        was = role_of(column, project)
        ignore = tuple(c for c in columns.ignore if c != column)
        if role == "ignored":
            ignore = ignore if was == "ignored" else (*ignore, column)
            columns = replace(columns, ignore=ignore, target="" if was == "target" else columns.target)
        elif role == "target":
            columns = replace(columns, target="" if was == "target" else column, ignore=ignore)
        else:
            columns = replace(columns, key="" if was == "key" else column, ignore=ignore)
        changed = replace(project, columns=columns)
        return self.session.change(changed, f"{column}: {'no longer ' if was == role else ''}{role}")

    def mend(self, problem: protocol.Problem) -> bool:
        """Do what a problem proposes. False when it proposes nothing that can be done for the person."""
        if problem.step is not None:
            return self.session.add_step(parse_step(problem.step), f"fix: {problem.what}")
        if problem.setting is not None:
            dotted, value = problem.setting
            return self.session.set(dotted, value, f"fix: {problem.what}")
        return False
