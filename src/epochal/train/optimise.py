"""The optimiser: AdamW or SGD with momentum over flat parameters, torch's own fused kernels, decoupled weight decay.

A network's parameters of one learning rate are views of one flat tensor, and so are their gradients: a step is then a
handful of calls, however many layers there are. Decay is decoupled from the gradient for both optimisers.
Sources: Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization"; Sutskever et al. 2013, "On the importance of
initialization and momentum in deep learning" (Nesterov's momentum).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from epochal.train.state import Plan


_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8
_NOT_DECAYED = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.InstanceNorm1d,
    nn.InstanceNorm2d,
    nn.InstanceNorm3d,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
    nn.Embedding,
    nn.EmbeddingBag,
)


@runtime_checkable
class Sparing(Protocol):
    """A network with parameters of its own kind that are not to be decayed."""

    def spared(self) -> Iterable[Tensor]:
        """They."""


@dataclass(slots=True, kw_only=True)
class _Flat:
    """Parameters of one learning rate, end to end."""

    values: Tensor
    gradient: Tensor
    places: dict[str, slice]
    """Of each parameter, by its name."""
    decays: list[tuple[Tensor, float]]
    """Stretches that are decayed, and how strongly."""
    times: float
    """Of the plan's learning rate."""
    state: dict[str, Tensor] = field(default_factory=dict)


class Optimiser:
    """Takes the steps of one module, whose parameters and gradients it lays out."""

    def __init__(self, module: nn.Module, plan: Plan, groups: Sequence[Mapping[str, Any]] | None = None) -> None:
        """`groups` as torch's optimisers take them; without, biases, norms and embeddings are not decayed.

        Raises ValueError when a group holds something that is no parameter of the module, or one is in two groups.
        """
        self._plan = plan
        names = {id(p): name for name, p in module.named_parameters()}
        given = groups if groups is not None else default_groups(module, plan.weight_decay)
        self._flats = [
            _lay_out(names, [g for g in given if _times(g, plan) == times], times)
            for times in dict.fromkeys(_times(g, plan) for g in given)
        ]
        for flat in self._flats:
            flat.state = _fresh(flat.values, plan)

    @property
    def num_parameters(self) -> int:
        """Numbers that are learnt."""
        return sum(len(f.values) for f in self._flats)

    def zero(self) -> None:
        """Forget the gradients."""
        for flat in self._flats:
            flat.gradient.zero_()

    def norm(self) -> Tensor:
        """The length of all gradients together, a scalar."""
        lengths: list[Tensor] = [torch.linalg.vector_norm(f.gradient) for f in self._flats]
        return lengths[0] if len(lengths) == 1 else torch.linalg.vector_norm(torch.stack(lengths))

    def scale(self, factor: float | Tensor) -> None:
        """Multiply all gradients."""
        for flat in self._flats:
            flat.gradient.mul_(factor)

    @torch.no_grad()
    def step(self, rate: float, skip: Tensor | None = None) -> None:
        """Take a step. Where `skip` is 1 nothing moves: for devices that must not be waited for."""
        for flat in self._flats:
            here = rate * flat.times
            for values, decay in flat.decays:
                values.mul_(1 - here * decay if skip is None else 1 - here * decay * (1 - skip))
            if self._plan.optimiser == "sgd":
                _sgd(flat, self._plan, here, skip)
            else:
                _adam(flat, here, skip)

    def state(self) -> dict[str, Tensor]:
        """All that later steps depend on: "item:parameter" and, for counts, "item:"."""
        found: dict[str, Tensor] = {}
        for number, flat in enumerate(self._flats):
            for item, value in flat.state.items():
                if not value.ndim:
                    found[f"{item}:{number}"] = value
                    continue
                found |= {f"{item}:{name}": value[place] for name, place in flat.places.items()}
        return found

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a saved state. Raises KeyError or RuntimeError when it is not this module's."""
        for name, value in self.state().items():
            value.copy_(state[name])


def default_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameters that are decayed, all matrices and larger, and those that are not: biases, norms, embeddings, vectors.

    A network of epochal's names what else is like these: `spared()` gives the parameters.
    """
    spared = {id(p) for m in module.modules() if isinstance(m, _NOT_DECAYED) for p in m.parameters(recurse=False)}
    if isinstance(module, Sparing):
        spared |= {id(p) for p in module.spared()}
    decayed: list[Tensor] = []
    free: list[Tensor] = []
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            weight = parameter.ndim > 1 and not name.rpartition(".")[2].startswith("bias")
            (decayed if weight and id(parameter) not in spared else free).append(parameter)
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]


def _times(group: Mapping[str, Any], plan: Plan) -> float:
    return float(group.get("lr", plan.learning_rate)) / plan.learning_rate


def _lay_out(names: Mapping[int, str], groups: Sequence[Mapping[str, Any]], times: float) -> _Flat:
    """One flat tensor over the groups' parameters, which become views of it."""
    parameters = [p for g in groups for p in g["params"]]
    strange = [p for p in parameters if id(p) not in names]
    if strange or len({id(p) for p in parameters}) != len(parameters):
        raise ValueError("a group of parameters holds what is no parameter of the module, or one of them twice")
    size = sum(p.numel() for p in parameters)
    values = torch.cat([p.detach().flatten() for p in parameters]) if parameters else torch.empty(0)
    gradient = torch.zeros_like(values)
    places: dict[str, slice] = {}
    start = 0
    for parameter in parameters:
        place = slice(start, start + parameter.numel())
        parameter.data = values[place].view(parameter.shape)
        parameter.grad = gradient[place].view(parameter.shape)
        places[names[id(parameter)]] = place
        start = place.stop
    assert start == size  # noqa: S101 - the views cover it
    decays: list[tuple[Tensor, float]] = []
    start = 0
    for group in groups:
        end = start + sum(p.numel() for p in group["params"])
        decay = float(group.get("weight_decay", 0.0))
        if decay and end > start:
            decays.append((values[start:end], decay))
        start = end
    return _Flat(values=values, gradient=gradient, places=places, decays=decays, times=times)


def _fresh(values: Tensor, plan: Plan) -> dict[str, Tensor]:
    """The state before the first step: made now, so that no step runs out of memory for it half-way."""
    if plan.optimiser == "sgd":
        return {"momentum": torch.zeros_like(values)} if plan.momentum else {}
    return {
        "step": torch.zeros((), device=values.device),
        "mean": torch.zeros_like(values),
        "square": torch.zeros_like(values),
    }


# The kernels themselves: what torch wraps around them sorts parameters by their device, three times as long as a step of
# a small network's.


def _adam(flat: _Flat, rate: float, skip: Tensor | None) -> None:
    steps = flat.state["step"]
    steps.add_(1)
    torch._fused_adam_(
        [flat.values],
        [flat.gradient],
        [flat.state["mean"]],
        [flat.state["square"]],
        [],
        [steps],
        lr=rate,
        beta1=_BETA1,
        beta2=_BETA2,
        weight_decay=0.0,
        eps=_EPSILON,
        amsgrad=False,
        maximize=False,
        grad_scale=None,
        found_inf=skip,
    )
    if skip is not None:
        steps.sub_(skip)


def _sgd(flat: _Flat, plan: Plan, rate: float, skip: Tensor | None) -> None:
    torch._fused_sgd_(
        [flat.values],
        [flat.gradient],
        [flat.state["momentum"]] if plan.momentum else [],
        weight_decay=0.0,
        momentum=plan.momentum,
        lr=rate,
        dampening=0.0,
        nesterov=plan.momentum > 0,
        maximize=False,
        is_first_step=False,
        grad_scale=None,
        found_inf=skip,
    )
