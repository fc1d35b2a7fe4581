"""run.toml: the frozen, fully resolved settings of one run, with its environment and the hashes of its data."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import tomli_w

from epochal import fsio
from epochal.core.errors import RunError
from epochal.core.settings import Project, parse_project, table_of, to_document
from epochal.core.tasks import MODULE, OWN
from epochal.project.code import digest_of


FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCode:
    """The person's own code a run is made of: which class, and every file of the project that it could import."""

    module: str
    """FILE.py:CLASS."""
    digest: str
    files: Mapping[str, str]
    """Path in the project, and sha256."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """One run as it was decided: everything a host needs to train, and anyone needs to retrace it."""

    folder: Path
    """The run's folder, absolute."""
    name: str
    """NNNN-family."""
    project: Project
    """The settings in force, `--set` included; automatic values still say "auto"."""
    snapshot_id: str
    split_id: str
    created: str
    """ISO 8601 in UTC."""
    inputs: tuple[str, ...]
    """The columns learnt from, in order."""
    classes: tuple[str, ...] = ()
    """For classification, the class names in the order of their indices."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """What `train --set` changed for this run only."""
    resolved: Mapping[str, Any] = field(default_factory=dict)
    """What "auto" became, written by the host before the first step; a resume takes it from here."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Versions and machine."""
    ledger: Mapping[str, Any] = field(default_factory=dict)
    """As `data --ledger --json` said when the run was made."""
    notices: tuple[str, ...] = ()
    """What the build said when the run was made: a source or the split that had changed, rows dealt out otherwise."""
    nodes: int = 1
    """Machines it trains on together."""
    code: RunCode | None = None
    """For a model of a person's own."""
    home: Path | None = None
    """The project's folder, for a run that is tried elsewhere and thrown away; never written."""

    @property
    def world_size(self) -> int:
        """Ranks that share each batch, on all machines."""
        return self.nodes * self.project.train.num_ranks

    @property
    def number(self) -> int:
        """The N of NNNN-family."""
        return int(self.name.split("-", 1)[0])

    @property
    def family(self) -> str:
        """The family trained."""
        return self.project.model.family

    @property
    def project_folder(self) -> Path:
        """The project the run belongs to."""
        return self.home or self.folder.parent.parent


def write_run(spec: RunSpec) -> None:
    """Write run.toml whole. Raises NotSaved."""
    document: dict[str, Any] = {
        "format": FORMAT,
        "run": spec.name,
        "created": spec.created,
        "snapshot": spec.snapshot_id,
        "split": spec.split_id,
        "inputs": list(spec.inputs),
        "classes": list(spec.classes),
        "overrides": dict(spec.overrides),
        "resolved": dict(spec.resolved),
        "environment": dict(spec.environment),
        "ledger": dict(spec.ledger),
        "notices": list(spec.notices),
        "nodes": spec.nodes,
        **({"code": asdict(spec.code)} if spec.code is not None else {}),
        "settings": {**to_document(spec.project), "train": table_of(spec.project.train, defaults=True)},
    }
    fsio.write_text(spec.folder / "run.toml", tomli_w.dumps(document))


def read_run(folder: Path) -> RunSpec:
    """Read run.toml of a run's folder. Raises RunError when it is missing or not a run of this version."""
    path = Path(folder).absolute() / "run.toml"
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        if document.get("format") != FORMAT:
            raise RunError(f"run format {document.get('format')!r} is not known to this version", where=str(path))
        project = parse_project(document["settings"])
        return RunSpec(
            folder=path.parent,
            name=document["run"],
            project=project,
            snapshot_id=document["snapshot"],
            split_id=document["split"],
            created=document["created"],
            inputs=tuple(document["inputs"]),
            classes=tuple(document["classes"]),
            overrides=document["overrides"],
            resolved=document["resolved"],
            environment=document["environment"],
            ledger=document["ledger"],
            notices=tuple(document.get("notices", ())),
            nodes=_nodes(document, path),
            code=_code(document, project, path),
        )
    except FileNotFoundError:
        raise RunError("this folder holds no run", where=str(path), fix="see `epochal runs`") from None
    except (OSError, KeyError, TypeError, tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RunError(f"run.toml cannot be read: {error}", where=str(path), fix="see `epochal doctor`") from error


def _nodes(document: Mapping[str, Any], path: Path) -> int:
    """Machines of a run; one for runs of versions that knew no more. Raises RunError."""
    nodes = document.get("nodes", 1)
    if not isinstance(nodes, int) or nodes < 1:
        raise RunError(f"`nodes` is {nodes!r}, not a number of machines", where=str(path), fix="see `epochal doctor`")
    return nodes


def _code(document: Mapping[str, Any], project: Project, path: Path) -> RunCode | None:
    """The code a run is made of. Raises RunError when what is said of it does not hold together.

    A run folder may come from anyone: a hash that a person trusts must stand for these files and no others.
    """
    if "code" not in document:
        return None
    table = document["code"]
    code = RunCode(**table)
    if not isinstance(table["module"], str) or not isinstance(table["files"], Mapping):
        raise TypeError("[code] says its class and files otherwise than this version does")
    file = code.module.partition(":")[0]
    why = ""
    if project.model.family != OWN:
        why = f"its family is {project.model.family}, which is made of no code"
    elif code.module != project.model.options[MODULE]:
        why = f"it names {code.module} and [model] another"
    elif file not in code.files:
        why = f"{file} is not among its files"
    elif digest_of(code.files) != code.digest:
        why = "its hash is not that of its files"
    if why:
        raise RunError(
            f"[code] of run.toml cannot be true: {why}",
            where=str(path),
            fix="somebody changed it: do not use this run; train a new one",
            code="bad-run-code",
        )
    return code


def with_resolved(spec: RunSpec, resolved: Mapping[str, Any]) -> RunSpec:
    """The run with what "auto" became, saved."""
    new = replace(spec, resolved=dict(resolved))
    write_run(new)
    return new
