"""The label stage."""

from __future__ import annotations

from epochal.tui.screens.base import StageScreen


class LabelScreen(StageScreen):
    """What labelling will do, and what to use meanwhile."""

    STAGE = "label"
