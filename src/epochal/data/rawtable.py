"""The table `raw`: every row as it was read, whatever it was read from, and beside it what was not.

Rows are appended in import order: `_eid` is dense from 0 and equals the row's place in the table. `_key` is the row's
content id: the md5 of its fields as a JSON list of texts without spaces, null where one is missing; of equal rows the
second one's id ends in `-2`, the third's in `-3`, so no key depends on where a row stands.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, field
from typing import TYPE_CHECKING, Any

from epochal.core.ledger import Reject, SourceLines
from epochal.data.sqltext import identifier


if TYPE_CHECKING:
    import duckdb

TABLES = ("raw", "rejects", "source_lines", "imported")
_CHUNK = "_chunk"
_SMALL = 128 * 1024 * 1024
"""Bytes of sources up to which the scratch database may be several times as large as it could be."""
_BATCH = 20_480
"""Rows that one thread takes at a time: one large batch would keep the others idle."""


@dataclass(slots=True)
class RawTable:
    """Fills the tables of one import on a connection; nothing is there for others until `finish`."""

    con: duckdb.DuckDBPyConnection
    columns: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Name without case to name and type."""
    rows: int = 0
    keep_uneven: bool = False
    """Whether text lines with another number of fields become rows as well."""

    def start(self, size: int = 0) -> None:
        """Make the tables, empty, in a transaction that `finish` or `abandon` ends.

        `size` is how many bytes are about to be read: what is small is stored as it is, which takes a third less time.
        """
        self._compress("uncompressed" if size <= _SMALL else "auto")
        self.con.execute("BEGIN")
        for table in TABLES:
            self.con.execute(f"DROP TABLE IF EXISTS {table}")
        self._make()
        self.con.execute(
            'CREATE TABLE rejects (source VARCHAR, line BIGINT, "column" VARCHAR, kind VARCHAR, text VARCHAR)'
        )
        self.con.execute(
            "CREATE TABLE source_lines (name VARCHAR, lines BIGINT, header BIGINT, blank BIGINT, continuation BIGINT, "
            "rejected BIGINT, read BIGINT, rejected_cells BIGINT)"
        )

    def _compress(self, how: str) -> None:
        row = self.con.execute("SELECT current_setting('lock_configuration')").fetchone()
        if row and not row[0]:
            self.con.execute(f"PRAGMA force_compression = '{how}'")

    def declare(self, columns: Sequence[tuple[str, str]]) -> tuple[str, ...]:
        """Make sure these columns (name, DuckDB type) are there; their names as the table has them.

        A column that two sources hold with different types is text from then on.
        """
        names: list[str] = []
        for name, kind in columns:
            known = self.columns.get(name.casefold())
            if known is None:
                known = self._add(name, kind)
            elif known[1] != kind and known[1] != "VARCHAR":
                known = (known[0], "VARCHAR")
                if self.rows:
                    self.con.execute(f"ALTER TABLE raw ALTER COLUMN {identifier(name)} TYPE VARCHAR")
            self.columns[name.casefold()] = known
            names.append(known[0])
        if not self.rows:  # one statement for thousands of columns: to add them one by one takes minutes
            self._make()
        return tuple(names)

    def _add(self, name: str, kind: str) -> tuple[str, str]:
        if self.rows:
            self.con.execute(f"ALTER TABLE raw ADD COLUMN {identifier(name)} {kind}")
        return name, kind

    def _make(self) -> None:
        """Make `raw`, without rows, with the columns known so far."""
        listed = "".join(f", {identifier(name)} {kind}" for name, kind in self.columns.values())
        self.con.execute("DROP TABLE IF EXISTS raw")
        self.con.execute(f"CREATE TABLE raw (_eid BIGINT, _source VARCHAR, _line BIGINT, _key VARCHAR{listed})")

    def append(self, source: str, table: Any, names: Sequence[str], values: Sequence[str]) -> None:
        """Append an Arrow table's rows.

        Args:
            source: What `_source` says of them.
            table: An Arrow table with `_row` (the rows' `_eid`) and `_line`.
            names: The columns filled.
            values: For each an SQL expression over the Arrow table that gives its value.
        """
        self.con.register(_CHUNK, type(table).from_batches(table.to_batches(_BATCH), table.schema))
        listed = ", ".join(identifier(n) for n in names)
        inner = ", ".join(f"{v} AS v{i}" for i, v in enumerate(values))
        outer = ", ".join(f"v{i}" for i in range(len(values)))
        try:
            self.con.execute(
                f"INSERT INTO raw (_eid, _source, _line, _key, {listed}) "  # noqa: S608 - identifiers are quoted
                f"SELECT _row, $1, _line, {content_id(len(values))}, {outer} FROM (SELECT _row, _line, {inner} FROM {_CHUNK})",
                [source],
            )
        finally:
            self.con.unregister(_CHUNK)
        self.rows += table.num_rows

    def reject(self, rejects: Iterable[Reject]) -> None:
        """Write down what did not fit."""
        listed = [astuple(r) for r in rejects]
        if listed:
            columns = [list(c) for c in zip(*listed, strict=True)]
            unnested = ", ".join(f"unnest(${i + 1}::{'BIGINT' if i == 1 else 'VARCHAR'}[])" for i in range(5))
            self.con.execute(f"INSERT INTO rejects SELECT {unnested}", columns)

    def account(self, lines: SourceLines) -> None:
        """Write down one source's lines."""
        self.con.execute("INSERT INTO source_lines VALUES (?, ?, ?, ?, ?, ?, ?, ?)", list(astuple(lines)))

    def finish(self, import_id: str, notes: str) -> None:
        """Tell equal rows apart and commit; `imported` marks the tables as whole."""
        self.con.execute(
            """UPDATE raw SET _key = raw._key || '-' || again.n
            FROM (SELECT _eid, row_number() OVER (PARTITION BY _key ORDER BY _eid) AS n FROM raw
                  WHERE _key IN (SELECT _key FROM raw GROUP BY _key HAVING count(*) > 1)) AS again
            WHERE again._eid = raw._eid AND again.n > 1"""
        )
        self.con.execute(
            "CREATE TABLE imported AS SELECT $1::VARCHAR AS import_id, $2::VARCHAR AS notes", [import_id, notes]
        )
        self.con.execute("COMMIT")

    def abandon(self) -> None:
        """Take everything back. A transaction that failed is gone already, and why it failed must stay to be told."""
        import duckdb

        with contextlib.suppress(duckdb.Error):
            self.con.execute("ROLLBACK")


def content_id(width: int) -> str:
    """The SQL of a row's content id over its values `v0` … `v{width - 1}`."""
    return f"md5(to_json([{', '.join(f'v{i}::VARCHAR' for i in range(width))}]))"
