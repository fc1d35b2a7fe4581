"""Pages of a view, from the data host."""

from __future__ import annotations

from collections.abc import Callable

from epochal.core.errors import EpochalError
from epochal.data.protocol import Page, ReadPage
from epochal.workbench.data_session import DataSession


CUT = 200
"""Characters of a cell that are fetched; the whole is read when it is asked for."""


class HostPages:
    """A page source over the host; a newer wish replaces an older."""

    def __init__(self, data: DataSession, token_: str, failed: Callable[[EpochalError], None]) -> None:
        self._data, self._token, self._failed = data, token_, failed

    def ask(self, first: int, count: int, columns: tuple[str, ...], answer: Callable[[Page], None]) -> None:
        """Ask the host."""
        request = ReadPage(token=self._token, first=first, count=count, columns=columns, cut=CUT)
        self._data.ask("page", request, answer, self._failed)

    def cancel(self) -> None:
        """Interrupt the host."""
        self._data.drop("page")
