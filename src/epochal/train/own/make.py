"""From a project's trusted code to a learner of its model, and back from a bundle."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from epochal import fsio
from epochal.core.errors import SettingsError
from epochal.train import seeds
from epochal.train.batch import Batch, moved
from epochal.train.device import same_device
from epochal.train.feed import Feed, Held, MemoryFeed, MemoryRows, num_batches
from epochal.train.gradient import GradientLearner
from epochal.train.objective import Target, fit_target
from epochal.train.order import row_order
from epochal.train.own.constructor import brought_by, class_of
from epochal.train.own.errors import OwnModelError, guarded, guarded_gradient
from epochal.train.own.model import OwnNetwork
from epochal.train.own.rows import OwnFeed, OwnRows, Reader, count_batches
from epochal.train.own.spec import OptimiserSettings, Spec, make_spec
from epochal.train.prepare import Preparation
from epochal.train.state import Plan
from epochal.train.team import SOLO, Team, in_parts
from epochal.train.threads import one_thread


if TYPE_CHECKING:
    from epochal.train.make import DenseRows, Prepared


_MAKER_FILE = "maker.safetensors"


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
    seed: int
    """The run's: each model is made under it, so that all are equal, here and wherever the bundle is read."""
    reader: Reader | None = None
    """Where the class makes tensors or batches of its own."""

    @property
    def brings(self) -> tuple[str, ...]:
        """What the class does itself, beside `forward`."""
        return brought_by(self.cls)

    def build(self) -> OwnNetwork:
        """A fresh model, equal each time: all generators begin anew under the run's seed. Raises OwnModelError."""
        seeds.seed_all(self.seed, "weights")
        with guarded(self.root, f"making {self.cls.__name__}"), one_thread():
            model = self.cls(self.spec, **self.settings)
            self._check_weights(model)
        _unfold(model)
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
        state = model.state_dict()
        if not all(isinstance(value, Tensor) for value in state.values()):
            raise self._refused("keeps state that is no tensor", "keep it in buffers: all that is saved are tensors")
        sparse = [name for name, value in state.items() if value.layout is not torch.strided]
        if sparse:
            raise self._refused(
                f"keeps sparse tensors in its state ({', '.join(sparse[:5])}), which weights are not saved as",
                "make them in __init__ and register them with persistent=False, or keep them dense",
            )

    def check_alike(self, network: OwnNetwork) -> None:
        """That a fresh model is as the one which makes the rows. Raises OwnModelError.

        What is drawn in the constructor and used in `prepare` must be the same in every model that is made, or it
        would learn from other rows than those it predicts from.
        """
        if self.reader is None:
            return
        one, other = network.model.state_dict(), self.reader.model.state_dict()
        differs = [n for n in one if n not in other or not _alike(one[n], other[n])]
        if differs:
            raise self._refused(
                f"is another each time it is made: {', '.join(differs[:5])} differs",
                "draw in __init__ from torch, random or np.random, which the run's seed begins, "
                "and keep `prepare` and `batches` from changing the model",
            )

    def save(self, folder: Path) -> None:
        """Write what is needed beside the weights to make the same rows anywhere. Raises NotSaved."""
        if self.reader is not None:
            state = {n: t.detach().cpu().clone().contiguous() for n, t in self.reader.model.state_dict().items()}
            fsio.write_bytes(folder / _MAKER_FILE, save_tensors(state))

    def load(self, folder: Path) -> None:
        """Take what `save` wrote: another version of torch may draw otherwise. Raises OSError and what torch raises."""
        if self.reader is not None:
            self.reader.model.load_state_dict(load_tensors((folder / _MAKER_FILE).read_bytes()))

    def _refused(self, what: str, fix: str) -> OwnModelError:
        return OwnModelError(f"{self.cls.__name__} {what}", where=str(self.root), fix=fix)

    def steps(self, prepared: Prepared, batch_size: int) -> int:
        """Batches in one pass."""
        if self.reader is None or not self.reader.makes_batches:
            return num_batches(prepared.data.train.total, batch_size)
        target = _target_of(prepared)
        split = self.reader.split("train", prepared.data.train.inputs, target.tensor(prepared.data.train.target))
        return count_batches(self.reader, split, 0)


def _unfold(model: nn.Module) -> None:
    """Give each buffer and frozen weight numbers of its own: what was expanded can be neither written to nor read back."""
    for parameter in model.parameters():
        strides = parameter.stride() if parameter.layout is torch.strided else ()
        if any(step == 0 and size > 1 for step, size in zip(strides, parameter.shape, strict=False)):
            parameter.data = parameter.data.contiguous()
    for module in model.modules():
        for name, buffer in module.named_buffers(recurse=False):
            kept = name not in module._non_persistent_buffers_set  # noqa: SLF001 - torch has no public name for it
            if buffer.layout is torch.strided and not buffer.is_contiguous():
                module.register_buffer(name, buffer.contiguous(), persistent=kept)


def _alike(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are equal but for rounding, which may differ with the number of threads."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if not one.is_floating_point():
        return torch.equal(one.cpu(), other.cpu())
    return torch.allclose(one.cpu().double(), other.cpu().double(), rtol=1e-3, atol=1e-6, equal_nan=True)


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
    seed: int,
) -> Own:
    """The class that [model] names, from trusted files of `root`, with what it is told. `folder` is the project's.

    `seed` is the run's. Raises OwnModelError, SettingsError for a setting that the class does not take.
    """
    cls, settings = class_of(root, contents, options)
    root = Path(root).resolve()
    spec = make_spec(preparation, task=task, classes=classes, kinds=kinds, folder=folder)
    own = Own(cls=cls, spec=spec, settings=settings, root=root, contents=contents, kinds=kinds, seed=seed)
    if not {"prepare", "batches"} & set(own.brings):
        return own
    model = own.build().model.eval()
    return replace(own, reader=Reader(model=model, root=root, kinds=kinds, task=task, classes=len(classes), seed=seed))


def make_own(
    prepared: Prepared,
    own: Own,
    *,
    plan: Plan,
    target: Target,
    dense: DenseRows,
    ranking: np.ndarray | None = None,
    team: Team = SOLO,
) -> GradientLearner:
    """A fresh learner of a person's model: equal for equal data, plan and seed, but for what each rank of a team draws.

    `ranking` is for gradual feeding. With a loss or batches of its own each rank judges all validation rows. Raises
    SettingsError where rows are to be fed gradually to a class that makes its batches itself.
    """
    device = same_device(plan.device)
    network = own.build()
    own.check_alike(network)
    network = network.to(device)
    groups = network.groups(OptimiserSettings(learning_rate=plan.learning_rate, weight_decay=plan.weight_decay))
    makes_batches = own.reader is not None and own.reader.makes_batches
    by_parts = network.own_loss is None and not makes_batches and in_parts(len(prepared.data.validation), team)
    feed, validation = _rows(
        prepared, own.reader, plan=plan, target=target, dense=dense, ranking=ranking, device=device
    )
    if by_parts and isinstance(validation, MemoryRows):
        validation = validation.part(*team.part(len(validation)))
    seeds.seed_all(plan.seed, "steps", *([team.rank] if team.rank else []))
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
        # Of several ranks a gradient fails too where another is gone: then the fault is nobody's code.
        guard=partial(guarded_gradient, own.root) if team.size == 1 else contextlib.nullcontext,
        team=team,
        judged_by_parts=by_parts,
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


def new_rows(reader: Reader | None, table: pa.Table, dense: Batch) -> Held:
    """Rows to predict, as the model takes them: `dense` are its numbers and codes, unless it makes tensors of its own."""
    if reader is None:
        return MemoryRows(dense)
    if reader.makes_batches:
        return OwnRows(reader, reader.split("new", table, None), reader.seed, torch.device("cpu"))
    return MemoryRows(reader.tensors(table))
