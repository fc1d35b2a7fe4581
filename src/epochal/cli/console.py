"""What the command line says: data on stdout, everything else on stderr, nothing unsafe on either."""

from __future__ import annotations

import contextlib
import json
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from epochal.core.errors import EpochalError
from epochal.show import cell_width, fit, pad, safe


_ENDLESS = 1_000_000
_ECHO_CELLS = 2
"""What a terminal writes behind a line when ctrl-c is pressed: ^C."""
_LEAST_COLUMN = 20
"""Cells below which a wrapped column reads worse than a line that runs on."""


class OutputError(EpochalError):
    """What was said cannot be written where it was sent."""

    code = "output"
    exit_code = 1


@contextlib.contextmanager
def told_when_it_fails() -> Iterator[None]:
    """Give a full disk behind stdout its name. A reader that went away stays a BrokenPipeError."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(
            f"the output cannot be written: {error.strerror or error}", fix="make room where it goes"
        ) from error


class Console:
    """The two streams of one command."""

    def __init__(self, *, as_json: bool = False, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self.as_json = as_json
        self._out = out or sys.stdout
        self._err = err or sys.stderr
        self._live = self._err.isatty()
        self._line = ""

    def say(self, text: str = "") -> None:
        """A line of the answer for a person; with --json it goes to stderr, as stdout then holds one document."""
        self._clear()
        stream = self._err if self.as_json else self._out
        with told_when_it_fails():
            print(_lines(text, _width_of(stream)), file=stream)

    def hint(self, text: str, *, indent: int) -> None:
        """A line that belongs to the one above it, set in and wrapped as such."""
        stream = self._err if self.as_json else self._out
        for line in wrap(safe(text, 10_000), max(_LEAST_COLUMN, _width_of(stream) - indent)):
            self.say(" " * indent + line)

    def notice(self, text: str) -> None:
        """Something worth knowing that is not the answer. Where it cannot be written, as on a full disk, nothing ends by that."""
        self._clear()
        try:
            print(_lines(text, _width_of(self._err)), file=self._err, flush=True)
        except BrokenPipeError:
            raise
        except OSError:
            return  # the run that was told of goes on, and so does whoever follows it

    def document(self, value: Any) -> None:
        """The one JSON document of --json."""
        self._clear()
        with told_when_it_fails():
            self._out.write(_json(value) + "\n")
            self._out.flush()

    def error(self, error: EpochalError) -> None:
        """An error as what, where, how to fix; with --json as a document on stderr."""
        self._clear()
        if self.as_json:
            print(_json({"error": error.as_dict()}), file=self._err)
            return
        width = _width_of(self._err)
        for word, text, limit in (
            ("error", f"{safe(error.what, 2000)}  [{error.error_code}]", 2100),
            ("where", error.where, 500),
            ("  fix", error.fix, 500),
        ):
            if text:
                print(f"{word}: " + "\n       ".join(wrap(safe(text, limit), width - 7)), file=self._err)

    def progress(self, text: str, fraction: float | None = None) -> None:
        """One line that is written over; nothing where nobody watches."""
        if not self._live:
            return
        share = "" if fraction is None else f" {fraction:4.0%}"
        width = shutil.get_terminal_size().columns - 1
        line = fit(safe(text), width - cell_width(share)) + share
        if line != self._line:
            self._err.write("\r" + line + " " * max(0, cell_width(self._line) - cell_width(line)))
            self._err.flush()
            self._line = line

    def table(self, head: Sequence[str], rows: Sequence[Sequence[Any]], *, right: Sequence[int] = ()) -> None:
        """Aligned columns; those in `right` stand to the right. On a terminal, a last column of words is wrapped."""
        last = len(head) - 1
        cells = [
            [safe("" if v is None else str(v), 400 if i == last else 60) for i, v in enumerate(row)] for row in rows
        ]
        widths = [max(map(cell_width, column)) for column in zip(head, *cells, strict=True)]
        indent = sum(widths[:-1]) + 2 * last
        room = _width_of(self._err if self.as_json else self._out) - indent
        for row in ([*head], *cells):
            front = "".join(pad(v, widths[i], right=i in right) + "  " for i, v in enumerate(row[:-1]))
            if last in right or room < _LEAST_COLUMN:
                self.say((front + pad(row[-1], widths[last], right=last in right)).rstrip())
                continue
            for n, line in enumerate(wrap(row[-1], room)):
                self.say(((front if n == 0 else " " * indent) + line).rstrip())

    def pairs(self, values: Mapping[str, Any]) -> None:
        """Names and values, aligned."""
        width = max(map(len, values), default=0)
        for name, value in values.items():
            self.say(f"{name:<{width}}  {value}")

    def _clear(self) -> None:
        if self._line:
            covered = min(cell_width(self._line) + _ECHO_CELLS, shutil.get_terminal_size().columns)
            self._err.write("\r" + " " * covered + "\r")
            self._err.flush()
            self._line = ""


def short(folder: Path) -> str:
    """A folder as a person here would write it."""
    here = Path.cwd()
    return str(folder.relative_to(here)) if folder.is_relative_to(here) else str(folder)


def typed(folder: Path) -> str:
    """A folder as a person here would type it into a command."""
    return shlex.quote(short(folder))


def _json(value: Any) -> str:
    """One line in which nothing acts on a terminal; JSON itself leaves DEL as it is."""
    text = json.dumps(value, ensure_ascii=True, default=str, allow_nan=False)
    return text.replace("\x7f", "\\u007f")


def _width_of(stream: TextIO) -> int:
    """How wide a person's terminal is; what goes into a file or a pipe is never wrapped."""
    return shutil.get_terminal_size().columns if stream.isatty() else _ENDLESS


def _lines(text: str, width: int) -> str:
    """Our own line ends stay; everything inside a line is made safe, and wrapped where it is words."""
    lines: list[str] = []
    for line in text.split("\n"):
        whole = safe(line, 100_000)
        # Aligned text keeps its gaps: wrapping would tear columns.
        lines += [whole] if "  " in whole else wrap(whole, width)
    return "\n".join(lines)


def wrap(text: str, width: int) -> list[str]:
    """A safe text as lines of at most `width` cells, broken between words where there are any."""
    lines, line = [], ""
    for word in text.split(" ") if cell_width(text) > width else [text]:
        longer = f"{line} {word}" if line else word
        if line and cell_width(longer) > width:
            lines.append(line)
            longer = word
        line = longer
    return [*lines, line]
