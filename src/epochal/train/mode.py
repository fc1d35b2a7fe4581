"""How exactly it computes: `exact`, the same to the bit each time, or `fast`, whatever is quickest here.

torch keeps this for the whole process. Several trainings may live in one (the thread host): while any of them is exact,
all compute so, and when the last has ended everything stands as it stood before the first.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from epochal.core.errors import RunError


_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
_WORKSPACES = ":4096:8"
"""What NVIDIA names for results that do not change from run to run. Read when CUDA's first product is computed."""
_REFUSED = re.compile(r"(?P<named>[\w:.<>]+) does not have a deterministic implementation|.*not deterministic because it uses CuBLAS", re.DOTALL)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Standing:
    """All of the process's settings that decide whether the same is computed twice."""

    deterministic: bool
    warn_only: bool
    fill: bool
    """Memory that nobody wrote reads alike each time: a person's own model may look at it."""
    cudnn_deterministic: bool
    cudnn_benchmark: bool
    cudnn_tf32: bool
    products: str
    workspaces: str | None


_EXACT = _Standing(
    deterministic=True,
    warn_only=False,
    fill=True,
    cudnn_deterministic=True,
    cudnn_benchmark=False,
    cudnn_tf32=False,
    products="highest",
    workspaces=_WORKSPACES,
)
_FAST = _Standing(
    deterministic=False,
    warn_only=False,
    fill=False,
    cudnn_deterministic=False,
    cudnn_benchmark=True,
    cudnn_tf32=True,
    products="high",
    workspaces=None,
)

_lock = threading.Lock()
_under_way: list[str] = []
_before: list[_Standing] = []
"""What stood before the first of those under way."""


@contextlib.contextmanager
def computing(mode: str) -> Iterator[None]:
    """Within, torch computes as `mode` says. Not to be held over a yield of events: those use `enter` and `leave`."""
    enter(mode)
    try:
        yield
    finally:
        leave(mode)


def enter(mode: str) -> None:
    """A training begins that computes as `mode` says; it must `leave`."""
    with _lock:
        if not _under_way:
            _before.append(_read())
        _under_way.append(mode)
        _set(_EXACT if "exact" in _under_way else _FAST)


def leave(mode: str) -> None:
    """A training that entered has ended."""
    with _lock:
        _under_way.remove(mode)
        if not _under_way:
            _set(_before.pop())
        else:
            _set(_EXACT if "exact" in _under_way else _FAST)


def _read() -> _Standing:
    return _Standing(
        deterministic=torch.are_deterministic_algorithms_enabled(),
        warn_only=torch.is_deterministic_algorithms_warn_only_enabled(),
        fill=torch.utils.deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
        cudnn_deterministic=torch.backends.cudnn.deterministic,
        cudnn_benchmark=torch.backends.cudnn.benchmark,
        cudnn_tf32=torch.backends.cudnn.allow_tf32,
        products=torch.get_float32_matmul_precision(),
        workspaces=os.environ.get(_WORKSPACE),
    )


def _set(wanted: _Standing) -> None:
    torch.use_deterministic_algorithms(wanted.deterministic, warn_only=wanted.warn_only)
    torch.utils.deterministic.fill_uninitialized_memory = wanted.fill  # type: ignore[attr-defined]
    torch.backends.cudnn.deterministic = wanted.cudnn_deterministic
    torch.backends.cudnn.benchmark = wanted.cudnn_benchmark
    torch.backends.cudnn.allow_tf32 = wanted.cudnn_tf32
    torch.set_float32_matmul_precision(wanted.products)
    if wanted.workspaces is None:
        os.environ.pop(_WORKSPACE, None)
    else:
        os.environ[_WORKSPACE] = wanted.workspaces


@contextlib.contextmanager
def told_what_is_not_exact() -> Iterator[None]:
    """Give torch's refusal of an operation a name and a way out. Raises RunError (code not-exact)."""
    try:
        yield
    except RuntimeError as error:
        refusal = not_exact(error)
        if refusal is None:
            raise
        raise refusal from error


def not_exact(error: BaseException, where: str = '[train] mode = "exact"') -> RunError | None:
    """The error that says which operation torch refuses to compute exactly; None for any other error."""
    refused = _REFUSED.match(str(error)) if isinstance(error, RuntimeError) else None
    if refused is None:
        return None
    return RunError(
        f"the model computes {refused['named'] or 'a product of cuBLAS'}, which torch cannot do exactly here",
        where=where,
        fix='write mode = "fast" in [train]: a resumed run is then not promised to be the same to the bit; '
        "or compute it otherwise in the model",
        code="not-exact",
    )
