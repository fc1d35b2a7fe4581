"""Settings that mean nothing beside the others: refused, as whoever wrote one expects it to do something."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from epochal.core.errors import SettingsError
from epochal.core.tables import Project, Train
from epochal.core.tasks import FAMILIES


CODE = "useless-setting"

OWN_PARTS = ("loss", "parameter_groups", "prepare", "batches")
"""What a model of a person's own may do itself, by the names of its methods."""

_PARTS_BY_SHARE = ("random", "stratified", "group")
"""Kinds of split whose validation part is empty when its share is 0."""
_OF_CLASSES = ("label_smoothing", "class_weights", "sampling")
_OF_GRADUAL = ("feed_by", "feed_first", "feed_stages")
_OF_LOSS = ("label_smoothing", "class_weights")
_OF_BATCHES = ("batch_size", "sampling", "feed")
_COUNTED = ("epochs", "learning_rate")
"""Passes over the rows and the length of a step, or rounds and each tree's share: one is no guess for the other."""
_REPLACED = {"rounds": "epochs", "rate": "learning_rate"}
"""Settings of trees that [train] has under another name: what stands there wins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Useless:
    """One setting that was made and means nothing."""

    path: str
    """Dotted, as `--set` takes it."""
    value: Any
    why: str

    @property
    def place(self) -> str:
        """In project.toml."""
        table, _, name = self.path.partition(".")
        return f"[{table}] {name}"

    def beside(self, overrides: Collection[str]) -> str:
        """Which of the dotted paths that were set beside project.toml set it; empty for none."""
        return next((o for o in overrides if self.path == o or self.path.startswith(f"{o}.")), "")

    def fix(self, overrides: Collection[str] = ()) -> str:
        """How to get rid of it; `overrides` as above."""
        table, _, name = self.path.partition(".")
        beside = self.beside(overrides)
        if beside == self.path:
            return f"leave out --set {self.path}"
        return f"take {name} out of {f'--set {beside}' if beside else f'[{table}]'}"


def useless_settings(project: Project, brings: Collection[str] = ()) -> tuple[Useless, ...]:
    """What stands at other than its default and changes nothing, in the order of the file.

    `brings` are those of `OWN_PARTS` that a model of a person's own has, where they are known.
    """
    return (*_of_model(project), *_of_train(project, brings))


def refuse_useless(project: Project, brings: Collection[str] = (), *, overrides: Collection[str] = ()) -> None:
    """Raises SettingsError (code useless-setting) that names every useless setting at once; `brings` as above.

    `overrides` are the dotted paths that were set beside project.toml: what is to be mended stands where it was set.
    """
    found = useless_settings(project, brings)
    if not found:
        return
    raise SettingsError(
        "; ".join(f"{u.path} = {u.value} means nothing: {u.why}" for u in found),
        path=tuple(found[0].path.split(".")),
        where=" and ".join(dict.fromkeys(_where(u, overrides) for u in found)),
        fix="; ".join(u.fix(overrides) for u in found),
        code=CODE,
    )


def _where(useless: Useless, overrides: Collection[str]) -> str:
    beside = useless.beside(overrides)
    return f"--set {beside}" if beside else "project.toml"


def for_its_family(before: Project, after: Project) -> Project:
    """The project without settings of [train] that another family than before has no use for, or takes for something else."""
    family = FAMILIES.get(after.model.family)
    if family is None or after.model.family == before.model.family:
        return after
    usual = Train()
    names = [*family.idle, *(_COUNTED if _counts_otherwise(before, after) else ())]
    return replace(after, train=replace(after.train, **{name: getattr(usual, name) for name in names}))


def _counts_otherwise(before: Project, after: Project) -> bool:
    """Whether rounds of trees become passes over the rows, or the other way round."""
    families = {before.model.family, after.model.family}
    return "" not in families and len(families) == 2 and "trees" in families


def said_of_idle(before: Project, after: Project) -> str:
    """What a person is told when another family dropped settings; empty when it did not."""
    family = FAMILIES.get(after.model.family)
    if family is None or after.model.family == before.model.family:
        return ""
    usual = Train()
    dropped = [
        name
        for name in family.idle
        if getattr(before.train, name) != getattr(usual, name) == getattr(after.train, name)
    ]
    counted = [
        name
        for name in _COUNTED
        if _counts_otherwise(before, after) and getattr(before.train, name) != getattr(after.train, name) == "auto"
    ]
    told = []
    if dropped:
        it = "it" if len(dropped) == 1 else "them"
        told.append(f"{_listed(dropped)} dropped: {family.name} has no use for {it}")
    if counted:
        told.append(f"{_listed(counted)} set back to auto: {before.model.family} and {family.name} count otherwise")
    return "; ".join(told)


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(f'train.{name}' for name in names)} {'was' if len(names) == 1 else 'were'}"


def _of_model(project: Project) -> Iterator[Useless]:
    if project.model.family != "trees":
        return
    options: Mapping[str, Any] = project.model.options
    for name, other in _REPLACED.items():
        if name in options and getattr(project.train, other) != "auto":
            yield Useless(path=f"model.{name}", value=options[name], why=f"train.{other} is set, and stands for it")


def _of_train(project: Project, brings: Collection[str]) -> Iterator[Useless]:
    train, usual = project.train, Train()
    for name in Train.__slots__:
        value = getattr(train, name)
        if value == getattr(usual, name):
            continue
        why = _why(project, name) or _beyond_batch(train, name) or _beside_own(name, brings)
        if why:
            yield Useless(path=f"train.{name}", value=value, why=why)


def _why(project: Project, name: str) -> str:
    """Why a setting of [train] means nothing here; empty when it means something."""
    family = FAMILIES.get(project.model.family)
    train, split = project.train, project.split
    if family is not None and name in family.idle:
        return f"{family.name} has no use for it"
    if name == "momentum" and train.optimiser != "sgd":
        return "only the optimiser sgd has a momentum"
    if name in _OF_CLASSES and project.goal.task != "classification":
        return "it is about classes, and a number is learnt"
    if name == "sampling" and train.feed == "gradual":
        return 'feed = "gradual" says itself which rows come'
    if name == "class_weights" and train.sampling == "balanced":
        return "with balanced sampling classes come alike often already"
    if name in _OF_GRADUAL and train.feed != "gradual":
        return 'only feed = "gradual" looks at it'
    if name == "feed_first" and not train.feed_by:
        return "there is no feed_by whose values it could rank"
    judged = split.validation > 0 or split.kind not in _PARTS_BY_SHARE
    if name == "patience" and not judged:
        return "there are no validation rows to stop by"
    if name == "schedule" and train.schedule == "plateau" and not judged:
        return "plateau looks at validation rows, and there are none"
    return ""


def _beyond_batch(train: Train, name: str) -> str:
    """Why a batch cannot be cut into so many pieces; empty when it can, and where its size is not known yet."""
    size = train.batch_size
    if name == "accumulate" and isinstance(size, int) and train.accumulate > size:
        return f"a batch of {size} rows has no more than {size} pieces"
    return ""


def _beside_own(name: str, brings: Collection[str]) -> str:
    """Why a setting of [train] means nothing beside what a person's own model does itself; empty when it means something."""
    if name in _OF_LOSS and "loss" in brings:
        return "the model has a loss of its own, which does not look at it"
    if name in _OF_BATCHES and "batches" in brings:
        return "the model makes its batches itself"
    return ""
