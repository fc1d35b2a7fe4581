"""The tables of project.toml as frozen values; each field knows its type, range, choices and meaning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from epochal.core.fields import (
    auto_int_key,
    int_key,
    is_date,
    is_duration,
    is_int,
    is_number,
    is_size,
    number_key,
    setting,
    text_key,
    texts_key,
)
from epochal.core.steps import KINDS, Step
from epochal.core.tasks import FAMILIES, METRICS, TASKS


FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """[goal]: what is asked, and when the answer is good."""

    question: str = text_key(meaning="The question the model answers.")
    task: str = text_key("classification", meaning="What is learnt.", choices=tuple(TASKS))
    metric: str = text_key("", meaning="What the best checkpoint and the comparison use.", choices=("", *METRICS))
    at_least: float | None = setting(
        None,
        check=is_number,
        expected="a number",
        meaning="The metric's value at which the model is good (for errors: at most).",
    )
    assumptions: tuple[str, ...] = texts_key("What is taken for granted.")
    intended_use: str = text_key(meaning="What the model is for, and what not.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """[[source]]: a place rows come from."""

    name: str = text_key(meaning="Its name in the ledger.")
    uri: str = text_key(meaning="A path or glob, sklearn:NAME or hf://NAME.")
    licence: str = text_key(meaning="The licence it may be used under (SPDX where there is one).")
    origin: str = text_key(meaning="Where it came from.")
    retrieved: date | None = setting(
        None, check=is_date, expected="a date like 2026-11-22", meaning="When it was fetched."
    )
    personal_data: str = text_key(
        "", meaning="Whether it is about people.", choices=("", "none", "pseudonymised", "present")
    )
    sha256: str = text_key(meaning="Fingerprint when first read; a change is reported.")
    format: str = text_key(
        "", meaning="Its format, where the ending misleads.", choices=("", "csv", "json", "jsonl", "parquet", "arrow")
    )
    encoding: str = text_key(
        "",
        meaning="Its text encoding, where the guess was corrected.",
        choices=("", "utf-8", "utf-16", "latin-1", "cp1252"),
    )
    delimiter: str = setting(
        "",
        check=lambda v: isinstance(v, str) and len(v) <= 1,
        expected="one character",
        meaning="What stands between fields, where the guess was corrected.",
    )
    quote: str | None = setting(
        None,
        check=lambda v: isinstance(v, str) and len(v) <= 1,
        expected="one character, or nothing for no quoting",
        meaning="The quote sign, where the guess was corrected.",
    )
    header: bool | None = setting(
        None,
        check=lambda v: isinstance(v, bool),
        expected="true or false",
        meaning="Whether the first line names the columns, where the guess was corrected.",
    )
    revision: str = text_key(meaning="For a Hub data set: the commit that is read.")
    part: str = text_key("train", meaning="For a Hub data set: which of its splits is read.")
    subset: str = text_key("", meaning="For a Hub data set: which configuration is read.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """[columns]: what columns are for. What is not named is an input."""

    target: str = text_key(meaning="What is predicted.")
    key: str = text_key(meaning="What identifies a row for ever.")
    group: str = text_key(meaning="Rows that agree here stay on one side of a group split.")
    time: str = text_key(meaning="When a row happened.")
    ignore: tuple[str, ...] = texts_key("Columns that are kept but not learnt from.")
    kinds: Mapping[str, str] = setting(
        {},
        check=lambda v: isinstance(v, Mapping) and all(k in KINDS for k in v.values()),
        expected=f"a table of column = kind, where kind is one of {', '.join(KINDS)}",
        meaning="Kinds where the guess was corrected.",
    )


_CUTS = "a table of class = [test cut, validation cut], each from 0 to 1, rising"


def _is_cuts(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(v, (list, tuple)) and len(v) == 2 and all(is_number(x) for x in v) and 0 <= v[0] <= v[1] <= 1
        for v in value.values()
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitSettings:
    """[split]: which rows are held out."""

    kind: str = text_key(
        "random", meaning="How rows are dealt out.", choices=("random", "stratified", "group", "time", "column")
    )
    validation: float = number_key(0.1, 0, 0.9, meaning="Share of rows that choose the best model.")
    test: float = number_key(0.2, 0, 0.9, meaning="Share of rows that are sealed until the end.")
    seed: int = int_key(0, 0, 2**53, meaning="Another seed deals rows out anew.")
    fingerprint: str = text_key(meaning="Of the test rows; a change is shown and asked for.")
    cuts: Mapping[str, tuple[float, float]] = setting(
        {}, check=_is_cuts, expected=_CUTS, meaning="stratified: chosen once so that shares are exact, then kept."
    )
    validation_from: date | str | None = setting(
        None,
        check=lambda v: isinstance(v, (date, str)),
        expected="a date",
        meaning="time: validation starts here.",
    )
    test_from: date | str | None = setting(
        None, check=lambda v: isinstance(v, (date, str)), expected="a date", meaning="time: the test part starts here."
    )
    column: str = text_key(meaning="column: the column that says train, validation or test.")
    values: Mapping[str, str] = setting(
        {},
        check=lambda v: isinstance(v, Mapping) and all(x in ("train", "validation", "test") for x in v.values()),
        expected="a table of value = train, validation or test",
        meaning="column: what its other values mean.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """[model]: the family and its settings."""

    family: str = text_key("", meaning="The kind of model.", choices=("", *FAMILIES))
    options: Mapping[str, Any] = field(default_factory=dict)
    """The family's settings that were changed, by name: scalars, and for a person's own model tuples of scalars too."""

    def option(self, name: str) -> Any:
        """A setting of the family: what was set, else its default."""
        if name in self.options:
            return self.options[name]
        return next(o.default for o in FAMILIES[self.family].options if o.name == name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Train:
    """[train]: how it is trained."""

    epochs: int | str = auto_int_key("auto", 1, 1_000_000, meaning="Passes over the rows; auto fits the budget.")
    batch_size: int | str = auto_int_key("auto", 1, 1_000_000, meaning="Rows in each step.")
    learning_rate: float | str = number_key("auto", 1e-9, 100, meaning="How far each step goes.", auto=True)
    budget: str = setting(
        "5 min",
        check=is_duration,
        expected='a duration such as "5 min"',
        meaning="What suggested families and sizes are fitted to; not a limit.",
    )
    time_limit: str = setting(
        "",
        check=lambda v: v == "" or is_duration(v),
        expected='a duration such as "8 h"',
        meaning="A hard limit on training, resumes included: then it is done.",
    )
    patience: int | str = auto_int_key(
        "auto", 1, 1_000_000, meaning="Evaluations without a better metric before it stops early."
    )
    class_weights: str = text_key("none", meaning="balanced: rare classes count more.", choices=("none", "balanced"))
    sampling: str = text_key(
        "natural", meaning="balanced: rare classes come as often as common ones.", choices=("natural", "balanced")
    )
    label_smoothing: float = number_key(
        0.0, 0, 0.9, meaning="Classification: share of each label spread over all classes."
    )
    feed: str = text_key(
        "all", meaning="gradual: trusted or easy rows first, the rest in stages.", choices=("all", "gradual")
    )
    feed_by: str = text_key(
        meaning="gradual: the column that says it, such as trust; without, a first small model's loss. "
        "It stays an input unless [columns] ignore names it."
    )
    feed_first: str = text_key("high", meaning="gradual: which values of feed_by come first.", choices=("high", "low"))
    feed_stages: int = int_key(4, 2, 100, meaning="gradual: stages, the last of which has all rows.")
    schedule: str = text_key(
        "one-cycle",
        meaning="How the learning rate moves; plateau halves it when validation no longer gets better.",
        choices=("one-cycle", "cosine", "constant", "plateau"),
    )
    warm_up: float | str = number_key(
        "auto", 0, 0.9, meaning="Share of the steps in which the learning rate rises.", auto=True
    )
    optimiser: str = text_key("adamw", meaning="What takes the steps.", choices=("adamw", "sgd"))
    momentum: float = number_key(0.9, 0, 0.999, meaning="sgd: how much of the last steps is kept up.")
    weight_decay: float | str = number_key("auto", 0, 100, meaning="How strongly weights are held small.", auto=True)
    clip_norm: float = number_key(5.0, 0, 1e9, meaning="Longer gradients are shortened to this; 0: never.")
    ema: float = number_key(
        0.0, 0, 0.99999, meaning="Decay of a running average of the weights that is judged and kept; 0: none."
    )
    precision: str = text_key(
        "auto", meaning="The numbers it computes with.", choices=("auto", "float32", "bfloat16", "float16")
    )
    compile: str = text_key(
        "auto",
        meaning="Whether torch compiles the steps; auto: in long runs where it is measured to pay.",
        choices=("auto", "on", "off"),
    )
    mode: str = text_key(
        "exact",
        meaning="exact: a resumed run is the uninterrupted one, to the bit; fast: whatever is quickest.",
        choices=("exact", "fast"),
    )
    accumulate: int = int_key(
        1,
        1,
        1_000_000,
        meaning="Pieces each batch is computed in, to save memory; the gradients are the whole batch's.",
    )
    first_checkpoint: str = setting(
        "30 s",
        check=is_duration,
        expected='a duration such as "30 s"',
        meaning="The first checkpoint is written at the latest then.",
    )
    checkpoint_every: str = setting(
        "5 min",
        check=is_duration,
        expected='a duration such as "5 min"',
        meaning="Then a checkpoint this often, however long an epoch takes.",
    )
    devices: str | int | tuple[int, ...] = setting(
        "auto",
        check=lambda v: v in {"auto", "cpu"} if isinstance(v, str) else _is_count(v) or _are_gpus(v),
        expected='"auto", "cpu", a number of ranks such as 2, or a list of GPU numbers such as [0, 3]',
        meaning="Where it computes.",
    )
    memory: str = setting(
        "auto",
        check=lambda v: v == "auto" or is_size(v),
        expected='"auto", or a size such as "4 GB"',
        meaning="What the rows may take; more of them are read from disk in blocks. auto: what is free.",
    )
    threads: int | str = auto_int_key(
        "auto", 1, 1024, meaning="Compute threads on a CPU; auto: one, unless several are measured to pay."
    )
    seed: int = int_key(0, 0, 2**53, meaning="Of the weights, the order and everything random.")
    host: str = text_key(
        "detached",
        meaning="The process the training lives in.",
        choices=("detached", "thread", "torchrun"),
    )

    @property
    def num_ranks(self) -> int:
        """Processes that share each batch on one machine: one for each device."""
        if isinstance(self.devices, str):
            return 1
        return self.devices if isinstance(self.devices, int) else len(self.devices)


MOST_RANKS = 1024


def _is_count(value: Any) -> bool:
    return is_int(value) and 1 <= value <= MOST_RANKS


def _are_gpus(value: Any) -> bool:
    if not isinstance(value, (list, tuple)) or not 1 <= len(value) <= MOST_RANKS:
        return False
    return all(is_int(v) and 0 <= v < MOST_RANKS for v in value) and len(set(value)) == len(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """The whole of project.toml."""

    name: str
    format: int = FORMAT
    goal: Goal = field(default_factory=Goal)
    sources: tuple[Source, ...] = ()
    columns: Columns = field(default_factory=Columns)
    clean: tuple[Step, ...] = ()
    split: SplitSettings = field(default_factory=SplitSettings)
    model: Model = field(default_factory=Model)
    train: Train = field(default_factory=Train)

    @property
    def metric(self) -> str:
        """The metric in force: the chosen one, else the task's first."""
        return self.goal.metric or TASKS[self.goal.task].metrics[0]


TABLES: dict[str, type] = {
    "goal": Goal,
    "source": Source,
    "columns": Columns,
    "split": SplitSettings,
    "model": Model,
    "train": Train,
}
"""The tables of project.toml by the name they have there, for help and documentation."""
