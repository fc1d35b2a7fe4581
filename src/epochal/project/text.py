"""project.toml as text."""

from __future__ import annotations

from collections.abc import Mapping

from epochal.core.settings import Project, to_document


def render(project: Project, comments: Mapping[str, str] | None = None) -> str:
    """The whole file."""
    import tomlkit  # noqa: PLC0415

    return tomlkit.dumps(to_document(project))


def apply(text: str, old: Project, new: Project) -> str:
    """The text with the new decisions."""
    return render(new)
