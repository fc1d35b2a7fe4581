"""What the checks found, as plain facts: judged and worded by `epochal.workbench.verdicts`."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Untrained:
    """The loss before anything was learnt, beside what a model that knows nothing must have."""

    loss: float
    expected: float
    """Cross-entropy of saying every class alike, in nats; for numbers the mean square of the standardised target."""
    exact: bool
    """Whether the family starts from nothing at all, so that both must be equal."""
    rows: int
    """Training rows it was measured on."""
    why_not: str = ""
    """Why there is nothing to compare with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overfit:
    """Whether one small batch can be learnt by heart, and whose fault it is when it cannot."""

    rows: int
    """Of the batch."""
    steps: int
    """Taken with the settings in force."""
    guess: float
    """Loss of the best constant answer on the batch."""
    floor: float
    """Lowest loss there is: 0, unless rows with equal inputs have different targets."""
    loss: float
    """Reached with the settings in force."""
    learning_rate: float
    """In force."""
    otherwise: float | None = None
    """Reached with the family's own optimiser and rate instead; None when that was not needed or not different."""
    cut_short: bool = False
    """Time was up before it was learnt."""
    why_not: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateTest:
    """The loss while the learning rate rises from step to step."""

    in_force: float
    suggested: float | None = None
    """None when the loss never fell clearly."""
    highest: float | None = None
    """Where the loss had come half of its way back up; None when it never did."""
    curve: tuple[tuple[float, float], ...] = ()
    """Rate and loss of each step."""
    smoothed: tuple[tuple[float, float], ...] = ()
    """The same, averaged over the steps before."""
    not_finite: float | None = None
    """The rate at which the loss left the finite numbers, which ends the test; None when it never did."""
    rows: int = 0
    """Of each step: the batch size, or fewer where that would have taken too long."""
    cut_short: bool = False
    why_not: str = ""
    """Why there is no such test of this family."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeTest:
    """How many rows a second are learnt from at several batch sizes."""

    in_force: int
    suggested: int | None = None
    """The smallest at which it is nearly as fast as at the best."""
    throughput: tuple[tuple[int, float], ...] = ()
    """Batch size and rows a second."""
    memory: tuple[tuple[int, int], ...] = ()
    """Batch size and the bytes that one step needs beside the model."""
    largest: int | None = None
    """Most rows that a GPU can take at once, as far as there are rows; None on a CPU."""
    not_finite: tuple[int, int] | None = None
    """Batch size and steps after which the loss left the finite numbers, which ends the test; None when it never did."""
    cut_short: bool = False
    why_not: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checks:
    """All of them."""

    untrained_loss: Untrained
    overfit: Overfit
    learning_rate: RateTest
    batch_size: SizeTest
    seconds: dict[str, float] = field(default_factory=dict)
    """What each took."""
