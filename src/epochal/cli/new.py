"""Make a project from a data source with suggested settings, without a screen."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from epochal.cli.arguments import add_json, add_set, apply_sets, parse_sets
from epochal.cli.console import Console, typed
from epochal.core.errors import EpochalError


SUMMARY = "make a project with suggested settings"


def prepare(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument("dir", metavar="DIR", type=Path, help="the project's folder, made new")
    parser.add_argument("--data", metavar="URI", required=True, help="a file, a glob, sklearn:NAME or hf://NAME")
    parser.add_argument("--target", metavar="COL", default="", help="what is predicted (default: suggested)")
    parser.add_argument("--task", metavar="T", default="", help="classification or regression (default: suggested)")
    add_set(parser, "a setting to save, such as train.epochs=20 or model.family=mlp")
    add_json(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Propose, create, build, choose; then say what was decided and why."""
    from epochal.workbench import operations
    from epochal.workbench.data_client import DataClient

    sets = parse_sets(arguments.set)
    operations.refuse_existing(arguments.dir)
    try:
        with DataClient() as client:
            made = operations.new_project(
                client,
                arguments.dir,
                arguments.data,
                tell=console.notice,
                target=arguments.target,
                task=arguments.task,
                adjust=lambda project: apply_sets(project, sets),
                report=console.progress,
            )
    except (EpochalError, KeyboardInterrupt):
        if (arguments.dir / "project.toml").exists():
            console.notice(
                f"the project is made, its family is not chosen yet: `epochal train {typed(arguments.dir)}` does"
            )
        raise
    project = made.file.project
    if console.as_json:
        console.document(
            {
                "project": project.name,
                "path": str(made.file.folder),
                "task": project.goal.task,
                "target": project.columns.target,
                "metric": project.metric,
                "family": project.model.family,
                "reasons": [{"setting": s, "value": v, "why": w} for s, v, w in made.reasons],
                "choice": dict(made.choice),
                "ledger": dict(made.built.ledger),
            }
        )
        return 0
    console.say(f"{project.name}: predict {project.columns.target} ({project.goal.task}), judged by {project.metric}")
    console.table(("suggested", "value", "because"), made.reasons)
    if made.suspects:
        names = ", ".join(json.dumps(name, ensure_ascii=False) for name in made.suspects)
        console.say(f"to leave suspects out, add [{names}] to ignore under [columns] in {arguments.dir}/project.toml")
    say_choice(made.choice, console)
    console.say(f"family {project.model.family}. Next: epochal train {typed(arguments.dir)}")
    return 0


def say_choice(choice: Mapping[str, Any], console: Console) -> None:
    """The evidence for the chosen family and the runners-up, as a table."""
    from epochal.workbench.views.words import duration, figure

    candidates = choice.get("candidates", ())
    if not candidates:
        return
    console.say()
    console.table(
        ("family", choice.get("metric", "value"), "±", "about", "why"),
        [
            (
                c["family"],
                figure(c.get("value")),
                figure(c.get("spread")),
                duration(c["seconds"]) if c.get("seconds") is not None else "–",
                c.get("why", ""),
            )
            for c in candidates
        ],
        right=(1, 2, 3),
    )
    if choice.get("reason"):
        console.say(choice["reason"])
