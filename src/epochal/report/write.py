"""A run's `report/` folder: written whole beside the old one, then put in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from epochal import fsio
from epochal.project.paths import ProjectPaths
from epochal.report.card import card_text
from epochal.report.page import page_text
from epochal.report.record import record_text
from epochal.review.view import view_from, write_view


if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pyarrow as pa

    from epochal.project.runfile import RunSpec

FOLDER = "report"


def write_report(spec: RunSpec, document: Mapping[str, Any], predictions: pa.Table, *, bundle_sha256: str) -> Path:
    """Write view.json, report.toml, card.md, report.html and predictions.parquet; the folder's path.

    Args:
        spec: The run.
        document: The review, as `review.build` made it.
        predictions: One row for each test row: `_key`, `truth`, `prediction`, probabilities or ranges, `note`.
        bundle_sha256: Of the bundle the predictions came from.

    Raises:
        NotSaved: The disk refused; an earlier report is untouched.
    """
    import pyarrow.parquet as pq

    view = view_from(document)
    target = spec.folder / FOLDER
    lock = ProjectPaths(spec.project_folder).locks / f"report-{spec.name}.lock"
    with fsio.locked(lock):
        fsio.clear_folders(target.parent, target.name)
        with fsio.new_folder(target, replace=True) as folder:
            write_view(folder, document)
            fsio.write_text(folder / "report.toml", record_text(spec, view, bundle_sha256=bundle_sha256))
            fsio.write_text(folder / "card.md", card_text(spec, view, bundle_sha256=bundle_sha256))
            fsio.write_text(folder / "report.html", page_text(spec, view))
            pq.write_table(predictions, folder / "predictions.parquet", compression="zstd")
    return target
