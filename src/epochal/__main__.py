"""`python -m epochal` and the console script: ctrl-c is no error, not even while modules are still being imported."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line; its exit code."""
    try:
        from epochal.cli.main import main as run

        return run()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    if not sys.flags.safe_path:
        # `-m` puts the folder one stands in first: a project's files are never taken for libraries.
        del sys.path[0]
    sys.exit(main())
