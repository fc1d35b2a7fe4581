"""Whether a run that was stopped and resumed is the run that was not: what is compared, where it stops, what is said.

Pure functions over what the parts of the runs recorded (`epochal.train.segment.Segment`, as data).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from epochal.core.errors import RunError
from epochal.show import grouped


LOSSES, ROWS, COUNTERS = "losses", "rows of the batches", "counters"
_PARTS = {
    "model.safetensors": "weights",
    "model.txt": "trees",
    "optimiser.safetensors": "optimiser's moments",
    "random.safetensors": "random generators",
    "foreign.safetensors": "random generators",
    "best.safetensors": "best weights",
    "average.safetensors": "average of the weights",
    "learner.json": COUNTERS,
    "manifest.json": COUNTERS,
}
"""What the files of a checkpoint hold, in a person's words."""
_UNITS = {LOSSES: "steps", ROWS: "batches", COUNTERS: "counters", "trees": "text"}
_UNIT = "tensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """One interruption."""

    step: int
    where: str
    """In words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One kind of thing that was compared, over all ways."""

    what: str
    number: int
    """Of single things: steps, tensors, counters."""
    unit: str
    same: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way through the steps: stopped here and there."""

    stops: tuple[Stop, ...]
    pids: tuple[int, ...]
    """Of the processes that trained its parts."""
    differing: tuple[str, ...] = ()
    """What is not as it was without a stop, in words."""
    first_step: int | None = None
    """The first step at which a loss or a batch was another; None where all were the same."""
    items: tuple[str, ...] = ()
    """Each single thing of the last checkpoint that is another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What came out."""

    family: str
    task: str
    mode: str
    device: str
    threads: int
    precision: str
    begins: int
    """The step after which what is compared begins, with the weights of a beginning; 0 but where epochs are long."""
    steps: int
    """Where it ends."""
    steps_per_epoch: int
    evaluate_every: int
    total_steps: int
    pieces: int
    losses: tuple[float | None, ...]
    """Of the way without a stop."""
    ways: tuple[Way, ...]
    compared: tuple[Compared, ...]
    notices: tuple[str, ...]
    seconds: float

    @property
    def exact(self) -> bool:
        """Whether nothing differs."""
        return not any(way.differing for way in self.ways)

    @property
    def evaluations(self) -> int:
        """How often the model was judged in what is compared, each time at an epoch's end."""
        last = self.steps == self.total_steps and self.steps % self.evaluate_every != 0
        return self.steps // self.evaluate_every - self.begins // self.evaluate_every + last

    @property
    def verdict(self) -> str:
        """`exact`, or `differs: ` with what and where."""
        way = next((w for w in self.ways if w.differing), None)
        if way is None:
            return "exact"
        *most, last = (f"the {what}" for what in way.differing)
        named = f"{', '.join(most)} and {last}" if most else last
        at = way.first_step
        return f"differs: {named}, " + (
            f"first at step {grouped(at)}" if at is not None else f"at the end, step {grouped(self.steps)}"
        )

    def as_document(self) -> dict[str, Any]:
        """All of it as JSON data."""
        return {"verdict": self.verdict, **asdict(self)}


def refuse_stops(at: Sequence[int], steps: int | None) -> None:
    """Refuse stops that are none, before anything is done. Raises RunError (code bad-stops)."""
    wrong = ""
    if steps is not None and steps < 2:
        wrong = f"{steps} steps cannot be stopped and gone on with"
    elif any(step < 1 for step in at) or list(at) != sorted(set(at)):
        wrong = f"stops must be steps from 1, each after the one before, not {', '.join(map(str, at))}"
    elif at and steps is not None and at[-1] >= steps:
        wrong = f"the stop at step {grouped(at[-1])} is not before the end, step {grouped(steps)}"
    if wrong:
        raise RunError(wrong, where="--at" if at else "--steps", fix="such as --steps 100 --at 20,50", code="bad-stops")


def stops_of(
    end: int, per_epoch: int, evaluate_every: int, pieces: int, at: Sequence[int] = (), *, begins: int = 0
) -> list[tuple[Stop, ...]]:
    """Where each way stops: twice in a row, in mid-epoch and at an epoch's end; between batches and one step later.

    `at` are a person's own, `begins` is the step after which it all begins. Raises RunError (bad-stops) when there are
    too few steps.
    """
    if at and at[-1] >= end:
        raise RunError(
            f"the stop at step {grouped(at[-1])} is not before the end, step {grouped(end)}",
            where="--at",
            fix="stop earlier, or name more with --steps",
            code="bad-stops",
        )
    if at:
        return [tuple(Stop(step=step, where=_place(step, per_epoch)) for step in at)]
    if end - begins < 3:
        raise RunError(
            f"a run of {end} steps cannot be stopped twice",
            where="[train]",
            fix="more epochs or smaller batches: --set train.epochs=20, --set train.batch_size=32",
            code="bad-stops",
        )
    epoch_end = evaluate_every if evaluate_every < end else per_epoch
    if epoch_end >= end or per_epoch == 1:  # it lies beyond what is compared, or every step is one
        first = (begins + max(1, (end - begins) // 3), begins + max(2, (end - begins) // 2))
    else:
        first = (epoch_end - min((per_epoch + 1) // 2, (epoch_end - begins + 1) // 2), epoch_end)
    third = min(first[1] + max(1, per_epoch // 3), end - 2)
    between = "after a whole round" if per_epoch == 1 else f"after the last of a batch's {pieces} pieces"
    return [
        tuple(Stop(step=step, where=_place(step, per_epoch)) for step in first),
        (
            Stop(step=third, where=between if pieces > 1 or per_epoch == 1 else "between two batches"),
            Stop(step=third + 1, where="one step later"),
        ),
    ]


def _place(step: int, per_epoch: int) -> str:
    if per_epoch == 1:
        return f"after round {grouped(step)}"
    epoch, rest = divmod(step, per_epoch)
    return f"in the middle of epoch {grouped(epoch + 1)}" if rest else f"at the end of epoch {grouped(epoch)}"


def compare(straight: Mapping[str, Any], parts: Sequence[Mapping[str, Any]], stops: Sequence[Stop]) -> Way:
    """One way that was stopped, against the one that was not; both begin after the same step."""
    losses = [loss for part in parts for loss in part["losses"]]
    batches = [batch for part in parts for batch in part["batches"]]
    found = {LOSSES: _first(straight["losses"], losses), ROWS: _first(straight["batches"], batches)}
    before, after = straight["items"], parts[-1]["items"]
    items = tuple(n for n in sorted({**before, **after}, key=_place_of) if before.get(n) != after.get(n))
    differing = [what for what, step in found.items() if step is not None]
    differing += [what for what in dict.fromkeys(map(part_of, items)) if what not in differing]
    return Way(
        stops=tuple(stops),
        pids=tuple(part["pid"] for part in parts),
        differing=tuple(differing),
        first_step=min((straight["start"] + step for step in found.values() if step is not None), default=None),
        items=items,
    )


def _first(one: Sequence[Any], other: Sequence[Any]) -> int | None:
    """The first step, counted from 1 where they begin, at which two records are not the same; None where they are equal."""
    for step, (a, b) in enumerate(zip(one, other, strict=False), 1):
        if a != b:
            return step
    return None if len(one) == len(other) else min(len(one), len(other)) + 1


def part_of(item: str) -> str:
    """What a single thing of a checkpoint belongs to, in words."""
    file = item.partition(": ")[0]
    return _PARTS.get(file, file)


def _place_of(item: str) -> int:
    """Where a thing stands in what is told."""
    file = item.partition(": ")[0]
    return list(_PARTS).index(file) if file in _PARTS else len(_PARTS)


def compared_of(straight: Mapping[str, Any], ways: Sequence[Way]) -> tuple[Compared, ...]:
    """What was compared, kind by kind."""
    counts = {LOSSES: len(straight["losses"]), ROWS: len(straight["batches"])}
    for item in sorted(straight["items"], key=_place_of):
        counts[part_of(item)] = counts.get(part_of(item), 0) + 1
    differing = [what for way in ways for what in way.differing]
    counts |= {what: 0 for what in differing if what not in counts}
    return tuple(
        Compared(what=what, number=number, unit=_UNITS.get(what, _UNIT), same=what not in differing)
        for what, number in counts.items()
        if number or what in differing
    )
