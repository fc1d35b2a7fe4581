"""The account of every line and row.

lines = header + blank + continuation + rejected + read; read = kept + removed (by step, with reason);
kept = train + validation + test. A rejected cell is counted beside it, outside the sum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal


RejectKind = Literal["cast", "short", "long", "quote", "encoding"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """A line or a cell that did not fit."""

    source: str
    line: int
    """1-based line of the file; for a source without lines, the row's number."""
    column: str | None
    """The column, for a cell; None for a whole line."""
    kind: RejectKind
    text: str
    """The line or the cell as it stood, cut to a length that can be shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceLines:
    """What became of one source's lines. Sources without lines count a row as a line."""

    name: str
    lines: int
    header: int
    blank: int
    continuation: int
    rejected: int
    read: int
    rejected_cells: int

    @property
    def sums(self) -> bool:
        """Whether every line is accounted for."""
        return self.lines == self.header + self.blank + self.continuation + self.rejected + self.read


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCount:
    """What one step did. `n` is its 1-based place in the recipe."""

    n: int
    op: str
    removed: int
    """Rows."""
    changed: int
    """Cells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """The whole account."""

    sources: tuple[SourceLines, ...]
    steps: tuple[StepCount, ...]
    train: int
    validation: int
    test: int

    @property
    def read(self) -> int:
        """Rows read from all sources."""
        return sum(s.read for s in self.sources)

    @property
    def removed(self) -> int:
        """Rows removed by all steps."""
        return sum(s.removed for s in self.steps)

    @property
    def kept(self) -> int:
        """Rows left after all steps."""
        return self.read - self.removed

    @property
    def sums(self) -> bool:
        """Whether nothing is lost on the way from lines to parts."""
        return all(s.sums for s in self.sources) and self.kept == self.train + self.validation + self.test

    def as_dict(self) -> dict[str, Any]:
        """The JSON that `data --ledger --json` prints."""
        return {
            "sources": [asdict(s) for s in self.sources],
            "read": self.read,
            "steps": [asdict(s) for s in self.steps],
            "removed": self.removed,
            "kept": self.kept,
            "train": self.train,
            "validation": self.validation,
            "test": self.test,
            "sums": self.sums,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Ledger:
        """The ledger back from its JSON."""
        return cls(
            sources=tuple(SourceLines(**s) for s in data["sources"]),
            steps=tuple(StepCount(**s) for s in data["steps"]),
            train=data["train"],
            validation=data["validation"],
            test=data["test"],
        )
