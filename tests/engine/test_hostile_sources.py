"""Public corpora of hostile files: each gives a reading in which every line is accounted for, or a clear error."""

import os
from pathlib import Path

import duckdb
import pytest

from epochal.core.errors import EpochalError
from epochal.core.settings import parse_project
from epochal.data import sources
from epochal.data.head import head


CORPUS = Path(__file__).parents[3] / "shared" / "data" / "bad"
FOLDERS = sorted(
    {
        p.parent.relative_to(CORPUS)
        for d in ("duckdb_csv", "duckdb_other", "parquet_bad", "blns")
        for p in CORPUS.glob(f"{d}/**/*")
        if p.is_file()
    }
)

pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason="the shared corpora are not on this machine")


AT_MOST = 1_000_000 if os.environ.get("EPOCHAL_ALL_HOSTILE") else 12
"""Files looked at in each folder: the fuzzed ones are alike. All of them were looked at by hand, and may be again."""


@pytest.mark.parametrize("folder", FOLDERS, ids=str)
def test_every_file_is_read_whole_or_refused_with_a_reason(folder):
    files = sorted(p for p in (CORPUS / folder).iterdir() if p.is_file())
    with duckdb.connect() as con:
        for path in files[:: 1 + len(files) // AT_MOST]:
            source = {"name": "s", "uri": str(path)}
            told_reason(lambda path=path, source=source: head(path.parent, source))
            before = sources.opened(con)
            project = parse_project({"name": "p", "source": [source]})
            imported = told_reason(lambda p=project, f=path.parent: sources.load(con, p, f, sources.silent))
            if imported is None:
                assert sources.opened(con) == before, path
                continue
            (lines,) = imported.lines
            assert lines.sums, path
            counted = con.execute("SELECT count(*), count(DISTINCT _key) FROM raw").fetchone()
            assert counted == (lines.read, lines.read), path
            assert con.execute("SELECT count(*) FROM rejects").fetchone() == (lines.rejected,), path


def told_reason(work):
    """What the work gives, or None when it was refused with what, and how to mend it."""
    try:
        return work()
    except EpochalError as error:
        refused = error
    assert refused.what
    assert refused.fix
    return None
