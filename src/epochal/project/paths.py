"""Where everything of a project stands."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ProjectPaths:
    """The places of one project. `folder` is absolute."""

    folder: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", Path(self.folder).absolute())

    @property
    def toml(self) -> Path:
        """What a person decided."""
        return self.folder / "project.toml"

    @property
    def history(self) -> Path:
        """Every saved state of the decisions."""
        return self.folder / "history.jsonl"

    @property
    def looks(self) -> Path:
        """Each time the test set was opened."""
        return self.folder / "looks.jsonl"

    @property
    def mappings(self) -> Path:
        """Value mappings as CSV."""
        return self.folder / "mappings"

    @property
    def labels(self) -> Path:
        """Decisions of labellers."""
        return self.folder / "labels"

    @property
    def runs(self) -> Path:
        """One folder a run."""
        return self.folder / "runs"

    @property
    def cache(self) -> Path:
        """May be deleted at any time without losing a decision.

        In a project that cannot be written (another person's, a mounted archive) it lies in the reader's own cache, so
        that the data can be looked at and the models used.
        """
        own = self.folder / ".epochal"
        if _may_write(own) if own.exists() else _may_write(self.folder) or not self.folder.exists():
            return own
        home = os.environ.get("XDG_CACHE_HOME", "") or str(Path("~/.cache").expanduser())
        return Path(home, "epochal", "projects", hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:16])

    @property
    def scratch(self) -> Path:
        """Imported sources as native tables, and spill files."""
        return self.cache / "scratch"

    @property
    def snapshots(self) -> Path:
        """Cleaned data, one folder each, named by its id."""
        return self.cache / "snapshots"

    @property
    def splits(self) -> Path:
        """Split files, one folder each, named by its id."""
        return self.cache / "splits"

    @property
    def prepared(self) -> Path:
        """Prepared rows of data that does not fit into memory, one folder each."""
        return self.cache / "prepared"

    @property
    def choices(self) -> Path:
        """Evidence of model choices."""
        return self.cache / "choices"

    @property
    def checks(self) -> Path:
        """What checks before a run said."""
        return self.cache / "checks"

    @property
    def locks(self) -> Path:
        """Lock files of writers."""
        return self.cache / "locks"


def _may_write(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK)
