"""Two changes of the same decisions, joined where they do not touch."""

from __future__ import annotations

from epochal.core.errors import EpochalError
from epochal.core.settings import Project


def merge(base: Project, ours: Project, theirs: Project) -> Project:
    """Both changes in one. Raises EpochalError (code edit-conflict) where they touch."""
    if ours == base or ours == theirs:
        return theirs
    if theirs == base:
        return ours
    raise EpochalError("the project", code="edit-conflict")
