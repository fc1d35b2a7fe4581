"""Which column says what rows are fed first: looked for among the prepared columns before a run is made."""

from __future__ import annotations

from pathlib import Path

from epochal.core.errors import SettingsError
from epochal.core.settings import Project
from epochal.core.steps import nearest
from epochal.data.protocol import Built
from epochal.project.paths import ProjectPaths
from epochal.snapshot.manifest import open_snapshot


def refuse_feed(folder: Path, project: Project, built: Built) -> None:
    """Refuse a `feed_by` that is no column, or one of texts. Raises SettingsError (unknown-column, wrong-kind)."""
    name = project.train.feed_by
    if project.train.feed != "gradual" or not name:
        return
    columns = open_snapshot(ProjectPaths(folder).snapshots / built.snapshot_id).columns
    found = next((column for column in columns if column.name == name), None)
    if found is None:
        close = nearest(name, tuple(column.name for column in columns))
        raise SettingsError(
            f"there is no column {name!r} whose values could say which rows are fed first",
            path=("train", "feed_by"),
            where="[train] feed_by",
            fix=f"did you mean {close!r}?" if close else "name a column of numbers, dates or yes and no",
            code="unknown-column",
        )
    if found.type == "VARCHAR":
        raise SettingsError(
            f"{name!r} holds text: rows cannot be fed in its order",
            path=("train", "feed_by"),
            where="[train] feed_by",
            fix="name a column of numbers, or compute one in the recipe",
            code="wrong-kind",
        )
