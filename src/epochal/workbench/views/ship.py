"""How to use a finished model elsewhere: the exact commands, and where its files are."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from epochal.show import safe
from epochal.workbench.evidence import changed_words, changes
from epochal.workbench.views.words import place


if TYPE_CHECKING:
    from epochal.core.settings import Project
    from epochal.runs.state import RunInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipView:
    """What the Ship pane shows."""

    headline: str
    commands: tuple[tuple[str, str], ...]
    """A command line and what it does."""
    files: tuple[tuple[str, str], ...]
    later: tuple[str, ...]
    next: str
    changed: str = ""
    """What the project asks otherwise since the run was made, in words."""


_LATER = (
    "Export to ONNX, safetensors or the Hub's layout, each written file tested against the model.",
    "A drift check: how far a new file is from what the model was trained on.",
    "A model card ready to publish, its numbers linked to run and data hashes.",
)


def ship_view(folder: Path, info: RunInfo | None, *, tested: bool, project: Project | None = None) -> ShipView:
    """The view for the run that is shown, beside the project as it is now."""
    here = shlex.quote(place(folder))
    has_model = info is not None and (info.folder / "bundle" / "bundle.toml").is_file()
    if info is None or not has_model:
        return ShipView(
            headline="There is no finished model yet.",
            commands=(),
            files=(),
            later=_LATER,
            next="5 Train makes one.",
        )
    changed = changes(info.spec.project, project) if project is not None else ()
    again = "a training of the project as it is now" if changed else "the same training again"
    which = f" --run {info.spec.number}"
    commands = [
        (
            f"epochal predict {here} new.csv -o out.csv{which}",
            "every row of a new file comes back, in order, with its prediction",
        ),
        (f"epochal test {here} {info.spec.number} --json", "the verdict of the test set, for a script"),
        (f"epochal train {here} --json", f"{again}, without a screen"),
    ]
    files = [
        ("bundle/", "the model: weights, preparation, label map, reference statistics; no pickle"),
        ("run.toml", "the frozen settings, versions and data hashes"),
    ]
    if tested:
        files += [
            ("report/report.html", "the verdict as one page to send to someone"),
            ("report/card.md", "what the model is for, on what data, how good"),
            ("report/predictions.parquet", "each test row with its prediction"),
        ]
    return ShipView(
        headline=f"run {info.spec.number}  {safe(info.spec.family)} is ready to use.",
        commands=tuple((safe(c), w) for c, w in commands),
        files=tuple((safe(place(info.folder / name)), w) for name, w in files),
        later=_LATER,
        changed=changed_words(changed),
        next="gq leaves, and the commands above work in a shell: all is in the project folder."
        if tested
        else "6 Test first, for nobody has tested this model yet.",
    )
