"""What tests of several folders need to set up: the program as a person runs it, waiting, a project on plants."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest


PATIENCE_SECONDS = 90.0
T = TypeVar("T")


def until(condition: Callable[[], T], seconds: float = PATIENCE_SECONDS) -> T:
    """Wait for something that must come; its value."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    return pytest.fail("it did not happen")


def epochal(
    *words: object,
    check: bool = True,
    code: int = 0,
    cwd: Path | None = None,
    seconds: float | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run the program from where no terminal is, with an `environment` beside the usual; unless `check` is off it must end with `code`."""
    done = subprocess.run(
        [sys.executable, "-m", "epochal", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        timeout=seconds,
        env={**os.environ, **(environment or {})},
    )
    if check:
        assert done.returncode == code, done.stderr
    return done


def document(*words: object, **how: Any) -> Any:
    """What the program prints with --json."""
    return json.loads(epochal(*words, "--json", **how).stdout)


def sets(settings: Mapping[str, object]) -> list[str]:
    """Settings as words of a command."""
    return [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]


def plants_project(folder: Path, settings: Mapping[str, object]) -> Path:
    """A project on 3,000 plants whose kind follows their sizes only loosely, ready to train."""
    chance = random.Random(7)
    lines = ["stem,leaf,edible"]
    for _ in range(3000):
        edible = chance.random() < 0.5
        sizes = f"{chance.gauss(10 if edible else 11, 1.5):.2f},{chance.gauss(3 if edible else 2.5, 0.8):.2f}"
        lines.append(f"{sizes},{'yes' if edible else 'no'}")
    (folder / "plants.csv").write_text("\n".join(lines) + "\n")
    epochal("new", folder / "p", "--data", folder / "plants.csv", "--target", "edible", *sets(settings))
    return folder / "p"
