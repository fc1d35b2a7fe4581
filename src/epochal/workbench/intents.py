"""What a screen asks of the session: small frozen values, so that tests can say what a key meant."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowRows:
    """Show these rows in the data pane."""

    title: str
    """What they are, for the person: "Adelie taken for Chinstrap"."""
    keys: tuple[str, ...]
    """Stable keys of the rows."""
    part: str = ""
    """The part they are of, when the sealed test part may be shown."""
