"""Loss scaling for float16: gradients too small for it are computed from a larger loss and divided afterwards.

Source: Micikevicius et al. 2018, "Mixed Precision Training", section 3.2; growth and back-off as torch's GradScaler has
them, which asks for an optimiser of torch's own shape.
"""

from __future__ import annotations

from dataclasses import dataclass


_GROWS_AFTER = 2000
_MOST_SKIPS = 8


@dataclass(slots=True)
class LossScale:
    """The scale and what was counted to move it; all of it belongs to a checkpoint."""

    scale: float = 65536.0
    good: int = 0
    """Steps since it last moved."""
    skipped: int = 0
    """Attempts in a row whose gradients were not finite."""

    def met(self, *, finite: bool) -> bool:
        """Note the gradients of an attempt at a step; False when no scale will help."""
        if not finite:
            self.scale, self.good, self.skipped = self.scale / 2, 0, self.skipped + 1
            return self.skipped <= _MOST_SKIPS
        self.good, self.skipped = self.good + 1, 0
        if self.good >= _GROWS_AFTER:
            self.scale, self.good = self.scale * 2, 0
        return True
