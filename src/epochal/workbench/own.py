"""The code of a project's own model in the workbench: how it stands, and letting it run. None of it is ever run here."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from epochal.core.errors import EpochalError
from epochal.core.tasks import OWN
from epochal.project import trust


if TYPE_CHECKING:
    from epochal.project.trust import Standing
    from epochal.workbench.session import Session


_ABOUT_CODE = frozenset({"untrusted", "code-changed"})
"""Codes of errors that say that the code is not what was trusted."""


def is_about_code(error: EpochalError | None) -> bool:
    """Whether the error tells that the code is another than was seen; a look that failed tells nothing of it."""
    return error is not None and error.error_code in _ABOUT_CODE


def look(session: Session) -> None:
    """Learn, quietly and on a thread of its own, how the project's code stands; it comes under the topic "code"."""
    folder = session.folder
    if folder is None or session.project.model.family != OWN:
        return

    def took(found: Standing) -> None:
        if session.folder == folder and session.code != found:
            session.code = found
            session.changed("code")

    def work() -> None:
        try:
            found = trust.standing(folder)
        except EpochalError as error:
            failure = error
            session.deliver(lambda: session.failed(failure))
        else:
            session.deliver(lambda: took(found))

    threading.Thread(target=work, name="epochal-code", daemon=True).start()


def let_run(session: Session, shown: Standing) -> None:
    """Trust the code as it was shown; what changed meanwhile stays untrusted. Sets `error` when it cannot be saved."""
    if session.folder is None:
        return
    try:
        trust.trust(session.folder, shown.code)
    except EpochalError as error:
        session.failed(error)
        return
    session.tell("trusted: a change of any of its files takes it away")
    look(session)
