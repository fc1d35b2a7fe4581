"""Importing all sources of a project into the table `raw` of a scratch database: nothing lost, everything accounted for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from epochal.core.errors import SourceError
from epochal.core.ledger import SourceLines
from epochal.core.settings import Project, Source
from epochal.data import fingerprint
from epochal.data.places import Place, resolve


if TYPE_CHECKING:
    import duckdb

    from epochal.data.lines import Counts
    from epochal.data.rawtable import RawTable

Progress = Callable[[float | None, str], None]
"""Told the share done (0 to 1, None when unknown) and what is being done; raises Cancelled when the person cancelled."""

READER = 4
"""Raised when the same bytes would be read otherwise, so that older imports are not taken for equal."""


def silent(_fraction: float | None, _text: str) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What the scratch database holds after an import."""

    import_id: str
    columns: tuple[tuple[str, str], ...]
    """Names and DuckDB types of the sources' columns, in order."""
    lines: tuple[SourceLines, ...]
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    """For each source what it held, as `sha256` in its table says."""
    notes: tuple[str, ...] = ()
    """How each source was read, in words."""

    @property
    def rows(self) -> int:
        """Rows in `raw`."""
        return sum(s.read for s in self.lines)


def changed(project: Project, imported: Imported) -> tuple[str, ...]:
    """Each source that is not what it was when its sha256 was recorded, in words."""
    return tuple(
        f"source {source.name} has changed since it was last read ({source.uri})"
        for source in project.sources
        if source.sha256 and imported.fingerprints.get(source.name, "") not in {"", source.sha256}
    )


def lines_dict(lines: SourceLines) -> dict[str, str | int]:
    """One source's lines as plain data."""
    return asdict(lines)


_READ_OPTIONS = ("name", "uri", "format", "encoding", "delimiter", "quote", "header", "revision", "part", "subset")


def import_id(project: Project, folder: Path) -> str:
    """Names what an import of these sources would hold: 16 hexadecimal digits. Raises SourceError for a source not there."""
    parts: list[object] = [READER]
    for source in project.sources:
        place = resolve(source, folder)
        parts.append([getattr(source, o) for o in _READ_OPTIONS])
        parts.append(fingerprint.of_place(place))
        parts.append([f.stat().st_mtime_ns for f in place.files if f.stat().st_size > fingerprint.WHOLE])
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def load(
    con: duckdb.DuckDBPyConnection, project: Project, folder: Path, report: Progress, *, keep_uneven: bool = False
) -> Imported:
    """Import all sources into the database the connection is on, unless it holds this very import already.

    Makes the tables `raw`, `rejects` and `source_lines` in one transaction: all or nothing. With `keep_uneven`, lines
    with too few or too many fields are rows as well, filled up or cut, beside being rejects.

    Raises:
        SourceError: A source cannot be read, or is written to meanwhile.
        Cancelled: `report` raised it.
    """
    from epochal.data.rawtable import RawTable

    if not project.sources:
        raise SourceError("the project has no source", fix="add a [[source]] with a uri", code="no-source")
    wanted = import_id(project, folder)
    known = opened(con)
    if known is not None and known.import_id == wanted:
        return known
    raw = RawTable(con, keep_uneven=keep_uneven)
    before = _states(project, folder)
    raw.start(sum(size for _, size, _ in before.values()))
    try:
        prints: dict[str, str] = {}
        notes: list[str] = []
        for i, source in enumerate(project.sources):
            place = resolve(source, folder)
            total = len(project.sources)

            def step(share: float, i: int = i, total: int = total, source: Source = source) -> None:
                report((i + share) / total, f"reading {source.name}")

            raw.account(_read(source, place, raw, step, notes))
            prints[source.name] = fingerprint.of_place(place)
        _refuse_changed(before, _states(project, folder))
        raw.finish(wanted, json.dumps({"fingerprints": prints, "notes": notes}))
    except BaseException:
        raw.abandon()
        raise
    result = opened(con)
    if result is None:
        raise SourceError("the import is gone", where=str(folder), fix="try again")
    return result


def _states(project: Project, folder: Path) -> dict[Path, tuple[int, int, int]]:
    """What tells whether a file was written to: its node, size and time."""
    files = {f: f.stat() for source in project.sources for f in resolve(source, folder).files}
    return {f: (s.st_ino, s.st_size, s.st_mtime_ns) for f, s in files.items()}


def _refuse_changed(before: Mapping[Path, object], after: Mapping[Path, object]) -> None:
    """Rows of two moments are no table: some would be there twice, or half. Raises SourceError."""
    changed = sorted(f for f in {*before, *after} if before.get(f) != after.get(f))
    if changed:
        raise SourceError(
            "it was written to while it was read",
            where=str(changed[0]),
            fix="try again when it is whole, or read a copy of it",
            code="changing",
        )


def opened(con: duckdb.DuckDBPyConnection) -> Imported | None:
    """What the database the connection is on holds; None when it holds no whole import."""
    there = con.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'imported'").fetchone()
    if not there or not there[0]:
        return None
    row = con.execute("SELECT import_id, notes FROM imported").fetchone()
    if row is None:
        return None
    described = con.execute("DESCRIBE raw").fetchall()
    extra = json.loads(row[1])
    return Imported(
        import_id=row[0],
        columns=tuple((d[0], d[1]) for d in described[4:]),
        lines=tuple(
            SourceLines(
                name=r[0],
                lines=r[1],
                header=r[2],
                blank=r[3],
                continuation=r[4],
                rejected=r[5],
                read=r[6],
                rejected_cells=r[7],
            )
            for r in con.execute("SELECT * FROM source_lines").fetchall()
        ),
        fingerprints=extra["fingerprints"],
        notes=tuple(extra["notes"]),
    )


def _read(source: Source, place: Place, raw: RawTable, step: Callable[[float], None], notes: list[str]) -> SourceLines:
    """Read one source, file by file."""
    totals = {"lines": 0, "header": 0, "blank": 0, "continuation": 0, "rejected": 0, "read": 0}
    files: tuple[Path | None, ...] = place.files or (None,)
    for i, file in enumerate(files):
        name = source.name if len(files) == 1 or file is None else f"{source.name}/{file.name}"

        def inner(share: float, i: int = i) -> None:
            step((i + share) / len(files))

        counts = _read_one(source, place, file, name=name, raw=raw, progress=inner, notes=notes)
        for key, value in asdict(counts).items():
            totals[key] += value
    return SourceLines(name=source.name, rejected_cells=0, **totals)


def _read_one(
    source: Source,
    place: Place,
    file: Path | None,
    *,
    name: str,
    raw: RawTable,
    progress: Callable[[float], None],
    notes: list[str],
) -> Counts:
    if file is not None and place.format == "csv":
        from epochal.data import textsource

        text, _sample = textsource.look_at(file, source)
        notes.append(
            described(name, text.encoding.name, text.dialect.delimiter, text.dialect.quote, header=text.dialect.header)
        )
        return textsource.read_text(text, name, raw, progress)
    from epochal.data import tablesource

    if file is not None and place.format in {"json", "jsonl"}:
        from epochal.data import jsonsource

        return jsonsource.read_json(file, source, name, raw, progress)
    if place.format == "sklearn":
        from epochal.data import hub

        return tablesource.read_batches(hub.open_sklearn(place.name), name, raw, progress)
    if place.format == "hub" or file is None:
        from epochal.data import hub

        return tablesource.read_batches(hub.open_hub(place.name, source), name, raw, progress)
    opener = tablesource.open_parquet if place.format == "parquet" else tablesource.open_arrow
    return tablesource.read_batches(opener(file), name, raw, progress)


_DELIMITER_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar", " ": "space"}


def described(name: str, encoding: str, delimiter: str, quote: str, *, header: bool) -> str:
    """How a text table is read, in words."""
    between = _DELIMITER_NAMES.get(delimiter, repr(delimiter))
    quoting = f"quoted by {quote}" if quote else "no quoting"
    first = "the first line names the columns" if header else "no line names the columns"
    return f"{name}: {encoding}, {between} between fields, {quoting}, {first}"
