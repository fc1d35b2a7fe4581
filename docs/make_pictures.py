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


PICTURES = Path(__file__).parent / "pictures"
SIZE = (120, 36)


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
            ("2", "data", "Recipe"),
            ("4", "model", "Settings of"),
            ("5", "train", "Coach"),
            ("6", "test", "Worst rows"),
        ):
            await pilot.press(key)
            await until(lambda shown=shown: shown in screen_text(app), pilot)
            await pilot.pause(1.5)
            (into / f"{name}.svg").write_text(_still(app.export_screenshot(title="epochal")), encoding="utf-8")
    session.close()


def _still(svg: str) -> str:
    """The picture without what changes from one taking to the next (the id in every class name), its spaces kept."""
    return re.sub(r"terminal-\d+", "terminal-epochal", svg).replace("<svg ", '<svg xml:space="preserve" ', 1)


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
