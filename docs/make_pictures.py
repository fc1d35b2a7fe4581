"""Take the pictures of README and docs from the real program.

    python docs/make_pictures.py [--into FOLDER]

Copies the penguins sample, trains and tests it, opens the workbench on it without a terminal, visits the panes and
writes what they show as SVG. The colours are those of the house theme.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from textual.app import App


PICTURES = Path(__file__).parent / "pictures"
SIZE = (120, 36)
LIVE = (
    *(sys.executable, "-m", "epochal", "train", "--no-follow"),
    *("--set", "train.epochs=400", "--set", "train.patience=400", "--set", "train.learning_rate=0.0003"),
)
"""Starts a run that lasts long enough to be seen."""


def prepare(folder: Path) -> Path:
    """A trained and tested project in a folder of its own."""
    project = folder / "penguins"
    for words in (
        ("demo", "penguins", "--into", str(project)),
        ("train", str(project), "--set", "model.family=linear"),
        ("train", str(project)),
        ("test", str(project)),
    ):
        subprocess.run([sys.executable, "-m", "epochal", *words], check=True, stdin=subprocess.DEVNULL)
    return project


async def take(project: Path, into: Path) -> None:
    """Visit the panes and write a picture of each."""
    from epochal.testing import screen_text, until
    from epochal.tui.app import Workbench
    from epochal.workbench import entry
    from epochal.workbench.session import Session

    session = Session()
    app = Workbench(session, first=entry.prepare(session, str(project)))
    async with app.run_test(size=SIZE) as pilot:
        for key, name, shown in (
            ("2", "data", "−2 rows"),
            ("4", "model", "±"),
            ("6", "test", "Worst rows"),
        ):
            await pilot.press(key)
            await until(lambda shown=shown: shown in screen_text(app), pilot, seconds=60)
            await pilot.pause(1.5)
            write(app, into / f"{name}.svg")
        await asyncio.to_thread(subprocess.run, [*LIVE, str(project)], check=True, stdin=subprocess.DEVNULL)
        await pilot.press("5")
        await until(lambda: session.seen.state is not None and 0.5 < session.seen.state.progress < 1, pilot, seconds=60)
        await pilot.pause(0.6)
        write(app, into / "train.svg")
    session.close()


def write(app: App[int], path: Path) -> None:
    """What the app shows now, as a picture."""
    path.write_text(_still(app.export_screenshot(title="epochal")), encoding="utf-8")


def _still(svg: str) -> str:
    """The picture without what changes from one taking to the next: the id in every class name."""
    return _LEADING.sub(_moved, re.sub(r"terminal-\d+", "terminal-epochal", svg))


_SPACE = "&#160;"
_CELL = 12.2
"""Pixels a character takes in these pictures."""
_LEADING = re.compile(rf'x="([0-9.]+)" (y="[0-9.]+") textLength="([0-9.]+)"([^>]*)>((?:{_SPACE})+)')


def _moved(match: re.Match[str]) -> str:
    """A text that begins where its first letter stands: some viewers leave out spaces before it."""
    x, y, length, rest, spaces = match.groups()
    room = len(spaces) // len(_SPACE) * _CELL
    return f'x="{float(x) + room:.1f}" {y} textLength="{max(_CELL, float(length) - room):.1f}"{rest}>'


def main() -> int:
    """Take them all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--into", type=Path, default=PICTURES)
    into = parser.parse_args().into
    into.mkdir(parents=True, exist_ok=True)
    os.environ.update(TEXTUAL_ANIMATIONS="none", COLORTERM="truecolor")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_STATE_HOME"] = folder
        project = prepare(Path(folder))
        asyncio.run(take(project, into))
    for picture in sorted(into.glob("*.svg")):
        print(picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
