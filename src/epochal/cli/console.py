"""What the command line says: data on stdout, everything else on stderr, nothing unsafe on either."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from epochal.core.errors import EpochalError
from epochal.show import cell_width, fit, pad, safe


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
        print(_lines(text), file=self._err if self.as_json else self._out)

    def notice(self, text: str) -> None:
        """Something worth knowing that is not the answer."""
        self._clear()
        print(_lines(text), file=self._err)

    def document(self, value: Any) -> None:
        """The one JSON document of --json."""
        self._clear()
        json.dump(value, self._out, ensure_ascii=True, indent=None, default=str, allow_nan=False)
        self._out.write("\n")
        self._out.flush()

    def error(self, error: EpochalError) -> None:
        """An error as what, where, how to fix; with --json as a document on stderr."""
        self._clear()
        if self.as_json:
            print(json.dumps({"error": error.as_dict()}), file=self._err)
            return
        print(f"error: {safe(error.what, 2000)}  [{error.error_code}]", file=self._err)
        if error.where:
            print(f"where: {safe(error.where, 500)}", file=self._err)
        if error.fix:
            print(f"  fix: {safe(error.fix, 500)}", file=self._err)

    def progress(self, text: str, fraction: float | None = None) -> None:
        """One line that is written over; nothing where nobody watches."""
        if not self._live:
            return
        share = "" if fraction is None else f" {fraction:4.0%}"
        width = shutil.get_terminal_size().columns - 1
        line = fit(safe(text + share), width)
        if line != self._line:
            self._err.write("\r" + line + " " * max(0, cell_width(self._line) - cell_width(line)))
            self._err.flush()
            self._line = line

    def table(self, head: Sequence[str], rows: Sequence[Sequence[Any]], *, right: Sequence[int] = ()) -> None:
        """Aligned columns; those in `right` stand to the right."""
        cells = [[safe("" if v is None else str(v), 60) for v in row] for row in rows]
        widths = [max(cell_width(v) for v in column) for column in zip(head, *cells, strict=True)]
        for row in ([*head], *cells):
            self.say(
                "  ".join(
                    pad(v, w, right=i in right) for i, (v, w) in enumerate(zip(row, widths, strict=True))
                ).rstrip()
            )

    def pairs(self, values: Mapping[str, Any]) -> None:
        """Names and values, aligned."""
        width = max(map(len, values), default=0)
        for name, value in values.items():
            self.say(f"{name:<{width}}  {value}")

    def _clear(self) -> None:
        if self._line:
            self._err.write("\r" + " " * cell_width(self._line) + "\r")
            self._err.flush()
            self._line = ""


def _lines(text: str) -> str:
    """Our own line ends stay; everything inside a line is made safe."""
    return "\n".join(safe(line, 100_000) for line in text.split("\n"))
