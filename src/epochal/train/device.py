"""Where it computes: an idle GPU, Apple's, or the CPU."""

from __future__ import annotations

import json
import os

import torch

from epochal.core.errors import RunError
from epochal.train.team import SOLO, Team


_SMALL_ROWS = 20_000
"""Under so many training rows the CPU is done before a GPU has been woken."""
_IDLE_SHARE = 0.8
"""A GPU counts as idle while so much of its memory is free."""


class NoDevice(RunError):
    """The device asked for is not here."""

    code = "no-device"
    exit_code = 2


def choose_device(wanted: str | int | tuple[int, ...], num_rows: int, team: Team = SOLO) -> tuple[torch.device, str]:
    """This rank's device and in words why. `wanted` as in [train] devices. All ranks call it together.

    Raises NoDevice for a GPU that is not there.
    """
    if wanted == "cpu":
        return torch.device("cpu"), "as set"
    if isinstance(wanted, str):
        return _automatic(num_rows)
    here = torch.cuda.device_count()
    if isinstance(wanted, int):
        if not here:
            return torch.device("cpu"), "no GPU here: ranks on the CPU"
        numbers = _idlest(team)
        if wanted > here:
            raise NoDevice(
                f"{wanted} devices were asked for and {here} GPUs are here",
                where="[train] devices",
                fix="ask for fewer",
            )
        return torch.device("cuda", numbers[team.local_rank]), "among the idlest GPUs"
    missing = [number for number in wanted if number >= here]
    if missing:
        raise NoDevice(
            f"there is no GPU {missing[0]} here ({here} found)", where="[train] devices", fix='write devices = "auto"'
        )
    return torch.device("cuda", wanted[team.local_rank]), "as set"


def _idlest(team: Team) -> list[int]:
    """The GPUs of this machine, the idlest first, as its first rank sees them: the ranks must not take the same one."""
    free = [torch.cuda.mem_get_info(number) for number in range(torch.cuda.device_count())]
    mine = sorted(range(len(free)), key=lambda n: (free[n][0] <= _IDLE_SHARE * free[n][1], n))
    seen = team.said_by_all(json.dumps(mine).encode())
    order: list[int] = json.loads(seen[team.rank - team.local_rank])
    return order


def device_here(name: str, wanted: str | int | tuple[int, ...]) -> str:
    """The device a run was planned for where it is here, else what is here in its place; `wanted` as in [train] devices.

    Raises NoDevice when only another one was asked for. For a person who goes on all the same.
    """
    try:
        return str(same_device(name))
    except NoDevice:
        return str(choose_device(wanted, _SMALL_ROWS)[0])


def device_title(name: str) -> str:
    """What a GPU calls itself; nothing for the CPU, and for a GPU that is not here."""
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) < torch.cuda.device_count():
        return torch.cuda.get_device_name(device)
    return ""


def same_device(name: str) -> torch.device:
    """The device a run was planned for, such as "cuda:0", when it comes back to it.

    Raises NoDevice when it is not here: elsewhere the steps would round otherwise than those before.
    """
    device = torch.device(name)
    here = {
        "cpu": True,
        "cuda": (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not here.get(device.type, False):
        raise NoDevice(
            f"this run computes on {name}, which is not here ({torch.cuda.device_count()} GPUs found)",
            where="[resolved] device",
            fix="resume it on a machine that has it; or `epochal resume --anyway` goes on with what is here and marks the "
            "seam; or `epochal train` makes a new run",
        )
    return device


def _automatic(num_rows: int) -> tuple[torch.device, str]:
    if num_rows < _SMALL_ROWS:
        return torch.device("cpu"), "few rows: no GPU would be faster"
    idle: list[tuple[float, int]] = []
    for number in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(number)
        if free > _IDLE_SHARE * total:
            idle.append((free, -number))
    if idle:
        return torch.device("cuda", -max(idle)[1]), "the idlest GPU"
    if torch.backends.mps.is_available():
        return torch.device("mps"), "the GPU of this machine"
    busy = torch.cuda.device_count()
    return torch.device("cpu"), f"{busy} GPUs are in use by others" if busy else "no GPU here"


def free_on_device(wanted: str | int | tuple[int, ...], num_rows: int, team: Team = SOLO) -> int | None:
    """Bytes free on the GPU that would be chosen; None for a device that shares the machine's memory.

    All ranks call it together. Raises NoDevice as `choose_device` does, where there is a GPU.
    """
    if not torch.cuda.is_available():
        return None
    device, _ = choose_device(wanted, num_rows, team)
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None


def usable_cores(team: Team = SOLO) -> int:
    """Cores this process may use; ranks of one machine share them fairly."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // team.local_size)
