"""The entry point: finds the verb, or opens the workbench. Nothing heavy is imported before a verb needs it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from types import ModuleType

from epochal import __version__
from epochal.cli import (
    check,
    clean,
    data,
    demo,
    doctor,
    new,
    predict,
    resume,
    runs,
    stop,
    test,
    train,
    watch,
    workbench,
)
from epochal.cli.console import Console
from epochal.core.errors import EpochalError


VERBS: dict[str, ModuleType] = {
    "demo": demo,
    "new": new,
    "check": check,
    "data": data,
    "clean": clean,
    "train": train,
    "runs": runs,
    "watch": watch,
    "stop": stop,
    "resume": resume,
    "test": test,
    "predict": predict,
    "doctor": doctor,
}
"""Each verb's module: `SUMMARY`, `prepare(parser)` and `run(arguments, console) -> exit code`."""


def build_parser() -> argparse.ArgumentParser:
    """The whole grammar."""
    parser = argparse.ArgumentParser(
        prog="epochal",
        description="A terminal workbench for training models: clean, train, watch, test and use, in one project folder.",
        epilog=(
            "epochal [PATH] opens the workbench on a project folder, a data file or URI, or, with nothing, on recent "
            "and sample projects. A PATH that reads like a verb is given as ./train."
        ),
    )
    parser.add_argument("--version", action="version", version=f"epochal {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB")
    for name, module in VERBS.items():
        sub = verbs.add_parser(name, help=module.SUMMARY, description=module.__doc__)
        module.prepare(sub)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or (words[0] not in VERBS and not words[0].startswith("-")):
        verb, module = "", workbench
        parser = argparse.ArgumentParser(prog="epochal", description=workbench.__doc__)
        workbench.prepare(parser)
        arguments = parser.parse_args(words)
    else:
        arguments = build_parser().parse_args(words)
        if not arguments.verb:
            return 2
        verb, module = arguments.verb, VERBS[arguments.verb]
    console = Console(as_json=getattr(arguments, "json", False))
    try:
        return int(module.run(arguments, console))
    except EpochalError as error:
        console.error(error)
        return error.exit_code
    except KeyboardInterrupt:
        console.notice("cancelled")
        return 130
    except BrokenPipeError:
        # The reader of our output went away; python must not complain again on the way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # noqa: BLE001 -- an edge: a person gets a sentence, and the trace on request
        return _unexpected(verb, error, console)


def _unexpected(verb: str, error: Exception, console: Console) -> int:
    if os.environ.get("EPOCHAL_DEBUG"):
        raise error
    console.error(
        EpochalError(
            f"epochal {verb} met something it does not know: {type(error).__name__}: {error}",
            fix="set EPOCHAL_DEBUG=1 and run it again for the trace; nothing that was saved is lost",
            code="unexpected",
        )
    )
    return 1
