"""What holds for every test, wherever it stands."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest


_LONG = ("test_checkpoint_writes.py", "faults", "faces", "screens", "engine")
"""Files and folders of files that take long, the longest first."""

# A shell that starts the tests in the background has ctrl-c ignored, and every program that a test starts would too.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _nothing_of_the_person(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Lists of what is trusted and was opened, and caches, are the tests' own."""
    with pytest.MonkeyPatch.context() as patch:
        for kind in ("CONFIG", "CACHE", "STATE"):
            patch.setenv(f"XDG_{kind}_HOME", str(tmp_path_factory.mktemp(kind.lower())))
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first: a worker takes a file whole, and one that is left for the end is waited for alone."""

    def place(item: pytest.Item) -> int:
        return next((n for n, name in enumerate(_LONG) if name in item.path.parts), len(_LONG))

    items.sort(key=place)
