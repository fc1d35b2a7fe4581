"""A signal handler only notes that the signal came: whatever else it did might wait for a lock that its thread holds."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest


SOURCES = Path(__file__).parents[2] / "src" / "epochal"
NOTES = {"append", "put", "set"}
"""What a handler may call on what it was given beforehand, once."""
HEEDED = {"host.py", "cli/following.py", "cli/leaving.py", "runs/ending.py", "data_host.py"}


def handlers():
    """Where a handler is set, and what is set."""
    for path in sorted(SOURCES.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {"signal.signal", "loop.add_signal_handler"}:
                yield path.relative_to(SOURCES).as_posix(), node.args[1]


def only_notes(handler):
    """Whether it is no code of ours, or a lambda that does nothing but note one thing."""
    if not isinstance(handler, ast.Lambda):
        # SIG_IGN, SIG_DFL, or the handler that was there before.
        return ast.unparse(handler) in {"signal.SIG_IGN", "signal.SIG_DFL", "before"}
    call = handler.body
    return (
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and call.func.attr in NOTES
        and all(isinstance(argument, ast.Name) for argument in call.args)
    )


@pytest.mark.parametrize(
    ("place", "handler"),
    list(handlers()),
    ids=lambda value: value if isinstance(value, str) else ast.unparse(value)[:40],
)
def test_every_handler_of_the_program_only_notes_its_signal(place, handler):
    assert only_notes(handler), f"{place}: {ast.unparse(handler)}"


def test_the_places_that_heed_signals_are_the_known_ones():
    assert {place for place, _handler in handlers()} == HEEDED


@pytest.mark.parametrize("code", ["lambda n, f: save(n)", "heard", "lambda n, f: noted.append(read())"])
def test_a_handler_that_does_more_is_found(code):
    assert not only_notes(ast.parse(code, mode="eval").body)
