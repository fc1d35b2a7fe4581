"""What is wrong with data, columns or declarations, with evidence and, where there is one, a fix of one key."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from epochal.core.settings import Project
from epochal.core.tasks import TASKS
from epochal.data.engine import Engine, Work
from epochal.data.guess import KindGuess, guess_kinds
from epochal.data.identify import why_no_key
from epochal.data.leaks import find_leaks
from epochal.data.measure import ColumnFacts, measure
from epochal.data.protocol import Problem
from epochal.data.roles import choose_ignored, rank_targets
from epochal.data.sources import opened
from epochal.data.sqltext import as_text, identifier
from epochal.data.views import Base, base_of
from epochal.show import counted, grouped, safe


if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_FEW_ROWS = 100
_TOO_FEW_ROWS = 20
_RARE = 10
"""Rows of a class below which its figures say little."""
_ONE_SIDED = 0.75
_VERY_ONE_SIDED = 0.9
_ORDER = {"error": 0, "warning": 1, "hint": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What every check looks at."""

    con: DuckDBPyConnection
    project: Project
    base: Base
    facts: Mapping[str, ColumnFacts]

    @property
    def target(self) -> ColumnFacts | None:
        """The target's figures, when it is there."""
        return self.facts.get(self.project.columns.target)

    @property
    def inputs(self) -> list[ColumnFacts]:
        """Columns that are learnt from."""
        said = self.project.columns
        others = {said.target, said.key, said.group, said.time, self.project.split.column, *said.ignore}
        return [f for f in self.facts.values() if f.name not in others]

    def ignoring(self, name: str) -> tuple[str, Any]:
        """The setting that ignores one more column."""
        return "columns.ignore", [*self.project.columns.ignore, name]


def find_problems(engine: Engine, con: DuckDBPyConnection, project: Project, work: Work) -> list[Problem]:
    """All problems, the gravest first. Raises StepError when the recipe cannot be run."""
    base = base_of(engine, con, project, work)
    work.report("measuring every column")
    looked = Looked(con=con, project=project, base=base, facts=measure(con, base.table, base.columns, base.kinds))
    checks: tuple[tuple[str, Callable[[], Iterable[Problem]]], ...] = (
        ("the sources", lambda: _sources(con, project)),
        ("the rows", lambda: _rows(looked)),
        ("the split", lambda: _split(looked)),
        ("the key", lambda: _key(looked)),
        ("the target", lambda: _target(looked)),
        ("the columns", lambda: _columns(looked)),
        ("the texts", lambda: _texts(looked, guess_kinds(con, base.table, base.columns))),
        ("leaks", lambda: find_leaks(looked, work)),
    )
    found: list[Problem] = []
    for text, check in checks:
        work.report(f"checking {text}")
        found.extend(check())
    return sorted(found, key=lambda p: (_ORDER[p.severity], -p.rows))


def _sources(con: DuckDBPyConnection, project: Project) -> Iterator[Problem]:
    imported = opened(con)
    for source in project.sources:
        where = f"source {safe(source.name, 60)}"
        now = imported.fingerprints.get(source.name, "") if imported else ""
        if source.sha256 and now not in {"", source.sha256}:
            yield Problem(
                code="source-changed",
                severity="warning",
                where=where,
                what="the file is not the one that was first read",
                fix="train anew, or bring the old file back",
            )
        if not source.licence:
            yield Problem(
                code="licence",
                severity="hint",
                where=where,
                what="its licence is not declared",
                fix="1 Goal asks for it (licence = … in project.toml)",
            )
        if not source.origin:
            yield Problem(
                code="origin",
                severity="hint",
                where=where,
                what="where it comes from is not said",
                fix="1 Goal asks for it (origin = … in project.toml)",
            )
        if not source.personal_data:
            yield Problem(
                code="personal-data",
                severity="hint",
                where=where,
                what="whether it is about people is not declared",
                fix="1 Goal asks: none, pseudonymised or present (personal_data = … in project.toml)",
            )
    for lines in imported.lines if imported else ():
        if lines.rejected:
            yield Problem(
                code="rejected-lines",
                severity="warning",
                where=f"source {safe(lines.name, 60)}",
                what=f"{grouped(lines.rejected)} of {grouped(lines.lines)} lines {'does not fit and is' if lines.rejected == 1 else 'do not fit and are'} left out",
                fix="look at the rejects; correct the file or how it is read",
                rows=lines.rejected,
            )


def _split(looked: Looked) -> Iterator[Problem]:
    """What of the split a build would only tell of: rows without the value they are dealt out by."""
    kind, said = looked.project.split.kind, looked.project.columns
    name = {"time": said.time, "group": said.group}.get(kind, "")
    facts = looked.facts.get(name)
    if facts is not None and facts.missing:
        yield Problem(
            code=f"{kind}-missing",
            severity="warning",
            where=f"column {safe(name, 60)}",
            what=f"{counted(facts.missing, 'row has', 'rows have')} no {safe(name, 60)}: "
            + (
                f"{'it is' if facts.missing == 1 else 'they are'} trained on"
                if kind == "time"
                else "each is a group of its own"
            ),
            fix=f"fill it, or leave such rows out, if the {kind} matters for them",
            rows=facts.missing,
        )


def _rows(looked: Looked) -> Iterator[Problem]:
    rows = looked.base.rows
    if rows < _FEW_ROWS:
        yield Problem(
            code="few-rows",
            severity="error" if rows < _TOO_FEW_ROWS else "warning",
            where="rows",
            what=f"{counted(rows, 'row is', 'rows are')} left: figures will be uncertain",
            fix="add data, or look at the steps that remove rows",
            rows=rows,
        )
    names = ", ".join(identifier(c) for c, _ in looked.base.columns)
    different: int = looked.con.execute(
        f"SELECT count(*) FROM (SELECT 1 FROM {looked.base.table} GROUP BY {names})"  # noqa: S608 - quoted names
    ).fetchall()[0][0]
    if rows > different:
        yield Problem(
            code="duplicates",
            severity="warning",
            where="rows",
            what=f"{counted(rows - different, 'row is', 'rows are')} equal to another and may stand in training and test at once",
            fix="leave repeated rows out",
            rows=rows - different,
            step={"op": "drop_duplicates"},
        )
    inputs = ", ".join(identifier(f.name) for f in looked.inputs)
    target = looked.target
    if target is not None and inputs and looked.project.goal.task == "classification":
        disputed = looked.con.execute(
            f"SELECT coalesce(sum(n), 0) FROM (SELECT count(*) AS n FROM {looked.base.table}"  # noqa: S608 - quoted
            f" GROUP BY {inputs} HAVING count(DISTINCT {identifier(target.name)}) > 1)"
        ).fetchall()[0][0]
        if disputed:
            yield Problem(
                code="disputed-target",
                severity="hint",
                where=f"column {safe(target.name, 60)}",
                what=f"{grouped(int(disputed))} rows have equal inputs but different targets: no model can get all right",
                fix="look whether labels are wrong or an input is missing",
                rows=int(disputed),
            )


def _key(looked: Looked) -> Iterator[Problem]:
    """A key that several rows share, or lack."""
    facts = looked.facts.get(looked.project.columns.key)
    if facts is None:
        return
    why = why_no_key(facts.name, rows=facts.rows, missing=facts.missing, values=facts.distinct)
    if why:
        yield Problem(
            code="key-not-unique",
            severity="warning",
            where=f"column {safe(facts.name, 60)}",
            what=why,
            fix="take the key back: rows are told apart by their content",
            rows=facts.rows - facts.distinct,
            setting=("columns.key", ""),
        )


def _target(looked: Looked) -> Iterator[Problem]:
    target = looked.target
    if target is None:
        likeliest = rank_targets(looked.facts)[0][0] if looked.facts else ""
        named = looked.project.columns.target
        yield Problem(
            code="no-target",
            severity="error",
            where="project.toml [columns]",
            what=f"there is no column {safe(named, 60)!r}" if named else "no target is chosen",
            fix=f"predict {safe(likeliest, 60)}" if likeliest else "name the column to predict",
            setting=("columns.target", likeliest) if likeliest else None,
        )
        return
    where = f"column {safe(target.name, 60)}"
    if target.missing:
        yield Problem(
            code="target-missing",
            severity="error",
            where=where,
            what=f"{counted(target.missing, 'row has', 'rows have')} no target",
            fix="leave such rows out",
            rows=target.missing,
            step={"op": "drop_missing", "columns": [target.name]},
        )
    if target.distinct < 2:
        yield Problem(
            code="target-constant",
            severity="error",
            where=where,
            what="the target is the same in every row",
            fix="choose another target, or look at the steps that remove rows",
        )
    elif looked.project.goal.task == "classification":
        yield from _classes(looked, target)
    elif target.kind != "number":
        yield Problem(
            code="wrong-task",
            severity="error",
            where=where,
            what="the target is no number",
            fix="learn classes instead",
            setting=("goal.task", "classification"),
        )


def _classes(looked: Looked, target: ColumnFacts) -> Iterator[Problem]:
    where = f"column {safe(target.name, 60)}"
    name = identifier(target.name)
    counts = looked.con.execute(
        f"SELECT {as_text(target.name, target.type)}, count(*) AS n FROM {looked.base.table}"  # noqa: S608 - quoted
        f" WHERE {name} IS NOT NULL GROUP BY ALL ORDER BY n DESC"
    ).fetchall()
    share = counts[0][1] / max(1, target.filled)
    if target.kind == "number" and target.distinct > 50:
        yield Problem(
            code="wrong-task",
            severity="error",
            where=where,
            what=f"the target is a number with {grouped(target.distinct)} different values",
            fix="learn the number instead",
            setting=("goal.task", "regression"),
        )
        return
    if share >= _ONE_SIDED and looked.project.metric == "accuracy":
        yield Problem(
            code="flattering-metric",
            severity="warning",
            where="goal.metric",
            what=f"{safe(counts[0][0], 40)} holds {share:.0%} of the rows: accuracy flatters",
            fix=f"judge by {TASKS['classification'].metrics[2]}",
            setting=("goal.metric", "f1"),
        )
    if share >= _VERY_ONE_SIDED and looked.project.train.class_weights == "none":
        yield Problem(
            code="imbalance",
            severity="hint",
            where=where,
            what=f"{safe(counts[0][0], 40)} holds {share:.0%} of the rows",
            fix="let rare classes count more",
            setting=("train.class_weights", "balanced"),
        )
    rare = [(value, n) for value, n in counts if n < _RARE]
    if rare:
        told = ", ".join(f"{safe(value, 40)} ({n})" for value, n in rare[:3])
        yield Problem(
            code="rare-class",
            severity="warning",
            where=where,
            what=f"{len(rare)} of {len(counts)} classes {'has' if len(rare) == 1 else 'have'} fewer than {_RARE} rows: {told}{' …' if len(rare) > 3 else ''}",
            fix="join rare classes (map_values), or add data",
            rows=sum(n for _, n in rare),
        )


def _columns(looked: Looked) -> Iterator[Problem]:
    named = {f.name for f in looked.facts.values()} - {f.name for f in looked.inputs}
    target = looked.project.columns.target
    for one in choose_ignored(looked.con, looked.base, looked.facts, target, named):
        leak = "the answer" in one.why
        yield Problem(
            code="target-leak" if leak else "useless-column",
            severity="error" if leak else "warning",
            where=f"column {safe(one.name, 60)}",
            what=one.why,
            fix="ignore the column",
            setting=looked.ignoring(one.name),
        )


def _texts(looked: Looked, guesses: tuple[KindGuess, ...]) -> Iterator[Problem]:
    target = looked.project.columns.target
    used = {f.name for f in looked.inputs} | {target}
    for guess in guesses:
        if guess.name not in used:
            continue
        where = f"column {safe(guess.name, 60)}"
        if guess.marks:
            yield Problem(
                code="missing-marks",
                severity="warning",
                where=where,
                what=f"{', '.join(f'“{m}”' for m in guess.marks)} may stand for missing",
                fix="mark them as missing",
                step={"op": "mark_missing", "columns": [guess.name], "values": list(guess.marks)},
            )
        named = guess.name == target and looked.project.goal.task == "classification"  # classes are names
        decided = named or guess.name in looked.project.columns.kinds or _decided(looked, guess.name)
        if guess.kind and not decided:
            step: dict[str, Any] = {"op": "set_kind", "columns": [guess.name], "kind": guess.kind}
            if guess.date_format:
                step = {"op": "parse_date", "columns": [guess.name], "format": guess.date_format}
            yield Problem(
                code="kind",
                severity="hint",
                where=where,
                what=f"{grouped(guess.fits)} of {grouped(guess.filled)} values read as {guess.kind}",
                fix=f"read it as {guess.kind}",
                rows=guess.fits,
                step=step,
            )
        if guess.spaced and looked.facts[guess.name].kind == "category":
            yield Problem(
                code="spaces",
                severity="hint",
                where=where,
                what=f"{counted(guess.spaced, 'value has', 'values have')} spaces at an end",
                fix="trim them",
                rows=guess.spaced,
                step={"op": "trim", "columns": [guess.name]},
            )
        yield from _variants(looked, guess.name)


def _decided(looked: Looked, name: str) -> bool:
    """Whether a step already says what the column is."""
    return any(s.enabled and s.op in {"set_kind", "parse_date"} and name in s.columns for s in looked.project.clean)


def _plain(text: str) -> str:
    """SQL: a text without what spellings of one value may differ in."""
    text = f"trim(regexp_replace(lower(nfc_normalize({text})), '[\\s\\pZ]+', ' ', 'g'))"
    text = f"regexp_replace({text}, ' *[.,;:!?]+$', '')"
    for _ in range(2):  # the letter between two joints belongs to one match only
        text = f"regexp_replace({text}, '([\\pL\\pM\\pN])[-_]([\\pL\\pM\\pN])', '\\1 \\2', 'g')"
    return text


def _variants(looked: Looked, name: str) -> Iterator[Problem]:
    """One value written in several ways.

    They may differ in case, in spaces around and repeated, in punctuation at the end, and in whether a space, an
    underscore or a hyphen joins words. Whatever else differs makes another value (1.5 mg, 15 mg), so does another accent
    (schon, schön) or sign (A+, A-; <5, >5).
    """
    if looked.facts[name].kind != "category" or looked.facts[name].distinct > 1000:
        return
    column = identifier(name)
    groups = looked.con.execute(
        "SELECT list(v ORDER BY n DESC, v), sum(n) - max(n) FROM"  # noqa: S608 - quoted names
        f" (SELECT {column} AS v, count(*) AS n FROM {looked.base.table} WHERE {column} IS NOT NULL GROUP BY v)"
        f" GROUP BY {_plain('v')} HAVING count(*) > 1"
    ).fetchall()
    mapping = {old: values[0] for values, _ in groups for old in values[1:]}
    mapping = {old: new for old, new in mapping.items() if any(c.isalpha() for c in old)}
    if mapping:
        old, new = next(iter(mapping.items()))
        yield Problem(
            code="spelling",
            severity="warning",
            where=f"column {safe(name, 60)}",
            what=f"{counted(len(mapping), 'value looks like another', 'values look like others')} written otherwise, "
            f"such as {safe(old, 40)!r} and {safe(new, 40)!r}",
            fix="take the most frequent spelling",
            rows=int(sum(n for _, n in groups)),
            step={"op": "map_values", "column": name, "mapping": mapping},
        )
