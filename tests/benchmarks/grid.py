"""What a key press costs in the grid: pages asked for, rows and cells fetched, lines drawn.

A table of a million rows and forty columns that is made as it is asked for. Counts, no times: they are the same on
every machine. Run by hand:

    python tests/benchmarks/grid.py [--json] [--rows N]
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass

from textual.app import App, ComposeResult

from epochal.data.protocol import Page
from epochal.project.discover import shipped_themes
from epochal.tui.themes import read_theme
from epochal.tui.widgets.grid import Grid
from epochal.tui.widgets.grid_columns import GridColumn


COLUMNS = [GridColumn(name=f"c{n}", title=f"column {n}", kind="number", width=9, right=True) for n in range(40)]
SIZE = (120, 40)
PRESSES = 50


@dataclass
class MadeRows:
    """Rows that are made when they are asked for; counts what it hands out."""

    asked: int = 0
    rows: int = 0
    cells: int = 0

    def ask(self, first: int, count: int, columns: tuple[str, ...], answer: Callable[[Page], None]) -> None:
        """Answer at once."""
        self.asked, self.rows, self.cells = self.asked + 1, self.rows + count, self.cells + count * len(columns)
        numbers = tuple(range(first, first + count))
        rows = tuple(tuple(f"{n % 997}.{c[1:]}" for c in columns) for n in numbers)
        answer(Page(token="", first=first, eids=numbers, keys=tuple(map(str, numbers)), rows=rows))

    def cancel(self) -> None:
        """Nothing is ever under way."""


class Table(App[None]):
    """One grid on the screen."""

    CSS = "Screen { background: $background; }"

    def __init__(self) -> None:
        super().__init__()
        self.register_theme(read_theme(shipped_themes()["dusk"]))
        self.theme = "dusk"

    def compose(self) -> ComposeResult:
        """The grid."""
        yield Grid()


async def measure(num_rows: int) -> dict[str, dict[str, float]]:
    """By movement: what one press costs on average."""
    app, source = Table(), MadeRows()
    keys: dict[str, Callable[[Grid, int], None]] = {
        "down": lambda grid, _n: grid.move(1),
        "page_down": lambda grid, _n: grid.page(1),
        "right": lambda grid, _n: grid.move(0, 1),
        "jump": lambda grid, n: grid.go(n * num_rows // PRESSES),
    }
    found: dict[str, dict[str, float]] = {}
    async with app.run_test(size=SIZE) as pilot:
        grid = app.query_one(Grid)
        grid.show(source, num_rows, COLUMNS)
        await pilot.pause(0.2)
        for name, press in keys.items():
            grid.go(0, 0)
            await pilot.pause(0.1)
            before = (source.asked, source.rows, source.cells, grid.lines_drawn)
            presses = min(PRESSES, len(COLUMNS) - 1) if name == "right" else PRESSES
            for n in range(presses):
                press(grid, n)
                await pilot.pause()
            after = (source.asked, source.rows, source.cells, grid.lines_drawn)
            asked, rows, cells, lines = ((b - a) / presses for a, b in zip(before, after, strict=True))
            found[name] = {
                "pages_asked": round(asked, 2),
                "rows_fetched": round(rows, 1),
                "cells_fetched": round(cells, 1),
                "lines_drawn": round(lines, 1),
            }
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rows", type=int, default=1_000_000)
    arguments = parser.parse_args()
    found = asyncio.run(measure(arguments.rows))
    result = {"rows": arguments.rows, "columns": len(COLUMNS), "screen": list(SIZE), "per_key": found}
    if arguments.json:
        print(json.dumps(result))
        return
    print(f"{arguments.rows:,} rows × {len(COLUMNS)} columns on {SIZE[0]} × {SIZE[1]}, for one key press:")
    for name, costs in found.items():
        print(f"  {name:<10} " + "   ".join(f"{what.replace('_', ' ')} {value:g}" for what, value in costs.items()))


if __name__ == "__main__":
    main()
