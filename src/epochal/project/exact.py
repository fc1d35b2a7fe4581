"""What going on to the bit depends on: versions, device, settings. Recorded with every checkpoint, compared on a resume.

Nothing heavy is imported for it: versions come from what is installed, the CPU from the system. What only the training
process can see, the GPU's name, it adds itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from epochal import __version__
from epochal.core.errors import RunError
from epochal.core.settings import table_of
from epochal.project.checkpoints import Checkpoint
from epochal.project.runfile import RunSpec


_COMPUTE = ("torch", "numpy", "lightgbm", "tabm", "rtdl_num_embeddings")
"""Packages whose version decides how figures are rounded."""
_OTHERS = ("scikit-learn", "pyarrow", "duckdb", "safetensors")
_KERNEL_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_tile", "asimd", "sve")
"""What a CPU can do that makes libraries take other kernels."""
_KERNEL_SETTINGS = ("ATEN_CPU_CAPABILITY", "MKL_CBWR", "ONEDNN_MAX_CPU_ISA", "NVIDIA_TF32_OVERRIDE")
"""Of the environment: what a person tells libraries of the kernels to take."""
_FREE = ("host", "budget", "time_limit", "first_checkpoint", "checkpoint_every", "memory")
"""Of [train]: decides when and where, not what is computed."""
_CPUINFO = Path("/proc/cpuinfo")


def environment() -> dict[str, str]:
    """Versions and machine, for run.toml."""
    return {
        "epochal": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
        "cpu": cpu_name(),
        "cpus": str(os.cpu_count() or 1),
        **_versions((*_COMPUTE, *_OTHERS)),
    }


def facts_of(spec: RunSpec, device_name: str = "") -> dict[str, str]:
    """What this run, going on here and now, would compute with. `device_name` is the GPU's, as far as it is known."""
    facts = {
        "epochal": __version__,
        "python": ".".join(platform.python_version_tuple()[:2]),
        **_versions(_COMPUTE),
        "cpu": cpu_name(),
        **{name: os.environ[name] for name in _KERNEL_SETTINGS if name in os.environ},
        **_settings(spec),
    }
    if spec.world_size > 1:
        facts["world size"] = str(spec.world_size)
    return {**facts, "device name": device_name} if device_name else facts


def _settings(spec: RunSpec) -> dict[str, str]:
    """All in run.toml that decides what is learnt, with what "auto" became."""
    project = spec.project
    tables: dict[str, Mapping[str, Any]] = {
        "[goal]": {"task": project.goal.task, "metric": project.metric},
        "[model]": {"family": project.model.family, **project.model.options},
        "[train]": {k: v for k, v in table_of(project.train, defaults=True).items() if k not in _FREE},
        "[resolved]": spec.resolved,
    }
    columns = json.dumps([project.columns.target, list(spec.inputs), list(spec.classes)])
    facts = {"columns and classes": hashlib.sha256(columns.encode()).hexdigest()[:16]}
    return facts | {f"{name} {key}": value for name, table in tables.items() for key, value in _flat(table)}


def differences(checkpoint: Checkpoint, now: Mapping[str, str]) -> list[str]:
    """In words, each fact that is not what it was when the checkpoint was written; only facts known `now` count."""
    before = checkpoint.facts
    return [
        f"{name} was {before.get(name, 'not recorded')}, now {value}"
        for name, value in now.items()
        if before.get(name) != value
    ] + [f"{name} was {value}, now nothing" for name, value in before.items() if name not in {*now, "device name"}]


def refuse_other(checkpoint: Checkpoint, now: Mapping[str, str]) -> None:
    """Refuse to go on from a checkpoint where the result would not be the same. Raises RunError (resume-differs)."""
    found = differences(checkpoint, now)
    if found:
        raise RunError(
            f"going on from step {checkpoint.step} would not give what an uninterrupted run gives: {'; '.join(found)}",
            where=str(checkpoint.folder),
            fix="bring back what it was; or `epochal resume --anyway` goes on all the same and marks the seam; "
            "or `epochal train` makes a new run",
            code="resume-differs",
        )


def cpu_name() -> str:
    """The processor, with what it can do that changes rounding."""
    facts: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for line in _CPUINFO.read_text(encoding="utf-8", errors="replace").split("\n\n")[0].splitlines():
            name, _, value = line.partition(":")
            facts[name.strip()] = value.strip()
    named = facts.get("model name") or " ".join(facts[k] for k in ("CPU implementer", "CPU part") if k in facts)
    able = set((facts.get("flags") or facts.get("Features") or "").split())
    can = [flag for flag in _KERNEL_FLAGS if flag in able]
    return f"{named or platform.processor() or platform.machine()}" + (f" ({', '.join(can)})" if can else "")


def _versions(packages: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for package in packages:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def _flat(table: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value if isinstance(value, str) else json.dumps(value)
