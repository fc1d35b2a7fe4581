"""The wire to whoever started this process and reads its stdout: lines of JSON, among which nothing else can get."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Mapping
from typing import IO, Any


class Wire:
    """Documents, one a line; from any thread."""

    def __init__(self, out: IO[str]) -> None:
        self._out = out
        self._writing = threading.Lock()

    def say(self, document: Mapping[str, Any]) -> None:
        """Send one. Raises BrokenPipeError when nobody reads any more."""
        line = json.dumps(document, ensure_ascii=True, allow_nan=False) + "\n"
        with self._writing:
            self._out.write(line)
            self._out.flush()


def take_stdout() -> Wire:
    """Keep stdout for answers alone, for good.

    What is printed from here on, by a person's code, by Python or by a library in C, goes to stderr: it neither stands
    between two answers nor can it be taken for one.
    """
    sys.stdout.flush()
    wire = Wire(os.fdopen(os.dup(1), "w", encoding="utf-8"))
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return wire
