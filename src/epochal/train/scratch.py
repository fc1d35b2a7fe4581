"""Prepared rows in files, for networks that learn from more rows than memory holds.

`.epochal/prepared/KEY/` holds for each part three files of rows one after the other, little-endian: `numbers` (float32),
`codes` (the smallest integer that fits) and `target` (the class in the smallest integer, or float64 as it stands in the
data), and `manifest.json`. KEY is a hash of all that decides what is in them. They are a cache: made again when missing.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import weakref
from collections.abc import Generator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from epochal import fsio
from epochal.core.split import PARTS, Part
from epochal.fsio.streams import Appender
from epochal.train import encoders
from epochal.train.blocks import Source, read_blocks
from epochal.train.holding import Sizes
from epochal.train.prepare import Preparation, Scale


FORMAT = 1
NAMES = ("numbers", "codes", "target")
_KEPT = 2
"""Folders that stay: these are the largest files of a project, and each is made again when it is needed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What a row is made of."""

    numbers: int
    codes: int
    code_type: str
    target_type: str

    def type_of(self, name: str) -> np.dtype:
        """The type of the numbers in one of the files."""
        return np.dtype({"numbers": "<f4", "codes": self.code_type, "target": self.target_type}[name])

    def width_of(self, name: str) -> int:
        """How many of them a row has there."""
        return {"numbers": self.numbers, "codes": self.codes, "target": 1}[name]

    @property
    def row_bytes(self) -> int:
        """What a row takes in all files together."""
        return sum(self.type_of(name).itemsize * self.width_of(name) for name in NAMES)


class PreparedFiles:
    """The prepared rows of one part, open for reading from any thread."""

    def __init__(self, folder: Path, part: Part, layout: Layout, rows: int) -> None:
        self.layout, self.rows = layout, rows
        self._files = {name: os.open(folder / _file(part, name), os.O_RDONLY | os.O_CLOEXEC) for name in NAMES}
        weakref.finalize(self, _close, tuple(self._files.values()))

    def __len__(self) -> int:
        return self.rows

    def buffers(self, rows: int) -> dict[str, np.ndarray]:
        """Arrays of so many rows, to be read into: (rows, width), the target (rows,)."""
        layout = self.layout
        return {
            name: np.empty((rows, layout.width_of(name)) if name != "target" else rows, layout.type_of(name))
            for name in NAMES
        }

    def read(self, buffers: Mapping[str, np.ndarray], at: int, start: int, end: int) -> None:
        """Read rows start … end into the buffers from row `at` on. Raises OSError when they are not there."""
        for name, descriptor in self._files.items():
            piece = buffers[name][at : at + end - start]
            if not piece.nbytes:
                continue
            view, place = piece.data.cast("B"), start * (piece.nbytes // (end - start))
            while view:
                count = os.preadv(descriptor, [view], place)
                if not count:
                    raise OSError(f"the prepared rows end too soon in {name}")
                view, place = view[count:], place + count


def _close(descriptors: tuple[int, ...]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedRows:
    """Both parts, open."""

    train: PreparedFiles
    validation: PreparedFiles


def layout_of(preparation: Preparation, num_classes: int) -> Layout:
    """What prepared rows are made of; `num_classes` is 0 for numbers."""
    return Layout(
        numbers=preparation.num_dense,
        codes=len(preparation.cardinalities),
        code_type=_smallest(max(preparation.cardinalities, default=1)),
        target_type=_smallest(num_classes) if num_classes else "<f8",
    )


def key_of(source: Source, preparation: Preparation) -> str:
    """The name of the folder for these rows, so prepared."""
    names = [f.name for f in fields(Scale)]
    facts = {
        "format": FORMAT,
        "snapshot": source.snapshot.id,
        "split": source.split.id,
        "target": source.target,
        "classes": source.classes,
        "inputs": source.inputs,
        "encoders": [encoders.to_state(e) for e in preparation.encoders],
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name in names:
        digest.update(np.ascontiguousarray(getattr(preparation.scale, name)).tobytes())
    return digest.hexdigest()[:24]


def open_prepared(folder: Path) -> PreparedRows | None:
    """What `write_prepared` left there; None when it is not there, or not whole."""
    try:
        document = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        layout, rows = Layout(**document["layout"]), document["rows"]
        for part in PARTS[:2]:
            for name in NAMES:
                size = layout.type_of(name).itemsize * layout.width_of(name) * rows[part]
                if (folder / _file(part, name)).stat().st_size != size:
                    return None
        if document["format"] != FORMAT:
            return None
        os.utime(folder)
        return PreparedRows(**{part: PreparedFiles(folder, part, layout, rows[part]) for part in PARTS[:2]})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_prepared(folder: Path, source: Source, preparation: Preparation, sizes: Sizes) -> Generator[int, None, None]:
    """Prepare all training and validation rows and write them; says after each block how many were read.

    For who holds the lock. Closing the generator leaves nothing behind. Others that were not used last are taken away
    first. Raises NotSaved when there is no room.
    """
    layout = layout_of(preparation, len(source.classes))
    fsio.make_folder(folder.parent)
    fsio.clear_folders(folder.parent)
    _clear(folder)
    fsio.demand_room(folder.parent, layout.row_bytes * source.rows)
    rows = dict.fromkeys(PARTS[:2], 0)
    read = 0
    with fsio.new_folder(folder) as temporary, contextlib.ExitStack() as opened:
        files = {(part, name): Appender(temporary / _file(part, name)) for part in PARTS[:2] for name in NAMES}
        for file in files.values():
            opened.callback(file.close)
        for block in read_blocks(source, sizes.rows_decoded, sizes.rows_at_once):
            for part, found in block.items():
                read += len(found) + found.left_out
                if not len(found):
                    continue
                dense = preparation.dense(preparation.raw(found.inputs))
                values = {"numbers": dense.numbers.numpy(), "codes": dense.codes.numpy(), "target": found.target}
                for name, value in values.items():
                    data = np.ascontiguousarray(value, layout.type_of(name))
                    files[part, name].append(data.data.cast("B") if data.nbytes else b"")
                rows[part] += len(found)
            yield read
        document = {
            "format": FORMAT,
            "rows": rows,
            "layout": {f.name: getattr(layout, f.name) for f in fields(Layout)},
        }
        fsio.write_text(temporary / "manifest.json", json.dumps(document) + "\n")


def _clear(folder: Path) -> None:
    """Take away what is in the way, and the folders used longest ago: a run that reads one still can, it is open."""
    if folder.exists():
        fsio.remove_folder(folder)
    there = sorted((f for f in folder.parent.iterdir() if not f.name.startswith(".")), key=lambda f: f.stat().st_mtime)
    for old in there[: max(0, len(there) - _KEPT + 1)]:
        fsio.remove_folder(old)


def _file(part: Part, name: str) -> str:
    return f"{part}-{name}"


def _smallest(count: int) -> str:
    """The smallest integer that tensors have for the numbers under `count`."""
    return "|u1" if count <= 1 << 8 else "<i2" if count <= 1 << 15 else "<i4"
