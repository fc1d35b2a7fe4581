"""The workbench process is a face: what it imports, shown in a fresh interpreter over real panes."""

from __future__ import annotations

import json
import subprocess
import sys


VISIT = """
import asyncio, json, sys
from pathlib import Path
from epochal.testing import kept_run, run_events, screen_text, tiny_project, tiny_run, until
from epochal.tui.app import Workbench
from epochal.tui.start import run_watch
from epochal.workbench.session import Session

async def visit(folder):
    file = tiny_project(folder)
    with kept_run(tiny_run(file), run_events(end=True)):
        session = Session()
        session.open(folder)
        app = Workbench(session, first="goal")
        async with app.run_test(size=(100, 30)) as pilot:
            before = sorted(sys.modules)
            for stage in ("data", "label", "model", "train", "test", "ship", "home"):
                app.go(stage)
                await until(lambda: app.current_mode == stage, pilot)
                await pilot.pause(0.2)
            await until(lambda: session.seen.state is not None, pilot)
        session.close()
        return before

before = asyncio.run(visit(Path(sys.argv[1]) / "p"))
print("\\n" + json.dumps({"before": before, "after": sorted(sys.modules)}))
"""

ALLOWED = {
    "textual", "rich", "tomlkit", "tomli_w", "plotext", "epochal",
    # what Textual itself brings
    "platformdirs", "typing_extensions", "markdown_it", "mdurl", "mdit_py_plugins", "pygments", "linkify_it", "uc_micro",
    "tree_sitter", "textual_speedups",
}  # fmt: skip


def test_the_workbench_process_imports_textual_the_standard_library_and_our_light_layers(tmp_path):
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "LANG": "C.UTF-8",
    }
    done = subprocess.run(
        [sys.executable, "-c", VISIT, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    modules = json.loads(done.stdout.splitlines()[-1])
    tops = {name.split(".")[0] for name in modules["after"]} - set(sys.stdlib_module_names)
    foreign = {t for t in tops if t not in ALLOWED and not t.startswith(("_", "__"))}

    assert foreign == set()
    assert "plotext" not in {name.split(".")[0] for name in modules["before"]}
    assert not {"torch", "duckdb", "pyarrow", "numpy", "sklearn", "datasets", "pandas"} & tops
    assert not any(name.startswith("epochal.train") for name in modules["after"])
