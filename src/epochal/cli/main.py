"""The entry point: finds the verb, or opens the workbench. Nothing heavy is imported before a verb needs it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from epochal import __version__
from epochal.cli import (
    check,
    checkpoint,
    clean,
    data,
    demo,
    doctor,
    documents,
    new,
    predict,
    resume,
    runs,
    stop,
    test,
    train,
    trust,
    verify_resume,
    watch,
    workbench,
)
from epochal.cli.arguments import Parser, UsageError
from epochal.cli.console import Console, OutputError, told_when_it_fails
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
    "checkpoint": checkpoint,
    "verify-resume": verify_resume,
    "test": test,
    "predict": predict,
    "trust": trust,
    "doctor": doctor,
}
"""Each verb's module: `SUMMARY`, `prepare(parser)` and `run(arguments, console) -> exit code`."""

READER_GONE = 128 + 13
"""What shells give a program whose reader went away, as in `| head`."""

LATER = {
    "pause": "use `epochal stop` and `epochal resume`",
    "compare": "`epochal runs` lists the runs side by side, `epochal test` judges each",
    "drift": "`epochal predict` notes what it has not seen",
    "export": "`epochal predict` uses the model; its weights lie in runs/*/bundle/model.safetensors",
    "label": "label in the source, or map values with `epochal clean DIR map_values`",
    "sweep": "`epochal train --set` tries one value after the other",
    "card": "`epochal test` writes card.md into the run's report/",
}
"""Verbs that are planned, and what to use meanwhile."""


def build_parser() -> Parser:
    """The whole grammar, for help and documents; a verb's words are read by `parser_of`."""
    parser = Parser(
        prog="epochal",
        description="A terminal workbench for training models: clean, train, watch, test and use, in one project folder.",
        epilog=(
            "epochal [PATH] opens the workbench on a project folder, a data file or URI, or, with nothing, on recent "
            "and sample projects. A PATH that reads like a verb is given as ./train."
        ),
    )
    parser.add_argument("--version", action="version", version=f"epochal {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", parser_class=Parser)
    for name, module in VERBS.items():
        sub = verbs.add_parser(name, help=module.SUMMARY, description=module.__doc__, epilog=documents.words(name))
        module.prepare(sub)
    return parser


def parser_of(verb: str) -> Parser:
    """The grammar of one verb; of opening the workbench for none."""
    module = VERBS.get(verb, workbench)
    parser = Parser(prog=f"epochal {verb}".strip(), description=module.__doc__, epilog=documents.words(verb))
    module.prepare(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    verb = words[0] if words and words[0] in VERBS else ""
    _write_what_can_be_written()
    console = Console(as_json="--json" in words)
    try:
        code = _run(verb, words, console)
        _flush()
    except EpochalError as error:
        console.error(error)
        return error.exit_code
    except KeyboardInterrupt:
        console.notice("cancelled")
        return 130
    except BrokenPipeError:
        _forget_output()
        return READER_GONE
    except Exception as error:  # noqa: BLE001 -- an edge: a person gets a sentence, and the trace on request
        return _unexpected(verb, error, console)
    return code


def _run(verb: str, words: list[str], console: Console) -> int:
    if verb:
        try:
            arguments = parser_of(verb).read(words[1:])
        except UsageError as error:
            if words[1:] or not Path(verb).exists():
                raise
            raise UsageError(error.what, fix=f"to open {verb} here, write ./{verb}; else {error.fix}") from None
        return int(VERBS[verb].run(arguments, console))
    if words and words[0].startswith("-") and words[0].partition("=")[0] != "--theme":
        build_parser().read(words)  # --help and --version leave from here, all else is refused
    if words and not words[0].startswith("-"):
        _refuse_unknown_verb(words[0])
    return workbench.run(parser_of("").read(words), console)


def _refuse_unknown_verb(word: str) -> None:
    """A bare word that names nothing here is a mistyped verb, not a path. Raises UsageError."""
    if Path(word).expanduser().exists() or any(c in word for c in ":*?[/."):
        return
    if word in LATER:
        raise UsageError(f"`epochal {word}` is planned and not there yet", fix=LATER[word], code="planned")
    from epochal.core.steps import nearest

    close = nearest(word, tuple(VERBS))
    raise UsageError(
        f"{word!r} is neither a verb nor a file here",
        fix=f"did you mean `epochal {close}`?" if close else "`epochal --help` lists the verbs",
        code="unknown-verb",
    )


def _write_what_can_be_written() -> None:
    """A stream that was closed swallows what is said; a character that its encoding lacks becomes a `?`."""
    for name in ("stdout", "stderr"):
        stream: Any = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 -- for as long as we run
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def _flush() -> None:
    """Hand over everything now, where a failure can still be told: python's own end only warns. Raises OutputError."""
    try:
        with told_when_it_fails():
            sys.stdout.flush()
    except OutputError:
        _forget_output()
        raise


def _forget_output() -> None:
    """The reader of our output went away; python must not complain again on the way out."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _unexpected(verb: str, error: Exception, console: Console) -> int:
    if os.environ.get("EPOCHAL_DEBUG"):
        raise error
    console.error(
        EpochalError(
            f"{f'epochal {verb}'.strip()} met something it does not know: {type(error).__name__}: {error}",
            fix="set EPOCHAL_DEBUG=1 and run it again for the trace; nothing that was saved is lost",
            code="unexpected",
        )
    )
    return 1
