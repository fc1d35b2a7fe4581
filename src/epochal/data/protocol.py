"""What a face asks of the data host, and what it is told: frozen values, length-prefixed JSON on a socket pair.

A frame is a big-endian unsigned 32-bit length and that many bytes of UTF-8 JSON: {"id": int, "kind": str, "body": {…}}.
A request's kind is its class name in lower case with underscores (`open_view`); the host answers with frames of the
same id: any number of `progress` ({"fraction": float | null, "text": str}), then one `answer` or one `error`
({"code", "what", "where", "fix"}). A `cancel` frame with the id of a request under way interrupts it; it then answers
with the error `cancelled`. Every text in an answer that a person sees has passed `epochal.show` and is cut.
Standard library only: both sides import it.
"""

from __future__ import annotations

import json
import re
import socket
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar


MAX_FRAME = 64 * 1024 * 1024

Document = Mapping[str, Any]
"""A project as `core.settings.to_document` gives it: requests carry it whole, the host keeps no state but caches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Base of all requests."""

    answer: ClassVar[type | None] = None
    """The class of the answer's body; None for a plain mapping."""

    @classmethod
    def kind(cls) -> str:
        """Its name on the wire."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()


# ── answers ──


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnInfo:
    """One column as the grid needs it."""

    name: str
    """The real name, for requests."""
    title: str
    """The name as it may be shown."""
    kind: str
    """number, category, text, date, boolean, image or id."""
    type: str
    """DuckDB's type."""
    width: int
    """Cells that its values want, from what was seen."""
    right: bool
    """Whether values stand to the right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The first rows of a source, at once, before anything is imported."""

    format: str
    encoding: str
    delimiter: str
    quote: str
    header: bool
    columns: tuple[ColumnInfo, ...]
    rows: tuple[tuple[str | None, ...], ...]
    bytes: int
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """An opened view of rows; pages are asked by its token."""

    token: str
    rows: int
    """Rows in this view."""
    total: int
    """Rows without search, facets and selection."""
    columns: tuple[ColumnInfo, ...]
    exact: bool = True
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Rows `first` … of a view, cells safe and cut; None is missing."""

    token: str
    first: int
    eids: tuple[int, ...]
    """Import order numbers of the rows, for follow-up requests within this import."""
    keys: tuple[str, ...]
    """Stable keys of the rows, which may be stored in the project."""
    rows: tuple[tuple[str | None, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What is known of one column in one view."""

    column: str
    kind: str
    rows: int
    missing: int
    distinct: int
    exact: bool
    """False: figures of a sample; `sampled` says of how many rows."""
    sampled: int
    min: str | None = None
    max: str | None = None
    mean: float | None = None
    median: float | None = None
    low_quartile: float | None = None
    high_quartile: float | None = None
    histogram: tuple[int, ...] = ()
    """Counts of equally wide bins from min to max, for numbers and dates."""
    top: tuple[tuple[str, int], ...] = ()
    """Most frequent values with their counts."""
    outliers: int | None = None
    control_characters: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What a step would do, or does."""

    removed: int
    changed: int
    rows_before: int
    rows_after: int
    rejected_cells: int = 0
    sample: tuple[tuple[str | None, str | None], ...] = ()
    """Some changed cells, before and after."""
    kinds: int = 0
    """Columns whose values become of another kind, though every cell may read as before."""
    sentence: str = ""
    """For a person: "2 rows would be left out because Species is missing"."""
    warning: str = ""
    """What speaks against the step, when something does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something wrong with data, split or settings, with a fix of one key."""

    code: str
    severity: str
    """error, warning or hint."""
    where: str
    what: str
    fix: str
    """In words."""
    rows: int = 0
    step: Mapping[str, Any] | None = None
    """A `[[clean]]` table that mends it."""
    setting: tuple[str, Any] | None = None
    """Or a dotted path and a value that mends it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """Suggested settings for a source, each with its reason. Without [model]: that is chosen on evidence."""

    document: Document
    reasons: tuple[tuple[str, str, str], ...]
    """(dotted path or step, shown value, one line why)."""
    targets: tuple[str, ...]
    """Columns that could be the target, likeliest first."""
    suspects: tuple[str, ...] = ()
    """Inputs that nearly tell the target alone; a person decides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A snapshot and a split, ready on disk."""

    snapshot_id: str
    split_id: str
    ledger: Mapping[str, Any]
    """`Ledger.as_dict()`."""
    inputs: tuple[str, ...]
    classes: tuple[str, ...]
    fingerprint: str
    """Of the test rows and the rule that chose them, as it stands in [split]."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Dotted paths and values to record in project.toml (None: taken out): split.cuts, split.fingerprint, source sha256 …

    They are recorded only by who tells the notices.
    """
    notices: tuple[str, ...] = ()
    """What a person must hear: a source or the split that changed, rows without a time or group, empty parts."""


# ── requests ──


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadHead(Request):
    """The first rows of a source. Needs no project."""

    answer: ClassVar[type | None] = Head
    folder: str
    """What relative paths start from."""
    source: Mapping[str, Any]
    """A [[source]] table; only `uri` is needed."""
    rows: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Propose(Request):
    """Suggest settings: kinds as steps, missing marks, target, task, ignored columns, split, metric."""

    answer: ClassVar[type | None] = Proposal
    folder: str
    document: Document
    """At least one [[source]]; what else stands in it is kept (a given target, task …)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenView(Request):
    """Open a view of the rows after the recipe (imports the sources if that is not done yet)."""

    answer: ClassVar[type | None] = View
    folder: str
    document: Document
    steps: int | None = None
    """After how many steps of the recipe; all, if None; 0 is the raw rows."""
    sort: tuple[tuple[str, bool], ...] = ()
    """(column, descending), first is most important."""
    where: tuple[tuple[str, str, Any], ...] = ()
    """(column, op, value), all must hold; op: equals, contains, missing, among, matches (RE2), below, above."""
    expression: str = ""
    """Or an SQL expression, allow-listed."""
    keys: tuple[str, ...] = ()
    """Only these rows, by stable key."""
    eids: tuple[int, ...] = ()
    """Only these rows, by import order number."""
    part: str = ""
    """Only train, validation or test rows. Rows of the sealed test part are shown only when asked for so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPage(Request):
    """Rows of a view."""

    answer: ClassVar[type | None] = Page
    token: str
    first: int
    count: int
    columns: tuple[str, ...]
    cut: int = 120
    """Longest shown cell, in characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadCell(Request):
    """One whole cell: {"text": str | None, "length": int}; cut at 100,000 characters."""

    token: str
    row: int
    column: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FindRow(Request):
    """The next row of a view where a column (or any) matches: {"row": int | null, "column": str | null}."""

    token: str
    start: int
    pattern: str = ""
    """RE2, without regard to case. Empty with `seek`."""
    columns: tuple[str, ...] = ()
    backwards: bool = False
    seek: str = ""
    """Instead of a pattern: "missing" or "different" (from the value at `start`), in the first of `columns`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadProfile(Request):
    """The profile of one column."""

    answer: ClassVar[type | None] = Profile
    token: str
    column: str
    exact: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadFacets(Request):
    """Values of a column with counts: {"values": [[shown, count, raw]], "distinct": int}."""

    token: str
    column: str
    limit: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class CountStep(Request):
    """What one more step would do, without doing it."""

    answer: ClassVar[type | None] = Counted
    folder: str
    document: Document
    step: Mapping[str, Any]
    at: int | None = None
    """Its place in the recipe; the end, if None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadLedger(Request):
    """`Ledger.as_dict()`, with "words": one sentence per line of the account."""

    folder: str
    document: Document


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRejects(Request):
    """{"rejects": [Reject as dict], "total": int}."""

    folder: str
    document: Document
    limit: int = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadSql(Request):
    """{"sql": str}: the recipe as one statement."""

    folder: str
    document: Document


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadNotices(Request):
    """{"notices": [str]}: what whoever reads the data should hear: sources that changed since their sha256 was recorded."""

    folder: str
    document: Document


@dataclass(frozen=True, slots=True, kw_only=True)
class FindProblems(Request):
    """{"problems": [Problem as dict]}: data, leakage, licence, personal data, settings."""

    folder: str
    document: Document


@dataclass(frozen=True, slots=True, kw_only=True)
class Build(Request):
    """Write the snapshot and the split, unless equal ones are there."""

    answer: ClassVar[type | None] = Built
    folder: str
    document: Document
    accept_split: bool = False
    """Take a changed test set; without it a change is the error split-changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Export(Request):
    """Write the cleaned rows: {"rows": int}. The ending says the format: .csv, .parquet, .jsonl."""

    folder: str
    document: Document
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparePrediction(Request):
    """Read a new file, replay the recipe without removing rows: {"rows": int, "columns": [...]}.

    Writes `into`/rows.parquet: `_eid` (dense, input order), the model's inputs after cleaning, `_note` (what cleaning
    would have removed), and `into`/raw.parquet: `_eid` and the file's own columns as text.
    """

    folder: str
    document: Document
    """The run's frozen settings."""
    uri: str
    inputs: tuple[str, ...]
    into: str
    types: Mapping[str, str] = field(default_factory=dict)
    """What the inputs were learnt as: the snapshot's types."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WritePredictions(Request):
    """Join `raw.parquet` and `predictions.parquet` of a folder by `_eid` and write them: {"rows": int}."""

    folder: str
    path: str


REQUESTS: dict[str, type[Request]] = {
    r.kind(): r
    for r in (
        ReadHead,
        Propose,
        OpenView,
        ReadPage,
        ReadCell,
        FindRow,
        ReadProfile,
        ReadFacets,
        CountStep,
        ReadLedger,
        ReadRejects,
        ReadSql,
        ReadNotices,
        FindProblems,
        Build,
        Export,
        PreparePrediction,
        WritePredictions,
    )
}


def request_from(kind: str, body: Mapping[str, Any]) -> Request:
    """A request back from the wire; lists become tuples. Raises KeyError or TypeError for what is no request."""
    return REQUESTS[kind](**{k: _tuples(v) if k not in {"document", "source", "step"} else v for k, v in body.items()})


def answer_from(request: type[Request], body: Mapping[str, Any]) -> Any:
    """The answer's body as its class, or as it is when it has none."""
    cls = request.answer
    if cls is None:
        return body
    values: dict[str, Any] = {}
    for declared in fields(cls):
        if declared.name not in body:
            continue
        value = body[declared.name]
        if declared.name == "columns" and cls in {Head, View}:
            value = tuple(ColumnInfo(**c) for c in value)
        elif isinstance(value, list):
            value = _tuples(value)
        values[declared.name] = value
    return cls(**values)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, (list, tuple)) else value


def body_of(value: Any) -> dict[str, Any]:
    """A request or answer as the body of a frame."""
    return value if isinstance(value, dict) else asdict(value)


def send_frame(connection: socket.socket, number: int, kind: str, body: Mapping[str, Any]) -> None:
    """Send one frame. Raises OSError when the other side is gone, ValueError when it is too large."""
    data = json.dumps({"id": number, "kind": kind, "body": body}, ensure_ascii=False, default=str).encode(
        "utf-8", "surrogatepass"
    )
    if len(data) > MAX_FRAME:
        raise ValueError(f"a frame of {len(data)} bytes")
    connection.sendall(struct.pack(">I", len(data)) + data)


def read_frame(connection: socket.socket) -> tuple[int, str, dict[str, Any]] | None:
    """Read one frame (id, kind, body); None when the other side closed. Raises ValueError for what is no frame."""
    head = _read_exactly(connection, 4)
    if head is None:
        return None
    (length,) = struct.unpack(">I", head)
    if length > MAX_FRAME:
        raise ValueError(f"a frame of {length} bytes")
    data = _read_exactly(connection, length)
    if data is None:
        return None
    frame = json.loads(data.decode("utf-8", "surrogatepass"))
    return frame["id"], frame["kind"], frame["body"]


def _read_exactly(connection: socket.socket, count: int) -> bytes | None:
    chunks: list[bytes] = []
    while count:
        chunk = connection.recv(min(count, 1 << 20))
        if not chunk:
            return None
        chunks.append(chunk)
        count -= len(chunk)
    return b"".join(chunks)
