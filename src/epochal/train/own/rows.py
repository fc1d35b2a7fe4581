"""Rows for a person's own model: their columns as arrays, tensors of its own making, batches of its own making."""

from __future__ import annotations

import contextlib
import random
import warnings
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from epochal.core.errors import RunError
from epochal.show import safe
from epochal.train.batch import Batch, moved, num_rows
from epochal.train.encoders import plain
from epochal.train.own.errors import OwnModelError, guarded
from epochal.train.own.spec import Split
from epochal.train.seeds import derived_seed, seed_all
from epochal.train.threads import one_thread


_MOST_PASSES, _FEWEST_ROWS = 50, 100
"""An epoch that gives each row more often is taken for one without an end, where nothing says how long it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """A person's module as the maker of tensors and batches: one as it was made, never the one that is trained.

    In training and wherever its bundle is read these are equal, so that rows come out alike.
    """

    model: nn.Module
    root: Path
    kinds: Mapping[str, str]
    """The columns by name, in order, with their kinds."""
    task: str
    classes: int
    """How many; 0 where a number is learnt."""
    seed: int
    """The run's, under which `prepare` draws."""
    known: list[tuple[pa.Table, dict[str, np.ndarray], dict[str, Tensor]]] = field(default_factory=list)
    """Of tables that are read again and again: their columns and tensors."""
    looked_through: set[str] = field(default_factory=set)
    """Splits of which a whole pass was seen to leave the columns as they were."""
    counted: list[tuple[Mapping[str, np.ndarray], int]] = field(default_factory=list)
    """Of the columns that batches were made from: how many."""

    @property
    def prepares(self) -> bool:
        """Whether it makes tensors of its own."""
        return callable(getattr(self.model, "prepare", None))

    @property
    def makes_batches(self) -> bool:
        """Whether it makes batches of its own."""
        return callable(getattr(self.model, "batches", None))

    def columns(self, table: pa.Table) -> dict[str, np.ndarray]:
        """The table's columns as arrays that are not to be changed. Raises RunError (missing-columns)."""
        known = next((c for t, c, _ in self.known if t is table), None)
        if known is not None:
            return known
        absent = [c for c in self.kinds if c not in table.column_names]
        if absent:
            raise RunError(
                f"{len(absent)} of {len(self.kinds)} columns the model needs are not there: {', '.join(absent[:5])}",
                fix="give a table with the columns it was trained on",
                code="missing-columns",
            )
        return {name: _fixed(plain(kind, table.column(name))) for name, kind in self.kinds.items()}

    def tensors(self, table: pa.Table) -> dict[str, Tensor]:
        """What the model's `prepare` makes of the table's rows. Raises OwnModelError."""
        known = next((found for t, _, found in self.known if t is table), {})
        if known:
            return known
        prepare: Any = self.model.prepare
        seed_all(self.seed, "prepare")
        with guarded(self.root, "prepare"), one_thread():
            found = prepare({name: column.copy() for name, column in self.columns(table).items()})
        self._check(found, "prepare", rows=table.num_rows)
        if "target" in found or "rows" in found:
            raise self._refused(
                "prepare returned a `target` or `rows`", "these are added by epochal: name yours otherwise"
            )
        return {str(name): tensor.detach().cpu().contiguous() for name, tensor in found.items()}

    def remember(self, *tables: pa.Table) -> None:
        """Keep what is made of these tables: learners of several plans read them."""
        for table in tables:
            columns = self.columns(table)
            self.known.append((table, columns, self.tensors(table) if self.prepares else {}))

    def split(self, name: str, table: pa.Table, target: Tensor | None) -> Split:
        """The rows as `batches` is given them."""
        columns = self.columns(table)
        told = None if target is None else _fixed(target.numpy())
        return Split(name=name, columns=columns, target=told, rows=table.num_rows)

    def checked(self, batch: Any, split: Split) -> dict[str, Tensor]:
        """A batch of the model's own making. Raises OwnModelError."""
        self._check(batch, "batches")
        rows = num_rows(batch)
        found = dict(batch)
        if split.target is not None:
            found["target"] = self._target(batch, rows)
        if split.name != "train":
            places = batch.get("rows")
            if not isinstance(places, Tensor) or places.dtype != torch.int64 or tuple(places.shape) != (rows,):
                raise self._refused(
                    f"a batch of {split.name} rows has no `rows` of int64 and shape [{rows}]",
                    "say which rows of the split it holds: their positions",
                )
        return found

    def demand_unchanged(self, split: Split, before: Mapping[str, int], after: Mapping[str, int]) -> None:
        """Refuse a pass that changed what the next one is made from. Raises OwnModelError."""
        changed = [name for name, value in before.items() if after[name] != value]
        if changed:
            raise self._refused(
                f"batches changed {', '.join(map(safe, changed[:5]))} of the {split.name} rows, which every epoch is made from",
                "work on a copy: torch.tensor(column) makes one, torch.as_tensor(column) and from_numpy do not",
            )
        self.looked_through.add(split.name)

    def _target(self, batch: Mapping[str, Tensor], rows: int) -> Tensor:
        wanted = torch.int64 if self.task == "classification" else torch.float32
        target = batch.get("target")
        if not isinstance(target, Tensor) or tuple(target.shape) != (rows,):
            raise self._refused(f"a batch has no `target` of shape [{rows}]", "take it from split.target")
        target = target.to(wanted)
        if self.classes and rows and not 0 <= int(target.min()) <= int(target.max()) < self.classes:
            raise self._refused(
                f"a batch has targets from {int(target.min())} to {int(target.max())}, of {self.classes} classes",
                f"give indices of classes, 0 to {self.classes - 1}: take them from split.target",
            )
        return target

    def _check(self, found: Any, what: str, rows: int | None = None) -> None:
        if not isinstance(found, Mapping) or not found:
            raise self._refused(f"{what} gave no dict of tensors", "give tensors by name, all with the same rows")
        for name, value in found.items():
            if not isinstance(value, Tensor):
                kind = type(value)
                raise self._refused(
                    f"{what} gave `{name}` as {kind.__module__}.{kind.__qualname__}",
                    f"give a tensor: `{name}` of torch.as_tensor(…)",
                )
        lengths = {name: len(tensor) if tensor.ndim else -1 for name, tensor in found.items()}
        wanted = rows if rows is not None else next(iter(lengths.values()))
        wrong = {name: length for name, length in lengths.items() if length != wanted or (rows is None and length < 1)}
        if wrong:
            name, length = next(iter(wrong.items()))
            rows_of = "no rows" if length < 0 else f"{length} rows"
            raise self._refused(f"{what} gave `{name}` with {rows_of}", f"give every tensor {max(1, wanted)} rows")

    def _refused(self, what: str, fix: str) -> OwnModelError:
        return OwnModelError(what, where=f"{type(self.model).__name__} in {self.root}", fix=fix)


def _fixed(values: np.ndarray) -> np.ndarray:
    """The array as one that cannot be written to: every epoch is made from it, and a resume's are to be the same."""
    values = values.view()
    values.flags.writeable = False
    return values


class _Generators:
    """The process's random generators as a person's code may use them: begun from a seed, and given back untouched.

    So a batch is the same whether the batches before it were used or skipped, and whichever generator draws it.
    """

    def __init__(self, seed: int) -> None:
        self._torch = torch.Generator().manual_seed(seed).get_state()
        self._numpy: Any = np.random.RandomState(seed % 2**32).get_state()
        self._python = random.Random(seed).getstate()  # noqa: S311 - no secret

    @contextlib.contextmanager
    def drawn(self) -> Iterator[None]:
        """Within, draws go on from the seed."""
        outer: tuple[Any, ...] = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
        self._set(self._torch, self._numpy, self._python)
        try:
            yield
        finally:
            self._torch, self._numpy, self._python = (
                torch.get_rng_state(),
                np.random.get_state(),  # noqa: NPY002
                random.getstate(),
            )
            self._set(*outer)

    @staticmethod
    def _set(of_torch: Tensor, of_numpy: Any, of_python: Any) -> None:
        torch.set_rng_state(of_torch)
        np.random.set_state(of_numpy)  # noqa: NPY002
        random.setstate(of_python)


class _Epoch:
    """One pass over a model's own batches, each checked."""

    def __init__(self, reader: Reader, split: Split, seed: int, epoch: int) -> None:
        self._reader, self._split = reader, split
        self._generators = _Generators(derived_seed(seed, "own", split.name, epoch))
        # A tensor over an array may be written to though the array may not: the first pass shows it.
        self._before = None if split.name in reader.looked_through else _sums(split)
        make: Any = reader.model.batches
        with self._asked():
            found = make(split, seed, epoch)
            self.length = _length(found)
            self._batches = iter(found)

    def next(self) -> dict[str, Tensor] | None:
        """The next batch; None after the last. Raises OwnModelError."""
        with self._asked():
            batch = next(self._batches, None)
        if batch is None and self._before is not None:
            self._reader.demand_unchanged(self._split, self._before, _sums(self._split))
            self._before = None
        return None if batch is None else self._reader.checked(batch, self._split)

    @contextlib.contextmanager
    def _asked(self) -> Iterator[None]:
        """Within, the model's own code runs."""
        with (
            self._generators.drawn(),
            guarded(self._reader.root, "batches"),
            one_thread(),
            warnings.catch_warnings(),
        ):
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")  # nor should it be
            yield


def _sums(split: Split) -> dict[str, int]:
    """A checksum of each column of numbers or dates, and of the target; other columns hold what cannot be changed."""
    columns = {name: values for name, values in split.columns.items() if values.dtype != object}
    if split.target is not None:
        columns["the target"] = split.target
    return {name: zlib.crc32(np.ascontiguousarray(values).view(np.uint8).data) for name, values in columns.items()}


def _length(batches: Any) -> int | None:
    """How many there are, where that can be said: a DataLoader of a stream has a `__len__` that fails."""
    try:
        return len(batches)
    except TypeError:
        return None


class OwnFeed:
    """The model's own training batches, step by step."""

    def __init__(self, reader: Reader, split: Split, seed: int, device: torch.device) -> None:
        self._reader, self._split, self._seed, self._device = reader, split, seed, device
        self._epoch, self._next = -1, 0
        self._pass: _Epoch | None = None
        self.steps_per_epoch = count_batches(reader, split, seed)

    def batch(self, step: int) -> Batch:
        """The batch of a step. Raises OwnModelError when an epoch has not as many as the first."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if self._pass is None or (epoch, position) != (self._epoch, self._next):
            self._pass, self._epoch, self._next = _Epoch(self._reader, self._split, self._seed, epoch), epoch, 0
            for _ in range(position):
                self._taken(self._pass)
        batch = self._taken(self._pass)
        if self._next == self.steps_per_epoch:
            if self._pass.next() is not None:
                raise self._other(f"more than {self.steps_per_epoch}")
            self._pass, self._epoch, self._next = None, -1, 0
        return moved(batch, self._device)

    def release(self) -> None:
        """Let go of what the model's own generator holds."""
        self._pass, self._epoch, self._next = None, -1, 0

    def _taken(self, of: _Epoch) -> dict[str, Tensor]:
        batch = of.next()
        if batch is None:
            raise self._other(str(self._next))
        self._next += 1
        return batch

    def _other(self, found: str) -> OwnModelError:
        return OwnModelError(
            f"batches gave {found} batches in epoch {self._epoch}, and {self.steps_per_epoch} were to come",
            where=f"{type(self._reader.model).__name__} in {self._reader.root}",
            fix="give every epoch as many batches, and as many as len() says",
        )


def count_batches(reader: Reader, split: Split, seed: int) -> int:
    """Batches in an epoch: what len() says, else counted once. Raises OwnModelError when there are none."""
    known = next((count for columns, count in reader.counted if columns is split.columns), 0)
    if known:
        return known
    first = _Epoch(reader, split, seed, 0)
    count = first.length
    if count is None:
        count = given = 0
        while (batch := first.next()) is not None:
            count, given = count + 1, given + num_rows(batch)
            if given > _MOST_PASSES * max(len(split), _FEWEST_ROWS):
                raise OwnModelError(
                    f"batches gave {given} rows in one epoch, of {len(split)}: it does not seem to end",
                    where=f"{type(reader.model).__name__} in {reader.root}",
                    fix="end it after an epoch; where one is that long, return something that has a len()",
                )
    if count < 1:
        raise OwnModelError(
            "batches gave no batch of the training rows",
            where=f"{type(reader.model).__name__} in {reader.root}",
            fix="yield at least one",
        )
    reader.counted.append((split.columns, count))
    return count


class OwnRows:
    """Rows to judge by or to predict, in the model's own batches."""

    def __init__(self, reader: Reader, split: Split, seed: int, device: torch.device) -> None:
        self._reader, self._split, self._seed, self._device = reader, split, seed, device

    def __len__(self) -> int:
        return len(self._split)

    def batches(self) -> Iterator[Batch]:
        """All batches. Raises OwnModelError when a row is missing, or comes twice."""
        seen = np.zeros(len(self._split), dtype=np.int64)
        one = _Epoch(self._reader, self._split, self._seed, 0)
        while (batch := one.next()) is not None:
            places = batch["rows"].numpy()
            outside = places[(places < 0) | (places >= len(seen))]
            if len(outside):
                raise self._wrong(f"a row {int(outside[0])}, and there are {len(seen)}")
            np.add.at(seen, places, 1)
            yield moved(batch, self._device)
        if (seen != 1).any():
            row = int(np.flatnonzero(seen != 1)[0])
            raise self._wrong(f"row {row} {'twice or more' if seen[row] else 'in no batch'}")

    def _wrong(self, what: str) -> OwnModelError:
        return OwnModelError(
            f"batches gave, of the {self._split.name} rows, {what}",
            where=f"{type(self._reader.model).__name__} in {self._reader.root}",
            fix="give each row of the split once",
        )
