"""What --json prints for each verb: keys that scripts rely on. More may come, none goes or is renamed."""

from __future__ import annotations


LEDGER = ("sources", "read", "steps", "removed", "kept", "train", "validation", "test", "sums")
SOURCE = ("name", "lines", "header", "blank", "continuation", "rejected", "read", "rejected_cells")

KEYS: dict[str, tuple[str, ...]] = {
    "demo --into DIR": ("name", "path"),
    "demo --list": ("name", "question"),
    "new": ("project", "path", "task", "target", "metric", "family", "reasons", "choice", "ledger"),
    "check": ("problems", "estimate", "checks"),
    "data": ("rows", "columns", "first"),
    "data --sql": ("sql",),
    "data --profile": ("column", "kind", "rows", "missing", "distinct", "exact", "min", "max", "top"),
    "data --rejects": ("source", "line", "column", "kind", "text"),
    "data --ledger": LEDGER,
    "data --export FILE": ("rows", "path"),
    "clean": ("step", "applied", "removed", "changed", "rows_before", "rows_after", "rejected_cells"),
    "clean --list": ("recipe", "ops"),
    "train": (
        "run",
        "state",
        "family",
        "task",
        "metric",
        "best",
        "steps",
        "epochs",
        "seconds",
        "samples_per_second",
        "world_size",
        "path",
    ),
    "train --no-follow": ("run", "state", "pid", "path"),
    "train --print-launch": ("run", "nodes", "world_size", "path"),
    "runs": ("run", "state", "family", "metric", "value", "started", "seconds", "world_size", "path"),
    "stop": ("run", "state"),
    "checkpoint": ("run", "step", "pinned", "path"),
    "checkpoint --list": ("step", "bytes", "value", "whole", "healthy", "pinned", "best", "path"),
    "verify-resume": (
        "verdict",
        "family",
        "task",
        "mode",
        "device",
        "threads",
        "precision",
        "steps",
        "begins",
        "steps_per_epoch",
        "evaluate_every",
        "total_steps",
        "pieces",
        "losses",
        "ways",
        "compared",
        "notices",
        "seconds",
    ),
    "test": ("run", "task", "rows", "metrics", "intervals", "baselines", "looks", "ledger"),
    "predict": ("rows", "path", "run", "noted"),
    "trust": ("trusted", "digest", "files"),
    "trust --revoke": ("trusted", "revoked"),
    "doctor": ("machine", "findings"),
}
"""Of the document, or of each of its items where it is a list."""

LISTS = {"demo --list", "data --profile", "data --rejects", "runs", "checkpoint --list"}
"""Commands whose document is a list."""


def words(verb: str) -> str:
    """For a verb's help: the keys of its documents; nothing where it has none."""
    lines = []
    for command, keys in KEYS.items():
        if command.partition(" ")[0] == verb:
            option = command.partition(" ")[2]
            what = "a list of" if command in LISTS else "an object with"
            lines.append(f"{option + ' ' if option else ''}--json prints {what} {', '.join(keys)}.")
    return " ".join(lines)
