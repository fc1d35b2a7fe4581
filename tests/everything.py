"""Everything CI runs, in the order in which it fails fastest: format, lint, types, import contracts, tests."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path


ROOT = Path(__file__).parent.parent
HERE = Path(sys.executable).parent

STEPS: tuple[tuple[str, list[str]], ...] = (
    ("format", [str(HERE / "ruff"), "format", "--check", "src", "tests", "docs"]),
    ("lint", [str(HERE / "ruff"), "check", "src", "tests", "docs"]),
    ("types", [str(HERE / "mypy")]),
    ("imports", [str(HERE / "lint-imports")]),
    ("tests", [sys.executable, "-m", "pytest", *sys.argv[1:]]),
)


def main() -> int:
    """Run all steps, even after one failed, so that one run tells everything."""
    failed = []
    for name, command in STEPS:
        print(f"── {name}", flush=True)
        started = time.monotonic()
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            failed.append(name)
        print(f"── {name}: {time.monotonic() - started:.0f} s", flush=True)
    print(f"failed: {', '.join(failed)}" if failed else "all green", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
