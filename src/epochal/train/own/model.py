"""A person's module as the learner drives it: outputs of one form, and every failure told by its file and line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from epochal.show import safe
from epochal.train.batch import Batch, num_rows
from epochal.train.objective import Loss
from epochal.train.own.errors import OwnModelError, guarded
from epochal.train.own.spec import OptimiserSettings, Spec


class OwnNetwork(nn.Module):
    """A person's module, as a network of one member. Output: (B, 1, outputs)."""

    def __init__(self, model: nn.Module, spec: Spec, root: Path) -> None:
        """`root` is the folder that its code was read from."""
        super().__init__()
        self.model, self.spec, self.root = model, spec, root

    def forward(self, batch: Batch) -> Tensor:
        """What the model says, of a copy: what it changes there changes no row. Raises OwnModelError."""
        with guarded(self.root, "forward"):
            output = self.model(_copy_of(batch))
        return self._outputs(output, num_rows(batch))

    def _outputs(self, output: Any, rows: int) -> Tensor:
        """The output as (B, 1, O). Raises OwnModelError for another shape, and for one that nothing can be learnt from."""
        spec = self.spec
        wanted = [(rows, spec.outputs)] if spec.classes else [(rows,), (rows, 1)]
        if not isinstance(output, Tensor) or tuple(output.shape) not in wanted or not output.is_floating_point():
            expected = " or ".join(str(list(shape)) for shape in wanted)
            raise self._refused(
                f"forward returned {_described(output)}",
                f"return a tensor of floats of shape {expected}: "
                + ("a logit for each class" if spec.classes else "the standardised number"),
            )
        if self.training and torch.is_grad_enabled() and not output.requires_grad:
            raise self._refused(
                "forward returned a tensor that does not depend on any weight that is learnt",
                "compute it from parameters, without detach() or no_grad()",
            )
        return output.reshape(rows, 1, spec.outputs)

    def _refused(self, what: str, fix: str) -> OwnModelError:
        return OwnModelError(what, where=f"{type(self.model).__name__} in {self.root}", fix=fix)

    @property
    def own_loss(self) -> Loss | None:
        """The model's own loss; None when it has none."""
        taught = getattr(self.model, "loss", None)
        if not callable(taught):
            return None

        def loss(outputs_BKO: Tensor, batch: Batch) -> Tensor:
            output = outputs_BKO[:, 0].float()
            output = output if self.spec.classes else output.squeeze(-1)
            with guarded(self.root, "loss"):
                found = taught(output, _copy_of(batch))
            if not isinstance(found, Tensor) or found.numel() != 1 or not found.is_floating_point():
                raise self._refused(f"loss returned {_described(found)}", "return one number: the mean over the batch")
            if outputs_BKO.requires_grad and not found.requires_grad:
                raise self._refused(
                    "loss returned a number that does not depend on any weight that is learnt",
                    "compute it from the output, without detach(), item() or no_grad()",
                )
            return found.reshape(1)

        return loss

    def groups(self, settings: OptimiserSettings) -> list[Mapping[str, Any]] | None:
        """The model's own parameter groups, complete, of what is learnt; None when it has none. Raises OwnModelError."""
        grouped = getattr(self.model, "parameter_groups", None)
        if not callable(grouped):
            return None
        with guarded(self.root, "parameter_groups"):
            # A generator of parameters, as torch's `parameters()` is one, may be read once only.
            found = [{**group, "params": list(group["params"])} for group in grouped(settings)]
            rates = [float(g.get("lr", settings.learning_rate)) for g in found]
            decays = [float(g.get("weight_decay", settings.weight_decay)) for g in found]
        unknown = sorted({key for group in found for key in group} - {"params", "lr", "weight_decay"})
        if unknown:
            raise self._refused(
                f"parameter_groups gives {', '.join(map(safe, unknown))}", "a group has params, lr and weight_decay"
            )
        self._check_complete([p for group in found for p in group["params"]])
        return [
            # A frozen one gets no gradient, and would only be shrunk by the decay.
            {"params": learnt, "lr": rate, "weight_decay": decay}
            for g, rate, decay in zip(found, rates, decays, strict=True)
            if (learnt := [p for p in g["params"] if p.requires_grad])
        ]

    def _check_complete(self, grouped: list[Any]) -> None:
        """Every weight that is learnt is in one group, and nothing is that is no parameter. Raises OwnModelError."""
        times: dict[int, int] = {}
        for parameter in grouped:
            times[id(parameter)] = times.get(id(parameter), 0) + 1
        named = dict(self.model.named_parameters())
        missing = [n for n, p in named.items() if p.requires_grad and id(p) not in times]
        twice = [n for n, p in named.items() if times.get(id(p), 0) > 1]
        strange = len(times.keys() - {id(p) for p in named.values()})
        if missing:
            raise self._refused(
                f"parameter_groups leaves out {', '.join(missing[:5])}",
                "put every parameter into a group, or freeze it with requires_grad_(False)",
            )
        if twice or strange:
            what = f"{', '.join(twice[:5])} twice" if twice else "what is no parameter of the model"
            raise self._refused(f"parameter_groups holds {what}", "put every parameter of the model into one group")


def _copy_of(batch: Batch) -> Batch:
    """Tensors of its own: the rows that are judged lie in the batch itself, and are judged again."""
    return {name: tensor.clone() for name, tensor in batch.items()}


def _described(value: Any) -> str:
    """What was returned, in words."""
    if isinstance(value, Tensor):
        return f"a tensor of {str(value.dtype).removeprefix('torch.')} of shape {list(value.shape)}"
    return "nothing" if value is None else f"a {type(value).__name__}"
