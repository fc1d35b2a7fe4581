"""Suggested settings for a source, each with a one-line reason; a person corrects them in a few keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from epochal.core.errors import SourceError
from epochal.core.settings import Columns, Goal, Project, Source, SplitSettings, to_document
from epochal.core.steps import Step
from epochal.core.tasks import TASKS
from epochal.data.engine import Engine, Work
from epochal.data.guess import KindGuess, guess_kinds
from epochal.data.leaks import MOST_COLUMNS, find_leaks, not_looked_at
from epochal.data.measure import ColumnFacts, measure
from epochal.data.places import resolve
from epochal.data.problems import Looked
from epochal.data.protocol import Problem, Proposal
from epochal.data.roles import Ignored, choose_ignored, find_time, rank_targets
from epochal.data.sqltext import identifier
from epochal.data.textsource import look_at
from epochal.data.views import Base, base_of
from epochal.show import grouped, safe


if TYPE_CHECKING:
    from pathlib import Path

    from duckdb import DuckDBPyConnection

_MANY_CLASSES = 10
"""Whole numbers with at most so many values, counted from 0 or 1, are taken for classes."""
_PROSE = 1e12
"""Different texts of several words that there could be."""
_ONE_SIDED = 0.75
"""Share of the largest class from which accuracy says little."""

Reason = tuple[str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Learnt:
    """What is learnt, and why."""

    target: str
    task: str
    metric: str
    reasons: tuple[Reason, ...]


def propose(engine: Engine, con: DuckDBPyConnection, project: Project, work: Work) -> Proposal:
    """Suggest what is not given yet: kinds and missing marks as steps, target, task, metric, ignored columns, split.

    What stands in the project is kept. Raises StepError or SourceError when its recipe or sources cannot be read, or
    hold no row.
    """
    if not engine.rows:
        raise _no_rows(con, project)
    work.report("looking at every column")
    raw = base_of(engine, con, project, work)
    guesses = guess_kinds(con, raw.table, raw.columns, lambda share: work.report("looking at every column", share))
    steps, reasons = _cleaning(guesses, raw.kinds)
    cleaned = replace(project, clean=(*project.clean, *steps))
    work.report("looking for the target")
    base = base_of(engine, con, cleaned, work)
    facts = measure(con, base.table, base.columns, base.kinds)
    ranked = rank_targets(facts)
    learnt = _learn(con, base, project, facts, ranked)
    rows, why = _rows(con, base, facts, learnt.target)
    if learnt.task == "classification" and any(g.name == learnt.target and g.kind for g in guesses):
        # Classes are names: read as numbers or as true and false they would come back under other names.
        steps, reasons = _cleaning([replace(g, kind="") if g.name == learnt.target else g for g in guesses], raw.kinds)
        cleaned = replace(project, clean=(*project.clean, *steps))
    cleaned = replace(cleaned, clean=(*cleaned.clean, *rows))
    columns, set_aside = _columns(con, base, project, facts, learnt)
    split, dealt = _split(project, columns, learnt.task)
    goal = replace(
        project.goal,
        task=learnt.task,
        metric=learnt.metric,
        question=project.goal.question or _question(learnt),
    )
    sources, read = _readings(project, engine.folder)
    suggested = replace(
        cleaned, sources=sources, goal=goal if learnt.target else project.goal, columns=columns, split=split
    )
    looked = Looked(con=con, project=suggested, base=base, facts=facts)
    leaks = list(find_leaks(looked, work))
    suspects = tuple(dict.fromkeys(p.setting[1][-1] for p in leaks if p.setting))
    beside = _suspected(suspects, leaks, learnt.target)
    if not_looked_at(looked):
        first = f"the first {grouped(MOST_COLUMNS)} of {grouped(MOST_COLUMNS + not_looked_at(looked))} numbers"
        beside.append(("looked_at", first, "only these were tried on whether one alone tells the target"))
    if project.columns.ignore:
        beside.append(("columns.ignore", _listed(project.columns.ignore), "as given"))
    return Proposal(
        document=to_document(suggested),
        reasons=(*learnt.reasons[:1], *beside, *learnt.reasons[1:], *reasons, *why, *set_aside, *dealt, *read),
        targets=tuple(name for name, _, _ in ranked),
        suspects=suspects,
    )


def _no_rows(con: DuckDBPyConnection, project: Project) -> SourceError:
    """A source of which nothing could be read as a row."""
    rejected = con.execute("SELECT count(*) FROM rejects").fetchall()[0][0]
    lines = "its only other line" if rejected == 1 else f"all {grouped(rejected)} other lines"
    return SourceError(
        f"no row could be read: {lines} did not fit" if rejected else "it names columns but holds no rows",
        where=", ".join(s.uri for s in project.sources[:5]),
        fix="check delimiter, quote and header in its [[source]] table" if rejected else "name a file with rows",
        code="no-rows",
    )


def _readings(project: Project, folder: Path) -> tuple[tuple[Source, ...], list[Reason]]:
    """The sources, with what a few rows would not show again: that spaces stand between fields."""
    sources = tuple(replace(s, delimiter=" ") if _is_spaced(s, folder) else s for s in project.sources)
    if sources == project.sources:
        return sources, []
    return sources, [("source.delimiter", "spaces", "as many as there are stand between fields, in new files too")]


def _is_spaced(source: Source, folder: Path) -> bool:
    place = resolve(source, folder)
    if source.delimiter or place.format != "csv":
        return False
    return all(look_at(file, source, whole=False)[0].dialect.runs for file in place.files)


def _cleaning(guesses: Sequence[KindGuess], kinds: Mapping[str, str]) -> tuple[list[Step], list[Reason]]:
    """Steps that give every column its kind, with their reasons."""
    steps: list[Step] = []
    reasons: list[Reason] = []

    def add(op: str, why: str, shown: str, **params: Any) -> None:
        steps.append(Step(op=op, params=params))
        reasons.append((op, shown, why))

    marked: dict[tuple[str, ...], list[str]] = {}
    for guess in guesses:
        if guess.marks:
            marked.setdefault(guess.marks, []).append(guess.name)
    for marks, names in marked.items():
        shown = f"{_quoted(marks)} in {_listed(names)}"
        add("mark_missing", "these texts stand for missing", shown, columns=tuple(names), values=marks)
    spaced = [g.name for g in guesses if g.spaced and not g.kind and kinds[g.name] == "category"]
    if spaced:
        add("trim", "some values have spaces at an end", _listed(spaced), columns=tuple(spaced))
    for kind in ("number", "boolean", "date"):
        chosen = [g for g in guesses if g.kind == kind and not g.date_format and not g.decimal]
        if chosen:
            read = tuple(g.name for g in chosen)
            add("set_kind", _fits(chosen), f"{_listed(read)}: {kind}", columns=read, kind=kind)
    for sign in dict.fromkeys(g.decimal for g in guesses if g.decimal):
        chosen = [g for g in guesses if g.decimal == sign]
        read = tuple(g.name for g in chosen)
        shown = f"{_listed(read)}: {'decimal comma' if sign == ',' else 'amounts'}"
        why = _fits(chosen) + (f"; {chosen[0].note}" if chosen[0].note else "")
        add("parse_number", why, shown, columns=read, **({"decimal": sign} if sign == "," else {}))
    for form in dict.fromkeys(g.date_format for g in guesses if g.date_format):
        chosen = [g for g in guesses if g.date_format == form]
        read = tuple(g.name for g in chosen)
        why = _fits(chosen) + (f"; {chosen[0].note}" if chosen[0].note else "")
        add("parse_date", why, f"{_listed(read)}: {form}", columns=read, format=form)
    return steps, reasons


def _fits(guesses: Sequence[KindGuess]) -> str:
    off = [(g.name, g.filled - g.fits) for g in guesses if g.filled > g.fits]
    if not off:
        return "every value reads as one"
    told = ", ".join(f"{grouped(n)} in {safe(name, 40)}" for name, n in off[:3])
    return f"all but {told}{' …' if len(off) > 3 else ''} read as one; those become rejects"


def _learn(
    con: DuckDBPyConnection,
    base: Base,
    project: Project,
    facts: Mapping[str, ColumnFacts],
    ranked: Sequence[tuple[str, float, str]],
) -> _Learnt:
    """Target, task and metric: what is given stands."""
    target, why = project.columns.target, "as given"
    if not target and ranked and ranked[0][1] > 0:
        target, _, why = ranked[0]
    if not target or target not in facts:
        return _Learnt(target=target, task=project.goal.task, metric=project.goal.metric, reasons=())
    fact = facts[target]
    task, reason = _task(fact)
    if project.goal != Goal() and project.goal.task != task:
        task, reason = project.goal.task, "as given"
    reasons = [("columns.target", safe(target, 60), why), ("goal.task", task, reason)]
    metric = project.goal.metric
    if metric not in TASKS[task].metrics:
        metric, judged = _metric(con, base, fact, task)
        reasons.append(("goal.metric", metric, judged))
    return _Learnt(target=target, task=task, metric=metric, reasons=tuple(reasons))


def _task(fact: ColumnFacts) -> tuple[str, str]:
    if fact.kind != "number":
        return "classification", f"{grouped(fact.distinct)} different values are classes"
    classes = fact.whole and fact.low in {0.0, 1.0} and fact.distinct == fact.high - fact.low + 1
    if classes and fact.distinct <= _MANY_CLASSES:
        return "classification", f"the whole numbers {fact.low:g} to {fact.high:g} look like classes"
    return "regression", f"it is a number with {grouped(fact.distinct)} different values"


def _metric(con: DuckDBPyConnection, base: Base, fact: ColumnFacts, task: str) -> tuple[str, str]:
    if task == "regression":
        return "rmse", "the typical error in the target's own unit"
    column = identifier(fact.name)
    most: int = con.execute(
        f"SELECT max(n) FROM (SELECT count(*) AS n FROM {base.table} WHERE {column} IS NOT NULL GROUP BY {column})"  # noqa: S608
    ).fetchall()[0][0]
    share = (most or 0) / max(1, fact.filled)
    if share >= _ONE_SIDED:
        return "f1", f"one class holds {share:.0%} of the rows, so accuracy would flatter"
    return "accuracy", "no class outweighs the others by far"


def _rows(
    con: DuckDBPyConnection, base: Base, facts: Mapping[str, ColumnFacts], target: str
) -> tuple[list[Step], list[Reason]]:
    """Steps that leave out rows nothing can be learnt from, or that would stand in two parts."""
    steps: list[Step] = []
    reasons: list[Reason] = []
    if target in facts and facts[target].missing:
        steps.append(Step(op="drop_missing", params={"columns": (target,)}))
        gone = facts[target].missing
        reasons.append(
            ("drop_missing", safe(target, 60), f"{grouped(gone)} row{'s have' if gone > 1 else ' has'} no target")
        )
    repeated = repeated_rows(con, base, facts)
    if repeated:
        steps.append(Step(op="drop_duplicates"))
        why = "an equal row could stand in the test and the training part at once"
        reasons.append(("drop_duplicates", f"{grouped(repeated)} row{'s' if repeated > 1 else ''}", why))
    return steps, reasons


def repeated_rows(con: DuckDBPyConnection, base: Base, facts: Mapping[str, ColumnFacts]) -> int:
    """Rows equal to an earlier one, where that is no coincidence: with few possible rows equal ones are natural."""
    possible = 1.0
    for fact in facts.values():
        possible *= _PROSE if fact.words >= 4 else max(1, fact.distinct)
    if base.rows < 2 or possible < 1000.0 * base.rows**2:
        return 0
    names = ", ".join(identifier(c) for c, _ in base.columns)
    different: int = con.execute(
        f"SELECT count(*) FROM (SELECT 1 FROM {base.table} GROUP BY {names})"  # noqa: S608 - quoted names
    ).fetchall()[0][0]
    return base.rows - different


def _columns(
    con: DuckDBPyConnection, base: Base, project: Project, facts: Mapping[str, ColumnFacts], learnt: _Learnt
) -> tuple[Columns, list[Reason]]:
    """What the columns are for: target, key, time, and those to ignore."""
    given = project.columns
    named = {given.target, given.key, given.group, given.time, *given.ignore}
    ignored: list[Ignored] = choose_ignored(con, base, facts, learnt.target, named)
    key = given.key
    reasons: list[Reason] = []
    unique = [i.name for i in ignored if i.identifies]
    if not key and unique:
        key = unique[0]
        reasons.append(("columns.key", safe(key, 60), "it identifies every row"))
    reasons += [("columns.ignore", safe(i.name, 60), i.why) for i in ignored if i.name != key]
    time = given.time or (find_time(facts) if learnt.task == "regression" else "")
    ignore = (*given.ignore, *(i.name for i in ignored if i.name not in {key, time}))
    return replace(given, target=learnt.target, key=key, time=time, ignore=ignore), reasons


def _suspected(suspects: Sequence[str], leaks: Sequence[Problem], target: str) -> list[Reason]:
    """One line on inputs that nearly tell the target alone: only a person knows when they are known."""
    if not suspects:
        return []
    told = safe(target, 40)
    why = (
        f"{leaks[0].what}: leave it out unless it is known before {told} is"
        if len(suspects) == 1
        else f"each alone nearly tells {told}: leave out what is not known before it"
    )
    return [("suspect", _listed(suspects), why)]


def _split(project: Project, columns: Columns, task: str) -> tuple[SplitSettings, list[Reason]]:
    """How rows are dealt out, where nothing is said yet."""
    given = project.split
    if given != replace(SplitSettings(), validation=given.validation, test=given.test, seed=given.seed):
        return given, []
    shares = f"{given.validation:.0%} to validate, {given.test:.0%} to test"
    if columns.group:
        kind, why = "group", f"rows of one {safe(columns.group, 40)} stay together"
    elif columns.time:
        kind, why = "time", "rows come in the order of time: the newest are the test"
    elif task == "classification" and columns.target:
        kind, why = "stratified", f"every part has its share of each class; {shares}"
    else:
        kind, why = "random", shares
    return replace(given, kind=kind), [("split.kind", kind, why)]


def _question(learnt: _Learnt) -> str:
    name = learnt.target
    return f"Which {name} is it?" if learnt.task == "classification" else f"How much is {name}?"


def _quoted(marks: Sequence[str]) -> str:
    return ", ".join(f"“{m}”" for m in marks)


def _listed(names: Sequence[str]) -> str:
    shown = [safe(n, 40) for n in names]
    return ", ".join(shown) if len(shown) <= 3 else f"{', '.join(shown[:2])} and {len(shown) - 2} more"
