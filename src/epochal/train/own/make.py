"""From a project's trusted code to a learner of its model, and back from a bundle."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from epochal.core.errors import SettingsError
from epochal.core.steps import nearest
from epochal.core.tasks import MODULE
from epochal.train import seeds
from epochal.train.batch import Batch, moved
from epochal.train.device import same_device
from epochal.train.feed import Feed, Held, MemoryFeed, MemoryRows, num_batches
from epochal.train.gradient import GradientLearner
from epochal.train.objective import Target, fit_target
from epochal.train.order import row_order
from epochal.train.own.errors import OwnModelError, guarded
from epochal.train.own.load import load_class
from epochal.train.own.model import OwnNetwork
from epochal.train.own.rows import OwnFeed, OwnRows, Reader, count_batches
from epochal.train.own.spec import OptimiserSettings, Spec, make_spec
from epochal.train.prepare import Preparation
from epochal.train.state import Plan


if TYPE_CHECKING:
    from epochal.train.make import DenseRows, Prepared


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """A person's class, ready to be made."""

    cls: type[nn.Module]
    spec: Spec
    settings: Mapping[str, Any]
    """What [model] hands to it."""
    root: Path
    """The folder its code was read from."""
    contents: Mapping[str, bytes]
    """Its files, as they were trusted."""
    kinds: Mapping[str, str]
    reader: Reader | None = None
    """Where the class makes tensors or batches of its own."""

    def build(self) -> OwnNetwork:
        """A fresh model, weights drawn from torch's generator. Raises OwnModelError."""
        with guarded(self.root, f"making {self.cls.__name__}"):
            model = self.cls(self.spec, **self.settings)
            self._check_weights(model)
        return OwnNetwork(model, self.spec, self.root)

    def _check_weights(self, model: nn.Module) -> None:
        """That its weights can be learnt and saved. Raises OwnModelError."""
        learnt = [p for p in model.parameters() if p.requires_grad]
        kinds = sorted({str(p.dtype).removeprefix("torch.") for p in learnt})
        if not learnt:
            raise self._refused("has no weight to learn", "make its parameters in __init__, after super().__init__()")
        if any(isinstance(p, nn.parameter.UninitializedParameter) for p in learnt):
            raise self._refused(
                "has weights of a shape not known yet", "say the shape: spec.numbers, spec.cardinalities"
            )
        if len(kinds) > 1:
            raise self._refused(f"has weights of {' and '.join(kinds)}", "make all that are learnt of one kind")
        if not all(isinstance(value, Tensor) for value in model.state_dict().values()):
            raise self._refused("keeps state that is no tensor", "keep it in buffers: all that is saved are tensors")

    def _refused(self, what: str, fix: str) -> OwnModelError:
        return OwnModelError(f"{self.cls.__name__} {what}", where=str(self.root), fix=fix)

    def steps(self, prepared: Prepared, batch_size: int) -> int:
        """Batches in one pass."""
        if self.reader is None or not self.reader.makes_batches:
            return num_batches(prepared.data.train.total, batch_size)
        target = _target_of(prepared)
        split = self.reader.split("train", prepared.data.train.inputs, target.tensor(prepared.data.train.target))
        return count_batches(self.reader, split, 0)


def _target_of(prepared: Prepared) -> Target:
    """The target as batches carry it, without weights."""
    return fit_target(prepared.data.task, prepared.data.train.target, len(prepared.data.classes), "none")


def open_own(
    root: Path,
    contents: Mapping[str, bytes],
    options: Mapping[str, Any],
    *,
    folder: Path,
    preparation: Preparation,
    task: str,
    classes: tuple[str, ...],
    kinds: Mapping[str, str],
) -> Own:
    """The class that [model] names, from trusted files of `root`, with what it is told. `folder` is the project's.

    Raises OwnModelError, SettingsError for a setting that the class does not take.
    """
    cls = load_class(root, contents, str(options[MODULE]))
    root = Path(root).resolve()
    settings = {k: list(v) if isinstance(v, tuple) else v for k, v in options.items() if k != MODULE}
    spec = make_spec(preparation, task=task, classes=classes, kinds=kinds, folder=folder)
    _check_settings(cls, settings, root)
    own = Own(cls=cls, spec=spec, settings=settings, root=root, contents=contents, kinds=kinds)
    if not any(callable(getattr(cls, name, None)) for name in ("prepare", "batches")):
        return own
    return replace(own, reader=Reader(model=own.build().model.eval(), root=root, kinds=kinds, task=task))


def _check_settings(cls: type[nn.Module], settings: Mapping[str, Any], root: Path) -> None:
    """Refuse settings that the constructor does not take, and the lack of one that it needs."""
    with guarded(root, f"the constructor of {cls.__name__}"):
        parameters = list(inspect.signature(cls).parameters.values())[1:]
    kinds = inspect.Parameter
    named = {p.name: p for p in parameters if p.kind in {kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY}}
    if not any(p.kind is kinds.VAR_KEYWORD for p in parameters):
        for key in settings:
            if key not in named:
                close = nearest(key, tuple(named))
                raise SettingsError(
                    f"{cls.__name__} takes no setting `{key}`",
                    path=("model", key),
                    where="project.toml [model]",
                    fix=f"did you mean `{close}`?" if close else f"it takes {', '.join(named) or 'none'}",
                    code="unknown-key",
                )
    missing = [n for n, p in named.items() if p.default is kinds.empty and n not in settings]
    if missing:
        raise SettingsError(
            f"{cls.__name__} needs the setting `{missing[0]}`",
            path=("model",),
            where="project.toml [model]",
            fix=f"write {missing[0]} = … in [model], or give it a default in the class",
            code="missing-key",
        )


def make_own(
    prepared: Prepared, own: Own, *, plan: Plan, target: Target, dense: DenseRows, ranking: np.ndarray | None = None
) -> GradientLearner:
    """A fresh learner of a person's model: equal for equal data, plan and seed. `ranking` is for gradual feeding.

    Raises SettingsError where rows are to be fed gradually to a class that makes its batches itself.
    """
    device = same_device(plan.device)
    seeds.seed_all(plan.seed, "weights")
    network = own.build().to(device)
    groups = network.groups(OptimiserSettings(learning_rate=plan.learning_rate, weight_decay=plan.weight_decay))
    feed, validation = _rows(
        prepared, own.reader, plan=plan, target=target, dense=dense, ranking=ranking, device=device
    )
    seeds.seed_all(plan.seed, "steps")
    return GradientLearner(
        module=network,
        plan=plan,
        target=target,
        feed=feed,
        validation=validation,
        device=device,
        groups=groups,
        own_loss=network.own_loss,
        foreign=True,
    )


def _rows(
    prepared: Prepared,
    reader: Reader | None,
    *,
    plan: Plan,
    target: Target,
    dense: DenseRows,
    ranking: np.ndarray | None,
    device: torch.device,
) -> tuple[Feed, Held | None]:
    """What is learnt from, and what is judged by."""
    data = prepared.data
    if prepared.streamed is not None:
        return prepared.streamed.feed(plan, target, device)
    train_target, validation_target = target.tensor(data.train.target), target.tensor(data.validation.target)
    if reader is not None and reader.makes_batches:
        if ranking is not None:
            raise SettingsError(
                "the model makes its batches itself: rows cannot be fed to it gradually",
                path=("train", "feed"),
                fix="take `feed` out, or let `batches` begin with what is easy",
            )
        feed = OwnFeed(reader, reader.split("train", data.train.inputs, train_target), plan.seed, device)
        if not len(data.validation):
            return feed, None
        split = reader.split("validation", data.validation.inputs, validation_target)
        return feed, OwnRows(reader, split, plan.seed, device)
    train, validation = (
        ({"numbers": d.numbers, "codes": d.codes} if reader is None else reader.tensors(part.inputs))
        for d, part in ((dense.train, data.train), (dense.validation, data.validation))
    )
    rows = moved({**train, "target": train_target}, device)
    memory = MemoryFeed(
        rows,
        row_order(plan, data.train.target, ranking),
        num_batches(len(data.train), plan.batch_size),
        even=plan.compiled,
    )
    if not len(data.validation):
        return memory, None
    return memory, MemoryRows(moved({**validation, "target": validation_target}, device))


def new_rows(network: OwnNetwork, table: pa.Table, *, kinds: Mapping[str, str], dense: Batch) -> Held:
    """Rows to predict, as the model takes them: `dense` are its numbers and codes, unless it makes tensors of its own."""
    reader = Reader(model=network.model, root=network.root, kinds=kinds, task=network.spec.task)
    if reader.makes_batches:
        return OwnRows(reader, reader.split("new", table, None), 0, torch.device("cpu"))
    return MemoryRows(reader.tensors(table) if reader.prepares else dense)
