"""Read everything, list problems, make short throw-away trainings that show faults, estimate memory, disk and time."""

from __future__ import annotations

import argparse
import shutil
from typing import TYPE_CHECKING, Any

from epochal.cli.arguments import add_json, add_project, add_set, apply_sets, parse_sets
from epochal.cli.console import Console


if TYPE_CHECKING:
    from epochal.tui.glyphs import Glyphs
    from epochal.workbench.views.check import CheckView


SUMMARY = "find problems before training"

_PICTURE_WIDTH, _PICTURE_HEIGHT = 76, 12
"""Cells of the learning-rate picture, at most; a narrower terminal has a narrower one."""
_BAR = 20


def prepare(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    add_project(parser)
    add_set(parser, "a setting for this alone, such as train.learning_rate=0.01")
    parser.add_argument(
        "--quick", action="store_true", help="leave the short trainings out: settings, data, one real step"
    )
    add_json(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Check; 1 when there are errors."""
    from epochal.core.useless import said_of_idle
    from epochal.project.file import ProjectFile
    from epochal.workbench.checking import check_file
    from epochal.workbench.data_client import DataClient
    from epochal.workbench.operations import quiet

    sets = parse_sets(arguments.set)
    file = ProjectFile.open(arguments.dir)
    project = apply_sets(file.project, sets)
    dropped = said_of_idle(file.project, project)
    if dropped:
        console.notice(f"for this check {dropped}")
    with DataClient() as client:
        document, _built = check_file(
            client,
            file,
            quiet if console.as_json else console.progress,
            tell=console.notice,
            project=project,
            overrides=sets,
            probes=not arguments.quick,
        )
    if console.as_json:
        console.document(document)
    else:
        _say(document, project, console)
    return 1 if any(p["severity"] == "error" for p in document["problems"]) else 0


def _say(document: dict[str, Any], project: Any, console: Console) -> None:
    from epochal.tui.glyphs import ASCII, glyphs
    from epochal.workbench.views.check import check_view

    signs = glyphs()
    view = check_view(document, project, ascii_only=signs is ASCII)
    for problem in document["problems"]:
        console.say(f"{problem['severity']}: {problem['what']}  [{problem['code']}]")
        for word in ("where", "fix"):
            if problem[word]:
                console.hint(f"{word}: {problem[word]}", indent=2)
    for line in view.lines:
        if line.severity in {"ok", "unsaid"}:
            console.say(f"{signs.done if line.severity == 'ok' else signs.waiting} {line.title}: {line.what}")
    _say_rates(view, console)
    _say_sizes(view, console, signs)
    if view.cost:
        console.say(view.cost)
    if not document["problems"]:
        console.say("nothing found")


def _say_rates(view: CheckView, console: Console) -> None:
    from epochal.charts.picture import draw

    if view.chart is None:
        return
    width = max(40, min(_PICTURE_WIDTH, shutil.get_terminal_size().columns - 1))
    console.say()
    console.say("loss while the learning rate rises   " + "   ".join(words for words, _tone in view.legend))
    for line in draw(view.chart, width, _PICTURE_HEIGHT):
        console.say("".join(text for text, _role in line).rstrip())


def _say_sizes(view: CheckView, console: Console, signs: Glyphs) -> None:
    if not view.sizes:
        return
    console.say()
    console.table(
        ("batch", "learnt from", "a step keeps", "of the best", ""),
        [(s.size, s.speed, s.memory, signs.blocks[8] * max(1, round(s.share * _BAR)), s.note) for s in view.sizes],
        right=(0, 1, 2),
    )
    console.say()
