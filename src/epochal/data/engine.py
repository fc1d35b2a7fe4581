"""The one DuckDB policy: how it is opened, limited, sealed, interrupted, and how its errors read.

Imported sources lie in a database file of their own, written once under a temporary name and renamed, then attached
read-only: several processes may share it, and it may be deleted at any time. What a session makes (views, orders)
lies in memory, spilling to a private folder. DuckDB is one layer of three: statements are ours with allow-listed
expressions, external access is off and the configuration locked, and the process has a ceiling (`limit_memory`),
because DuckDB's own limit does not hold for single values.
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epochal.core.errors import Cancelled, DataHostError, EpochalError, SourceError, StepError
from epochal.core.settings import Project
from epochal.project.paths import ProjectPaths
from epochal.show import safe


if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


Report = Callable[[str, float | None], None]
"""Told what is being done, in words, and how far it is in [0, 1] where that is known."""

_MANY_COLUMNS = 300
QUADRATIC = "common_subexpressions,join_order,statistics_propagation,projection_placement"
"""Parts of DuckDB's planner that took 50 s for a step over 2,000 columns, and 1 s without them."""
_KEPT_IMPORTS = 4
"""Imported sources that stay in a scratch folder; older ones are imported again when needed."""
_FRESH = 600.0
"""Seconds for which an import stays however many there are: another process may be about to open it."""


class Work:
    """One request under way: what can be interrupted, and who is told about progress."""

    def __init__(self, report: Report | None = None) -> None:
        self._report = report
        self._lock = threading.Lock()
        self._con: DuckDBPyConnection | None = None
        self.text = ""
        self.cancelled = False
        self.overdue = False

    def report(self, text: str, fraction: float | None = None) -> None:
        """Say what is being done. Raises Cancelled or DataHostError when it shall stop."""
        self.check()
        self.text = text
        if self._report is not None:
            self._report(text, fraction)

    def tell(self, fraction: float | None, text: str) -> None:
        """`report` in the order that imports and builds tell their progress."""
        self.report(text, fraction)

    def check(self) -> None:
        """Raises Cancelled when a person asked for it, DataHostError when time is over."""
        if self.cancelled:
            raise Cancelled("cancelled")
        if self.overdue:
            raise too_long()

    def stop(self, *, overdue: bool = False) -> None:
        """End it soon: what runs in DuckDB is interrupted, the rest at its next report."""
        with self._lock:
            self.cancelled, self.overdue = self.cancelled or not overdue, self.overdue or overdue
            if self._con is not None:
                self._con.interrupt()

    def fraction(self) -> float | None:
        """How far the running statement is, where DuckDB knows."""
        with self._lock:
            if self._con is None:
                return None
            done = self._con.query_progress()
        return min(1.0, done / 100) if done > 0 else None

    @contextlib.contextmanager
    def on(self, con: DuckDBPyConnection) -> Iterator[DuckDBPyConnection]:
        """While inside, stopping interrupts this connection; DuckDB's errors leave as ours."""
        import duckdb

        with self._lock:
            self._con = con
        try:
            self.check()
            yield con
        except (duckdb.Error, MemoryError) as error:
            raise self._translated(error) from error
        finally:
            with self._lock:
                self._con = None

    def _translated(self, error: BaseException) -> EpochalError:
        if self.cancelled:
            return Cancelled("cancelled")
        return too_long() if self.overdue else translated(error)


def too_long() -> DataHostError:
    """The error of a request whose time is over."""
    return DataHostError(
        "this took too long and was ended", fix="ask for less: fewer rows, or a simpler expression", code="too-long"
    )


def translated(error: BaseException) -> EpochalError:
    """DuckDB's error as ours: what happened in one cut, safe line, never the data it repeats."""
    import duckdb

    if isinstance(error, (duckdb.OutOfMemoryException, MemoryError)):
        return DataHostError(
            "this needs more memory than the data process may take",
            fix="ask for less, or allow more with EPOCHAL_DATA_MEMORY (such as 8GB)",
            code="out-of-memory",
        )
    what = message(error)
    if isinstance(error, duckdb.InterruptException):
        return too_long()
    if isinstance(error, duckdb.IOException) or "No space left on device" in what:
        return DataHostError(what, fix="check the disk and the file's permissions", code="disk")
    if isinstance(error, duckdb.PermissionException):
        return StepError(what, fix="expressions may only use the columns", code="not-allowed")
    expected = (
        duckdb.BinderException,
        duckdb.ParserException,
        duckdb.ConversionException,
        duckdb.InvalidInputException,
        duckdb.OutOfRangeException,
        duckdb.TypeMismatchException,
        duckdb.CatalogException,
        duckdb.InvalidTypeException,
        duckdb.NotImplementedException,
    )
    if isinstance(error, expected):
        return StepError(what, fix="check the expression and the kinds of its columns", code="expression")
    return DataHostError(what, fix="report this with the step that caused it", code="engine")


def message(error: BaseException) -> str:
    """The first line of DuckDB's message, without its class, safe and cut."""
    text = str(error).split("\n\n")[0].replace("\n", " ")
    return safe(re.sub(r"^[A-Za-z ]+ Error: ", "", text), 300)


def memory_limit() -> int:
    """Bytes DuckDB may take: EPOCHAL_DATA_MEMORY, else a quarter of the machine's (or container's) memory."""
    asked = os.environ.get("EPOCHAL_DATA_MEMORY", "")
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([MG])i?B?", asked.strip(), re.IGNORECASE)
    if match:
        return max(128 << 20, int(float(match[1]) * (1 << (20 if match[2] in "mM" else 30))))
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with contextlib.suppress(OSError, ValueError):
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return min(32 << 30, max(512 << 20, total // 4))


def limit_memory() -> None:
    """Put a ceiling on this process's address space: single values can outgrow DuckDB's own limit."""
    ceiling = 2 * memory_limit() + (2 << 30)
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard != resource.RLIM_INFINITY:
        ceiling = min(ceiling, hard)
    resource.setrlimit(resource.RLIMIT_AS, (ceiling, hard))


def connect(database: Path | str, spill: Path) -> DuckDBPyConnection:
    """Open a database under the policy, not yet sealed. `spill` is a folder DuckDB makes when memory does not suffice."""
    import duckdb

    spill.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    config: dict[str, Any] = {
        "memory_limit": f"{memory_limit() >> 20}MiB",
        "threads": max(1, len(os.sched_getaffinity(0))),
        "temp_directory": str(spill),
        "max_temp_directory_size": f"{max(1, shutil.disk_usage(spill.parent).free >> 21)}MiB",
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allow_community_extensions": False,
        "allow_persistent_secrets": False,
        "python_enable_replacements": False,
    }
    con = duckdb.connect(str(database), config=config)
    # A date with an offset becomes local time: the machine's zone would be in the rows, and not in the snapshot's id.
    con.execute("SET TimeZone = 'UTC'")
    con.execute("SET enable_progress_bar = true")
    con.execute("SET enable_progress_bar_print = false")
    return con


def seal(con: DuckDBPyConnection, files: Sequence[Path] = (), folders: Sequence[Path] = ()) -> None:
    """Take away everything outside: only these files and our own folders stay readable (and writable), for ever."""
    con.execute("SET allowed_paths = $paths", {"paths": [os.path.realpath(f) for f in files]})
    con.execute("SET allowed_directories = $paths", {"paths": [os.path.realpath(f) for f in folders]})
    con.execute("SET enable_external_access = false")
    con.execute("SET lock_configuration = true")


class Engine:
    """One import, opened: `raw`, `rejects` and `source_lines` readable, session tables beside them."""

    def __init__(self, con: DuckDBPyConnection, import_id: str, folder: Path, spill: Path) -> None:
        self._con = con
        self._spill = spill
        self.import_id = import_id
        self.folder = folder
        self.lock = threading.RLock()
        self.views: dict[Any, Any] = {}
        """What `epochal.data.views` keeps for this engine."""
        self.columns: tuple[tuple[str, str], ...] = tuple(
            (name, kind)
            for name, kind in con.execute(
                "SELECT column_name, data_type FROM duckdb_columns()"
                " WHERE database_name = 'src' AND table_name = 'raw' ORDER BY column_index"
            ).fetchall()
            if name not in {"_eid", "_source", "_line", "_key"}
        )
        self.rows: int = con.execute("SELECT count(*) FROM src.raw").fetchall()[0][0]

    def cursor(self) -> DuckDBPyConnection:
        """A connection of one's own to the same data, for one thread."""
        con = self._con.cursor()
        con.execute("SET search_path = 'memory.main,src.main'")
        return con

    def close(self) -> None:
        """Give back memory and spilled files."""
        self._con.close()
        self.sweep()

    def sweep(self) -> None:
        """Take away spilled files: for a process that ends without waiting for its threads."""
        shutil.rmtree(self._spill, ignore_errors=True)


def scratch_folder(folder: Path) -> Path:
    """Where imports of a project lie: its own cache, or the person's while there is no project yet."""
    paths = ProjectPaths(folder)
    if paths.toml.exists():
        return paths.scratch
    home = os.environ.get("XDG_CACHE_HOME", "") or str(Path("~/.cache").expanduser())
    return Path(home, "epochal", "scratch")


def open_engine(project: Project, folder: Path, work: Work) -> Engine:
    """Open the project's sources, importing them first unless that is done.

    Raises SourceError when a source cannot be read, Cancelled, or DataHostError.
    """
    from epochal.data import sources

    if not project.sources:
        raise SourceError("the project has no source", where="project.toml", fix="write a [[source]] with its uri")
    import_id = sources.import_id(project, folder)
    scratch = scratch_folder(folder)
    database = scratch / f"{import_id}.duckdb"
    if database.exists():
        engine = _attached(database, import_id, folder, work)
        if engine is not None:
            return engine
        database.unlink(missing_ok=True)  # a cache that cannot be read is no cache
    _import(project, folder, database, work)
    engine = _attached(database, import_id, folder, work)
    if engine is None:
        raise DataHostError(
            "the imported data cannot be opened", where=str(database), fix="delete .epochal", code="disk"
        )
    return engine


_UNDER_WAY: set[tuple[Path, Path]] = set()
"""The database and the spill folder of each import of this process that has not ended."""


def _import(project: Project, folder: Path, database: Path, work: Work) -> None:
    from epochal.data import sources

    scratch = database.parent
    scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
    _tidy(scratch)
    temporary = scratch / f".import-{os.getpid()}-{secrets.token_hex(4)}.duckdb"
    spill = _spill_of(scratch)
    _UNDER_WAY.add((temporary, spill))
    try:
        con = connect(temporary, spill)
        try:
            seal(con)  # the readers are ours: DuckDB itself opens nothing but the scratch database
            with work.on(con):
                sources.load(con, project, folder, work.tell)
                work.report("writing the imported rows")
                con.execute("CHECKPOINT")
        finally:
            con.close()
            shutil.rmtree(spill, ignore_errors=True)
        temporary.replace(database)
    finally:
        _remove(temporary)
        _UNDER_WAY.discard((temporary, spill))


def sweep_imports() -> None:
    """Take away what imports under way have written: for a process that ends without waiting for its threads."""
    for temporary, spill in tuple(_UNDER_WAY):
        shutil.rmtree(spill, ignore_errors=True)
        _remove(temporary)


def _remove(temporary: Path) -> None:
    temporary.unlink(missing_ok=True)
    temporary.with_name(temporary.name + ".wal").unlink(missing_ok=True)


def _attached(database: Path, import_id: str, folder: Path, work: Work) -> Engine | None:
    """The database attached read-only to a session in memory, sealed; None when it cannot be read."""
    import duckdb

    spill = _spill_of(database.parent)
    con = connect(":memory:", spill)
    try:
        with work.on(con):
            con.execute(f"ATTACH '{str(database).replace(chr(39), chr(39) * 2)}' AS src (READ_ONLY)")
            _plan_cheaply(con)
            seal(con, folders=[ProjectPaths(folder).cache])
            os.utime(database)
            return Engine(con, import_id, folder, spill)
    except (EpochalError, duckdb.Error, OSError) as error:
        con.close()
        shutil.rmtree(spill, ignore_errors=True)
        stopped = isinstance(error, (Cancelled, DataHostError)) and error.error_code not in {"disk", "engine"}
        if stopped:
            raise
        return None


def _plan_cheaply(con: DuckDBPyConnection) -> None:
    """Over very many columns the planner's own time, which grows with their square, is what a person waits for."""
    columns = con.execute("SELECT count(*) FROM duckdb_columns() WHERE database_name = 'src'").fetchall()[0][0]
    if columns > _MANY_COLUMNS:
        con.execute(f"SET disabled_optimizers = '{QUADRATIC}'")


def _spill_of(scratch: Path) -> Path:
    return scratch / f"spill-{os.getpid()}-{secrets.token_hex(4)}"


def _tidy(scratch: Path) -> None:
    """Take away what dead processes left, and imports nobody used for long."""
    with contextlib.suppress(OSError):
        for entry in scratch.iterdir():
            owner = re.match(r"(?:spill-|\.import-)(\d+)-", entry.name)
            if owner and not Path("/proc", owner[1]).exists():
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        # A name with a dot in front is an import under way, of this process or another.
        used = {p: p.stat().st_mtime for p in scratch.glob("*.duckdb") if not p.name.startswith(".")}
        for old in sorted(used, key=lambda p: used[p], reverse=True)[_KEPT_IMPORTS:]:
            if time.time() - used[old] > _FRESH:
                old.unlink()
