"""What a person's own code may do wrong, told by its own file and line; the whole trace goes to the host's log."""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

from epochal.core.errors import EpochalError, RunError
from epochal.project.code import is_code
from epochal.show import safe
from epochal.train.memory import is_out_of_memory
from epochal.train.mode import not_exact


class OwnModelError(RunError):
    """A person's model that cannot be made, or does not keep to the protocol."""

    code = "own-model"
    exit_code = 2


@contextlib.contextmanager
def guarded(root: Path, doing: str, fix: str = "mend it there") -> Iterator[None]:
    """Turn whatever a person's code raises inside into an OwnModelError that names their line, and what mends it.

    Running out of memory stays what it is: whoever computes can go on with smaller pieces. An operation that exact mode
    refuses is told as for every model.
    """
    try:
        yield
    except EpochalError:
        raise
    except (Exception, SystemExit) as error:  # an edge: what a person's code raises can be anything
        if is_out_of_memory(error):
            raise
        refusal = not_exact(error, place_of(error, root))
        if refusal is not None:
            raise refusal from error
        raise _failed(error, root, doing, fix) from error


@contextlib.contextmanager
def guarded_gradient(root: Path) -> Iterator[None]:
    """The same where the gradient of a person's loss is computed, in which seldom a line is theirs.

    An operation that exact mode refuses is told by whoever computes the steps.
    """
    try:
        yield
    except EpochalError:
        raise
    except (Exception, SystemExit) as error:  # an edge: a hook of theirs can raise anything
        if is_out_of_memory(error) or not_exact(error, "") is not None:
            raise
        fix = "mend it there; with torch.autograd.set_detect_anomaly(True) in the file, host.log shows the line"
        raise _failed(error, root, "the gradient of the loss", fix) from error


def _failed(error: BaseException, root: Path, doing: str, fix: str) -> OwnModelError:
    """The error as a person reads it: type and text, their innermost file and line. The trace goes to stderr."""
    traceback.print_exception(error, file=sys.stderr)
    said = str(error) or "no more was said"
    return OwnModelError(
        f"{doing}: {type(error).__name__}: {safe(said, 600)}",
        where=place_of(error, root),
        fix=fix,
    )


def place_of(error: BaseException, root: Path) -> str:
    """file:line of the innermost call in code of the folder `root`; of a text of it that is no Python where it stops.

    Libraries may lie in a virtual environment in that folder: they are not the person's own.
    """
    if isinstance(error, SyntaxError) and error.filename and is_code(Path(error.filename), root):
        return f"{Path(error.filename).relative_to(root)}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [f for f in frames if is_code(Path(f.filename), root)]
    if not theirs:
        return str(root)
    return f"{Path(theirs[-1].filename).relative_to(root)}:{theirs[-1].lineno}"
