"""When a checkpoint is written: by the clock, whatever an epoch takes."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

from epochal.core.events import CheckpointSaved, StepsDone, TrainingStarted
from epochal.train.fit import fit


class SlowClock:
    """On which each step takes ten minutes."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        """The moment since it began."""
        return self.seconds

    def now(self) -> datetime:
        """The same as a date."""
        return datetime.fromtimestamp(self.seconds, tz=UTC)


def test_a_checkpoint_is_never_further_away_than_its_settings_say_however_long_an_epoch_is(spec_of, blobs):
    clock = SlowClock()
    train = {"epochs": 3, "batch_size": 16, "first_checkpoint": "5 min", "checkpoint_every": "30 min"}
    spec = spec_of(blobs(), target="label", train=train)

    def look():
        clock.seconds += 600.0
        return ()

    events = list(fit(spec, look, clock))
    started = next(e for e in events if isinstance(e, TrainingStarted))
    saved = [0, *(e.step for e in events if isinstance(e, CheckpointSaved))]
    last = max(e.step for e in events if isinstance(e, StepsDone))

    assert started.steps_per_epoch > 8
    assert saved[1] == 1
    assert max(b - a for a, b in pairwise([*saved, last])) <= 4
